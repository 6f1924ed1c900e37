"""CuPy's current GPU: what it is called and how much of its memory is free.

NVML tells where `pynvml` is installed, CUDA itself otherwise, and for a slice of a divided GPU, whose
size NVML does not tell by the address that CUDA gives.
"""

from __future__ import annotations

from functools import cache
from typing import Any


def device_name() -> str:
    """What the maker calls the GPU."""
    name: bytes = _properties()["name"]
    return name.decode()


def device_key() -> str:
    """A name of the GPU, or of the slice of one, that is the same in every process of the machine."""
    import cupy

    # The slices of a divided GPU share its address; older CuPy tells no more than that.
    unique = bytes(_properties().get("uuid", b"")).hex()
    return f"cuda-{cupy.cuda.Device().pci_bus_id}-{unique}"


def cuda_memory() -> tuple[int, int, str]:
    """Free and total bytes, and what told them.

    Blocks that CuPy keeps for reuse in this process count as free.
    """
    import cupy

    kept = int(cupy.get_default_memory_pool().free_bytes())
    nvml, problem = _nvml(cupy.cuda.Device().pci_bus_id)
    if nvml is None:
        free, total = cupy.cuda.runtime.memGetInfo()
        return min(free + kept, total), total, f"CUDA ({problem})"
    pynvml, handle = nvml
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return min(memory.free + kept, memory.total), memory.total, "NVML"


def free_cached_blocks() -> None:
    """Return to the device what CuPy keeps for reuse in this process."""
    import cupy

    cupy.get_default_memory_pool().free_all_blocks()
    cupy.get_default_pinned_memory_pool().free_all_blocks()


def _properties() -> dict[str, Any]:
    import cupy

    found: dict[str, Any] = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())
    return found


@cache
def _nvml(pci_bus_id: str) -> tuple[tuple[Any, Any] | None, str]:
    """The NVML module with the device's handle, or why NVML is not used."""
    try:
        import pynvml
    except ImportError:
        return None, "pynvml is not installed"
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByPciBusId(pci_bus_id.encode())
        divided = _divided(pynvml, handle)
    except pynvml.NVMLError as error:
        return None, f"NVML does not answer: {error}"
    return (None, "the GPU is divided") if divided else ((pynvml, handle), "")


def _divided(pynvml: Any, handle: Any) -> bool:
    try:
        current, _ = pynvml.nvmlDeviceGetMigMode(handle)
    except pynvml.NVMLError_NotSupported:
        return False
    return bool(current == pynvml.NVML_DEVICE_MIG_ENABLE)
