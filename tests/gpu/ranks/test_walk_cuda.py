"""The one-launch solver for GPUs against dense algebra: rows of every length, many columns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gpu import rehearsal

pytestmark = pytest.mark.parametrize(
    "xp", ["rehearsal", pytest.param("cupy", marks=pytest.mark.gpu)], indirect=True
)
DAMPINGS = st.sampled_from([0.0, 0.5, 0.85])


@pytest.fixture(scope="module")
def solve(xp):
    """`solve_cuda` on copies: (iterations, residual, scores), all as NumPy has them."""
    if xp is rehearsal.cupy() and (problem := rehearsal.kernels.why_not()):
        pytest.skip(problem)

    def call(matrix, base, start, damping, tol, max_iter=2000, **options):
        from gpu.ranks.walk_cuda import solve_cuda

        indptr, sources, probabilities = (xp.asarray(array) for array in matrix)
        scores = xp.asarray(start)
        iterations, residual = solve_cuda(
            indptr,
            sources,
            probabilities.astype(scores.dtype),
            xp.asarray(base),
            scores,
            damping,
            tol,
            max_iter,
            **options,
        )
        return iterations, residual, scores.get()

    return call


def walk(lengths, seed):
    """CSR arrays of A and A itself; row i has `lengths[i]` links, columns sum to at most one."""
    rng = np.random.default_rng(seed)
    n = len(lengths)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    sources = rng.integers(0, n, indptr[-1]).astype(np.uint32)
    weights = rng.random(len(sources)) * (rng.random(len(sources)) < 0.9)
    totals = np.bincount(sources, weights, n)
    probabilities = weights / np.where(totals > 0, totals, 1.0)[sources]
    dense = np.zeros((n, n))
    np.add.at(dense, (np.repeat(np.arange(n), lengths), sources), probabilities)
    return (indptr, sources, probabilities), dense


def exact(dense, base, damping):
    return np.linalg.solve(np.eye(len(dense)) - damping * dense, base)


LENGTHS = st.lists(
    st.sampled_from([0, 0, 1, 3, 4, 5, 8, 9, 20, 33, 65, 255, 256, 257, 600]), min_size=1, max_size=12
)


@settings(max_examples=60)
@given(
    lengths=LENGTHS,
    columns=st.sampled_from([None, 1, 2, 3, 4, 6, 16, 37]),
    dtype=st.sampled_from(["float32", "float64"]),
    damping=DAMPINGS,
    seed=st.integers(0, 2**32 - 1),
)
def test_agrees_with_the_dense_solution(solve, lengths, columns, dtype, damping, seed):
    matrix, dense = walk(lengths, seed)
    rng = np.random.default_rng(seed)
    shape = (len(lengths),) if columns is None else (len(lengths), columns)
    base = rng.random(shape) / len(lengths)
    start = rng.random(shape)
    tol = 1e-12 if dtype == "float64" else 1e-5
    iterations, residual, scores = solve(matrix, base.astype(dtype), start.astype(dtype), damping, tol)
    assert residual <= tol
    assert 1 <= iterations <= 400
    assert scores.dtype == dtype
    error = np.abs(scores - exact(dense, base, damping)).sum(axis=0).max()
    assert error <= residual / (1 - damping) + (1e-13 if dtype == "float64" else 2e-5)


def both_ways(lengths, seed):
    """`walk` of a graph whose links all run both ways, with weights of their own."""
    (indptr, sources, _), _ = walk(lengths, seed)
    n = len(lengths)
    weights = np.zeros((n, n))
    rows = np.repeat(np.arange(n), np.diff(indptr))
    np.add.at(weights, (rows, sources), np.random.default_rng(seed + 1).random(len(rows)))
    weights += weights.T
    totals = weights.sum(axis=0)
    dense = weights / np.where(totals > 0, totals, 1)
    at = np.nonzero(dense)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(at[0], minlength=n))])
    return (indptr, at[1].astype(np.uint32), dense[at]), dense


@given(
    n=st.integers(1, 40),
    density=st.floats(0, 4),
    columns=st.sampled_from([1, 2, 5]),
    damping=DAMPINGS,
    seed=st.integers(0, 2**32 - 1),
)
def test_where_links_run_both_ways_fewer_iterations_do(solve, n, density, columns, damping, seed):
    rng = np.random.default_rng(seed)
    matrix, dense = both_ways(rng.poisson(density, n), seed)
    base, start = rng.random((2, n, columns))
    iterations, residual, scores = solve(matrix, base, start, damping, 1e-9, undirected=True)
    assert residual <= 1e-9
    left = np.abs(base + damping * dense @ scores - scores).sum(axis=0).max()
    assert residual == pytest.approx(left, rel=1e-3, abs=1e-13)
    assert iterations <= 2 + solve(matrix, base, start, damping, 1e-9)[0]
    if damping == 0.85:
        assert iterations <= 60


@given(lengths=LENGTHS.filter(lambda found: sum(found) < 200), seed=st.integers(0, 2**32 - 1))
def test_links_that_run_both_ways_are_known(xp, solve, lengths, seed):
    from gpu.ranks.walk_cuda import runs_both_ways

    one_way, dense = walk(lengths, seed)
    assert not runs_both_ways(*map(xp.asarray, one_way)) or np.allclose(dense, dense.T)
    n = len(lengths)
    mutual = np.random.default_rng(seed).integers(0, 3, (n, n)) * 0.5
    mutual += mutual.T
    rows, indices = np.nonzero(mutual)
    weights = mutual[rows, indices]
    order = np.lexsort((np.random.default_rng(seed + 1).random(len(rows)), rows))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n))])
    links = [xp.asarray(array[order].copy()) for array in (indices, weights)]
    assert runs_both_ways(xp.asarray(indptr), *links)
    if (rows != indices).any():
        weights[np.flatnonzero(rows != indices)[0]] += 0.25
        links = [xp.asarray(array[order].copy()) for array in (indices, weights)]
        assert not runs_both_ways(xp.asarray(indptr), *links)


def test_a_hub_whose_links_run_both_ways(solve):
    star = np.zeros(700, np.int64)
    star[0] = 699
    indptr = np.concatenate([[0], np.cumsum(np.where(star > 0, star, 1))])
    sources = np.concatenate([np.arange(1, 700), np.zeros(699)]).astype(np.uint32)
    probabilities = np.concatenate([np.ones(699), np.full(699, 1 / 699)])
    base = np.random.default_rng(1).random((700, 2)) / 700
    iterations, residual, scores = solve(
        (indptr, sources, probabilities), base, base, 0.85, 1e-10, undirected=True
    )
    assert iterations < 50
    assert residual <= 1e-10
    np.testing.assert_allclose(scores[1:], base[1:] + 0.85 * scores[0] / 699, atol=1e-10)


@given(lengths=LENGTHS, seed=st.integers(0, 2**32 - 1), damping=DAMPINGS, max_iter=st.integers(1, 5))
def test_the_residual_is_the_bound_on_the_next_change(solve, lengths, seed, damping, max_iter):
    matrix, dense = walk(lengths, seed)
    rng = np.random.default_rng(seed)
    base, start = rng.random((2, len(lengths), 3))
    iterations, residual, scores = solve(matrix, base, start, damping, 1e-300, max_iter)
    before = after = start
    for _ in range(iterations):
        before, after = after, base + damping * dense @ after
    np.testing.assert_allclose(scores, after, rtol=1e-12)
    assert residual == pytest.approx(
        damping * np.abs(after - before).sum(axis=0).max(), rel=1e-12, abs=1e-300
    )
    assert iterations == max_iter or residual == 0.0


def test_more_rows_than_threads_and_many_long_ones(solve):
    lengths = np.random.default_rng(2).integers(0, 12, 9000)
    lengths[::900] = np.arange(10) * 400
    matrix = sparse_walk(lengths, 3)
    base = np.random.default_rng(4).random((9000, 2))
    _, residual, scores = solve(matrix, base, base, 0.5, 1e-10)
    assert residual <= 1e-10
    left = base + 0.5 * product(matrix, scores) - scores
    assert np.abs(left).sum(axis=0).max() <= 1e-10


def sparse_walk(lengths, seed):
    rng = np.random.default_rng(seed)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    sources = rng.integers(0, len(lengths), indptr[-1]).astype(np.uint32)
    counts = np.bincount(sources, minlength=len(lengths))
    return indptr, sources, 1.0 / counts[sources]


def product(matrix, scores):
    indptr, sources, probabilities = matrix
    rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    found = np.zeros_like(scores)
    np.add.at(found, rows, probabilities[:, None] * scores[sources])
    return found


def test_equal_inputs_give_equal_bits_in_any_order_of_the_threads(solve):
    matrix, _ = walk([3, 300, 0, 700, 12, 40, 90] * 6, 5)
    base = np.random.default_rng(6).random((42, 4)).astype(np.float32)
    results = {solve(matrix, base, base, 0.85, 1e-2)[2].tobytes() for _ in range(5)}
    assert len(results) == 1


def test_many_columns_are_looked_at_every_eighth_iteration(solve, monkeypatch):
    from gpu.ranks import walk_cuda

    monkeypatch.setattr(walk_cuda, "SUMS_AT_EVERY_ITERATION", 0)
    matrix, dense = walk([2, 300, 7, 0, 9], 12)
    base = np.random.default_rng(13).random((5, 3))
    iterations, residual, scores = solve(matrix, base, base, 0.5, 1e-9)
    assert iterations % 8 == 0
    assert residual <= 1e-9
    np.testing.assert_allclose(scores, exact(dense, base, 0.5), atol=1e-8)
    assert solve(matrix, base, base, 0.85, 1e-300, 13)[0] == 13


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shift", [0, 1, 2])
def test_arrays_may_begin_anywhere_and_lie_by_columns(xp, solve, dtype, shift):
    from gpu.ranks.walk_cuda import solve_cuda

    (indptr, sources, probabilities), dense = walk([4, 20, 300, 1], 14)
    layout = xp.asarray(indptr), xp.asarray(sources), xp.asarray(probabilities.astype(dtype))
    base = np.random.default_rng(15).random((4, 4)).astype(dtype)
    room = xp.zeros((3, 16 + shift), dtype=dtype)
    held, scores, by_columns = (row[shift:].reshape(4, 4) for row in room)
    held[...] = xp.asarray(base)
    for start in (scores, by_columns.T, scores[:, ::-1]):
        solve_cuda(*layout, held, start, 0.5, 1e-5, 100)
        np.testing.assert_allclose(start.get(), exact(dense, base, 0.5), atol=1e-4)
    np.testing.assert_array_equal(held.get(), base)


def test_a_warm_start_saves_iterations(solve):
    matrix, _ = walk([5] * 50, 7)
    base = np.random.default_rng(8).random(50)
    cold, _, scores = solve(matrix, base, base, 0.85, 1e-10)
    base[3] *= 1.0001
    assert solve(matrix, base, scores, 0.85, 1e-10)[0] < cold / 1.4


def test_a_value_that_is_no_number_does_not_pass_for_converged(solve):
    matrix, _ = walk([4, 4, 4], 9)
    base = np.array([1.0, np.nan, 1.0])
    iterations, residual, _ = solve(matrix, base, np.ones(3), 0.5, 1e-3, 20)
    assert iterations == 20
    assert np.isnan(residual)


def test_nothing_to_rank_is_solved(solve):
    empty = (np.zeros(1, np.int64), np.zeros(0, np.uint32), np.zeros(0))
    assert solve(empty, np.zeros(0), np.zeros(0), 0.5, 1e-9)[:2] == (1, 0.0)
    alone = (np.zeros(3, np.int64), np.zeros(0, np.uint32), np.zeros(0))
    iterations, residual, scores = solve(alone, np.array([1.0, 2.0]), np.zeros(2), 0.5, 1e-9)
    assert (iterations, residual, scores.tolist()) == (2, 0.0, [1.0, 2.0])


def test_arrays_of_other_kinds_are_refused(solve):
    matrix, _ = walk([1, 2], 10)
    with pytest.raises(TypeError):
        solve(matrix, np.ones(2, np.float32), np.ones(2), 0.5, 1e-9)
    with pytest.raises(TypeError):
        solve((matrix[0].astype(np.int32), *matrix[1:]), np.ones(2), np.ones(2), 0.5, 1e-9)
    with pytest.raises(ValueError, match="do not fit"):
        solve(matrix, np.ones(3), np.ones(3), 0.5, 1e-9)
