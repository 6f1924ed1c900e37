"""A made-up instance of any size: who holds how many passages, and what they say, mean and name.

Vectors are drawn like embeddings of texts: 2,000 topics, whose passages differ from each other in 32 of 96
directions and by a little noise, so that two of one topic have a cosine of about 0.5, the nearest of
many about 0.8, and two of different topics about 0. Every case draws from all topics, which is the hardest
way for a walk that must stay within one case. Words follow Zipf's law with Mandelbrot's shift, names
Zipf's. Files of cases lie mixed, as they would have come. Equal numbers make equal crowds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from handlers.terms import terms
from storage.schema import DIMENSIONS

PER_FILE = 20
SMALL, MEDIUM, MIDDLE = 100, 1000, 30_000
"""Passages of a small, a medium and the middle case; the large one has the rest."""
TOKENS = 60
"""Indexed terms of a passage."""
WORDS = 100_000
SHIFT = 20.0
TOPICS, BASIS, LOCAL = 2000, 96, 32
SPREAD, NOISE = 0.9, 0.25
ASIDE = (0.6, 0.5)
"""How far a question lies from the passage that it is about: along the directions, and anywhere."""
MENTIONS = 3
"""Of a passage."""
PER_ENTITY = 10
"""Passages of a case for each thing that is named in it."""
BLOCK = 2000
"""Passages that are made at a time."""

Ints = NDArray[np.int64]
Vectors = NDArray[np.float32]
_SYLLABLES = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
_KINDS = ("person", "person", "organisation", "email", "name")


@dataclass(frozen=True)
class Crowd:
    """All passages of an instance; passage i has the id i + 1, file f the id `chunks` + f + 1."""

    chunks: int

    @cached_property
    def cases(self) -> dict[str, int]:
        """Case → its passages: the large one first, then the middle one, then many."""
        middle = min(MIDDLE, 2 * self.chunks // 5 // PER_FILE * PER_FILE)
        small, medium = self.chunks // 5000, self.chunks // 20_000
        rest = self.chunks - middle - small * SMALL - medium * MEDIUM
        sizes = [rest, middle, *[SMALL] * small, *[MEDIUM] * medium]
        return {f"case{i:08d}": size for i, size in enumerate(sizes)}

    @cached_property
    def names(self) -> list[str]:
        return list(self.cases)

    @cached_property
    def large(self) -> str:
        return self.names[0]

    @cached_property
    def middle(self) -> str:
        return self.names[1]

    @cached_property
    def small(self) -> list[str]:
        """The cases of exactly `SMALL` passages."""
        return [case for case, size in self.cases.items() if size == SMALL]

    @cached_property
    def case_of_file(self) -> Ints:
        """Position of each file's case, the files of all cases mixed."""
        files = [size // PER_FILE for size in self.cases.values()]
        return np.random.default_rng(1).permutation(np.repeat(np.arange(len(files)), files))

    @cached_property
    def topic(self) -> Ints:
        """Of each passage: most often that of its file."""
        chance = np.random.default_rng(2)
        own = chance.integers(0, TOPICS, self.chunks)
        of_file = np.repeat(chance.integers(0, TOPICS, len(self.case_of_file)), PER_FILE)
        return np.where(chance.random(self.chunks) < 0.7, of_file, own)

    def of_case(self, case: str) -> Ints:
        """Positions of its passages, rising."""
        files = np.flatnonzero(self.case_of_file == self.names.index(case))
        return (files[:, None] * PER_FILE + np.arange(PER_FILE)).ravel()

    def blocks(self) -> Iterator[Ints]:
        """Positions of all passages, a block at a time."""
        for first in range(0, self.chunks, BLOCK):
            yield np.arange(first, min(first + BLOCK, self.chunks))

    @cached_property
    def _space(self) -> tuple[Vectors, Vectors, Vectors]:
        chance = np.random.default_rng(3)
        centres = _unit(chance.standard_normal((TOPICS, DIMENSIONS)))
        basis = _unit(chance.standard_normal((BASIS, DIMENSIONS)))
        used = np.argsort(chance.random((TOPICS, BASIS)), axis=1) < LOCAL
        return centres, basis, (used * SPREAD / np.sqrt(LOCAL)).astype(np.float32)

    def vectors(self, block: Ints) -> Vectors:
        """Unit vectors of a block from `blocks`."""
        chance = np.random.default_rng([4, int(block[0])])
        centres, basis, scale = self._space
        topics = self.topic[block]
        along = chance.standard_normal((len(block), BASIS), dtype=np.float32) * scale[topics]
        noise = chance.standard_normal((len(block), DIMENSIONS), dtype=np.float32)
        return _unit(centres[topics] + along @ basis + noise * np.float32(NOISE / np.sqrt(DIMENSIONS)))

    def asked_near(self, passages: Ints, seed: int) -> Vectors:
        """The vectors of questions about these passages."""
        chance = np.random.default_rng([5, seed])
        found = []
        for passage in passages.tolist():
            first = passage // BLOCK * BLOCK
            block = np.arange(first, min(first + BLOCK, self.chunks))
            along = chance.standard_normal(BASIS) / np.sqrt(BASIS) @ self._space[1]
            noise = chance.standard_normal(DIMENSIONS) / np.sqrt(DIMENSIONS)
            aside = ASIDE[0] * along + ASIDE[1] * noise
            found.append(self.vectors(block)[passage - first] + aside.astype(np.float32))
        return _unit(np.array(found))

    @cached_property
    def words(self) -> list[str]:
        """The vocabulary, the commonest word first; each is its own term."""
        chance = np.random.default_rng(6)
        found: dict[str, None] = {}
        while len(found) < WORDS:
            for drawn in chance.choice(_SYLLABLES, (20_000, 4)).tolist():
                word = "".join(drawn[: 2 if len(found) < 2000 else 3 + len(found) % 2])
                if terms(word) == [word]:
                    found[word] = None
        return list(found)[:WORDS]

    def tokens(self, block: Ints) -> Ints:
        """Shape (passages, `TOKENS`): positions in `words`."""
        chance = np.random.default_rng([7, int(block[0])])
        # The inverse of the sum of 1 / (rank + shift), which is nearly a logarithm.
        share = chance.random((len(block), TOKENS))
        rank = (SHIFT + 1) * ((WORDS + SHIFT) / (SHIFT + 1)) ** share - SHIFT - 1
        return np.clip(rank.astype(np.int64), 0, WORDS - 1)

    def text(self, passage: int) -> str:
        """What a passage says."""
        first = passage // BLOCK * BLOCK
        block = np.arange(first, min(first + BLOCK, self.chunks))
        return " ".join(self.words[i] for i in self.tokens(block)[passage - first].tolist())

    @cached_property
    def entities(self) -> list[tuple[int, str, str, str]]:
        """Id, case, kind and name of all that is named, by case."""
        first = self.chunks + len(self.case_of_file) + 1
        found, chance = [], np.random.default_rng(8)
        for case, count in self.entity_counts.items():
            drawn = chance.integers(0, len(_SYLLABLES), (count, 6)).tolist()
            for i, parts in enumerate(drawn):
                one, two = ("".join(_SYLLABLES[p] for p in part) for part in (parts[:2], parts[2:]))
                kind = _KINDS[i % len(_KINDS)]
                name = f"{one}.{two}{i}@example.org" if kind == "email" else f"{one.title()} {two.title()}"
                found.append((first + len(found), case, kind, name))
        return found

    @cached_property
    def entity_counts(self) -> dict[str, int]:
        return {case: max(size // PER_ENTITY, 10) for case, size in self.cases.items()}

    def mentioned(self, block: Ints) -> Ints:
        """Shape (passages, `MENTIONS`): positions in `entities`, the first of a case the commonest."""
        chance = np.random.default_rng([9, int(block[0])])
        counts = np.array(list(self.entity_counts.values()))
        first = np.cumsum(counts) - counts
        case = self.case_of_file[block // PER_FILE]
        share = chance.random((len(block), MENTIONS))
        rank = np.power(counts[case][:, None] + 1.0, share).astype(np.int64) - 1
        return first[case][:, None] + np.minimum(rank, counts[case][:, None] - 1)


def _unit(values: NDArray[np.floating]) -> Vectors:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)
