"""Carries every committed transition into Postgres: the custody chain, and each machine's snapshot.

Any number of servers may: each reads a shard from its oldest entry on, and an entry that is
carried twice is written once, so the order of a topic is kept. A lock in Postgres spares them from
doing the same work at the same time.
"""

from __future__ import annotations

import asyncio
import logging
import time

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from server.ending import pass_on_cancellation
from storage.archive import archive, finished_archived
from storage.conversations import note_questions
from storage.custody_heads import CustodyHeads
from storage.import_tracking import track
from storage.journal import CustodyJournal, transition
from storage.journal_stream import JournalStream
from storage.machine_store import MachineStore

logger = logging.getLogger(__name__)

EVERY_S = 0.25
SIGN_EVERY_S = 20.0
EVICT_EVERY_S = 300.0
KEEP_FINISHED_S = 86_400.0
"""How long a finished machine stays in Redis."""
_BATCH = 200
_MOST_BATCHES = 50

_LOCK_SHARD = text("SELECT pg_try_advisory_xact_lock(hashtext('casewire.journal'), :shard)")


class Journalist:
    """Follows the streams, signs the heads, and lets finished machines leave Redis."""

    def __init__(
        self,
        *,
        store: MachineStore,
        stream: JournalStream,
        database: AsyncEngine,
        journal: CustodyJournal,
        heads: CustodyHeads,
    ) -> None:
        self._store = store
        self._stream = stream
        self._database = database
        self._journal = journal
        self._heads = heads
        self._signed: dict[str, int] | None = None

    async def follow(self) -> None:
        """Carry until cancelled.

        Raises:
            RedisError, SQLAlchemyError, Unavailable: A store does not answer; nothing is lost.
        """
        while True:
            pass_on_cancellation()
            # A pause also while entries come: a few at a time would keep the process busy with PostgreSQL.
            if await self.carry() < _BATCH:
                await asyncio.sleep(EVERY_S)

    async def carry(self) -> int:
        """Write one batch of every shard; returns how many entries arrived."""
        arrived = 0
        for shard in await self._stream.lengths():
            arrived += await self._carry_shard(shard)
        return arrived

    async def sign_regularly(self) -> None:
        """Sign what has grown, every `SIGN_EVERY_S` and when cancelled."""
        await self.sign(every=True)
        try:
            while True:
                await asyncio.sleep(SIGN_EVERY_S)
                await self.sign()
                pass_on_cancellation()
        finally:
            try:
                await self.sign()
            except (SQLAlchemyError, OSError):
                logger.exception("The last heads were not signed.", extra={"action": "custody.unsigned"})

    async def sign(self, *, every: bool = False) -> None:
        """Sign the heads of the chains that this process made longer, or of all that are not signed."""
        if not every and not self._journal.grown:
            return
        grown, self._journal.grown = self._journal.grown, set()
        try:
            if self._signed is None:
                self._signed = {head.topic: head.seq for head in await asyncio.to_thread(self._heads.read)}
            heads = await self._journal.heads(None if every else grown)
            new = {topic: head for topic, head in heads.items() if head[0] > self._signed.get(topic, 0)}
            await asyncio.to_thread(self._heads.sign, new)
            self._signed.update((topic, seq) for topic, (seq, _) in new.items())
        except BaseException:
            self._journal.grown |= grown
            raise

    async def evict_regularly(self) -> None:
        """Let machines leave that finished a day ago and that Postgres has."""
        while True:
            await self.evict(before=time.time() - KEEP_FINISHED_S)
            pass_on_cancellation()
            await asyncio.sleep(EVICT_EVERY_S)

    async def evict(self, *, before: float) -> int:
        """Evict the machines that finished before a Unix time; returns how many were let go."""
        gone = 0
        for _ in range(_MOST_BATCHES):
            finished = await self._store.finished(before=before, limit=_BATCH)
            async with self._database.connect() as connection:
                kept = await finished_archived(connection, finished)
            for machine in kept:
                await self._store.evict(machine)
            gone += len(kept)
            if len(kept) < _BATCH:
                break
        return gone

    async def _carry_shard(self, shard: int) -> int:
        async with self._database.begin() as connection:
            if not (await connection.execute(_LOCK_SHARD, {"shard": shard})).scalar_one():
                return 0
            entries = await self._stream.read(shard, _BATCH)
            records = [transition(each.topic, each.entry) for each in entries]
            await self._journal.append(connection, records)
            snapshots = [await self._store.load(m) for m in {r.data["machine"] for r in records}]
            spawners = {r.data["machine"]: r.data["actor"] for r in records if r.data["revision"] == 1}
            there = [snapshot for snapshot in snapshots if snapshot is not None]
            await archive(connection, there, spawners)
            await track(connection, there)
            await note_questions(connection, there)
        await self._stream.remove(shard, entries)
        return len(entries)
