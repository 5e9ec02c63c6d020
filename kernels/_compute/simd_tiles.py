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
def load_tile(_, array, like, vectors, row, column):  # type: ignore[no-untyped-def]
    """Read a tile whose first entry is array[row, column]."""

    def generate(context, builder, sig, operands):  # type: ignore[no-untyped-def]
        item = array.dtype.bitwidth // 8
        places = _tile(context, builder, array, operands[0], len(like), len(vectors), *operands[3:])
        return pack_tuple(context, builder, sig.return_type, [builder.load(place, align=item) for place in places])

    return types.UniTuple(Lanes(array.dtype), len(like))(array, like, vectors, types.intp, types.intp), generate


@intrinsic
def store_tile(_, array, vectors, row, column, tile):  # type: ignore[no-untyped-def]
    """Write a tile; its first entry becomes array[row, column]."""

    def generate(context, builder, sig, operands):  # type: ignore[no-untyped-def]
        item = array.dtype.bitwidth // 8
        places = _tile(context, builder, array, operands[0], len(tile), len(vectors), *operands[2:4])
        for place, entries in zip(places, unpack_tuple(builder, operands[4]), strict=True):
            builder.store(entries, place, align=item)
        return context.get_dummy_value()

    return types.void(array, vectors, types.intp, types.intp, tile), generate


def _over_tile(
    context: Any, builder: Any, array: Any, value: Any, row: Any, column: Any, sums: Any, vectors: Any, added: Any
) -> Any:
    """Replace each sum by added(array[row + r, column], vector, sum, r, v)."""
    sums, entries, word = unpack_tuple(builder, sums), unpack_tuple(builder, vectors), row.type
    for r in range(len(sums) // len(entries)):
        factor = builder.load(entry_pointer(context, builder, array, value, builder.add(row, word(r)), column))
        factor = emit_splat(builder, Vector(array.dtype), factor)
        for v, entry in enumerate(entries):
            sums[r * len(entries) + v] = added(factor, entry, sums[r * len(entries) + v], r, v)
    return sums


@intrinsic
def add_outer(_, tile, array, row, column, vectors):  # type: ignore[no-untyped-def]
    """Return tile[r, v] + array[row + r, column] vectors[v] for all r and v."""

    def generate(context, builder, sig, operands):  # type: ignore[no-untyped-def]
        sums, value, row, column, entries = operands

        def added(factor, entry, total, r, v):  # type: ignore[no-untyped-def]
            return emit_call(builder, "llvm.fmuladd", Vector(array.dtype), factor, entry, total)

        return pack_tuple(context, builder, tile, _over_tile(context, builder, array, value, row, column, sums, entries, added))

    return tile(tile, array, types.intp, types.intp, vectors), generate


@intrinsic
def add_squares(_, tile, array, row, column, vectors):  # type: ignore[no-untyped-def]
    """Return tile[r, v] + (vectors[v] - array[row + r, column])^2 for all r and v."""

    def generate(context, builder, sig, operands):  # type: ignore[no-untyped-def]
        sums, value, row, column, entries = operands

        def added(factor, entry, total, r, v):  # type: ignore[no-untyped-def]
            difference = builder.fsub(entry, factor)
            return emit_call(builder, "llvm.fmuladd", Vector(array.dtype), difference, difference, total)

        return pack_tuple(context, builder, tile, _over_tile(context, builder, array, value, row, column, sums, entries, added))

    return tile(tile, array, types.intp, types.intp, vectors), generate


@intrinsic
def add_distances(_, tile, array, row, column, vectors):  # type: ignore[no-untyped-def]
    """Return tile[r, v] + |vectors[v] - array[row + r, column]| for all r and v."""

    def generate(context, builder, sig, operands):  # type: ignore[no-untyped-def]
        sums, value, row, column, entries = operands

        def added(factor, entry, total, r, v):  # type: ignore[no-untyped-def]
            return builder.fadd(total, emit_call(builder, "llvm.fabs", Vector(array.dtype), builder.fsub(entry, factor)))

        return pack_tuple(context, builder, tile, _over_tile(context, builder, array, value, row, column, sums, entries, added))

    return tile(tile, array, types.intp, types.intp, vectors), generate


@intrinsic
def largest_distances(_, tile, array, row, column, vectors):  # type: ignore[no-untyped-def]
    """Return the larger of tile[r, v] and |vectors[v] - array[row + r, column]| for all r and v, and NaN where one of them is.

    No entry of the tile may be negative: such numbers are in the order of their bits, and NaN comes after infinity.
    """

    def generate(context, builder, sig, operands):  # type: ignore[no-untyped-def]
        sums, value, row, column, entries = operands
        vector, bits = Vector(array.dtype), array.dtype.bitwidth
        whole = ir.VectorType(ir.IntType(bits), vector.lanes)
        no_sign = ir.Constant(whole, [2 ** (bits - 1) - 1] * vector.lanes)

        def added(factor, entry, total, r, v):  # type: ignore[no-untyped-def]
            apart = builder.and_(builder.bitcast(builder.fsub(entry, factor), whole), no_sign)
            so_far = builder.bitcast(total, whole)
            return builder.bitcast(builder.select(builder.icmp_unsigned(">", apart, so_far), apart, so_far), vector.ir)

        return pack_tuple(context, builder, tile, _over_tile(context, builder, array, value, row, column, sums, entries, added))

    return tile(tile, array, types.intp, types.intp, vectors), generate


@intrinsic
def scaled_roots(_, tile, factor):  # type: ignore[no-untyped-def]
    """Return the square roots of a tile's entries, times a factor."""

    def generate(context, builder, sig, operands):  # type: ignore[no-untyped-def]
        vector = Vector(factor)
        factors = emit_splat(builder, vector, operands[1])
        roots = [emit_call(builder, "llvm.sqrt", vector, entries) for entries in unpack_tuple(builder, operands[0])]
        return pack_tuple(context, builder, tile, [builder.fmul(root, factors) for root in roots])

    return tile(tile, factor), generate


@intrinsic
def add_product(_, tile, weights, column, vectors, points, row, k):  # type: ignore[no-untyped-def]
    """Return tile[r, v] + weights[r, column] vectors[v] for all r and v."""

    def generate(context, builder, sig, operands):  # type: ignore[no-untyped-def]
        sums, value, column, entries, *_ = operands

        def added(factor, entry, total, r, v):  # type: ignore[no-untyped-def]
            return emit_call(builder, "llvm.fmuladd", Vector(weights.dtype), factor, entry, total)

        return pack_tuple(
            context, builder, tile, _over_tile(context, builder, weights, value, column.type(0), column, sums, entries, added)
        )

    return tile(tile, weights, types.intp, vectors, points, types.intp, types.intp), generate


@intrinsic
def add_weighted_differences(_, tile, weights, column, vectors, points, row, k):  # type: ignore[no-untyped-def]
    """Return tile[r, v] + weights[r, column] (vectors[v] - points[row + r, k:]) for all r and v."""

    def generate(context, builder, sig, operands):  # type: ignore[no-untyped-def]
        sums, value, column, entries, points_value, row, k = operands
        vector = Vector(weights.dtype)
        count, width = len(tile), len(vectors)
        places = _tile(context, builder, points, points_value, count, width, row, k)
        starts = [builder.load(place, align=points.dtype.bitwidth // 8) for place in places]

        def added(factor, entry, total, r, v):  # type: ignore[no-untyped-def]
            return emit_call(builder, "llvm.fmuladd", vector, factor, builder.fsub(entry, starts[r * width + v]), total)

        return pack_tuple(
            context, builder, tile, _over_tile(context, builder, weights, value, column.type(0), column, sums, entries, added)
        )

    return tile(tile, weights, types.intp, vectors, points, types.intp, types.intp), generate
