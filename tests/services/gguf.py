"""Writes a model file in the form GGUF, version 3, as llama.cpp and Ollama read it."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Value = bool | int | float | str | Sequence[str] | Sequence[int] | Sequence[float]
Tensor = NDArray[np.float32] | NDArray[np.float16]

_ALIGNMENT = 32
_U32, _I32, _F32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9
_TENSOR_TYPES = {np.dtype(np.float32): 0, np.dtype(np.float16): 1}


def write(path: Path, facts: Mapping[str, Value], tensors: Mapping[str, Tensor]) -> None:
    """Write a file.

    Args:
        facts: Key → value; integers as 32 bits without a sign, lists of them with one.
        tensors: Name → C-ordered array; the last dimension is the one that GGUF names first.
    """
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(facts))
    head += b"".join(_string(key) + _typed(value) for key, value in facts.items())
    at = 0
    for name, tensor in tensors.items():
        shape = tensor.shape[::-1]
        head += _string(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        head += struct.pack("<IQ", _TENSOR_TYPES[tensor.dtype], at)
        at += _padded(tensor.nbytes)
    with path.open("wb") as file:
        file.write(head.ljust(_padded(len(head)), b"\0"))
        for tensor in tensors.values():
            file.write(np.ascontiguousarray(tensor).tobytes().ljust(_padded(tensor.nbytes), b"\0"))


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _typed(value: Value) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", _BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", _U32, value)
    if isinstance(value, float):
        return struct.pack("<If", _F32, value)
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + _string(value)
    head = struct.pack("<I", _ARRAY)
    if isinstance(value[0], str):
        return head + struct.pack("<IQ", _STRING, len(value)) + b"".join(_string(str(one)) for one in value)
    kind, letter = (_I32, "i") if isinstance(value[0], int) else (_F32, "f")
    return head + struct.pack(f"<IQ{len(value)}{letter}", kind, len(value), *value)
