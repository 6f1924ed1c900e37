"""The k best vectors against brute force, ties included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu import top_k
from gpu.vectors import nearest


def brute_force(queries, vectors, k):
    scores = queries.astype(np.float64) @ vectors.astype(np.float64).T
    order = np.array([np.lexsort((np.arange(len(vectors)), -row)) for row in scores])[:, :k]
    return np.take_along_axis(scores, order, 1), order


def numpied(array):
    return array if isinstance(array, np.ndarray) else array.get()


def whole_numbers(seed, *shape):
    """Small whole numbers: their dot products are exact in any order, and often equal."""
    return np.random.default_rng(seed).integers(-2, 3, shape)


@given(
    seed=st.integers(0, 2**32 - 1),
    q=st.integers(1, 9),
    n=st.integers(1, 40),
    d=st.integers(1, 20),
    k=st.integers(1, 50),
    dtype=st.sampled_from(["float32", "float16"]),
    chunk_bytes=st.sampled_from([64, 1 << 26]),
)
def test_agrees_with_brute_force_and_breaks_ties_by_index(xp, seed, q, n, d, k, dtype, chunk_bytes):
    queries = whole_numbers(seed, q, d).astype(dtype)
    vectors = whole_numbers(seed + 1, n, d).astype(dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest, "CHUNK_BYTES", chunk_bytes)
        scores, indices = top_k(xp.asarray(queries), xp.asarray(vectors), k)
        sorted_scores, sorted_indices = nearest._scan_by_sorting(
            queries.astype(np.float32), vectors, min(k, n)
        )
    expected_scores, expected = brute_force(queries, vectors, k)
    for found in (indices, sorted_indices):
        np.testing.assert_array_equal(numpied(found), expected)
    for found in (scores, sorted_scores):
        np.testing.assert_array_equal(numpied(found), expected_scores)


@pytest.mark.parametrize("q", [1, nearest.MANY_QUERIES, 40])
def test_equal_vectors_have_equal_scores_wherever_they_lie(q):
    rng = np.random.default_rng(8)
    distinct = rng.standard_normal((7, 383)).astype(np.float32)
    vectors = distinct[rng.integers(0, 7, 1003)]
    queries = rng.standard_normal((q, 383)).astype(np.float32)
    scores, indices = top_k(queries, vectors, 400)
    for row, order in zip(scores, indices, strict=True):
        assert (np.diff(row) <= 0).all()
        ties = np.diff(row) == 0
        assert (np.diff(order)[ties] > 0).all()
        assert len(np.unique(row)) <= 7


def test_a_matrix_product_within_its_rounding_rules_no_neighbour_out():
    rng = np.random.default_rng(12)
    queries = rng.standard_normal((4, 384)).astype(np.float32)
    vectors = (queries[0] + 1e-3 * rng.standard_normal((500, 384))).astype(np.float32)
    lengths = np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(vectors, axis=1)
    wrong = queries @ vectors.T - (lengths * 2 * 384 * 2.0**-24).astype(np.float32)
    scores = np.full((4, 10), -np.inf, np.float32)
    indices = np.full((4, 10), np.iinfo(np.int64).max)
    # Rising scores: each vector only just displaces the one before.
    order = np.argsort(queries[0] @ vectors.T)
    assert nearest._scan_likely(queries, vectors[order], wrong[:, order], 0, scores, indices)
    _, expected = brute_force(queries, vectors[order], 10)
    np.testing.assert_array_equal(np.sort(indices), np.sort(expected))


@pytest.mark.parametrize("q", [1, 64])
def test_real_numbers_agree_to_rounding(xp, q):
    rng = np.random.default_rng(9)
    vectors = rng.standard_normal((3000, 384)).astype(np.float32)
    queries = rng.standard_normal((q, 384)).astype(np.float32)
    scores, indices = top_k(xp.asarray(queries), xp.asarray(vectors), 10)
    expected_scores, expected = brute_force(queries, vectors, 10)
    np.testing.assert_allclose(numpied(scores), expected_scores, rtol=1e-5)
    np.testing.assert_array_equal(numpied(indices), expected)


def test_strided_read_only_vectors_are_read_and_not_written():
    vectors = whole_numbers(3, 30, 12).astype(np.float32)[::3, ::2]
    queries = whole_numbers(4, 4, 3).astype(np.float32).T[:, :1].repeat(6, axis=1)
    vectors.flags.writeable = queries.flags.writeable = False
    scores, indices = top_k(queries, vectors, 3)
    expected_scores, expected = brute_force(queries, vectors, 3)
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_array_equal(scores, expected_scores)


def test_no_vectors_give_no_neighbours():
    scores, indices = top_k(np.ones((2, 4), np.float32), np.ones((0, 4), np.float32), 5)
    assert scores.shape == indices.shape == (2, 0)


def test_even_the_lowest_scores_are_returned():
    vectors = np.full((3, 1), np.float32(-3e38))
    scores, indices = top_k(np.full((1, 1), np.float32(10.0)), vectors, 2)
    assert indices.tolist() == [[0, 1]]
    assert scores.tolist() == [[-np.inf, -np.inf]]


@pytest.mark.parametrize("q", [1, 8])
def test_a_score_that_is_no_number_is_an_error(q):
    vectors = np.ones((5, 3), np.float32)
    vectors[4, 1] = np.nan
    with pytest.raises(ValueError, match="not a number"):
        top_k(np.ones((q, 3), np.float32), vectors, 2)


@pytest.mark.parametrize(
    ("queries", "vectors", "k", "error"),
    [
        (np.ones((1, 3), np.float32), np.ones((2, 4), np.float32), 1, ValueError),
        (np.ones(3, np.float32), np.ones((2, 3), np.float32), 1, ValueError),
        (np.ones((1, 3), np.float32), np.ones((2, 3), np.float32), 0, ValueError),
        (np.ones((1, 3), np.float32), np.ones((2, 3), np.float64), 1, TypeError),
    ],
)
def test_what_cannot_be_compared_is_refused(queries, vectors, k, error):
    with pytest.raises(error):
        top_k(queries, vectors, k)
