"""The small case with its machines, files and questions, as it is when something of it is to leave.

`traces_of` looks for words everywhere: in every column of every table, every value in Redis, every file.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.erase_case import erase_case
from handlers.forget import forget_evidence
from handlers.hide import hide_evidence
from handlers.job import Cancelled, Job, JobError
from handlers.query_graph import order, solve, to_bytes
from handlers.rank import build_graph, hits_for, legs_from, ordered
from machines.case import EraseCase, HideCase
from machines.effect import effect_from
from machines.event import Event
from machines.query import Answer, Citation, Claim
from machines.snapshot import Snapshot
from machines.upload_events import ForgetEvidence, HideEvidence
from server.engine import Engine
from server.journalist import Journalist
from server.leaving import case_stores, leaving_stores, sender_of
from storage.arrivals import Arrivals, Arriving
from storage.blobs_disk import DiskBlobs
from storage.cases import Cases
from storage.custody_heads import CustodyHeads
from storage.evidence import EvidenceStore
from storage.journal import CustodyJournal
from storage.journal_stream import JournalStream
from storage.machine_store import OutboxItem
from storage.machine_store_redis import RedisMachineStore
from storage.packing_redis import machine_in
from storage.schema import DIMENSIONS
from storage.similarities import Similarities
from storage.vectors import Near
from tests.handlers.small_case import QUARRY, SHARDS, SmallCase, add_user, small_case

TOPIC = "case:case1"
QUESTION = "Who was paid by Vanter Holding for the blast of bench nine?"

DOCUMENTS = QUARRY | {
    "ledger": ["The Quibbleworth ledger tells that Ottoline Zabaglione paid 5,555 kroner for the blast."],
    "slip": ["A Quibbleworth slip of paper: Ottoline Zabaglione was here, bench nine, blast."],
}
ENTITIES = {
    "person": ("Marit Solheim", "Lene Dahl", "Ottoline Zabaglione"),
    "organisation": ("Vanter Holding",),
    "money": ("5,555 kroner",),
}
INSIDE = {"slip": "ledger"}
"""What was found in what."""
ONLY_THERE = ("Quibbleworth", "Zabaglione", "zabaglione", "quibbleworth", "5,555")
"""Words that stand in the ledger, and in what was found in it, alone."""


class Hashed:
    """A vector a text, by its words."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
        for row, one in zip(vectors, texts, strict=True):
            for word in one.lower().split():
                row[zlib.crc32(word.encode()) % DIMENSIONS] += 1.0
            row /= max(float(np.linalg.norm(row)), 1e-6)
        return vectors


@dataclass
class Doing:
    """A job as a worker gives it, which is cancelled when its machine awaits it no more."""

    id: str
    machine: str
    topic: str
    engine: Engine
    attempt: int = 1

    async def progress(self, done: int, total: int, unit: str) -> None:
        await self.check()

    async def token(self, text: str, position: int) -> None:
        await self.check()

    async def check(self) -> None:
        snapshot = await self.engine.load(self.machine)
        if snapshot is None or self.id not in snapshot.awaiting:
            raise Cancelled


@dataclass
class Leaving:
    """A case, its stores, and what a dispatcher, a worker and a journalist would do."""

    case: SmallCase
    redis: Redis
    blobs: DiskBlobs
    custody: CustodyHeads
    made_from: Sequence[Callable[[str], None]] = ()
    engine: Engine = field(init=False)
    journal: CustodyJournal = field(init=False)
    arrivals: Arrivals = field(init=False)
    uploads: dict[str, str] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    announced: list[str] = field(default_factory=list)
    waiting: list[OutboxItem] = field(default_factory=list)

    def __post_init__(self) -> None:
        database = self.case.database
        self.store = RedisMachineStore(self.redis, shards=SHARDS, era="e")
        self.engine = Engine(self.store, shards=SHARDS)
        self.journal = CustodyJournal(database)
        self.arrivals = Arrivals(database, self.blobs, made_from=self.made_from)
        self.send = sender_of(self.engine)
        self.cases = Cases(database)
        self.stores = leaving_stores(self.engine, self.redis, database, self.journal, self.arrivals, SHARDS)
        self.case_stores = case_stores(self.engine, self.redis, database, self.journal, self.arrivals, SHARDS)
        self.journalist = Journalist(
            store=self.store,
            stream=JournalStream(self.redis, shards=SHARDS),
            database=database,
            journal=self.journal,
            heads=self.custody,
        )

    @property
    def evidence(self) -> EvidenceStore:
        return EvidenceStore(self.case.database)

    # --- machines -----------------------------------------------------------------------------

    async def tell(self, machine: str, event: str, *, actor: str = "ann", **data: Any) -> Snapshot:
        """An event of a handler; the machine afterwards."""
        outcome = await self.engine.send(machine, event, data, source="handler", actor=actor)
        assert outcome.snapshot is not None
        return outcome.snapshot

    async def ask(self, machine: str, event: str, *, actor: str = "ann", **data: Any) -> Snapshot:
        """An event of a person, an owner; the machine afterwards."""
        outcome = await self.engine.send(machine, event, data, source="client", actor=actor, role="owner")
        assert outcome.snapshot is not None
        return outcome.snapshot

    async def machine(self, machine: str) -> Snapshot:
        found = await self.engine.load(machine)
        assert found is not None
        return found

    async def states(self, name: str) -> list[str]:
        return (await self.machine(self.uploads[name])).configuration

    async def store_bytes(self, content: bytes) -> str:
        writer = self.blobs.open_writer()
        writer.write(content)
        sha256, _ = writer.commit()
        return sha256

    async def upload(self, name: str, *, topic: str = TOPIC, parent: int = 0) -> str:
        """A machine that has brought a document of the small case, and analysed it."""
        evidence, content = self.case.evidence[name], "\n".join(DOCUMENTS[name]).encode()
        machine = (
            await self.engine.spawn(
                "upload",
                topic,
                {"filename": f"{name}.txt", "bytes": len(content), "parent": parent},
                actor="ann",
            )
        ).machine
        sha256 = await self.store_bytes(content)
        await self.arrivals.arrive(Arriving(machine, "case1", parent, f"{name}.txt"), sha256)
        async with self.case.database.begin() as connection:
            await connection.execute(
                text(
                    "UPDATE evidence SET upload = :upload, sha256 = :sha256, filename = :filename, "
                    "title = :title, bytes = :bytes, parent_id = nullif(:parent, 0) WHERE id = :id"
                ),
                {
                    "upload": machine,
                    "sha256": sha256,
                    "filename": f"{name}.txt",
                    "title": DOCUMENTS[name][0][:30],
                    "bytes": len(content),
                    "parent": parent,
                    "id": evidence,
                },
            )
        await self.tell(machine, "received", sha256=sha256, bytes=len(content))
        title = DOCUMENTS[name][0]
        steps: list[tuple[str, str, dict[str, Any]]] = [
            ("verifying", "verified", {"evidence": evidence, "media_type": "text/plain", "title": title}),
            ("extracting", "extracted", {"pages": 0, "characters": len(content), "chunks": 2}),
            ("embedding", "embedded", {"chunks": 2}),
            ("indexing", "indexed", {"chunks": 2}),
            ("linking", "linked", {"entities": 1, "mentions": 1}),
            ("tagging", "tagged", {"tags": DOCUMENTS[name][0].lower().split()[1:3]}),
            ("summarising", "summarised", {"sentences": 1}),
        ]  # fmt: skip
        for stage, event, data in steps:
            snapshot = await self.machine(machine)
            await self.tell(machine, event, effect=snapshot.context["work"][stage]["effect"], **data)
        self.uploads[name], self.contents[name] = machine, sha256
        return machine

    async def question(self, *, cancelled: bool = False) -> str:
        """A question that was answered from what the case has, or stopped just before."""
        query = (
            await self.engine.spawn(
                "query", TOPIC, {"question": QUESTION}, source="client", actor="ann", role="owner"
            )
        ).machine
        legs = await self.case.legs(QUESTION)
        for leg, found in legs.items():
            snapshot = await self.machine(query)
            stage = f"by_{leg}"
            effect = snapshot.context["work"][stage]["effect"]
            await self.tell(query, "leg_found", effect=effect, stage=stage, found=found)
        parsed = legs_from(legs)
        built = await build_graph("case1", QUESTION, parsed, graph=self.case.graph)
        await self.case.graphs.put("case1", query, to_bytes(built), asked_at=1.0)
        best = order(built, solve(built, {}), 50)
        hits = await hits_for(
            "case1", QUESTION, parsed, built, [node for node, _ in best], graph=self.case.graph
        )
        snapshot = await self.machine(query)
        await self.tell(
            query, "ranked", effect=snapshot.context["work"]["ranking"]["effect"], as_of=0, nodes=9, edges=9,
            hits=[hit.model_dump(mode="json") for hit in hits],
            order=[place.model_dump() for place in ordered(best)],
        )  # fmt: skip
        claims = [
            Claim(
                text=hit.snippet,
                citations=[
                    Citation(node=hit.node, evidence=hit.evidence, title=hit.title, page=0, start=0, end=9)
                ],
            )
            for hit in hits
        ]
        if cancelled:
            await self.ask(query, "cancel")
            return query
        answer = Answer(
            mode="extractive", supported=True, text="\n".join(c.text for c in claims), claims=claims
        )
        snapshot = await self.machine(query)
        effect = snapshot.context["work"]["answering"]["effect"]
        await self.tell(query, "composed", effect=effect, answer=answer.model_dump(mode="json"))
        await self.stores.partials.write(query, 1, answer.text)
        return query

    # --- work ---------------------------------------------------------------------------------

    async def carry(self) -> None:
        """What the journalist does."""
        while await self.journalist.carry():
            pass

    async def claimed(self) -> list[OutboxItem]:
        """Every effect that waits to be done, of those that take away."""
        while items := await self.store.claim("test", count=100, block_s=0.01, idle_s=60):
            for item in items:
                await self.store.acknowledge(item)
                if item.name in ("HideEvidence", "ForgetEvidence", "HideCase", "EraseCase"):
                    self.waiting.append(item)
        return self.waiting

    async def do(self, item: OutboxItem) -> Event | None:
        """One effect, as the dispatcher or a worker does it."""
        effect: Any = effect_from(item.name, item.args)
        job: Job = Doing(item.effect_id, item.machine, TOPIC, self.engine)
        match effect:
            case HideEvidence():
                await hide_evidence(
                    effect, job, evidence=self.stores.evidence, graphs=self.stores.graphs,
                    names=self.store.names, load=self.engine.load, send=self.send,
                    case_machine=self.stores.case_machine,
                )  # fmt: skip
                return None
            case HideCase():
                await self.cases.hide(effect.case, hidden=effect.hidden)
                return None
            case ForgetEvidence():
                return await forget_evidence(effect, job, stores=self.stores)
            case EraseCase():
                return await erase_case(effect, job, stores=self.case_stores)
        raise TypeError(item.name)

    async def work(self) -> None:
        """Do what waits, and what follows from it, until nothing does."""
        while await self.claimed():
            item = self.waiting[0]
            try:
                result = await self.do(item)
            except (Cancelled, JobError):
                result = None
            if result is not None:
                await self.tell(item.machine, result.name, **result.model_dump(mode="json"))
            snapshot = await self.engine.load(item.machine)
            if snapshot is not None and "draining" in snapshot.configuration:
                await self.engine.send(item.machine, "drain", {}, source="timer")
            self.waiting.pop(0)

    # --- what is left -------------------------------------------------------------------------

    async def traces_of(self, *words: str) -> set[str]:
        """Where any of the words stands, as `table.column`, `redis:key` or a file."""
        return await self._in_tables(words) | await self._in_redis(words) | self._in_files(words)

    async def _in_tables(self, words: Sequence[str]) -> set[str]:
        found = set()
        async with self.case.database.connect() as connection:
            listed = await connection.execute(
                text("SELECT table_name, array_agg(column_name || ' ' || data_type) "
                     "FROM information_schema.columns WHERE table_schema = 'public' GROUP BY 1")
            )  # fmt: skip
            for table, columns in listed.all():
                kinds = dict(column.split(" ", 1) for column in columns)
                wanted = ", ".join(f"bool_or({_holds(*each)})" for each in kinds.items())
                row = (
                    await connection.execute(text(f'SELECT {wanted} FROM "{table}"'), {"words": list(words)})
                ).one()
                found |= {f"{table}.{column}" for column, there in zip(kinds, row, strict=True) if there}
        return found

    async def _in_redis(self, words: Sequence[str]) -> set[str]:
        found = set()
        async for key in self.redis.scan_iter(count=500):
            name = key.decode()
            kind = (await self.redis.type(key)).decode()
            value: Any
            if ":machine:" in name:
                value = orjson.dumps(machine_in(await self.redis.get(key)).to_json())
            elif kind == "string":
                value = await self.redis.get(key)
            elif kind == "hash":
                value = await self.redis.hgetall(key)
            elif kind == "stream":
                value = await self.redis.xrange(key)
            elif kind == "set":
                value = await self.redis.smembers(key)
            else:
                value = await self.redis.zrange(key, 0, -1)
            if any(word in str(value) for word in words):
                found.add(f"redis:{name}")
        return found

    def _in_files(self, words: Sequence[str]) -> set[str]:
        files = (path for path in self.blobs.root.rglob("*") if path.is_file())
        return {path.name for path in files if any(word.encode() in path.read_bytes() for word in words)}


def _holds(column: str, kind: str) -> str:
    """SQL: whether any of the words stands in a column, whatever its kind."""
    shown = f"encode(\"{column}\", 'escape')" if kind == "bytea" else f'"{column}"::text'
    return f"EXISTS (SELECT FROM unnest(CAST(:words AS text[])) word WHERE strpos({shown}, word) > 0)"


async def leaving_case(
    database: AsyncEngine,
    redis: Redis,
    folder: Path,
    *,
    names: Sequence[str] = tuple(DOCUMENTS),
    made_from: Sequence[Callable[[str], None]] = (),
) -> Leaving:
    """The case with a machine for it and for each file, a member, and what was found in what."""
    documents = {name: DOCUMENTS[name] for name in names}
    case = await small_case(database, redis, Hashed(), documents=documents, entities=ENTITIES)
    made = Leaving(case, redis, DiskBlobs(folder / "blobs"), CustodyHeads(folder / "custody"), made_from)
    await add_user(database, "ann")
    async with database.begin() as connection:
        await connection.execute(text("INSERT INTO members VALUES ('case1', 'ann', 'owner')"))
    machine = await made.engine.spawn("case", TOPIC, {"title": "The quarry"}, actor="ann")
    async with database.begin() as connection:
        await connection.execute(text("UPDATE cases SET machine = :m"), {"m": machine.machine})
    # Every piece of evidence is like the next one, so that whatever leaves has such neighbours.
    firsts = sorted(case.chunks[name, 0] for name in names)
    await Similarities(database).put("case1", [Near(a, b, 0.6) for a, b in pairwise(firsts)])
    for name in names:
        parent = case.evidence[INSIDE[name]] if name in INSIDE else 0
        await made.upload(name, parent=parent)
    return made
