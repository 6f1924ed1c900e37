"""Requests that are safe to repeat: what one has made is remembered under its key, in its transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, delete, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.schema import RequestKey

KEYS: Table = RequestKey.metadata.tables["request_keys"]


class KeyReused(Exception):
    """The key stands for another request of the same person."""

    def __init__(self) -> None:
        super().__init__("this idempotency key was used for a different request")


@dataclass(frozen=True)
class Once:
    """A request that may arrive again.

    Attributes:
        key: Chosen by the client, unique among the user's.
        fingerprint: Hash of what is asked for; another one under the same key is refused.
    """

    user: str
    key: str
    fingerprint: str


async def once(
    connection: AsyncConnection, request: Once | None, make: Callable[[], Awaitable[dict[str, Any]]]
) -> tuple[dict[str, Any], bool]:
    """What `make` tells of the thing it made (JSON values), and whether an earlier request had made it.

    Runs in the caller's transaction, so that key and thing are stored both or neither; of two
    requests at the same moment the second waits for the first. Keys are remembered for a day.

    Raises:
        KeyReused: The key belongs to another request.
    """
    if request is None:
        return await make(), False
    mine = (KEYS.c.user_id == request.user, KEYS.c.key == request.key)
    await connection.execute(
        delete(KEYS).where(KEYS.c.user_id == request.user, KEYS.c.at < text("now() - interval '1 day'"))
    )
    new = await connection.execute(
        insert(KEYS)
        .values(user_id=request.user, key=request.key, fingerprint=request.fingerprint, answer={})
        .on_conflict_do_nothing()
    )
    if not new.rowcount:
        row = (await connection.execute(select(KEYS.c.fingerprint, KEYS.c.answer).where(*mine))).one()
        if row.fingerprint != request.fingerprint:
            raise KeyReused
        return row.answer, True
    made = await make()
    await connection.execute(KEYS.update().where(*mine).values(answer=made))
    return made, False
