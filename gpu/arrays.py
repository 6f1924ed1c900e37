"""The array library of a call is read off its arguments, so one signature serves NumPy and CuPy."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = Any
"""A numpy.ndarray or a cupy.ndarray; CuPy ships no types and need not be installed."""

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]


def array_namespace(*arrays: Array) -> ModuleType:
    """Return the module, `numpy` or `cupy`, that all `arrays` belong to.

    CuPy is imported only when one of the arrays is a CuPy array.

    Raises:
        TypeError: An argument is no array, or the arguments live in different libraries.
    """
    if all(type(array) is np.ndarray for array in arrays):
        return np
    names = set()
    for array in arrays:
        name = type(array).__module__.partition(".")[0]
        if not isinstance(array, np.ndarray) and name != "cupy":
            raise TypeError(f"Expected a NumPy or CuPy array, got {type(array).__name__}.")
        names.add("cupy" if name == "cupy" else "numpy")
    if len(names) != 1:
        raise TypeError("NumPy and CuPy arrays cannot be mixed in one call.")
    return importlib.import_module(names.pop())
