"""CUDA C++ compiled by g++, each launch run by the CPU in guarded memory; see device.h."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import itertools
import math
import mmap
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from tests.gpu.rehearsal.arrays import ndarray

HEADER = Path(__file__).with_name("device.h")
MULTIPROCESSORS = 3
THREADS_A_PROCESSOR = 512
"""A small device: a persistent grid then has more work than threads even in a test."""

SHARED_BYTES = 48 << 10
SHARED_BYTES_AT_MOST = 227 << 10
FLAGS = ("-std=gnu++17", "-O1", "-fPIC", "-shared", "-fvisibility=hidden", "-ffp-contract=off", "-w")
_launches = itertools.count()
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


class CompileException(Exception):
    """The compiler refused the source."""


class LaunchError(Exception):
    """A launch that a device would refuse, or that would compute nonsense there."""


def why_not() -> str:
    """Say why kernels cannot be rehearsed here; empty when they can."""
    return "" if shutil.which("g++") else "g++ is not installed"


class _Request(ctypes.Structure):
    _fields_ = [
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared_bytes", ctypes.c_uint64),
        ("seed", ctypes.c_uint64),
        ("cooperative", ctypes.c_int),
        ("message", ctypes.c_char_p),
        ("message_bytes", ctypes.c_uint64),
        ("fault", ctypes.c_uint64),
    ]


@functools.cache
def _folder() -> Path:
    folder = Path(__file__).with_name("__pycache__")
    try:
        folder.mkdir(exist_ok=True)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="rehearsal-"))
    return folder if os.access(folder, os.W_OK) else Path(tempfile.mkdtemp(prefix="rehearsal-"))


def _run(command: list[str], source: str) -> str:
    done = _done(tuple(command), source)
    if done.returncode:
        raise CompileException(done.stderr)
    return done.stdout


@functools.cache
def _done(command: tuple[str, ...], source: str) -> subprocess.CompletedProcess[str]:
    # Kept, so that Hypothesis does not compile a faulty source for every example.
    return subprocess.run(command, input=source, capture_output=True, text=True, check=False)


@functools.cache
def _library(source: str, options: tuple[str, ...] = ()) -> ctypes.CDLL:
    """The source as a shared library that offers `run_<name>` and `types_<name>` for each kernel."""
    if problem := why_not():
        import pytest

        pytest.skip(problem)
    defines = [option for option in options if option.startswith(("-D", "--define-macro"))]
    # The device's own headers stand in device.h; a grid or a type of theirs is found there.
    source = re.sub(r"^\s*#\s*include\s*<(cuda|cooperative)[^>]*>", "", source, flags=re.M)
    source = re.sub(
        r"extern\s+__shared__\s+((?:__align__\s*\(\s*\d+\s*\)\s+)?)([\w:\s]+?)\s+(\w+)\s*\[\s*\]\s*;",
        r"\2 *\3 = reinterpret_cast<\2 *>(rehearsal::current->block->dynamic);",
        source,
    )
    source = re.sub(r"^\s*#\s*pragma\s+unroll.*$", "", source, flags=re.M)
    key = hashlib.sha256("\0".join((HEADER.read_text(), source, *FLAGS, *defines)).encode()).hexdigest()[:24]
    built = _folder() / f"{key}.so"
    if not built.exists():
        seen = _run(["g++", "-E", "-P", "-x", "c++", *defines, "-"], source)
        names = re.findall(r"__global__\s+void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\(", seen)
        # Without a name of its own a template's shared memory would fall in a section of another kind.
        whole = f'namespace {{\n#line 1 "kernel.cu"\n{source}\n}}\n' + "".join(
            f"REHEARSE({name})\n" for name in dict.fromkeys(names)
        )
        partial = built.with_suffix(f".{os.getpid()}")
        include = ("-include", str(HEADER))
        _run(["g++", *FLAGS, *defines, *include, "-x", "c++", "-", "-o", str(partial)], whole)
        partial.replace(built)
    return ctypes.CDLL(str(built))


class _Guarded:
    """A copy of an array's memory between two pages that no kernel may touch."""

    def __init__(self, root: np.ndarray, at_the_end: bool) -> None:
        self.root = root
        self.first, self.size = _extent(root)
        page = mmap.PAGESIZE
        room = (self.size + page - 1) // page * page
        self.map = mmap.mmap(-1, room + 2 * page)
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        for guard in (self.base, self.base + page + room):
            if _libc.mprotect(guard, page, 0):
                raise OSError(ctypes.get_errno(), "mprotect")
        ctypes.memset(self.base + page, 0xFF, room)
        # Where the end is guarded, the start stays aligned as CuPy's memory is for any vector type.
        self.start = self.base + page + ((room - self.size) // 16 * 16 if at_the_end else 0)
        ctypes.memmove(self.start, self.first, self.size)

    def address(self, array: np.ndarray) -> int:
        return self.start + array.__array_interface__["data"][0] - self.first

    def give_back(self) -> bool:
        """Copy the memory back; return whether what lies around it in its pages is untouched."""
        page = mmap.PAGESIZE
        end = self.start + self.size
        around = ctypes.string_at(self.base + page, self.start - self.base - page)
        around += ctypes.string_at(end, self.base + len(self.map) - page - end)
        ctypes.memmove(self.first, self.start, self.size)
        return not around.strip(b"\xff")


def _extent(array: np.ndarray) -> tuple[int, int]:
    low, high = np.lib.array_utils.byte_bounds(array)
    return low, high - low if array.size else 0


def _root(array: np.ndarray) -> np.ndarray:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


class RawKernel:
    """One kernel of a source; as CuPy's, but what CuPy hands on unchecked is an error."""

    def __init__(self, code, name, options=(), backend="nvrtc", *, enable_cooperative_groups=False):
        self.code, self.name, self.options, self.backend = code, name, options, backend
        self.enable_cooperative_groups = enable_cooperative_groups
        self._max_dynamic = SHARED_BYTES

    @property
    def max_threads_per_block(self) -> int:
        return 1024

    @property
    def num_regs(self) -> int:
        return 32

    @property
    def shared_size_bytes(self) -> int:
        return 0

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        return self._max_dynamic

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        if size > SHARED_BYTES_AT_MOST:
            raise LaunchError(f"A block cannot have {size} bytes of shared memory.")
        self._max_dynamic = size

    @property
    def kernel(self) -> RawKernel:
        return self

    @property
    def ptr(self) -> int:
        return id(self)

    @functools.cached_property
    def _entry(self):
        library = _library(self.code, self.options)
        try:
            run, types = library[f"run_{self.name}"], library[f"types_{self.name}"]
        except AttributeError:
            raise LaunchError(f"There is no kernel {self.name}.") from None
        types.restype = ctypes.c_char_p
        return run, types().decode().split()

    def compile(self, log_stream=None) -> None:
        assert self._entry

    def __call__(self, grid, block, args, *, shared_mem=0) -> None:
        run, types = self._entry
        request = _Request(shared_bytes=shared_mem, cooperative=self.enable_cooperative_groups)
        message = ctypes.create_string_buffer(400)
        request.message, request.message_bytes = ctypes.cast(message, ctypes.c_char_p), len(message)
        request.seed = next(_launches)
        request.grid[:], request.block[:] = self._sizes(grid, block, shared_mem)
        if len(args) != len(types):
            raise LaunchError(f"{self.name} takes {len(types)} arguments, got {len(args)}.")
        memory: dict[int, _Guarded] = {}
        values = [
            self._value(place, argument, wanted, memory, request.seed % 2 == 0)
            for place, (argument, wanted) in enumerate(zip(args, types, strict=True))
        ]
        pointers = (ctypes.c_void_p * (len(values) or 1))(*(value.ctypes.data for value in values))
        failed = run(pointers, ctypes.byref(request))
        untouched = [guarded.give_back() for guarded in memory.values()]
        if failed:
            raise LaunchError(f"{self.name}: {message.value.decode()}{self._whose(request.fault, memory)}")
        if not all(untouched):
            raise LaunchError(f"{self.name} wrote next to an array.")

    def _sizes(self, grid, block, shared_mem):
        if not isinstance(grid, tuple) or not isinstance(block, tuple):
            raise TypeError("grid and block must be tuples.")
        grid, block = ((*map(int, sizes), 1, 1)[:3] for sizes in (grid, block))
        if min(grid + block) < 1 or grid[0] >= 1 << 31 or max(grid[1:]) >= 1 << 16:
            raise LaunchError(f"{self.name} cannot have a grid of {grid} with blocks of {block}.")
        if math.prod(block) > 1024 or block[2] > 64:
            raise LaunchError(f"A block cannot have {block} threads.")
        if shared_mem > self._max_dynamic:
            raise LaunchError(f"{shared_mem} bytes of shared memory were not asked for beforehand.")
        if self.enable_cooperative_groups:
            resident = MULTIPROCESSORS * resident_blocks(math.prod(block), shared_mem)
            if math.prod(grid) > resident:
                raise LaunchError(f"Of {math.prod(grid)} blocks only {resident} can be there at once.")
        return grid, block

    def _value(self, place, argument, wanted, memory, at_the_end) -> np.ndarray:
        if isinstance(argument, ndarray):
            array = argument._array
            given = "*" + ("b1" if array.dtype.kind == "b" else array.dtype.str[1:])
            if not (array.flags.c_contiguous or array.flags.f_contiguous):
                raise LaunchError(f"{self.name}, argument {place}: strides are not handed to a kernel.")
            root = _root(array)
            if id(root) not in memory:
                memory[id(root)] = _Guarded(root, at_the_end)
            value = np.array(memory[id(root)].address(array), dtype=np.uint64)
        else:
            if isinstance(argument, (bool, np.generic)):
                value = np.array(argument)
            elif isinstance(argument, int):
                value = np.array(argument, dtype=np.int64)  # as CuPy does
            elif isinstance(argument, float):
                value = np.array(argument, dtype=np.float64)
            else:
                raise TypeError(f"Unsupported type {type(argument)}")
            given = value.dtype.str[1:]
        same = {"b": "u", "i": "u"}
        kinds = ["".join(same.get(letter, letter) for letter in text) for text in (given, wanted)]
        if "?" not in wanted and kinds[0] != kinds[1]:
            raise LaunchError(f"{self.name}, argument {place}: takes {wanted}, got {given}.")
        if ("*" in wanted) != ("*" in given):
            raise LaunchError(f"{self.name}, argument {place}: takes {wanted}, got {given}.")
        return value

    def _whose(self, fault, memory) -> str:
        for guarded in memory.values():
            if fault and guarded.base <= fault < guarded.base + len(guarded.map):
                beyond = fault - guarded.start - guarded.size
                where = f"{beyond} bytes past its end" if beyond >= 0 else f"{guarded.start - fault} before"
                return f" An array of {guarded.size} bytes: {where}."
        return ""


class RawModule:
    """Several kernels of one source."""

    def __init__(
        self, *, code, options=(), backend="nvrtc", enable_cooperative_groups=False, name_expressions=None
    ):
        if name_expressions is not None:
            raise NotImplementedError("The rehearsal finds kernels by their plain names only.")
        self.code, self.options, self.backend = code, tuple(options), backend
        self.enable_cooperative_groups = enable_cooperative_groups

    def get_function(self, name: str) -> RawKernel:
        kernel = RawKernel(
            self.code, name, self.options, enable_cooperative_groups=self.enable_cooperative_groups
        )
        kernel.compile()
        return kernel

    def compile(self, log_stream=None) -> None:
        _library(self.code, self.options)


def resident_blocks(threads: int, shared_bytes: int) -> int:
    """How many blocks of this size one processor of the rehearsed device holds."""
    by_memory = (SHARED_BYTES_AT_MOST + 1024) // (shared_bytes + 1024)
    return min(THREADS_A_PROCESSOR // threads, by_memory)
