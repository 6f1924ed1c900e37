"""Tensors: interpolation, spline filter, levels and packing against SciPy and plain NumPy."""

from __future__ import annotations

import importlib

import numpy as np
from scipy import ndimage

from gpu import (
    cuda_problem,
    halved,
    interpolate,
    interpolate_tiled,
    limit_threads,
    pack_bits,
    pack_int8,
    spline_coefficients,
    unpack_bits,
    unpack_int8,
)
from tests.bench.racing import Call, Row, race

SHAPE = (8, 64, 64, 64)
POINTS = 1_000_000


def random_points() -> np.ndarray:
    """A million points anywhere in the tensor, in no order."""
    return np.random.default_rng(1).random((POINTS, len(SHAPE))) * (np.array(SHAPE) - 1)


def coherent_points() -> np.ndarray:
    """A finer grid over the tensor, in memory order: what resampling asks for."""
    axes = [np.linspace(0, n - 1, count) for n, count in zip(SHAPE, (16, 40, 40, 40), strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(SHAPE))


def on_one_thread(call: Call) -> Call:
    """`call` with a single thread."""

    def limited() -> object:
        limit_threads(1)
        try:
            return call()
        finally:
            limit_threads(None)

    return limited


def bench_interpolation() -> list[Row]:
    """10^6 points, cubic along all four axes, 256 samples each; ours on all cores and on one.

    How far values are off is measured from SciPy's in float64.
    """
    rows = []
    tensor = np.random.default_rng(0).standard_normal(SHAPE)
    exact = ndimage.spline_filter(tensor, 3, mode="mirror")
    for order, points, aim in (("random", random_points(), 3.5), ("coherent", coherent_points(), 10.0)):
        turned = np.ascontiguousarray(points.T)
        right = ndimage.map_coordinates(exact, turned, order=3, mode="mirror", prefilter=False)
        for dtype in (np.float32, np.float64):
            coefficients = exact.astype(dtype)

            def ours(coefficients: np.ndarray = coefficients, points: np.ndarray = points) -> np.ndarray:
                return interpolate(coefficients, points, basis="bspline")

            def scipy(coefficients: np.ndarray = coefficients, turned: np.ndarray = turned) -> np.ndarray:
                return ndimage.map_coordinates(coefficients, turned, order=3, mode="mirror", prefilter=False)

            calls: dict[str, Call] = {"casewire": ours, "scipy.ndimage, its one thread": scipy}
            off = {name: f"off {np.abs(call() - right).max():.0e}" for name, call in calls.items()}
            work = f"tricubic B-spline, 10^6 points {order}, {np.dtype(dtype).name}"
            rows += race(work, "casewire", calls, off, seconds=6.0, aim=f"≥ {aim:g}")
            calls["casewire"] = on_one_thread(ours)
            rows += race(f"{work}, one thread", "casewire", calls, off, seconds=6.0, aim=f"≥ {aim:g}")
    return rows


def bench_tiles() -> list[Row]:
    """The same random points with the tensor in 8 tiles, beside ours in one piece."""
    coefficients = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    points = random_points()
    calls: dict[str, Call] = {
        "casewire": lambda: interpolate_tiled(coefficients, points, tile_shape=(8, 32, 32, 32)),
        "casewire, whole": lambda: interpolate(coefficients, points),
    }
    same = bool((calls["casewire"]() == calls["casewire, whole"]()).all())
    accuracy = dict.fromkeys(calls, "the same bits" if same else "differing bits")
    return race("Keys' cubic, 10^6 points random, in 8 tiles", "casewire", calls, accuracy, seconds=3.0)


def bench_filter() -> list[Row]:
    """The recursive filter along all axes."""
    tensor = np.random.default_rng(0).standard_normal(SHAPE)
    calls: dict[str, Call] = {
        "casewire": lambda: spline_coefficients(tensor),
        "scipy.ndimage": lambda: ndimage.spline_filter(tensor, 3, mode="mirror"),
    }
    off = np.abs(calls["casewire"]() - calls["scipy.ndimage"]()).max()
    accuracy = dict.fromkeys(calls, f"apart {off:.0e}")
    return race("spline filter, (8, 64, 64, 64) float64", "casewire", calls, accuracy, seconds=3.0, aim="≥ 1")


def bench_levels() -> list[Row]:
    """One level coarser along Z, Y and X."""
    rows = []
    for shape in ((8, 128, 128, 128), (8, 127, 127, 127)):
        tensor = np.random.default_rng(0).random(shape, dtype=np.float32)
        z, y, x = (n // 2 for n in shape[1:])

        def pairs(tensor: np.ndarray = tensor, z: int = z, y: int = y, x: int = x) -> np.ndarray:
            whole = tensor[:, : 2 * z, : 2 * y, : 2 * x]
            return whole.reshape(-1, z, 2, y, 2, x, 2).mean(axis=(2, 4, 6))

        def slices(tensor: np.ndarray = tensor, z: int = z, y: int = y, x: int = x) -> np.ndarray:
            found = tensor
            for axis, half in ((1, z), (2, y), (3, x)):
                found = np.moveaxis(found, axis, 0)[: 2 * half]
                found = np.moveaxis(0.5 * found[::2] + 0.5 * found[1::2], 0, axis)
            return found

        calls: dict[str, Call] = {
            "casewire": lambda tensor=tensor: halved(tensor, axes=[1, 2, 3]),
            "numpy, reshape and mean": pairs,
            "numpy, slices": slices,
        }
        off = {
            name: f"mean off {abs(call().mean(dtype=float) - tensor.mean(dtype=float)):.0e}"
            for name, call in calls.items()
        }
        rows += race(
            f"half of {shape} float32", "casewire", calls, off, seconds=3.0, unit="GB/s",
            per_second=tensor.nbytes / 1e9, aim="≥ 1",
        )  # fmt: skip
    return rows


def numpy_int8(tensor: np.ndarray, block: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same blocks by array operations."""
    blocks = tensor.reshape(*tensor.shape[:-1], -1, block)
    low, high = blocks.min(axis=-1, keepdims=True), blocks.max(axis=-1, keepdims=True)
    scale = (high - low) / np.float32(255)
    offset = low + 128 * scale
    return np.rint((blocks - offset) / scale).clip(-128, 127).astype(np.int8), scale, offset


def numpy_bits(numbers: np.ndarray, bits: int) -> np.ndarray:
    """The same bits by NumPy's own packing."""
    each = np.unpackbits(numbers[:, None], axis=1, count=bits, bitorder="little")
    return np.packbits(each, bitorder="little")


def bench_packing() -> list[Row]:
    """Packing and unpacking 32 MiB."""
    tensor = np.random.default_rng(0).standard_normal((1 << 14, 512)).astype(np.float32)
    packed, plain = pack_int8(tensor), numpy_int8(tensor, 64)
    restored = (plain[0] * plain[1] + plain[2]).reshape(tensor.shape)
    off = {"casewire": f"off {packed.error:.4f}", "numpy": f"off {np.abs(restored - tensor).max():.4f}"}
    rate = {"unit": "GB/s", "per_second": tensor.nbytes / 1e9, "seconds": 2.0, "aim": "≥ 1"}
    rows = race(
        "float32 to int8, blocks of 64, its error measured", "casewire",
        {"casewire": lambda: pack_int8(tensor), "numpy": lambda: numpy_int8(tensor, 64)}, off, **rate,
    )  # fmt: skip
    rows += race(
        "int8 to float32", "casewire",
        {"casewire": lambda: unpack_int8(packed), "numpy": lambda: plain[0] * plain[1] + plain[2]}, off,
        **rate,
    )  # fmt: skip
    numbers = np.random.default_rng(0).integers(0, 32, 1 << 24, dtype=np.uint8)
    bits = pack_bits(numbers, 5)
    exact = {"casewire": "exact", "numpy": "exact" if (numpy_bits(numbers, 5) == bits).all() else "differing"}
    rate["per_second"] = numbers.nbytes / 1e9
    rows += race(
        "5-bit numbers, packed", "casewire",
        {"casewire": lambda: pack_bits(numbers, 5), "numpy": lambda: numpy_bits(numbers, 5)}, exact, **rate,
    )  # fmt: skip

    def numpy_unpacked() -> np.ndarray:
        each = np.unpackbits(bits, bitorder="little").reshape(-1, 5)
        return np.packbits(each, axis=1, bitorder="little")[:, 0]

    exact["numpy"] = "exact" if (numpy_unpacked() == numbers).all() else "differing"
    rows += race(
        "5-bit numbers, unpacked", "casewire",
        {"casewire": lambda: unpack_bits(bits, 5, numbers.size), "numpy": numpy_unpacked}, exact, **rate,
    )  # fmt: skip
    return rows


def bench_gpu() -> list[Row]:
    """On a GPU: the same points against CuPy's own map_coordinates, and trilinear ones against PyTorch."""
    if cuda_problem():
        return []
    cupy = importlib.import_module("cupy")
    peer = importlib.import_module("cupyx.scipy.ndimage")
    wait = cupy.cuda.get_current_stream().synchronize
    coefficients = cupy.asarray(np.random.default_rng(0).standard_normal(SHAPE), dtype=cupy.float32)
    rows = []
    for order, host in (("random", random_points()), ("coherent", coherent_points())):
        points = cupy.asarray(host)
        turned = cupy.ascontiguousarray(points.T)

        def ours(points: object = points) -> object:
            found = interpolate(coefficients, points, basis="bspline")
            wait()
            return found

        def theirs(turned: object = turned) -> object:
            found = peer.map_coordinates(coefficients, turned, order=3, mode="mirror", prefilter=False)
            wait()
            return found

        apart = f"apart {float(cupy.abs(ours() - theirs()).max()):.0e}"
        calls: dict[str, Call] = {"casewire": ours, "cupyx.scipy.ndimage": theirs}
        rows += race(
            f"GPU: tricubic B-spline, 10^6 points {order}", "casewire", calls, dict.fromkeys(calls, apart),
            seconds=3.0, aim="≥ 1",
        )  # fmt: skip
    return rows + _against_torch(cupy, wait)


def _against_torch(cupy: object, wait: Call) -> list[Row]:
    try:
        torch = importlib.import_module("torch")
    except ModuleNotFoundError:
        return []
    volume = cupy.asarray(np.random.default_rng(0).standard_normal((64, 64, 64)), dtype=cupy.float32)
    unit = cupy.asarray(np.random.default_rng(1).random((POINTS, 3)), dtype=cupy.float32)
    points = unit * 63
    image = torch.as_tensor(volume)[None, None]
    grid = torch.as_tensor(2 * unit[:, ::-1].copy() - 1)[None, None, None]

    def ours() -> object:
        found = interpolate(volume, points, linear_axes=(0, 1, 2), mode="nearest")
        wait()
        return found

    def theirs() -> object:
        found = torch.nn.functional.grid_sample(image, grid, align_corners=True, padding_mode="border")
        torch.cuda.synchronize()
        return found

    apart = f"apart {float(cupy.abs(ours() - cupy.asarray(theirs().ravel())).max()):.0e}"
    calls: dict[str, Call] = {"casewire": ours, "torch grid_sample": theirs}
    return race(
        "GPU: trilinear, 10^6 points in (64, 64, 64)", "casewire", calls, dict.fromkeys(calls, apart),
        seconds=3.0, aim="≥ 1",
    )  # fmt: skip


BENCHES = (bench_interpolation, bench_tiles, bench_filter, bench_levels, bench_packing, bench_gpu)
