"""Pushed changes of either sign stay within their bound of the dense solution."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu import CSR, csr_from_edges, leaders, push, push_link, push_reset, push_state, refresh
from gpu.ranks import standing
from tests.gpu.oracles import edge_lists, graphs, resets, transitions


def exact_scores(graph, reset, damping):
    system = np.eye(graph.nodes) - damping * transitions(graph).T
    return np.linalg.solve(system, (1 - damping) * reset)


@given(data=st.data(), damping=st.sampled_from([0.0, 0.5, 0.85]), eps=st.sampled_from([1e-2, 1e-6]))
def test_changes_of_either_sign_stay_within_their_bound(data, damping, eps):
    graph = data.draw(graphs())
    reset = data.draw(resets(graph.nodes))
    state = push_state(graph, reset, damping=damping, tol=1e-13)
    degrees = np.maximum(1, np.diff(graph.indptr))
    for node, change in data.draw(
        st.lists(st.tuples(st.integers(0, graph.nodes - 1), st.sampled_from([1.0, 0.3, -1.0, -0.1])))
    ):
        push(state, node, max(change, -float(state.reset[node])), eps=eps)
        assert (np.abs(state.residual) <= eps * degrees * (1 + 1e-12)).all()
        error = np.abs(state.scores - exact_scores(graph, state.reset, damping)).sum()
        assert error <= np.abs(state.residual).sum() + 1e-11 * (1 + reset.sum())
    assert (state.reset >= 0).all()


@given(data=st.data())
def test_scores_and_residual_together_stay_exact(data):
    graph = data.draw(graphs())
    state = push_state(graph, data.draw(resets(graph.nodes)), tol=1e-13)
    push(state, data.draw(st.integers(0, graph.nodes - 1)), 0.7, eps=0.05)
    whole = state.scores + exact_scores(graph, state.residual, 0.5)
    np.testing.assert_allclose(whole, exact_scores(graph, state.reset, 0.5), rtol=1e-9, atol=1e-8)


@given(data=st.data())
def test_a_refresh_forgets_what_was_pushed(data):
    graph = data.draw(graphs())
    reset = data.draw(resets(graph.nodes))
    state, cold = push_state(graph, reset), push_state(graph, reset)
    node = data.draw(st.integers(0, graph.nodes - 1))
    for change in (0.1, 0.2, -0.3):
        push(state, node, change, eps=1e-3)
    refresh(state, reset)
    assert state.scores.tobytes() == cold.scores.tobytes()
    assert state.reset.tobytes() == cold.reset.tobytes()
    assert not state.residual.any()


def test_a_refresh_keeps_the_changes():
    graph = csr_from_edges(2, np.array([0]), np.array([1]), np.ones(1))
    state = push_state(graph, np.zeros(2))
    push(state, 0, 4.0, eps=10.0)
    assert state.scores.tolist() == [0.0, 0.0]
    refresh(state)
    np.testing.assert_allclose(state.scores, [2.0, 1.0])


def test_a_vote_taken_back_in_parts_leaves_no_negative_weight():
    graph = csr_from_edges(2, np.array([0]), np.array([1]), np.ones(1))
    state = push_state(graph, np.zeros(2))
    push(state, 0, 0.3, eps=1e-9)
    for _ in range(3):
        push(state, 0, -0.1, eps=1e-9)
    assert state.reset[0] >= 0.0
    np.testing.assert_allclose(state.scores, 0.0, atol=1e-8)


@pytest.mark.parametrize("damping", [-0.1, 1.0, float("nan")])
def test_a_damping_under_which_a_push_would_never_end_is_refused(damping):
    graph = csr_from_edges(2, np.array([0]), np.array([1]), np.ones(1), symmetric=True)
    for reset in (np.zeros(2), np.ones(2)):
        with pytest.raises(ValueError, match="damping must lie in"):
            push_state(graph, reset, damping=damping)


def test_a_weight_falls_to_zero_at_most():
    graph = csr_from_edges(2, np.array([0]), np.array([1]), np.ones(1))
    state = push_state(graph, np.array([0.5, 0.0]))
    push(state, 0, -0.6, eps=1e-9)
    assert state.reset.tolist() == [0.0, 0.0]
    np.testing.assert_allclose(state.scores, 0.0, atol=1e-8)


@pytest.mark.parametrize("change", [np.nan, np.inf, -np.inf])
def test_a_change_that_is_no_number_is_refused_and_changes_nothing(change):
    graph = csr_from_edges(2, np.array([0]), np.array([1]), np.ones(1))
    state = push_state(graph, np.array([0.5, 0.0]))
    before = state._table.copy()
    with pytest.raises(ValueError, match="finite"):
        push(state, 0, change, eps=1e-9)
    with pytest.raises(ValueError, match="finite"):
        push_link(state, 0, 1, change, eps=1e-9)
    np.testing.assert_array_equal(state._table, before)


@given(data=st.data(), damping=st.sampled_from([0.0, 0.5, 0.85]), symmetric=st.booleans())
def test_changed_links_give_the_scores_of_the_graph_that_has_them(data, damping, symmetric):
    n, src, dst, weight = data.draw(edge_lists().filter(lambda edges: len(edges[1])))
    graph = csr_from_edges(n, src, dst, weight, symmetric=symmetric)
    reset = data.draw(resets(n))
    state = push_state(graph, reset, damping=damping, tol=1e-13)
    dense = np.zeros((n, n))
    rows = np.repeat(np.arange(n), np.diff(graph.indptr))
    dense[rows, graph.indices] = graph.weights
    for _ in range(3):
        link = data.draw(st.integers(0, graph.links - 1))
        change = data.draw(st.sampled_from([0.5, -0.4, 3.0, -1e7]))
        ends = (int(rows[link]), int(graph.indices[link]))
        push_link(state, *ends, change, eps=1e-13, symmetric=symmetric)
        for pair in {ends, ends[::-1]} if symmetric else {ends}:
            dense[pair] = max(dense[pair] + change, 0.0)
    changed = CSR(graph.indptr, graph.indices, dense[rows, graph.indices])
    exact = exact_scores(changed, reset, damping)
    np.testing.assert_allclose(state.scores, exact, atol=1e-8 * reset.sum())
    refresh(state)
    assert state.scores.tobytes() == push_state(changed, reset, damping=damping).scores.tobytes()


def test_a_weight_that_would_be_no_number_is_refused_and_changes_nothing():
    graph = csr_from_edges(2, np.array([0]), np.array([1]), np.array([1e308]))
    state = push_state(graph, np.array([1e308, 0.0]))
    before = state._table.copy()
    with pytest.raises(ValueError, match="no finite number"):
        push_link(state, 0, 1, 1e308, eps=1e-9)
    with pytest.raises(ValueError, match="no finite number"):
        push(state, 0, 1e308, eps=1e-9)
    np.testing.assert_array_equal(state._table, before)


def test_a_link_that_is_not_there_is_refused():
    state = push_state(csr_from_edges(2, np.array([0]), np.array([1]), np.ones(1)), np.ones(2))
    with pytest.raises(KeyError, match="no link from node 1 to node 0"):
        push_link(state, 1, 0, 1.0, eps=1e-3)
    with pytest.raises(IndexError):
        push_link(state, 0, 2, 1.0, eps=1e-3)


@pytest.mark.parametrize("kept", [4, 40, 10_000])
def test_the_leaders_are_those_of_all_scores_after_every_push(monkeypatch, kept):
    monkeypatch.setattr(standing, "LEADERS", kept)
    rng = np.random.default_rng(kept)
    graph = csr_from_edges(300, *rng.integers(0, 300, (2, 1200)), rng.random(1200), symmetric=True)
    state = push_state(graph, rng.random(300) * (rng.random(300) < 0.3))
    for _ in range(200):
        push(state, int(rng.integers(300)), float(rng.choice([2.0, -2.0, 0.3, -0.3])), eps=1e-9)
        nodes, scores = leaders(state, 7)
        best = np.lexsort((np.arange(300), -state.scores))[:7]
        np.testing.assert_allclose(scores, state.scores[best], atol=1e-6)
        np.testing.assert_allclose(state.scores[nodes], state.scores[best], atol=1e-6)


def test_of_more_equals_than_are_kept_the_first_lead():
    state = push_state(csr_from_edges(2000, np.array([700]), np.array([800]), np.ones(1)), np.ones(2000))
    assert leaders(state, 5)[0].tolist() == [800, 0, 1, 2, 3]
    push(state, 1500, 1.0, eps=1e-9)
    assert leaders(state, 5)[0].tolist() == [1500, 800, 0, 1, 2]
    push(state, 1500, -1.0, eps=1e-9)
    assert leaders(state, 3)[0].tolist() == [800, 0, 1]


def test_leaders_of_more_nodes_than_there_are_is_all_of_them():
    state = push_state(csr_from_edges(3, np.array([0]), np.array([1]), np.ones(1)), np.array([0, 1.0, 1.0]))
    assert leaders(state, 9)[0].tolist() == [1, 2, 0]
    with pytest.raises(ValueError, match="at least 1"):
        leaders(state, 0)


def test_a_thousand_votes_and_their_undoing_end_in_the_order_of_a_cold_run():
    rng = np.random.default_rng(11)
    graph = csr_from_edges(400, *rng.integers(0, 400, (2, 2000)), np.ones(2000), symmetric=True)
    legs = rng.random(400) * (rng.random(400) < 0.2)
    tenths = np.zeros(400, np.int64)

    def weight(node):
        return max(0.0, legs[node] + tenths[node] / 10)

    state = push_state(graph, legs, tol=1e-13)
    ballots = [(int(rng.integers(400)), int(rng.choice([10, -10, 3, -3]))) for _ in range(1000)]
    for sign in (1, -1):
        for node, amount in ballots:
            tenths[node] += sign * amount
            push_reset(state, node, weight(node), eps=1e-6)
    np.testing.assert_allclose(state.scores, push_state(graph, legs, tol=1e-13).scores, atol=1e-4)
    refresh(state, legs, tol=1e-13)
    assert state.scores.tobytes() == push_state(graph, legs, tol=1e-13).scores.tobytes()


def test_the_work_depends_on_the_change_and_not_on_the_graph():
    ends = np.arange(50_000)
    ring = csr_from_edges(50_000, ends, (ends + 1) % 50_000, np.ones(50_000))
    state = push_state(ring, np.zeros(50_000))
    # Each push halves the residual: 2⁻²⁰ is the first below 10⁻⁶.
    assert push(state, 7, 1.0, eps=1e-6) == 20
    assert push(state, 7, 1e-9, eps=1e-6) == 0


def test_many_nodes_can_wait_at_once():
    hub = csr_from_edges(501, np.zeros(500, dtype=int), np.arange(1, 501), np.ones(500))
    state = push_state(hub, np.zeros(501))
    assert push(state, 0, 1.0, eps=1e-4) == 501
    np.testing.assert_allclose(state.scores[1:], 0.5 * 0.5 / 500)


@pytest.mark.parametrize("node", [-1, 2])
def test_a_node_that_is_not_there_is_refused(node):
    state = push_state(csr_from_edges(2, np.array([0]), np.array([1]), np.ones(1)), np.ones(2))
    with pytest.raises(IndexError):
        push(state, node, 1.0, eps=1e-3)
