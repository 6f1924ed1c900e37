"""Answers in the evidence's own sentences, with exact places, or the plain word that there is none."""

from __future__ import annotations

from functools import partial

import pytest

from handlers.answer import WITHOUT_VECTORS, compose_answer
from handlers.job import Cancelled
from handlers.prompt import NO_ANSWER
from handlers.quoting import candidates, kinds_asked
from handlers.rank import rank_hits
from machines.query import Answer, ComposeAnswer, RankHits
from storage.evidence import EvidenceStore
from storage.graph import Passage
from storage.machine_store import TopicState
from tests.handlers.agreeing import models
from tests.handlers.small_case import SmallCase, WatchedJob

JOINED = "Who paid the one who approved the blast of bench nine?"


async def nobody(topic: str) -> TopicState:
    raise AssertionError(f"without a model nothing is read of {topic}")


async def ask(
    case: SmallCase, question: str, job: WatchedJob | None = None, *, embedder_at: str = ""
) -> Answer:
    job = job or WatchedJob()
    effect = RankHits(case.id, "query-0-a", question, await case.legs(question))
    ranked = await rank_hits(
        effect,
        WatchedJob(),
        graph=case.graph,
        votes=case.votes,
        graphs=case.graphs,
        articles=case.articles,
        attention=case.attention,
        load=case.load,
    )
    nodes = [place.node for place in ranked.order[:12]]
    composed = await compose_answer(
        ComposeAnswer(case.id, "query-0-a", question, nodes, "", 1),
        job,
        graph=case.graph,
        words=case.words,
        encoder=case.encoder,
        models=models(),
        read_topic=nobody,
        summaries=case.summaries,
        articles=case.articles,
        may_embed=partial(models().let_embed, host=embedder_at),
    )
    assert composed.effect == job.id
    return composed.answer


async def test_the_sentence_that_answers_is_quoted_with_its_exact_place(quarry: SmallCase) -> None:
    answer = await ask(quarry, "Who approved the blast?")
    assert (answer.mode, answer.supported) == ("extractive", True)
    claim = answer.claims[0]
    assert claim.text == "The blast of 14 May 2033 was approved by Marit Solheim."
    for claim in answer.claims:
        for citation in claim.citations:
            text = await EvidenceStore(quarry.database).text(citation.evidence)
            assert text[citation.start : citation.end] in claim.text


async def test_a_second_document_is_joined_through_the_person_that_the_first_names(quarry: SmallCase) -> None:
    answer = await ask(quarry, JOINED)
    assert answer.supported
    cited = [citation.evidence for claim in answer.claims for citation in claim.citations]
    assert quarry.evidence["blasting-record"] in cited
    assert quarry.evidence["bank-statement"] in cited


@pytest.mark.parametrize(
    "question",
    [
        "Which airline flew the mayor to Lisbon?",
        "What is the boiling point of mercury?",
        "How many goals did the visiting team score?",
        "Who painted the ceiling of the chapel?",
    ],
)
async def test_what_the_evidence_does_not_answer_is_said_plainly_with_the_closest_passages(
    quarry: SmallCase, question: str
) -> None:
    answer = await ask(quarry, question)
    assert (answer.supported, answer.text) == (False, NO_ANSWER)
    assert answer.claims
    assert all(claim.text.startswith("Closest passage: ") and claim.citations for claim in answer.claims)


@pytest.mark.parametrize(
    "question",
    [
        "How many detonators failed?",
        "When is fish served in the canteen?",
        "Where do unclaimed boots go?",
        "How much money went to Marit Solheim?",
    ],
)
async def test_what_the_evidence_answers_is_supported(quarry: SmallCase, question: str) -> None:
    assert (await ask(quarry, question)).supported


async def test_a_mail_answers_who_and_when_by_its_header(quarry: SmallCase) -> None:
    answer = await ask(quarry, "When did Lene Dahl send the blasting plan for bench nine to Piet Osman?")
    header = next(claim for claim in answer.claims if "Subject: " in claim.text)
    assert "From: Lene Dahl" in header.text
    assert "Date: Wed, 11 May 2033" in header.text


async def test_a_sentence_of_a_mail_says_who_wrote_it_and_when(quarry: SmallCase) -> None:
    answer = await ask(quarry, "What should be locked?")
    assert answer.claims[0].text == "Lene Dahl, 2033-05-11: “Please lock the lower gate.”"


async def test_where_nothing_may_be_embedded_words_and_names_choose_and_the_answer_says_so(
    quarry: SmallCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = "models.example.com:11434"
    assert not (await ask(quarry, "Who painted the ceiling of the chapel?", embedder_at=far)).supported
    answer = await ask(quarry, "Who approved the blast?", embedder_at=far)
    assert answer.supported
    assert answer.claims[0].text == "The blast of 14 May 2033 was approved by Marit Solheim."
    assert answer.claims[0].citations
    [told] = answer.dropped
    assert far in told
    assert told.endswith(WITHOUT_VECTORS)
    assert (await ask(quarry, "Who approved the blast?")).dropped == []


async def test_the_streamed_pieces_make_up_the_text(quarry: SmallCase) -> None:
    job = WatchedJob()
    answer = await ask(quarry, JOINED, job)
    assert len(job.tokens) == len(answer.claims) > 1
    text = ""
    for piece, position in job.tokens:
        assert position == len(text)
        text += piece
    assert text == answer.text


async def test_nothing_found_is_no_answer(quarry: SmallCase) -> None:
    composed = await compose_answer(
        ComposeAnswer(quarry.id, "query-0-a", "Anything?", [], "", 1),
        WatchedJob(),
        graph=quarry.graph,
        words=quarry.words,
        encoder=quarry.encoder,
        models=models(),
        read_topic=nobody,
        summaries=quarry.summaries,
        articles=quarry.articles,
    )
    assert (composed.answer.supported, composed.answer.claims) == (False, [])


async def test_nobody_waiting_ends_the_work(quarry: SmallCase) -> None:
    with pytest.raises(Cancelled):
        await ask(quarry, JOINED, WatchedJob(looks_left=0))


def test_a_row_of_a_table_is_quoted_with_the_line_above_the_table() -> None:
    text = (
        "Accounts\nHolder: Brask Quarry, Tromso\n"
        "Fuel for pumps      100.00\nWages of May      2,000.50\nRent of shed     70"
    )
    rows = [c for c in candidates([Passage(1, 2, "t", 1, 500, 500 + len(text), text)], []) if c.heading]
    assert [c.text for c in rows][1] == "Holder: Brask Quarry, Tromso … Wages of May 2,000.50"
    start, end = rows[1].heading or (0, 0)
    assert text[start - 500 : end - 500] == "Holder: Brask Quarry, Tromso"
    assert text[rows[1].start - 500 : rows[1].end - 500] == "Wages of May      2,000.50"


def test_a_sentence_that_two_passages_share_is_one_candidate() -> None:
    one = Passage(1, 9, "t", 0, 0, 40, "The old pump broke. The gate stood open.")
    two = Passage(2, 9, "t", 0, 20, 63, "The gate stood open. Nobody came back today.")
    found = candidates([one, two], [])
    assert [(c.start, c.end, c.passage.node) for c in found] == [(0, 19, 1), (20, 40, 1), (41, 64, 2)]


def test_an_endless_line_is_cut_between_words() -> None:
    text = " ".join(f"word{i} another" for i in range(90)) + " "
    found = candidates([Passage(1, 9, "t", 0, 0, len(text), text)], [])
    assert max(c.end - c.start for c in found) <= 420
    assert " ".join(c.text for c in found) == text.strip()


def test_what_is_asked_for_follows_from_the_question_word() -> None:
    assert "person" in kinds_asked("Who was it?")
    assert kinds_asked("When?") == {"date"}
    assert kinds_asked("How much was paid?") == {"money", "number"}
    assert kinds_asked("Describe the gate.") == frozenset()
