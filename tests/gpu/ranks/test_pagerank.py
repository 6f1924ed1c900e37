"""Personalized PageRank against the dense solution, and its order under votes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu import CSR, NotConverged, csr_from_edges, pagerank, rank_order, threads
from gpu.ranks import one, slices
from gpu.ranks.ranking import solve
from tests.gpu.oracles import as_rows, edge_lists, exact_pagerank, graphs, resets, transitions

DAMPINGS = st.sampled_from([0.0, 0.15, 0.5, 0.85, 0.97])


def moved(xp, graph):
    return CSR(xp.asarray(graph.indptr), xp.asarray(graph.indices), xp.asarray(graph.weights))


def numpied(array):
    return array if isinstance(array, np.ndarray) else array.get()


@given(data=st.data(), damping=DAMPINGS)
def test_agrees_with_the_dense_solution(xp, data, damping):
    graph = data.draw(graphs())
    reset = data.draw(resets(graph.nodes))
    got = pagerank(moved(xp, graph), xp.asarray(reset), damping=damping, tol=1e-13, max_iter=5000)
    assert type(got.scores).__module__.startswith(xp.__name__)
    np.testing.assert_allclose(numpied(got.scores), exact_pagerank(graph, reset, damping), atol=1e-11)


@given(data=st.data(), damping=DAMPINGS)
def test_links_that_run_both_ways_give_the_dense_solution(data, damping):
    n, src, dst, weight = data.draw(edge_lists())
    graph = csr_from_edges(n, src, dst, weight, symmetric=True)
    reset = data.draw(resets(n))
    got = pagerank(graph, reset, damping=damping, tol=1e-13)
    assert graph.in_slices(np.float64).undirected
    np.testing.assert_allclose(got.scores, exact_pagerank(graph, reset, damping), atol=1e-11)


@pytest.mark.parametrize("vectors", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("size", "spread"), [(1e-310, 0), (1e-80, 2), (1e36, 1), (1e290, 9), (1, 30), (1, 290)]
)
def test_only_the_proportions_of_weights_matter_however_small_or_large(size, spread, dtype, vectors):
    rng = np.random.default_rng(5)
    weights = size * 10.0 ** rng.uniform(-spread, spread, 90)
    graph = csr_from_edges(60, *rng.integers(0, 60, (2, 90)), weights, symmetric=True)
    resets = rng.random((vectors, 60)).astype(dtype)
    for start in (None, np.ones_like(resets)):
        found = pagerank(graph, resets, damping=0.85, start=start).scores
        for scores, reset in zip(found, resets, strict=True):
            exact = exact_pagerank(graph, reset.astype(float), 0.85)
            assert np.abs(scores - exact).sum() <= {np.float32: 1e-4, np.float64: 1e-8}[dtype]


@given(data=st.data(), damping=DAMPINGS)
def test_float32_is_as_near_as_its_residual_says(xp, data, damping):
    graph = data.draw(graphs())
    reset = data.draw(resets(graph.nodes)).astype(np.float32)
    got = pagerank(moved(xp, graph), xp.asarray(reset), damping=damping)
    assert got.scores.dtype == np.float32
    error = np.abs(numpied(got.scores) - exact_pagerank(graph, reset.astype(float), damping)).sum()
    assert got.residual <= 1e-6 / (1 - damping)
    assert error <= 2 * got.residual / (1 - damping) ** 2 + 1e-6


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("vectors", [1, 2, 7, 16, 21])
def test_many_resets_are_solved_as_if_each_were_alone(xp, vectors, symmetric, dtype):
    rng = np.random.default_rng(vectors)
    graph = csr_from_edges(90, *rng.integers(0, 90, (2, 300)), rng.random(300), symmetric=symmetric)
    resets = (rng.random((vectors, 90)) * (rng.random((vectors, 90)) < 0.2)).astype(dtype)
    resets[:, 3] += 1e-3
    tol = {np.float32: 2e-6, np.float64: 1e-12}[dtype]
    together = pagerank(moved(xp, graph), xp.asarray(resets), damping=0.85, tol=tol)
    assert together.scores.shape == resets.shape
    assert together.scores.dtype == dtype
    for scores, reset in zip(numpied(together.scores), resets, strict=True):
        exact = exact_pagerank(graph, reset.astype(float), 0.85)
        assert np.abs(scores - exact).sum() <= 100 * tol
    others = resets[::-1].copy()
    others[0] *= 7  # the company changes, and which lane a vector has
    again = numpied(pagerank(moved(xp, graph), xp.asarray(others), damping=0.85, tol=tol).scores)
    if vectors > 2:
        assert again[1:].tobytes() == numpied(together.scores)[::-1][1:].tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("wide", "window"), [(1, 4), (5, 3), (1000, 7), (128, 16384)])
def test_any_way_to_slice_a_matrix_gives_the_same_walk(monkeypatch, wide, window, symmetric, dtype):
    monkeypatch.setattr(slices, "WIDE", wide)
    monkeypatch.setattr(slices, "WINDOW", window)
    rng = np.random.default_rng(wide)
    src = np.concatenate([rng.integers(0, 70, 200), np.zeros(60, int)])
    graph = csr_from_edges(75, src, rng.integers(0, 70, 260), rng.random(260), symmetric=symmetric)
    reset = rng.random(75).astype(dtype)
    got = pagerank(graph, reset, damping=0.85)
    lengths = np.diff(graph.indptr) if symmetric else np.bincount(graph.indices, minlength=75)
    assert graph.in_slices(dtype).slices.wide == (lengths >= wide).sum()
    np.testing.assert_allclose(got.scores, exact_pagerank(graph, reset.astype(float), 0.85), atol=1e-4)


@pytest.mark.parametrize("limit", [1, 2, 5])
@pytest.mark.parametrize("symmetric", [True, False])
def test_any_number_of_threads_gives_the_same_bits(monkeypatch, symmetric, limit):
    monkeypatch.setattr(one, "LARGE", 1)
    monkeypatch.setattr(slices, "WIDE", 12)
    rng = np.random.default_rng(8)
    src = np.concatenate([rng.integers(0, 900, 4000), np.zeros(70, int), np.full(40, 5)])
    graph = csr_from_edges(901, src, rng.integers(0, 900, 4110), rng.random(4110), symmetric=symmetric)
    reset = rng.random(901)
    threads.limit_threads(limit)
    try:
        cold = pagerank(graph, reset, damping=0.85, tol=1e-12).scores
        warm = pagerank(graph, reset, damping=0.85, tol=1e-12, start=reset).scores
    finally:
        threads.limit_threads(None)
    alone = pagerank(graph, reset, damping=0.85, tol=1e-12)
    np.testing.assert_allclose(cold, exact_pagerank(graph, reset, 0.85), atol=1e-10)
    np.testing.assert_allclose(warm, cold, atol=1e-10)
    assert alone.scores.tobytes() == cold.tobytes()


def test_rows_out_of_order_are_solved_as_directed_and_just_as_well():
    rng = np.random.default_rng(2)
    graph = csr_from_edges(40, *rng.integers(0, 40, (2, 90)), rng.random(90), symmetric=True)
    turned = np.concatenate([np.arange(a, b)[::-1] for a, b in pairwise(graph.indptr)])
    other = CSR(graph.indptr, graph.indices[turned], graph.weights[turned])
    assert not other.in_slices(np.float64).undirected
    reset = rng.random(40)
    np.testing.assert_allclose(pagerank(other, reset).scores, pagerank(graph, reset).scores, atol=1e-9)


@pytest.mark.parametrize(
    ("indptr", "indices", "weights"),
    [
        ([0, 1, 1], [1], [1.0]),  # one way only
        ([0, 1, 2], [1, 0], [1.0, 2.0]),  # two weights
        ([0, 1, 3], [1, 0, 0], [1.0, 1.0, 1.0]),  # one more link back
        ([0, 2, 3], [1, 1, 0], [1.0, 1.0, 1.0]),
        ([0, 1, 2, 3], [1, 2, 0], [1.0, 1.0, 1.0]),  # a ring
        ([0, 1, 2, 3], [2, 0, 1], [1.0, 1.0, 1.0]),
    ],
)
def test_a_graph_that_differs_from_its_transpose_is_not_taken_for_undirected(indptr, indices, weights):
    graph = CSR(np.array(indptr), np.array(indices), np.array(weights))
    assert not graph.in_slices(np.float64).undirected
    reset = np.arange(1.0, graph.nodes + 1)
    np.testing.assert_allclose(pagerank(graph, reset).scores, exact_pagerank(graph, reset, 0.5), atol=1e-9)


def test_the_solution_before_it_is_normalised_is_linear_in_the_reset():
    rng = np.random.default_rng(5)
    graph = csr_from_edges(50, *rng.integers(0, 40, (2, 120)), rng.random(120), symmetric=True)
    one, other = rng.random((2, 50))
    parts = [solve(graph, reset, damping=0.85, tol=1e-13).scores for reset in (one, 3 * other)]
    whole = solve(graph, one + 3 * other, damping=0.85, tol=1e-13).scores
    np.testing.assert_allclose(sum(parts), whole, atol=1e-10)


def test_a_tolerance_finer_than_rounding_is_refused():
    graph = csr_from_edges(2, np.array([0]), np.array([1]), np.array([1.0]))
    with pytest.raises(ValueError, match="tol must be at least"):
        pagerank(graph, np.ones(2, np.float32), tol=1e-7)


@given(data=st.data(), damping=DAMPINGS, tol=st.sampled_from([1e-1, 1e-3, 1e-8]))
def test_the_residual_is_no_smaller_than_the_true_one(data, damping, tol):
    graph = data.draw(graphs())
    reset = data.draw(resets(graph.nodes))
    start = data.draw(resets(graph.nodes))
    got = pagerank(graph, reset, damping=damping, tol=tol, start=start)
    assert got.residual <= tol
    exact = exact_pagerank(graph, reset, damping)
    # The unnormalised solution has a sum of at least 1 - damping, hence the second division.
    allowed = 2 * got.residual / (1 - damping) ** 2 + 1e-12
    assert np.abs(got.scores - exact).sum() <= allowed


@given(data=st.data())
def test_nothing_handed_in_is_written(xp, data):
    graph = data.draw(graphs())
    reset = data.draw(resets(graph.nodes))
    inputs = [graph.indptr, graph.indices, graph.weights, reset, reset / 7]
    before = [array.copy() for array in inputs]
    on_device = [xp.asarray(array) for array in inputs]
    pagerank(CSR(*on_device[:3]), on_device[3], start=on_device[4])
    for now, then in zip(on_device, before, strict=True):
        np.testing.assert_array_equal(numpied(now), then)


@pytest.mark.parametrize(
    ("reset", "complaint"),
    [
        ([0.0, 0.0], "zero everywhere"),
        ([1.0, -1.0], "not negative"),
        ([1.0, np.nan], "finite"),
        ([1.0], "shape"),
    ],
)
def test_a_reset_that_is_no_distribution_is_refused(xp, reset, complaint):
    graph = CSR(xp.asarray([0, 1, 1]), xp.asarray([1]), xp.asarray([1.0]))
    with pytest.raises(ValueError, match=complaint):
        pagerank(graph, xp.asarray(reset))


def test_an_empty_graph_has_nowhere_to_restart():
    empty = csr_from_edges(0, *(np.array([], dtype=int),) * 2, np.array([]))
    with pytest.raises(ValueError, match="zero everywhere"):
        pagerank(empty, np.array([]))


@pytest.mark.parametrize("arguments", [{"damping": 1.0}, {"damping": -0.1}, {"tol": 0.0}, {"tol": np.nan}])
def test_parameters_out_of_range_are_refused(arguments):
    graph = csr_from_edges(2, np.array([0]), np.array([1]), np.array([1.0]))
    with pytest.raises(ValueError, match=next(iter(arguments))):
        pagerank(graph, np.ones(2), **arguments)


def test_too_few_iterations_are_an_error_that_tells_the_residual(xp):
    ring = CSR(xp.arange(6), xp.asarray([1, 2, 3, 4, 0]), xp.ones(5))
    with pytest.raises(NotConverged) as caught:
        pagerank(ring, xp.asarray([1.0, 0, 0, 0, 0]), damping=0.9, tol=1e-12, max_iter=3)
    assert caught.value.iterations == 3
    assert 1e-12 < caught.value.residual < 2


@pytest.mark.parametrize("size", [1e-300, 1e300])
def test_the_size_of_the_reset_does_not_matter(size):
    graph = csr_from_edges(3, np.array([0, 1]), np.array([1, 2]), np.ones(2))
    reset = np.array([3.0, 1.0, 2.0])
    np.testing.assert_allclose(pagerank(graph, reset * size).scores, pagerank(graph, reset).scores)


@pytest.mark.parametrize("vectors", [1, 2, 3])
@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.float16])
def test_a_sum_that_the_type_of_the_reset_cannot_hold_is_no_error(xp, dtype, vectors):
    graph = csr_from_edges(400, np.arange(399), np.arange(1, 400), np.ones(399), symmetric=True)
    resets = (np.ones((vectors, 400)) * (1 if dtype is np.bool_ else 120)).astype(dtype)
    plain = resets.astype(np.float64)
    graph, tol = moved(xp, graph), 1e-12
    found = numpied(solve(graph, xp.asarray(resets), damping=0.5, tol=tol).scores)
    again = numpied(solve(graph, xp.asarray(plain), damping=0.5, tol=tol).scores)
    np.testing.assert_allclose(found, again, rtol=1e-9)
    warm = pagerank(graph, xp.asarray(resets), start=xp.asarray(plain), tol=tol)
    np.testing.assert_allclose(numpied(warm.scores).sum(axis=1), 1.0)


@pytest.mark.parametrize("vectors", [1, 3])
def test_float32_is_solved_though_its_sum_is_beyond_float32(vectors):
    graph = csr_from_edges(3, np.array([0, 1]), np.array([1, 2]), np.ones(2), symmetric=True)
    resets = np.array([[3e38, 3e38, 0.0]] * vectors, np.float32)
    exact = solve(graph, resets.astype(np.float64), damping=0.5).scores
    for found in (solve(graph, resets, damping=0.5).scores, [solve(graph, resets[0], damping=0.5).scores]):
        np.testing.assert_allclose(found, exact[: len(found)], rtol=1e-5)
    start = np.ones_like(resets)
    np.testing.assert_allclose(pagerank(graph, resets, start=start).scores.sum(axis=1), 1.0, rtol=1e-6)


def test_a_good_start_saves_sweeps():
    graph = csr_from_edges(60, *np.random.default_rng(4).integers(0, 60, (2, 300)), np.ones(300))
    reset = np.arange(60.0)
    cold = pagerank(graph, reset)
    assert not np.diff(graph.indptr).all()  # some nodes have no links
    assert pagerank(graph, reset, start=cold.scores).iterations < cold.iterations / 4


def votes(n):
    """(node, tenths) pairs; some undo others."""
    vote = st.tuples(st.integers(0, n - 1), st.sampled_from([10, -10, 3, -1]))
    return st.lists(vote, min_size=1, max_size=8)


def same_order(scores, cold, ids):
    """Whether the orders are one, but for neighbours whose distance is the resolution to its last digits."""
    found, expected = rank_order(scores, ids), rank_order(cold, ids)
    moved = found != expected
    return bool((np.abs(cold[found[moved]] - cold[expected[moved]]) < 2e-9).all())


@settings(max_examples=60)
@given(data=st.data())
def test_votes_and_their_undoing_leave_the_order_of_a_cold_start(data):
    graph = as_rows(*data.draw(edge_lists(max_nodes=14)))
    legs = data.draw(resets(graph.nodes))
    ids = data.draw(st.permutations([f"chunk-{i}" for i in range(graph.nodes)]))
    cast = data.draw(votes(graph.nodes))
    tenths = np.zeros(graph.nodes, dtype=np.int64)

    def reset():
        return legs + np.maximum(0, tenths) / 10

    first = scores = pagerank(graph, reset(), tol=1e-13).scores
    for sign, ballots in ((1, cast), (-1, cast)):
        for node, amount in ballots:
            tenths[node] += sign * amount
            scores = pagerank(graph, reset(), tol=1e-13, start=scores).scores
            cold = pagerank(graph, reset(), tol=1e-13).scores
            assert same_order(scores, cold, ids)
    assert same_order(scores, first, ids)
    # From a cold start not only the order comes back, but every bit.
    assert pagerank(graph, reset(), tol=1e-13).scores.tobytes() == first.tobytes()


def test_a_start_of_another_shape_is_refused():
    graph = csr_from_edges(2, np.array([0]), np.array([1]), np.array([1.0]))
    for reset, start in ((np.ones((3, 2)), np.ones(2)), (np.ones(2), np.ones((1, 2)))):
        for solver in (pagerank, solve):
            with pytest.raises(ValueError, match="shape"):
                solver(graph, reset, damping=0.5, start=start)


def test_numpy_and_other_arrays_are_not_mixed():
    graph = csr_from_edges(2, np.array([0]), np.array([1]), np.array([1.0]))
    with pytest.raises(TypeError, match="NumPy or CuPy"):
        pagerank(graph, [1.0, 2.0])


def test_dangling_weight_restarts_and_does_not_leak():
    graph = csr_from_edges(3, np.array([0]), np.array([1]), np.ones(1))
    assert not transitions(graph)[1:].any()
    assert pagerank(graph, np.array([1.0, 0, 0])).scores.sum() == pytest.approx(1.0)
