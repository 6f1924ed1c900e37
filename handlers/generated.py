"""An answer in a language model's words, kept only as far as it cites what it was given."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

from handlers.awaited import while_awaited
from handlers.faithful import invented_in
from handlers.job import Job, Permanent
from handlers.language_model import ContextExceeded, LanguageModel, Unfinished
from handlers.prompt import NO_ANSWER, Prompt, PromptTooLong, Turn, compose, fenced
from handlers.sentences import sentences
from handlers.terms import terms
from machines.query import Answer, Citation, Claim
from storage.graph import Passage


class WrittenCache(Protocol):
    """Texts that a model wrote, by the prompt; see `storage.case_cache.CaseCache`."""

    async def get(self, case: str, keys: Sequence[str]) -> list[bytes | None]: ...

    async def put(self, case: str, values: dict[str, bytes]) -> None: ...


SHARED = 2
"""Terms that a claim shares with a sentence at least for that sentence to be what it rests on."""

SHORTER = 0.7
"""Of the room that a prompt took whose tokens turned out to be more than its length told."""

LONGEST = 8000
"""Characters of an answer, which has four sentences; whoever writes more goes on for ever."""

UNFOUNDED = "What the language model wrote does not rest on the evidence."
"""In place of an answer of which nothing may be shown."""

_DECLINED = NO_ANSWER.rstrip(".")
"""However a small model goes on from there: “… this question”."""
_SHOWN = 200
"""Characters of a sentence that is told to be left out."""
_WROTE_ON = "the language model wrote on and on and was stopped"
_ENDED = re.compile(r"[.!?…。！？][\"'”’)\]]*$")
_NUMBERS = re.compile(r"\s*\[\s*(\d+(?:\s*,\s*\d+)*)\s*\]")
_AFTER_STOP = re.compile(rf"([.!?])((?:{_NUMBERS.pattern})+)")


@dataclass(frozen=True)
class Written:
    """What a model wrote; `stopped` is why it did not come to its end, "" where it did."""

    text: str
    stopped: str = ""


async def generate(
    question: str,
    title: str,
    passages: Sequence[Passage],
    turns: Sequence[Turn],
    job: Job,
    *,
    model: LanguageModel,
    summary: str = "",
    thread: str = "",
    case: str = "",
    kept: WrittenCache | None = None,
) -> Answer:
    """Have the model answer from the passages, streaming what it writes.

    Each sentence must cite passages that it was given, and bring in no name or number that they do not
    hold; what does not is left out and told. Where nothing is left the text is `UNFOUNDED`, or `NO_ANSWER`
    if the model itself said so and came to its end. The same prompt gives the same text (temperature 0, a
    fixed seed), so that one that is `kept` of the `case` is not written again. What the server finds too
    long is composed anew with less in it.

    Raises:
        Permanent: The question does not fit the model's context, or the server refuses.
        Temporary: The server does not answer.
        Cancelled: Nobody awaits the answer any more.
    """
    share, written, refused = 1.0, None, ""
    while written is None:
        try:
            prompt = compose(
                question, title, passages, turns, num_ctx=model.num_ctx, share=share, summary=summary
            )
        except PromptTooLong as error:
            raise Permanent(f"{error}{refused}") from error
        try:
            written = await _written(prompt, job, model, thread, case, kept)
        except ContextExceeded as error:  # before the first piece
            share, refused = share * SHORTER, f" ({error.reason})"
    told = [question, title, summary, *(text for turn in turns for text in (turn.question, turn.answer))]
    claims, left_out = claims_in(written.text, prompt, told, finished=not written.stopped)
    declined = _DECLINED in written.text and not written.stopped
    nothing = NO_ANSWER if declined else UNFOUNDED
    return Answer(
        mode="generated",
        supported=bool(claims),
        text=" ".join(claim.text for claim in claims) or nothing,
        claims=claims,
        model=model.name,
        dropped=[*prompt.dropped, *left_out, *([written.stopped] if written.stopped else [])],
    )


async def _written(
    prompt: Prompt, job: Job, model: LanguageModel, thread: str, case: str, kept: WrittenCache | None
) -> Written:
    key = sha256("\0".join([model.name, str(model.num_ctx), prompt.system, prompt.user]).encode()).hexdigest()
    if kept is not None:
        [before] = await kept.get(case, [key])
        if before is not None:
            text = before.decode()
            await job.token(text, 0)
            return Written(text)
    written = ""
    try:
        async with aclosing(model.stream(prompt.system, prompt.user, thread=thread)) as pieces:
            # A long prompt is evaluated for minutes on a slow machine, before anything comes.
            while piece := await while_awaited(job, _next_of(pieces)):
                await job.token(piece, len(written))
                written += piece
                if len(written) > LONGEST:
                    return Written(written, _WROTE_ON)
    except Unfinished as error:
        return Written(written, error.reason)
    if kept is not None:
        await kept.put(case, {key: written.encode()})
    return Written(written)


async def _next_of(pieces: AsyncGenerator[str, None]) -> str:
    """The next piece; "" after the last one, as none is empty."""
    return await anext(pieces, "")


def claims_in(
    written: str, prompt: Prompt, told: Sequence[str] = (), *, finished: bool = True
) -> tuple[list[Claim], list[str]]:
    """The sentences that rest on passages of the prompt, each once; and what is left out, in words.

    Numbers that the prompt does not have are no citations. The words for having no answer are neither.

    Args:
        told: What the sentences may take names and numbers from besides the passages that they cite.
        finished: Whether the answer came to its end; else a last sentence without a stop is a piece of one.
    """
    moved = _AFTER_STOP.sub(lambda match: match[2].strip() + match[1], written)
    claims: dict[str, Claim] = {}
    left_out: dict[str, None] = {}
    parts = list(sentences(moved))
    for sentence in parts:
        raw = moved[sentence.start : sentence.end]
        numbers = [int(n) for match in _NUMBERS.finditer(raw) for n in match[1].split(",")]
        text = " ".join(_NUMBERS.sub("", raw).split())
        if not terms(text) or (text.startswith(_DECLINED) and finished):
            continue
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        cited = _cited(dict.fromkeys(numbers), prompt.numbered)
        if not finished and sentence is parts[-1] and not _ENDED.search(raw):
            left_out[f"a sentence without its end: “{shown}”"] = None
        elif not cited:
            left_out[f"a sentence that cites no passage: “{shown}”"] = None
        elif new := invented_in(
            text, [*told, *(fenced(n, p) for n, p in prompt.numbered.items() if p in cited)]
        ):
            left_out[f"a sentence with “{new[0]}”, which what it cites does not have: “{shown}”"] = None
        elif text not in claims:
            claims[text] = Claim(text=text, citations=[cite(text, passage) for passage in cited])
    return list(claims.values()), list(left_out)


def cite(claim: str, passage: Passage) -> Citation:
    """The sentence of the passage that shares most terms with the claim; else the whole passage."""
    wanted = set(terms(claim))
    start, end, most = 0, len(passage.text), SHARED - 1
    for sentence in sentences(passage.text):
        shared = len(wanted & set(terms(passage.text[sentence.start : sentence.end])))
        if shared > most:
            start, end, most = sentence.start, sentence.end, shared
    return citation(passage, passage.start + start, passage.start + end)


def citation(passage: Passage, start: int, end: int) -> Citation:
    """Characters `start`..`end` of the whole text of the passage's evidence."""
    return Citation(
        node=passage.node,
        evidence=passage.evidence,
        title=passage.title,
        page=passage.page,
        start=start,
        end=end,
        **origin(passage),
    )


def origin(passage: Passage) -> dict[str, Any]:
    """What a hit or citation tells of a passage that is no evidence; nothing for one that is."""
    if passage.evidence:
        return {}
    return {"source": "article", "url": passage.meta["url"], "fetched_at": passage.meta["fetched_at"]}


def _cited(numbers: Mapping[int, None], numbered: Mapping[int, Passage]) -> list[Passage]:
    return [numbered[n] for n in numbers if n in numbered]
