"""Keeps imports going: gives received files their machines, few at a time, and tells how many are where.

All that it does follows from rows in PostgreSQL and from the state of the import's machine, and each
event has an id of its own, so that whoever takes over from a server that died does what that one
would have done. Few machines are alive at a time, however many files there are: Redis holds a window.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from machines.errors import StepError
from machines.import_files import standing
from machines.importing_events import Pace
from machines.snapshot import Snapshot
from server.by_turns import by_turns
from server.engine import Busy, Engine, MachineMissing
from server.import_machines import begin_anew, begin_import, shortened, spawning_id
from server.import_pace import WINDOW_S, Sample, pace_of, sample
from server.import_sweep import sweep
from server.pressure import level_of
from server.queues import JOB_QUEUES, JobQueues
from storage.archive import archived
from storage.arrivals import Arrivals, Arriving
from storage.departed import Departed
from storage.import_files import FileRow, ImportFiles
from storage.imports import Counted, ImportRow, Imports, sums_of, tally_of
from storage.runtime_records import RuntimeRecords

logger = logging.getLogger(__name__)

EVERY_S = 1.0
SWEEP_EVERY_S = 30.0
TURN = "imports-0-turn"
"""A lease by which the servers agree on who feeds, in the shape of an effect id of shard 0."""
_AT_ONCE = 200
"""Files of an import that are begun in a round."""
_MOST_AHEAD = 500
"""Jobs that are looked at to tell how many of others wait before those of an import."""


class Feeder:
    """Goes round the imports that are under way, every `every_s`; of many servers one does.

    Args:
        window: Files of one import that may have a machine at work at a time; under pressure, fewer may.
        holder: Unique to this life of this process.
    """

    def __init__(
        self,
        engine: Engine,
        database: AsyncEngine,
        queues: JobQueues,
        arrivals: Arrivals,
        records: RuntimeRecords,
        *,
        window: int,
        holder: str,
        every_s: float = EVERY_S,
        sweep_every_s: float = SWEEP_EVERY_S,
    ) -> None:
        self._engine = engine
        self._database = database
        self._imports = Imports(database)
        self._files = ImportFiles(database)
        self._queues = queues
        self._arrivals = arrivals
        self._records = records
        self._window = window
        self._holder = holder
        self._every_s = every_s
        self._sweep_every_s = sweep_every_s
        self._samples: dict[str, deque[Sample]] = {}
        self._swept: dict[str, float] = {}

    async def run(self) -> None:
        """Go round until cancelled.

        Raises:
            Unavailable, SQLAlchemyError, RedisError: A store does not answer.
        """
        await by_turns(self._engine.store, TURN, self._holder, self.round, every_s=self._every_s, missed=5)

    async def round(self) -> None:
        """Look after every import once."""
        under_way = await self._imports.unfinished()
        for row in under_way:
            try:
                await self.look_after(row)
            except (StepError, Busy):  # what is wrong with one must not keep the others
                logger.exception("An import waits.", extra={"action": "import.waits", "machine": row.id})
        here = {row.id for row in under_way}
        self._samples = {key: kept for key, kept in self._samples.items() if key in here}
        self._swept = {key: at for key, at in self._swept.items() if key in here}

    async def look_after(self, row: ImportRow) -> None:
        """Do what is due of one import, and tell its machine the counts."""
        machine = await self._machine(row)
        if machine.terminated:
            await self._imports.note_told(row.id, row.version, over=True)
            return
        if time.monotonic() - self._swept.get(row.id, 0.0) >= self._sweep_every_s:
            self._swept[row.id] = time.monotonic()
            await sweep(row, engine=self._engine, database=self._database, files=self._files)
        version, counts = await self._imports.counts(row.id)
        if await self._go_on(row, machine, counts):
            version, counts = await self._imports.counts(row.id)
        await self._tell(row, machine, version, counts)

    async def _go_on(self, row: ImportRow, machine: Snapshot, counts: Sequence[Counted]) -> bool:
        """Do what the counts say is due of the files; returns whether anything was."""
        state = machine.configuration[0]
        if state == "cancelling":
            await self._end(row, machine.context["canceller"])
            return True
        if state == "paused":
            return False
        fed = await self._feed(row, counts)
        again = any(c.state == "retrying" for c in counts)
        if again:
            await self._try_again(row)
        return fed or again

    async def _machine(self, row: ImportRow) -> Snapshot:
        """The import's machine, made here where a crash came between row and machine."""
        snapshot = await self._engine.load(row.id)
        if snapshot is None:
            async with self._database.connect() as connection:
                snapshot = await archived(connection, row.id)
        if snapshot is None:
            await begin_import(self._engine, row)
            snapshot = await self._engine.load(row.id)
        assert snapshot is not None
        return snapshot

    async def _feed(self, row: ImportRow, counts: Sequence[Counted]) -> bool:
        busy = sum(c.files for c in counts if c.state in ("queued", "working", "retrying") and not c.found)
        level = level_of(await self._records.pressure(), urgent=False)
        room = min(max(1, round(self._window * (1 - level))) - busy, _AT_ONCE)
        if room <= 0 or not any(c.state == "received" for c in counts):
            return False
        received = await self._files.files(row.id, ("received",), limit=room)
        await asyncio.gather(*(self._begin(row, file) for file in received))
        await self._files.begun(row.id, [file.id for file in received])
        return True

    async def _begin(self, row: ImportRow, file: FileRow) -> None:
        once = spawning_id(file.id, file.attempt)
        try:  # also where an earlier machine brought the bytes, and was lost
            await self._arrivals.expect(Arriving(file.machine, row.case_id), file.sha256)
        except Departed:
            return
        data = {"filename": shortened(file.path), "bytes": file.bytes}
        await self._engine.spawn("upload", row.topic, data, source="handler", actor=row.owner, event_id=once)
        try:
            await self._engine.send(
                file.machine,
                "received",
                {"sha256": file.sha256, "bytes": file.bytes},
                source="handler",
                actor=row.owner,
                event_id=f"{once}:received",
            )
        except StepError:  # it is past that: a feeder died between this and noting it
            logger.info("A file had begun.", extra={"action": "import.begun", "machine": file.machine})

    async def _try_again(self, row: ImportRow) -> None:
        for file in await self._files.files(row.id, ("retrying",), limit=self._window):
            once = f"import:{file.id}:{file.changed_at.timestamp()}:retry"
            try:
                await self._engine.send(
                    file.machine, "retry", {}, source="client", actor=file.asker, role="editor", event_id=once
                )
            except MachineMissing:
                await begin_anew(row, file, engine=self._engine, files=self._files)
            except StepError:
                snapshot = await self._engine.load(file.machine)
                assert snapshot is not None
                now = standing(snapshot)
                await self._files.heard(row.id, file.id, now.state, now.reason, retryable=False)

    async def _end(self, row: ImportRow, actor: str) -> None:
        for number, attempt in await self._files.end(row.id):
            machine = self._engine.machine_for("upload", row.topic, spawning_id(number, attempt))
            await self._arrivals.leave(machine)
        live = await self._files.files(
            row.id, ("waiting", "sending", "queued", "working"), limit=2 * self._window + _AT_ONCE
        )
        for file in live:
            if file.machine:
                try:
                    await self._engine.send(
                        file.machine, "cancel", {}, source="client", actor=actor, role="editor",
                        event_id=f"import:{file.id}:{file.attempt}:cancel",
                    )  # fmt: skip
                except (StepError, MachineMissing):  # it has ended meanwhile, or the sweep will find it gone
                    logger.info(
                        "A file ends by itself.", extra={"action": "import.ends", "machine": file.machine}
                    )

    async def _tell(self, row: ImportRow, machine: Snapshot, version: int, counts: Sequence[Counted]) -> None:
        tally, state = tally_of(counts), machine.configuration[0]
        pace = await self._pace(row, counts, standing_still=state == "paused" or not tally.live)
        ends = state in ("transferring", "processing", "cancelling") and not tally.live
        if version != row.told or ends:
            data = {
                "version": version,
                "tally": tally.model_dump(),
                **sums_of(counts),
                "last_arrival": 0.0 if row.last_arrival is None else row.last_arrival.timestamp(),
                "pace": pace.model_dump(),
            }
            outcome = await self._engine.send(row.id, "counted", data, source="handler")
            state = outcome.configuration[0]
            over = state in ("done", "done_with_failures", "cancelled")
            await self._imports.note_told(row.id, version, over=over)
            if over:
                await self._check(row)
        if tally.live:
            await self._engine.publish(row.topic, row.id, "pace", pace.model_dump())
            await self._engine.publish(f"case:{row.case_id}", row.id, "pace", pace.model_dump())

    async def _check(self, row: ImportRow) -> None:
        """At the end all files are counted one by one; if that says otherwise, it is told once more."""
        wrong = await self._imports.correct_counts(row.id)
        if wrong:
            logger.error(
                "The counts of an import were wrong, and are corrected.",
                extra={"action": "import.miscounted", "machine": row.id, "states": wrong},
            )

    async def _pace(self, row: ImportRow, counts: Sequence[Counted], *, standing_still: bool) -> Pace:
        if standing_still:
            self._samples.pop(row.id, None)
            return Pace()
        samples = self._samples.setdefault(row.id, deque())
        samples.append(sample(counts, time.monotonic()))
        while samples[-1].at - samples[0].at > WINDOW_S:
            samples.popleft()
        return pace_of(counts, samples, ahead=await asyncio.to_thread(self._ahead, row.topic))

    def _ahead(self, topic: str) -> int:
        """Jobs of others that wait before the first of this import; 0 where none of its own waits."""
        most = 0
        for queue in JOB_QUEUES:
            for place, item in enumerate(self._queues.items(queue, _MOST_AHEAD)):
                if item is not None and item.topic == topic:
                    most = max(most, place)
                    break
        return most
