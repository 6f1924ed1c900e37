"""CuPy's elementwise kernels, written out as a kernel of their own."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np

from tests.gpu.rehearsal.arrays import ndarray, wrapped
from tests.gpu.rehearsal.kernels import RawKernel


class ElementwiseKernel:
    """A loop over the elements of broadcast arguments, its body in C++."""

    def __init__(self, in_params, out_params, operation, name="kernel", preamble="", **_):
        self.inputs, self.outputs = _parameters(in_params), _parameters(out_params)
        self.operation, self.name, self.preamble = operation, name, preamble

    def __call__(self, *args, size=None):
        wanted = len(self.inputs)
        if len(args) not in (wanted, wanted + len(self.outputs)):
            raise TypeError(f"{self.name} takes {wanted} arguments and {len(self.outputs)} results.")
        types: dict[str, np.dtype] = {}
        parameters = self.inputs + self.outputs
        given = list(zip(args, parameters, strict=False))
        arrays = [_checked(argument, parameter, types, self.name) for argument, parameter in given]
        spread = [array.shape for array, (_, (_, _, raw)) in zip(arrays, given, strict=True) if not raw]
        shape = np.broadcast_shapes(*spread) if size is None else (size,)
        results = arrays[wanted:] or [
            np.empty(shape, dtype=types[kind] if kind in types else np.dtype(kind))
            for kind, _, _ in self.outputs
        ]
        count = math.prod(shape)
        flat, back = [], []
        for array, (_, _, raw) in zip(arrays[:wanted] + results, parameters, strict=True):
            whole = np.array(array if raw else np.broadcast_to(array, shape), order="C").reshape(-1)
            flat.append(wrapped(whole if whole.size else np.zeros(1, whole.dtype)))
            back.append(whole)
        if count:
            sizes = [np.int64(array.size) for array in arrays[:wanted] + results]
            kernel = RawKernel(self._source(types), "rehearsed")
            kernel((-(-count // 128),), (128,), (np.int64(count), *flat, *sizes))
        for result, whole in zip(results, back[wanted:], strict=True):
            result[...] = whole.reshape(result.shape)
        found = [
            own if isinstance(own, ndarray) else wrapped(result)
            for own, result in itertools.zip_longest(args[wanted:], results)
        ]
        return found[0] if len(found) == 1 else tuple(found)

    def _source(self, types) -> str:
        pointers, sizes, bindings = ["long long count"], [], []
        for place, (kind, name, raw) in enumerate(self.inputs + self.outputs):
            ctype = _ctype(types.get(kind) or np.dtype(kind))
            constant = "const " if place < len(self.inputs) else ""
            pointers.append(f"{constant}{ctype} *p{place}")
            sizes.append(f"long long n{place}")
            if raw:
                bindings.append(f"Raw<{constant}{ctype}> {name}{{p{place}, n{place}}};")
            else:
                bindings.append(f"{constant}{ctype} &{name} = p{place}[i];")
        aliases = "".join(
            f"typedef {_ctype(found)} {kind};" for kind, found in types.items() if re.fullmatch("[A-Z]", kind)
        )
        return (
            f"{self.preamble}\n__global__ void rehearsed({', '.join(pointers + sizes)}) {{"
            f"{aliases} long long i = blockIdx.x * 128ll + threadIdx.x; if (i >= count) return;"
            f"{' '.join(bindings)} {self.operation};\n}}"
        )


def _parameters(text: str) -> list[tuple[str, str, bool]]:
    """(type, name, raw) of each."""
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        *words, kind, name = part.split()
        if name in ("i", "n"):
            raise ValueError(f"A parameter cannot be called {name}.")
        found.append((kind, name, words == ["raw"]))
    return found


def _checked(argument, parameter, types, kernel) -> np.ndarray:
    kind, name, _ = parameter
    if isinstance(argument, (bool, int, float, np.generic)):
        array = np.asarray(argument)
        if kind in types or len(kind) > 1:
            array = array.astype(types.get(kind) or np.dtype(kind))
    elif isinstance(argument, ndarray):
        array = argument._array
    else:
        raise TypeError(f"Unsupported type {type(argument)}")
    if re.fullmatch("[A-Z]", kind):
        types.setdefault(kind, array.dtype)
    if array.dtype != (types.get(kind) or np.dtype(kind)):
        raise TypeError(f"{kernel}: {name} is {kind}, got {array.dtype}.")
    return array


def _ctype(dtype: np.dtype) -> str:
    if dtype.kind == "f":
        return {2: "__half", 4: "float", 8: "double"}[dtype.itemsize]
    if dtype.kind == "b":
        return "bool"
    name = {1: "char", 2: "short", 4: "int", 8: "long long"}[dtype.itemsize]
    return ("unsigned " if dtype.kind == "u" else "signed ") + name
