"""Array libraries to run the kernels with; the folder is usable alone, with `--confcutdir tests/gpu`."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import nullcontext
from types import ModuleType

import pytest
from hypothesis import settings

from gpu import cuda_problem
from tests.gpu import rehearsal

# The first call of a kernel compiles it.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    """Name the mark also where the project's own configuration is left out."""
    config.addinivalue_line("markers", "gpu: needs a CUDA device")


@pytest.fixture(scope="session", params=["numpy", "rehearsal", pytest.param("cupy", marks=pytest.mark.gpu)])
def xp(request: pytest.FixtureRequest) -> ModuleType:
    """NumPy, then CuPy's calls rehearsed on the CPU, then CuPy itself where a GPU is usable."""
    if request.param == "rehearsal":
        return rehearsal.cupy()
    if request.param == "cupy" and (problem := cuda_problem()):
        pytest.skip(problem)
    module = importlib.import_module(request.param)
    if request.param == "cupy":
        rehearsal.turn_to(module)
    return module


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Let `import cupy` mean the rehearsal for as long as a test and its fixtures use it."""
    call = getattr(item, "callspec", None)
    rehearsed = call is not None and call.params.get("xp") == "rehearsal"
    with rehearsal.installed() if rehearsed else nullcontext():
        return (yield)
