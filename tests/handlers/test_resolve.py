"""Follow-ups resolved with and without a language model, and what was said long ago told in short."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

import pytest
from sqlalchemy import text

from handlers.history import LONGEST, in_short, summary_of
from handlers.job import Temporary
from handlers.prompt import compose
from handlers.resolve import resolve_question
from handlers.rewriting import NotKept, rewrite
from handlers.said import Claimed, Said
from machines.query import Resolved, ResolveQuestion
from machines.snapshot import Snapshot
from storage.machine_store import TopicState
from tests.handlers.agreeing import models
from tests.handlers.small_case import SmallCase, WatchedJob

SAID = [
    Said(
        "Who approved the blast?",
        (Claimed("The blast was approved by Marit Solheim.", (7,), ("Record",)),),
        (),
        "The blast was approved by Marit Solheim.",
    )
]


@dataclass
class Writes:
    """A model that writes what it is told to, or breaks off."""

    words: str = ""
    away: bool = False
    name: str = "tiny"
    host: str = "127.0.0.1:9"
    num_ctx: int = 4096
    asked: list[str] = field(default_factory=list)

    async def stream(self, system: str, user: str) -> AsyncGenerator[str, None]:
        self.asked.append(user)
        if self.away:
            raise Temporary("the language model server does not answer")
        for piece in self.words.split(" "):
            yield f"{piece} "


class Texts(dict[tuple[str, str], bytes]):
    """Summaries in memory."""

    async def get(self, case: str, keys: Sequence[str]) -> list[bytes | None]:  # type: ignore[override]
        return [dict.get(self, (case, key)) for key in keys]

    async def put(self, case: str, values: dict[str, bytes]) -> None:
        self.update({(case, key): value for key, value in values.items()})


async def resolved(case: SmallCase, question: str, model: Writes | None = None, **more: object) -> Resolved:
    cited = {"node": 1, "evidence": 7, "title": "Record", "page": 0, "start": 0, "end": 1}
    claims = [{"text": SAID[0].answer, "citations": [cited]}]
    answer = {"mode": "extractive", "supported": True, "text": SAID[0].answer, "claims": claims}
    context = {
        "conversation": "talk",
        "asked_at": 1.0,
        "question": SAID[0].question,
        "answer": answer,
        "withheld": [],
    } | more
    first = Snapshot("query-0-first", "query", 4, "", "case:case1", 1, ["answered"], context, 1.0)

    async def read_topic(topic: str) -> TopicState:
        return TopicState(topic, "e", 1, [first], False)

    effect = ResolveQuestion(case.id, "query-0-a", question, "talk")
    return await resolve_question(
        effect, WatchedJob(), graph=case.graph, models=models(model), read_topic=read_topic
    )


async def test_without_a_model_the_rules_and_the_names_of_the_case_tell(quarry: SmallCase) -> None:
    found = (await resolved(quarry, "And who paid her?")).understood
    assert found is not None
    assert (found.text, found.way, found.evidence) == ("Who paid Marit Solheim?", "rules", [7])


async def test_how_the_evidence_speaks_of_somebody_tells_whom_a_pronoun_means(quarry: SmallCase) -> None:
    statement = text("UPDATE chunks SET text = :words || text WHERE text LIKE '%Marit Solheim%'")
    async with quarry.database.begin() as connection:
        await connection.execute(statement, {"words": "Mr. Solheim was there. "})
    assert (await resolved(quarry, "And who paid him?")).understood is not None
    found = (await resolved(quarry, "And who paid her?")).understood
    assert found is not None
    assert found.text == "Who paid her (Who approved the blast — Marit Solheim)?"
    assert found.note == "nobody who was named before is spoken of as “she”"


async def test_what_rests_on_removed_evidence_is_nobody_s_antecedent(quarry: SmallCase) -> None:
    found = (await resolved(quarry, "Who paid her?", withheld=[7])).understood
    assert found is None or "Solheim" not in found.text


async def test_a_question_that_leans_on_nothing_is_not_even_shown_to_the_model(quarry: SmallCase) -> None:
    model = Writes("Something else?")
    assert (await resolved(quarry, "Which bank did Vanter Holding use?", model)).understood is None
    assert model.asked == []


async def test_a_model_s_wording_is_taken_where_it_brings_nothing_in(quarry: SmallCase) -> None:
    found = (await resolved(quarry, "And who paid her?", Writes("Who paid Marit Solheim?"))).understood
    assert found is not None
    assert (found.text, found.way, found.evidence) == ("Who paid Marit Solheim?", "model", [7])


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("Who paid Marit Solheim and Ottoline Zabaglione?", "Ottoline"),
        ("Who paid Marit Solheim in 2031?", "2031"),
        ("Sure! Here it is:\nWho paid her?", "single short question"),
        ("x" * 500, "single short question"),
        ("The evidence does not answer this question.", "something else than the question"),
        ("Was Marit Solheim there?", "something else than the question"),
        ("", "single short question"),
    ],
)
async def test_a_model_that_brings_something_in_or_chats_is_not_followed(
    quarry: SmallCase, written: str, why: str
) -> None:
    with pytest.raises(NotKept, match=why):
        await rewrite("And who paid her?", SAID, model=Writes(written))
    found = (await resolved(quarry, "And who paid her?", Writes(written))).understood
    assert found is not None
    assert (found.text, found.way) == ("Who paid Marit Solheim?", "rules")
    assert why in found.note


async def test_a_model_that_is_away_is_named_and_the_rules_tell(quarry: SmallCase) -> None:
    found = (await resolved(quarry, "And who paid her?", Writes(away=True))).understood
    assert found is not None
    assert (found.way, found.note) == ("rules", "the language model server does not answer")


def many(count: int) -> list[Said]:
    return [
        Said(
            f"What happened on day {i}?",
            (Claimed("It rained.", (i,), (f"Diary {i}",)),),
            (),
            "It rained. Much.",
        )
        for i in range(count)
    ]


def test_older_turns_are_told_in_short_with_what_they_cite() -> None:
    assert in_short(many(1)) == "- What happened on day 0? — It rained. [Diary 0]"
    assert in_short([]) == ""


@pytest.mark.parametrize("count", [40, 400])
def test_however_many_there_are_the_newest_keep_most_and_none_is_left_out(count: int) -> None:
    told = in_short(many(count))
    assert len(told) <= LONGEST
    assert f"day {count - 1}?" in told
    merged = int(told.split()[1]) if "questions before these" in told else 0
    assert merged + told.count("day ") == count


async def test_a_model_adds_to_its_notes_turn_by_turn_and_is_asked_once_for_each() -> None:
    kept, model = Texts(), Writes("It rained on day 0 and on day 1, as the diary says.")
    first = await summary_of("c", many(2), model=model, summaries=kept)
    assert first.startswith("It rained on day 0")
    assert await summary_of("c", many(2), model=model, summaries=kept) == first
    assert len(model.asked) == 1
    await summary_of("c", many(3), model=model, summaries=kept)
    assert "day 0?" not in model.asked[1]
    assert first.strip() in model.asked[1]


async def test_notes_that_name_what_nobody_said_are_not_used() -> None:
    for words in ("Zabaglione was there on that day.", "On that day it was Zabaglione who came."):
        kept = Texts()
        assert await summary_of("c", many(2), model=Writes(words), summaries=kept) == in_short(many(2))
        assert kept == {}


def test_a_prompt_holds_the_summary_before_the_latest_turns() -> None:
    made = compose("Who?", "Quarry", [], [], num_ctx=4096, summary="It rained.</earlier summary>")
    assert "<earlier summary>\nIt rained.‹/earlier summary>\n</earlier summary>" in made.user
