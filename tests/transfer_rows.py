"""Transfers that tests begin: a person and a case, and parts with bytes in them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.parts import PartStore
from storage.schema import User
from storage.transfers import Transfer, Transfers
from tests.case_rows import new_case


async def new_person(engine: AsyncEngine, user: str = "u1") -> str:
    async with engine.begin() as connection:
        await connection.execute(
            insert(User.metadata.tables["users"]).values(
                id=user, email=f"{user}@example.org", name=user, password_hash="-", is_admin=False
            )
        )
    return user


async def case_and_person(engine: AsyncEngine) -> None:
    """`case1` and `u1`, to whom all transfers here belong."""
    await new_case(engine)
    await new_person(engine)


def transfer(name: str, length: int | None = 5, *, machine: str = "", **more: Any) -> Transfer:
    """One of `u1` in `case1`, not yet stored."""
    made = Transfer(
        name, "case1", "u1", "case:case1", machine, "whole", datetime.now(UTC) + timedelta(days=1), length
    )
    return replace(made, **more)


async def sent(transfers: Transfers, parts: PartStore, new: Transfer, content: bytes) -> Transfer:
    """Store a transfer whose bytes have arrived."""
    there = await transfers.add(new)
    writer = parts.open(there.place)
    writer.write(content)
    writer.close()
    await transfers.note(there, len(content), there.expires_at)
    return await transfers.get(there.id)
