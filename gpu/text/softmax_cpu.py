"""The softmax of columns runs along the processor's registers: a register holds a row of many columns.

LLVM code, since left to itself LLVM compares numbers one by one and fills half a register.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from gpu.arrays import Floats
from gpu.compiling import kernel, reordering_kernel
from gpu.text.polynomials import polynomial
from gpu.text.tiles import COLUMNS, FLOATS, LANES, WORD, Code, loaded

LOWEST = -100.0
"""Powers of less are as good as this one, 8e-31, beside 1. Smaller numbers would become subnormal in
the products that follow, which meet subnormal numbers at a fraction of their speed."""

_ROUNDING = 1.5 * 2.0**23
"""Added to a small float32, it leaves no bits for a fraction: the lowest ones are the whole number."""

# Error 8e-8 of the value.
_EXP2 = [float(np.float32(c * 2.0**i)) for i, c in enumerate(polynomial(lambda s: 2.0 ** (0.5 * s), 5))]
_E = tuple(np.float32(c) for c in _EXP2)


@reordering_kernel
def exp2(t: Any) -> Any:
    """2 to the power of t in [-126, 126], float32, with an error below 2e-7 of it."""
    whole = np.floor(t + np.float32(0.5))
    r = t - whole
    e = (_E[5] * r + _E[4]) * r + _E[3]
    e = ((e * r + _E[2]) * r + _E[1]) * r + _E[0]
    return e * np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)


def _call(builder: Any, name: str, *given: Any) -> Any:
    kind = ir.FunctionType(FLOATS, [FLOATS] * len(given))
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{LANES}f32")
    return builder.call(function, given)


def _all(number: float) -> Any:
    return ir.Constant(FLOATS, [number] * LANES)


def _powers(builder: Any, t: Any) -> Any:
    """`exp2` of a register whose numbers are above -126."""
    integers = ir.VectorType(ir.IntType(32), LANES)
    rounded = builder.fadd(t, _all(_ROUNDING))
    r = builder.fsub(t, builder.fsub(rounded, _all(_ROUNDING)))
    e = _all(_EXP2[5])
    for coefficient in reversed(_EXP2[:5]):
        e = _call(builder, "fmuladd", e, r, _all(coefficient))
    whole = builder.shl(builder.bitcast(rounded, integers), ir.Constant(integers, [23] * LANES))
    return builder.bitcast(builder.add(builder.bitcast(e, integers), whole), FLOATS)


def _higher(builder: Any, one: Any, other: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", one, other), one, other)


@intrinsic  # type: ignore[untyped-decorator]
def _softmax(typing, scores, length, totals) -> Code:  # type: ignore[no-untyped-def]
    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        def pointer(argument: int) -> Any:
            return context.make_array(signature.args[argument])(context, builder, given[argument]).data

        numbers, sums, length = pointer(0), pointer(2), given[1]
        for offset in (WORD(0), WORD(LANES)):
            highest = cgutils.alloca_once_value(builder, loaded(builder, numbers, offset))
            with cgutils.for_range(builder, length) as row:
                at = builder.add(builder.mul(row.index, WORD(COLUMNS)), offset)
                number = loaded(builder, numbers, at)
                builder.store(_higher(builder, number, builder.load(highest)), highest)
            total = cgutils.alloca_once_value(builder, _all(0.0))
            with cgutils.for_range(builder, length) as row:
                at = builder.add(builder.mul(row.index, WORD(COLUMNS)), offset)
                below = builder.fsub(loaded(builder, numbers, at), builder.load(highest))
                power = _powers(builder, _higher(builder, below, _all(LOWEST)))
                to = builder.bitcast(builder.gep(numbers, [at]), FLOATS.as_pointer())
                builder.store(power, to).align = 4
                builder.store(builder.fadd(builder.load(total), power), total)
            to = builder.bitcast(builder.gep(sums, [offset]), FLOATS.as_pointer())
            builder.store(builder.load(total), to).align = 4
        return context.get_dummy_value()

    return types.void(scores, types.int64, totals), generate


@kernel
def softmax_columns(scores: Floats, length: int, totals: Floats) -> None:
    """Set each of COLUMNS columns to 2 to the power of what it is below its maximum.

    The error is below 2e-7 of a number, plus 1e-7 for each unit of the exponent; none is smaller
    than 2 to the power of LOWEST.

    Args:
        scores: At least `length` rows of COLUMNS finite numbers, flat float32.
        length: At least 1.
        totals: (COLUMNS,), set to the sum of each column.
    """
    _softmax(scores, length, totals)
