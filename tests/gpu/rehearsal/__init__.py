"""A rehearsal of the GPU's side on a machine without one: CuPy's calls on NumPy, CUDA C++ by g++.

It proves that the names exist and are called as CuPy wants them, that nothing slips to the host and
back unseen, and of the `.cu` kernels their logic, indexing and synchronisation: that they compile,
take what they are handed, stay within their arrays and wait for one another wherever a result depends
on it. It says nothing of speed, registers, rounding by fused operations, memory ordering between
threads that truly run at once, or of what the real CuPy does differently from its documentation.
For those the same tests run on a device, with `xp` being CuPy itself.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace

import numpy as np

from tests.gpu.rehearsal import arrays, calls, kernels
from tests.gpu.rehearsal.elementwise import ElementwiseKernel

PARTS = ("cupy", "cupyx")


@functools.cache
def cupy() -> ModuleType:
    """The module that stands in for CuPy."""
    found = ModuleType("cupy", __doc__)
    found.__dict__.update(calls.functions())
    for kind in (ElementwiseKernel, kernels.RawKernel, kernels.RawModule):
        setattr(found, kind.__name__, kind)
    found.cuda = _cuda()
    algebra = ("norm", "solve", "svd", "qr", "eigh", "inv", "cholesky")
    lifted = {name: functools.partial(calls.call_numpy, getattr(np.linalg, name)) for name in algebra}
    found.linalg = SimpleNamespace(**lifted)
    found.random = SimpleNamespace(default_rng=_Generator)
    found.get_default_memory_pool = _Pool
    found.__version__ = "14.2.0"
    return found


@functools.cache
def cupyx() -> ModuleType:
    """The module that stands in for cupyx."""
    found = ModuleType("cupyx")
    for name in ("scatter_add", "scatter_max", "scatter_min"):
        setattr(found, name, lambda a, slices, value, name=name: getattr(a, name)(slices, value))
    found.rsqrt = _rsqrt
    found.empty_pinned = lambda shape, dtype=float, order="C": np.empty(shape, dtype, order)
    found.zeros_pinned = lambda shape, dtype=float, order="C": np.zeros(shape, dtype, order)
    return found


@contextmanager
def installed() -> Iterator[ModuleType]:
    """Let `import cupy` give the stand-in, and the kernels' modules use it, for a while."""
    modules = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in PARTS}
    for name in modules:
        del sys.modules[name]
    sys.modules |= {"cupy": cupy(), "cupyx": cupyx()}
    turn_to(cupy())
    try:
        yield cupy()
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] in PARTS]:
            del sys.modules[name]
        sys.modules.update(modules)
        if "cupy" in modules:
            turn_to(modules["cupy"])


def turn_to(module: ModuleType) -> None:
    """Point `cupy` in the kernels' modules to another module, and forget what the last one compiled."""
    for name, found in list(sys.modules.items()):
        if name.partition(".")[0] != "gpu" or found is None:
            continue
        if "cupy" in vars(found):
            found.cupy = module
        for kept in vars(found).values():
            if isinstance(kept, functools._lru_cache_wrapper):
                kept.cache_clear()


def _rsqrt(x):
    one = calls.function("true_divide")
    return one(x.dtype.type(1), calls.function("sqrt")(x))


class _Generator:
    """Random numbers; those of CuPy are others for the same seed."""

    def __init__(self, seed=None) -> None:
        self._numpy = np.random.default_rng(seed)

    def __getattr__(self, name: str):
        if name not in ("integers", "random", "standard_normal", "uniform", "exponential", "gamma", "beta"):
            raise AttributeError(name)
        return functools.partial(calls.call_numpy, getattr(self._numpy, name))


class _Pool:
    """The pool of device memory."""

    def used_bytes(self) -> int:
        return arrays.memory.used

    def total_bytes(self) -> int:
        return arrays.memory.used

    def free_bytes(self) -> int:
        return 0

    def get_limit(self) -> int:
        return arrays.memory.limit

    def set_limit(self, size=None, fraction=None) -> None:
        arrays.memory.limit = size if fraction is None else int(fraction * arrays.MEMORY_BYTES)

    def free_all_blocks(self, stream=None) -> None:
        """Nothing is kept."""


class _Stream:
    """Work is done at once, in the order of the calls."""

    null: _Stream
    ptr = 0

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None) -> None:
        self.done = True

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def use(self) -> _Stream:
        return self

    def synchronize(self) -> None:
        return None

    def wait_event(self, event) -> None:
        return None

    def record(self, event=None):
        return event or _Event()


_Stream.null = _Stream()


class _Event:
    def __init__(self, block=False, disable_timing=False, interprocess=False) -> None:
        self.done = True

    def record(self, stream=None) -> None:
        return None

    def synchronize(self) -> None:
        return None


class _Device:
    def __init__(self, device=None) -> None:
        self.id = device or 0
        self.compute_capability = "90"
        self.attributes = {
            "MultiProcessorCount": kernels.MULTIPROCESSORS,
            "MaxThreadsPerMultiProcessor": kernels.THREADS_A_PROCESSOR,
            "MaxSharedMemoryPerBlockOptin": kernels.SHARED_BYTES_AT_MOST,
            "CooperativeLaunch": 1,
            "WarpSize": 32,
            "L2CacheSize": 1 << 20,
        }

    @property
    def mem_info(self) -> tuple[int, int]:
        return _free_and_total()

    def __enter__(self) -> _Device:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def use(self) -> None:
        return None

    def synchronize(self) -> None:
        return None


def _free_and_total() -> tuple[int, int]:
    return (arrays.memory.limit or arrays.MEMORY_BYTES) - arrays.memory.used, arrays.MEMORY_BYTES


class _CUDARuntimeError(RuntimeError):
    pass


def _cuda() -> SimpleNamespace:
    return SimpleNamespace(
        runtime=SimpleNamespace(
            CUDARuntimeError=_CUDARuntimeError,
            getDeviceCount=lambda: 1,
            getDevice=lambda: 0,
            memGetInfo=_free_and_total,
            deviceSynchronize=lambda: None,
            getDeviceProperties=lambda device: {
                "name": b"rehearsal",
                "multiProcessorCount": kernels.MULTIPROCESSORS,
                "maxThreadsPerMultiProcessor": kernels.THREADS_A_PROCESSOR,
                "sharedMemPerBlockOptin": kernels.SHARED_BYTES_AT_MOST,
                "l2CacheSize": 1 << 20,
                "totalGlobalMem": arrays.MEMORY_BYTES,
                "warpSize": 32,
                "major": 9,
                "minor": 0,
            },
        ),
        driver=SimpleNamespace(
            occupancyMaxActiveBlocksPerMultiprocessor=lambda function, threads, shared_bytes: (
                kernels.resident_blocks(threads, shared_bytes)
            )
        ),
        memory=SimpleNamespace(OutOfMemoryError=arrays.OutOfMemoryError),
        compiler=SimpleNamespace(CompileException=kernels.CompileException),
        Device=_Device,
        Event=_Event,
        Stream=_Stream,
        MemoryPool=_Pool,
        get_current_stream=lambda: _Stream.null,
        get_elapsed_time=lambda start, end: 0.0,
        is_available=lambda: True,
    )
