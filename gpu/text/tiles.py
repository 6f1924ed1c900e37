"""A matrix product is cut into tiles whose sums stay in the processor's registers until they are done.

Every number is one chain of multiply-adds over the depth, begun with its bias: it has the same bits
whatever rows are computed beside it, and however they are shared out between threads. That, and not
having to stop all threads after each product as a BLAS library does, is why it is written here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from gpu.arrays import Array, Floats
from gpu.compiling import kernel

Code = tuple[Any, Callable[..., Any]]


def _shape() -> tuple[int, int]:
    """Rows of a tile and numbers of a register; a tile is two registers wide.

    A tile, one row of the panel and one number must fit in the registers; LLVM splits what does not
    fit, which is slower but no less right.
    """
    features = llvmlite.binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 14, 16
    if features.get("avx"):
        return 6, 8
    return (14, 4) if "aarch64" in llvmlite.binding.get_process_triple() else (6, 4)


ROWS, LANES = _shape()
COLUMNS = 2 * LANES
"""Width of a panel of a matrix: panel p holds columns p * COLUMNS and on, a row after the other."""

_FLOAT, WORD, _INDEX = ir.FloatType(), ir.IntType(64), ir.IntType(32)
FLOATS = ir.VectorType(_FLOAT, LANES)


def loaded(builder: Any, pointer: Any, offset: Any) -> Any:
    """LLVM code for the register of numbers that begins `offset` numbers behind `pointer`."""
    found = builder.load(builder.bitcast(builder.gep(pointer, [offset]), FLOATS.as_pointer()))
    found.align = 4
    return found


def splat(builder: Any, number: Any) -> Any:
    """LLVM code for a register full of one number."""
    empty = ir.Constant(FLOATS, ir.Undefined)
    first = builder.insert_element(empty, number, _INDEX(0))
    return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(_INDEX, LANES), None))


def _fetch(builder: Any, pointer: Any, offset: Any) -> None:
    """LLVM code that asks for a number to be brought near, into the second cache; it may not exist."""
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, _INDEX, _INDEX, _INDEX])
    prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
    address = builder.bitcast(builder.gep(pointer, [offset]), byte)
    builder.call(prefetch, [address, _INDEX(0), _INDEX(2), _INDEX(1)])


def _tile(rows: int) -> Any:
    """Compiled code that sets `rows` by COLUMNS numbers of `out` to `left @ panel + bias`.

    Arrays are given flat, each with the place of its first number. From a number of `left` to that
    below it is `stride`, to the next of its row `step`. The panel needed next lies `ahead` numbers
    behind this one; without asking for it in time its first tile waits for memory, which costs a
    layer a tenth of its speed. Nothing is checked.
    """

    @intrinsic  # type: ignore[untyped-decorator]
    def tile(  # type: ignore[no-untyped-def]
        typing,
        left,
        left_at,
        stride,
        step,
        panel,
        panel_at,
        ahead,
        bias,
        bias_at,
        out,
        out_at,
        across,
        depth,
    ) -> Code:
        arguments = (left, left_at, stride, step, panel, panel_at, ahead, bias, bias_at)
        signature = types.void(*arguments, out, out_at, across, depth)

        def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            def pointer(array: int, offset: int) -> Any:
                found = context.make_array(signature.args[array])(context, builder, given[array])
                return builder.gep(found.data, [given[offset]])

            lefts, panels, biases, outs = pointer(0, 1), pointer(4, 5), pointer(7, 8), pointer(9, 10)
            stride, step, ahead, across, depth = given[2], given[3], given[6], given[11], given[12]
            multiply_add = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(FLOATS, [FLOATS] * 3), f"llvm.fmuladd.v{LANES}f32"
            )
            halves = [WORD(0), WORD(LANES)]
            begin = [loaded(builder, biases, half) for half in halves]
            lines = [builder.gep(lefts, [builder.mul(stride, WORD(row))]) for row in range(rows)]
            before = builder.block
            loop, done = builder.append_basic_block("depth"), builder.append_basic_block("done")
            builder.branch(loop)
            builder.position_at_end(loop)
            at = builder.phi(WORD)
            at.add_incoming(WORD(0), before)
            sums = [[builder.phi(FLOATS) for _ in halves] for _ in range(rows)]
            first = builder.mul(at, WORD(COLUMNS))
            beside = [loaded(builder, panels, builder.add(first, half)) for half in halves]
            for half in halves:
                _fetch(builder, panels, builder.add(builder.add(first, half), ahead))
            along = builder.mul(at, step)
            for row in range(rows):
                number = splat(builder, builder.load(builder.gep(lines[row], [along])))
                for half in range(2):
                    total = builder.call(multiply_add, [number, beside[half], sums[row][half]])
                    sums[row][half].add_incoming(begin[half], before)
                    sums[row][half].add_incoming(total, loop)
                    sums[row][half] = total
            following = builder.add(at, WORD(1))
            at.add_incoming(following, loop)
            builder.cbranch(builder.icmp_signed("<", following, depth), loop, done)
            builder.position_at_end(done)
            for row in range(rows):
                line = builder.gep(outs, [builder.mul(across, WORD(row))])
                for half in range(2):
                    to = builder.bitcast(builder.gep(line, [halves[half]]), FLOATS.as_pointer())
                    builder.store(sums[row][half], to).align = 4
            return context.get_dummy_value()

        return signature, generate

    return tile


_tile_full, _tile_4, _tile_2, _tile_1 = (_tile(rows) for rows in (ROWS, 4, 2, 1))


@kernel
def multiply_panel(
    left: Floats, left_at: int, stride: int, step: int, count: int, depth: int, panel: Floats, panel_at: int,
    ahead: int, bias: Floats, bias_at: int, out: Floats, out_at: int, across: int,
) -> None:  # fmt: skip
    """Set `count` rows by COLUMNS of `out` to `left @ panel + bias`; flat float32 arrays, `depth` ≥ 1.

    From a number of `left` to that below it is `stride`, to the next of its row `step`. The panel
    needed next lies `ahead` numbers behind this one; 0: none does.
    """
    row = 0
    while row < count:
        at, to = left_at + row * stride, out_at + row * across
        if count - row >= ROWS:
            _tile_full(left, at, stride, step, panel, panel_at, ahead, bias, bias_at, out, to, across, depth)
            row += ROWS
        elif count - row >= 4:
            _tile_4(left, at, stride, step, panel, panel_at, ahead, bias, bias_at, out, to, across, depth)
            row += 4
        elif count - row >= 2:
            _tile_2(left, at, stride, step, panel, panel_at, ahead, bias, bias_at, out, to, across, depth)
            row += 2
        else:
            _tile_1(left, at, stride, step, panel, panel_at, ahead, bias, bias_at, out, to, across, depth)
            row += 1


@kernel
def widen(halves: Array, first: int, count: int, wide: Floats) -> None:
    """Set `wide[:count]` to float16 numbers held as uint16; infinity and NaN are not understood."""
    read, numbers = halves[first : first + count], wide[:count]
    for i in range(count):
        half = np.uint32(read[i])
        bits = (half & np.uint32(0x7FFF)) << np.uint32(13) | (half & np.uint32(0x8000)) << np.uint32(16)
        # The exponent of a float16 is 112 below that of a float32; the product is exact.
        numbers[i] = np.uint32(bits).view(np.float32) * np.float32(2.0**112)


def as_floats(stored: Array, first: int, count: int, room: Floats) -> tuple[Floats, int]:
    """`count` numbers of flat `stored` as float32: an array, and where in it they begin.

    float32 is read where it lies; float16, held as uint16, is widened into `room`. For use inside
    compiled code.
    """
    raise NotImplementedError("as_floats is called from compiled code only.")


@overload(as_floats)
def _as_floats(stored, first, count, room):  # type: ignore[no-untyped-def]
    if stored.dtype == types.float32:
        return lambda stored, first, count, room: (stored, first)

    def widened(stored, first, count, room):  # type: ignore[no-untyped-def]
        widen(stored, first, count, room)
        return room, 0

    return widened


@kernel
def multiply(left: Floats, panels: Array, bias: Floats, out: Floats) -> None:
    """Set `out` to `left @ matrix + bias`, the matrix being cut into panels.

    Args:
        left: (rows, at least depth), float32, C order.
        panels: (panels, depth, COLUMNS), float32, or float16 held as uint16, C order.
        bias: (panels * COLUMNS,), float32.
        out: (rows, panels * COLUMNS), float32, C order.
    """
    depth, size = panels.shape[1], panels.shape[1] * panels.shape[2]
    room = np.empty(size, np.float32)
    lefts, stored, outs = left.reshape(-1), panels.reshape(-1), out.reshape(-1)
    for p in range(panels.shape[0]):
        panel, at = as_floats(stored, p * size, size, room)
        multiply_panel(
            lefts, 0, left.shape[1], 1, len(left), depth, panel, at, size, bias, p * COLUMNS,
            outs, p * COLUMNS, out.shape[1],
        )  # fmt: skip


def cut(matrix: Array, dtype: Any) -> Array:
    """The panels of a (depth, columns) matrix, filled up with zeros: (panels, depth, COLUMNS)."""
    depth, columns = matrix.shape
    panels = np.zeros((-(-columns // COLUMNS), depth, COLUMNS), dtype)
    for p, panel in enumerate(panels):
        part = matrix[:, p * COLUMNS : (p + 1) * COLUMNS]
        panel[:, : part.shape[1]] = part
    return panels
