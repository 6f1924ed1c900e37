"""Pushed changes of either sign stay within their bound of the dense solution."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu import csr_from_edges, push, push_state, refresh
from tests.gpu.oracles import graphs, resets, transitions


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


def test_a_weight_cannot_turn_negative():
    graph = csr_from_edges(2, np.array([0]), np.array([1]), np.ones(1))
    state = push_state(graph, np.array([0.5, 0.0]))
    before = state.scores.copy()
    with pytest.raises(ValueError, match="cannot fall"):
        push(state, 0, -0.6, eps=1e-6)
    assert state.reset[0] == 0.5
    np.testing.assert_array_equal(state.scores, before)


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
