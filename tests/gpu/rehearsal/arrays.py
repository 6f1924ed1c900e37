"""CuPy's arrays as NumPy ones that refuse what CuPy refuses; the functions are those of cupy_names.txt."""

from __future__ import annotations

import functools
import operator
import weakref
from pathlib import Path

import numpy as np

SCALARS = (bool, int, float, complex, np.generic)
MEMORY_BYTES = 8 << 30
METHODS = """all any argmax argmin argsort choose clip compress conj copy cumprod cumsum diagonal dot flatten
    max mean min nonzero prod ravel repeat reshape round searchsorted squeeze std sum swapaxes take trace
    transpose var"""
NUMPY_S_OWN = """bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64
    complex128 inf nan pi e newaxis dtype finfo iinfo integer floating number generic intp inexact"""
SCATTERED = ("int32", "float16", "float32", "float64", "uint32", "uint64")
"""The dtypes that CUDA's atomic additions know in CuPy."""


class OutOfMemoryError(MemoryError):
    """The pool's limit, or the rehearsed device's memory, is reached."""


class Memory:
    """The bytes of all arrays alive, as CuPy's pool counts them."""

    def __init__(self) -> None:
        self.held: dict[int, weakref.ref] = {}
        self.used, self.limit = 0, 0

    def hold(self, array: np.ndarray) -> None:
        while isinstance(array.base, np.ndarray):
            array = array.base
        key, size = id(array), array.nbytes
        if key in self.held:
            return
        if self.used + size > (self.limit or MEMORY_BYTES):
            raise OutOfMemoryError(f"Out of memory allocating {size} bytes ({self.used} are in use).")
        self.used += size

        def release(_: object) -> None:
            self.used -= size
            del self.held[key]

        self.held[key] = weakref.ref(array, release)


memory = Memory()


class _Flags:
    def __init__(self, flags) -> None:
        self.c_contiguous, self.f_contiguous = flags.c_contiguous, flags.f_contiguous
        self.owndata = flags.owndata

    def __getitem__(self, name: str) -> bool:
        return getattr(self, name.lower())


class _Data:
    def __init__(self, pointer: int) -> None:
        self.ptr = pointer


class ndarray:
    """An array on the rehearsed device."""

    __module__ = "cupy"
    __array_priority__ = 100
    __hash__ = None

    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C") -> None:
        if memptr is not None or strides is not None:
            raise NotImplementedError("The rehearsal makes no arrays from pointers.")
        self._array = _unset(np.empty(shape, dtype, order))
        memory.hold(self._array)

    # What needs the host is said, or done by `get`.
    def get(self, stream=None, order="C", out=None, blocking=True) -> np.ndarray:
        if out is not None:
            out[...] = self._array
            return out
        return np.array(self._array, order=order)

    def set(self, arr: np.ndarray, stream=None) -> None:
        if not isinstance(arr, np.ndarray) or arr.dtype != self.dtype or arr.shape != self.shape:
            raise TypeError("set takes a NumPy array of the same shape and dtype.")
        self._array[...] = arr

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return getattr(_function(ufunc.__name__), method)(*inputs, **kwargs)

    def __array_function__(self, function, types, args, kwargs):
        return _function(function.__name__)(*args, **kwargs)

    @property
    def data(self) -> _Data:
        return _Data(self._array.__array_interface__["data"][0])

    @property
    def flags(self) -> _Flags:
        return _Flags(self._array.flags)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape

    @shape.setter
    def shape(self, shape) -> None:
        view = self._array.reshape(shape)
        if not np.shares_memory(view, self._array) and view.size:
            raise AttributeError("incompatible shape")
        self._array = view

    @property
    def device(self):
        import cupy

        return cupy.cuda.Device(0)

    @property
    def base(self) -> ndarray | None:
        return None if self._array.base is None else wrapped(self._array.base)

    def item(self, *args):
        return self._array.item(*args)

    def tolist(self):
        return self._array.tolist()

    def tobytes(self, order="C") -> bytes:
        return self._array.tobytes(order)

    def astype(self, dtype, order="K", casting=None, subok=None, copy=True) -> ndarray:
        with np.errstate(all="ignore"):
            found = self._array.astype(dtype, order=order, casting=casting or "unsafe", copy=copy)
        return self if found is self._array else wrapped(found)

    def view(self, dtype=None) -> ndarray:
        return wrapped(self._array.view() if dtype is None else self._array.view(dtype))

    def fill(self, value) -> None:
        self._array.fill(_plain(value))

    def sort(self, axis=-1, kind=None) -> None:
        _stable(kind)
        if not self._array.flags.c_contiguous:
            raise NotImplementedError("Sorting non-contiguous array is not supported.")
        self._array.sort(axis=axis, kind="stable")

    def partition(self, kth, axis=-1) -> None:
        self._array.partition(kth, axis=axis)

    def scatter_add(self, slices, value) -> None:
        if self.dtype.name not in SCATTERED:
            raise TypeError(f"scatter_add does not support {self.dtype}.")
        np.add.at(self._array, _index(slices), _plain(value))

    def scatter_max(self, slices, value) -> None:
        if self.dtype.name not in SCATTERED or self.dtype == np.float16:
            raise TypeError(f"scatter_max does not support {self.dtype}.")
        np.maximum.at(self._array, _index(slices), _plain(value))

    def scatter_min(self, slices, value) -> None:
        if self.dtype.name not in SCATTERED or self.dtype == np.float16:
            raise TypeError(f"scatter_min does not support {self.dtype}.")
        np.minimum.at(self._array, _index(slices), _plain(value))

    def __getitem__(self, index):
        return wrapped(np.asarray(self._array[_index(index)]))

    def __setitem__(self, index, value) -> None:
        if isinstance(value, (list, tuple, np.ndarray)):
            raise TypeError(f"Unsupported type {type(value)}")
        with np.errstate(all="ignore"):
            self._array[_index(index)] = _plain(value)

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self):
        return (wrapped(np.asarray(row)) for row in self._array)

    def __bool__(self) -> bool:
        return bool(self._array)

    def __int__(self) -> int:
        return int(self._array.item())

    def __float__(self) -> float:
        return float(self._array.item())

    def __index__(self) -> int:
        return operator.index(self._array)

    def __repr__(self) -> str:
        return repr(self._array)

    def __format__(self, spec: str) -> str:
        return format(self._array.item() if self.ndim == 0 else self._array, spec)


for _name in ("dtype", "ndim", "size", "nbytes", "itemsize", "strides"):
    setattr(ndarray, _name, property(lambda self, name=_name: getattr(self._array, name)))
for _name in ("T", "mT", "real", "imag"):
    setattr(ndarray, _name, property(lambda self, name=_name: wrapped(getattr(self._array, name))))


def wrapped(found):
    """NumPy's answer as CuPy gives it: arrays, also where NumPy gives a scalar."""
    if isinstance(found, (np.ndarray, np.generic)):
        result = ndarray.__new__(ndarray)
        result._array = np.asarray(found)
        memory.hold(result._array)
        return result
    if isinstance(found, tuple) and hasattr(found, "_fields"):
        return type(found)(*map(wrapped, found))
    if isinstance(found, (tuple, list)):
        return type(found)(map(wrapped, found))
    return found


def _plain(argument):
    """What NumPy is to be given for an argument that CuPy takes."""
    if isinstance(argument, ndarray):
        return argument._array
    if isinstance(argument, np.ndarray):
        raise TypeError(f"Unsupported type {type(argument)}")
    if isinstance(argument, (list, tuple)):
        return type(argument)(map(_plain, argument))
    return argument


def _index(index):
    for part in index if isinstance(index, tuple) else (index,):
        if isinstance(part, (list, np.ndarray)):
            raise TypeError(f"An index of {type(part)} would be copied to the device at every call.")
    return _plain(index)


def _unset(array: np.ndarray) -> np.ndarray:
    """Memory that nothing has been written to: NaN, −1, or the largest number."""
    flat = array.reshape(-1, order="A")
    if array.dtype.kind == "b":
        flat[...] = True
    else:
        flat.view(np.uint8)[...] = 0xFF
    return array


def _stable(kind) -> None:
    if kind not in (None, "stable"):
        raise ValueError("kind can only be None or 'stable'")


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
            options["out"] = _plain(given) if len(given) > 1 else given[0]._array
            options["casting"] = casting
        with np.errstate(all="ignore"):
            found = self._numpy(*map(_plain, args), **options)
        return (given[0] if len(given) == 1 else given) if given else wrapped(found)

    def __getattr__(self, method: str):
        if method not in ("reduce", "accumulate", "reduceat", "outer", "at"):
            raise AttributeError(method)
        if method == "at":
            return lambda a, indices, b=None: getattr(a, _SCATTER[self.name])(indices, b)
        return functools.partial(_call, getattr(self._numpy, method))


_SCATTER = {"add": "scatter_add", "maximum": "scatter_max", "minimum": "scatter_min"}


def _call(function, *args, out=None, **kwargs):
    with np.errstate(all="ignore"):
        if out is None:
            return wrapped(function(*map(_plain, args), **{key: _plain(one) for key, one in kwargs.items()}))
        function(*map(_plain, args), out=out._array, **kwargs)
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
            _stable(kwargs.get("kind"))
            if name in ("sort", "argsort"):
                kwargs["kind"] = "stable"
        found = _call(function, *args, **kwargs)
        return wrapped(np.asarray(found)) if name in ARRAYS_EVEN_SO else found

    call.__name__ = call.__qualname__ = name
    return call


ARRAYS_EVEN_SO = ("allclose", "array_equal", "array_equiv", "count_nonzero")


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True) -> np.ndarray:
    """The array on the host."""
    return a.get(order=order, out=out) if isinstance(a, ndarray) else np.asarray(a, order=order)


def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False) -> ndarray:
    """A new array, from the host or from the device."""
    plain = _plain(obj) if not isinstance(obj, np.ndarray) else obj
    found = np.array(plain, dtype=dtype, order=order, ndmin=ndmin)
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
    return wrapped(_unset(found))


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


def _function(name: str):
    try:
        return _offered()[name]
    except KeyError:
        raise TypeError(f"CuPy has no {name}, or the rehearsal does not offer it.") from None


def _method(name: str):
    def call(self, *args, **kwargs):
        return _function(name)(self, *args, **kwargs)

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
    setattr(ndarray, f"__{_short}__", lambda a, b, _long=_long: _function(_long)(a, b))
    setattr(ndarray, f"__r{_short}__", lambda a, b, _long=_long: _function(_long)(b, a))
    setattr(ndarray, f"__i{_short}__", lambda a, b, _long=_long: _function(_long)(a, b, out=a))
for _short, _long in (("lt", "less"), ("le", "less_equal"), ("gt", "greater"), ("ge", "greater_equal")):
    setattr(ndarray, f"__{_short}__", lambda a, b, _long=_long: _function(_long)(a, b))
ndarray.__eq__ = lambda a, b: _function("equal")(a, b)
ndarray.__ne__ = lambda a, b: _function("not_equal")(a, b)
ndarray.__neg__ = lambda a: _function("negative")(a)
ndarray.__pos__ = lambda a: _function("positive")(a)
ndarray.__abs__ = lambda a: _function("absolute")(a)
ndarray.__invert__ = lambda a: _function("invert")(a)
