"""Rows that most tests of evidence need: a user-less case, evidence in it, a job nobody watches."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.chunking import cut
from handlers.job import Cancelled
from storage.evidence import EvidenceStore, NewEvidence
from storage.schema import DIMENSIONS, Case


async def new_case(engine: AsyncEngine, case: str = "case1") -> str:
    async with engine.begin() as connection:
        await connection.execute(
            insert(Case.metadata.tables["cases"]).values(
                id=case, title=case, description="", machine=f"case-0-{case}"
            )
        )
    return case


def new_evidence(case: str, sha256: str, *, upload: str = "upload-0-a", **more: object) -> NewEvidence:
    values: dict[str, object] = {
        "case_id": case,
        "sha256": sha256,
        "upload": upload,
        "filename": f"{sha256}.txt",
        "title": sha256,
        "bytes": 1,
        "media_type": "text/plain",
        "uploaded_by": "u1",
    }
    return NewEvidence(**(values | more))  # type: ignore[arg-type]


async def store(engine: AsyncEngine, case: str, name: str, text: str, **more: object) -> int:
    """Evidence with its text cut into chunks; returns its id."""
    evidence = EvidenceStore(engine)
    row = await evidence.register(new_evidence(case, name, **more))
    await evidence.store_text(row.id, title=name, text=text, pages=[], meta={}, chunks=cut(text))
    return row.id


def unit(*values: float) -> np.ndarray:
    """A unit vector whose first coordinates are proportional to `values`."""
    vector = np.zeros(DIMENSIONS, dtype=np.float32)
    vector[: len(values)] = values
    return vector / np.linalg.norm(vector)


@dataclass
class QuietJob:
    """A job that remembers what it was told and may be cancelled after some looks."""

    id: str = "upload-0-a:1:0"
    machine: str = "upload-0-a"
    topic: str = "case:case1"
    attempt: int = 1
    looks_left: int = 1_000_000
    told: list[tuple[int, int, str]] = field(default_factory=list)

    async def progress(self, done: int, total: int, unit: str) -> None:
        self.told.append((done, total, unit))
        await self.check()

    async def token(self, text: str, position: int) -> None:
        raise AssertionError("ingest streams no text")

    async def check(self) -> None:
        self.looks_left -= 1
        if self.looks_left < 0:
            raise Cancelled
