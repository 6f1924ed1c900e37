"""Products of vectors held in the processor's registers, as LLVM code that compiled kernels inline.

Left to itself, LLVM uses half of the 512-bit registers and one accumulator; numba has no float16 on
the CPU. Here the width and the number of accumulators are said outright. What a processor does not
have, LLVM splits into what it has; the order of the sums is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

LANES = 16
"""Numbers a register."""

ROWS, COLUMNS = 6, 64
"""Shape of a tile of products: with one row of the panel and one number it fills 29 registers of 32."""

_AHEAD_BYTES = 8192
"""How far before its use a vector is asked for; less left the memory idle, more brought nothing."""

_FLOAT, _HALF, _WORD = ir.FloatType(), ir.HalfType(), ir.IntType(64)
_FLOATS = ir.VectorType(_FLOAT, LANES)
_FAST = ("contract",)

Code = tuple[Any, Callable[..., Any]]


def converts_halves() -> bool:
    """Whether the processor itself turns float16 into float32."""
    features = llvmlite.binding.get_host_cpu_features()
    return bool(features.get("f16c")) or "aarch64" in llvmlite.binding.get_process_triple()


def _pointer(builder: Any, address: Any, to: Any) -> Any:
    return builder.inttoptr(address, to.as_pointer())


def _load(builder: Any, address: Any, kind: Any, align: int = 1) -> Any:
    found = builder.load(_pointer(builder, address, kind))
    found.align = align
    return found


def _splat(builder: Any, value: Any, kind: Any) -> Any:
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(
        first, ir.Constant(kind, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), kind.count), None)
    )


def _widened(builder: Any, bits: Any, kind: Any, native: bool) -> Any:
    """float16, held as integers of 16 bits, as float32."""
    if native:
        half = ir.VectorType(_HALF, kind.count) if isinstance(kind, ir.VectorType) else _HALF
        return builder.fpext(builder.bitcast(bits, half), kind)
    whole = ir.VectorType(ir.IntType(32), kind.count) if isinstance(kind, ir.VectorType) else ir.IntType(32)

    def constant(value: Any, of: Any = whole) -> Any:
        return ir.Constant(of, [value] * kind.count if isinstance(kind, ir.VectorType) else value)

    # Exponents of float16 lie 112 below those of float32; the product also makes subnormals normal.
    word = builder.zext(bits, whole)
    magnitude = builder.and_(word, constant(0x7FFF))
    shifted = builder.shl(magnitude, constant(13))
    number = builder.bitcast(builder.fmul(builder.bitcast(shifted, kind), constant(2.0**112, kind)), whole)
    infinite = builder.icmp_unsigned(">=", magnitude, constant(0x7C00))
    number = builder.select(infinite, builder.or_(shifted, constant(0x7F800000)), number)
    sign = builder.shl(builder.and_(word, constant(0x8000)), constant(16))
    return builder.bitcast(builder.or_(number, sign), kind)


class _Loop:
    """`for at in range(first, end, step)` with values carried from turn to turn."""

    def __init__(self, builder: Any, first: Any, end: Any, step: int, carried: list[Any]) -> None:
        self.builder, self.step = builder, ir.Constant(_WORD, step)
        before = builder.block
        self.head = builder.append_basic_block("head")
        self.body = builder.append_basic_block("body")
        self.after = builder.append_basic_block("after")
        builder.branch(self.head)
        builder.position_at_end(self.head)
        self.at = builder.phi(_WORD)
        self.at.add_incoming(first, before)
        self.values = [builder.phi(value.type) for value in carried]
        for phi, value in zip(self.values, carried, strict=True):
            phi.add_incoming(value, before)
        builder.cbranch(builder.icmp_signed("<", self.at, end), self.body, self.after)
        builder.position_at_end(self.body)

    def close(self, carried: list[Any]) -> None:
        self.at.add_incoming(self.builder.add(self.at, self.step), self.builder.block)
        for phi, value in zip(self.values, carried, strict=True):
            phi.add_incoming(value, self.builder.block)
        self.builder.branch(self.head)
        self.builder.position_at_end(self.after)


def _fma(builder: Any, left: Any, right: Any, total: Any) -> Any:
    return builder.fadd(builder.fmul(left, right, flags=_FAST), total, flags=_FAST)


def _sum(builder: Any, vector: Any) -> Any:
    """The sum of a register's numbers, halves first."""
    count = vector.type.count
    while count > 1:
        count //= 2
        undefined = ir.Constant(vector.type, ir.Undefined)
        index = ir.VectorType(ir.IntType(32), count)
        low = builder.shuffle_vector(vector, undefined, ir.Constant(index, list(range(count))))
        high = builder.shuffle_vector(vector, undefined, ir.Constant(index, list(range(count, 2 * count))))
        vector = builder.fadd(low, high)
    return builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))


def _prefetch(builder: Any, address: Any) -> None:
    number = ir.IntType(32)
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    function = builder.module.declare_intrinsic("llvm.prefetch", fnty=kind)
    arguments = [ir.Constant(number, value) for value in (0, 3, 1)]  # to be read, kept, data
    builder.call(function, [_pointer(builder, address, ir.IntType(8)), *arguments])


def _emit_dot(builder: Any, left: Any, right: Any, length: Any, half: bool, native: bool, ahead: bool) -> Any:
    """The product of float32 at `left` with float32 or float16 at `right`; four sums side by side."""
    size = 2 if half else 4

    def address(base: Any, at: Any, of: int, plus: int = 0) -> Any:
        return builder.add(
            base, builder.add(builder.mul(at, ir.Constant(_WORD, of)), ir.Constant(_WORD, of * plus))
        )

    def product(at: Any, plus: int, total: Any, kind: Any) -> Any:
        lanes = kind.count if isinstance(kind, ir.VectorType) else 1
        bits = ir.VectorType(ir.IntType(16), lanes) if lanes > 1 else ir.IntType(16)
        mine = _load(builder, address(left, at, 4, plus), kind)
        theirs = _load(builder, address(right, at, size, plus), bits if half else kind, size)
        return _fma(builder, mine, _widened(builder, theirs, kind, native) if half else theirs, total)

    zero, none = ir.Constant(_WORD, 0), ir.Constant(_FLOATS, [0.0] * LANES)
    wide = builder.and_(length, ir.Constant(_WORD, -4 * LANES))
    loop = _Loop(builder, zero, wide, 4 * LANES, [none] * 4)
    for line in range(4 * LANES * size // 64 if ahead else 0):
        _prefetch(
            builder, builder.add(address(right, loop.at, size), ir.Constant(_WORD, _AHEAD_BYTES + 64 * line))
        )
    loop.close([product(loop.at, LANES * i, loop.values[i], _FLOATS) for i in range(4)])
    total = builder.fadd(
        builder.fadd(loop.values[0], loop.values[1]), builder.fadd(loop.values[2], loop.values[3])
    )
    single = _Loop(builder, wide, builder.and_(length, ir.Constant(_WORD, -LANES)), LANES, [total])
    single.close([product(single.at, 0, single.values[0], _FLOATS)])
    rest = _Loop(builder, single.at, length, 1, [_sum(builder, single.values[0])])
    rest.close([product(rest.at, 0, rest.values[0], _FLOAT)])
    return rest.values[0]


def _dot_code(half: bool, native: bool, ahead: bool) -> Any:
    def typed(typingctx: Any, left: Any, right: Any, length: Any) -> Code:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            left, right, length = arguments
            return _emit_dot(builder, left, right, length, half, native, ahead)

        return types.float32(types.int64, types.int64, types.int64), code

    return intrinsic(typed)


dot_floats = _dot_code(half=False, native=True, ahead=True)
"""dot_floats(address, address, length): the product of two rows of float32, the next being read."""

dot_halves = _dot_code(half=True, native=converts_halves(), ahead=True)
"""dot_halves(address, address, length): a row of float32 times one of float16, the next being read."""

dot_halves_by_integers = _dot_code(half=True, native=False, ahead=True)
"""`dot_halves` for processors without float16."""

dot_floats_alone = _dot_code(half=False, native=True, ahead=False)
"""`dot_floats` where the next row lies elsewhere."""

dot_halves_alone = _dot_code(half=True, native=converts_halves(), ahead=False)
"""`dot_halves` where the next row lies elsewhere."""


def _tile_code(height: int) -> Any:
    def typed(typingctx: Any, rows: Any, stride: Any, panel: Any, length: Any, out: Any, width: Any) -> Code:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> None:
            rows, stride, panel, length, out, width = arguments
            across = COLUMNS // LANES

            def place(base: Any, row: int, step: Any, plus: int = 0) -> Any:
                start = builder.add(base, builder.mul(step, ir.Constant(_WORD, row)))
                return builder.add(start, ir.Constant(_WORD, plus))

            bases = [place(rows, row, stride) for row in range(height)]
            places = [place(out, row, width, 4 * LANES * i) for row in range(height) for i in range(across)]
            before = [_load(builder, at, _FLOATS, 4) for at in places]
            loop = _Loop(builder, ir.Constant(_WORD, 0), length, 1, before)
            line = builder.add(panel, builder.mul(loop.at, ir.Constant(_WORD, 4 * COLUMNS)))
            columns = [
                _load(builder, builder.add(line, ir.Constant(_WORD, 4 * LANES * i)), _FLOATS, 4)
                for i in range(across)
            ]
            offset = builder.mul(loop.at, ir.Constant(_WORD, 4))
            totals = []
            for row, base in enumerate(bases):
                number = _splat(builder, _load(builder, builder.add(base, offset), _FLOAT, 4), _FLOATS)
                totals += [
                    _fma(builder, number, columns[i], loop.values[row * across + i]) for i in range(across)
                ]
            loop.close(totals)
            for at, total in zip(places, loop.values, strict=True):
                builder.store(total, _pointer(builder, at, _FLOATS)).align = 4

        return types.void(*[types.int64] * 6), code

    return intrinsic(typed)


tile = _tile_code(ROWS)
"""tile(rows, stride, panel, length, out, width): add a tile of products to `out`.

`ROWS` rows of float32, `stride` bytes apart, times a panel of `length` × `COLUMNS`, into float32
rows that are `width` bytes apart. All but `length` are addresses or bytes.
"""

tile_of_one = _tile_code(1)
"""`tile` of a single row, with the same sums."""


def _sum_where_code(typingctx: Any, numbers: Any, code: Any, words: Any) -> Code:
    def body(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers, bits, words = arguments
        none = ir.Constant(_FLOATS, [0.0] * LANES)
        loop = _Loop(builder, ir.Constant(_WORD, 0), words, 1, [none] * 4)
        totals = []
        for part, total in enumerate(loop.values):
            at = builder.add(bits, builder.mul(loop.at, ir.Constant(_WORD, 8)))
            mask = _load(builder, builder.add(at, ir.Constant(_WORD, 2 * part)), ir.IntType(LANES))
            place = builder.add(numbers, builder.mul(loop.at, ir.Constant(_WORD, 4 * 64)))
            some = _load(builder, builder.add(place, ir.Constant(_WORD, 4 * LANES * part)), _FLOATS, 4)
            chosen = builder.bitcast(mask, ir.VectorType(ir.IntType(1), LANES))
            totals.append(builder.fadd(total, builder.select(chosen, some, none)))
        loop.close(totals)
        first, second, third, fourth = loop.values
        return _sum(builder, builder.fadd(builder.fadd(first, second), builder.fadd(third, fourth)))

    return types.float32(types.int64, types.int64, types.int64), body


sum_where = intrinsic(_sum_where_code)
"""sum_where(numbers, code, words): the sum of those float32 of 64 × `words` whose bit is set."""


def _largest_code(typingctx: Any, numbers: Any, count: Any) -> Code:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers, count = arguments
        places = ir.VectorType(_WORD, LANES)
        lanes = ir.Constant(places, list(range(LANES)))
        lowest = ir.Constant(_FLOATS, [float("-inf")] * LANES)
        none = ir.Constant(places, [-1] * LANES)
        loop = _Loop(builder, ir.Constant(_WORD, 0), count, LANES, [lowest, none])
        best, at = loop.values
        some = _load(builder, builder.add(numbers, builder.mul(loop.at, ir.Constant(_WORD, 4))), _FLOATS, 4)
        here = builder.add(_splat(builder, loop.at, places), lanes)
        larger = builder.fcmp_ordered(">", some, best)
        loop.close([builder.select(larger, some, best), builder.select(larger, here, at)])
        value, place = ir.Constant(_FLOAT, float("-inf")), ir.Constant(_WORD, -1)
        for lane in range(LANES):
            number = builder.extract_element(best, ir.Constant(ir.IntType(32), lane))
            where = builder.extract_element(at, ir.Constant(ir.IntType(32), lane))
            sooner = builder.and_(
                builder.fcmp_ordered("==", number, value), builder.icmp_unsigned("<", where, place)
            )
            better = builder.or_(builder.fcmp_ordered(">", number, value), sooner)
            value, place = builder.select(better, number, value), builder.select(better, where, place)
        return place

    return types.int64(types.int64, types.int64), code


largest = intrinsic(_largest_code)
"""largest(address, count): the place of the largest float32, the first of equals; -1 where none is.

`count` is a multiple of `LANES`. Neither NaN nor minus infinity is ever the largest.
"""


def _copy_code(half: bool, native: bool) -> Any:
    def typed(typingctx: Any, numbers: Any, floats: Any, count: Any) -> Code:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> None:
            numbers, floats, count = arguments

            def turn(first: Any, end: Any, kind: Any, step: int) -> Any:
                bits = ir.VectorType(ir.IntType(16), step) if step > 1 else ir.IntType(16)
                size = 2 if half else 4
                loop = _Loop(builder, first, end, step, [])
                source = builder.add(numbers, builder.mul(loop.at, ir.Constant(_WORD, size)))
                found = _load(builder, source, bits if half else kind, size)
                found = _widened(builder, found, kind, native) if half else found
                place = builder.add(floats, builder.mul(loop.at, ir.Constant(_WORD, 4)))
                builder.store(found, _pointer(builder, place, kind)).align = 4
                loop.close([])
                return loop.at

            wide = builder.and_(count, ir.Constant(_WORD, -LANES))
            turn(turn(ir.Constant(_WORD, 0), wide, _FLOATS, LANES), count, _FLOAT, 1)

        return types.void(types.int64, types.int64, types.int64), code

    return intrinsic(typed)


copy = _copy_code(half=False, native=True)
"""copy(address, address, count): write float32 elsewhere."""

widen = _copy_code(half=True, native=converts_halves())
"""widen(address, address, count): write float16 as float32."""

widen_by_integers = _copy_code(half=True, native=False)
"""`widen` for processors without float16."""


def _prefetch_code(typingctx: Any, address: Any, size: Any) -> Code:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        address, size = arguments
        loop = _Loop(builder, ir.Constant(_WORD, 0), size, 64, [])
        _prefetch(builder, builder.add(address, loop.at))
        loop.close([])

    return types.void(types.int64, types.int64), code


prefetch = intrinsic(_prefetch_code)
"""prefetch(address, bytes): ask for memory that is read soon."""
