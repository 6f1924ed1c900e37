"""Which evidence needs which content: its own bytes, and what was made from them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

_USED = text(
    "SELECT id, case_id, filename, sha256 AS address FROM evidence"
    " UNION ALL"
    " SELECT id, case_id, filename, made ->> 'sha256' FROM evidence,"
    " jsonb_array_elements(CASE jsonb_typeof(meta -> 'derived') WHEN 'array' THEN meta -> 'derived'"
    " ELSE '[]' END) AS made"
)


@dataclass(frozen=True)
class Use:
    """Evidence, and the address of a content that it needs."""

    evidence: int
    case: str
    filename: str
    sha256: str


async def blob_uses(database: AsyncEngine) -> AsyncIterator[Use]:
    """Every use of a content, in no order."""
    async with database.connect() as connection:
        async for row in await connection.stream(_USED):
            yield Use(*row)
