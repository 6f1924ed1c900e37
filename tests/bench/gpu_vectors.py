"""Vectors: search, maps, clusters and features against the packages that do one of them.

The vectors are embeddings of real texts (`real_embeddings`), the queries questions that are none of
them; where the texts are absent, random vectors in crowds take their place and the row says so. All
peers may use all cores. Searches through an index come one query at a time, and in one batch.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu import (
    bit_index,
    bit_top_k,
    cuda_problem,
    features,
    fit_map,
    kmeans,
    map_errors,
    reconstructed,
    top_k,
    train_autoencoder,
)
from gpu.vectors import autoencoder_gradients
from tests.bench.racing import Call, Row, race
from tests.bench.vector_peers import RECALL, Search, by_numpy, data, graphs, recall, scans, tuned

SINGLE = 25
"""Queries of one timed call that takes them one by one."""


def bench_top_k() -> list[Row]:
    """The ten best of 100,000 vectors, exactly, for one query and for 64."""
    vectors, queries, what = data()
    halves = vectors.astype(np.float16)
    faiss, usearch = importlib.import_module("faiss"), importlib.import_module("usearch.index")
    flat = faiss.IndexFlatIP(384)
    flat.add(vectors)
    half = faiss.IndexScalarQuantizer(384, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    half.train(vectors)
    half.add(vectors)

    def by_usearch(queries: NDArray[Any], vectors: NDArray[Any]) -> NDArray[Any]:
        return usearch.search(vectors, queries, 10, usearch.MetricKind.IP, exact=True).keys

    ours, wide = "casewire", "float32"
    searches: dict[str, dict[str, Search]] = {
        wide: {
            ours: lambda some: top_k(some, vectors, 10)[1],
            "numpy": lambda some: by_numpy(some, vectors),
            "faiss flat": lambda some: flat.search(some, 10)[1],
            "usearch exact": lambda some: by_usearch(some, vectors),
        },
        "float16": {
            ours: lambda some: top_k(some, halves, 10)[1],
            "faiss SQfp16": lambda some: half.search(some, 10)[1],
            "usearch exact": lambda some: by_usearch(some.astype(np.float16), halves),
        },
    }
    rows = []
    for kind, group in searches.items():
        accuracy = {name: f"recall@10 {recall(search(queries)):.4f}" for name, search in group.items()}
        for count in (1, 64):
            calls: dict[str, Call] = {
                name: functools.partial(search, queries[:count]) for name, search in group.items()
            }
            work = f"top 10 of 100,000 × 384 {kind} ({what}), {count} {'query' if count == 1 else 'queries'}"
            rows += race(work, ours, calls, accuracy, seconds=10.0, pause_s=0.05, aim="≥ 1.1")
    return rows


def bench_bits() -> list[Row]:
    """The ten best by codes of signs, each peer at its least setting that reaches the recall."""
    vectors, queries, what = data()
    bit_index(vectors[:1000])  # compiles
    begun = time.perf_counter()
    index = bit_index(vectors)
    built = time.perf_counter() - begun
    ours = "casewire"

    def by_bits(shortlist: int) -> Search:
        return lambda some: bit_top_k(index, some, 10, shortlist=max(shortlist, 100), rescore=100)[1]

    name, search, share = tuned("shortlist", by_bits, (1000, 1500, 2000, 2500, 3000, 4000, 6000), built)
    others = graphs() + scans()
    accuracy = {other: f"recall@10 {reached:.4f}" for other, _, reached in others}
    accuracy[ours] = f"recall@10 {share:.4f} with {name}"
    searches = {ours: search, **{other: found for other, found, _ in others}}

    def one_by_one(search: Search) -> Call:
        return lambda: [search(queries[at : at + 1]) for at in range(SINGLE)]

    rows = race(
        f"top 10 of 100,000 × 384 ({what}) at recall ≥ {RECALL}, one query at a time",
        ours,
        {name: one_by_one(search) for name, search in searches.items()},
        accuracy,
        seconds=10.0,
        per_second=SINGLE,
        unit="queries/s",
        aim="≥ 9 where it reaches the recall",
    )
    return rows + race(
        f"the same, {len(queries)} queries in one call",
        ours,
        {name: functools.partial(search, queries) for name, search in searches.items()},
        accuracy,
        seconds=8.0,
        per_second=len(queries),
        unit="queries/s",
        aim="≥ 9 where it reaches the recall",
    )


def bench_map() -> list[Row]:
    """A map of 32 × 32 units, the same start, epochs and radii; MiniSom's steps scaled up."""
    vectors, _, what = data()
    peer, small = importlib.import_module("xpysom"), importlib.import_module("minisom")
    epochs, first, last = 3, 16.0, 1.0
    radii = [first * (last / first) ** (epoch / epochs) for epoch in range(epochs)]
    fit_map(vectors[:2000], (32, 32), radii=radii)  # compiles
    theirs = peer.XPySom(
        32, 32, 384, sigma=first, sigmaN=last, decay_function="exponential", std_coeff=1.0,
        random_seed=0, xp=np,
    )  # fmt: skip
    start = theirs._weights.reshape(1024, 384).astype(np.float32)
    times: dict[str, list[float]] = {"casewire": [], "XPySom": []}
    for _ in range(2):
        begun = time.perf_counter()
        ours = fit_map(vectors, (32, 32), radii=radii, start=start)
        times["casewire"].append(time.perf_counter() - begun)
        theirs._weights = start.reshape(32, 32, 384).copy()
        begun = time.perf_counter()
        theirs.train(vectors, epochs)
        times["XPySom"].append(time.perf_counter() - begun)
    errors = map_errors(vectors, ours)
    steps = 500
    single = small.MiniSom(32, 32, 384, sigma=first, random_seed=0)
    begun = time.perf_counter()
    single.train(vectors, steps)
    scaled = (time.perf_counter() - begun) * len(vectors) * epochs / steps
    mine, quantisation = min(times["casewire"]), theirs.quantization_error(vectors)
    accuracy = f"quantisation error {errors.quantisation:.5f}, topographic {errors.topographic:.4f}"
    work = f"map of 32 × 32 on 100,000 × 384 ({what}), {epochs} epochs"
    return [
        Row(
            work, "s", mine, "XPySom", min(times["XPySom"]), min(times["XPySom"]) / mine,
            f"{accuracy}; {quantisation:.5f}, {theirs.topographic_error(vectors):.4f}", "≥ 3",
        ),
        Row(
            work, "s", mine, "MiniSom", scaled, scaled / mine,
            f"{accuracy}; not comparable: time of {steps} of its steps, scaled to {epochs} a vector", "",
        ),
    ]  # fmt: skip


def bench_kmeans() -> list[Row]:
    """Lloyd's iterations from the same centres, as many on both sides."""
    vectors, _, what = data()
    clusters, faiss = importlib.import_module("sklearn.cluster"), importlib.import_module("faiss")
    turns = 5
    rows = []
    for k in (100, 1024):
        start = vectors[np.random.default_rng(k).permutation(len(vectors))[:k]]
        lloyd = clusters.KMeans(k, init=start, n_init=1, max_iter=turns, tol=0, algorithm="lloyd")
        elkan = clusters.KMeans(k, init=start, n_init=1, max_iter=turns, tol=0, algorithm="elkan")
        other = faiss.Kmeans(384, k, niter=turns, max_points_per_centroid=len(vectors))
        inertia = {"casewire": kmeans(vectors, k, start=start, max_iter=turns, tol=0).inertia}
        inertia |= {"scikit-learn lloyd": lloyd.fit(vectors).inertia_}
        other.train(vectors, init_centroids=start)
        inertia |= {"faiss (no labels)": float(other.index.search(vectors, 1)[0].sum(dtype=np.float64))}
        calls: dict[str, Call] = {
            "casewire": lambda k=k, start=start: kmeans(vectors, k, start=start, max_iter=turns, tol=0),
            "scikit-learn lloyd": lambda lloyd=lloyd: lloyd.fit(vectors),
            "faiss (no labels)": lambda other=other, start=start: other.train(vectors, init_centroids=start),
        }
        if k == 100:
            inertia["scikit-learn elkan"] = elkan.fit(vectors).inertia_
            calls["scikit-learn elkan"] = lambda elkan=elkan: elkan.fit(vectors)
        accuracy = {name: f"inertia {value:.0f}" for name, value in inertia.items()}
        work = f"k-means, k = {k}, 100,000 × 384 ({what}), {turns} iterations and labels"
        rows += race(work, "casewire", calls, accuracy, seconds=4.0, aim="≥ 1")
    return rows


def bench_autoencoder() -> list[Row]:
    """One pass of a sparse autoencoder, its slopes sparse and, as array operations have them, dense."""
    vectors, _, what = data()
    some = vectors[np.random.default_rng(2).permutation(len(vectors))[:20_000]]
    sparse = autoencoder_gradients._add_sparse
    options: dict[str, Any] = {"epochs": 2, "seed": 1}

    def explained(found: Any) -> str:
        back = reconstructed(found.model, *features(found.model, some))
        missing = ((some - back) ** 2).sum() / ((some - some.mean(axis=0)) ** 2).sum()
        return f"{1 - missing:.3f} of the variance explained"

    def dense() -> Any:
        autoencoder_gradients._add_sparse = autoencoder_gradients._add_dense
        try:
            return train_autoencoder(some, 2048, 32, **options)
        finally:
            autoencoder_gradients._add_sparse = sparse

    calls: dict[str, Call] = {
        "casewire": lambda: train_autoencoder(some, 2048, 32, **options),
        "the same in dense NumPy": dense,
    }
    accuracy = {name: explained(call()) for name, call in calls.items()}
    work = f"sparse autoencoder, 32 of 2,048 features, 20,000 × 384 ({what})"
    ours = "casewire"
    return race(work, ours, calls, accuracy, seconds=1.0, per_second=40_000, unit="vectors/s")


def bench_gpu() -> list[Row]:
    """The searches and passes against CuPy's own operations, where a GPU is usable."""
    if cuda_problem():
        return []
    cp = importlib.import_module("cupy")
    vectors, queries, what = data()
    on_gpu, asked = cp.asarray(vectors), cp.asarray(queries)
    index = bit_index(on_gpu)

    def waited(call: Call) -> Call:
        def run() -> object:
            found = call()
            cp.cuda.Device().synchronize()
            return found

        return run

    def by_cupy(some: Any) -> Any:
        scores = some @ on_gpu.T
        best = cp.argpartition(-scores, 10, axis=1)[:, :10]
        return cp.take_along_axis(best, cp.argsort(-cp.take_along_axis(scores, best, 1), axis=1), 1)

    searches: dict[str, Search] = {
        "casewire": lambda some: top_k(some, on_gpu, 10)[1],
        "casewire by codes": lambda some: bit_top_k(index, some, 10)[1],
        "cupy": by_cupy,
    }
    if importlib.util.find_spec("torch"):
        torch = importlib.import_module("torch")
        on_torch = torch.as_tensor(vectors, device="cuda")
        searches["torch"] = lambda some: (
            torch.topk(torch.as_tensor(some, device="cuda") @ on_torch.T, 10).indices
        )
    accuracy = {
        name: f"recall@10 {recall(np.asarray(cp.asarray(search(asked)).get())):.4f}"
        for name, search in searches.items()
    }
    rows = []
    for count in (1, 64, len(queries)):
        calls = {name: waited(functools.partial(search, asked[:count])) for name, search in searches.items()}
        work = f"GPU: top 10 of 100,000 × 384 ({what}), {count} queries"
        rows += race(work, "casewire", calls, accuracy, seconds=3.0)
    start, radii = vectors[:1024], [16.0, 4.0, 1.0]
    there = cp.asarray(start)
    passes: dict[str, Call] = {
        "casewire": waited(lambda: fit_map(on_gpu, (32, 32), radii=radii, start=there)),
        "casewire on the CPU": lambda: fit_map(vectors, (32, 32), radii=radii, start=start),
    }
    return rows + race(
        "GPU: map of 32 × 32, 3 epochs", "casewire", passes, dict.fromkeys(passes, "same start")
    )


BENCHES = (bench_top_k, bench_bits, bench_map, bench_kmeans, bench_autoencoder, bench_gpu)
