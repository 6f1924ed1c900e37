"""Answers of a language model over the wire: streamed, checked against what was given, or refused."""

from __future__ import annotations

import socket

import pytest

from handlers.answer import compose_answer
from handlers.generated import UNFOUNDED, claims_in, generate
from handlers.job import Cancelled, Permanent, Temporary
from handlers.language_model_ollama import OllamaModel
from handlers.language_model_openai import OpenAIModel
from handlers.prompt import NO_ANSWER, Turn, compose
from machines.query import Answer, ComposeAnswer
from machines.snapshot import Snapshot
from storage.graph import Passage
from storage.machine_store import TopicState
from tests.handlers.agreeing import models
from tests.handlers.model_server import ModelServerApp, serving
from tests.handlers.ollama_server import OllamaServer, ollama
from tests.handlers.small_case import SmallCase, WatchedJob

TEXT = "The gate was open. Ada Berg signed the log at nine o'clock. Rain."
REPORT = Passage(5, 50, "report.pdf", 3, 200, 200 + len(TEXT), TEXT)
LETTER = Passage(6, 60, "letter.txt", 0, 0, 30, "Tom Lind had the only key. No.")


async def answer_of(server: OllamaServer, job: WatchedJob | None = None) -> Answer:
    async with ollama(server):
        model = OllamaModel(server.url, "tiny", num_ctx=4096)
        return await generate("Who signed?", "c", [REPORT, LETTER], [], job or WatchedJob(), model=model)


async def test_pieces_are_streamed_as_they_come_and_the_request_names_its_context() -> None:
    server = OllamaServer(pieces=["Ada Berg ", "signed the log", " [1]."])
    job = WatchedJob()
    answer = await answer_of(server, job)
    assert job.tokens == [("Ada Berg ", 0), ("signed the log", 9), (" [1].", 23)]
    assert (answer.mode, answer.supported, answer.model) == ("generated", True, "tiny")
    assert answer.text == "Ada Berg signed the log."
    [request] = server.requests
    assert request["path"] == "/api/chat"
    assert request["stream"] is True
    assert request["options"] == {"num_ctx": 4096, "temperature": 0, "seed": 0}
    assert [m["role"] for m in request["messages"]] == ["system", "user"]
    assert "<passage number=2>" in request["messages"][1]["content"]


async def test_a_claim_cites_the_sentence_it_rests_on() -> None:
    answer = await answer_of(
        OllamaServer(pieces=["Ada Berg signed the log at nine. [1] Tom had a key [2, 1]."])
    )
    first, second = answer.claims
    [citation] = first.citations
    assert (citation.node, citation.evidence, citation.page) == (5, 50, 3)
    quoted = REPORT.text[citation.start - REPORT.start : citation.end - REPORT.start]
    assert quoted == "Ada Berg signed the log at nine o'clock."
    assert [c.node for c in second.citations] == [6, 5]
    assert (second.citations[1].start, second.citations[1].end) == (REPORT.start, REPORT.end)


async def test_what_cites_nothing_or_what_was_not_given_is_left_out_and_told() -> None:
    answer = await answer_of(OllamaServer(pieces=["Ada Berg signed [1]. The moon is cheese. Tom left [7]."]))
    assert answer.text == "Ada Berg signed."
    assert [claim.text for claim in answer.claims] == ["Ada Berg signed."]
    assert answer.dropped == [
        "a sentence that cites no passage: “The moon is cheese.”",
        "a sentence that cites no passage: “Tom left.”",
    ]


@pytest.mark.parametrize(
    "written",
    [
        NO_ANSWER,
        f"{NO_ANSWER} [1]",
        f"{NO_ANSWER} It was surely Ada Berg.",
        "The evidence does not answer this question. </answer>",
    ],
)
async def test_a_model_that_finds_no_answer_is_believed(written: str) -> None:
    answer = await answer_of(OllamaServer(pieces=[written]))
    assert (answer.supported, answer.text, answer.claims) == (False, NO_ANSWER, [])


@pytest.mark.parametrize("written", ["It was surely Ada Berg.", "", "[1]", "It was surely Ada Berg [9]."])
async def test_an_answer_without_any_claim_is_none_and_says_nothing_of_the_evidence(written: str) -> None:
    answer = await answer_of(OllamaServer(pieces=[written]))
    assert (answer.supported, answer.text, answer.claims) == (False, UNFOUNDED, [])


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("Ada Berg signed at 9417 [1].", "a sentence with “9417”"),
        ("Eve Adder signed the log [1].", "a sentence with “Eve Adder”"),
        (
            "Tom Lind signed the log [1].",
            "a sentence with “Tom Lind”",
        ),  # of the letter, which it does not cite
    ],
)
async def test_a_name_or_number_that_what_is_cited_does_not_have_is_left_out_and_told(
    written: str, why: str
) -> None:
    answer = await answer_of(OllamaServer(pieces=[f"Ada Berg signed the log [1]. {written}"]))
    assert answer.text == "Ada Berg signed the log."
    [told] = answer.dropped
    assert told.startswith(why)


async def test_what_the_question_or_the_source_line_names_may_be_said() -> None:
    async with ollama(OllamaServer(pieces=["Eve Adder did not sign report 417 on page 3 [1]."])) as server:
        model = OllamaModel(server.url, "tiny", num_ctx=4096)
        answer = await generate(
            "Did Eve Adder sign report 417?", "c", [REPORT], [], WatchedJob(), model=model
        )
    assert (answer.supported, answer.dropped) == (True, [])


async def test_a_model_that_says_the_same_again_and_again_is_stopped_and_what_it_said_first_stands() -> None:
    server = OllamaServer(pieces=["Ada Berg signed [1]. ", *["The log was signed [1]. "] * 200])
    answer = await answer_of(server)
    assert [claim.text for claim in answer.claims] == ["Ada Berg signed.", "The log was signed."]
    assert "wrote the same again and again" in answer.dropped[-1]


async def test_a_long_sentence_that_is_left_out_is_told_by_its_beginning() -> None:
    [told] = (await answer_of(OllamaServer(pieces=[f"Ada Berg {'never ' * 60}signed."]))).dropped
    assert told.endswith("never never…”")
    assert len(told) < 260


async def test_a_model_that_goes_on_for_ever_is_stopped() -> None:
    job = WatchedJob()
    answer = await answer_of(OllamaServer(pieces=[f"Door {i} was open. " for i in range(9000)]), job)
    assert not answer.supported
    assert "wrote on and on" in answer.dropped[-1]
    assert len(job.tokens) < 1000


async def test_a_sentence_that_was_cut_short_is_no_claim() -> None:
    server = OllamaServer(pieces=["Ada Berg signed [1]. The log [1] was burnt by"], done_reason="length")
    answer = await answer_of(server)
    assert [claim.text for claim in answer.claims] == ["Ada Berg signed."]
    assert answer.dropped[0] == "a sentence without its end: “The log was burnt by”"
    assert "no room for the rest" in answer.dropped[1]


def test_numbers_before_and_after_the_stop_cite_alike() -> None:
    prompt = compose("Who?", "c", [REPORT, LETTER], [], num_ctx=4096)
    for written in (
        "Ada signed [1][2]. Tom left [2].",
        "Ada signed. [1] [2] Tom left.[2]",
        "Ada signed [1,2]. Tom left [2]",
    ):
        claims, unfounded = claims_in(written, prompt)
        assert [[c.node for c in claim.citations] for claim in claims] == [[5, 6], [6]]
        assert unfounded == []


async def test_a_missing_model_is_final_and_a_broken_server_is_not() -> None:
    with pytest.raises(Permanent, match="404: model 'tiny' not found"):
        await answer_of(OllamaServer(status=404))
    with pytest.raises(Temporary, match="503"):
        await answer_of(OllamaServer(status=503))
    with pytest.raises(Temporary, match="does not answer"):
        await answer_of(OllamaServer(pieces=["Ada "], breaks_off=True))


async def test_a_server_that_is_not_there_is_temporary_and_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        model = OllamaModel(f"http://127.0.0.1:{free.getsockname()[1]}", "tiny", num_ctx=4096)
        with pytest.raises(Temporary, match="language model server at http"):
            await generate("Who?", "c", [REPORT], [], WatchedJob(), model=model)


async def test_nobody_waiting_ends_the_stream() -> None:
    with pytest.raises(Cancelled):
        await answer_of(OllamaServer(pieces=["a"] * 50), WatchedJob(looks_left=3))


async def test_a_prompt_that_does_not_fit_is_final() -> None:
    with pytest.raises(Permanent, match="too small"):
        await generate(
            "Who?", "c", [REPORT], [], WatchedJob(), model=OllamaModel("http://127.0.0.1:9", "t", num_ctx=900)
        )


async def test_earlier_turns_and_the_title_go_along_and_other_conversations_do_not(quarry: SmallCase) -> None:
    def query(name: str, conversation: str, at: float, text: str | None) -> Snapshot:
        told = {"mode": "generated", "supported": True, "text": text, "claims": []}
        answer = None if text is None else told
        context = {"conversation": conversation, "asked_at": at, "question": f"{name}?", "answer": answer}
        return Snapshot(name, "query", 1, "", f"case:{quarry.id}", 1, ["answered"], context, at)

    case = Snapshot("case-0-a", "case", 1, "", f"case:{quarry.id}", 1, ["open"], {"title": "Quarry"}, 0.0)
    machines = [
        query("second", "talk", 2.0, "Two."),
        query("first", "talk", 1.0, "One."),
        query("this", "talk", 3.0, None),
        query("later", "talk", 4.0, "Four."),
        query("elsewhere", "other", 1.5, "Hidden."),
        case,
    ]

    async def read_topic(topic: str) -> TopicState:
        return TopicState(topic, "e", 1, machines, False)

    async with ollama(OllamaServer(pieces=["Marit Solheim approved it [1]."])) as server:
        composed = await compose_answer(
            ComposeAnswer(
                quarry.id, "this", "Who approved the blast?", [quarry.chunk("blasting-record")], "talk", 1
            ),
            WatchedJob(),
            graph=quarry.graph,
            words=quarry.words,
            encoder=quarry.encoder,
            models=models(OllamaModel(server.url, "tiny", num_ctx=4096)),
            read_topic=read_topic,
            summaries=quarry.summaries,
            articles=quarry.articles,
        )
    system, user = (message["content"] for message in server.requests[0]["messages"])
    assert "Quarry" in system
    assert "Q: first?\nA: One.\nQ: second?\nA: Two." in user
    assert "Hidden" not in user
    assert "Four" not in user
    assert composed.answer.claims[0].citations[0].node == quarry.chunk("blasting-record")


@pytest.mark.parametrize(
    "written",
    [
        "It was Marit Solheim, I think.",
        "Ignored! [99]",
        "no " * 900,
        f"The case is: {NO_ANSWER[:-1]} question. " * 30,  # which it would have said of anything
    ],
)
async def test_where_nothing_rests_on_the_evidence_it_is_quoted_and_that_is_told(
    quarry: SmallCase, written: str
) -> None:
    async def read_topic(topic: str) -> TopicState:
        return TopicState(topic, "e", 1, [], False)

    async def ask(question: str) -> Answer:
        async with ollama(
            OllamaServer(pieces=[written[i : i + 8] for i in range(0, len(written), 8)])
        ) as server:
            composed = await compose_answer(
                ComposeAnswer(quarry.id, "this", question, list(quarry.chunks.values()), "", 1),
                WatchedJob(),
                graph=quarry.graph,
                words=quarry.words,
                encoder=quarry.encoder,
                models=models(OllamaModel(server.url, "tiny", num_ctx=4096)),
                read_topic=read_topic,
                summaries=quarry.summaries,
                articles=quarry.articles,
            )
        return composed.answer

    answer = await ask("Who approved the blast?")
    assert (answer.mode, answer.supported, answer.model) == ("extractive", True, "")
    assert answer.claims[0].text == "The blast of 14 May 2033 was approved by Marit Solheim."
    assert answer.dropped[0].startswith("tiny wrote nothing that rests on the evidence")
    answer = await ask("Which airline flew the mayor to Lisbon?")
    assert (answer.supported, answer.text) == (False, NO_ANSWER)
    assert answer.dropped[0].startswith("tiny wrote nothing that rests on the evidence")


async def test_a_prompt_that_the_server_finds_too_long_is_composed_anew_with_less_in_it() -> None:
    passages = [Passage(i, i, f"log {i}", 0, 0, 2400, f"Entry {i}: Ada signed. " * 100) for i in range(1, 6)]
    turns = [Turn(f"What of {i}?", "Nothing [1]. " * 10) for i in range(3)]
    job = WatchedJob()
    async with serving(ModelServerApp(context=1200)) as server:
        for model in (
            OllamaModel(server.url, "tiny", num_ctx=4096),
            OpenAIModel(f"{server.url}/v1", "", "tiny", num_ctx=4096),
        ):
            answer = await generate("Who?", "c", passages, turns, job, model=model, summary="They met.")
            assert answer.supported
            assert "a passage of “log 5”" in answer.dropped
    asked = [request["messages"][1]["content"] for request in server.requests if "messages" in request]
    assert asked[0].count("<passage ") > asked[1].count("<passage ") >= 1
    front, same = asked[0].partition("<passage ")[0], asked[1].partition("<passage ")[0]
    assert front == same  # so that it need not be evaluated again
    assert "What of 0?" in front


async def test_a_server_that_takes_next_to_nothing_is_final() -> None:
    async with serving(ModelServerApp(context=20)) as server:
        with pytest.raises(Permanent, match=r"too small.*input length exceeds the context length"):
            await generate(
                "Who?", "c", [REPORT], [], WatchedJob(), model=OllamaModel(server.url, "tiny", num_ctx=4096)
            )
