"""Points for compiled functions: as many points as a vector has lanes, as a tuple of one vector for each coordinate.

The arrays hold a row for each coordinate and a column for each point: shape (d, n). The argument `like` is any tuple of d
entries: the compiler reads the number of coordinates off its type, and unrolls the loops over them.
"""

from __future__ import annotations

from typing import Any

from numba import njit, types
from numba.extending import intrinsic

from kernels._compute.simd import Lanes, Vector, emit_call, emit_splat, emit_sum, entry_pointer, pack_tuple, unpack_tuple
from kernels._compute.simd_tiles import load_tile, store_tile


def _column(context: Any, builder: Any, array: Any, value: Any, count: int, column: Any) -> list[Any]:
    """Return the addresses of array[:count, column]."""
    return [entry_pointer(context, builder, array, value, column.type(k), column) for k in range(count)]


@njit(inline="always")
def load_points(array, like, column):
    """Read the points in the columns of an array from `column` on, as many as there are lanes."""
    return load_tile(array, like, (0,), 0, column)


@njit(inline="always")
def store_points(array, column, points):
    """Write points to the columns of an array from `column` on, as many as there are lanes."""
    store_tile(array, (0,), 0, column, points)


@intrinsic
def splat_point(_, array, like, column):
    """Read the one point in a column of an array, and repeat it in every lane."""

    def generate(context, builder, sig, operands):
        places = _column(context, builder, array, operands[0], len(like), operands[2])
        splats = [emit_splat(builder, Vector(array.dtype), builder.load(place)) for place in places]
        return pack_tuple(context, builder, sig.return_type, splats)

    return types.UniTuple(Lanes(array.dtype), len(like))(array, like, types.intp), generate


@intrinsic
def origin(_, array, like):
    """Return points whose coordinates are all 0."""
    kind = types.UniTuple(Lanes(array.dtype), len(like))
    return kind(array, like), lambda context, builder, sig, operands: context.get_constant_null(kind)


@intrinsic
def minus(_, a, b):
    """Return a - b, coordinate by coordinate."""

    def generate(context, builder, sig, operands):
        pairs = zip(*(unpack_tuple(builder, point) for point in operands), strict=True)
        return pack_tuple(context, builder, sig.return_type, [builder.fsub(*pair) for pair in pairs])

    return a(a, b), generate


@intrinsic
def squared_length(_, a):
    """Return the squared distance of each point from the origin, as one vector."""

    def generate(context, builder, sig, operands):
        first, *others = unpack_tuple(builder, operands[0])
        squares = builder.fmul(first, first)
        for other in others:
            squares = emit_call(builder, "llvm.fmuladd", Vector(a.dtype.dtype), other, other, squares)
        return squares

    return a.dtype(a), generate


@intrinsic
def add_weighted(_, sums, weight, points):
    """Return sums + weight * points; the weight is one vector."""

    def generate(context, builder, sig, operands):
        terms = zip(unpack_tuple(builder, operands[2]), unpack_tuple(builder, operands[0]), strict=True)
        added = [emit_call(builder, "llvm.fmuladd", Vector(weight.dtype), operands[1], entry, total) for entry, total in terms]
        return pack_tuple(context, builder, sig.return_type, added)

    return sums(sums, weight, points), generate


@intrinsic
def add_totals(_, array, column, points):
    """Add up the lanes of each coordinate, and add these sums to a column of an array."""

    def generate(context, builder, sig, operands):
        vector = Vector(array.dtype)
        places = _column(context, builder, array, operands[0], len(points), operands[1])
        for place, entries in zip(places, unpack_tuple(builder, operands[2]), strict=True):
            builder.store(builder.fadd(builder.load(place), emit_sum(builder, vector, entries)), place)
        return context.get_dummy_value()

    return types.void(array, types.intp, points), generate
