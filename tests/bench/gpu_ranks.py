"""Ranks: the walks against SciPy, igraph, scikit-network, rustworkx and NetworkX."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import igraph
import numpy as np
import scipy.sparse

from gpu import CSR, leaders, pagerank, push_reset, push_state, refresh, solve
from gpu.threads import limit_threads, threads
from tests.bench.racing import Call, Row, race
from tests.bench.rank_peers import (
    COARSE,
    FINE,
    Vector,
    community,
    peers_of,
    power_iteration,
    power_law,
    reset_for,
    walk_of,
)


def top_is_the_same(scores: Vector, exact: Vector, k: int = 100) -> bool:
    """The best k, in order, up to ties within 1e-7 of the largest score."""
    best = np.argsort(-exact, kind="stable")[:k]
    found = np.argsort(-scores, kind="stable")[:k]
    return bool(np.abs(exact[found] - exact[best]).max() <= 1e-7 * exact[best[0]])


def accuracy(scores: Vector, exact: Vector) -> str:
    """L1 error and whether the best hundred are right."""
    right = "" if top_is_the_same(scores.astype(float), exact) else ", top 100 differ"
    return f"L1 {np.abs(scores - exact).sum():.0e}{right}"


def compared(
    work: str, solvers: dict[str, Callable[[], Vector]], exact: Vector, aim: str, seconds: float
) -> list[Row]:
    """One race of calls that return scores, each with its accuracy."""
    told = {name: accuracy(np.asarray(call()), exact) for name, call in solvers.items()}
    return race(work, "casewire", solvers, told, seconds=seconds, aim=aim)


def ours(graph: CSR, reset: Vector, damping: float, tol: float) -> Callable[[], Vector]:
    """Our call at an L1 error of about `tol`."""
    if tol >= COARSE:
        narrow = reset.astype(np.float32)
        return lambda: pagerank(graph, narrow, damping=damping, tol=max(tol * (1 - damping), 5e-7)).scores
    return lambda: pagerank(graph, reset, damping=damping, tol=tol * (1 - damping)).scores


ALL = ("scipy", "igraph", "sknetwork", "rustworkx", "networkx")


def bench_query_graphs() -> list[Row]:
    """2,000 nodes and about 20,000 links, arrays laid out before; one thread each."""
    rows = []
    graphs = {
        "community": community(2_000, 20_000),
        "power law": power_law(2_000, 20_000),
        "power law, one way": power_law(2_000, 20_000, symmetric=False),
    }
    for name, graph in graphs.items():
        reset = reset_for(graph.nodes)
        for damping in (0.5, 0.85):
            exact = pagerank(graph, reset, damping=damping, tol=1e-15).scores
            # The slow ones apart: they would leave nothing of the others in the cache.
            for tol, peers in ((FINE, ALL[:1]), (FINE, ALL[1:]), (COARSE, ALL[:1])):
                solvers = {"casewire": ours(graph, reset, damping, tol)}
                solvers |= peers_of(graph, reset, damping, tol, peers)
                kind = "float64" if tol == FINE else "float32"
                work = f"PageRank 2,000 / {graph.links:,} {name}, damping {damping}, {kind} to {tol:.0e}"
                rows += compared(work, solvers, exact, "≥ 4", 2.0)
    return rows


def bench_from_arrays() -> list[Row]:
    """Everything from the arrays of the graph to the ten best, nothing laid out before."""
    rows = []
    for name, make in (("community", community), ("power law", power_law)):
        rows += _from_arrays(make(2_000, 20_000), name)
    return rows


def _ten_best(scores: Vector) -> list[int]:
    ten = np.argpartition(-scores, 10)[:10]
    return ten[np.argsort(-scores[ten])].tolist()


def _from_arrays(graph: CSR, name: str) -> list[Row]:
    reset = reset_for(graph.nodes)
    narrow, restart = reset.astype(np.float32), reset / reset.sum()
    arrays = (graph.indptr, graph.indices, graph.weights)

    def by_casewire(given: Vector, tol: float) -> list[int]:
        return _ten_best(pagerank(CSR(*arrays), given, damping=0.85, tol=tol).scores)

    def by_scipy() -> list[int]:
        walk = walk_of(CSR(*arrays)).astype(np.float32)
        return _ten_best(power_iteration(walk, restart, 0.85, COARSE))

    def by_igraph() -> list[int]:
        sources = np.repeat(np.arange(graph.nodes), np.diff(graph.indptr))
        built = igraph.Graph(n=graph.nodes, edges=np.stack([sources, graph.indices], 1), directed=True)
        weights = graph.weights.tolist()
        scores = built.personalized_pagerank(
            damping=0.85, reset=restart, weights=weights, implementation="prpack"
        )
        return _ten_best(np.array(scores))

    calls: dict[str, Call] = {
        "casewire": lambda: by_casewire(narrow, 5e-7),
        "casewire float64": lambda: by_casewire(reset, FINE),
        "scipy.sparse float32": by_scipy,
        "igraph PRPACK": by_igraph,
    }
    first = calls["casewire float64"]()
    told = {key: "the same ten" if call() == first else "another ten" for key, call in calls.items()}
    work = f"arrays to top 10, 2,000 / {graph.links:,} {name}, damping 0.85"
    return race(work, "casewire", calls, told, seconds=3.0, aim="≥ 3")


def bench_large_graphs() -> list[Row]:
    """10^5 / 10^6 and 10^6 / 10^7, arrays laid out before; ours on one thread and on all."""
    rows = []
    for n, links, aim, peers, seconds in (
        (100_000, 1_000_000, "≥ 2.5", ("scipy", "igraph", "sknetwork"), 6.0),
        (1_000_000, 10_000_000, "≥ 2", ("scipy",), 8.0),
    ):
        for name, make in (("community", community), ("power law", power_law)):
            graph = make(n, links)
            reset = reset_for(n)
            exact = pagerank(graph, reset, damping=0.85, tol=1e-14).scores
            for tol in (COARSE, FINE):
                chosen = peers if tol == FINE else ("scipy",)
                solvers: dict[str, Callable[[], Vector]] = {"casewire": ours(graph, reset, 0.85, tol)}
                solvers |= peers_of(graph, reset, 0.85, tol, chosen)
                kind = "float64" if tol == FINE else "float32"
                work = f"PageRank {n:,} / {graph.links:,} {name}, damping 0.85, {kind} to {tol:.0e}"
                found = compared(work, solvers, exact, aim, seconds)
                rows += found
                rows.append(_bandwidth(graph, reset, tol, found[0].ours, work))
                _forget(graph)
    return rows


def _bandwidth(graph: CSR, reset: Vector, tol: float, ms: float, work: str) -> Row:
    """What the links alone must read, over the time, beside the rate of a sum over a large array."""
    dtype = np.float32 if tol >= COARSE else np.float64
    sweeps = pagerank(graph, reset.astype(dtype), damping=0.85, tol=max(tol * 0.15, 5e-7 * (tol >= COARSE)))
    step = graph.in_slices(dtype).slices.values.itemsize + 4
    rate = sweeps.iterations * graph.links * step / (1e6 * ms)
    large = np.ones(50_000_000)
    times = []
    for _ in range(5):
        before = time.perf_counter()
        large.sum()
        times.append(time.perf_counter() - before)
    stream = large.nbytes / statistics.median(times) / 1e9
    told = f"{sweeps.iterations} sweeps of {step} bytes a link"
    return Row(
        f"{work}: links read", "GB/s", rate, "sum of an array, one thread", stream, rate / stream, told
    )


def _forget(graph: CSR) -> None:
    graph._layouts.clear()


def bench_many_resets() -> list[Row]:
    """16 reset vectors at once on 10^4 / 10^5."""
    rows = []
    for name, graph in {
        "community": community(10_000, 100_000),
        "power law": power_law(10_000, 100_000),
        "power law, one way": power_law(10_000, 100_000, symmetric=False),
    }.items():
        rng = np.random.default_rng(3)
        resets = rng.random((16, graph.nodes)) * (rng.random((16, graph.nodes)) < 0.1)
        for damping in (0.5, 0.85):
            for dtype, tol in ((np.float32, COARSE), (np.float64, FINE)):
                given = resets.astype(dtype)
                walk = walk_of(graph).astype(dtype)
                gone = np.flatnonzero(np.diff(graph.indptr) == 0)
                restarts = np.ascontiguousarray((resets / resets.sum(1, keepdims=True)).T.astype(dtype))

                def by_scipy(
                    walk: scipy.sparse.csr_array = walk,
                    restarts: Vector = restarts,
                    damping: float = damping,
                    tol: float = tol,
                    gone: Vector = gone,
                ) -> Vector:
                    share = walk.dtype.type(damping)
                    base, scores = walk.dtype.type(1 - damping) * restarts, restarts
                    while True:
                        following = share * (walk @ scores) + base
                        if len(gone):
                            following += share * scores[gone].sum(0) * restarts
                        change = np.abs(following - scores).sum(0).max()
                        scores = following
                        if damping * change <= tol * (1 - damping):
                            return scores.T

                least = max(tol * (1 - damping), 5e-7 if dtype == np.float32 else 0.0)
                calls: dict[str, Call] = {
                    "casewire": lambda given=given, damping=damping, least=least, graph=graph: pagerank(
                        graph, given, damping=damping, tol=least
                    ),
                    "scipy sparse × dense": by_scipy,
                }
                exact = pagerank(graph, resets, damping=damping, tol=1e-14).scores
                told = {
                    "casewire": f"L1 {np.abs(calls['casewire']().scores - exact).sum(1).max():.0e}",
                    "scipy sparse × dense": f"L1 {np.abs(by_scipy() - exact).sum(1).max():.0e}",
                }
                kind = np.dtype(dtype).name
                work = f"16 resets, 10,000 / {graph.links:,} {name}, damping {damping}, {kind}"
                rows += race(work, "casewire", calls, told, seconds=2.0, aim="≥ 5")
    return rows


def bench_feedback() -> list[Row]:
    """One vote: exact on a query graph; pushed through a case, whose ten best are then read."""
    rows = []
    for name, make in (("community", community), ("power law", power_law)):
        graph = make(2_000, 20_000)
        reset = reset_for(2_000)
        rng = np.random.default_rng(2)
        times = {"cold": [], "warm": []}
        scores = pagerank(graph, reset, damping=0.85, tol=1e-10).scores
        for _ in range(300):
            reset[rng.integers(2_000)] += 0.3
            for kind, start in (("cold", None), ("warm", scores)):
                before = time.perf_counter()
                following = pagerank(graph, reset, damping=0.85, tol=1e-10, start=start).scores
                times[kind].append(1e3 * (time.perf_counter() - before))
            scores = following
        shown = {kind: np.percentile(taken, [50, 95]) for kind, taken in times.items()}
        rows.append(
            Row(
                f"vote on a query graph, 2,000 / {graph.links:,} {name}, damping 0.85, exact, p95",
                "ms",
                shown["warm"][1],
                "casewire from a cold start",
                shown["cold"][1],
                shown["cold"][1] / shown["warm"][1],
                f"medians {shown['warm'][0]:.2f}; {shown['cold'][0]:.2f}",
                "p95 ≤ 0.5 ms",
            )
        )
    for n in (20_000, 100_000):
        for name, make in (("community", community), ("power law", power_law)):
            for damping, eps in ((0.5, 3e-5), (0.85, 1e-5)):
                rows += _votes_on_a_case(make(n, 10 * n), name, damping, eps, 1000 if n == 100_000 else 200)
    return rows


def _votes_on_a_case(graph: CSR, name: str, damping: float, eps: float, events: int) -> list[Row]:
    """Each event is a vote on a state that is exact: half of them near the top, half anywhere."""
    n = graph.nodes
    rng = np.random.default_rng(6)
    reset = reset_for(n)
    reset *= 1000 / reset.sum()
    state = push_state(graph, reset, damping=damping, tol=1e-12)
    near = leaders(state, 60)[0]
    kept = state._table.copy()
    taken, right = [], 0
    checks = events if damping == 0.5 else events // 5
    waits: list[float] = []
    for event in range(checks):
        node = int(rng.choice(near) if event % 2 else rng.integers(n))
        weight = max(0.0, float(reset[node]) + float(rng.choice([0.5, -0.5, 1.0, -1.0])))
        before = time.perf_counter()
        push_reset(state, node, weight, eps=eps)
        ten = leaders(state, 10)[0]
        taken.append(1e3 * (time.perf_counter() - before))
        voted = reset.copy()
        voted[node] = weight
        exact = solve(graph, voted, damping=damping, tol=1e-9).scores
        right += np.argsort(-exact, kind="stable")[:10].tolist() == ten.tolist()
        if event < 5:
            before = time.perf_counter()
            refresh(state, tol=1e-6 * (1 - damping))
            waits.append(1e3 * (time.perf_counter() - before))
        state._table[...] = kept
        state.reset[:] = reset
        state._leading, state._floor = -1, np.inf
        leaders(state, 10)
    middle, late = np.percentile(taken, [50, 95])
    solvers = peers_of(graph, reset, damping, COARSE, ("scipy",))
    solvers |= {"casewire, anew": ours(graph, reset, damping, COARSE)}
    rows = []
    for peer, call in solvers.items():
        times = []
        for _ in range(7):
            before = time.perf_counter()
            np.argpartition(-call(), 10)
            times.append(1e3 * (time.perf_counter() - before))
        theirs = statistics.median(times)
        told = f"top 10 as exact on {right} of {checks}; p95 {late:.3f}; refresh {np.median(waits):.0f} ms"
        rows.append(
            Row(
                f"vote on a case, {n:,} / {graph.links:,} {name}, damping {damping}, pushed, median",
                "ms",
                middle,
                peer,
                theirs,
                theirs / middle,
                told,
                "≥ 100" if n == 100_000 and damping == 0.5 and "casewire" not in peer else "",
            )
        )
    return rows


def bench_threads() -> list[Row]:
    """What a second thread is worth, and what it costs where a graph is too small for it."""
    if threads() == 1:
        return []
    rows = []
    for n, links in ((1_000_000, 10_000_000),):
        graph, reset = community(n, links), reset_for(n)

        def on_one(graph: CSR = graph, reset: Vector = reset) -> None:
            limit_threads(1)
            try:
                pagerank(graph, reset, damping=0.85, tol=1e-10)
            finally:
                limit_threads(None)

        calls: dict[str, Call] = {
            "casewire": lambda graph=graph, reset=reset: pagerank(graph, reset, damping=0.85, tol=1e-10),
            "casewire on one thread": on_one,
        }
        told = dict.fromkeys(calls, "the same bits")
        work = f"PageRank {n:,} / {graph.links:,} community, float64 to 1e-10, {threads()} threads"
        rows += race(work, "casewire", calls, told, seconds=5.0)
    return rows


BENCHES = (
    bench_query_graphs,
    bench_from_arrays,
    bench_large_graphs,
    bench_many_resets,
    bench_feedback,
    bench_threads,
)
