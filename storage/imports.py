"""Folders that are brought into cases, and how many of their files are in which state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Table, delete, insert, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from machines.import_files import UNSENT, UNSETTLED, FileState
from machines.importing_events import Tally
from storage.request_keys import Once, once
from storage.schema import Import, ImportCount, ImportFile

IMPORTS: Table = Import.metadata.tables["imports"]
FILES: Table = ImportFile.metadata.tables["import_files"]
COUNTS: Table = ImportCount.metadata.tables["import_counts"]


class UnknownImport(Exception):
    """There is no such import, or no such file in it."""

    def __init__(self, what: str = "import") -> None:
        super().__init__(f"there is no such {what}")


@dataclass(frozen=True)
class ImportRow:
    """An import as it is kept; how it goes is its machine's to say."""

    id: str
    case_id: str
    owner: str
    title: str
    topic: str
    version: int
    told: int
    over: bool
    last_arrival: datetime | None
    created_at: datetime


@dataclass(frozen=True)
class Counted:
    """Files of one state and kind; `busy_s` is what workers spent on them, `busy_s2` its squares' sum."""

    state: FileState
    kind: str
    files: int
    found: int
    bytes: int
    pages: int
    busy_s: float
    busy_s2: float


_IMPORT = [IMPORTS.c[name] for name in ImportRow.__dataclass_fields__]


def tally_of(counts: Sequence[Counted]) -> Tally:
    """The counts as people read them: what has arrived and waits for a machine is queued, too."""
    sums = dict.fromkeys(Tally.model_fields, 0)
    for counted in counts:
        name = "queued" if counted.state in ("received", "retrying") else counted.state
        sums[name] += counted.files
    return Tally(**sums)


def sums_of(counts: Sequence[Counted]) -> dict[str, int]:
    """Bytes of all files, of those that are `here`, of those that are `done`; pages; how many were found."""
    return {
        "bytes": sum(c.bytes for c in counts),
        "bytes_here": sum(c.bytes for c in counts if c.state not in UNSENT),
        "bytes_done": sum(c.bytes for c in counts if c.state not in UNSETTLED),
        "pages": sum(c.pages for c in counts),
        "found": sum(c.found for c in counts),
    }


class Imports:
    """Imports in PostgreSQL. Counts follow every change of a file, by triggers."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def create(
        self, machine: str, case_id: str, owner: str, title: str, topic: str, request: Once | None = None
    ) -> ImportRow:
        """Begin an import, once for a repeated request."""

        async def make() -> dict[str, Any]:
            await connection.execute(
                insert(IMPORTS).values(
                    id=machine, case_id=case_id, owner=owner, title=title, topic=topic, over=False
                )
            )
            return {"import": machine}

        async with self._database.begin() as connection:
            made, _ = await once(connection, request, make)
            row = await connection.execute(select(*_IMPORT).where(IMPORTS.c.id == made["import"]))
            return ImportRow(**row.mappings().one())

    async def get(self, machine: str) -> ImportRow:
        """One import.

        Raises:
            UnknownImport: There is none of that id.
        """
        async with self._database.connect() as connection:
            found = await connection.execute(select(*_IMPORT).where(IMPORTS.c.id == machine))
            row = found.mappings().one_or_none()
        if row is None:
            raise UnknownImport
        return ImportRow(**row)

    async def of_case(self, case_id: str) -> list[ImportRow]:
        """The imports of a case, the newest first."""
        query = (
            select(*_IMPORT)
            .where(IMPORTS.c.case_id == case_id)
            .order_by(IMPORTS.c.created_at.desc(), IMPORTS.c.id)
        )
        async with self._database.connect() as connection:
            return [ImportRow(**row) for row in (await connection.execute(query)).mappings()]

    async def unfinished(self) -> list[ImportRow]:
        """Imports whose machine may have something to hear, the oldest first."""
        query = (
            select(*_IMPORT)
            .where(or_(~IMPORTS.c.over, IMPORTS.c.version != IMPORTS.c.told))
            .order_by(IMPORTS.c.created_at, IMPORTS.c.id)
        )
        async with self._database.connect() as connection:
            return [ImportRow(**row) for row in (await connection.execute(query)).mappings()]

    async def note_told(self, machine: str, version: int, *, over: bool) -> None:
        """Its machine knows the counts of that version; `over` where it has come to rest."""
        query = update(IMPORTS).where(IMPORTS.c.id == machine).values(told=version, over=over)
        async with self._database.begin() as connection:
            await connection.execute(query)

    async def counts(self, imported: str) -> tuple[int, list[Counted]]:
        """The version of the list, and its files by state and kind, as of one moment.

        Raises:
            UnknownImport: There is none of that id.
        """
        columns = [COUNTS.c[name] for name in Counted.__dataclass_fields__]
        query = (
            select(IMPORTS.c.version, *columns)
            .select_from(IMPORTS.outerjoin(COUNTS, COUNTS.c.import_id == IMPORTS.c.id))
            .where(IMPORTS.c.id == imported)
        )
        async with self._database.connect() as connection:
            rows = [dict(row) for row in (await connection.execute(query)).mappings()]
        if not rows:
            raise UnknownImport
        version = int(rows[0]["version"])
        names = Counted.__dataclass_fields__
        return version, [Counted(**{n: row[n] for n in names}) for row in rows if row["files"]]

    async def correct_counts(self, imported: str) -> list[str]:
        """Count every file; where the kept counts say otherwise they are put right, as a new version.

        Returns:
            The states that were counted wrongly, sorted.
        """
        mine = {"import": imported}
        async with self._database.begin() as connection:
            await connection.execute(select(IMPORTS.c.id).where(IMPORTS.c.id == imported).with_for_update())
            wrong = sorted({state for (state,) in await connection.execute(_MISCOUNTED, mine)})
            if wrong:
                await connection.execute(delete(COUNTS).where(COUNTS.c.import_id == imported))
                await connection.execute(_COUNT_ANEW, mine)
                await connection.execute(
                    update(IMPORTS).where(IMPORTS.c.id == imported).values(version=IMPORTS.c.version + 1)
                )
        return wrong


_SUMS = (
    "SELECT import_id, state, kind, count(*) AS files, count(*) FILTER (WHERE found) AS found, "
    "sum(bytes) AS bytes, sum(pages) AS pages, sum(busy_s) AS busy_s, sum(busy_s * busy_s) AS busy_s2 "
    "FROM import_files WHERE import_id = :import GROUP BY 1, 2, 3"
)
_MISCOUNTED = text(
    f"WITH real AS ({_SUMS}), "
    "kept AS (SELECT * FROM import_counts WHERE import_id = :import AND files <> 0) "
    "SELECT coalesce(real.state, kept.state) FROM real FULL JOIN kept USING (state, kind) "
    "WHERE (real.files, real.found, real.bytes, real.pages) "
    "IS DISTINCT FROM (kept.files, kept.found, kept.bytes, kept.pages)"
)
_COUNT_ANEW = text(
    "INSERT INTO import_counts (import_id, state, kind, files, found, bytes, pages, busy_s, busy_s2) " + _SUMS
)
