"""Array libraries to run the kernels with; the folder is usable alone, with `--confcutdir tests/gpu`."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest
from hypothesis import settings

from gpu import cuda_problem

# The first call of a kernel compiles it.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session", params=["numpy", pytest.param("cupy", marks=pytest.mark.gpu)])
def xp(request: pytest.FixtureRequest) -> ModuleType:
    """NumPy, then CuPy where a GPU is usable."""
    if request.param == "cupy" and (problem := cuda_problem()):
        pytest.skip(problem)
    return importlib.import_module(request.param)
