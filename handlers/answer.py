"""A cited answer: a language model's where there is one, else the evidence's own sentences."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from handlers.awaited import while_awaited
from handlers.conversation import ReadTopic, conversation_of
from handlers.embedder import Embedder
from handlers.embedding_cache import EmbeddingCache
from handlers.generated import UNFOUNDED, WrittenCache, citation, generate
from handlers.history import summary_of
from handlers.job import Job
from handlers.models import MayEmbed, Models, Refused, always
from handlers.named import seeds_in
from handlers.prompt import NO_ANSWER, first_shown
from handlers.quoting import Asked, Candidate, Chosen, candidates, choose, kinds_asked
from handlers.terms import terms
from machines.query import Answer, Citation, Claim, ComposeAnswer, Composed
from storage.articles import Articles
from storage.graph import Graph, Passage, rarity
from storage.words import Words

CLOSEST = 2
"""Passages shown where none answers."""

WITHOUT_VECTORS = "passages and sentences were found by words and names, not by meaning"
"""Said in an answer where texts may not be embedded."""


async def compose_answer(
    effect: ComposeAnswer,
    job: Job,
    *,
    graph: Graph,
    words: Words,
    encoder: Embedder,
    models: Models,
    read_topic: ReadTopic,
    summaries: WrittenCache,
    articles: Articles,
    cache: EmbeddingCache | None = None,
    written: WrittenCache | None = None,
    may_embed: MayEmbed = always,
) -> Composed:
    """Answer from the best hits, in their order; the text is streamed as it comes.

    Raises:
        Permanent: The language model's server refuses.
        Temporary: A server does not answer.
        Cancelled: Nobody awaits the answer any more.
    """
    known = await graph.passages(effect.case, effect.nodes)
    known |= await articles.passages(effect.query, [node for node in effect.nodes if node not in known])
    passages = [known[node] for node in effect.nodes if node in known]
    await job.check()
    model, reason = (choice := await models.of_case(effect.case)).model, choice.reason
    told = [reason] if reason else []
    by_meaning: Embedder | None = encoder
    try:
        await may_embed(effect.case)
    except Refused as error:
        by_meaning, told = None, [*told, f"{error}; {WITHOUT_VECTORS}"]
    if model is None:
        quoted = await _quoted(effect, passages, job, graph, words, by_meaning, cache)
        quoted = quoted.model_copy(update={"dropped": [*quoted.dropped, *told]})
        return Composed(effect=job.id, answer=quoted)
    talk = await conversation_of(effect.case, effect.query, effect.conversation, read_topic=read_topic)
    older = talk.said[: first_shown(talk.turns, num_ctx=model.num_ctx)]
    summary = await while_awaited(job, summary_of(effect.case, older, model=model, summaries=summaries))
    answer = await generate(
        effect.question,
        talk.title,
        passages,
        talk.turns,
        job,
        model=model,
        summary=summary,
        thread=effect.conversation,
        case=effect.case,
        kept=written,
    )
    if not answer.supported:
        chosen = await choose_sentences(
            effect.case, effect.question, passages, graph=graph, words=words, encoder=by_meaning, cache=cache
        )
        if answer.text == UNFOUNDED:
            why = f"{model.name} wrote nothing that rests on the evidence; what is shown is quoted from it"
            answer = _of_quotations(chosen).model_copy(update={"dropped": [why, *answer.dropped]})
        else:
            answer = answer.model_copy(update={"claims": _closest(chosen)})
    if told:
        answer = answer.model_copy(update={"dropped": [*answer.dropped, *told]})
    return Composed(effect=job.id, answer=answer)


async def choose_sentences(
    case: str,
    question: str,
    passages: Sequence[Passage],
    *,
    graph: Graph,
    words: Words,
    encoder: Embedder | None,
    cache: EmbeddingCache | None = None,
) -> Chosen:
    """The sentences of the passages to quote in answer to a question; `cache` spares repeats.

    Where they may not go to an embedder (None), words and names alone choose.
    """
    named = await graph.named_at(case, [passage.node for passage in passages])
    found = candidates(passages, named)
    wanted = sorted(set(terms(question)))
    size, frequencies = await words.frequencies(case, wanted)
    weights = {term: rarity(frequencies.get(term, 0), size) for term in wanted}
    _, known = await seeds_in(question, case, graph=graph)
    nodes = frozenset(node for each, _ in known for node in (each.name.node, *each.name.entities))
    asked, texts = Asked(weights, nodes, kinds_asked(question)), [question, *(c.text for c in found)]
    if encoder is None:
        return choose(asked, found)
    if cache is None:
        vectors = await asyncio.to_thread(encoder.encode, texts)
    else:
        vectors = await cache.encode(case, texts)
    return choose(asked, found, vectors[0], vectors[1:])


async def _quoted(
    effect: ComposeAnswer,
    passages: Sequence[Passage],
    job: Job,
    graph: Graph,
    words: Words,
    encoder: Embedder | None,
    cache: EmbeddingCache | None,
) -> Answer:
    chosen = await choose_sentences(
        effect.case, effect.question, passages, graph=graph, words=words, encoder=encoder, cache=cache
    )
    answer, text = _of_quotations(chosen), ""
    for piece in [claim.text for claim in answer.claims] if chosen.supported else [answer.text]:
        piece = f"\n{piece}" if text else piece
        await job.token(piece, len(text))
        text += piece
    return answer


def _of_quotations(chosen: Chosen) -> Answer:
    """The sentences chosen; where they do not answer, that and what comes closest."""
    if not chosen.supported:
        return Answer(mode="extractive", supported=False, text=NO_ANSWER, claims=_closest(chosen))
    claims = [Claim(text=quotation(c), citations=_citations(c)) for c in chosen.candidates]
    return Answer(
        mode="extractive", supported=True, text="\n".join(claim.text for claim in claims), claims=claims
    )


def quotation(candidate: Candidate) -> str:
    """The sentence; one from the body of a mail says who wrote it and when, one of an article where it is.

    A mail's own header needs no such words: it says so itself.
    """
    meta = candidate.passage.meta
    if not candidate.passage.evidence:
        return f"{candidate.passage.title}, {meta['url']}, fetched {meta['fetched']}: “{candidate.text}”"
    senders = [p.get("name") or p.get("address", "") for p in meta.get("from") or ()]
    if not senders or candidate.is_header:
        return candidate.text
    date = str(meta.get("date", ""))[:10]
    return f"{', '.join(senders)}{f', {date}' if date else ''}: “{candidate.text}”"


def _closest(chosen: Chosen) -> list[Claim]:
    """What comes nearest to an answer, marked as no more than that."""
    return [
        Claim(text=f"Closest passage: {quotation(c)}", citations=_citations(c))
        for c in chosen.candidates[:CLOSEST]
    ]


def _citations(candidate: Candidate) -> list[Citation]:
    places = [candidate.heading] if candidate.heading else []
    return [
        citation(candidate.passage, start, end) for start, end in [*places, (candidate.start, candidate.end)]
    ]
