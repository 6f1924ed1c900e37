"""The three legs of retrieval, each within one case: by meaning, by words, by links."""

from __future__ import annotations

import asyncio
import math
import re
from collections import defaultdict
from collections.abc import Sequence

from handlers.beside import store_beside
from handlers.embedder import Embedder
from handlers.embedding_cache import EmbeddingCache
from handlers.focus import blended, focused
from handlers.job import Job
from handlers.models import MayEmbed, always
from handlers.named import seeds_in
from handlers.terms import terms
from machines.query import Found, LegFound, SearchLinks, SearchMeaning, SearchWords
from storage.graph import Graph
from storage.vectors import Vectors
from storage.words import Words

_QUOTED = re.compile(r"[\"“„«]([^\"“”„«»]{2,200})[\"”“»]")

LIMIT = 100
"""Chunks that a leg finds at most."""

MENTIONS_LIMIT = 2000
"""Chunks looked at for one named entity."""


async def search_meaning(
    effect: SearchMeaning,
    job: Job,
    *,
    vectors: Vectors,
    words: Words,
    encoder: Embedder,
    cache: EmbeddingCache | None = None,
    may_embed: MayEmbed = always,
) -> LegFound:
    """Chunks whose vectors are near the question's, scored by cosine; `cache` spares repeats.

    The question is searched for with the mean of its vector and of that of what it asks beside
    the names that are everywhere in the case (`handlers.focus`).

    Raises:
        Permanent: The question may not go to where it would be embedded, or the store of the vectors
            cannot be used.
        Temporary: That store does not answer.
    """
    await may_embed(effect.case)
    chunks, frequencies = await words.frequencies(effect.case, terms(effect.question))
    texts = list(dict.fromkeys([effect.question, focused(effect.question, frequencies, chunks)]))
    if cache is None:
        encoded = await asyncio.to_thread(encoder.encode, texts)
    else:
        encoded = await cache.encode(effect.case, texts)
    await job.check()
    with store_beside():
        found = await vectors.nearest(effect.case, blended(encoded), LIMIT)
    return _found(job, "by_meaning", found)


async def search_words(effect: SearchWords, job: Job, *, words: Words) -> LegFound:
    """Chunks that share terms with the question, scored by BM25.

    What the question puts in quotation marks counts besides as one term for each of its words,
    where a chunk holds it exactly.
    """
    scores = dict(await words.search(effect.case, terms(effect.question), LIMIT))
    for phrase in quoted(effect.question):
        if found := terms(phrase):
            for chunk, score in await words.holding(effect.case, phrase, found):
                scores[chunk] = scores.get(chunk, 0.0) + len(phrase.split()) * score
    best = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    return _found(job, "by_words", best[:LIMIT])


def quoted(question: str) -> list[str]:
    """What stands between double quotation marks of any style, without repeats.

    >>> quoted('Who sent "Low Water" and “the plan”?')
    ['Low Water', 'the plan']
    """
    return list(dict.fromkeys(phrase.strip() for phrase in _QUOTED.findall(question)))


async def search_links(effect: SearchLinks, job: Job, *, graph: Graph) -> LegFound:
    """Chunks that mention what the question names, scored by how rare the named things are.

    Each name adds, for its rarest entity in the chunk, match quality × rarity² × (1 + ln(times) / 5).

    Raises:
        Temporary, Permanent: The store of the graph does not answer, or cannot be used.
    """
    with store_beside():
        _, named = await seeds_in(effect.question, effect.case, graph=graph)
    await job.check()
    entities = sorted({entity for _, rarities in named for entity in rarities})
    chunks_of: dict[int, list[tuple[int, int]]] = defaultdict(list)
    with store_beside():
        mentions = await graph.mentions(effect.case, entities, limit=MENTIONS_LIMIT)
    for chunk, entity, times in mentions:
        chunks_of[entity].append((chunk, times))
    by_form: dict[str, dict[int, float]] = defaultdict(dict)
    for each, rarities in named:
        best = by_form[each.name.text.casefold()]
        for entity, rare in rarities.items():
            for chunk, times in chunks_of[entity]:
                score = each.quality * rare**2 * (1 + math.log(times) / 5)
                best[chunk] = max(best.get(chunk, 0.0), score)
    scores: dict[int, float] = defaultdict(float)
    for form in sorted(by_form):
        for chunk, score in by_form[form].items():
            scores[chunk] += score
    found = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    return _found(job, "by_links", found[:LIMIT])


def _found(job: Job, stage: str, scored: Sequence[tuple[int, float]]) -> LegFound:
    return LegFound(effect=job.id, stage=stage, found=[Found(node=n, score=float(s)) for n, s in scored])
