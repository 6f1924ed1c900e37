"""Suggested questions suppose nothing but what the evidence holds, and leave with it."""

from __future__ import annotations

from redis.asyncio import Redis
from sqlalchemy import text

from handlers.did_you_mean import Lexicon, did_you_mean
from handlers.suggestions import (
    OF_CASE,
    Suggestion,
    asked_before,
    prepare_suggestions,
    suggested,
)
from handlers.terms import normal
from storage.case_words import CaseWords
from storage.evidence import EvidenceStore
from storage.prepared import Prepared
from storage.suggesting import Suggesting
from tests.handlers.small_case import SHARDS, SmallCase, add_user


def texts(found: list[Suggestion]) -> list[str]:
    return [one.text for one in found]


def test_long_questions_are_not_suggested_again() -> None:
    assert texts(asked_before(["Who?", "x" * 201])) == ["Who?"]


async def ask(quarry: SmallCase, user: str, question: str, at: float) -> None:
    async with quarry.database.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO conversations (case_id, id, asker, started_at, last_at) "
                "VALUES ('case1', :id, :user, :at, :at)"
            ),
            {"id": f"c{at}", "user": user, "at": at},
        )
        await connection.execute(
            text(
                "INSERT INTO questions (machine, case_id, conversation, asker, asked_at, question, answer, "
                "revision, updated_at) VALUES (:id, 'case1', :id, :user, :at, :question, '', 1, :at)"
            ),
            {"id": f"c{at}", "user": user, "at": at, "question": question},
        )


async def prepare(quarry: SmallCase, prepared: Prepared) -> None:
    assert await prepare_suggestions(
        "case1",
        suggesting=Suggesting(quarry.database),
        prepared=prepared,
    )


async def test_a_case_is_asked_about_what_stands_in_it_and_by_whom(
    quarry: SmallCase, redis_client: Redis
) -> None:
    prepared = Prepared(redis_client, shards=SHARDS)
    await add_user(quarry.database, "ann")
    for at, question in enumerate(("Who signed?", "who signed?", "Where?"), 1):
        await ask(quarry, "ann", question, at)
    await prepare(quarry, prepared)
    mine = await suggested("case1", "ann", prepared=prepared)
    assert texts(mine)[:2] == ["Where?", "who signed?"]
    others = texts(await suggested("case1", "bo", prepared=prepared))
    assert "Where?" not in others
    assert "What connects Lene Dahl and Piet Osman?" in others
    assert not any("Vanter" in one and "Lene" in one for one in others)


async def test_nothing_is_suggested_of_hidden_evidence_nor_of_a_conversation_that_goes(
    quarry: SmallCase, redis_client: Redis
) -> None:
    prepared = Prepared(redis_client, shards=SHARDS)
    await add_user(quarry.database, "ann")
    await ask(quarry, "ann", "Who signed?", 1)
    assert await EvidenceStore(quarry.database).hide(quarry.evidence["mail"], "upload-0-a", hidden=True)
    async with quarry.database.begin() as connection:
        await connection.execute(text("UPDATE conversations SET removed_at = now()"))
    await prepare(quarry, prepared)
    found = texts(await suggested("case1", "ann", prepared=prepared))
    assert not any("Lene" in one or "signed" in one for one in found)
    assert any("Marit" in one for one in found)


async def test_what_is_suggested_goes_when_something_of_the_case_is_forgotten(
    quarry: SmallCase, redis_client: Redis
) -> None:
    prepared = Prepared(redis_client, shards=SHARDS)
    await prepare(quarry, prepared)
    assert await prepared.get("case1", OF_CASE)
    await quarry.graphs.forget("case1", [])
    assert await prepared.get("case1", OF_CASE) is None


async def test_the_words_of_a_case_are_read_from_what_is_in_sight(quarry: SmallCase) -> None:
    words = CaseWords(quarry.database)
    asked = [normal("detonators"), normal("kroner"), normal("zeppelin")]
    assert await words.having("case1", asked) == {normal("detonators"), normal("kroner")}
    assert "blast" in await words.frequent("case1")
    assert await words.frequent("case9") == []
    assert await EvidenceStore(quarry.database).hide(
        quarry.evidence["bank-statement"], "upload-0-a", hidden=True
    )
    assert await words.having("case1", asked) == {normal("detonators")}
    assert "kroner" not in await words.frequent("case1", least=1)
    lexicon = Lexicon(await quarry.graph.names("case1"), await words.frequent("case1"))
    assert did_you_mean("Who paid Vantre?", lexicon, set()).slips == []
    assert did_you_mean("Who is Lene Dhal?", lexicon, set()).question == "Who is Lene Dahl?"
