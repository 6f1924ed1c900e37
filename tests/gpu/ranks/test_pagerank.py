"""Personalized PageRank against the dense solution, and its order under votes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu import CSR, NotConverged, csr_from_edges, pagerank, rank_order
from gpu.ranks.ranking import _iterate_until
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
def test_the_iteration_for_gpus_agrees_with_the_dense_solution(data, damping):
    graph = data.draw(graphs())
    reset = data.draw(resets(graph.nodes))
    scores, links = np.zeros(graph.nodes), graph.arriving
    base = (1 - damping) * reset / reset.sum()
    _, residual = _iterate_until(
        links.indptr, links.sources, links.probabilities, base, scores, damping, 1e-13, 5000
    )
    assert residual <= 1e-13
    np.testing.assert_allclose(scores / scores.sum(), exact_pagerank(graph, reset, damping), atol=1e-11)


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
            assert rank_order(scores, ids).tolist() == rank_order(cold, ids).tolist()
    assert rank_order(scores, ids).tolist() == rank_order(first, ids).tolist()
    # From a cold start not only the order comes back, but every bit.
    assert pagerank(graph, reset(), tol=1e-13).scores.tobytes() == first.tobytes()


def test_numpy_and_other_arrays_are_not_mixed():
    graph = csr_from_edges(2, np.array([0]), np.array([1]), np.array([1.0]))
    with pytest.raises(TypeError, match="NumPy or CuPy"):
        pagerank(graph, [1.0, 2.0])


def test_dangling_weight_restarts_and_does_not_leak():
    graph = csr_from_edges(3, np.array([0]), np.array([1]), np.ones(1))
    assert not transitions(graph)[1:].any()
    assert pagerank(graph, np.array([1.0, 0, 0])).scores.sum() == pytest.approx(1.0)
