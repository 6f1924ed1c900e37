"""Evidence with tags of an earlier tagger is tagged again in small batches, by one of the servers."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.retag import retag_some
from server.by_turns import Rest, by_turns
from server.engine import Engine
from server.leaving import sender_of
from server.services import attached_services
from server.settings import Settings
from storage.cases import Cases
from storage.database import create_engine
from storage.evidence import EvidenceStore
from storage.outdated_tags import OutdatedTags
from storage.words import Words

EVERY_S = 15.0
BATCH = 20
"""So much each time: others who use the tables hardly notice."""
_TURN = "retagging-0-turn"
"""A lease by which the servers agree on who does it, in the shape of an effect id of shard 0."""


class Retagging:
    """Looks for such evidence every `EVERY_S`.

    Args:
        holder: Unique to this life of this process.
        rest: See `by_turns`.
    """

    def __init__(
        self, engine: Engine, database: AsyncEngine, *, holder: str, rest: Rest | None = None
    ) -> None:
        self._engine = engine
        self._outdated, self._cases = OutdatedTags(database), Cases(database)
        self._evidence, self._words = EvidenceStore(database), Words(database)
        self._send = sender_of(engine)
        self._holder = holder
        self._rest = rest

    async def run(self) -> None:
        """Look until cancelled.

        Raises:
            Unavailable, SQLAlchemyError: A store does not answer.
        """
        await by_turns(
            self._engine.store, _TURN, self._holder, self.look, every_s=EVERY_S, missed=4, rest=self._rest
        )

    async def look(self) -> None:
        """Tag one batch again, and have open pages read the evidence anew."""
        last, cases = await retag_some(
            self._outdated, evidence=self._evidence, words=self._words, limit=BATCH
        )
        for case in sorted(cases):
            if (machine := await self._cases.find_machine(case)) is not None:
                event_id = f"retagged:{case}:{last}"
                await self._send(machine, "changed", {"part": "evidence"}, event_id=event_id)


async def retag(settings: Settings, tell: Callable[[str], None]) -> None:
    """Tag all such evidence again, now.

    Raises:
        ServicesError: PostgreSQL or Redis cannot be found.
    """
    database = create_engine(attached_services(settings).database_url, pool_size=2)
    try:
        outdated, evidence, words = OutdatedTags(database), EvidenceStore(database), Words(database)
        after = done = 0
        while True:
            found = await retag_some(outdated, evidence=evidence, words=words, after=after, limit=BATCH)
            if not found[0]:
                break
            after, done = found[0], done + BATCH
            tell(f"tagged again up to evidence {after}")
        tell("all tags are of the present tagger" if done else "nothing to tag again")
    finally:
        await database.dispose()
