"""Tensors take less memory as float16, as int8 with a scale a block, or as whole numbers of few bits.

What is lost is measured and told.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Literal

import numpy as np

from gpu.arrays import Array, Floats, Integers, array_namespace
from gpu.compiling import kernel
from gpu.threads import side_by_side

_PART = 1 << 18
_LARGEST = float(np.finfo(np.float32).max)
"""Where a value is as large, a step to the end of its block may lead a rounding beyond it."""


@dataclass(frozen=True)
class Halves:
    """A tensor as float16.

    Attributes:
        values: float16, of the tensor's shape.
        error: Largest difference from the tensor.
    """

    values: Array
    error: float


@dataclass(frozen=True)
class Int8Blocks:
    """A tensor as int8: in block b, a code c stands for offsets[b] + scales[b] * c.

    Attributes:
        codes: int8, of the tensor's shape.
        scales, offsets: float32; the tensor's shape, the last axis in blocks.
        block: Samples of the last axis that share a scale.
        error: Largest difference of what `unpack_int8` returns from the tensor: half of the block's
            scale at most, and two roundings to float32.
    """

    codes: Array
    scales: Array
    offsets: Array
    block: int
    error: float


def pack_half(tensor: Array) -> Halves:
    """Round a float32 or float64 tensor to float16: 11 significant bits, 5e-4 of a value at most.

    Raises:
        TypeError: Another dtype.
        ValueError: A value is not finite or beyond 65,504 as float16.
    """
    xp = _floating(tensor)
    with np.errstate(over="ignore"):
        values = tensor.astype(xp.float16)
    if not bool(xp.isfinite(values).all()):
        raise ValueError("A value is not finite, or too large for float16.")
    error = float(xp.abs(tensor - values).max()) if tensor.size else 0.0
    return Halves(values, error)


def pack_int8(
    tensor: Array, *, block: int = 64, kind: Literal["affine", "symmetric"] = "affine"
) -> Int8Blocks:
    """Store a float32 or float64 tensor in a quarter or an eighth of its memory.

    Args:
        tensor: Shape (..., n); finite.
        block: Neighbours along the last axis that share a scale; the last block may be shorter.
        kind: `affine`: from the block's least to its largest value in 255 steps.
            `symmetric`: from -127 to 127 steps of which zero is one, so that 0 stays 0.

    Raises:
        TypeError: Another dtype.
        ValueError: A value that is not finite or beyond float32, no axis, or a block below 1.
    """
    xp = _floating(tensor)
    if tensor.ndim == 0 or block < 1:
        raise ValueError(
            f"At least one axis and blocks of at least 1 are needed, got {tensor.shape}, {block}."
        )
    if kind not in ("affine", "symmetric"):
        raise ValueError(f"Unknown kind: {kind!r}.")
    length = tensor.shape[-1]
    blocks = -(-length // block)
    rows = xp.ascontiguousarray(tensor, dtype=tensor.dtype.name).reshape(
        int(np.prod(tensor.shape[:-1])), length
    )
    codes = xp.empty(rows.shape, dtype=xp.int8)
    scales = xp.empty((len(rows), blocks), dtype=xp.float32)
    offsets = xp.zeros((len(rows), blocks), dtype=xp.float32)
    if xp is np:
        step = max(1, _PART // max(1, length))
        parts = [slice(first, first + step) for first in range(0, len(rows), step)]
        errors = side_by_side(
            lambda part: _quantise(
                rows[part], block, kind == "symmetric", codes[part], scales[part], offsets[part]
            ),
            parts,
        )
        error = max(errors, default=0.0)
    else:
        error = _quantise_blocks(rows, block, kind == "symmetric", codes, scales, offsets)
    if not error >= 0:
        raise ValueError("A value is not finite, or too large for float32.")
    shape = (*tensor.shape[:-1], blocks)
    return Int8Blocks(
        codes.reshape(tensor.shape), scales.reshape(shape), offsets.reshape(shape), block, error
    )


def unpack_int8(packed: Int8Blocks) -> Array:
    """The tensor as float32, as near as `packed.error`."""
    xp = array_namespace(packed.codes)
    length = packed.codes.shape[-1]
    if xp is not np:
        scales = xp.repeat(packed.scales, packed.block, axis=-1)[..., :length]
        offsets = xp.repeat(packed.offsets, packed.block, axis=-1)[..., :length]
        found = offsets.astype(xp.float64) + scales.astype(xp.float64) * packed.codes
        return xp.clip(found, -_LARGEST, _LARGEST).astype(xp.float32)
    codes = np.ascontiguousarray(packed.codes).reshape(-1, length) if length else packed.codes
    out = np.empty(packed.codes.shape, dtype=np.float32)
    if out.size:
        rows, scales = out.reshape(-1, length), packed.scales.reshape(len(codes), -1)
        offsets = packed.offsets.reshape(len(codes), -1)
        step = max(1, _PART // length)
        parts = [slice(first, first + step) for first in range(0, len(rows), step)]
        side_by_side(
            lambda part: _restore(codes[part], scales[part], offsets[part], packed.block, rows[part]), parts
        )
    return out


def pack_bits(numbers: Array, bits: int) -> Array:
    """Whole numbers below 2**bits, side by side without gaps, the first one in the lowest bits.

    Args:
        numbers: uint8, any shape.
        bits: 1 to 8.

    Returns:
        uint8, shape (ceil(count * bits / 8),).

    Raises:
        TypeError: Another dtype.
        ValueError: Other bits, or a number that has more.
    """
    xp = array_namespace(numbers)
    _check_bits(numbers, bits)
    if numbers.size and int(numbers.max()) >> bits:
        raise ValueError(f"A number needs more than {bits} bits.")
    count = numbers.size
    padded = xp.zeros(-(-count // 8) * 8, dtype=xp.uint8)
    padded[:count] = numbers.ravel()
    groups = padded.reshape(-1, 8)
    packed = xp.empty((len(groups), bits), dtype=xp.uint8)
    if xp is np:
        side_by_side(lambda part: _join(groups[part], bits, packed[part]), _parts(len(groups)))
    else:
        shifts = xp.arange(8, dtype=xp.uint64) * xp.uint64(bits)
        words = (groups.astype(xp.uint64) << shifts).sum(axis=1, dtype=xp.uint64)
        steps = xp.arange(bits, dtype=xp.uint64) * xp.uint64(8)
        packed[...] = ((words[:, None] >> steps) & xp.uint64(255)).astype(xp.uint8)
    return packed.ravel()[: -(-count * bits // 8)]


def unpack_bits(packed: Array, bits: int, count: int) -> Array:
    """The `count` numbers, uint8, that `pack_bits` was given.

    Raises:
        TypeError: Another dtype than uint8.
        ValueError: Other bits than 1 to 8, or a length that is not that of `count` numbers.
    """
    xp = array_namespace(packed)
    _check_bits(packed, bits)
    if count < 0 or packed.shape != (-(-count * bits // 8),):
        raise ValueError(f"{count} numbers of {bits} bits do not lie in shape {packed.shape}.")
    padded = xp.zeros((-(-count // 8), bits), dtype=xp.uint8)
    padded.reshape(-1)[: len(packed)] = packed
    groups = xp.empty((len(padded), 8), dtype=xp.uint8)
    if xp is np:
        side_by_side(lambda part: _split(padded[part], bits, groups[part]), _parts(len(groups)))
    else:
        steps = xp.arange(bits, dtype=xp.uint64) * xp.uint64(8)
        words = (padded.astype(xp.uint64) << steps).sum(axis=1, dtype=xp.uint64)
        shifts = xp.arange(8, dtype=xp.uint64) * xp.uint64(bits)
        groups[...] = ((words[:, None] >> shifts) & xp.uint64((1 << bits) - 1)).astype(xp.uint8)
    return groups.ravel()[:count]


def _floating(tensor: Array) -> ModuleType:
    xp = array_namespace(tensor)
    if tensor.dtype.name not in ("float32", "float64"):
        raise TypeError(f"tensor must be float32 or float64, got {tensor.dtype}.")
    return xp


def _check_bits(array: Array, bits: int) -> None:
    if array.dtype.name != "uint8":
        raise TypeError(f"Expected uint8, got {array.dtype}.")
    if not 1 <= bits <= 8:
        raise ValueError(f"bits must be 1 to 8, got {bits}.")


def _parts(groups: int) -> list[slice]:
    return [slice(first, first + _PART) for first in range(0, groups, _PART)]


def _quantise_blocks(
    rows: Array, block: int, symmetric: bool, codes: Array, scales: Array, offsets: Array
) -> float:
    """As `_quantise`, by array operations."""
    xp = array_namespace(rows)
    if not rows.size:
        return 0.0
    length, blocks = rows.shape[1], scales.shape[1]
    if not bool((xp.abs(rows) <= _LARGEST).all()):
        return -1.0
    last = xp.minimum(xp.arange(blocks * block), length - 1)  # a short block repeats its last value
    values = xp.take(rows, last, axis=1).astype(xp.float64).reshape(len(rows), blocks, block)
    low, high = values.min(axis=2), values.max(axis=2)
    size = xp.maximum(-low, high)
    if symmetric:
        scales[...] = size / 127.0
    else:
        step = xp.where(low == high, 0.0, xp.maximum(high / 255.0 - low / 255.0, 2.0**-23 * size))
        scales[...] = step
        offsets[...] = xp.minimum(low + 128.0 * step, _LARGEST)
    scale = scales.astype(xp.float64)[:, :, None]
    offset = offsets.astype(xp.float64)[:, :, None]
    inverse = xp.where(scale > 0, 1.0 / xp.where(scale > 0, scale, 1.0), 0.0)
    found = xp.clip(xp.rint((values - offset) * inverse), -128.0, 127.0)
    codes[...] = found.reshape(len(rows), blocks * block)[:, :length].astype(xp.int8)
    restored = xp.clip(offset + scale * found, -_LARGEST, _LARGEST).astype(xp.float32)
    return float(xp.abs(values - restored).max())


@kernel
def _quantise(
    rows: Floats, block: int, symmetric: bool, codes: Integers, scales: Floats, offsets: Floats
) -> float:
    """Fill the last three arrays; the largest error, or -1 if a value cannot be stored."""
    worst = 0.0
    for r in range(len(rows)):
        for b in range(scales.shape[1]):
            begin, end = b * block, min((b + 1) * block, rows.shape[1])
            low, high, beyond = np.inf, -np.inf, 0
            for i in range(begin, end):
                value = np.float64(rows[r, i])
                beyond += not abs(value) <= _LARGEST
                low = min(low, value)
                high = max(high, value)
            if beyond:
                return -1.0
            if symmetric:
                scale, offset = np.float32(max(-low, high) / 127.0), np.float32(0.0)
            elif low == high:
                scale, offset = np.float32(0.0), np.float32(low)
            else:
                # Steps finer than float32 has at this size would be lost in the offset.
                step = max(high / 255.0 - low / 255.0, 2.0**-23 * max(-low, high))
                scale, offset = np.float32(step), np.float32(min(low + 128.0 * step, _LARGEST))
            scales[r, b], offsets[r, b] = scale, offset
            inverse = 1.0 / np.float64(scale) if scale > 0 else 0.0
            for i in range(begin, end):
                value = np.float64(rows[r, i])
                code = np.rint((value - np.float64(offset)) * inverse)
                code = min(max(code, -128.0), 127.0)
                codes[r, i] = np.int8(code)
                found = np.float64(offset) + np.float64(scale) * code
                worst = max(worst, abs(value - np.float32(min(max(found, -_LARGEST), _LARGEST))))
    return worst


@kernel
def _restore(codes: Integers, scales: Floats, offsets: Floats, block: int, rows: Floats) -> None:
    for r in range(len(rows)):
        for b in range(scales.shape[1]):
            scale, offset = np.float64(scales[r, b]), np.float64(offsets[r, b])
            for i in range(b * block, min((b + 1) * block, rows.shape[1])):
                rows[r, i] = min(max(offset + scale * codes[r, i], -_LARGEST), _LARGEST)


@kernel
def _join(groups: Integers, bits: int, packed: Integers) -> None:
    for g in range(len(groups)):
        word = np.uint64(0)
        for i in range(8):
            word |= np.uint64(groups[g, i]) << np.uint64(i * bits)
        for i in range(bits):
            packed[g, i] = np.uint8((word >> np.uint64(8 * i)) & np.uint64(255))


@kernel
def _split(packed: Integers, bits: int, groups: Integers) -> None:
    mask = (np.uint64(1) << np.uint64(bits)) - np.uint64(1)
    for g in range(len(groups)):
        word = np.uint64(0)
        for i in range(bits):
            word |= np.uint64(packed[g, i]) << np.uint64(8 * i)
        for i in range(8):
            groups[g, i] = np.uint8((word >> np.uint64(i * bits)) & mask)
