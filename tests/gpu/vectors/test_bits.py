"""Codes against counted bits, and the search through them against the exact one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu import bit_extend, bit_index, bit_top_k, top_k
from gpu.vectors import bits_cupy, codes


def numpied(array):
    return array if isinstance(array, np.ndarray) else array.get()


def crowds(seed, n, d, centres=30):
    """Unit vectors in crowds that differ in few directions, as texts about the same things give."""
    rng = np.random.default_rng(seed)
    means, directions = rng.standard_normal((centres, d)), rng.standard_normal((16, d))
    found = means[rng.integers(0, centres, n)] + 0.3 * rng.standard_normal((n, 16)) @ directions
    found += 0.1 * rng.standard_normal((n, d)) + 0.5
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def shared(found, expected):
    """How many of its neighbours a query finds on average."""
    pairs = zip(numpied(found).tolist(), expected.tolist(), strict=True)
    return np.mean([len(set(one) & set(other)) for one, other in pairs])


def nearest(distances, wanted):
    order = np.lexsort((np.arange(len(distances)), distances))[:wanted]
    return np.sort(order)


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 200),
    words=st.integers(1, 4),
    wanted=st.integers(1, 60),
    alike=st.booleans(),
)
def test_gathered_codes_are_the_nearest_with_ties_by_place(seed, n, words, wanted, alike):
    rng = np.random.default_rng(seed)
    many = rng.integers(0, 4 if alike else 2**63, (n, words), dtype=np.uint64)
    query = rng.integers(0, 2**63, words, dtype=np.uint64)
    distances = np.bitwise_count(many ^ query).sum(axis=1, dtype=np.int64)
    wanted = min(wanted, n)
    places, found = np.empty((2, wanted + 3 * codes.GROUP), np.int64)
    groups = codes.grouped(many)
    for limit in (
        64 * words,
        max(codes.likely_limit(groups, query, wanted), int(np.sort(distances)[wanted - 1])),
    ):
        filled, _ = codes.gather(groups, 0, len(groups), n, query, wanted, 0, limit, places, found)
        filled, _ = codes.nearest_of(wanted, filled, 64 * words, places, found)
        np.testing.assert_array_equal(places[:filled], nearest(distances, wanted))
        np.testing.assert_array_equal(found[:filled], distances[places[:filled]])


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 60), q=st.integers(1, 4), wanted=st.integers(1, 60))
def test_counting_finds_the_same_places_as_sorting(xp, seed, n, q, wanted):
    distances = np.random.default_rng(seed).integers(0, 9, (q, n)).astype(np.uint16)
    wanted = min(wanted, n)
    found = bits_cupy.nearest_by_counting(xp.asarray(distances), wanted, 64)
    np.testing.assert_array_equal(numpied(found), [nearest(row, wanted) for row in distances])


@pytest.mark.parametrize("metric", ["dot", "cosine"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_rescoring_all_is_the_exact_search(xp, dtype, metric):
    vectors = (crowds(1, 500, 50) * np.linspace(0.5, 2, 500)[:, None]).astype(dtype)
    queries = crowds(2, 20, 50)
    index = bit_index(xp.asarray(vectors))
    scores, indices = bit_top_k(index, xp.asarray(queries), 12, shortlist=500, rescore=500, metric=metric)
    expected_scores, expected = top_k(queries, vectors, 12, metric=metric)
    np.testing.assert_array_equal(numpied(indices), expected)
    np.testing.assert_allclose(numpied(scores), expected_scores, rtol=1e-5)


@pytest.mark.parametrize("metric", ["dot", "cosine"])
def test_a_tenth_of_the_codes_and_a_hundredth_of_the_vectors_hold_the_nearest(xp, metric):
    vectors, queries = crowds(3, 10_000, 384), crowds(3, 10_100, 384)[10_000:]
    index = bit_index(xp.asarray(vectors))
    scores, indices = bit_top_k(index, xp.asarray(queries), 10, shortlist=1000, rescore=100, metric=metric)
    expected = top_k(queries, vectors, 10, metric=metric)[1]
    assert shared(indices, expected) >= 9.8
    assert (np.diff(numpied(scores)) <= 0).all()


def test_estimates_take_the_lengths_of_vectors_into_account(xp):
    rng = np.random.default_rng(4)
    vectors = (rng.standard_normal((2000, 200)) * np.exp(rng.standard_normal((2000, 1)))).astype(np.float32)
    queries = rng.standard_normal((50, 200)).astype(np.float32)
    index = bit_index(xp.asarray(vectors))
    for metric in ("dot", "cosine"):
        indices = bit_top_k(index, xp.asarray(queries), 5, shortlist=2000, rescore=200, metric=metric)[1]
        assert shared(indices, top_k(queries, vectors, 5, metric=metric)[1]) >= 4.5


@pytest.mark.parametrize("sizes", [(1, 2, 40), (31, 32, 33), (64, 64, 100)])
def test_an_extended_index_finds_what_was_added_and_leaves_the_first_alone(xp, sizes):
    vectors = xp.asarray(crowds(5, sizes[-1], 70))
    queries = vectors[-1:]
    first = index = bit_index(vectors[: sizes[0]])
    before = bit_top_k(first, queries, 3)
    for size in sizes[1:]:
        index = bit_extend(index, vectors[:size])
        assert len(index) == size
        expected = top_k(queries, vectors[:size], 5)[1]
        np.testing.assert_array_equal(numpied(bit_top_k(index, queries, 5)[1]), numpied(expected))
    alone = bit_index(vectors[: sizes[0]])
    whole = bit_extend(alone, vectors)
    # On a GPU a matrix product depends on how many rows it has, in the last bits.
    np.testing.assert_allclose(numpied(whole.scales), numpied(index.scales), rtol=1e-5)
    if xp is np:
        np.testing.assert_array_equal(whole.fine, index.fine)
        np.testing.assert_array_equal(whole.coarse, index.coarse)
    for one, other in zip(bit_top_k(first, queries, 3), before, strict=True):
        np.testing.assert_array_equal(numpied(one), numpied(other))


def test_equal_seeds_give_equal_codes_and_queries_together_what_they_give_alone():
    vectors = crowds(6, 700, 90)
    one, other = bit_index(vectors, seed=3), bit_index(vectors, seed=3)
    np.testing.assert_array_equal(one.fine, other.fine)
    assert (bit_index(vectors, seed=4).fine != one.fine).any()
    scores, indices = bit_top_k(one, vectors[:40], 7, shortlist=50, rescore=20)
    for at in range(40):
        alone = bit_top_k(one, vectors[at : at + 1], 7, shortlist=50, rescore=20)
        np.testing.assert_array_equal(alone[0][0], scores[at])
        np.testing.assert_array_equal(alone[1][0], indices[at])


def test_equal_vectors_are_ordered_by_index_even_where_few_are_rescored():
    vectors = np.ones((300, 8), np.float32)
    indices = bit_top_k(bit_index(vectors), vectors[:1], 3, shortlist=10, rescore=5)[1]
    assert indices.tolist() == [[0, 1, 2]]


def test_strided_and_read_only_vectors_are_indexed_and_not_written(tmp_path):
    vectors = crowds(7, 100, 60)
    wide = np.repeat(vectors, 2, axis=1)[:, ::2]
    wide.flags.writeable = False
    np.save(tmp_path / "vectors.npy", vectors)
    for given_vectors in (wide, np.load(tmp_path / "vectors.npy", mmap_mode="r")):
        indices = bit_top_k(bit_index(given_vectors), vectors[:3], 4)[1]
        np.testing.assert_array_equal(indices, top_k(vectors[:3], vectors, 4)[1])
    kept = bit_index(vectors).vectors
    assert np.shares_memory(kept, vectors)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(xp, bad):
    vectors = crowds(8, 40, 20)
    index = bit_index(xp.asarray(vectors))
    spoilt = vectors.copy()
    spoilt[33, 5] = bad
    spoilt = xp.asarray(spoilt)
    for call in (
        lambda: bit_index(spoilt),
        lambda: bit_extend(index, xp.concatenate([index.vectors, spoilt])),
        lambda: bit_top_k(index, spoilt, 3),
    ):
        with pytest.raises(ValueError, match="not finite"):
            call()


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda index: bit_index(np.ones((0, 3), np.float32)), ValueError),
        (lambda index: bit_index(np.ones(3, np.float32)), ValueError),
        (lambda index: bit_index(np.ones((2, 3))), TypeError),
        (lambda index: bit_extend(index, np.ones((2, 20), np.float32)), ValueError),
        (lambda index: bit_extend(index, np.ones((50, 3), np.float32)), ValueError),
        (lambda index: bit_top_k(index, np.ones((1, 3), np.float32), 1), ValueError),
        (lambda index: bit_top_k(index, np.ones((1, 20), np.float32), 0), ValueError),
        (lambda index: bit_top_k(index, np.ones((1, 20), np.float32), 9, rescore=8), ValueError),
        (lambda index: bit_top_k(index, np.ones((1, 20), np.float32), 1, shortlist=8), ValueError),
        (lambda index: bit_top_k(index, np.ones((1, 20), np.float32), 1, metric="l2"), ValueError),
    ],
)
def test_what_cannot_be_searched_is_refused(call, error):
    index = bit_index(crowds(9, 40, 20))
    with pytest.raises(error):
        call(index)


def test_no_queries_give_no_rows():
    scores, indices = bit_top_k(bit_index(crowds(9, 40, 20)), np.empty((0, 20), np.float32), 3)
    assert scores.shape == indices.shape == (0, 3)
