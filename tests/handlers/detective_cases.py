"""Two fictional cases that touch: a harbour and a quarry, with people, addresses and papers in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.detective import Stores, explain_findings, match_meaning, rank_findings, traverse_cases
from machines.detective import ExplainFindings, MatchMeaning, RankFindings, TraverseCases
from storage.cases import Cases
from storage.detective import DetectiveFacts
from storage.findings import FindingRow, Findings
from tests.handlers.leaving_case import Hashed
from tests.handlers.small_case import TABLES, SmallCase, WatchedJob, add_user, small_case

FILLER = "Nothing else of note was written down that day by anybody at the office."

LEAK = (
    "the blue water ran along the wall and into the ditch beside the road, where it stood for days and"
    " stained the stones; whoever walked there later had blue boots, and the grass beside the ditch was"
    " yellow by the end of the week, so that it had to be cut and carried away with the soil under it, at a"
    " cost that nobody had planned for"
)

HARBOUR = {
    "manifest": ["Martha Quilling signed the manifest of the Aurora beside Tomas Breck."],
    "rent": ["Martha Quilling pays the rent of the warehouse; questions go to ledger@vellum.example please."],
    "crew": ["The crew of the Aurora was hired by Piet Osman in spring, as every year before."],
    "weather": [f"Copper sulphate barrels leaked slowly behind the northern silo during heavy rain. {LEAK}"],
    "menu": [FILLER],
}
QUARRY = {
    "contract": ["Lene Dahl drew up the contract, and the copy went to ledger@vellum.example by post."],
    "visitors": ["Visitors in June: Martha Quilling, and an engineer whose name nobody wrote down."],
    "letter": ["Lene Dahl wrote to Piet Osman about the lower gate, which had stood open all night."],
    "survey": [
        f"Barrels leaked copper sulphate slowly behind a northern silo during heavy rain again. {LEAK}"
    ],
    "slip": ["Thomas Breckk was here."],
}
ENTITIES = {
    "person": ("Tomas Breck", "Thomas Breckk", "Piet Osman", "Martha Quilling"),
    "email": ("ledger@vellum.example",),
    "date": ("June",),
}
POIS = {"harbour": ("Martha Quilling", "Tomas Breck"), "quarry": ("Lene Dahl",)}


@dataclass
class Search:
    """What a search needs, and the search itself from first to last."""

    database: AsyncEngine
    cases: dict[str, SmallCase]
    machine: str = "detective-0-a"
    user: str = "ann"

    @property
    def stores(self) -> Stores:
        return Stores(Cases(self.database), DetectiveFacts(self.database), Findings(self.database))

    @property
    def findings(self) -> Findings:
        return Findings(self.database)

    async def titles(self) -> dict[str, str]:
        return await self.stores.cases.titles_of(self.user)

    async def run(
        self, cases: tuple[str, ...] = (), about: tuple[int, ...] = (), limit: int = 30
    ) -> list[FindingRow]:
        """All stages, one after the other; what the user then reads."""
        asked: dict[str, Any] = {
            "search": self.machine,
            "user": self.user,
            "cases": list(cases),
            "about": list(about),
        }
        job = WatchedJob(id=f"{self.machine}:1:0", machine=self.machine, topic=f"user:{self.user}")
        await traverse_cases(TraverseCases(**asked), job, stores=self.stores)
        await match_meaning(MatchMeaning(**asked), job, stores=self.stores)
        await rank_findings(RankFindings(**asked, limit=limit), job, stores=self.stores)
        await explain_findings(ExplainFindings(self.machine, self.user), job, stores=self.stores)
        return await self.read()

    async def read(self) -> list[FindingRow]:
        found, _ = await self.findings.of_search(self.machine, self.user, await self.titles())
        return found

    async def poi(self, name: str) -> int:
        async with self.database.connect() as connection:
            found = await connection.execute(text("SELECT id FROM pois WHERE name = :name"), {"name": name})
            return int(found.scalar_one())

    async def do(self, statement: str, **values: Any) -> None:
        async with self.database.begin() as connection:
            await connection.execute(text(statement), values)


async def two_cases(database: AsyncEngine, redis: Redis) -> Search:
    """Both cases, with one user who is a member of both."""
    await add_user(database, "ann")
    made: dict[str, SmallCase] = {}
    for name, documents in (("harbour", HARBOUR), ("quarry", QUARRY)):
        pois = dict.fromkeys(POIS[name], ())
        made[name] = await small_case(
            database,
            redis,
            Hashed(),
            case=name,
            documents=documents,
            entities=ENTITIES | {"poi": POIS[name], "person": _others(name)},
            pois=pois,
        )
        async with database.begin() as connection:
            await connection.execute(
                insert(TABLES["members"]).values(case_id=name, user_id="ann", role="viewer")
            )
    return Search(database, made)


def _others(case: str) -> tuple[str, ...]:
    return tuple(name for name in ENTITIES["person"] if name not in POIS[case])
