"""Vector instructions that numba does not emit of its own accord, asked of LLVM by intrinsics.

Each is generic LLVM IR: a processor with a gather instruction runs it as one, any other as loads.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from llvmlite.ir.instructions import Instruction
from numba import types
from numba.core import cgutils

from gpu.compiling import intrinsic

LANES = 8
"""Numbers in a vector. Of float32 that is half of the widest register: gathers of eight and of sixteen take
as long a number, and narrower slices pad less and leave more blocks of many vectors for the threads."""

_I32, _I64 = ir.IntType(32), ir.IntType(64)


class _Elements(Instruction):  # type: ignore[misc]  # llvmlite has no types
    """`getelementptr` with a vector of indices: a vector of addresses, which llvmlite cannot say."""

    def __init__(self, block: Any, element: ir.Type, array: Any, indices: Any) -> None:
        kind = ir.VectorType(array.type, indices.type.count)
        super().__init__(block, kind, "getelementptr", [array, indices])
        self.element = element

    def descr(self, buf: list[str]) -> None:
        """Append the instruction's text."""
        told = ", ".join(f"{of.type} {of.get_reference()}" for of in self.operands)
        buf.append(f"getelementptr inbounds {self.element}, {told}\n")


class _Vectors:
    """Writes vector instructions over arrays of one kind of float."""

    def __init__(self, context: Any, builder: Any, kind: types.Float) -> None:
        self.builder, self.lanes = builder, LANES
        self.number = context.get_value_type(kind)
        self.bytes = kind.bitwidth // 8
        self.vector = ir.VectorType(self.number, self.lanes)
        self.zero = ir.Constant(self.vector, [0.0] * self.lanes)
        suffix = f"f{kind.bitwidth}"
        self._all = ir.Constant(ir.VectorType(ir.IntType(1), self.lanes), [1] * self.lanes)
        self._gather_name = f"llvm.masked.gather.v{self.lanes}{suffix}.v{self.lanes}p0"
        self._sum_name = f"llvm.vector.reduce.fadd.v{self.lanes}{suffix}"

    def load(self, array: Any, at: Any, element: ir.Type | None = None, align: int = 0) -> Any:
        kind = ir.VectorType(element, self.lanes) if element else self.vector
        return self.builder.load(
            self.builder.bitcast(self.builder.gep(array, [at]), kind.as_pointer()), align=align or self.bytes
        )

    def store(self, value: Any, array: Any, at: Any) -> None:
        place = self.builder.bitcast(self.builder.gep(array, [at]), self.vector.as_pointer())
        self.builder.store(value, place, align=self.bytes)

    def gather(self, array: Any, indices: Any) -> Any:
        places = _Elements(self.builder.block, self.number, array, indices)
        self.builder._insert(places)
        kind = ir.FunctionType(self.vector, [places.type, _I32, self._all.type, self.vector])
        function = cgutils.get_or_insert_function(self.builder.module, kind, self._gather_name)
        return self.builder.call(function, [places, ir.Constant(_I32, self.bytes), self._all, self.zero])

    def sum(self, value: Any) -> Any:
        kind = ir.FunctionType(self.number, [self.number, self.vector])
        function = cgutils.get_or_insert_function(self.builder.module, kind, self._sum_name)
        return self.builder.call(function, [ir.Constant(self.number, 0.0), value], fastmath=("reassoc",))

    def everywhere(self, number: Any) -> Any:
        first = self.builder.insert_element(
            ir.Constant(self.vector, ir.Undefined), number, ir.Constant(_I32, 0)
        )
        mask = ir.Constant(ir.VectorType(_I32, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, first, mask)

    def magnitude(self, value: Any) -> Any:
        kind = ir.FunctionType(self.vector, [self.vector])
        name = f"llvm.fabs.v{self.lanes}f{8 * self.bytes}"
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), [value])

    def product_and(self, left: Any, right: Any, added: Any) -> Any:
        """left * right + added, in one rounding where the processor can."""
        product = self.builder.fmul(left, right, flags=("contract",))
        return self.builder.fadd(product, added, flags=("contract",))

    def add_product(self, total: Any, left: Any, right: Any) -> None:
        """Add to the variable `total`, in one rounding where the processor can."""
        self.builder.store(self.product_and(left, right, self.builder.load(total)), total)


def _pointers(context: Any, builder: Any, kinds: Any, arrays: Any) -> list[Any]:
    return [
        context.make_array(kind)(context, builder, array).data
        for kind, array in zip(kinds, arrays, strict=True)
    ]


def _sliced(wide: bool) -> Any:
    """The code of a product of slices: a row a lane, or the whole slice one row."""

    def typed(_: Any, starts: Any, values: Any, columns: Any, x: Any, y: Any, first: Any, last: Any) -> Any:
        signature = types.void(starts, values, columns, x, y, types.intp, types.intp)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            starts_, values_, columns_, x_, y_ = _pointers(
                context, builder, signature.args[:5], arguments[:5]
            )
            vectors = _Vectors(context, builder, values.dtype)
            one, lanes = ir.Constant(_I64, 1), ir.Constant(_I64, vectors.lanes)
            total = cgutils.alloca_once_value(builder, vectors.zero)
            with cgutils.for_range_slice(builder, arguments[5], arguments[6], one) as (piece, _):
                begin = builder.load(builder.gep(starts_, [piece]))
                end = builder.load(builder.gep(starts_, [builder.add(piece, one)]))
                builder.store(vectors.zero, total)
                with cgutils.for_range_slice(builder, begin, end, one) as (step, _):
                    at = builder.mul(step, lanes)
                    column = vectors.load(columns_, at, _I32, 4)
                    vectors.add_product(total, vectors.load(values_, at), vectors.gather(x_, column))
                if wide:
                    builder.store(vectors.sum(builder.load(total)), builder.gep(y_, [piece]))
                else:
                    vectors.store(builder.load(total), y_, builder.mul(piece, lanes))
            return context.get_dummy_value()

        return signature, generate

    return typed


@intrinsic
def tall_product(
    typing: Any, starts: Any, values: Any, columns: Any, x: Any, y: Any, first: Any, last: Any
) -> Any:
    """y[s L + l] = Σ over steps j of slice s of values[j L + l] x[columns[j L + l]], L lanes a step.

    `starts` (slices + 1,) int64 counts steps; `columns` is int32; `values`, `x`, `y` are all float32
    or all float64 and contiguous; slices `first` to `last - 1` are written. Nothing is checked.
    """
    return _sliced(False)(typing, starts, values, columns, x, y, first, last)


@intrinsic
def wide_product(
    typing: Any, starts: Any, values: Any, columns: Any, x: Any, y: Any, first: Any, last: Any
) -> Any:
    """y[s] = Σ over steps j and lanes l of slice s of values[j L + l] x[columns[j L + l]].

    Arguments as those of `tall_product`.
    """
    return _sliced(True)(typing, starts, values, columns, x, y, first, last)


@intrinsic
def rows_product(
    typing: Any, starts: Any, values: Any, columns: Any, x: Any, y: Any, first: Any, last: Any
) -> Any:
    """y[8 i + l] = Σ over links k of row i of values[k] x[8 columns[k] + l]: eight vectors at once.

    `starts` (rows + 1,) int64 counts links; the rest as for `tall_product`.
    """
    signature = types.void(starts, values, columns, x, y, types.intp, types.intp)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        starts_, values_, columns_, x_, y_ = _pointers(context, builder, signature.args[:5], arguments[:5])
        vectors = _Vectors(context, builder, values.dtype)
        one, lanes = ir.Constant(_I64, 1), ir.Constant(_I64, vectors.lanes)
        total = cgutils.alloca_once_value(builder, vectors.zero)
        with cgutils.for_range_slice(builder, arguments[5], arguments[6], one) as (row, _):
            begin = builder.load(builder.gep(starts_, [row]))
            end = builder.load(builder.gep(starts_, [builder.add(row, one)]))
            builder.store(vectors.zero, total)
            with cgutils.for_range_slice(builder, begin, end, one) as (link, _):
                column = builder.sext(builder.load(builder.gep(columns_, [link])), _I64)
                value = vectors.everywhere(builder.load(builder.gep(values_, [link])))
                vectors.add_product(total, value, vectors.load(x_, builder.mul(column, lanes)))
            vectors.store(builder.load(total), y_, builder.mul(row, lanes))
        return context.get_dummy_value()

    return signature, generate


def _by_rows(arrays: int, code: Any) -> Any:
    """The code of a loop over rows of eight lanes: `code(vectors, at, row, pointers, number)` for each row.

    The first `arrays` arguments are arrays of one kind of float; then come a number, and the rows
    `first` to `last - 1`. What `code` returns, a vector a total, is summed over the rows and written
    to the last arrays, as many as there are totals.
    """

    def typed(kinds: tuple[Any, ...], totals: int) -> Any:
        signature = types.void(*kinds[:arrays], types.float64, types.intp, types.intp)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointers = _pointers(context, builder, signature.args[:arrays], arguments[:arrays])
            vectors = _Vectors(context, builder, kinds[0].dtype)
            number = context.cast(builder, arguments[arrays], types.float64, kinds[0].dtype)
            number = vectors.everywhere(number)
            one, lanes = ir.Constant(_I64, 1), ir.Constant(_I64, vectors.lanes)
            sums = [cgutils.alloca_once_value(builder, vectors.zero) for _ in range(totals)]
            for total in sums:
                builder.store(vectors.zero, total)
            with cgutils.for_range_slice(builder, *arguments[arrays + 1 :], one) as (row, _):
                terms = code(vectors, builder.mul(row, lanes), row, pointers, number)
                for total, term in zip(sums, terms, strict=True):
                    builder.store(builder.fadd(builder.load(total), term), total)
            for total, pointer in zip(sums, pointers[arrays - totals :], strict=True):
                vectors.store(builder.load(total), pointer, ir.Constant(_I64, 0))
            return context.get_dummy_value()

        return signature, generate

    return typed


def _rest(vectors: Any, at: Any, row: Any, pointers: Any, number: Any) -> Any:
    b, z, q, scale, _ = pointers
    new = vectors.product_and(number, vectors.load(q, at), vectors.load(b, at))
    vectors.store(new, q, at)
    away = vectors.magnitude(vectors.builder.fsub(new, vectors.load(z, at)))
    size = vectors.everywhere(vectors.builder.load(vectors.builder.gep(scale, [row])))
    return [vectors.builder.fmul(away, size)]


def _less(vectors: Any, at: Any, _: Any, pointers: Any, number: Any) -> Any:
    p, q, _ = pointers
    old = vectors.load(p, at)
    new = vectors.builder.fsub(old, vectors.builder.fmul(number, vectors.load(q, at)))
    vectors.store(new, q, at)
    return [vectors.builder.fmul(old, new)]


def _step(vectors: Any, at: Any, row: Any, pointers: Any, _: Any) -> Any:
    z, r, p, q, scale, lengths, _, _ = pointers
    length = vectors.load(lengths, ir.Constant(_I64, 0))
    vectors.store(vectors.product_and(length, vectors.load(p, at), vectors.load(z, at)), z, at)
    left = vectors.builder.fsub(vectors.load(r, at), vectors.builder.fmul(length, vectors.load(q, at)))
    vectors.store(left, r, at)
    size = vectors.everywhere(vectors.builder.load(vectors.builder.gep(scale, [row])))
    return [vectors.builder.fmul(left, left), vectors.builder.fmul(vectors.magnitude(left), size)]


def _turn(vectors: Any, at: Any, _: Any, pointers: Any, __: Any) -> Any:
    p, r, shares = pointers
    share = vectors.load(shares, ir.Constant(_I64, 0))
    vectors.store(vectors.product_and(share, vectors.load(p, at), vectors.load(r, at)), p, at)
    return []


@intrinsic
def rows_rest(
    typing: Any, b: Any, z: Any, q: Any, scale: Any, sizes: Any, damping: Any, first: Any, last: Any
) -> Any:
    """q = b + damping q; sizes[l] = Σ |q - z| scale over the rows, of eight vectors at once."""
    return _by_rows(5, _rest)((b, z, q, scale, sizes), 1)


@intrinsic
def rows_less(typing: Any, p: Any, q: Any, dots: Any, damping: Any, first: Any, last: Any) -> Any:
    """q = p - damping q; dots[l] = Σ p q over the rows, of eight vectors at once."""
    return _by_rows(3, _less)((p, q, dots), 1)


@intrinsic
def rows_step(
    typing: Any,
    z: Any,
    r: Any,
    p: Any,
    q: Any,
    scale: Any,
    lengths: Any,
    squares: Any,
    sizes: Any,
    unused: Any,
    first: Any,
    last: Any,
) -> Any:
    """z += lengths p; r -= lengths q; squares[l] = Σ r², sizes[l] = Σ |r| scale, of eight vectors at once."""
    return _by_rows(8, _step)((z, r, p, q, scale, lengths, squares, sizes), 2)


@intrinsic
def rows_turn(typing: Any, p: Any, r: Any, shares: Any, unused: Any, first: Any, last: Any) -> Any:
    """p = r + shares p, of eight vectors at once."""
    return _by_rows(3, _turn)((p, r, shares), 0)
