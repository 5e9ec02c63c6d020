"""Tiles for compiled functions: a few rows of a few adjacent vectors, as one tuple that stays in the processor's registers.

An argument `like` or `tile` is a tuple with an entry for each vector of a tile, row after row. An argument `vectors` is a
tuple with an entry for each vector of one row. Where a function needs only their number, any tuple of that length will do.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from kernels._compute.simd import Lanes, Vector, emit_call, emit_splat, entry_pointer, pack_tuple, unpack_tuple


def _tile(context: Any, builder: Any, array: Any, value: Any, count: int, width: int, row: Any, column: Any) -> list[Any]:
    """Return the addresses of the vectors of array[row:, column:], `count` of them and `width` in a row."""
    vector, word = Vector(array.dtype), row.type
    starts = [
        entry_pointer(context, builder, array, value, builder.add(row, word(r)), builder.add(column, word(v * vector.lanes)))
        for r in range(count // width)
        for v in range(width)
    ]
    return [builder.bitcast(start, vector.ir.as_pointer()) for start in starts]


@intrinsic
def load_tile(_, array, like, vectors, row, column):
    """Read a tile whose first entry is array[row, column]."""

    def generate(context, builder, sig, operands):
        places = _tile(context, builder, array, operands[0], len(like), len(vectors), *operands[3:])
        item = Vector(array.dtype).item
        return pack_tuple(context, builder, sig.return_type, [builder.load(place, align=item) for place in places])

    return types.UniTuple(Lanes(array.dtype), len(like))(array, like, vectors, types.intp, types.intp), generate


@intrinsic
def store_tile(_, array, vectors, row, column, tile):
    """Write a tile; its first entry becomes array[row, column]."""

    def generate(context, builder, sig, operands):
        places = _tile(context, builder, array, operands[0], len(tile), len(vectors), *operands[2:4])
        for place, entries in zip(places, unpack_tuple(builder, operands[4]), strict=True):
            builder.store(entries, place, align=Vector(array.dtype).item)
        return context.get_dummy_value()

    return types.void(array, vectors, types.intp, types.intp, tile), generate


def _terms(context: Any, builder: Any, array: Any, value: Any, row: Any, column: Any, tile: Any, vectors: Any, term: Any) -> Any:
    """Return the tuple of term(array[row + r, column], vector, entry, r, v) for each entry of a tile and its vector."""
    entries, others, word = unpack_tuple(builder, tile), unpack_tuple(builder, vectors), row.type
    for r in range(len(entries) // len(others)):
        factor = builder.load(entry_pointer(context, builder, array, value, builder.add(row, word(r)), column))
        factor = emit_splat(builder, Vector(array.dtype), factor)
        for v, other in enumerate(others):
            place = r * len(others) + v
            entries[place] = term(factor, other, entries[place], r, v)
    return entries


def _over_tile(term: Any) -> Any:
    """Make a function of a tile, an array, a row, a column, and vectors, that returns a term for each entry of the tile.

    The term for tile[r, v] is made of array[row + r, column], repeated in every lane, of vectors[v], and of the entry itself.
    """

    def over_tile(_, tile, array, row, column, vectors):
        def generate(context, builder, sig, operands):
            entries, value, row, column, others = operands

            def made(factor, other, entry, r, v):
                return term(builder, Vector(array.dtype), factor, other, entry)

            terms = _terms(context, builder, array, value, row, column, entries, others, made)
            return pack_tuple(context, builder, tile, terms)

        return tile(tile, array, types.intp, types.intp, vectors), generate

    over_tile.__name__, over_tile.__qualname__, over_tile.__doc__ = term.__name__, term.__qualname__, term.__doc__
    return intrinsic(over_tile)


@_over_tile
def add_outer(builder: Any, vector: Vector, factor: Any, other: Any, total: Any) -> Any:
    """Return tile[r, v] + array[row + r, column] vectors[v] for all r and v.

    As two instructions, which become one: LLVM would unroll a loop of half as many, and then has too few registers for the tile.
    """
    return builder.fadd(total, builder.fmul(factor, other, flags=("contract",)), flags=("contract",))


@_over_tile
def add_squares(builder: Any, vector: Vector, factor: Any, other: Any, total: Any) -> Any:
    """Return tile[r, v] + (vectors[v] - array[row + r, column])^2 for all r and v."""
    difference = builder.fsub(other, factor)
    return emit_call(builder, "llvm.fmuladd", vector, difference, difference, total)


@_over_tile
def add_distances(builder: Any, vector: Vector, factor: Any, other: Any, total: Any) -> Any:
    """Return tile[r, v] + |vectors[v] - array[row + r, column]| for all r and v."""
    return builder.fadd(total, emit_call(builder, "llvm.fabs", vector, builder.fsub(other, factor)))


@_over_tile
def largest_distances(builder: Any, vector: Vector, factor: Any, other: Any, largest: Any) -> Any:
    """Return the larger of tile[r, v] and |vectors[v] - array[row + r, column]| for all r and v, and NaN where one of them is.

    No entry of the tile may be negative: such numbers are in the order of their bits, and NaN comes after infinity.
    """
    no_sign = ir.Constant(vector.bits, [2 ** (8 * vector.item - 1) - 1] * vector.lanes)
    apart = builder.and_(builder.bitcast(builder.fsub(other, factor), vector.bits), no_sign)
    so_far = builder.bitcast(largest, vector.bits)
    return builder.bitcast(builder.select(builder.icmp_unsigned(">", apart, so_far), apart, so_far), vector.ir)


@intrinsic
def scaled_roots(_, tile, factor):
    """Return the square roots of a tile's entries, times a factor."""

    def generate(context, builder, sig, operands):
        vector = Vector(factor)
        factors = emit_splat(builder, vector, operands[1])
        roots = [emit_call(builder, "llvm.sqrt", vector, entries) for entries in unpack_tuple(builder, operands[0])]
        return pack_tuple(context, builder, tile, [builder.fmul(root, factors) for root in roots])

    return tile(tile, factor), generate


@intrinsic
def add_product(_, tile, weights, column, vectors, points, row, k):
    """Return tile[r, v] + weights[r, column] vectors[v] for all r and v."""

    def generate(context, builder, sig, operands):
        sums, value, column, entries, *_ = operands

        def made(factor, other, total, r, v):
            return emit_call(builder, "llvm.fmuladd", Vector(weights.dtype), factor, other, total)

        terms = _terms(context, builder, weights, value, column.type(0), column, sums, entries, made)
        return pack_tuple(context, builder, tile, terms)

    return tile(tile, weights, types.intp, vectors, points, types.intp, types.intp), generate


@intrinsic
def add_weighted_differences(_, tile, weights, column, vectors, points, row, k):
    """Return tile[r, v] + weights[r, column] (vectors[v] - points[row + r, k:]) for all r and v."""

    def generate(context, builder, sig, operands):
        sums, value, column, entries, points_value, row, k = operands
        places = _tile(context, builder, points, points_value, len(tile), len(vectors), row, k)
        starts = [builder.load(place, align=Vector(points.dtype).item) for place in places]

        def made(factor, other, total, r, v):
            difference = builder.fsub(other, starts[r * len(vectors) + v])
            return emit_call(builder, "llvm.fmuladd", Vector(weights.dtype), factor, difference, total)

        terms = _terms(context, builder, weights, value, column.type(0), column, sums, entries, made)
        return pack_tuple(context, builder, tile, terms)

    return tile(tile, weights, types.intp, vectors, points, types.intp, types.intp), generate
