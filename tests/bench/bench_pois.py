"""What it costs to look for a person in a whole case, on the embedded PostgreSQL.

Run with `python -m tests.bench.bench_pois`; prints a Markdown table. Beside the search stands what no
search can do without: one look by the database for the surname in every passage.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from sqlalchemy import text

from handlers.poi_search import search_poi
from machines.poi_search import Searched, SearchPoi
from server.services import running_services
from server.settings import Settings
from storage.database import create_engine
from storage.evidence import EvidenceStore
from storage.migrate import upgrade
from storage.poi_mentions import PoiMentions
from storage.pois import Pois
from tests.case_rows import QuietJob, new_case, new_evidence

SIZES = (10_000, 100_000)
OF_EVIDENCE = 20
"""Chunks of one piece of evidence."""
NAMED_IN = 100
"""In one chunk of so many the person is named."""
TURNS = 3
_SYLLABLES = ("ba", "ce", "di", "fo", "gu", "ha", "le", "mi", "no", "pu", "ra", "se", "to", "vik", "lan")


async def fill(database: Any, case: str, chunks: int) -> None:
    """A case of generated passages of about a thousand characters."""
    chance = random.Random(chunks)
    words = ["".join(chance.choices(_SYLLABLES, k=chance.randint(1, 4))) for _ in range(5000)]
    store = EvidenceStore(database)
    insert = text(
        'INSERT INTO chunks (case_id, evidence_id, ordinal, page, start, "end", boxes, text)'
        " SELECT :case, :evidence, o, 0, 1000 * o, 1000 * o + length(t), '[]', t"
        " FROM unnest(CAST(:texts AS text[])) WITH ORDINALITY AS told(t, o)"
    )
    for number in range(chunks // OF_EVIDENCE):
        evidence = (await store.register(new_evidence(case, f"{case}{number}"))).id
        texts = []
        for _ in range(OF_EVIDENCE):
            passage = " ".join(chance.choices(words, k=160))
            if chance.random() < 1 / NAMED_IN:
                passage = f"{passage[:400]} Martha Quilling {passage[400:]}"
            texts.append(passage)
        async with database.begin() as connection:
            await connection.execute(insert, {"case": case, "evidence": evidence, "texts": texts})


async def timed(work: Callable[[], Awaitable[Any]]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = await work()
    return time.perf_counter() - began, result


async def measure(database: Any, case: str, chunks: int) -> list[str]:
    pois = Pois(database)
    poi = (await pois.add(case, "Martha Quilling", ["M. Q. Quilling"], "")).id

    async def told(_: str) -> None:
        return

    async def search() -> Searched:
        effect = SearchPoi(case, poi)
        return await search_poi(
            effect, QuietJob(), mentions=PoiMentions(database), pois=pois, tell_changed=told
        )

    async def look() -> int:
        query = text("SELECT count(*) FROM chunks WHERE case_id = :case AND text ILIKE '%quilling%'")
        async with database.connect() as connection:
            return int((await connection.execute(query, {"case": case})).scalar_one())

    first, found = await timed(search)
    again, looks = [], []
    for _ in range(TURNS):
        looks.append((await timed(look))[0])
        again.append((await timed(search))[0])
    seconds = statistics.median(again)
    return [
        f"{chunks:,}",
        f"{found.mentions:,} in {found.evidence:,}",
        f"{first:.2f}",
        f"{seconds:.2f}",
        f"{chunks / seconds:,.0f}",
        f"{statistics.median(looks):.2f}",
    ]


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="casewire-bench-", dir="/tmp") as folder:
        settings = Settings(data=Path(folder), redis_url=None, queue_url=None, database_url=None)
        async with running_services(settings) as services:
            await upgrade(services.database_url)
            database = create_engine(services.database_url)
            print("| passages | mentions in files | first search, s | again, s | passages/s | one look, s |")
            print("|---|---|---|---|---|---|")
            for size in SIZES:
                case = await new_case(database, f"case{size}")
                await fill(database, case, size)
                async with database.begin() as connection:
                    await connection.execute(text("ANALYZE"))
                print(f"| {' | '.join(await measure(database, case, size))} |", flush=True)
            await database.dispose()


if __name__ == "__main__":
    asyncio.run(main())
