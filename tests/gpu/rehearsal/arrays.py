"""CuPy's arrays as NumPy ones that refuse what CuPy refuses; their methods come from calls.py."""

from __future__ import annotations

import operator
import weakref

import numpy as np

SCALARS = (bool, int, float, complex, np.generic)
MEMORY_BYTES = 8 << 30
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
        self._array = unset(np.empty(shape, dtype, order))
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
        self._array.fill(plain(value))

    def sort(self, axis=-1, kind=None) -> None:
        stable(kind)
        if not self._array.flags.c_contiguous:
            raise NotImplementedError("Only an array whose rows lie side by side is sorted in place.")
        self._array.sort(axis=axis, kind="stable")

    def partition(self, kth, axis=-1) -> None:
        self._array.partition(kth, axis=axis)

    def scatter_add(self, slices, value) -> None:
        if self.dtype.name not in SCATTERED:
            raise TypeError(f"scatter_add does not support {self.dtype}.")
        np.add.at(self._array, _index(slices), plain(value))

    def scatter_max(self, slices, value) -> None:
        if self.dtype.name not in SCATTERED or self.dtype == np.float16:
            raise TypeError(f"scatter_max does not support {self.dtype}.")
        np.maximum.at(self._array, _index(slices), plain(value))

    def scatter_min(self, slices, value) -> None:
        if self.dtype.name not in SCATTERED or self.dtype == np.float16:
            raise TypeError(f"scatter_min does not support {self.dtype}.")
        np.minimum.at(self._array, _index(slices), plain(value))

    def __getitem__(self, index):
        return wrapped(np.asarray(self._array[_index(index)]))

    def __setitem__(self, index, value) -> None:
        if isinstance(value, (list, tuple, np.ndarray)):
            raise TypeError(f"Unsupported type {type(value)}")
        with np.errstate(all="ignore"):
            self._array[_index(index)] = plain(value)

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


def plain(argument):
    """What NumPy is to be given for an argument that CuPy takes."""
    if isinstance(argument, ndarray):
        return argument._array
    if isinstance(argument, np.ndarray):
        raise TypeError(f"Unsupported type {type(argument)}")
    if isinstance(argument, (list, tuple)):
        return type(argument)(map(plain, argument))
    return argument


def _index(index):
    for part in index if isinstance(index, tuple) else (index,):
        if isinstance(part, (list, np.ndarray)):
            raise TypeError(f"An index of {type(part)} would be copied to the device at every call.")
    return plain(index)


def unset(array: np.ndarray) -> np.ndarray:
    """Memory that nothing has been written to: NaN, −1, or the largest number."""
    flat = array.reshape(-1, order="A")
    if array.dtype.kind == "b":
        flat[...] = True
    else:
        flat.view(np.uint8)[...] = 0xFF
    return array


def stable(kind) -> None:
    if kind not in (None, "stable"):
        raise ValueError("kind can only be None or 'stable'")


def _function(name: str):
    # Functions are made of arrays, and arrays call functions: one of the two must look the other up late.
    from tests.gpu.rehearsal import calls

    return calls.function(name)
