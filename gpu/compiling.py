"""Every CPU kernel is compiled the same way: one thread, kept on disk, without the interpreter lock.

One thread, because a barrier between threads on a busy machine costs up to several hundred times
the kernel itself; `gpu.threads` runs kernels side by side instead.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numba.extending

logger = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., object])

# Reordering sums lets LLVM use vector registers. NaN and infinity keep their meaning.
_FAST = {"reassoc", "contract", "nsz", "arcp"}


def kernel(function: F) -> F:
    """Compile `function` on its first call, keeping the order of its floating-point operations."""
    return cast(F, _kept(numba.njit(nogil=True)(function)))


def intrinsic(function: Callable[..., object]) -> Callable[..., Any]:
    """Let kernels call what `function` writes in LLVM's own language; it takes the typing context first."""
    return cast(Callable[..., Any], numba.extending.intrinsic(function))


def reordering_kernel(function: F) -> F:
    """Compile `function` on its first call, allowing sums to be reordered (always in the same way)."""
    return cast(F, _kept(numba.njit(nogil=True, fastmath=_FAST)(function)))


@cache
def _sources() -> str:
    """A digest of all modules of this package."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def _tell_unkept() -> None:
    """Warn, once a process."""
    logger.warning(
        "Compiled kernels cannot be kept, so every start compiles them anew: "
        "set NUMBA_CACHE_DIR to a folder that can be written.",
        extra={"action": "kernel.unkept"},
    )


def _kept(dispatcher: Any) -> Any:
    """Keep compiled code on disk for as long as no module of this package changes.

    numba looks only at the file that a function is in, not at those whose functions it calls.
    """
    if numba.config.DISABLE_JIT:  # then it is the function itself
        return dispatcher
    try:
        dispatcher.enable_caching()
    except RuntimeError:  # no folder can be written
        _tell_unkept()
        return dispatcher
    kept = dispatcher._cache._cache_file
    kept._source_stamp = (kept._source_stamp, _sources())
    return dispatcher


@cache
def cuda_functions(source: Path, *, cooperative: bool = False) -> Any:
    """Compile a file of CUDA C++ for the present device; `get_function(name)` finds its kernels.

    Kernels are `extern "C"`. CuPy keeps the compiled code on disk. Those that let the whole grid
    wait for itself are launched as `cooperative`; all their blocks must fit on the device at once.
    """
    import cupy

    return cupy.RawModule(
        code=source.read_text("utf-8"), options=("--std=c++17",), enable_cooperative_groups=cooperative
    )


@cache
def cuda_function(source: Path, name: str, *, cooperative: bool = False) -> Any:
    """Return one kernel of `cuda_functions`, found once: to look it up costs more than to launch it."""
    return cuda_functions(source, cooperative=cooperative).get_function(name)
