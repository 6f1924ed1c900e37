"""What a search by Detective mode costs in two large cases, stage by stage, on the embedded PostgreSQL.

Run with `python -m tests.bench.bench_detective`; prints a Markdown table with seconds of the clock and of
this process. The cases are generated: 100,000 mentions each, whose entities are as uneven as real ones
(Zipf), a fortieth of them the same in both, and 40 persons of interest.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import insert, text

from handlers.detective import Stores, explain_findings, match_meaning, rank_findings, traverse_cases
from machines.detective import ExplainFindings, MatchMeaning, RankFindings, TraverseCases
from server.services import running_services
from server.settings import Settings
from storage.cases import Cases
from storage.database import create_engine
from storage.detective import DetectiveFacts
from storage.findings import Findings
from storage.migrate import upgrade
from storage.schema import DIMENSIONS, SQLModel
from tests.case_rows import QuietJob, new_case

MENTIONS = 100_000
FILES, CHUNKS, ENTITIES, SHARED, PERSONS = 5_000, 4, 20_000, 500, 40
TABLES = SQLModel.metadata.tables

_EVIDENCE = text(
    "INSERT INTO evidence (case_id, upload, uploaded_by, filename, title, sha256, bytes, media_type,"
    " meta, text, pages, summary, tags) SELECT :case, '', '', 'f' || n,"
    " concat('Document ', CAST(:case AS text), ' ', n), CAST(:case AS text) || n, 1,"
    " 'text/plain', '{}', '', '[]', '[]', '[]' FROM generate_series(1, :files) AS n"
)
_CHUNKS = text(
    'INSERT INTO chunks (case_id, evidence_id, ordinal, page, start, "end", boxes, text, vector)'
    " SELECT :case, e.id, o, 0, 400 * o, 400 * o + 399, '[]',"
    " (SELECT string_agg('w' || left(md5(concat(e.id, o, i)), 6), ' ') FROM generate_series(1, 50) AS i),"
    " (SELECT array_agg(random() - 0.5 + 0 * d * (e.id + o))"
    " FROM generate_series(1, :dimensions) AS d)::halfvec"
    " FROM evidence e CROSS JOIN generate_series(0, :last) AS o WHERE e.case_id = :case"
)

_MENTIONS = text(
    'INSERT INTO mentions (chunk_id, start, entity_id, "end")'
    " SELECT c, start + (7 * c + 13 * e) % 380, e, start + (7 * c + 13 * e) % 380 + 9"
    " FROM unnest(CAST(:c AS bigint[]), CAST(:e AS bigint[])) AS told(c, e) JOIN chunks ON chunks.id = c"
)


async def fill(database: Any, case: str, seed: int) -> None:
    """Evidence, passages with random vectors, entities and mentions."""
    chance = np.random.default_rng(seed)
    await new_case(database, case)
    async with database.begin() as connection:
        await connection.execute(insert(TABLES["members"]).values(case_id=case, user_id="ann", role="viewer"))
        await connection.execute(_EVIDENCE, {"case": case, "files": FILES})
        await connection.execute(_CHUNKS, {"case": case, "last": CHUNKS - 1, "dimensions": DIMENSIONS})
        pois = list(
            await connection.scalars(
                insert(TABLES["pois"]).returning(TABLES["pois"].c.id),
                [
                    {
                        "case_id": case,
                        "name": f"Person{seed} Number{i}",
                        "aliases": [],
                        "note": "",
                        "machine": "",
                    }
                    for i in range(PERSONS)
                ],
            )
        )
        entities = []
        for i in range(ENTITIES):
            own = 0 if i % (ENTITIES // SHARED) == 7 else seed
            kind = ("person", "email", "organisation", "phone")[i % 4]
            name = {
                "person": f"given{own} sur{i}",
                "email": f"u{own}.{i}@x.example",
                "organisation": f"firm{own} part{i}",
                "phone": f"+1555{own}{i:06d}",
            }[kind]
            poi = pois[i // 4] if kind == "person" and i // 4 < PERSONS else None
            kind = "poi" if poi else kind
            entities.append(
                {
                    "case_id": case,
                    "kind": kind,
                    "key": name,
                    "name": name,
                    "status": "suggested",
                    "poi_id": poi,
                }
            )
        table = TABLES["entities"]
        named = sorted(await connection.scalars(insert(table).returning(table.c.id), entities))
        chunks = (
            await connection.execute(text("SELECT id FROM chunks WHERE case_id = :c"), {"c": case})
        ).scalars()
        places = np.array(sorted(chunks))
        drawn: dict[tuple[int, int], None] = {}
        while len(drawn) < MENTIONS:
            some = chance.zipf(1.3, MENTIONS) - 1
            some = some[some < ENTITIES]
            where = chance.choice(places, len(some))
            drawn |= dict.fromkeys(zip(where.tolist(), (named[0] + some).tolist(), strict=True))
        rows = list(drawn)[:MENTIONS]
        for first in range(0, MENTIONS, 10_000):
            some_rows = rows[first : first + 10_000]
            await connection.execute(
                _MENTIONS, {"c": [c for c, _ in some_rows], "e": [e for _, e in some_rows]}
            )


async def timed(name: str, work: Awaitable[Any]) -> None:
    began, spent = time.perf_counter(), time.process_time()
    done = await work
    took = f"{time.perf_counter() - began:.1f} | {time.process_time() - spent:.1f}"
    told = done.model_dump(exclude={"effect", "fingerprints"})
    print(f"| {name} | {took} | {', '.join(f'{key} {value}' for key, value in told.items())} |", flush=True)


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="casewire-bench-", dir="/tmp") as folder:
        settings = Settings(data=Path(folder), redis_url=None, queue_url=None, database_url=None)
        async with running_services(settings) as services:
            await upgrade(services.database_url)
            database = create_engine(services.database_url)
            async with database.begin() as connection:
                ann = {
                    "id": "ann",
                    "email": "a@x.example",
                    "name": "a",
                    "password_hash": "",
                    "is_admin": False,
                }
                await connection.execute(insert(TABLES["users"]).values(ann))
            async with database.begin() as connection:
                # A search does not use it, and filling it takes minutes.
                await connection.execute(text("DROP INDEX chunks_vector"))
            for seed, case in enumerate(("harbour", "quarry"), start=1):
                await fill(database, case, seed)
            async with database.begin() as connection:
                await connection.execute(text("ANALYZE"))
            stores = Stores(Cases(database), DetectiveFacts(database), Findings(database))
            asked: dict[str, Any] = {"search": "detective-0-a", "user": "ann", "cases": [], "about": []}
            job = QuietJob()
            print("| stage | s | s of this process | what came of it |")
            print("|---|---|---|---|")
            await timed("traversing", traverse_cases(TraverseCases(**asked), job, stores=stores))
            await timed("matching", match_meaning(MatchMeaning(**asked), job, stores=stores))
            await timed("ranking", rank_findings(RankFindings(**asked, limit=30), job, stores=stores))
            explain = ExplainFindings("detective-0-a", "ann")
            await timed("explaining", explain_findings(explain, job, stores=stores))
            await database.dispose()


if __name__ == "__main__":
    asyncio.run(main())
