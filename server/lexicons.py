"""The words of the cases that are asked about, ready in this process; built anew when a case changes."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass

from handlers.did_you_mean import Lexicon, Meant, did_you_mean, doubtful
from storage.case_words import CaseWords
from storage.graph import Graph
from storage.prepared import Prepared

IDLE_S = 600.0
"""How long the words of a case are kept after they were last needed."""
MOST = 8
"""Cases whose words are kept, those of the last questions."""


@dataclass
class _Kept:
    stamp: str
    lexicon: Lexicon
    used: float


class Lexicons:
    """Says what a question probably meant, by the names and words of its case."""

    def __init__(self, graph: Graph, words: CaseWords, prepared: Prepared) -> None:
        self._graph = graph
        self._words = words
        self._prepared = prepared
        self._kept: dict[str, _Kept] = {}
        self._building: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def meant(self, case: str, question: str) -> Meant:
        """The question with its slips mended; see `handlers.did_you_mean`."""
        terms = doubtful(question)
        having = await self._words.having(case, list(terms.values()))
        if having.issuperset(terms.values()):
            return Meant("", [])
        lexicon = await self._of(case)
        return await asyncio.to_thread(did_you_mean, question, lexicon, having)

    async def _of(self, case: str) -> Lexicon:
        async with self._building[case]:
            # Asked for before anything is read: what changes meanwhile makes the next question build anew.
            stamp = await self._prepared.words(case)
            kept = self._kept.get(case)
            if kept is None or kept.stamp != stamp:
                names, frequent = await self._graph.names(case), await self._words.frequent(case)
                kept = _Kept(stamp, await asyncio.to_thread(Lexicon, names, frequent), 0.0)
                self._kept[case] = kept
        loop = asyncio.get_running_loop()
        kept.used = loop.time()
        loop.call_later(IDLE_S, self._prune)
        self._prune()
        return kept.lexicon

    def _prune(self) -> None:
        oldest = asyncio.get_running_loop().time() - IDLE_S
        latest = sorted(self._kept, key=lambda case: -self._kept[case].used)
        for i, case in enumerate(latest):
            if i >= MOST or self._kept[case].used <= oldest:
                del self._kept[case]
                self._building.pop(case, None)
