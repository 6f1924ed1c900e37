"""The GPU: what it can do at best, and the walks there against CuPy's and PyTorch's sparse products.

Every call is measured until the device has finished it. Peers iterate as Jacobi does, on the same matrix
laid out beforehand, and look at the residual every eighth iteration, since a look makes them wait.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from gpu import cuda_problem
from tests.bench.racing import Call, Row, medians_ms, race

LOOK_EVERY = 8
Array = Any


def _finished(call: Callable[[], object]) -> Call:
    import cupy

    def run() -> None:
        call()
        cupy.cuda.Device().synchronize()

    return run


@cache
def copied_bytes_per_ms() -> float:
    """The device's memory bandwidth as a copy of 4 GiB shows it, counting bytes read and written."""
    import cupy

    source = cupy.zeros(1 << 30, dtype=cupy.float32)
    target = cupy.empty_like(source)
    taken = medians_ms({"copy": _finished(lambda: cupy.copyto(target, source))}, 2.0)["copy"]
    return 2 * source.nbytes / taken


def bench_ceilings() -> list[Row]:
    """Bandwidth of a copy, and the rate of matrix products of 8192 in float32 and float16."""
    import cupy

    bandwidth = copied_bytes_per_ms() / 1e6
    rows = [Row("copy of 4 GiB", "GB/s", bandwidth, "-", bandwidth, 1.0, "the ceiling of what follows")]
    cupy.get_default_memory_pool().free_all_blocks()
    size = 8192
    for dtype in ("float32", "float16"):
        left = cupy.random.default_rng(1).random((size, size), dtype=cupy.float32).astype(dtype)
        out = cupy.empty_like(left)
        calls = {"CuPy": _finished(lambda left=left, out=out: cupy.matmul(left, left, out=out))}
        if torch := _torch():
            tensor = torch.from_dlpack(left)
            calls["PyTorch"] = _finished(lambda tensor=tensor: tensor @ tensor)
        taken = medians_ms(calls, 2.0)
        rates = {name: 2 * size**3 / ms / 1e9 for name, ms in taken.items()}
        peer, rate = list(rates.items())[-1]
        work = f"matrix product, {dtype}, random data"
        rows.append(Row(work, "TFLOP/s", rates["CuPy"], peer, rate, rates["CuPy"] / rate, "-"))
    return rows


@dataclass(frozen=True, eq=False)
class Walk:
    """A transposed walk on the device: row i holds the links that arrive at node i."""

    indptr: Array
    sources: Array
    probabilities: Array
    undirected: bool = False

    @property
    def nodes(self) -> int:
        return len(self.indptr) - 1


def random_walk(nodes: int, links: int, dtype: str, *, power: bool) -> Walk:
    """A random directed graph; with `power`, few nodes receive most of the links."""
    import cupy

    rng = cupy.random.default_rng(nodes + power)
    if power:
        share = (cupy.arange(nodes, dtype=cupy.float64) + 10) ** -0.8
        share = share[cupy.argsort(rng.random(nodes))]
        lengths = (share * (links / share.sum())).astype(cupy.int64)
    else:
        lengths = rng.integers(links // nodes // 2, links // nodes * 3 // 2 + 1, nodes)
    indptr = cupy.zeros(nodes + 1, dtype=cupy.int64)
    indptr[1:] = cupy.cumsum(lengths)
    sources = rng.integers(0, nodes, int(indptr[-1]), dtype=cupy.int32)
    leaving = cupy.maximum(cupy.bincount(sources, minlength=nodes), 1)
    return Walk(indptr, sources.astype(cupy.uint32), (1.0 / leaving).astype(dtype)[sources])


def undirected_walk(nodes: int, links: int, dtype: str) -> Walk:
    """A random graph whose links all run both ways."""
    import cupy

    rng = cupy.random.default_rng(nodes)
    ends = rng.integers(0, nodes, (2, links // 2), dtype=cupy.int32)
    rows, sources = cupy.concatenate([ends[0], ends[1]]), cupy.concatenate([ends[1], ends[0]])
    counts = cupy.bincount(rows, minlength=nodes)
    indptr = cupy.zeros(nodes + 1, dtype=cupy.int64)
    indptr[1:] = cupy.cumsum(counts)
    sources = sources[cupy.argsort(rows)]
    shares = (1.0 / cupy.maximum(counts, 1)).astype(dtype)
    return Walk(indptr, sources.astype(cupy.uint32), shares[sources], undirected=True)


def _resets(walk: Walk, columns: int) -> Array:
    """(n, columns): reset vectors that sum to one, a thousandth of the nodes in each."""
    import cupy

    rng = cupy.random.default_rng(columns)
    found = rng.random((walk.nodes, columns), dtype=cupy.float32)
    found *= rng.random((walk.nodes, columns), dtype=cupy.float32) < max(1e-3, 20 / walk.nodes)
    return (found / found.sum(axis=0)).astype(walk.probabilities.dtype)


def _by_cupy(walk: Walk, base: Array, damping: float, tol: float) -> Callable[[], Array]:
    import cupy
    import cupyx.scipy.sparse

    layout = (damping * walk.probabilities, walk.sources.astype("int32"), walk.indptr.astype("int32"))
    matrix = cupyx.scipy.sparse.csr_matrix(layout, shape=(walk.nodes, walk.nodes))
    # Its product of a matrix is by columns; for one column a product of a vector is faster.
    start = cupy.asfortranarray(base) if base.shape[1] > 1 else base.ravel()

    def solve() -> Array:
        x, iteration = start, 0
        while True:
            iteration += 1
            following = matrix @ x
            following += start
            if iteration % LOOK_EVERY == 0 and damping * float(abs(following - x).sum(axis=0).max()) <= tol:
                return following.reshape(base.shape)
            x = following

    return solve


def _by_torch(walk: Walk, base: Array, damping: float, tol: float) -> Callable[[], Array]:
    import cupy
    import torch

    layout = (walk.indptr.astype("int32"), walk.sources.astype("int32"), damping * walk.probabilities)
    tensors = [torch.from_dlpack(array) for array in layout]
    matrix = torch.sparse_csr_tensor(*tensors, size=(walk.nodes, walk.nodes))
    start = torch.from_dlpack(base if base.shape[1] > 1 else base.ravel())

    def solve() -> Array:
        x, iteration = start, 0
        while True:
            iteration += 1
            following = matrix @ x
            following += start
            if iteration % LOOK_EVERY == 0 and damping * float((following - x).abs().sum(dim=0).max()) <= tol:
                return cupy.from_dlpack(following).reshape(base.shape)
            x = following

    return solve


def _torch() -> Any:
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    return torch if torch.cuda.is_available() else None


def _race_walk(
    name: str, walk: Walk, columns: int, damping: float, tol: float, aim: str, seconds: float
) -> list[Row]:
    import cupy

    from gpu.ranks.walk_cuda import rows_by_length, solve_cuda

    base = _resets(walk, columns) * walk.probabilities.dtype.type(1 - damping)
    order = rows_by_length(walk.indptr)
    layout = (walk.indptr, walk.sources, walk.probabilities)

    def solve(start: Array = base, base: Array = base) -> tuple[Array, int]:
        scores = start.copy()
        iterations, _ = solve_cuda(
            *layout, base, scores, damping, tol, 1000, order, undirected=walk.undirected
        )
        return scores, iterations

    scores, iterations = solve()
    vote = base.copy()
    vote[walk.nodes // 2] += 0.3 * base.max()
    solvers: dict[str, Callable[[], Any]] = {
        "casewire": lambda: solve()[0],
        "casewire, with its order": lambda: (rows_by_length(walk.indptr), solve())[1][0],
        "casewire, after a vote": lambda: solve(scores, vote)[0],
        "cupyx.scipy.sparse": _by_cupy(walk, base, damping, tol),
    }
    if _torch():
        solvers["torch.sparse"] = _by_torch(walk, base, damping, tol)
    calls = {peer: _finished(call) for peer, call in solvers.items()}
    accuracy = {}
    for peer, call in solvers.items():
        apart = float(abs(call().astype("float64") - scores.astype("float64")).sum(axis=0).max())
        accuracy[peer] = "another question" if "vote" in peer else f"L1 {apart:.0e} from ours"
    ms = medians_ms({"casewire": calls["casewire"]}, 1.0)["casewire"]
    size = walk.probabilities.itemsize
    rows = walk.nodes * (16 + (4 if walk.undirected else 3) * columns * size)
    links = len(walk.sources)
    least = iterations * (rows + links * (4 + size) + walk.nodes * columns * size)
    gathered = iterations * (rows + links * (4 + size + columns * size))
    share = [moved / ms / copied_bytes_per_ms() for moved in (least, gathered)]
    used = cupy.get_default_memory_pool().used_bytes() / 1e9
    accuracy["casewire"] = (
        f"{iterations} iterations, {share[0]:.0%} of the bandwidth if each score were read once, "
        f"{share[1]:.0%} if every link read it; {used:.1f} GB in use"
    )
    return race(name, "casewire", calls, accuracy, seconds=seconds, aim=aim)


def bench_walks() -> list[Row]:
    """One reset vector, float64 to 1e-10 and float32 to 1e-6, for three kinds of graph."""
    import cupy

    found = []
    for nodes, links in ((2_000, 20_000), (10**5, 10**6), (10**6, 10**7)):
        for dtype, tol in (("float64", 1e-10), ("float32", 1e-6)):
            for kind in ("even", "power-law", "undirected"):
                if kind == "undirected":
                    walk = undirected_walk(nodes, links, dtype)
                else:
                    walk = random_walk(nodes, links, dtype, power=kind == "power-law")
                name = f"PPR {nodes:,} / {links:,}, {kind}, {dtype}"
                found += _race_walk(name, walk, 1, 0.85, tol, "≥ 1", 2.0)
                cupy.get_default_memory_pool().free_all_blocks()
    return found


def bench_batches() -> list[Row]:
    """Sixteen reset vectors at once, up to 10^8 links."""
    import cupy

    found = []
    for nodes, links, power in ((10**4, 10**5, False), (10**7, 10**8, False), (10**7, 10**8, True)):
        walk = random_walk(nodes, links, "float32", power=power)
        name = f"16 PPR at once, {nodes:,} / {links:,}, {'power-law' if power else 'even'}, float32"
        found += _race_walk(name, walk, 16, 0.85, 1e-5, "≥ 1", 4.0)
        del walk
        cupy.get_default_memory_pool().free_all_blocks()
    return found


def say_why_not() -> list[Row]:
    """Name what is missing for this part."""
    print(f"\nThe part for a GPU is left out: {cuda_problem()}.")
    return []


BENCHES = (say_why_not,) if cuda_problem() else (bench_ceilings, bench_walks, bench_batches)
