"""The best chunks are found without reading all postings, whatever the postings are."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from storage.top_chunks import Asked, Floats, Ids, top_chunks

CHUNKS = 60
WEIGHTS = st.dictionaries(
    st.integers(1, CHUNKS), st.sampled_from([0.25, 0.5, 1.0, 1.5, 3.0, 8.0]), min_size=1
)


class Read:
    """Postings in memory, which counts how many are asked for."""

    def __init__(self, postings: list[dict[int, float]], loose: float) -> None:
        self._of = {f"t{i}": postings[i] for i in range(len(postings))}
        self.asked = [Asked(term, len(of), loose * max(of.values())) for term, of in self._of.items()]
        self.read = 0

    async def __call__(self, term: str, chunks: Ids | None = None) -> tuple[Ids, Floats]:
        of = self._of[term]
        wanted = sorted(of if chunks is None else of.keys() & set(chunks.tolist()))
        self.read += len(wanted)
        return np.array(wanted, dtype=np.int64), np.array([of[one] for one in wanted], dtype=np.float64)


@given(st.lists(WEIGHTS, min_size=1, max_size=6), st.integers(1, 20), st.sampled_from([1.0, 1.3]))
def test_the_best_are_among_what_is_found_with_all_that_equal_the_last(
    postings: list[dict[int, float]], limit: int, loose: float
) -> None:
    sums: dict[int, float] = defaultdict(float)
    for of in postings:
        for chunk, weight in of.items():
            sums[chunk] += weight
    least = sorted(sums.values(), reverse=True)[:limit][-1]
    read = Read(postings, loose)
    found = asyncio.run(top_chunks(read.asked, limit, read))
    assert set(found.tolist()) >= {chunk for chunk, total in sums.items() if total >= least}
    assert len(found) == len(set(found.tolist()))
    assert all(sums[chunk] >= least - 1e-6 for chunk in found.tolist())


async def test_a_common_term_is_looked_up_for_few_chunks_alone() -> None:
    rare = dict.fromkeys(range(1, 6), 9.0)
    common = dict.fromkeys(range(1, 10000), 1.0)
    read = Read([rare, common], 1.0)
    assert sorted((await top_chunks(read.asked, 3, read)).tolist()) == [1, 2, 3, 4, 5]
    assert read.read == 10
