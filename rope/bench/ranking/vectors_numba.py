"""What numba does not say by itself: operations on vectors of LLVM, for the compiled loops beside this.

They are correct on any processor, and a few instructions each where it has AVX-512.

numba keeps what it has compiled beside the loops, where an upgrade leaves it, and by itself notices a change of their
own file alone. `compiled` makes it notice one of what they take from others: this file and `blocks`, nothing else.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import CellType, FunctionType
from typing import Any, Final

import numba
from llvmlite import ir
from numba import extending, types
from numba.core import cgutils

from rope.bench.ranking import blocks
from rope.bench.ranking.blocks import PADDING

__all__ = ["SIDE", "TILE_ROWS", "above", "add_tile", "compiled", "first_bit", "n_bits", "transpose_tile"]

INLINED: Final = hashlib.sha256(b"".join(Path(file).read_bytes() for file in (__file__, blocks.__file__))).hexdigest()
"""Of the files that loops take code and numbers from."""

SIDE = 16
"""Rows and columns that `transpose_tile` moves."""

TILE_ROWS = 6
"""Rows of `add_tile`: with 4 lines of 16 sums each, 24 of 32 registers hold sums."""

intrinsic: Any = extending.intrinsic  # its functions lose their first argument, which its types don't say

_LANES = 16
_LINES = PADDING // _LANES
_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_LINE = ir.VectorType(_I32, _LANES)
_SHORTS = ir.VectorType(_I16, 2 * _LANES)
_PRODUCTS = ir.VectorType(_I32, 2 * _LANES)


def compiled(**options: Any) -> Callable[[Any], Any]:  # noqa: ANN401 (as numba.njit)
    """`numba.njit` without the GIL, with what was compiled kept until the loop or `INLINED` changes.

    A kept loop is found by its file, its code and the values that it closes over, so it is made to close over this one.
    """

    def compile_later(loop: Any) -> Any:  # noqa: ANN401
        code = loop.__code__.replace(co_freevars=("inlined",))
        keyed = FunctionType(code, loop.__globals__, loop.__name__, loop.__defaults__, (CellType(INLINED),))
        keyed.__module__, keyed.__doc__, keyed.__qualname__ = loop.__module__, loop.__doc__, loop.__qualname__
        return numba.njit(nogil=True, cache=True, **options)(keyed)

    return compile_later


@intrinsic
def above(context, block, row, strip, limit):
    """Which of the `PADDING` values of a strip of a row are above a limit, as bits."""

    def generate(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        of_row = _row(builder, array, arguments[1])
        element = context.get_value_type(signature.args[0].dtype)
        values = ir.VectorType(element, PADDING)
        lines = builder.bitcast(of_row, values.as_pointer())
        line = builder.load(builder.gep(lines, [arguments[2]]), align=2)
        limits = _spread(builder, arguments[3], values)
        compare = builder.fcmp_ordered if isinstance(element, ir.FloatType) else builder.icmp_signed
        return builder.bitcast(compare(">", line, limits), _I64)

    return types.uint64(block, types.int64, types.int64, block.dtype), generate


@intrinsic
def n_bits(context, bits):
    """How many bits are set."""
    return types.int64(types.uint64), lambda context, builder, signature, given: builder.ctpop(given[0])


@intrinsic
def first_bit(context, bits):
    """The place of the lowest bit that is set; there is one."""
    return types.int64(types.uint64), lambda context, builder, signature, given: builder.cttz(
        given[0], ir.Constant(ir.IntType(1), 1)
    )


@intrinsic
def transpose_tile(context, block, top, left, result):
    """Copy `SIDE` rows and columns of a block to as many columns and rows of another."""

    def generate(context, builder, signature, arguments):
        source, target = (context.make_array(signature.args[i])(context, builder, arguments[i]) for i in (0, 3))
        pointer = ir.VectorType(context.get_value_type(signature.args[0].dtype), SIDE).as_pointer()

        def place(array, row, column):
            return builder.bitcast(builder.gep(_row(builder, array, row), [column]), pointer)

        rows = [
            builder.load(place(source, builder.add(arguments[1], _I64(i)), arguments[2]), align=2) for i in range(SIDE)
        ]
        for size in (8, 4, 2, 1):  # swap the upper right and the lower left quarter of squares of twice the size
            for i in (i for i in range(SIDE) if not i & size):
                first, second = rows[i], rows[i + size]
                upper = [SIDE + j - size if j & size else j for j in range(SIDE)]
                lower = [SIDE + j if j & size else j + size for j in range(SIDE)]
                rows[i] = _picked(builder, first, second, upper)
                rows[i + size] = _picked(builder, first, second, lower)
        for i, row in enumerate(rows):
            builder.store(row, place(target, builder.add(arguments[2], _I64(i)), arguments[1]), align=2)
        return context.get_dummy_value()

    return types.void(block, types.int64, types.int64, result), generate


@intrinsic
def add_tile(context, rows, columns, shift, sums):
    """Add products of `TILE_ROWS` rows and `PADDING` columns, shifted, to sums.

    Args:
        context: of numba.
        rows: int16 [TILE_ROWS, dim], an even number of dimensions.
        columns: int32 [dim / 2, PADDING], pairs of dimensions.
        shift: bits.
        sums: int32 [TILE_ROWS, PADDING].
    """
    return types.void(rows, columns, types.int32, sums), _generate_add_tile


def _generate_add_tile(context, builder, signature, arguments):
    rows, columns, sums = (context.make_array(signature.args[i])(context, builder, arguments[i]) for i in (0, 1, 3))
    lines, totals = (builder.bitcast(array.data, _LINE.as_pointer()) for array in (columns, sums))
    pairs = [builder.bitcast(_row(builder, rows, _I64(i)), _I32.as_pointer()) for i in range(TILE_ROWS)]
    nothing = ir.Constant(_LINE, None)
    added = [cgutils.alloca_once_value(builder, nothing) for _ in range(TILE_ROWS * _LINES)]  # become registers
    for place in added:
        builder.store(nothing, place)
    with cgutils.for_range(builder, builder.extract_value(columns.shape, 0)) as loop:
        first = builder.mul(loop.index, _I64(_LINES))
        right = [builder.load(builder.gep(lines, [builder.add(first, _I64(j))]), align=4) for j in range(_LINES)]
        for i in range(TILE_ROWS):
            left = _spread(builder, builder.load(builder.gep(pairs[i], [loop.index]), align=2), _LINE)
            for j in range(_LINES):
                place = added[i * _LINES + j]
                builder.store(builder.add(builder.load(place), _multiplied(builder, left, right[j])), place)
    shifts = _spread(builder, arguments[2], _LINE)
    for i, place in enumerate(added):
        total = builder.gep(totals, [_I64(i)])
        more = builder.ashr(builder.load(place), shifts)
        builder.store(builder.add(builder.load(total, align=4), more), total, align=4)
    return context.get_dummy_value()


def _multiplied(builder, left, right):
    """In each lane, the sum of two products of 16-bit numbers; with the addition that follows, one instruction."""
    wide = [builder.sext(builder.bitcast(line, _SHORTS), _PRODUCTS) for line in (left, right)]
    products = builder.mul(*wide)
    return builder.add(*(_picked(builder, products, products, range(half, 2 * _LANES, 2)) for half in (0, 1)))


def _row(builder, array, row):
    """Where a row begins, whose elements stand side by side."""
    start = builder.bitcast(array.data, _I8.as_pointer())
    offset = builder.mul(row, builder.extract_value(array.strides, 0))
    return builder.bitcast(builder.gep(start, [offset]), array.data.type)


def _spread(builder, value, kind):
    """A number in all lanes of a vector."""
    line = builder.insert_element(ir.Constant(kind, ir.Undefined), value, _I32(0))
    return _picked(builder, line, line, [0] * kind.count)


def _picked(builder, first, second, places):
    """Lanes of two vectors, those of the second numbered after those of the first."""
    places = list(places)
    return builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(_I32, len(places)), places))
