"""Vectors to search, and the packages that search them, each set to the recall that is wanted."""

from __future__ import annotations

import functools
import importlib
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.bench.real_embeddings import embeddings

Vectors = NDArray[np.float32]
Search = Callable[[Vectors], Any]

RECALL = 0.995


@functools.cache
def data() -> tuple[Vectors, Vectors, str]:
    found = embeddings()
    if found is not None:
        return *found, "embeddings"
    rng = np.random.default_rng(1)
    directions, means = rng.standard_normal((48, 384)), rng.standard_normal((2000, 384))
    crowds = means[rng.integers(0, 2000, 100_342)] + 0.3 * rng.standard_normal((100_342, 48)) @ directions
    unit = (crowds / np.linalg.norm(crowds, axis=1, keepdims=True)).astype(np.float32)
    return unit[342:], unit[:342], "random crowds"


@functools.cache
def _truth() -> tuple[Vectors, Vectors]:
    """All scores, and the tenth best of each query."""
    vectors, queries, _ = data()
    scores = queries @ vectors.T
    return scores, np.partition(scores, -10, axis=1)[:, -10]


def recall(found: NDArray[Any]) -> float:
    """The share of the ten that are as near as the tenth nearest, equal ones counting alike."""
    scores, tenth = _truth()
    hits = np.take_along_axis(scores, np.asarray(found)[:, :10].astype(np.int64), 1)
    return float((hits >= tenth[:, None] - 1e-6).mean())


def by_numpy(queries: Vectors, vectors: Vectors) -> NDArray[Any]:
    scores = queries @ vectors.T
    best = np.argpartition(-scores, 10, axis=1)[:, :10]
    return np.take_along_axis(best, np.argsort(-np.take_along_axis(scores, best, 1), axis=1), 1)


def tuned(
    name: str, search: Callable[[int], Search], settings: Iterable[int], built_s: float
) -> tuple[str, Search, float]:
    """The first setting that reaches the recall wanted, or the last; with its recall and build time."""
    _, queries, _ = data()
    found, reached, last = search(0), 0.0, 0
    for last in settings:
        found = search(last)
        reached = recall(found(queries))
        if reached >= RECALL:
            break
    return f"{name} {last}, built in {built_s:.0f} s", found, reached


def graphs() -> list[tuple[str, Search, float]]:
    vectors, _, _ = data()
    faiss, hnswlib = importlib.import_module("faiss"), importlib.import_module("hnswlib")
    usearch = importlib.import_module("usearch.index")
    widths = (32, 48, 64, 96, 128, 160, 192, 256, 384, 512, 1024)

    begun = time.perf_counter()
    graph = faiss.IndexHNSWFlat(384, 32, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = 200
    graph.add(vectors)
    built = time.perf_counter() - begun

    def by_faiss(width: int) -> Search:
        def search(some: Vectors) -> Any:
            graph.hnsw.efSearch = width
            return graph.search(some, 10)[1]

        return search

    found = [tuned("faiss HNSW32 ef", by_faiss, widths, built)]
    begun = time.perf_counter()
    lib = hnswlib.Index("ip", 384)
    lib.init_index(len(vectors), ef_construction=200, M=32)
    lib.add_items(vectors)
    built = time.perf_counter() - begun

    def by_hnswlib(width: int) -> Search:
        def search(some: Vectors) -> Any:
            lib.set_ef(max(width, 10))
            return lib.knn_query(some, 10)[0]

        return search

    found.append(tuned("hnswlib M32 ef", by_hnswlib, widths, built))
    begun = time.perf_counter()
    use = usearch.Index(ndim=384, metric="ip", dtype="f32", connectivity=32, expansion_add=200)
    use.add(np.arange(len(vectors)), vectors)
    built = time.perf_counter() - begun

    def by_usearch(width: int) -> Search:
        def search(some: Vectors) -> Any:
            use.expansion_search = max(width, 10)
            return use.search(some, 10).keys.reshape(len(some), -1)

        return search

    return [*found, tuned("usearch HNSW32 ef", by_usearch, widths, built)]


def scans() -> list[tuple[str, Search, float]]:
    vectors, queries, _ = data()
    faiss = importlib.import_module("faiss")
    flat = faiss.IndexFlatIP(384)
    flat.add(vectors)
    packed = faiss.IndexScalarQuantizer(384, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    packed.train(vectors)
    packed.add(vectors)
    begun = time.perf_counter()
    lists = faiss.IndexIVFFlat(faiss.IndexFlatIP(384), 384, 256, faiss.METRIC_INNER_PRODUCT)
    lists.train(vectors)
    lists.add(vectors)
    built = time.perf_counter() - begun

    def by_lists(probes: int) -> Search:
        def search(some: Vectors) -> Any:
            lists.nprobe = max(probes, 1)
            return lists.search(some, 10)[1]

        return search

    fixed: dict[str, Search] = {
        "numpy exact": lambda some: by_numpy(some, vectors),
        "faiss flat": lambda some: flat.search(some, 10)[1],
        "faiss SQ8": lambda some: packed.search(some, 10)[1],
    }
    probing = tuned("faiss IVF256 nprobe", by_lists, (16, 24, 32, 48, 64, 96, 128), built)
    return [*((name, search, recall(search(queries))) for name, search in fixed.items()), probing]
