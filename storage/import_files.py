"""The files of an import as a list in PostgreSQL: where each stands, and which is next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, case, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from machines.import_files import FileState, standing
from machines.snapshot import Snapshot
from storage.evidence import EVIDENCE
from storage.import_listing import Listing, kind_of_name, path_key, same_as, standing_of
from storage.imports import FILES, IMPORTS, ImportRow
from storage.quotas import Quotas

_UNLIMITED = Quotas()


@dataclass(frozen=True)
class FileRow:
    """One file of an import.

    Attributes:
        kind: By name, what time is estimated by.
        found: Not listed, but found inside another file.
        machine: Of its upload; one that is not there yet where the state is `received`.
        asker: Who asked for what its machine has not heard yet.
    """

    id: int
    import_id: str
    path: str
    bytes: int
    modified: float
    kind: str
    found: bool
    sha256: str
    state: FileState
    machine: str
    attempt: int
    revision: int
    evidence: int
    reason: str
    pages: int
    retryable: bool
    asker: str
    changed_at: datetime


_ROW = [FILES.c[name] for name in FileRow.__dataclass_fields__]


class ImportFiles:
    """Every method is one transaction; counts follow by triggers.

    Args:
        quotas: Into which what is received has to fit.
    """

    def __init__(self, database: AsyncEngine, quotas: Quotas = _UNLIMITED) -> None:
        self._database = database
        self._quotas = quotas

    async def add(self, imported: ImportRow, listed: Sequence[Listing], *, most_bytes: int) -> list[FileRow]:
        """Put files on the list, each path once, and tell where each stands, in the given order.

        Bytes that the case holds already are duplicates at once. A file that has not been received
        is listed anew as it is now; one that has been received stays as it was.

        Args:
            most_bytes: Largest file that is accepted.
        """
        keys = {path_key(each.path): each for each in listed}
        async with self._database.begin() as connection:
            await connection.execute(
                select(IMPORTS.c.id).where(IMPORTS.c.id == imported.id).with_for_update()
            )
            there = await self._there(connection, imported.case_id, {e.sha256 for e in listed if e.sha256})
            given = [(key, each, standing_of(each, there, most_bytes)) for key, each in keys.items()]
            await connection.execute(
                _LIST,
                {
                    "import": imported.id,
                    "paths": [each.path for _, each, _ in given],
                    "keys": [key for key, _, _ in given],
                    "sizes": [each.bytes for _, each, _ in given],
                    "times": [each.modified for _, each, _ in given],
                    "kinds": [kind_of_name(each.path) for _, each, _ in given],
                    "hashes": [each.sha256 for _, each, _ in given],
                    "states": [stands.state for *_, stands in given],
                    "evidence": [stands.evidence for *_, stands in given],
                    "reasons": [stands.reason for *_, stands in given],
                    "retryable": [stands.retryable for *_, stands in given],
                },
            )
            rows = await connection.execute(
                select(FILES.c.path_key, *_ROW).where(
                    FILES.c.import_id == imported.id, FILES.c.path_key.in_(keys)
                )
            )
            found = {row.pop("path_key"): FileRow(**row) for row in map(dict, rows.mappings())}
        return [found[path_key(each.path)] for each in listed]

    async def files(
        self, imported: str, states: Sequence[FileState] = (), *, after: int = 0, limit: int = 100
    ) -> list[FileRow]:
        """Files in the order of their numbers, those above `after`; of any state where none is named."""
        query = select(*_ROW).where(FILES.c.import_id == imported, FILES.c.id > after)
        if states:
            query = query.where(FILES.c.state.in_(states))
        async with self._database.connect() as connection:
            rows = await connection.execute(query.order_by(FILES.c.id).limit(limit))
            return [FileRow(**row) for row in rows.mappings()]

    async def some(self, imported: str, numbers: Sequence[int]) -> dict[int, FileRow]:
        """Those of the files that belong to the import, by number."""
        query = select(*_ROW).where(FILES.c.import_id == imported, FILES.c.id.in_(numbers))
        async with self._database.connect() as connection:
            return {row["id"]: FileRow(**row) for row in (await connection.execute(query)).mappings()}

    async def receive(
        self, case_id: str, imported: str, arrived: Sequence[tuple[int, str, int, str]]
    ) -> None:
        """Note contents that are stored: (number, SHA-256, bytes, machine to be) of each.

        What the case holds already becomes a duplicate; what was received before stays as it is. Batches
        that come at once fit in one after the other.

        Raises:
            OverQuota: They do not fit; none is noted.
        """
        async with self._database.begin() as connection:
            there = await self._there(connection, case_id, {sha256 for _, sha256, _, _ in arrived})
            await connection.execute(
                _RECEIVE,
                {
                    "import": imported,
                    "ids": [number for number, *_ in arrived],
                    "hashes": [sha256 for _, sha256, _, _ in arrived],
                    "sizes": [size for _, _, size, _ in arrived],
                    "machines": ["" if sha256 in there else machine for _, sha256, _, machine in arrived],
                    "evidence": [there.get(sha256, (0, ""))[0] for _, sha256, _, _ in arrived],
                    "reasons": [
                        same_as(there[sha256][1]) if sha256 in there else "" for _, sha256, _, _ in arrived
                    ],
                },
            )
            more = sum(size for _, sha256, size, _ in arrived if sha256 not in there)
            if more:
                owner = select(IMPORTS.c.owner).where(IMPORTS.c.id == imported)
                user = str(await connection.scalar(owner))
                await self._quotas.check(connection, case_id, user, more, noted=True)
            await _note_arrival(connection, imported)

    async def note_arrival(self, imported: str) -> None:
        """Bytes have come in."""
        async with self._database.begin() as connection:
            await _note_arrival(connection, imported)

    async def give_machine(self, imported: str, number: int, machine: str) -> str:
        """Note which machine a waiting file will have, unless it has one; returns the one it has."""
        mine = (FILES.c.import_id == imported, FILES.c.id == number)
        async with self._database.begin() as connection:
            await connection.execute(
                update(FILES)
                .where(*mine, FILES.c.machine == "", FILES.c.state == "waiting")
                .values(machine=machine)
            )
            return str(await connection.scalar(select(FILES.c.machine).where(*mine)) or "")

    async def fail(self, imported: str, failed: Sequence[tuple[int, str]], *, retryable: bool = True) -> None:
        """Note files that cannot be had, with the reason; those that have a machine tell for themselves."""
        async with self._database.begin() as connection:
            await connection.execute(
                _FAIL,
                {
                    "import": imported,
                    "ids": [number for number, _ in failed],
                    "reasons": [reason for _, reason in failed],
                    "retryable": retryable,
                },
            )

    async def begun(self, imported: str, numbers: Sequence[int]) -> None:
        """Received files now have their machine."""
        await self._change(imported, numbers, ("received",), state="queued")

    async def heard(
        self, imported: str, number: int, state: FileState, reason: str, *, retryable: bool
    ) -> None:
        """A file's machine cannot do what was asked for: the file stands as it did."""
        await self._change(
            imported, [number], ("retrying",), state=state, reason=reason, asker="", retryable=retryable
        )

    async def ask_again(self, imported: str, number: int, actor: str) -> int:
        """Mark failed files that can be tried again, all of them where `number` is 0; returns how many.

        One that never came is to be sent anew, another waits for its machine to hear.
        """
        wanted = and_(FILES.c.import_id == imported, FILES.c.state == "failed", FILES.c.retryable)
        if number:
            wanted = and_(wanted, FILES.c.id == number)
        query = (
            update(FILES)
            .where(wanted)
            .values(
                state=case((FILES.c.machine == "", "waiting"), else_="retrying"),
                asker=actor,
                reason="",
                changed_at=func.now(),
            )
        )
        async with self._database.begin() as connection:
            return int((await connection.execute(query)).rowcount)

    async def end(self, imported: str) -> list[tuple[int, int]]:
        """Cancel what has no machine; what was to be tried again has failed as before.

        Returns:
            Number and attempt of each file that will have no machine, whose bytes may be here.
        """
        mine = FILES.c.import_id == imported
        unborn = or_(FILES.c.state == "received", and_(FILES.c.state == "waiting", FILES.c.machine == ""))
        async with self._database.begin() as connection:
            ended = await connection.execute(
                update(FILES)
                .where(mine, unborn)
                .values(state="cancelled", machine="", changed_at=func.now())
                .returning(FILES.c.id, FILES.c.attempt)
            )
            numbers = [(row[0], row[1]) for row in ended]
            await connection.execute(
                update(FILES).where(mine, FILES.c.state == "retrying").values(state="failed", asker="")
            )
        return numbers

    async def replace(self, file: FileRow, *, state: FileState, machine: str) -> None:
        """Give a file whose machine was lost with its store a new attempt."""
        query = (
            update(FILES)
            .where(FILES.c.id == file.id, FILES.c.machine == file.machine)
            .values(
                state=state, machine=machine, attempt=file.attempt + 1, revision=0, machine_at=0.0,
                changed_at=func.now(),
            )
        )  # fmt: skip
        async with self._database.begin() as connection:
            await connection.execute(query)

    async def give_up(self, file: FileRow, reason: str) -> None:
        """A file whose machine was lost, and that cannot be sent again, has failed."""
        query = (
            update(FILES)
            .where(FILES.c.id == file.id, FILES.c.machine == file.machine)
            .values(state="failed", reason=reason, retryable=False, changed_at=func.now())
        )
        async with self._database.begin() as connection:
            await connection.execute(query)

    async def correct(self, file: FileRow, snapshot: Snapshot) -> bool:
        """Put a file where its machine stands, unless it has moved since it was read; whether it was put."""
        now = standing(snapshot)
        query = (
            update(FILES)
            .where(
                FILES.c.id == file.id,
                FILES.c.machine == file.machine,
                FILES.c.revision == file.revision,
                FILES.c.state == file.state,
            )
            .values(
                state=now.state,
                evidence=now.evidence,
                reason=now.reason,
                pages=now.pages,
                busy_s=now.busy_s,
                retryable=now.retryable,
                revision=snapshot.revision,
                machine_at=snapshot.updated_at,
                changed_at=func.now(),
            )
        )
        async with self._database.begin() as connection:
            return bool((await connection.execute(query)).rowcount)

    async def unmoved(self, imported: str, *, for_s: float, after: int, limit: int) -> list[FileRow]:
        """Files that should have a machine at work and have not changed for so long, by number."""
        query = (
            select(*_ROW)
            .where(
                FILES.c.import_id == imported,
                FILES.c.state.in_(("waiting", "sending", "queued", "working")),
                FILES.c.machine != "",
                FILES.c.id > after,
                FILES.c.changed_at < func.now() - text(f"interval '{for_s} seconds'"),
            )
            .order_by(FILES.c.id)
            .limit(limit)
        )
        async with self._database.connect() as connection:
            return [FileRow(**row) for row in (await connection.execute(query)).mappings()]

    async def _there(
        self, connection: AsyncConnection, case_id: str, hashes: set[str]
    ) -> dict[str, tuple[int, str]]:
        """Evidence of the case by SHA-256: its number and title; what waits to be deleted is not there."""
        if not hashes:
            return {}
        rows = await connection.execute(
            select(EVIDENCE.c.sha256, EVIDENCE.c.id, EVIDENCE.c.title).where(
                EVIDENCE.c.case_id == case_id, EVIDENCE.c.sha256.in_(hashes), EVIDENCE.c.hidden_at.is_(None)
            )
        )
        return {sha256: (number, title) for sha256, number, title in rows}

    async def _change(
        self, imported: str, numbers: Sequence[int], states: Sequence[str], **values: Any
    ) -> None:
        query = (
            update(FILES)
            .where(FILES.c.import_id == imported, FILES.c.id.in_(numbers), FILES.c.state.in_(states))
            .values(**values, changed_at=func.now())
        )
        async with self._database.begin() as connection:
            await connection.execute(query)


# By arrays: a statement takes no more than 32,767 parameters.
_LIST = text(
    "INSERT INTO import_files AS f (import_id, path, path_key, bytes, modified, kind, found, sha256, state, "
    "machine, attempt, revision, machine_at, evidence, reason, pages, busy_s, retryable, asker) "
    "SELECT :import, path, path_key, bytes, modified, kind, false, sha256, state, '', 1, 0, 0, evidence, "
    "reason, 0, 0, retryable, '' FROM unnest(CAST(:paths AS text[]), CAST(:keys AS text[]), "
    "CAST(:sizes AS bigint[]), CAST(:times AS float8[]), CAST(:kinds AS text[]), CAST(:hashes AS text[]), "
    "CAST(:states AS text[]), CAST(:evidence AS bigint[]), CAST(:reasons AS text[]), "
    "CAST(:retryable AS bool[])) "
    "AS l(path, path_key, bytes, modified, kind, sha256, state, evidence, reason, retryable) "
    "ON CONFLICT (import_id, path_key) DO UPDATE SET bytes = excluded.bytes, modified = excluded.modified, "
    "sha256 = excluded.sha256, state = excluded.state, evidence = excluded.evidence, "
    "reason = excluded.reason, retryable = excluded.retryable, changed_at = now() "
    "WHERE f.machine = '' AND (f.state = 'waiting' OR f.state = 'failed' AND f.retryable) "
    "AND (f.bytes, f.modified, f.sha256, f.state, f.reason) IS DISTINCT FROM "
    "(excluded.bytes, excluded.modified, excluded.sha256, excluded.state, excluded.reason)"
)
_RECEIVE = text(
    "UPDATE import_files AS f SET sha256 = a.sha256, bytes = a.bytes, machine = a.machine, "
    "evidence = a.evidence, reason = a.reason, asker = '', changed_at = now(), "
    "state = CASE WHEN a.machine = '' THEN 'duplicate' ELSE 'received' END "
    "FROM unnest(CAST(:ids AS bigint[]), CAST(:hashes AS text[]), CAST(:sizes AS bigint[]), "
    "CAST(:machines AS text[]), CAST(:evidence AS bigint[]), CAST(:reasons AS text[])) "
    "AS a(id, sha256, bytes, machine, evidence, reason) "
    "WHERE f.id = a.id AND f.import_id = :import AND f.state = 'waiting' AND f.machine = ''"
)
_FAIL = text(
    "UPDATE import_files AS f SET state = 'failed', reason = a.reason, retryable = :retryable, "
    "asker = '', changed_at = now() "
    "FROM unnest(CAST(:ids AS bigint[]), CAST(:reasons AS text[])) AS a(id, reason) "
    "WHERE f.id = a.id AND f.import_id = :import AND f.state = 'waiting' AND f.machine = ''"
)


async def _note_arrival(connection: AsyncConnection, imported: str) -> None:
    await connection.execute(
        update(IMPORTS)
        .where(
            IMPORTS.c.id == imported,
            or_(
                IMPORTS.c.last_arrival.is_(None),
                IMPORTS.c.last_arrival < func.now() - text("interval '1 second'"),
            ),
        )
        .values(last_arrival=func.now())
    )
