"""A folder that is imported into a running server, whose workers a test plays itself."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import httpx
from redis.asyncio import Redis

from machines.snapshot import Snapshot
from server.import_feeding import TURN, Feeder
from server.queues import JobQueues
from server.resting import Resting
from storage.import_files import FileRow
from storage.journal_stream import JournalStream
from storage.machine_store_redis import RedisMachineStore
from storage.runtime_records import RuntimeRecords
from tests.server.live import Live, Person


async def keep_feeding(redis: Redis, shards: int) -> None:
    """Let no server look after imports before the test ends: `Folder.feed` does, and one is enough."""
    store = RedisMachineStore(redis, shards=shards, era="test")
    assert await store.take_lease(TURN, "test", ttl_s=600)


@dataclass
class Folder:
    """An import of one person's, and what its files hold."""

    live: Live
    person: Person
    case: str
    machine: str
    contents: dict[str, bytes] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)

    @classmethod
    async def begun(cls, person: Person, *, title: str = "Boxes", case: str = "") -> Folder:
        """A new import, in a new case unless one is given."""
        case = case or (await person.case())["id"]
        made = await person.call("POST", f"/api/cases/{case}/imports", {"title": title})
        assert made.status_code == 201, made.text
        return cls(person.live, person, case, made.json()["machine"])

    @property
    def path(self) -> str:
        return f"/api/imports/{self.machine}"

    async def list(self, contents: dict[str, bytes], *, hashed: bool = False) -> list[dict[str, Any]]:
        """List files with these contents, and say that the list is complete."""
        self.contents |= contents
        files = [
            {"path": path, "bytes": len(content)}
            | ({"sha256": sha256(content).hexdigest()} if hashed else {})
            for path, content in contents.items()
        ]
        told = await self.person.call("POST", f"{self.path}/manifest", {"files": files})
        assert told.status_code == 200, told.text
        rows: list[dict[str, Any]] = told.json()
        self.numbers |= {path: row["file"] for path, row in zip(contents, rows, strict=True)}
        ended = await self.person.call("POST", f"{self.path}/manifest/end")
        assert ended.status_code == 200, ended.text
        return rows

    def batch(self, *paths: str, **header: Any) -> bytes:
        """The body that sends these files."""
        named = [{"file": self.numbers[path], "bytes": len(self.contents[path])} | header for path in paths]
        return json.dumps({"files": named}).encode() + b"\n" + b"".join(self.contents[p] for p in paths)

    async def send(self, *paths: str, body: bytes | None = None) -> httpx.Response:
        """Send files, all that are listed unless some are named."""
        return await self.person.call(
            "POST", f"{self.path}/batch", content=body or self.batch(*(paths or self.contents))
        )

    async def event(self, event: str, **data: Any) -> dict[str, Any]:
        """Send an event to the import, as its page does."""
        async with self.person.socket() as wire:
            return await wire.ask("send", machine=self.machine, event=event, data=data)

    async def state(self) -> dict[str, Any]:
        """How it stands; only states that some files are in are told."""
        view: dict[str, Any] = (await self.person.call("GET", self.path)).json()
        view["tally"] = {state: number for state, number in view["tally"].items() if number}
        return view

    async def file(self, path: str) -> FileRow:
        number = self.numbers[path]
        return (await self.live.parts.import_files.some(self.machine, [number]))[number]

    async def feed(self) -> None:
        """Have the import looked after, and what its machines did carried, until both are done."""
        parts = self.live.parts
        queues = JobQueues(parts.services.queue_url)
        feeder = Feeder(
            parts.engine,
            parts.database,
            queues,
            parts.arrivals,
            RuntimeRecords(parts.redis),
            window=4,
            holder="test",
            sweep_every_s=1e9,
        )
        try:
            for _ in range(2):
                await self.carried()
                await feeder.look_after(await parts.imports.get(self.machine))
        finally:
            queues.close()

    async def carried(self) -> None:
        """Wait until the journalist has brought every step to PostgreSQL."""
        stream = JournalStream(self.live.parts.redis, shards=self.live.parts.settings.shards)
        while await stream.lengths():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.02)

    async def rest(self) -> int:
        """Let what rests leave Redis now."""
        await self.carried()
        parts = self.live.parts
        row = await parts.imports.get(self.machine)
        return await Resting(parts.store, parts.database, holder="test", after_s=0).look_at(row.topic)

    async def work(self, path: str, *, ends: str = "ready", reason: str = "") -> Snapshot:
        """Do as workers do with a file: it gets `ready`, `failed`, `locked` or `duplicate`."""
        machine = (await self.file(path)).machine
        await self._result(machine, "started", stage="verifying")
        if ends == "duplicate":
            return await self._result(machine, "recognised", evidence=1, title="the other")
        evidence = self.numbers[path]
        await self._result(machine, "verified", evidence=evidence, media_type="text/plain", title=path)
        await self._result(machine, "started", stage="extracting")
        if ends == "failed":
            return await self._result(machine, "broke", stage="extracting", reason=reason)
        if ends == "locked":
            return await self._result(machine, "needs_password", reason="it asks for a password")
        return await self._result(machine, "extracted", pages=2, characters=0, chunks=0)

    async def _result(self, machine: str, event: str, **data: Any) -> Snapshot:
        engine = self.live.parts.engine
        snapshot = await engine.load(machine)
        assert snapshot is not None
        [effect] = snapshot.awaiting
        outcome = await engine.send(machine, event, {"effect": effect} | data, source="handler")
        assert outcome.snapshot is not None
        return outcome.snapshot
