"""The k best vectors against brute force, ties included."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu import top_k
from gpu.vectors import nearest


def brute_force(queries, vectors, k, metric="dot"):
    queries, vectors = queries.astype(np.float64), vectors.astype(np.float64)
    scores = queries @ vectors.T
    if metric == "cosine":
        lengths = np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(vectors, axis=1)
        scores = np.divide(scores, lengths, out=np.zeros_like(scores), where=lengths > 0)
    order = np.array([np.lexsort((np.arange(len(vectors)), -row)) for row in scores])[:, :k]
    return np.take_along_axis(scores, order, 1), order


def numpied(array):
    return array if isinstance(array, np.ndarray) else array.get()


def whole_numbers(seed, *shape):
    """Small whole numbers: their dot products are exact in any order, and often equal."""
    return np.random.default_rng(seed).integers(-2, 3, shape)


@given(
    seed=st.integers(0, 2**32 - 1),
    q=st.sampled_from([1, 2, 9, nearest.MANY_QUERIES, 70]),
    n=st.integers(1, 150),
    d=st.integers(0, 90),
    k=st.integers(1, 50),
    dtype=st.sampled_from(["float32", "float16"]),
    strided=st.booleans(),
    part_bytes=st.sampled_from([1, 1 << 24]),
    memory_bytes=st.sampled_from([64, 1 << 26]),
)
def test_agrees_with_brute_force_and_breaks_ties_by_index(
    xp, seed, q, n, d, k, dtype, strided, part_bytes, memory_bytes
):
    queries = whole_numbers(seed, q, d).astype(dtype)
    vectors = whole_numbers(seed + 1, n, d).astype(dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest, "_PART_BYTES", part_bytes)
        given_vectors = np.repeat(vectors, 2, axis=1)[:, ::2] if strided else vectors
        scores, indices = top_k(xp.asarray(queries), xp.asarray(given_vectors), k, memory_bytes=memory_bytes)
    sorted_scores, sorted_indices = nearest._scan_by_sorting(
        queries.astype(np.float32), vectors, min(k, n), False, memory_bytes
    )
    expected_scores, expected = brute_force(queries, vectors, k)
    for found in (indices, sorted_indices):
        np.testing.assert_array_equal(numpied(found), expected)
    for found in (scores, sorted_scores):
        np.testing.assert_array_equal(numpied(found), expected_scores)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("q", [1, 40])
def test_a_cosine_is_the_product_over_both_lengths(xp, q, dtype):
    rng = np.random.default_rng(13)
    vectors = (rng.standard_normal((300, 50)) * rng.uniform(0.1, 9, (300, 1))).astype(dtype)
    vectors[7] = 0
    queries = rng.standard_normal((q, 50)).astype(dtype)
    scores, indices = top_k(xp.asarray(queries), xp.asarray(vectors), 300, metric="cosine")
    expected_scores, expected = brute_force(queries, vectors, 300, "cosine")
    np.testing.assert_allclose(numpied(scores), expected_scores, atol=1e-6)
    np.testing.assert_array_equal(numpied(indices)[:, :10], expected[:, :10])


@pytest.mark.parametrize("metric", ["dot", "cosine"])
def test_a_score_is_the_same_bits_for_one_query_and_for_many(metric):
    rng = np.random.default_rng(14)
    vectors = rng.standard_normal((2000, 77)).astype(np.float32)
    queries = rng.standard_normal((40, 77)).astype(np.float32)
    scores, indices = top_k(queries, vectors, 20, metric=metric)
    for query, row, order in zip(queries, scores, indices, strict=True):
        alone, alone_order = top_k(query[None], vectors, 20, metric=metric)
        np.testing.assert_array_equal(alone[0], row)
        np.testing.assert_array_equal(alone_order[0], order)


def test_vectors_in_a_file_are_scanned_where_they_lie(tmp_path):
    vectors = whole_numbers(5, 500, 24).astype(np.float16)
    np.save(tmp_path / "vectors.npy", vectors)
    queries = whole_numbers(6, 3, 24).astype(np.float32)
    scores, indices = top_k(queries, np.load(tmp_path / "vectors.npy", mmap_mode="r"), 7)
    assert type(scores) is type(indices) is np.ndarray
    np.testing.assert_array_equal(indices, brute_force(queries, vectors, 7)[1])


def test_numbers_in_the_other_byte_order_are_read_as_numbers():
    vectors = whole_numbers(5, 50, 24).astype(np.float32)
    queries = whole_numbers(6, 3, 24).astype(np.float32)
    found = top_k(queries.astype(">f4"), vectors.astype(">f4"), 7)[1]
    np.testing.assert_array_equal(found, brute_force(queries, vectors, 7)[1])


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


def test_products_within_their_rounding_rule_no_neighbour_out():
    rng = np.random.default_rng(12)
    queries = rng.standard_normal((40, 384)).astype(np.float32)
    # So alike that the order of the sums decides which product is the larger one.
    vectors = np.repeat(queries, 100, axis=0) + 1e-6 * rng.standard_normal((4000, 384))
    vectors = rng.permutation(vectors.astype(np.float32))
    scores, indices = top_k(queries, vectors, 10)
    for at in range(40):
        alone, alone_order = top_k(queries[at : at + 1], vectors, 10)
        np.testing.assert_array_equal(scores[at], alone[0])
        np.testing.assert_array_equal(indices[at], alone_order[0])


def test_memory_is_kept_to_while_many_scores_are_wanted():
    rng = np.random.default_rng(16)
    vectors = rng.standard_normal((20_000, 24)).astype(np.float32)
    queries = rng.standard_normal((600, 24)).astype(np.float32)
    limit, k = 1 << 24, 500
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest, "_PART_BYTES", 1 << 16)
        top_k(queries[:40], vectors, 3)  # compiles
        tracemalloc.start()
        try:
            scores, indices = top_k(queries, vectors, k, memory_bytes=limit)
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert most - scores.nbytes - indices.nbytes < limit
    whole = top_k(queries, vectors, k)
    np.testing.assert_array_equal(indices, whole[1])
    np.testing.assert_array_equal(scores, whole[0])


@pytest.mark.parametrize("metric", ["dot", "cosine"])
@pytest.mark.parametrize(
    ("query_size", "size"), [(1, 1e-24), (1, 1e-38), (1e-24, 1), (1e-19, 1e-21), (1, 1e-21)]
)
def test_numbers_whose_squares_are_lost_rule_no_neighbour_out(query_size, size, metric):
    rng = np.random.default_rng(15)
    queries = (rng.standard_normal((40, 100)) * query_size).astype(np.float32)
    vectors = rng.standard_normal(100) + 1e-7 * rng.standard_normal((1500, 100))
    vectors = (vectors * size).astype(np.float32)
    scores, indices = top_k(queries, vectors, 10, metric=metric)
    for at in range(40):
        alone, alone_order = top_k(queries[at : at + 1], vectors, 10, metric=metric)
        np.testing.assert_array_equal(scores[at], alone[0])
        np.testing.assert_array_equal(indices[at], alone_order[0])


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


@pytest.mark.parametrize("q", [1, 80])
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
        ([[1.0, 2.0]], np.ones((2, 2), np.float32), 1, TypeError),
    ],
)
def test_what_cannot_be_compared_is_refused(queries, vectors, k, error):
    with pytest.raises(error):
        top_k(queries, vectors, k)


@pytest.mark.parametrize("options", [{"metric": "angle"}, {"memory_bytes": 0}])
def test_an_option_out_of_its_range_is_refused(options):
    with pytest.raises(ValueError, match="must be"):
        top_k(np.ones((1, 3), np.float32), np.ones((2, 3), np.float32), 1, **options)
