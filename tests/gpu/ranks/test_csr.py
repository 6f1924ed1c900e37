"""Graphs are checked when made, and built from edges the same way whatever their order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu import CSR, csr_from_edges
from gpu.ranks.graph import _arriving_by_sorting
from tests.gpu.oracles import as_rows, edge_lists, graphs, transitions


@given(edges=edge_lists(), seed=st.integers(0, 2**32 - 1))
def test_the_order_of_the_edges_changes_no_bit(edges, seed):
    n, src, dst, weight = edges
    weight = weight * (1 / 3)
    shuffled = np.random.default_rng(seed).permutation(len(src))
    one = csr_from_edges(n, src, dst, weight)
    other = csr_from_edges(n, src[shuffled], dst[shuffled], weight[shuffled])
    for name in ("indptr", "indices", "weights"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@given(edges=edge_lists())
def test_equal_edges_are_added(edges):
    n, src, dst, weight = edges
    built = csr_from_edges(n, src, dst, weight)
    dense = np.zeros((n, n))
    np.add.at(dense, (src, dst), weight)
    got = np.zeros((n, n))
    rows = np.repeat(np.arange(n), np.diff(built.indptr))
    got[rows, built.indices] = built.weights
    np.testing.assert_allclose(got, dense)
    assert built.links == len(set(zip(src.tolist(), dst.tolist(), strict=True)))


def test_a_symmetric_edge_runs_both_ways_and_a_loop_once():
    built = csr_from_edges(3, np.array([0, 1]), np.array([2, 1]), np.array([5.0, 7.0]), symmetric=True)
    assert built.indptr.tolist() == [0, 1, 2, 3]
    assert built.indices.tolist() == [2, 1, 0]
    assert built.weights.tolist() == [5.0, 7.0, 5.0]


def test_a_graph_may_have_no_edges_and_no_nodes():
    none = np.array([], dtype=np.int64)
    assert csr_from_edges(4, none, none, none.astype(float)).indptr.tolist() == [0] * 5
    assert csr_from_edges(0, none, none, none.astype(float)).nodes == 0


GOOD = {"indptr": np.array([0, 1, 2]), "indices": np.array([1, 0]), "weights": np.array([1.0, 2.0])}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"indptr": np.array([0, 1, 3])}, ValueError),
        ({"indptr": np.array([1, 1, 2])}, ValueError),
        ({"indptr": np.array([0, 3, 2])}, ValueError),
        ({"indptr": np.array([], dtype=int)}, ValueError),
        ({"indices": np.array([1, 2])}, ValueError),
        ({"indices": np.array([-1, 0])}, ValueError),
        ({"indices": np.array([1])}, ValueError),
        ({"indices": np.array([1.0, 0.0])}, TypeError),
        ({"weights": np.array([1.0, -1.0])}, ValueError),
        ({"weights": np.array([1.0, np.nan])}, ValueError),
        ({"weights": np.array([1e308, 1e308])}, ValueError),
        ({"weights": np.array([1, 2])}, TypeError),
        ({"weights": [1.0, 2.0]}, TypeError),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_arrays_that_are_no_graph_are_refused(change, error):
    CSR(**GOOD)
    with pytest.raises(error):
        CSR(**(GOOD | change))


def test_edges_out_of_range_are_refused():
    one = np.array([1.0])
    for src, dst in [(2, 0), (0, 2), (-1, 0), (0, -1)]:
        with pytest.raises(ValueError, match="must lie in"):
            csr_from_edges(2, np.array([src]), np.array([dst]), one)


@given(graph=graphs())
def test_arriving_links_are_the_transposed_walk(graph):
    found = graph.arriving
    dense = np.zeros((graph.nodes, graph.nodes))
    targets = np.repeat(np.arange(graph.nodes), np.diff(found.indptr))
    np.add.at(dense, (targets, found.sources), found.probabilities)
    np.testing.assert_allclose(dense, transitions(graph).T, atol=1e-15)


@given(edges=edge_lists())
def test_sorting_transposes_as_counting_does(edges):
    graph = as_rows(*edges)
    sorted_arrays = _arriving_by_sorting(graph.indptr, graph.indices, graph.weights)
    np.testing.assert_array_equal(sorted_arrays[0], graph.arriving.indptr)
    np.testing.assert_array_equal(sorted_arrays[1], graph.arriving.sources)
    np.testing.assert_allclose(sorted_arrays[2], graph.arriving.probabilities, rtol=1e-15)
    np.testing.assert_array_equal(sorted_arrays[3], graph.arriving.continues)
