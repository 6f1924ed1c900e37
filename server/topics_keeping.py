"""Topics and similar documents are made anew, in the background, when a case has grown."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.topics import alike, topics_of
from server.by_turns import Rest, by_turns
from server.engine import Engine
from server.leaving import sender_of
from storage.cases import Cases
from storage.machine_store import MachineStore
from storage.topics import Topics

EVERY_S = 60.0
AT_ONCE = 4
"""Cases of one round; the others wait for the next."""

_TURN = "topics-0-turn"


class TopicsKeeping:
    """Looks every `every_s`; of many servers one works.

    Args:
        tell: Has the open pages of a case read its topics anew.
        holder: Unique to this life of this process.
        rest: See `by_turns`.
    """

    def __init__(
        self,
        store: MachineStore,
        topics: Topics,
        tell: Callable[[str], Awaitable[None]],
        *,
        holder: str,
        every_s: float = EVERY_S,
        rest: Rest | None = None,
    ) -> None:
        self._store = store
        self._topics = topics
        self._tell = tell
        self._holder = holder
        self._every_s = every_s
        self._rest = rest

    async def run(self) -> None:
        """Work until cancelled.

        Raises:
            Unavailable, SQLAlchemyError: A store does not answer.
        """
        # A long round of one large case is no reason for another server to begin the same.
        await by_turns(
            self._store,
            _TURN,
            self._holder,
            self.look,
            every_s=self._every_s,
            missed=10,
            rest=self._rest,
        )

    async def look(self) -> int:
        """One round; of how many cases the topics were made."""
        due = await self._topics.due(limit=AT_ONCE)
        for case in due:
            documents = await self._topics.documents(case)
            before = await self._topics.members(case)
            topics = await asyncio.to_thread(topics_of, documents, before)
            near = await asyncio.to_thread(alike, documents)
            await self._topics.replace(case, topics, near, evidence=len(documents.ids))
            await self._tell(case)
        return len(due)


def topics_keeping_of(
    engine: Engine, database: AsyncEngine, *, holder: str, rest: Rest | None = None
) -> TopicsKeeping:
    """Keeping that tells a case's machine; `rest` as in `by_turns`."""
    send, cases = sender_of(engine), Cases(database)

    async def tell(case: str) -> None:
        if (machine := await cases.find_machine(case)) is not None:
            event_id = f"topics:{case}:{uuid4().hex}"
            await send(machine, "changed", {"part": "evidence"}, event_id=event_id)

    return TopicsKeeping(engine.store, Topics(database), tell, holder=holder, rest=rest)
