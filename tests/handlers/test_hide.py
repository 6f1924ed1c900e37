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
from storage.graph import Limits
from storage.judgements import Judgements
from storage.vectors_pgvector import PgVectors
from tests.handlers.leaving_case import QUESTION, Hashed, Leaving, leaving_case

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
    await delete(quarry, quarry.case.evidence[name])
    assert hidden == await seen(quarry)


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
    ledger = quarry.case.evidence["ledger"]
    await quarry.ask(quarry.uploads["ledger"], "remove")
    await quarry.work()
    assert (await quarry.machine(query)).context["withheld"] == [ledger]
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
