"""A GPU's free memory is told by NVML where it can tell, and what CuPy keeps for reuse is free."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from gpu.memory import cuda


class NVMLError(Exception):
    pass


class NotSupported(NVMLError):
    pass


def nvml(free, total, *, divided=None, problem=None):
    """What is used of `pynvml`, of a driver that answers so."""

    def start():
        if problem:
            raise NVMLError(problem)

    def mode(handle):
        if divided is None:
            raise NotSupported("no such thing")
        return int(divided), 0

    return SimpleNamespace(
        NVMLError=NVMLError,
        NVMLError_NotSupported=NotSupported,
        NVML_DEVICE_MIG_ENABLE=1,
        nvmlInit=start,
        nvmlDeviceGetHandleByPciBusId=lambda address: address,
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(free=free, total=total),
        nvmlDeviceGetMigMode=mode,
    )


@pytest.fixture
def kept(monkeypatch):
    """CuPy of a device that has 300 of 1,000 bytes free, and the blocks that CuPy keeps."""
    blocks = [50]
    pool = SimpleNamespace(free_bytes=lambda: sum(blocks), free_all_blocks=blocks.clear)
    runtime = SimpleNamespace(
        memGetInfo=lambda: (300, 1000),
        getDevice=lambda: 0,
        getDeviceProperties=lambda device: {"name": b"Board", "uuid": bytes(range(16))},
    )
    module = SimpleNamespace(
        get_default_memory_pool=lambda: pool,
        get_default_pinned_memory_pool=lambda: SimpleNamespace(free_all_blocks=lambda: None),
        cuda=SimpleNamespace(runtime=runtime, Device=lambda: SimpleNamespace(pci_bus_id="0000:3B:00.0")),
    )
    monkeypatch.setitem(sys.modules, "cupy", module)
    cuda._nvml.cache_clear()
    yield blocks
    cuda._nvml.cache_clear()


@pytest.mark.parametrize(
    ("driver", "expected"),
    [
        (nvml(400, 1100), (450, 1100, "NVML")),
        (nvml(400, 1100, divided=False), (450, 1100, "NVML")),
        (nvml(400, 1100, divided=True), (350, 1000, "CUDA (the GPU is divided)")),
        (nvml(0, 0, problem="no driver"), (350, 1000, "CUDA (NVML does not answer: no driver)")),
        (None, (350, 1000, "CUDA (pynvml is not installed)")),
    ],
)
def test_who_tells_the_memory_is_told(monkeypatch, kept, driver, expected):
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    assert cuda.cuda_memory() == expected


def test_no_more_is_free_than_there_is(monkeypatch, kept):
    monkeypatch.setitem(sys.modules, "pynvml", nvml(1090, 1100))
    assert cuda.cuda_memory()[0] == 1100


def test_what_is_kept_can_be_given_back(monkeypatch, kept):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    cuda.free_cached_blocks()
    assert cuda.cuda_memory()[0] == 300


def test_a_device_has_a_name_and_a_key_that_a_folder_can_have(kept):
    assert cuda.device_name() == "Board"
    assert cuda.device_key() == "cuda-0000:3B:00.0-000102030405060708090a0b0c0d0e0f"
