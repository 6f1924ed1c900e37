"""The value of one point from the block of samples around it, whose rows are added up as vectors.

numba leaves four neighbouring numbers four numbers, so the sum is written in LLVM's own language here.
Its vectors become those of whatever processor there is.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np import arrayobj

_NAMES = {"float": "f32", "double": "f64"}
_I32, _I64 = ir.IntType(32), ir.IntType(64)


def _value(lines: int, length: int) -> Any:
    """A function for numba code: the value from blocks with `length` samples a row, `lines` rows a plane.

    Its arguments:

        address: where the samples lie.
        offsets: bytes from there to samples, axis after axis; (4, points) `firsts` tells where in
            `offsets` the samples of a point begin.
        fractions: (4, points): how far a point is from the second sample of four, or the first of two.
        weights: (9, power of the fraction, sample): the polynomials that give the samples' weights
            along three axes, and along the last one for each of the six `sides`.
        taps: how many samples count along the first and the second axis.
    """

    def typed(
        context: Any,
        address: Any,
        offsets: Any,
        firsts: Any,
        fractions: Any,
        sides: Any,
        point: Any,
        weights: Any,
        taps0: Any,
        taps1: Any,
    ) -> Any:
        whole = types.int64
        arguments = (whole, offsets, firsts, fractions, sides, whole, weights, whole, whole)
        return weights.dtype(*arguments), lambda *given: _generate(*given, lines=lines, length=length)

    return intrinsic(typed)


def _whole(value: int) -> Any:
    return ir.Constant(_I64, value)


def _generate(context: Any, builder: Any, signature: Any, arguments: Any, *, lines: int, length: int) -> Any:
    number = context.get_value_type(signature.return_type)
    size = context.get_abi_sizeof(number)
    arrays = [
        arrayobj.make_array(kind)(context, builder, value) if isinstance(kind, types.Array) else value
        for kind, value in zip(signature.args, arguments, strict=True)
    ]
    address, table, point = arrays[0], arrays[1].data, arrays[5]
    polynomials, taps = arrays[6].data, arrays[7:]
    points = builder.extract_value(arrays[2].shape, 1)
    places = [builder.add(point, builder.mul(points, _whole(axis))) for axis in range(4)]
    firsts = [builder.load(builder.gep(arrays[2].data, [place])) for place in places]
    fractions = [builder.load(builder.gep(arrays[3].data, [place])) for place in places]
    side = builder.load(builder.gep(arrays[4].data, [point]))

    def vector(pointer: Any, kind: Any, width: int, align: int) -> Any:
        loaded = builder.load(builder.bitcast(pointer, ir.VectorType(kind, width).as_pointer()))
        loaded.align = align
        return loaded

    def spread(value: Any, width: int) -> Any:
        kind = ir.VectorType(value.type, width)
        one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(_I32, 0))
        every = ir.Constant(ir.VectorType(_I32, width), [0] * width)
        return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), every)

    def add_product(left: Any, right: Any, total: Any) -> Any:
        width = left.type.count
        name = f"llvm.fmuladd.v{width}{_NAMES[str(number)]}"
        kind = ir.FunctionType(left.type, [left.type] * 3)
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [left, right, total])

    def weights_of(axis: int) -> Any:
        """The four weights along an axis, by Horner's rule."""
        begin = builder.add(_whole(axis), side) if axis == 3 else _whole(axis)
        begin = builder.mul(begin, _whole(16))
        t = spread(fractions[axis], 4)
        degrees = [
            vector(builder.gep(polynomials, [builder.add(begin, _whole(4 * power))]), number, 4, size)
            for power in range(4)
        ]
        total = degrees[3]
        for degree in degrees[2::-1]:
            total = add_product(total, t, degree)
        return total

    def item(values: Any, place: int) -> Any:
        return builder.extract_element(values, ir.Constant(_I32, place))

    def kept(value: Any) -> Any:
        """A pointer to memory that holds the vector."""
        space = cgutils.alloca_once_value(builder, value)
        return builder.bitcast(space, value.type.element.as_pointer())

    outer, inner, line_weights, weights = (weights_of(axis) for axis in range(4))
    outer, inner = kept(outer), kept(inner)
    start = builder.add(address, builder.load(builder.gep(table, [firsts[3]])))
    rows = [builder.load(builder.gep(table, [builder.add(firsts[2], _whole(i))])) for i in range(lines)]
    scales = [spread(item(line_weights, i), length) for i in range(lines)]
    kind = ir.VectorType(number, length)
    none = ir.Constant(kind, [0.0] * length)

    # A sum a plane, a sum a group of planes: a single one would wait for itself at every step.
    total = cgutils.alloca_once_value(builder, none)
    part = cgutils.alloca_once_value(builder, none)
    with cgutils.for_range(builder, taps[0]) as first_loop:
        step = builder.load(builder.gep(table, [builder.add(firsts[0], first_loop.index)]))
        group = builder.add(start, step)
        builder.store(none, part)
        with cgutils.for_range(builder, taps[1]) as second_loop:
            step = builder.load(builder.gep(table, [builder.add(firsts[1], second_loop.index)]))
            base = builder.add(group, step)
            read = [
                vector(builder.inttoptr(builder.add(base, row), number.as_pointer()), number, length, size)
                for row in rows
            ]
            plane = builder.fmul(scales[0], read[0])
            for scale, row in zip(scales[1:], read[1:], strict=True):
                plane = add_product(scale, row, plane)
            scale = spread(builder.load(builder.gep(inner, [second_loop.index])), length)
            builder.store(add_product(scale, plane, builder.load(part)), part)
        scale = spread(builder.load(builder.gep(outer, [first_loop.index])), length)
        builder.store(add_product(scale, builder.load(part), builder.load(total)), total)
    first_ones = ir.Constant(ir.VectorType(_I32, length), list(range(length)))
    last = builder.shuffle_vector(weights, ir.Constant(weights.type, ir.Undefined), first_ones)
    products = builder.fmul(builder.load(total), last)
    terms = [item(products, i) for i in range(length)]
    while len(terms) > 1:
        terms = [builder.fadd(a, b) for a, b in zip(terms[::2], terms[1::2], strict=True)]
    return terms[0]


value_4_4 = _value(4, 4)
value_4_2 = _value(4, 2)
value_2_4 = _value(2, 4)
value_2_2 = _value(2, 2)
value_1_4 = _value(1, 4)
value_1_2 = _value(1, 2)


def _copy_row(context: Any, to: Any, start: Any, count: Any) -> Any:
    """Copy `count` bytes from one address to another."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, source = (builder.inttoptr(value, ir.IntType(8).as_pointer()) for value in arguments[:2])
        cgutils.raw_memcpy(builder, target, source, arguments[2], 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


copy_row = intrinsic(_copy_row)
