"""What the tables hold of a case apart from its evidence, and its deletion from them."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.findings import forget_case
from storage.journal import LOCK as LOCK_TOPIC
from storage.journal import CustodyJournal, Record
from storage.sealed import forget_topics

_TOPICS = text(
    "SELECT DISTINCT topic FROM archived_machines WHERE topic LIKE 'import:%' OR topic LIKE 'case:%'"
)
_TOLD = text(
    "SELECT id FROM archived_machines WHERE kind = 'notification' "
    "AND snapshot #>> '{context,about}' = ANY(:topics) ORDER BY id"
)
_ARRIVED = text(
    """
    SELECT DISTINCT a.upload, coalesce(m.topic, 'case:' || a.case_id) FROM arrivals a
    LEFT JOIN archived_machines m ON m.id = a.upload WHERE a.case_id = :case ORDER BY 1
    """
)
_CONTENTS = text("SELECT contents FROM departures WHERE case_id = :case AND contents <> '{}' ORDER BY upload")
_MEMBERS = text("SELECT user_id FROM members WHERE case_id = :case ORDER BY user_id")
_ANSWERS = text("DELETE FROM request_keys WHERE answer ->> 'id' = :case")
_DELETE_TOLD = text(
    "DELETE FROM archived_machines WHERE kind = 'notification' "
    "AND snapshot #>> '{context,about}' = ANY(:topics)"
)
_DELETE_MACHINES = text("DELETE FROM archived_machines WHERE topic = ANY(:topics) AND id <> :machine")
_DELETE_LETTERS = text(
    "DELETE FROM webhook_letters l USING unnest(CAST(:topics AS text[])) AS of(topic) "
    "WHERE strpos(encode(l.body, 'escape'), '\"' || of.topic || '\"') > 0"
)
_DELETE_ARRIVALS = text("DELETE FROM arrivals WHERE case_id = :case RETURNING sha256")
_DELETE_CASE = text("DELETE FROM cases WHERE id = :case RETURNING id")


class Erasure:
    """The end of a case in PostgreSQL."""

    def __init__(self, database: AsyncEngine, journal: CustodyJournal) -> None:
        self._database = database
        self._journal = journal

    async def topics(self) -> list[str]:
        """Topics of cases whose machines are archived."""
        async with self._database.connect() as connection:
            return list((await connection.execute(_TOPICS)).scalars())

    async def told_about(self, topics: Sequence[str]) -> list[str]:
        """Notifications about what happened on the topics."""
        async with self._database.connect() as connection:
            return list((await connection.execute(_TOLD, {"topics": list(topics)})).scalars())

    async def arrived(self, case: str) -> list[tuple[str, str]]:
        """Uploads whose bytes the case still needs, with their topics."""
        async with self._database.connect() as connection:
            return [(row[0], row[1]) for row in await connection.execute(_ARRIVED, {"case": case})]

    async def contents(self, case: str) -> list[list[str]]:
        """Hashes of what each upload that is gone had brought."""
        async with self._database.connect() as connection:
            return [list(found) for found in (await connection.execute(_CONTENTS, {"case": case})).scalars()]

    async def erase(
        self, case: str, topics: Sequence[str], *, machine: str, actor: str, reason: str
    ) -> tuple[list[str], list[str]]:
        """Delete the case with members, persons of interest, votes, machines and what they told.

        Its own `machine` stays in the archive, and the chains of its topics as they are, with a record
        of the deletion. A case that is gone is left alone.

        Returns:
            Who had a role in it, and the hashes of contents that came for it at the last moment: nothing
            arrives for a case that is gone.
        """
        about = f"case:{case}"
        async with self._database.begin() as connection:
            for topic in sorted(topics):
                await connection.execute(LOCK_TOPIC, {"topic": topic})
            asked = {"case": case, "topics": list(topics), "machine": machine}
            members = list((await connection.execute(_MEMBERS, asked)).scalars())
            for statement in (_ANSWERS, _DELETE_TOLD, _DELETE_MACHINES, _DELETE_LETTERS):
                await connection.execute(statement, asked)
            await forget_topics(connection, topics)
            if (await connection.execute(_DELETE_CASE, asked)).scalar_one_or_none() is not None:
                data = {"what": "case deleted", "who": actor, "why": reason, "topics": list(topics)}
                record = Record(about, f"deletion:{machine}", "deletion", data, round(time.time(), 3))
                await self._journal.append(connection, [record])
            await forget_case(connection, case)
            arrived = list((await connection.execute(_DELETE_ARRIVALS, asked)).scalars())
        return members, arrived
