"""The nearest of many codes of bits, by counting the bits in which they differ.

Codes of 32 vectors lie together, word by word, so that eight counts share a register. The nearest
are gathered in a buffer; when that is full it is cut back to the nearest, whose farthest distance
then bounds what may enter. A sample tells what may enter at first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from gpu.arrays import Integers
from gpu.compiling import kernel

GROUP = 32
"""Codes that are compared at a time."""

_STRIDE = 32
_LANES = 8
_WORD = ir.IntType(64)
_WORDS = ir.VectorType(_WORD, _LANES)


def _near_code(
    typingctx: Any,
    codes: Any,
    query: Any,
    words: Any,
    limit: Any,
    first: Any,
    places: Any,
    distances: Any,
) -> tuple[Any, Callable[..., Any]]:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        codes, query, words, limit, first, places, distances = arguments
        across = GROUP // _LANES
        zero = ir.Constant(_WORDS, [0] * _LANES)
        kind = ir.FunctionType(_WORDS, [_WORDS])
        count = cgutils.get_or_insert_function(builder.module, kind, f"llvm.ctpop.v{_LANES}i64")

        def splat(value: Any) -> Any:
            one = builder.insert_element(
                ir.Constant(_WORDS, ir.Undefined), value, ir.Constant(ir.IntType(32), 0)
            )
            index = ir.Constant(ir.VectorType(ir.IntType(32), _LANES), None)
            return builder.shuffle_vector(one, ir.Constant(_WORDS, ir.Undefined), index)

        def pointer(address: Any, kind: Any, offset: int = 0) -> Any:
            return builder.inttoptr(builder.add(address, ir.Constant(_WORD, offset)), kind.as_pointer())

        before = builder.block
        body, after = builder.append_basic_block("word"), builder.append_basic_block("counted")
        builder.branch(body)
        builder.position_at_end(body)
        word = builder.phi(_WORD)
        word.add_incoming(ir.Constant(_WORD, 0), before)
        totals = [builder.phi(_WORDS) for _ in range(across)]
        mine = splat(
            builder.load(pointer(builder.add(query, builder.mul(word, ir.Constant(_WORD, 8))), _WORD))
        )
        line = builder.add(codes, builder.mul(word, ir.Constant(_WORD, 8 * GROUP)))
        new = []
        for part, total in enumerate(totals):
            total.add_incoming(zero, before)
            theirs = builder.load(pointer(line, _WORDS, 8 * _LANES * part))
            theirs.align = 8
            new.append(builder.add(total, builder.call(count, [builder.xor(mine, theirs)])))
            total.add_incoming(new[-1], body)
        following = builder.add(word, ir.Constant(_WORD, 1))
        word.add_incoming(following, body)
        builder.cbranch(builder.icmp_signed("<", following, words), body, after)
        builder.position_at_end(after)
        flags, width = ir.VectorType(ir.IntType(1), _LANES), ir.IntType(_LANES)
        most, none = splat(limit), ir.Constant(width, 0)
        within = [builder.icmp_signed("<=", total, most) for total in new]
        any_within = within[0]
        for flag in within[1:]:
            any_within = builder.or_(any_within, flag)
        found, out = builder.append_basic_block("found"), builder.append_basic_block("out")
        nothing = ir.Constant(_WORD, 0)
        builder.cbranch(builder.icmp_unsigned("==", builder.bitcast(any_within, width), none), out, found)
        builder.position_at_end(found)
        kind = ir.FunctionType(ir.VoidType(), [_WORDS, _WORD.as_pointer(), flags])
        name = f"llvm.masked.compressstore.v{_LANES}i64"
        compress = cgutils.get_or_insert_function(builder.module, kind, name)
        lanes = builder.add(splat(first), ir.Constant(_WORDS, list(range(_LANES))))
        held = nothing
        for part, (total, flag) in enumerate(zip(new, within, strict=True)):
            here = builder.add(lanes, ir.Constant(_WORDS, [_LANES * part] * _LANES))
            offset = builder.mul(held, ir.Constant(_WORD, 8))
            for numbers, target in ((here, places), (total, distances)):
                builder.call(compress, [numbers, pointer(builder.add(target, offset), _WORD), flag])
            bits = builder.zext(builder.bitcast(flag, width), _WORD)
            held = builder.add(held, builder.ctpop(bits))
        builder.branch(out)
        builder.position_at_end(out)
        result = builder.phi(_WORD)
        result.add_incoming(nothing, after)
        result.add_incoming(held, found)
        return result

    return types.int64(*[types.int64] * 7), code


_near = intrinsic(_near_code)
"""_near(codes, query, words, limit, first, places, distances): how many of `GROUP` codes are near.

Those that differ in at most `limit` bits are written, as 64-bit integers, to `places`, counted from
`first`, and to `distances`; both have room for `GROUP` more. All but `words`, `limit` and `first` are
addresses.
"""


def grouped(codes: Integers) -> Integers:
    """Lay codes of shape (n, words), uint64, out as (groups, words, GROUP), filled up with zeros."""
    count, words = codes.shape
    groups = np.zeros((-(-count // GROUP) * GROUP, words), np.uint64)
    groups[:count] = codes
    return np.ascontiguousarray(groups.reshape(-1, GROUP, words).transpose(0, 2, 1))


@kernel
def gather(
    groups: Integers,
    first: int,
    last: int,
    count: int,
    query: Integers,
    wanted: int,
    filled: int,
    limit: int,
    places: Integers,
    distances: Integers,
) -> tuple[int, int]:
    """Add codes of groups `first` to `last` that may be among the `wanted` nearest to the buffer.

    Returns how many it holds and the largest distance that may enter. The buffer is longer than
    `wanted` by at least `GROUP`.
    """
    words = groups.shape[1]
    for group in range(first, last):
        found = _near(
            groups.ctypes.data + group * groups.strides[0],
            query.ctypes.data,
            words,
            limit,
            group * GROUP,
            places.ctypes.data + 8 * filled,
            distances.ctypes.data + 8 * filled,
        )
        if found == 0:
            continue
        filled += found
        while filled > 0 and places[filled - 1] >= count:
            filled -= 1
        if filled > len(places) - GROUP:
            filled, limit = nearest_of(wanted, filled, 64 * words, places, distances)
    return filled, limit


@kernel
def likely_limit(groups: Integers, query: Integers, wanted: int) -> int:
    """A distance that about `wanted` codes keep, and probably no fewer, read off every 32nd group."""
    words = groups.shape[1]
    bits = 64 * words
    sampled = (len(groups) + _STRIDE - 1) // _STRIDE
    share = wanted * sampled / len(groups)
    enough = share + 4.0 * np.sqrt(share) + 4.0
    counts = np.zeros(bits + 1, np.int64)
    near, places = np.empty(GROUP, np.int64), np.empty(GROUP, np.int64)
    for group in range(0, len(groups), _STRIDE):
        place = groups.ctypes.data + group * groups.strides[0]
        _near(place, query.ctypes.data, words, bits, 0, places.ctypes.data, near.ctypes.data)
        for lane in range(GROUP):
            counts[near[lane]] += 1
    limit = seen = 0
    while limit < bits:
        seen += counts[limit]
        if seen >= enough:
            break
        limit += 1
    return limit


@kernel
def nearest_of(wanted: int, filled: int, bits: int, places: Integers, distances: Integers) -> tuple[int, int]:
    """Cut the buffer back to its `wanted` nearest, ties by the smaller place, in their order.

    Returns how many are left and the largest distance that a later code may have to displace one.
    """
    if filled <= wanted:
        return filled, bits
    counts = np.zeros(bits + 1, np.int64)
    for at in range(filled):
        counts[distances[at]] += 1
    cut = below = 0
    while below + counts[cut] < wanted:
        below += counts[cut]
        cut += 1
    equal = wanted - below
    kept = 0
    for at in range(filled):
        # Written always and counted if kept: whether it is, is too hard to foretell for a branch.
        place, distance = places[at], distances[at]
        places[kept], distances[kept] = place, distance
        level = distance == cut
        kept += (distance < cut) | (level & (equal > 0))
        equal -= level
    return kept, cut - 1
