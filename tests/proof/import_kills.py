"""Kill server, workers, Redis and PostgreSQL while a folder is imported; it must end as if nobody had.

    python -m tests.proof.import_kills --files 2000 --kills 60 --seed 1
    python -m tests.proof.import_kills --files 2000 --kills 60 --database

The folder is imported twice: into one case in peace, into another under attack. What failed only
because its worker was killed again and again is tried again once, as a person would; then every
file must stand as its twin does, with as many passages, terms and mentions, every count be that of
the files, and every transition stand in the custody chain once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any

import psutil

from server.client import Client, Refused
from server.folder_sending import FolderSender
from server.folder_walk import walk
from tests.folders import make_folder
from tests.killing import kill_family
from tests.proof import oracle
from tests.proof.instance import Instance, connect
from tests.proof.ledger import Ledger

WEIGHTS = {"server": 8, "worker": 14, "parser": 8, "redis": 8, "postgres": 4, "postgres session": 6}
DATABASE = "postgres with all its sessions"
REST_S = 3600.0
"""How long a folder may take to come to rest."""

_FILES = """
SELECT f.path, f.state, f.reason, f.sha256, f.pages, f.found,
       (SELECT count(*) FROM chunks c WHERE c.evidence_id = e.id) AS chunks,
       (SELECT count(*) FROM chunks c WHERE c.evidence_id = e.id AND c.vector IS NULL) AS unembedded,
       (SELECT sum(l.words) FROM chunks c JOIN chunk_lengths l ON l.chunk_id = c.id
        WHERE c.evidence_id = e.id) AS terms,
       (SELECT count(*) FROM chunks c JOIN mentions m ON m.chunk_id = c.id
        WHERE c.evidence_id = e.id) AS mentions
FROM import_files f LEFT JOIN evidence e ON e.id = f.evidence AND f.state <> 'duplicate'
WHERE f.import_id = $1
"""
_CHANGING = """
SELECT (SELECT count(*) FROM chunks) AS passages,
       EXISTS (SELECT FROM pg_locks WHERE relation = 'total_changes'::regclass
               AND mode = 'RowExclusiveLock') AS changing
"""
_MISCOUNTED = """
SELECT coalesce(a.state, b.state) AS state, a.files AS kept, b.files AS counted
FROM (SELECT state, sum(files) AS files FROM import_counts WHERE import_id = $1
      GROUP BY 1 HAVING sum(files) <> 0) AS a
FULL JOIN (SELECT state, count(*) AS files FROM import_files WHERE import_id = $1 GROUP BY 1) AS b
USING (state)
WHERE a.files IS DISTINCT FROM b.files
"""


@dataclass
class Outcome:
    """What the attack did, and what was found."""

    kills: Counter[str] = field(default_factory=Counter)
    files: int = 0
    peace_s: float = 0.0
    attacked_s: float = 0.0
    retried: int = 0
    """Files that had failed under attack alone, and were tried again."""
    starts: int = 0
    tally: dict[str, int] = field(default_factory=dict)
    passages: int = 0
    mentions: int = 0
    faults: list[str] = field(default_factory=list)
    evidence: str = ""

    def report(self) -> int:
        """Print everything; the exit status."""
        rows = [("files", self.files), ("kills", self.kills.total())]
        rows += [(f"– {victim}", count) for victim, count in sorted(self.kills.items())]
        rows += [("starts of the server", self.starts), ("files tried again", self.retried)]
        rows += [(f"files {state}", count) for state, count in sorted(self.tally.items())]
        rows += [("passages", self.passages), ("mentions in them", self.mentions)]
        rows += [("seconds in peace", round(self.peace_s)), ("seconds under attack", round(self.attacked_s))]
        rows += [("faults", len(self.faults))]
        print("| what | count |\n|---|---:|")
        for what, count in rows:
            print(f"| {what} | {count} |")
        for fault in self.faults[:40]:
            print(f"FAULT {fault}")
        if self.evidence:
            print(f"Evidence: {self.evidence}")
        return 1 if self.faults else 0


class Import:
    """A folder on its way into a case of its own."""

    def __init__(self, client: Client, folder: Path) -> None:
        self.client = client
        self._folder = folder
        self.machine = ""
        self.case = ""

    async def run(self) -> None:
        """Begin, send, and wait until every file rests, whatever becomes of the server.

        Raises:
            TimeoutError: Some do not.
        """
        made = await self.ask("POST", "/api/cases", {"title": "A folder"})
        self.case = made["id"]
        begun = await self.ask("POST", f"/api/cases/{self.case}/imports", {"title": "Boxes"})
        self.machine = begun["machine"]
        sender = FolderSender(self.client, self.machine, os.fsencode(self._folder))
        await sender.tell_all(walk(os.fsencode(self._folder)))
        async with asyncio.timeout(REST_S):
            while True:
                await sender.send_wanted()
                if (await self.view())["state"] in ("done", "done_with_failures"):
                    return
                await asyncio.sleep(0.5)

    async def view(self) -> dict[str, Any]:
        view: dict[str, Any] = await self.ask("GET", f"/api/imports/{self.machine}")
        return view

    async def retry(self) -> None:
        """Try the failed files again, and wait until they rest."""
        await self.client.connect()
        await self.client.send(self.machine, "retry_failed")
        await self.client.disconnect()
        await asyncio.sleep(3)
        await self._at_rest()

    async def _at_rest(self) -> None:
        async with asyncio.timeout(REST_S):
            while not (await self.view())["state"].startswith("done"):  # noqa: ASYNC110 - it may be away
                await asyncio.sleep(0.5)

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request, again while the server is away."""
        headers = {"Idempotency-Key": token_hex(8)} if method == "POST" else {}
        while True:
            try:
                return await self.client.request(method, path, body, headers=headers)
            except Refused as refusal:
                if not refusal.temporary:
                    raise
            except ConnectionError:
                pass
            await asyncio.sleep(0.3)


Attack = Callable[[Instance, Outcome], Coroutine[Any, Any, None]]


def killer(*, kills: int, seed: int, pause_s: tuple[float, float]) -> Attack:
    """Kill one process after the other, at random."""
    chance = random.Random(seed)

    async def attack(instance: Instance, outcome: Outcome) -> None:
        while outcome.kills.total() < kills:
            await asyncio.sleep(chance.uniform(*pause_s))
            there = await asyncio.to_thread(instance.victims)
            wanted = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            lot = chance.random()
            if wanted in there:
                processes = sorted(there[wanted], key=lambda process: process.pid)
                with contextlib.suppress(psutil.NoSuchProcess):
                    processes[int(lot * len(processes))].kill()
                    outcome.kills[wanted] += 1

    return attack


def database_killer(*, kills: int) -> Attack:
    """Kill PostgreSQL with all its sessions, each time while a transaction changes the totals of a case."""

    async def attack(instance: Instance, outcome: Outcome) -> None:
        passages = 0
        while outcome.kills.total() < kills:
            [leader] = (await asyncio.to_thread(instance.victims))["postgres"]
            passages = await _in_the_middle(instance, passages)
            kill_family(leader)
            outcome.kills[DATABASE] += 1
            await instance.ready()

    return attack


async def _in_the_middle(instance: Instance, passages: int) -> int:
    """Wait for more passages than so many, and for a transaction that has noted a change; the passages."""
    owner = instance.owner
    assert owner is not None
    connection = await connect(owner)
    try:
        while True:
            there, changing = await connection.fetchrow(_CHANGING)
            if changing and there > passages:
                return int(there)
            await asyncio.sleep(0.001)
    finally:
        connection.terminate()


async def prove(attack: Attack, *, files: int, seed: int) -> Outcome:
    """Import in peace, import under attack, compare."""
    outcome = Outcome()
    instance = Instance(CASEWIRE_CPU_WORKERS="2", CASEWIRE_GPU_WORKERS="1", OMP_NUM_THREADS="1")
    folder = Path(tempfile.mkdtemp(prefix="casewire-proof-", dir="/tmp"))
    try:
        make_folder(folder, files, seed=seed)
        await instance.start()
        async with Client(instance.url, timeout_s=60) as client:
            await client.register("ann@example.org", "Ann", "a long enough password")
            peace, war = Import(client, folder), Import(client, folder)
            outcome.peace_s = await _timed(peace.run())
            attacking = asyncio.create_task(attack(instance, outcome))
            try:
                outcome.attacked_s = await _timed(war.run())
            finally:
                attacking.cancel()
                [ended] = await asyncio.gather(attacking, return_exceptions=True)
            if isinstance(ended, Exception):
                raise ended
            await instance.ready()
            before = await war.view()
            if before["tally"]["failed"] > (await peace.view())["tally"]["failed"]:
                await war.retry()
            await asyncio.sleep(2)  # what is told of the last entries is in PostgreSQL
            await _compare(instance, peace, war, outcome)
            after = await war.view()
            outcome.retried = before["tally"]["failed"] - after["tally"]["failed"]
            outcome.tally = {state: number for state, number in after["tally"].items() if number}
            outcome.files = sum(outcome.tally.values())
        outcome.faults += await oracle.left_over(instance)
        outcome.faults += Ledger().compare(await oracle.transitions(instance))
        for command in (("custody", "verify"), ("rebuild", "totals", "--check")):
            status, said = await instance.command(*command)
            if status:
                outcome.faults.append(f"{' '.join(command)}: {said[-500:]}")
    finally:
        outcome.starts = instance.starts
        code = await instance.stop()
        shutil.rmtree(folder)
    if code:
        outcome.faults.append(f"the server ended with {code} when it was asked to")
    if outcome.faults:
        outcome.evidence = f"{instance.log} and the rest of {instance.folder}"
    else:
        instance.clear()
    return outcome


async def _timed(work: Awaitable[None]) -> float:
    began = time.monotonic()
    await work
    return time.monotonic() - began


async def _compare(instance: Instance, peace: Import, war: Import, outcome: Outcome) -> None:
    owner = instance.owner
    assert owner is not None
    connection = await connect(owner)
    twins = {}
    for one in (peace, war):
        rows = [dict(row) for row in await connection.fetch(_FILES, one.machine)]
        twins[one.machine] = rows
        for row in await connection.fetch(_MISCOUNTED, one.machine):
            outcome.faults.append(f"{row['state']}: told {row['kept']}, counted {row['counted']}")
        # What the machine tells its pages is what the rows say, by their number.
        tally = Counter(str(row["state"]) for row in rows)
        snapshot = await one.ask("GET", f"/api/machines/{one.machine}")
        told = {state: number for state, number in snapshot["context"]["tally"].items() if number}
        if told != tally:
            outcome.faults.append(f"{one.machine} tells {told}, its files are {dict(tally)}")
        outcome.faults += [f"not embedded: {row['path']}" for row in rows if row["unembedded"]]
        outcome.faults += [
            f"evidence without a file: {row['filename']}"
            for row in await connection.fetch(
                "SELECT filename FROM evidence e WHERE case_id = $1 AND NOT EXISTS "
                "(SELECT FROM import_files f WHERE f.evidence = e.id)",
                one.case,
            )
        ]
    await connection.close()
    outcome.passages, outcome.mentions = (
        sum(row[what] or 0 for row in twins[war.machine]) for what in ("chunks", "mentions")
    )
    calm, shaken = (_state_of(rows) for rows in twins.values())
    for path in sorted(calm.keys() | shaken.keys()):
        if calm.get(path) != shaken.get(path):
            outcome.faults.append(f"{path}: {calm.get(path)} in peace, {shaken.get(path)} under attack")


def _state_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What must be equal. Of files with the same bytes any may be the one that is kept."""
    shared = Counter(row["sha256"] for row in rows if row["sha256"])
    state: dict[str, Any] = {}
    for row in rows:
        if row["sha256"] and shared[row["sha256"]] > 1:
            twins = [r for r in rows if r["sha256"] == row["sha256"]]
            state[row["sha256"]] = sorted(
                (str(r["state"]), *(r[name] or 0 for name in ("chunks", "terms", "mentions"))) for r in twins
            )
        else:
            state[row["path"]] = tuple(
                row[name]
                for name in ("state", "reason", "sha256", "pages", "found", "chunks", "terms", "mentions")
            )
    return state


def main() -> None:
    """Run the proof, print its table, and exit with 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof.import_kills", description=__doc__)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pause", type=float, nargs=2, default=(2.0, 15.0), metavar=("LEAST", "MOST"))
    parser.add_argument("--database", action="store_true", help="kill PostgreSQL alone, with its sessions")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the instance ends, too
    least, most = options.pause
    attack = (
        database_killer(kills=options.kills)
        if options.database
        else killer(kills=options.kills, seed=options.seed, pause_s=(least, most))
    )
    outcome = asyncio.run(prove(attack, files=options.files, seed=options.seed))
    sys.exit(outcome.report())


if __name__ == "__main__":
    main()
