"""The kernels against their fastest peers, run in turns so that both meet the same machine.

Run with `python -m tests.bench.bench_gpu`; prints one Markdown table. A ratio above 1 means that
ours is faster. Accuracy stands beside every time: a faster wrong answer is no faster.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import igraph
import numpy as np
import scipy.sparse
from safetensors.numpy import load_file

from gpu import CSR, csr_from_edges, describe, pagerank, push, push_state, rank_order, top_k
from handlers.minilm import MODEL_PACKAGE, MiniLM
from tests.gpu.text.bert_onnx import bert_session

Call = Callable[[], object]
Row = tuple[str, str, str, str, str, str]
DAMPING = 0.5


def medians_ms(calls: Mapping[str, Call], seconds: float) -> dict[str, float]:
    """Milliseconds of each call, taken in turns for about `seconds`, after one call unmeasured."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[next(iter(times))]) < 3:
        for name, call in calls.items():
            before = time.perf_counter()
            call()
            times[name].append(1e3 * (time.perf_counter() - before))
    return {name: statistics.median(taken) for name, taken in times.items()}


def rows(
    work: str, ours: str, calls: Mapping[str, Call], accuracy: Mapping[str, str], seconds: float
) -> list[Row]:
    """One table row a peer, `ours` being the name of our own call."""
    taken = medians_ms(calls, seconds)
    return [
        (
            work,
            f"{taken[ours]:.3g}",
            peer,
            f"{ms:.3g}",
            f"{ms / taken[ours]:.2f}",
            f"{accuracy[ours]}; {accuracy[peer]}",
        )
        for peer, ms in taken.items()
        if peer != ours
    ]


def query_graph(seed: int = 7, n: int = 2_000, edges: int = 10_000) -> tuple[CSR, np.ndarray]:
    """A community graph of `n` nodes with 2 * `edges` links, and a reset vector on a tenth of them."""
    rng = np.random.default_rng(seed)
    src = rng.integers(0, n, edges)
    near = (src + rng.integers(-25, 26, edges)) % n
    dst = np.where(rng.random(edges) < 0.8, near, rng.integers(0, n, edges))
    graph = csr_from_edges(n, src, dst, rng.random(edges) + 0.1, symmetric=True)
    return graph, rng.random(n) * (rng.random(n) < 0.1)


def power_iteration(walk: scipy.sparse.csr_array, restart: np.ndarray, tol: float) -> np.ndarray:
    """SciPy's best: the transposed walk is laid out beforehand; every node here has links."""
    scores = restart
    while True:
        following = DAMPING * (walk @ scores) + (1 - DAMPING) * restart
        change = np.abs(following - scores).sum()
        scores = following
        if DAMPING * change <= tol:
            return scores


def bench_pagerank() -> list[Row]:
    """2,000 nodes and 20,000 links: every solver to an L1 error near 1e-10, arrays laid out before."""
    graph, reset = query_graph()
    restart = reset / reset.sum()
    matrix = scipy.sparse.csr_array((graph.weights, graph.indices, graph.indptr), shape=(graph.nodes,) * 2)
    walk = (scipy.sparse.diags_array(1 / matrix.sum(axis=1)) @ matrix).T.tocsr()
    sources = np.repeat(np.arange(graph.nodes), np.diff(graph.indptr))
    peer = igraph.Graph(n=graph.nodes, edges=np.stack([sources, graph.indices], 1).tolist(), directed=True)
    weights = graph.weights.tolist()
    start = pagerank(graph, reset + 0.3 * (np.arange(graph.nodes) == 5)).scores
    exact = pagerank(graph, reset, damping=DAMPING, tol=1e-15).scores
    ids = [f"chunk-{i}" for i in range(graph.nodes)]
    state, sign = push_state(graph, np.ones(graph.nodes)), [1.0]

    def vote() -> int:
        sign[0] = -sign[0]
        return push(state, 5, max(0.3 * sign[0], -float(state.reset[5])), eps=1e-5)

    solvers: dict[str, Callable[[], np.ndarray]] = {
        "casewire": lambda: pagerank(graph, reset, damping=DAMPING, tol=1e-10).scores,
        "casewire, after a vote": lambda: (
            pagerank(graph, reset, damping=DAMPING, tol=1e-10, start=start).scores
        ),
        "scipy.sparse": lambda: power_iteration(walk, restart, 1e-10),
        "igraph PRPACK": lambda: np.array(
            peer.personalized_pagerank(
                damping=DAMPING, reset=restart, weights=weights, implementation="prpack"
            )
        ),
    }
    accuracy = {name: f"L1 {np.abs(solve() - exact).sum():.0e}" for name, solve in solvers.items()}
    accuracy |= {"casewire with layout": accuracy["casewire"], "rank_order": "-", "push": "eps 1e-5"}
    extra: dict[str, Call] = {
        "casewire with layout": lambda: pagerank(CSR(graph.indptr, graph.indices, graph.weights), reset),
        "rank_order": lambda: rank_order(exact, ids),
        "push": vote,
    }
    return rows("PageRank 2,000 / 20,000, ms", "casewire", solvers | extra, accuracy, 4.0)


def bench_top_k() -> list[Row]:
    """The ten best of 100,000 vectors for one query and for 64."""
    vectors = np.random.default_rng(1).standard_normal((100_000, 384), dtype=np.float32)

    def by_numpy(queries: np.ndarray) -> np.ndarray:
        scores = queries @ vectors.T
        best = np.argpartition(-scores, 10, axis=1)[:, :10]
        return np.take_along_axis(best, np.argsort(-np.take_along_axis(scores, best, 1), axis=1), 1)

    found = []
    for count in (1, 64):
        queries = vectors[:count] + np.float32(0.5)
        same = np.mean(top_k(queries, vectors, 10)[1] == by_numpy(queries))
        calls: dict[str, Call] = {
            "casewire": lambda queries=queries: top_k(queries, vectors, 10),
            "numpy": lambda queries=queries: by_numpy(queries),
        }
        accuracy = {"casewire": f"{same:.1%} the same", "numpy": "exact"}
        work = f"top 10 of 100,000 × 384, {count} {'query' if count == 1 else 'queries'}, ms"
        found += rows(work, "casewire", calls, accuracy, 3.0)
    return found


def bench_encoder() -> list[Row]:
    """Texts of 200 tokens, and of mixed lengths; tokenizing counts for both."""
    model = MiniLM("cpu")
    spec = importlib.util.find_spec(MODEL_PACKAGE)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    weights = Path(spec.submodule_search_locations[0]) / "model" / "model.safetensors"
    session = bert_session(load_file(weights), layers=6, heads=12)
    rng = np.random.default_rng(2)
    words = ["court", "lease", "buyer", "bank", "letter", "witness", "payment", "harbour", "signed", "denied"]

    def by_onnxruntime(texts: list[str]) -> np.ndarray:
        tokens = [model.tokenizer.encode(text).ids for text in texts]
        order = sorted(range(len(texts)), key=lambda i: -len(tokens[i]))
        vectors = np.empty((len(texts), 384), dtype=np.float32)
        for first in range(0, len(order), 4):
            batch = order[first : first + 4]
            ids = np.zeros((len(batch), len(tokens[batch[0]])), dtype=np.int64)
            mask = np.zeros_like(ids)
            for row, i in enumerate(batch):
                ids[row, : len(tokens[i])], mask[row, : len(tokens[i])] = tokens[i], 1
            vectors[batch] = session.run(None, {"ids": ids, "mask": mask})[0]
        return vectors

    found = []
    for name, lengths in {"200 tokens": [198] * 16, "20 to 250 tokens": list(range(18, 248, 10))}.items():
        texts = [" ".join(rng.choice(words, length)) for length in lengths]
        cosine = (model.encode(texts) * by_onnxruntime(texts)).sum(axis=1).min()
        calls: dict[str, Call] = {
            "casewire": lambda texts=texts: model.encode(texts),
            "onnxruntime fp32": lambda texts=texts: by_onnxruntime(texts),
        }
        accuracy = {"casewire": f"cosine ≥ {cosine:.6f}", "onnxruntime fp32": "reference"}
        table = rows(f"MiniLM, {name}, texts/s", "casewire", calls, accuracy, 8.0)
        rate = 1e3 * len(texts)
        found += [
            (work, f"{rate / float(ours):.1f}", peer, f"{rate / float(theirs):.1f}", ratio, note)
            for work, ours, peer, theirs, ratio, note in table
        ]
    return found


def main() -> None:
    device = describe()
    print(f"{device.name}; peers in turns, medians. Ours runs on one core but for matrix products;")
    print(f"those, NumPy and onnxruntime have all {os.cpu_count()}.\n")
    print("| work | casewire | against | it | ratio | accuracy: casewire; it |")
    print("|---|---:|---|---:|---:|---|")
    for bench in (bench_pagerank, bench_top_k, bench_encoder):
        for row in bench():
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
