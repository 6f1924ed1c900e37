"""An answer in a language model's words, kept only as far as it cites what it was given."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from hashlib import sha256
from typing import Any, Protocol

from handlers.job import Job, Permanent
from handlers.language_model import ContextExceeded, LanguageModel
from handlers.prompt import NO_ANSWER, Prompt, PromptTooLong, Turn, compose
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

_NUMBERS = re.compile(r"\s*\[\s*(\d+(?:\s*,\s*\d+)*)\s*\]")
_AFTER_STOP = re.compile(rf"([.!?])((?:{_NUMBERS.pattern})+)")


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
    """Have the model answer from the passages, streaming what it writes; what cites nothing is left out.

    The same prompt gives the same text (temperature 0, a fixed seed), so that one that is `kept` of the
    `case` is not written again. What the server finds too long is composed anew with less in it.

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
    claims, unfounded = claims_in(written, prompt)
    return Answer(
        mode="generated",
        supported=bool(claims),
        text=" ".join(claim.text for claim in claims) or NO_ANSWER,
        claims=claims,
        model=model.name,
        dropped=[*prompt.dropped, *(f"a sentence that cites no passage: “{text}”" for text in unfounded)],
    )


async def _written(
    prompt: Prompt, job: Job, model: LanguageModel, thread: str, case: str, kept: WrittenCache | None
) -> str:
    key = sha256("\0".join([model.name, str(model.num_ctx), prompt.system, prompt.user]).encode()).hexdigest()
    if kept is not None:
        [before] = await kept.get(case, [key])
        if before is not None:
            text = before.decode()
            await job.token(text, 0)
            return text
    written = ""
    async with aclosing(model.stream(prompt.system, prompt.user, thread=thread)) as pieces:
        async for piece in pieces:
            await job.token(piece, len(written))
            written += piece
    if kept is not None:
        await kept.put(case, {key: written.encode()})
    return written


def claims_in(written: str, prompt: Prompt) -> tuple[list[Claim], list[str]]:
    """The sentences that cite passages of the prompt, and those that do not.

    Numbers that the prompt does not have are no citations. The words for having no answer are
    neither.
    """
    moved = _AFTER_STOP.sub(lambda match: match[2].strip() + match[1], written)
    claims, unfounded = [], []
    for sentence in sentences(moved):
        raw = moved[sentence.start : sentence.end]
        numbers = [int(n) for match in _NUMBERS.finditer(raw) for n in match[1].split(",")]
        text = " ".join(_NUMBERS.sub("", raw).split())
        if not terms(text) or text.rstrip(".") == NO_ANSWER.rstrip("."):
            continue
        cited = _cited(dict.fromkeys(numbers), prompt.numbered)
        if cited:
            claims.append(Claim(text=text, citations=[cite(text, passage) for passage in cited]))
        else:
            unfounded.append(text)
    return claims, unfounded


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
