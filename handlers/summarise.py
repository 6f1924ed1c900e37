"""A summary in the source's own sentences: those most central in the graph of shared terms."""

from __future__ import annotations

import asyncio
import math
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu import csr_from_edges, pagerank
from handlers.job import Job, Permanent
from handlers.sentences import sentences
from handlers.terms import terms
from machines.upload_events import Summarised, SummariseEvidence
from storage.evidence import EvidenceRow, EvidenceStore, UnknownEvidence

MOST_SENTENCES = 2000
"""Sentences from the beginning that are compared; their similarities are a square of that side."""
MOST_TERMS = 4000
FEWEST, MOST = 3, 5
LONG_FROM = 40
"""Sentences from which a text gets `MOST` instead of `FEWEST`."""

LEAST_TERMS, LONGEST = 5, 400
"""A sentence of the summary holds so many terms and at most so many characters."""

ALIKE = 0.1
"""Cosine from which two sentences are joined."""
SAME = 0.6
"""Cosine from which a sentence adds nothing to one that is taken."""

_LETTERS = re.compile(r"[^\W\d_]")


@dataclass(frozen=True)
class Picked:
    """Characters `start`..`end` of the text are a sentence of its summary."""

    start: int
    end: int


async def summarise_evidence(effect: SummariseEvidence, job: Job, *, evidence: EvidenceStore) -> Summarised:
    """Pick three to five sentences and store them in the order of the text.

    Raises:
        Permanent: The evidence is gone.
    """
    try:
        row = await evidence.get(effect.evidence)
        text = await evidence.text(row.id)
    except UnknownEvidence as error:
        raise Permanent(str(error)) from error
    picked = await asyncio.to_thread(pick, text, _body_start(row, text))
    await job.check()
    summary: list[dict[str, Any]] = [
        {
            "text": re.sub(r"\s+", " ", text[one.start : one.end]),
            "start": one.start,
            "end": one.end,
            "page": page_at(row.pages, one.start),
        }
        for one in picked
    ]
    await evidence.set_summary(row.id, summary)
    return Summarised(effect=job.id, sentences=len(summary))


def pick(text: str, start: int = 0) -> list[Picked]:
    """The most central sentences after `start`, in order; all of them if they are few."""
    found: list[Picked] = []
    bags: list[Counter[str]] = []
    for sentence in sentences(text, start):
        words = text[sentence.start : sentence.end]
        if len(words) > LONGEST or not _reads_as_text(words):
            continue
        bag = Counter(terms(words))
        if len(bag) >= LEAST_TERMS:
            found.append(Picked(sentence.start, sentence.end))
            bags.append(bag)
            if len(found) == MOST_SENTENCES:
                break
    if len(found) <= FEWEST:
        return found
    cosines = _cosines(bags)
    scores = _centrality(cosines)
    wanted = MOST if len(found) >= LONG_FROM else FEWEST
    taken: list[int] = []
    for i in sorted(range(len(found)), key=lambda i: (-scores[i], i)):
        if all(cosines[i, j] < SAME for j in taken):
            taken.append(i)
            if len(taken) == wanted:
                break
    return [found[i] for i in sorted(taken)]


def page_at(pages: Sequence[Sequence[int]], position: int) -> int:
    """The page, from 1, on which a character stands; 0 in a text without pages."""
    return bisect_right([page[0] for page in pages], position)


def _reads_as_text(words: str) -> bool:
    """Neither a table nor a heading in capitals."""
    letters = _LETTERS.findall(words)
    lower = sum(letter.islower() for letter in letters)
    return len(letters) >= 0.6 * len(words.replace(" ", "")) and lower >= 0.5 * len(letters)


def _cosines(bags: Sequence[Counter[str]]) -> NDArray[np.float32]:
    """Cosines of tf-idf vectors; terms that no two sentences share count in the lengths alone."""
    frequency = Counter(term for bag in bags for term in bag)
    shared = sorted((t for t, n in frequency.items() if n > 1), key=lambda t: (-frequency[t], t))[:MOST_TERMS]
    column = {term: i for i, term in enumerate(shared)}
    rows = np.zeros((len(bags), max(1, len(shared))), dtype=np.float32)
    for i, bag in enumerate(bags):
        weights = {
            term: (1 + math.log(count)) * math.log(1 + len(bags) / frequency[term])
            for term, count in bag.items()
        }
        length = math.hypot(*weights.values())
        for term, weight in weights.items():
            if (j := column.get(term)) is not None:
                rows[i, j] = weight / length
    return rows @ rows.T


def _centrality(cosines: NDArray[np.float32]) -> NDArray[np.float64]:
    """PageRank over the similar pairs; what comes early is a little more likely to matter."""
    n = len(cosines)
    source, target = np.nonzero(np.triu(cosines >= ALIKE, k=1))
    graph = csr_from_edges(n, source, target, cosines[source, target].astype(np.float64), symmetric=True)
    reset = 1 + 1 / np.sqrt(1 + np.arange(n, dtype=np.float64))
    scores: NDArray[np.float64] = pagerank(graph, reset / reset.sum(), damping=0.85, tol=1e-8).scores
    return scores


def _body_start(row: EvidenceRow, text: str) -> int:
    """Where a mail's header lines end; 0 for other kinds."""
    if row.media_type != "message/rfc822":
        return 0
    return max(0, text.find("\n\n"))
