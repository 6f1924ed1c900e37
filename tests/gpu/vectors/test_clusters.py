"""Lloyd's iterations against plain ones, and one array against chunks of every size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu import fit_map, kmeans, train_autoencoder
from gpu.threads import limit_threads
from gpu.vectors import clusters
from gpu.vectors.chunks import ROUND_ROWS


def numpied(array):
    return array if isinstance(array, np.ndarray) else array.get()


def crowds(seed, n, d, centres):
    rng = np.random.default_rng(seed)
    means = 4 * rng.standard_normal((centres, d))
    return (means[rng.integers(0, centres, n)] + rng.standard_normal((n, d))).astype(np.float32)


def plain_lloyd(vectors, centres, turns):
    vectors, centres = vectors.astype(np.float64), centres.astype(np.float64)
    for _ in range(turns):
        labels = ((vectors[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        for at in set(labels.tolist()):
            centres[at] = vectors[labels == at].mean(axis=0)
    squares = ((vectors[:, None] - centres) ** 2).sum(axis=2)
    return centres, squares.argmin(axis=1), squares.min(axis=1).sum()


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_iterations_are_those_of_plain_means(xp, dtype):
    vectors = crowds(1, 900, 17, 6).astype(dtype)
    start = vectors[::150].astype(np.float32)
    found = kmeans(xp.asarray(vectors), 6, start=xp.asarray(start), max_iter=4, tol=0)
    centres, labels, inertia = plain_lloyd(vectors, start, 4)
    np.testing.assert_allclose(numpied(found.centres), centres, atol=1e-4)
    np.testing.assert_array_equal(numpied(found.labels), labels)
    assert found.inertia == pytest.approx(inertia, rel=1e-5)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 400),
    k=st.integers(1, 8),
    cuts=st.lists(st.integers(0, 400), max_size=6),
)
def test_chunks_of_any_size_give_the_bits_of_one_array(seed, n, k, cuts):
    vectors = crowds(seed, n, 5, 3)
    k = min(k, n)
    pieces = np.split(vectors, sorted(min(cut, n) for cut in cuts))
    whole = kmeans(vectors, k, max_iter=5)
    split = kmeans(lambda: iter(pieces), k, max_iter=5)
    np.testing.assert_array_equal(whole.centres, split.centres)
    np.testing.assert_array_equal(whole.labels, split.labels)
    assert (whole.inertia, whole.iterations) == (split.inertia, split.iterations)


def test_more_rows_than_a_round_give_the_same_bits_in_chunks_and_on_one_thread():
    vectors = crowds(2, 2 * ROUND_ROWS + 1234, 6, 5)
    whole = kmeans(vectors, 5, max_iter=3, tol=0)
    pieces = np.array_split(vectors, 7)
    split = kmeans(lambda: pieces, 5, max_iter=3, tol=0)
    try:
        limit_threads(1)
        alone = kmeans(vectors, 5, max_iter=3, tol=0)
    finally:
        limit_threads(None)
    for other in (split, alone):
        np.testing.assert_array_equal(whole.centres, other.centres)
        np.testing.assert_array_equal(whole.labels, other.labels)
        assert whole.inertia == other.inertia


def test_crowds_that_lie_apart_are_found(xp):
    rng = np.random.default_rng(3)
    means = 50 * np.eye(8, dtype=np.float32)
    truth = rng.integers(0, 8, 2000)
    vectors = (means[truth] + rng.standard_normal((2000, 8))).astype(np.float32)
    found = kmeans(xp.asarray(vectors), 8, seed=1)
    labels = numpied(found.labels)
    assert all(len(set(labels[truth == at])) == 1 for at in range(8))
    assert found.moved <= 1e-4 * vectors.var(axis=0).mean()


def test_distant_rows_are_more_likely_to_be_chosen_first():
    sample = np.zeros((1000, 2), np.float32)
    sample[:5] = 100 * np.array([[1, 0], [0, 1], [-1, 0], [0, -1], [1, 1]])
    for seed in range(20):
        chosen = clusters.plus_plus(sample, 6, np.random.default_rng(seed))
        assert len(np.unique(chosen, axis=0)) == 6


def test_a_centre_without_vectors_moves_to_the_farthest_vector(xp):
    vectors = np.array([[0, 0], [0, 1], [1, 0], [30, 30]], np.float32)
    start = np.array([[0, 0], [900, 900]], np.float32)
    found = kmeans(xp.asarray(vectors), 2, start=xp.asarray(start))
    assert sorted(np.bincount(numpied(found.labels)).tolist()) == [1, 3]
    assert start[1].tolist() == [900, 900]


def test_as_many_centres_as_vectors_leave_no_distance():
    vectors = np.array([[0, 0], [0, 0], [1, 0], [3, 3]], np.float32)
    found = kmeans(vectors, 4)
    assert found.inertia == 0


def test_strided_read_only_vectors_are_clustered_and_not_written():
    vectors = np.repeat(crowds(4, 300, 6, 3), 2, axis=1)[:, ::2]
    vectors.flags.writeable = False
    found = kmeans(vectors, 3)
    np.testing.assert_array_equal(found.labels, kmeans(np.ascontiguousarray(vectors), 3).labels)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_refused(xp, bad):
    vectors = crowds(5, 3000, 4, 2)
    vectors[2999, 3] = bad
    with pytest.raises(ValueError, match="finite"):
        kmeans(xp.asarray(vectors), 2)
    start = xp.asarray(vectors[2998:])
    with pytest.raises(ValueError, match="finite"):
        kmeans(xp.asarray(vectors[:2998]), 2, start=start)


def test_vectors_without_dimensions_are_refused(xp):
    nothing = xp.zeros((5, 0), dtype=np.float32)
    calls = (
        lambda: kmeans(nothing, 2),
        lambda: fit_map(nothing, (2, 2)),
        lambda: train_autoencoder(nothing, 4, 1),
    )
    for call in calls:
        with pytest.raises(ValueError, match="dimension"):
            call()


@pytest.mark.parametrize(
    ("vectors", "k", "options", "error"),
    [
        (np.ones((3, 2), np.float32), 0, {}, ValueError),
        (np.ones((3, 2), np.float32), 4, {}, ValueError),
        (np.ones((0, 2), np.float32), 1, {}, ValueError),
        (np.ones(3, np.float32), 1, {}, ValueError),
        (np.ones((3, 2)), 1, {}, TypeError),
        (lambda: [np.ones((3, 2), np.float32), np.ones((3, 1), np.float32)], 1, {}, ValueError),
        (list, 1, {}, ValueError),
        (np.ones((3, 2), np.float32), 1, {"tol": -1.0}, ValueError),
        (np.ones((3, 2), np.float32), 1, {"start": np.ones((1, 3), np.float32)}, ValueError),
    ],
)
def test_what_cannot_be_clustered_is_refused(vectors, k, options, error):
    with pytest.raises(error):
        kmeans(vectors, k, **options)
