"""The solution of a query's graph under votes: laws that hold for any graph."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu import pagerank
from handlers.named import Seed
from handlers.paths import STEPS, path_to, ways
from handlers.query_graph import (
    DAMPING,
    RELATED,
    RESOLUTION,
    SHARPNESS,
    TELLING_LINKS,
    WALK,
    QueryGraph,
    build,
    from_bytes,
    fuse,
    link_weights,
    order,
    solve,
    solved,
    to_bytes,
)
from storage.graph import EdgeKind, Neighbourhood, NodeKind


def neighbourhood(
    chunks: int, entities: int, edges: list[tuple[int, int, EdgeKind, float]], accepted: tuple[int, ...] = ()
) -> Neighbourhood:
    """Chunks come first; node i has id 10·i + 1."""
    n = chunks + entities
    common = np.zeros(n, dtype=np.int32)
    for _, target, kind, _ in edges:
        if kind is EdgeKind.MENTION:
            common[target] += 1
    return Neighbourhood(
        nodes=10 * np.arange(n, dtype=np.int64) + 1,
        kinds=np.array([NodeKind.CHUNK] * chunks + [NodeKind.ENTITY] * entities, dtype=np.uint8),
        common=common,
        accepted=np.isin(np.arange(n), accepted),
        sources=np.array([edge[0] for edge in edges], dtype=np.int32),
        targets=np.array([edge[1] for edge in edges], dtype=np.int32),
        edge_kinds=np.array([edge[2] for edge in edges], dtype=np.uint8),
        weights=np.array([edge[3] for edge in edges], dtype=np.float64),
        chunks=chunks,
    )


@st.composite
def graphs(draw: st.DrawFn) -> QueryGraph:
    chunks, entities = draw(st.integers(2, 10)), draw(st.integers(0, 4))
    edges: list[tuple[int, int, EdgeKind, float]] = []
    for chunk in range(chunks):
        for entity in range(entities):
            if draw(st.booleans()):
                times = draw(st.integers(1, 3))
                edges.append((chunk, chunks + entity, EdgeKind.MENTION, float(times)))
        if chunk and draw(st.booleans()):
            edges.append((chunk - 1, chunk, EdgeKind.NEXT, 1.0))
    scores = draw(st.lists(st.floats(0.1, 9.0), min_size=chunks, max_size=chunks))
    known = draw(st.sets(st.integers(0, chunks - 1), min_size=1))
    legs = {"words": [(10 * i + 1, scores[i]) for i in sorted(known)]}
    seeds = [Seed(10 * (chunks + i) + 1, 0.5) for i in range(entities) if draw(st.booleans())]
    return build(neighbourhood(chunks, entities, edges), fuse(legs), seeds)


def chunks_of(graph: QueryGraph) -> list[int]:
    return [int(node) for node in graph.nodes[graph.kinds == NodeKind.CHUNK]]


def score_of(graph: QueryGraph, votes: dict[int, int], node: int, *, here: bool = True) -> float:
    cast_here = votes if here else ()
    return float(solve(graph, votes, cast_here=cast_here).scores[np.searchsorted(graph.nodes, node)])


@given(graph=graphs(), data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_vote_up_raises_its_chunk_and_takes_nothing_from_any_other(
    graph: QueryGraph, data: st.DataObject
) -> None:
    node = data.draw(st.sampled_from(chunks_of(graph)))
    before, after = solve(graph, {}).scores, solve(graph, {node: 1}, cast_here={node}).scores
    elsewhere = solve(graph, {node: 1}).scores
    place = int(np.searchsorted(graph.nodes, node))
    assert after[place] > before[place] + 1e-3
    assert (after >= elsewhere - 1e-9).all()
    assert (elsewhere >= before - 1e-9).all()


@given(graph=graphs(), data=st.data(), value=st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_a_vote_up_cast_elsewhere_moves_a_question_that_it_has_nothing_to_do_with_by_no_bit(
    graph: QueryGraph, data: st.DataObject, value: int
) -> None:
    node = data.draw(st.sampled_from(chunks_of(graph)))
    plain, voted = solve(graph, {}).scores, solve(graph, {node: value}).scores
    place = int(np.searchsorted(graph.nodes, node))
    if graph.prior[place] <= RELATED:
        np.testing.assert_array_equal(voted, plain)
    elif graph.prior[place] > RELATED + 1e-3:
        assert voted[place] > plain[place]


def test_a_vote_up_cast_elsewhere_counts_the_more_the_more_a_question_has_to_do_with_it() -> None:
    def lift(prior: float, **cast: Collection[int]) -> float:
        """Of a chunk that is so relevant, beside the best one and a poor one."""
        legs = {"words": [(1, 1.0), (11, prior), (21, 0.0)]}
        graph = build(neighbourhood(3, 0, []), fuse(legs), [])
        return float((solve(graph, {11: 1}, **cast).scores - solve(graph, {}).scores)[1])

    assert [lift(prior) for prior in (0.2, 0.5, RELATED)] == [0.0, 0.0, 0.0]
    lifts = [lift(prior) for prior in np.linspace(RELATED, 1.0, 31)]
    steps = np.diff(lifts)
    assert (steps > 0).all()
    # No jump, at the threshold or above it: equal steps of relevance are equal steps of the lift.
    np.testing.assert_allclose(steps, lifts[-1] / 30, rtol=1e-6)
    assert lift(0.2, cast_here={11}) == pytest.approx(lifts[-1])


@given(graph=graphs(), data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_vote_down_quarters_its_chunk_at_least_halves_it_elsewhere_and_nothing_turns_negative(
    graph: QueryGraph, data: st.DataObject
) -> None:
    node = data.draw(st.sampled_from(chunks_of(graph)))
    value = data.draw(st.integers(-3, -1))
    before = score_of(graph, {}, node)
    after = score_of(graph, {node: value}, node)
    elsewhere = score_of(graph, {node: value}, node, here=False)
    assert after <= before * 0.25**-value + 1e-9
    assert elsewhere <= before * 0.5**-value + 1e-9
    assert after < elsewhere < before or before == 0.0
    everything = dict.fromkeys(chunks_of(graph), -3)
    for here in (everything, ()):
        assert (solve(graph, everything, cast_here=here).scores >= 0.0).all()


LAST_DIGIT = 1.5 * RESOLUTION
"""Two scores that differ by less than a millionth of it may be rounded to different sides."""


@given(graph=graphs(), data=st.data())
@settings(max_examples=60, deadline=None)
def test_after_any_votes_the_order_is_that_of_a_cold_start_and_undo_restores_it(
    graph: QueryGraph, data: st.DataObject
) -> None:
    cold, warm, votes = graph, graph, dict[int, int]()
    first = order(cold, solve(cold, {}), 50)
    cast = st.tuples(st.sampled_from(chunks_of(graph)), st.integers(-3, 3))
    for node, value in data.draw(st.lists(cast, max_size=6)):
        votes[node] = value
        solution = solve(warm, votes)
        warm = from_bytes(to_bytes(solved(warm, solution)))
        expected = order(cold, solve(cold, votes), 50)
        got = order(warm, solution, 50)
        assert [node for node, _ in got] == [node for node, _ in expected]
        assert [s for _, s in got] == pytest.approx([s for _, s in expected], abs=LAST_DIGIT)
    undone = order(warm, solve(warm, {}), 50)
    assert [node for node, _ in undone] == [node for node, _ in first]
    assert [s for _, s in undone] == pytest.approx([s for _, s in first], abs=LAST_DIGIT)


@given(graph=graphs())
@settings(max_examples=30, deadline=None)
def test_a_graph_survives_the_cache_to_the_last_bit(graph: QueryGraph) -> None:
    again = from_bytes(to_bytes(graph))
    for field in fields(QueryGraph):
        one, two = getattr(graph, field.name), getattr(again, field.name)
        if field.name == "links":
            for part in ("indptr", "indices", "weights"):
                np.testing.assert_array_equal(getattr(one, part), getattr(two, part))
        else:
            np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(solve(graph, {}).scores, solve(again, {}).scores)


@given(graph=graphs())
@settings(max_examples=30, deadline=None)
def test_a_path_begins_where_the_walk_restarts_and_follows_links(graph: QueryGraph) -> None:
    found = ways(graph)
    for node in chunks_of(graph):
        path = path_to(graph, found, node)
        if solve(graph, {}).walked[np.searchsorted(graph.nodes, node)] <= 0:
            assert path == []
            continue
        if not path:
            continue  # farther away than a path may be long
        assert graph.reset[path[0]] > 0
        assert int(graph.nodes[path[-1]]) == node
        assert len(path) <= STEPS + 1
        for one, other in pairwise(path):
            row = graph.links.indices[graph.links.indptr[one] : graph.links.indptr[one + 1]]
            assert other in row


def test_scores_are_those_of_the_formula() -> None:
    edges = [
        (0, 3, EdgeKind.MENTION, 1.0),
        (1, 3, EdgeKind.MENTION, 2.0),
        (1, 2, EdgeKind.NEXT, 1.0),
    ]
    around = neighbourhood(3, 1, edges)
    graph = build(around, fuse({"words": [(1, 4.0), (11, 3.0), (21, 2.0)]}), [])
    prior = np.array([1.0, 0.5, 0.0, 0.0])
    np.testing.assert_allclose(graph.prior, prior)
    reset = prior**SHARPNESS
    np.testing.assert_allclose(graph.reset, reset)
    weights = np.zeros((4, 4))
    for (a, b, _, _), weight in zip(edges, link_weights(around), strict=True):
        weights[a, b] = weights[b, a] = weight
    step = weights / weights.sum(axis=1, keepdims=True)
    walked = np.linalg.solve(np.eye(4) - DAMPING * step.T, (1 - DAMPING) * reset)
    expected = (prior + WALK * walked / walked[:3].max()) / (1 + WALK)
    np.testing.assert_allclose(solve(graph, {}).scores, expected, atol=1e-7)
    np.testing.assert_allclose(
        pagerank(graph.links, reset, damping=DAMPING).scores, walked / walked.sum(), atol=1e-7
    )


def test_a_rarer_and_a_confirmed_entity_lead_further_than_a_common_one() -> None:
    edges = [(i, 4, EdgeKind.MENTION, 1.0) for i in range(4)] + [(0, 5, EdgeKind.MENTION, 1.0)]
    edges += [(1, 6, EdgeKind.MENTION, 1.0)]
    common, rare, confirmed = link_weights(neighbourhood(4, 3, edges, accepted=(6,)))[[0, 4, 5]]
    assert common < rare < confirmed


def test_equal_chunks_stand_in_the_order_of_their_ids_and_unreached_ones_are_left_out() -> None:
    around = neighbourhood(4, 1, [(0, 4, EdgeKind.MENTION, 1.0), (2, 4, EdgeKind.MENTION, 1.0)])
    graph = build(around, fuse({"words": [(21, 5.0), (1, 5.0)]}), [])
    ranked = order(graph, solve(graph, {}), 50)
    assert [node for node, _ in ranked] == [1, 21]
    assert ranked[0][1] == pytest.approx(ranked[1][1])
    assert [node for node, _ in order(graph, solve(graph, {21: 1}), 50)] == [21, 1]


def test_votes_on_what_the_graph_does_not_hold_change_nothing() -> None:
    graph = build(neighbourhood(2, 0, []), fuse({"words": [(1, 5.0)]}), [])
    np.testing.assert_array_equal(solve(graph, {999: 3}).scores, solve(graph, {}).scores)


def test_a_vote_reaches_what_the_chunk_mentions_mildly() -> None:
    edges = [(0, 2, EdgeKind.MENTION, 1.0), (1, 2, EdgeKind.MENTION, 1.0)]
    graph = build(neighbourhood(2, 1, edges), fuse({"words": [(1, 5.0), (11, 5.0)]}), [])
    lifted = solve(graph, {1: 1}).scores - solve(graph, {}).scores
    assert 0 < lifted[1] < lifted[0]


def test_nothing_found_gives_an_empty_order() -> None:
    graph = build(neighbourhood(0, 0, []), {}, [])
    assert order(graph, solve(graph, {5: 1}), 50) == []
    assert order(from_bytes(to_bytes(graph)), solve(graph, {}), 50) == []


def test_legs_are_fused_by_their_weights_and_a_leg_of_equals_counts_fully() -> None:
    fused = fuse({"meaning": [(1, 0.9), (2, 0.4)], "words": [(2, 7.0)], "links": []})
    assert fused == pytest.approx({1: 1.0, 2: 0.8})
    assert fuse({}) == {}


def test_links_by_common_names_count_for_less() -> None:
    common = fuse({"meaning": [(1, 0.9), (2, 0.4)], "links": [(2, TELLING_LINKS / 10)]})
    rare = fuse({"meaning": [(1, 0.9), (2, 0.4)], "links": [(2, TELLING_LINKS)]})
    assert common[2] == pytest.approx(rare[2] / 10)


@given(graph=graphs(), data=st.data(), weight=st.floats(0.05, 1.0))
@settings(max_examples=60, deadline=None)
def test_attention_raises_what_a_leg_found_by_less_than_a_vote_and_nothing_else(
    graph: QueryGraph, data: st.DataObject, weight: float
) -> None:
    node = data.draw(st.sampled_from(chunks_of(graph)))
    place = int(np.searchsorted(graph.nodes, node))
    plain, paid = solve(graph, {}).scores, solve(graph, {}, {node: weight}).scores
    voted = solve(graph, {node: 1}, cast_here={node}).scores
    assert (paid >= plain - 1e-9).all()
    assert paid[place] <= voted[place] + 1e-9
    if graph.prior[place] > 0.01:
        assert paid[place] > plain[place]
    elif graph.prior[place] == 0.0:
        assert np.allclose(paid, plain, atol=1e-9)


@given(graph=graphs(), data=st.data(), weight=st.floats(-1.0, -0.05))
@settings(max_examples=60, deadline=None)
def test_attention_lowers_by_no_more_than_a_vote_does(
    graph: QueryGraph, data: st.DataObject, weight: float
) -> None:
    node = data.draw(st.sampled_from(chunks_of(graph)))
    place = int(np.searchsorted(graph.nodes, node))
    plain, paid = solve(graph, {}).scores, solve(graph, {}, {node: weight}).scores
    voted = solve(graph, {node: -1}, cast_here={node}).scores
    assert voted[place] - 1e-9 <= paid[place] <= plain[place] * 0.25**-weight + 1e-9


def test_what_is_said_of_evidence_raises_its_best_passage_and_lowers_all() -> None:
    around = neighbourhood(3, 1, [(0, 3, EdgeKind.PART, 1.0), (1, 3, EdgeKind.PART, 1.0)])
    around.kinds[3] = NodeKind.EVIDENCE
    graph = build(around, fuse({"words": [(1, 4.0), (11, 6.0), (21, 9.0)]}), [])
    plain = solve(graph, {}).scores
    assert np.allclose(solve(graph, {}, {31: 0.3}).scores, solve(graph, {}, {11: 0.3}).scores)
    lowered = solve(graph, {}, {31: -1.0}).scores
    assert np.allclose(lowered, solve(graph, {}, {1: -1.0, 11: -1.0}).scores)
    assert (lowered[1] < plain[1], lowered[2] > plain[2] - 1e-6) == (True, True)
    # Together with what is said of the passage itself it stays within one vote.
    assert np.allclose(solve(graph, {}, {31: 0.9, 11: 0.9}).scores, solve(graph, {}, {11: 1.0}).scores)


def test_attention_to_evidence_without_a_passage_here_and_to_what_is_elsewhere_says_nothing() -> None:
    around = neighbourhood(2, 1, [])
    around.kinds[2] = NodeKind.EVIDENCE
    graph = build(around, fuse({"words": [(1, 4.0), (11, 6.0)]}), [])
    plain = solve(graph, {}).scores
    assert np.allclose(solve(graph, {}, {21: 1.0, 999: -1.0}).scores, plain)
