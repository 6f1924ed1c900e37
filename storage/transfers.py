"""What is being uploaded, in PostgreSQL: one row for each sequence of bytes that a sender appends to.

A row is `open` while it takes bytes, `taken` once its upload machine has been told that they are
all there, `gone` once they are of no use. The bytes themselves are in `storage.parts`.

TransferError
├── UnknownTransfer   there is none of that name
├── OverQuota         it does not fit within what its person or its case may hold
└── UnfitPieces       these cannot be put together
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Table, and_, case, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.parts import Place
from storage.quotas import OverQuota, Quotas, Used
from storage.schema import TransferRecord

__all__ = ["OverQuota", "Quotas", "Transfer", "Transfers", "UnfitPieces", "UnknownTransfer"]

TRANSFERS: Table = TransferRecord.metadata.tables["transfers"]

Kind = Literal["whole", "partial", "final"]
State = Literal["open", "taken", "gone"]

KEEP_S = 86_400.0
"""How long after its last byte a transfer can be resumed, and how long its end is remembered then."""

_COLUMNS = [column for column in TRANSFERS.c if column.name not in ("created_at", "taken_at")]


class UnknownTransfer(Exception):
    """There is no such transfer, or it has long been forgotten."""

    def __init__(self) -> None:
        super().__init__("there is no such upload")


class UnfitPieces(Exception):
    """What is to be put together is not there, not whole, or used otherwise; the text says what."""


@dataclass(frozen=True)
class Transfer:
    """One sequence of bytes on its way.

    Attributes:
        topic: Of its upload machine, or where that will be; `case_id` follows from it.
        machine: The upload machine that it belongs to; "" for a piece without one.
        kind: The `whole` file, one `partial` piece of it, or the `final` one that joins pieces.
        length: How many bytes there will be; None while that is not known.
        received: How many were there after the last request that ended.
        details: What its client told about the file, as it told it.
        fingerprint: By which the client knows the file again.
        sha256: What the client says it will be, hexadecimal; "" where it says nothing.
        pieces: Ids of what a `final` one joins, in their order.
        whole: Of a `partial` one: the `final` one that has joined it.
        stored: SHA-256 under which the bytes are, or are about to be, in the blob store.
    """

    id: str
    case_id: str
    user_id: str
    topic: str
    machine: str
    kind: Kind
    expires_at: datetime
    length: int | None = None
    details: str = ""
    fingerprint: str = ""
    sha256: str = ""
    pieces: list[str] = field(default_factory=list)
    whole: str = ""
    stored: str = ""
    received: int = 0
    state: State = "open"

    @property
    def group(self) -> str:
        """The group of its part."""
        return self.machine or self.id

    @property
    def place(self) -> Place:
        """Where its bytes come in."""
        return Place(self.group, self.id)


class Transfers:
    """All transfers of the instance."""

    def __init__(self, database: AsyncEngine, quotas: Quotas) -> None:
        self._database = database
        self.quotas = quotas

    async def add(self, new: Transfer, *, anew: bool = False) -> Transfer:
        """Note a transfer, or find the one of the same id.

        Args:
            anew: Instead of the one of the same id.

        Raises:
            OverQuota: Its length does not fit.
        """
        async with self._database.begin() as connection:
            if anew:
                await connection.execute(delete(TRANSFERS).where(TRANSFERS.c.id == new.id))
            there = await _find(connection, new.id)
            if there is None:
                await self.quotas.check(connection, new.case_id, new.user_id, new.length or 0)
                there = await _insert(connection, new)
        return there

    async def join(self, new: Transfer) -> Transfer:
        """Note a `final` transfer of whole pieces, or find the one that has joined the same pieces.

        Its length is theirs; they are taken.

        Raises:
            UnfitPieces: A piece is missing, of another case, not whole, not a piece, or joined otherwise.
        """
        async with self._database.begin() as connection:
            rows = await connection.execute(
                select(*_COLUMNS)
                .where(TRANSFERS.c.id.in_(new.pieces))
                .order_by(TRANSFERS.c.id)
                .with_for_update()
            )
            found = {row["id"]: Transfer(**row) for row in rows.mappings()}
            pieces = [found.get(piece) for piece in new.pieces]
            joined = {piece.whole for piece in pieces if piece is not None}
            if joined and joined != {""}:
                earlier = await _find(connection, joined.pop()) if len(joined) == 1 else None
                if earlier is None or earlier.pieces != new.pieces:
                    raise UnfitPieces("a part of it was joined with others already")
                return earlier
            length = 0
            for piece in pieces:
                if piece is None or piece.case_id != new.case_id or piece.state == "gone":
                    raise UnfitPieces("a part of it is not there (any more)")
                if piece.kind != "partial" or piece.machine not in ("", new.machine):
                    raise UnfitPieces("a part of it belongs to another upload")
                if piece.length is None or piece.received != piece.length:
                    raise UnfitPieces("a part of it has not arrived as a whole yet")
                length += piece.length
            made = await _insert(connection, replace(new, length=length, received=length))
            taken = TRANSFERS.c.id.in_(new.pieces)
            await connection.execute(
                update(TRANSFERS).where(taken).values(state="taken", whole=new.id, taken_at=func.now())
            )
        return made

    async def joined(self, pieces: Sequence[str]) -> Transfer | None:
        """The one that has joined these pieces in this order, if there is one."""
        async with self._database.connect() as connection:
            first = await _find(connection, pieces[0])
            found = await _find(connection, first.whole) if first is not None and first.whole else None
        return found if found is not None and found.pieces == list(pieces) else None

    async def get(self, transfer: str) -> Transfer:
        """One transfer.

        Raises:
            UnknownTransfer: There is none.
        """
        async with self._database.connect() as connection:
            found = await _find(connection, transfer)
        if found is None:
            raise UnknownTransfer
        return found

    async def several(self, transfers: Sequence[str]) -> list[Transfer]:
        """These transfers, in this order.

        Raises:
            UnknownTransfer: One is not there.
        """
        return [await self.get(transfer) for transfer in transfers]

    async def of_machine(self, machine: str) -> list[Transfer]:
        """What an upload machine has that is not gone."""
        mine = and_(TRANSFERS.c.machine == machine, TRANSFERS.c.state != "gone")
        async with self._database.connect() as connection:
            rows = await connection.execute(select(*_COLUMNS).where(mine).order_by(TRANSFERS.c.id))
            return [Transfer(**row) for row in rows.mappings()]

    async def set_length(self, transfer: Transfer, length: int) -> Transfer:
        """Fix the length of one whose length was not known.

        Raises:
            OverQuota: It does not fit.
        """
        async with self._database.begin() as connection:
            more = length - transfer.received
            await self.quotas.check(connection, transfer.case_id, transfer.user_id, more)
            await connection.execute(
                update(TRANSFERS)
                .where(TRANSFERS.c.id == transfer.id, TRANSFERS.c.length.is_(None))
                .values(length=length)
            )
        return await self.get(transfer.id)

    async def check_room(self, case_id: str, user: str, more: int) -> None:
        """See that so many more bytes fit, for what comes without a transfer.

        Raises:
            OverQuota: They do not.
        """
        async with self._database.begin() as connection:
            await self.quotas.check(connection, case_id, user, more)

    async def used(self, case_id: str, user: str) -> list[Used]:
        """How much is used of each quota that there is."""
        async with self._database.connect() as connection:
            return await self.quotas.used(connection, case_id, user)

    async def room_for(self, transfer: Transfer) -> int | None:
        """How many more bytes fit into the quotas; None where there are none."""
        async with self._database.begin() as connection:
            return await self.quotas.room(connection, transfer.case_id, transfer.user_id)

    async def note(self, transfer: Transfer, received: int, expires_at: datetime) -> None:
        """How much is there of one, and that all of its upload lasts until then at least."""
        mine = TRANSFERS.c.id == transfer.id
        if transfer.machine:
            mine = TRANSFERS.c.machine == transfer.machine
        received_here = case((TRANSFERS.c.id == transfer.id, received), else_=TRANSFERS.c.received)
        later = func.greatest(TRANSFERS.c.expires_at, expires_at)
        open_ones = and_(mine, TRANSFERS.c.state == "open")
        await self._set(open_ones, received=received_here, expires_at=later)

    async def prolong(self, transfer: Transfer, expires_at: datetime) -> None:
        """Keep one until then."""
        await self._set(TRANSFERS.c.id == transfer.id, expires_at=expires_at)

    async def note_stored(self, transfer: str, sha256: str) -> None:
        """The address at which its bytes are about to be."""
        await self._set(TRANSFERS.c.id == transfer, stored=sha256)

    async def take(self, transfer: str) -> None:
        """Its machine knows that all is there."""
        await self._set(
            and_(TRANSFERS.c.id == transfer, TRANSFERS.c.state == "open"), state="taken", taken_at=func.now()
        )

    async def drop(self, transfer: str) -> None:
        """One is of no use any more."""
        await self._set(TRANSFERS.c.id == transfer, state="gone")

    async def drop_of(
        self, machine: str, *, but: Sequence[str] = (), kinds: Sequence[Kind] = ()
    ) -> list[Transfer]:
        """What an upload machine has is of no use any more, but for these; tells what that was."""
        mine = and_(TRANSFERS.c.machine == machine, TRANSFERS.c.state != "gone", TRANSFERS.c.id.not_in(but))
        if kinds:
            mine = and_(mine, TRANSFERS.c.kind.in_(kinds))
        async with self._database.begin() as connection:
            rows = await connection.execute(
                update(TRANSFERS).where(mine).values(state="gone").returning(*_COLUMNS)
            )
            return [Transfer(**row) for row in rows.mappings()]

    async def open_of(
        self, case_id: str, user: str, *, machine: str = "", fingerprint: str = ""
    ) -> list[Transfer]:
        """What a person can resume in a case, newest first, a hundred at most."""
        mine = and_(
            TRANSFERS.c.case_id == case_id,
            TRANSFERS.c.user_id == user,
            TRANSFERS.c.state == "open",
            TRANSFERS.c.expires_at > func.now(),
        )
        if machine:
            mine = and_(mine, TRANSFERS.c.machine == machine)
        if fingerprint:
            mine = and_(mine, TRANSFERS.c.fingerprint == fingerprint)
        async with self._database.connect() as connection:
            rows = await connection.execute(
                select(*_COLUMNS)
                .where(mine)
                .order_by(TRANSFERS.c.created_at.desc(), TRANSFERS.c.id)
                .limit(100)
            )
            return [Transfer(**row) for row in rows.mappings()]

    async def expired(self, limit: int) -> list[Transfer]:
        """Open and taken ones that nobody has to keep any longer, the oldest first."""
        late = and_(TRANSFERS.c.expires_at < func.now(), TRANSFERS.c.state != "gone")
        async with self._database.connect() as connection:
            rows = await connection.execute(
                select(*_COLUMNS).where(late).order_by(TRANSFERS.c.expires_at).limit(limit)
            )
            return [Transfer(**row) for row in rows.mappings()]

    async def known_groups(self, groups: Sequence[str]) -> set[str]:
        """Which of these groups of parts belong to a transfer that is not gone."""
        mine = func.coalesce(func.nullif(TRANSFERS.c.machine, ""), TRANSFERS.c.id)
        async with self._database.connect() as connection:
            rows = await connection.execute(
                select(mine).where(mine.in_(list(groups)), TRANSFERS.c.state != "gone").distinct()
            )
            return set(rows.scalars())

    async def forget_gone(self) -> int:
        """Delete the rows of those that ended long ago; returns how many."""
        long_ago = func.now() - text(f"interval '{KEEP_S:.0f} seconds'")
        async with self._database.begin() as connection:
            done = await connection.execute(
                delete(TRANSFERS).where(TRANSFERS.c.state == "gone", TRANSFERS.c.expires_at < long_ago)
            )
        return done.rowcount

    async def _set(self, which: ColumnElement[bool], **values: Any) -> None:
        async with self._database.begin() as connection:
            await connection.execute(update(TRANSFERS).where(which).values(**values))


async def _find(connection: AsyncConnection, transfer: str) -> Transfer | None:
    rows = await connection.execute(select(*_COLUMNS).where(TRANSFERS.c.id == transfer))
    row = rows.mappings().one_or_none()
    return None if row is None else Transfer(**row)


async def _insert(connection: AsyncConnection, new: Transfer) -> Transfer:
    await connection.execute(upsert(TRANSFERS).values(asdict(new)).on_conflict_do_nothing())
    made = await _find(connection, new.id)
    assert made is not None
    return made
