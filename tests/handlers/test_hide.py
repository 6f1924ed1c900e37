"""Removed evidence is as if it were gone, and a restored one as if it had never been."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.standing import case_standing
from handlers.terms import terms
from storage.cases import Cases
from storage.custody_rows import CustodyRows
from storage.graph import Limits
from storage.judgements import Judgements
from storage.near_copies import Likeness, NearCopies
from storage.poi_mentions import PoiMentions
from storage.vectors_pgvector import PgVectors
from tests.handlers.leaving_case import INSIDE, QUESTION, Hashed, Leaving, leaving_case

_DELETE = """
WITH gone AS (DELETE FROM evidence WHERE id = :id)
SELECT entity_id FROM mentions JOIN chunks ON chunks.id = chunk_id WHERE evidence_id = :id
"""


@pytest_asyncio.fixture(loop_scope="session")
async def quarry(rows: AsyncEngine, redis_client: Redis, tmp_path: Path) -> Leaving:
    return await leaving_case(rows, redis_client, tmp_path)


async def seen(quarry: Leaving, *, exact: bool = True) -> dict[str, Any]:
    """All that searches, lists and graphs tell of the case."""
    case = quarry.case
    vectors = PgVectors(case.database, exact_below=20_000 if exact else 0)
    [vector] = Hashed().encode([QUESTION])
    chunks = sorted(case.chunks.values())
    around = await case.graph.around("case1", chunks, [], Limits())
    whole = await case.graph.whole("case1")
    entities = [name.node for name in await case.graph.names("case1")]
    return {
        "words": await case.words.search("case1", terms("blast paid kroner bench ledger"), 50),
        "phrase": await case.words.holding("case1", "bench nine", terms("bench nine")),
        "frequencies": await case.words.frequencies("case1", terms("blast kroner ledger")),
        "meaning": await vectors.nearest("case1", vector, 50),
        "legs": await case.legs(QUESTION),
        "names": await case.graph.names("case1"),
        "common": await case.graph.commonness("case1", entities),
        "mentions": await case.graph.mentions("case1", entities, limit=99),
        "around": [np.asarray(part).tolist() for part in vars(around).values()],
        "whole": [np.asarray(part).tolist() for part in vars(whole).values()],
        "passages": sorted(await case.graph.passages("case1", chunks)),
        "standing": await case_standing("case1", graph=case.graph, votes=case.votes, graphs=case.graphs),
        "counts": await Cases(case.database).counts("case1"),
        "listed": [row.id for row in await quarry.evidence.of_case("case1")],
        "case": (await Cases(case.database).get("case1", "ann")).evidence,  # type: ignore[union-attr]
        "entities": [(row.name, row.mentions) for row in await Judgements(case.database).of_case("case1")],
    }


async def delete(quarry: Leaving, evidence: int) -> None:
    """Take the rows away, as nobody but a test does."""
    async with quarry.case.database.begin() as connection:
        named = await connection.execute(text(_DELETE), {"id": evidence})
        await connection.execute(
            text("DELETE FROM entities WHERE id = ANY(:ids) AND id NOT IN (SELECT entity_id FROM mentions)"),
            {"ids": list(named.scalars())},
        )


@pytest.mark.parametrize("name", ["ledger", "bank-statement", "mail", "blasting-record"])
async def test_what_is_hidden_is_nowhere_as_if_it_were_deleted_and_back_as_if_nothing_had_been(
    quarry: Leaving, name: str
) -> None:
    before, loosely = await seen(quarry), await seen(quarry, exact=False)
    await quarry.ask(quarry.uploads[name], "remove", reason="privileged")
    await quarry.work()
    assert await quarry.states(name) == ["leaving"]
    hidden = await seen(quarry)
    assert hidden != before
    assert [row.id for row in await quarry.evidence.of_case("case1", hidden=True)] == [
        quarry.case.evidence[name]
    ]
    await quarry.ask(quarry.uploads[name], "restore")
    await quarry.work()
    assert await seen(quarry) == before
    assert (await seen(quarry, exact=False))["meaning"] == loosely["meaning"]
    for gone in (name, *(inside for inside, around in INSIDE.items() if around == name)):
        await delete(quarry, quarry.case.evidence[gone])
    assert hidden == await seen(quarry)


async def test_what_was_removed_by_itself_stays_away_when_what_it_was_found_in_comes_back(
    quarry: Leaving,
) -> None:
    ledger, slip = (quarry.uploads[name] for name in ("ledger", "slip"))
    await quarry.ask(slip, "remove")
    await quarry.work()
    alone = await seen(quarry)
    await quarry.ask(ledger, "remove")
    await quarry.work()
    both = await seen(quarry)
    await quarry.ask(ledger, "restore")
    await quarry.work()
    assert await seen(quarry) == alone
    # And the other way round: nothing comes back into what is still removed.
    await quarry.ask(ledger, "remove")
    await quarry.ask(slip, "restore")
    await quarry.work()
    assert await seen(quarry) == both
    assert await quarry.states("slip") == ["ready"]


async def test_persons_places_near_copies_and_children_tell_nothing_of_what_is_inside(
    quarry: Leaving,
) -> None:
    ledger, slip, mail = (quarry.case.evidence[name] for name in ("ledger", "slip", "mail"))
    near, places = NearCopies(quarry.case.database), PoiMentions(quarry.case.database)
    for name in (slip, mail):
        await near.put_text("case1", name, 12, b"alike", [1, 2])
    alike = Likeness(slip, 0.9, 1.0, True, b"alike")
    assert await near.link_texts("case1", mail, b"alike", [alike]) == 1
    rows = CustodyRows(quarry.case.database)
    assert [child for child, _ in await rows.children(ledger, removed=False)] == [slip]

    async def told() -> tuple[object, ...]:
        return (
            [copy.evidence for copy in await near.of_evidence(mail, limit=9)],
            await near.counts([mail]),
            [(pair.a, pair.b) for pair in await near.among("case1", [slip, mail])],
            set(await places.titles([ledger, slip, mail])),
            await rows.children(ledger, removed=False),
            [row.id for row in await quarry.evidence.of_case("case1", parent=ledger)],
        )

    before = await told()
    await quarry.ask(quarry.uploads["ledger"], "remove")
    await quarry.work()
    assert await told() == ([], {}, [], {mail}, [], [])
    await quarry.ask(quarry.uploads["ledger"], "restore")
    await quarry.work()
    assert await told() == before


async def test_two_hidden_at_once_are_both_away(quarry: Leaving) -> None:
    for name in ("ledger", "slip"):
        await quarry.ask(quarry.uploads[name], "remove")
    await quarry.work()
    hidden = await seen(quarry)
    assert "Ottoline Zabaglione" not in [name for name, _ in hidden["entities"]]
    for name in ("ledger", "slip"):
        await delete(quarry, quarry.case.evidence[name])
    assert hidden == await seen(quarry)


async def test_questions_that_rest_on_it_know_and_forget_that_it_is_hidden(quarry: Leaving) -> None:
    query = await quarry.question()
    ledger, slip = (quarry.case.evidence[name] for name in ("ledger", "slip"))
    await quarry.ask(quarry.uploads["ledger"], "remove")
    await quarry.work()
    assert (await quarry.machine(query)).context["withheld"] == [ledger, slip]
    assert await quarry.case.graphs.get(query) is None
    await quarry.ask(quarry.uploads["ledger"], "restore")
    await quarry.work()
    assert (await quarry.machine(query)).context["withheld"] == []


async def test_an_upload_hides_nothing_but_what_it_holds(quarry: Leaving) -> None:
    before = await seen(quarry)
    async with quarry.case.database.begin() as connection:
        await connection.execute(
            text("UPDATE evidence SET upload = 'upload-0-other' WHERE id = :id"),
            {"id": quarry.case.evidence["ledger"]},
        )
    await quarry.ask(quarry.uploads["ledger"], "remove")
    await quarry.work()
    assert await seen(quarry) == before
