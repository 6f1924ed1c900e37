"""CuPy's functions, operators and methods: NumPy's, with the parameters that cupy_names.txt allows."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from tests.gpu.rehearsal.arrays import SCALARS, ndarray, plain, stable, unset, wrapped

METHODS = """all any argmax argmin argsort choose clip compress conj copy cumprod cumsum diagonal dot flatten
    max mean min nonzero prod ravel repeat reshape round searchsorted squeeze std sum swapaxes take trace
    transpose var"""
NUMPY_S_OWN = """bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64
    complex128 inf nan pi e newaxis dtype finfo iinfo integer floating number generic intp inexact"""


class ufunc:
    """An elementwise function and its reductions."""

    def __init__(self, name: str, nin: int) -> None:
        self.name, self.nin, self._numpy = name, nin, getattr(np, name)

    def __call__(self, *args, out=None, dtype=None, casting="same_kind"):
        if len(args) < self.nin:
            raise TypeError(f"{self.name} takes {self.nin} arguments.")
        for argument in args:
            if not isinstance(argument, (ndarray, *SCALARS)):
                raise TypeError(f"Unsupported type {type(argument)}")
        args, given = args[: self.nin], args[self.nin :] or ((out,) if isinstance(out, ndarray) else out)
        options = {} if dtype is None else {"dtype": dtype}
        if given:
            options["out"] = plain(given) if len(given) > 1 else given[0]._array
            options["casting"] = casting
        with np.errstate(all="ignore"):
            found = self._numpy(*map(plain, args), **options)
        return (given[0] if len(given) == 1 else given) if given else wrapped(found)

    def __getattr__(self, method: str):
        if method not in ("reduce", "accumulate", "reduceat", "outer", "at"):
            raise AttributeError(method)
        if method == "at":
            return lambda a, indices, b=None: getattr(a, _SCATTER[self.name])(indices, b)
        return functools.partial(call_numpy, getattr(self._numpy, method))


_SCATTER = {"add": "scatter_add", "maximum": "scatter_max", "minimum": "scatter_min"}


def call_numpy(function, *args, out=None, **kwargs):
    with np.errstate(all="ignore"):
        if out is None:
            return wrapped(function(*map(plain, args), **{key: plain(one) for key, one in kwargs.items()}))
        function(*map(plain, args), out=out._array, **kwargs)
        return out


def _lifted(name: str, parameters: list[str]):
    """NumPy's function of this name, taking what CuPy's takes."""
    function = getattr(np, name)
    names = [parameter for parameter in parameters if not parameter.startswith("*")]
    free = len(names) < len(parameters)

    def call(*args, **kwargs):
        if not free:
            if len(args) > len(names):
                raise TypeError(f"{name} takes at most {len(names)} arguments.")
            if unknown := set(kwargs) - set(names):
                raise TypeError(f"cupy.{name} has no {', '.join(sorted(unknown))}.")
        if args and names and isinstance(args[0], list) and names[0] in ("a", "x", "ar", "arr", "array"):
            raise TypeError(f"cupy.{name} takes no list.")
        if name not in ("where", "reshape", "transpose", "result_type"):
            keep = 2
            kwargs.update(zip(names[keep:], args[keep:], strict=False) if not free else ())
            args = args if free else args[:keep]
        if "sort" in name:
            stable(kwargs.get("kind"))
            if name in ("sort", "argsort"):
                kwargs["kind"] = "stable"
        found = call_numpy(function, *args, **kwargs)
        return wrapped(np.asarray(found)) if name in ARRAYS_EVEN_SO else found

    call.__name__ = call.__qualname__ = name
    return call


ARRAYS_EVEN_SO = ("allclose", "array_equal", "array_equiv", "count_nonzero")


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True) -> np.ndarray:
    """The array on the host."""
    return a.get(order=order, out=out) if isinstance(a, ndarray) else np.asarray(a, order=order)


def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False) -> ndarray:
    """A new array, from the host or from the device."""
    host = plain(obj) if not isinstance(obj, np.ndarray) else obj
    found = np.array(host, dtype=dtype, order=order, ndmin=ndmin)
    if found.dtype.kind not in "biufc":
        raise ValueError(f"Unsupported dtype {found.dtype}")
    return wrapped(found)


def asarray(a, dtype=None, order=None, *, copy=None, blocking=False) -> ndarray:
    """The same array if it is on the device in this dtype, else a copy there."""
    if isinstance(a, ndarray):
        found = np.asarray(a._array, dtype=dtype, order=order)
        return a if found is a._array else wrapped(found)
    return array(a, dtype, order=order or "K")


def ascontiguousarray(a, dtype=None) -> ndarray:
    """The array, C-contiguous; one without axes stays so."""
    return asarray(a, dtype, "C")


def empty(shape, dtype=float, order="C") -> ndarray:
    """Memory that nothing has been written to."""
    return ndarray(shape, dtype, order=order)


def empty_like(prototype, dtype=None, order="K", subok=None, shape=None) -> ndarray:
    """`empty` of the shape and dtype of another array."""
    found = np.empty_like(prototype._array, dtype=dtype, order=order, shape=shape)
    return wrapped(unset(found))


def lexsort(keys) -> ndarray:
    """Positions by the last row of `keys`, an array; CuPy takes no tuple."""
    if not isinstance(keys, ndarray):
        raise TypeError("cupy.lexsort takes an array of keys.")
    return wrapped(np.lexsort(keys._array))


def get_array_module(*args):
    """CuPy where one of the arguments is on the device, else NumPy."""
    import cupy

    return cupy if any(isinstance(argument, ndarray) for argument in args) else np


def functions() -> dict[str, object]:
    """Everything that the rehearsed CuPy offers by name, kernels and devices apart."""
    found: dict[str, object] = {}
    for line in Path(__file__).with_name("cupy_names.txt").read_text("utf-8").splitlines():
        name, *parameters = line.split()
        if not hasattr(np, name):
            continue  # a newer NumPy has dropped it
        if parameters[:1] == ["ufunc"]:
            found[name] = ufunc(name, int(parameters[1]))
        else:
            found[name] = _lifted(name, parameters)
    for name in NUMPY_S_OWN.split():
        found[name] = getattr(np, name)
    own = (ndarray, ufunc, asnumpy, array, asarray, ascontiguousarray, empty, empty_like, lexsort)
    return found | {one.__name__: one for one in (*own, get_array_module)}


_offered = functools.cache(functions)


def function(name: str):
    try:
        return _offered()[name]
    except KeyError:
        raise TypeError(f"CuPy has no {name}, or the rehearsal does not offer it.") from None


def _method(name: str):
    def call(self, *args, **kwargs):
        return function(name)(self, *args, **kwargs)

    return call


for _name in METHODS.split():
    if _name in ("flatten", "ravel", "reshape", "transpose", "squeeze", "copy"):
        setattr(
            ndarray,
            _name,
            lambda self, *args, _name=_name, **kwargs: wrapped(getattr(self._array, _name)(*args, **kwargs)),
        )
    else:
        setattr(ndarray, _name, _method(_name))

_BINARY = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "true_divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "power",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "left_shift",
    "rshift": "right_shift",
    "matmul": "matmul",
}
for _short, _long in _BINARY.items():
    setattr(ndarray, f"__{_short}__", lambda a, b, _long=_long: function(_long)(a, b))
    setattr(ndarray, f"__r{_short}__", lambda a, b, _long=_long: function(_long)(b, a))
    setattr(ndarray, f"__i{_short}__", lambda a, b, _long=_long: function(_long)(a, b, out=a))
for _short, _long in (("lt", "less"), ("le", "less_equal"), ("gt", "greater"), ("ge", "greater_equal")):
    setattr(ndarray, f"__{_short}__", lambda a, b, _long=_long: function(_long)(a, b))
ndarray.__eq__ = lambda a, b: function("equal")(a, b)
ndarray.__ne__ = lambda a, b: function("not_equal")(a, b)
ndarray.__neg__ = lambda a: function("negative")(a)
ndarray.__pos__ = lambda a: function("positive")(a)
ndarray.__abs__ = lambda a: function("absolute")(a)
ndarray.__invert__ = lambda a: function("invert")(a)
