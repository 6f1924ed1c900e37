"""What people wrote in place of a run's title, summary and tags: versions that no run overwrites."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Table, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.evidence import UnknownEvidence, keep_found
from storage.journal import CustodyJournal, Record, canonical
from storage.schema import Edit

_tables = Edit.metadata.tables
EDITS: Table = _tables["edits"]
EVIDENCE: Table = _tables["evidence"]
USERS: Table = _tables["users"]

Part = Literal["title", "summary", "tags"]

_COLUMNS = (
    EDITS.c.part,
    EDITS.c.version,
    EDITS.c.value,
    EDITS.c.user_id,
    USERS.c.name,
    EDITS.c.restored,
    EDITS.c.at,
)


class UnknownVersion(Exception):
    """The part has no version of that number."""

    def __init__(self) -> None:
        super().__init__("there is no such version")


@dataclass(frozen=True)
class EditRow:
    """One version of a part.

    Attributes:
        version: 0 for what the newest run found.
        value: A title, a list of tags, or the sentences of a summary `{text, start, end, page}`.
        by: Id of who wrote it; "" for a run. `name` is theirs now, "" for a run or an account that is gone.
        restored: The version whose value was taken again, None where it is new.
    """

    part: Part
    version: int
    value: Any
    by: str
    name: str
    restored: int | None
    at: datetime


class EditedMeanwhile(Exception):
    """Somebody else's edit came first; `current` is what stands there now."""

    def __init__(self, part: Part, current: int, value: Any) -> None:
        super().__init__(
            f"this {part} has changed meanwhile: it is at version {current}; look at it, then edit again"
        )
        self.part = part
        self.current = current
        self.value = value


class Edits:
    """Versions in PostgreSQL; each is written into the chain of custody in the same transaction."""

    def __init__(self, database: AsyncEngine, journal: CustodyJournal) -> None:
        self._database = database
        self._journal = journal

    async def put(self, evidence: int, part: Part, value: Any, *, if_version: int, user: str) -> EditRow:
        """Make `value` the newest version, on top of `if_version`, 0 for what a run found.

        Writing what stands there already makes no version.

        Raises:
            UnknownEvidence: There is no such evidence.
            EditedMeanwhile: Another version is the newest.
        """
        return await self._put(evidence, part, value, None, if_version, user)

    async def restore(
        self, evidence: int, part: Part, version: int, *, if_version: int, user: str
    ) -> EditRow:
        """Make the value of an earlier version the newest one, otherwise as `put`.

        Raises:
            UnknownVersion: There is no such version.
        """
        return await self._put(evidence, part, None, version, if_version, user)

    async def history(self, evidence: int) -> list[EditRow]:
        """Every version of every part that was ever edited: by part, the newest first."""
        async with self._database.connect() as connection:
            return await _rows(connection, evidence)

    async def _put(
        self, evidence: int, part: Part, value: Any, restored: int | None, if_version: int, user: str
    ) -> EditRow:
        row = select(EVIDENCE.c.case_id, EVIDENCE.c.edited, EVIDENCE.c[part]).where(EVIDENCE.c.id == evidence)
        async with self._database.begin() as connection:
            there = (await connection.execute(row.with_for_update())).one_or_none()
            if there is None:
                raise UnknownEvidence(evidence)
            case, edited, before = there
            current = edited.get(part, 0)
            if if_version != current:
                raise EditedMeanwhile(part, current, before)
            if not current:
                await keep_found(connection, evidence, part, before)
            if restored is not None:
                found = [old for old in await _rows(connection, evidence, part) if old.version == restored]
                if not found:
                    raise UnknownVersion
                value = found[0].value
            if value == before:
                return (await _rows(connection, evidence, part))[0]
            values = {"evidence_id": evidence, "part": part, "version": current + 1, "user_id": user}
            await connection.execute(insert(EDITS).values(**values, value=value, restored=restored))
            await connection.execute(
                update(EVIDENCE)
                .where(EVIDENCE.c.id == evidence)
                .values({part: value, "edited": edited | {part: current + 1}})
            )
            record = Record(
                f"case:{case}",
                f"edit:{evidence}:{part}:{current + 1}",
                "edit",
                {
                    "who": user,
                    "evidence": evidence,
                    "part": part,
                    "version": current + 1,
                    "restored": restored,
                    "before": _digest(before),
                    "after": _digest(value),
                },
                time.time(),
            )
            await self._journal.append(connection, [record])
            return (await _rows(connection, evidence, part))[0]


async def _rows(connection: AsyncConnection, evidence: int, part: Part | None = None) -> list[EditRow]:
    query = (
        select(*_COLUMNS)
        .join(USERS, USERS.c.id == EDITS.c.user_id, isouter=True)
        .where(EDITS.c.evidence_id == evidence)
        .order_by(EDITS.c.part, EDITS.c.version.desc())
    )
    if part is not None:
        query = query.where(EDITS.c.part == part)
    return [
        EditRow(row.part, row.version, row.value, row.user_id, row.name or "", row.restored, row.at)
        for row in await connection.execute(query)
    ]


def _digest(value: Any) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()
