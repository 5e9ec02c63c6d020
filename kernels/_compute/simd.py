"""Explicit vectors for Numba: as many numbers as a register of its target holds, where its own vectoriser would not see them.

A compiled function makes them with `load` and `splat`, adds, subtracts and multiplies them with Python's operators, and
uses the functions below for the rest. A point of d coordinates, for as many points as there are lanes, is a tuple of d.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model
from numba.np.arrayobj import make_array


def _register_bytes() -> int:
    """Ask what Numba compiles for, which the environment may set to less than this machine has (NUMBA_CPU_NAME=generic)."""
    _, _, features = cpu_target.target_context.codegen().magic_tuple()
    enabled = features.split(",")
    return 64 if "+avx512f" in enabled else 32 if "+avx" in enabled else 16


BYTES = _register_bytes()


class Vector:
    """The vector of a Numba type of numbers."""

    def __init__(self, dtype: Any) -> None:
        self.lanes = BYTES * 8 // dtype.bitwidth
        self.ir = ir.VectorType(ir.FloatType() if dtype.bitwidth == 32 else ir.DoubleType(), self.lanes)


class Lanes(types.Type):  # type: ignore[misc]
    """Numba's type of a vector of float32 or float64."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"Lanes({dtype}, {BYTES})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, lanes: Lanes) -> None:
        super().__init__(manager, lanes, Vector(lanes.dtype).ir)


def _arithmetic(function: Any, instruction: str) -> None:
    @infer_global(function)
    class _Template(AbstractTemplate):  # type: ignore[misc]
        def generic(self, args: Any, keywords: Any) -> Any:
            if len(args) == 2 and isinstance(args[0], Lanes) and args[0] == args[1]:
                return signature(args[0], *args)
            return None

    @lower_builtin(function, Lanes, Lanes)  # type: ignore[untyped-decorator]
    def _lower(context: Any, builder: Any, sig: Any, operands: Any) -> Any:
        return getattr(builder, instruction)(*operands, flags=("contract",))


for _function, _instruction in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul")):
    _arithmetic(_function, _instruction)


def _splat(builder: Any, vector: Vector, scalar: Any) -> Any:
    one = builder.insert_element(ir.Constant(vector.ir, ir.Undefined), scalar, ir.IntType(32)(0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), vector.lanes), None))


def _call(builder: Any, name: str, vector: Vector, *operands: Any, result: Any = None, **flags: Any) -> Any:
    suffix = f"v{vector.lanes}f{BYTES * 8 // vector.lanes}"
    kind = ir.FunctionType(result or vector.ir, [operand.type for operand in operands])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"{name}.{suffix}"), operands, **flags)


def _place(context: Any, builder: Any, array: Any, value: Any, row: Any, column: Any) -> Any:
    """Point to an entry of a C-contiguous matrix."""
    at = make_array(array)(context, builder, value)
    return builder.gep(at.data, [builder.add(builder.mul(row, builder.extract_value(at.shape, 1)), column)])


@intrinsic
def load(_, array, index):  # type: ignore[no-untyped-def]
    """Read the vector that begins at an index of a contiguous array of one axis."""

    def generate(context, builder, sig, operands):  # type: ignore[no-untyped-def]
        vector, start = Vector(array.dtype), make_array(array)(context, builder, operands[0]).data
        place = builder.bitcast(builder.gep(start, operands[1:]), vector.ir.as_pointer())
        return builder.load(place, align=BYTES // vector.lanes)

    return Lanes(array.dtype)(array, types.intp), generate


@intrinsic
def store(_, array, index, entries):  # type: ignore[no-untyped-def]
    """Write a vector to a contiguous array of one axis, from an index on."""

    def generate(context, builder, sig, operands):  # type: ignore[no-untyped-def]
        vector, start = Vector(array.dtype), make_array(array)(context, builder, operands[0]).data
        place = builder.bitcast(builder.gep(start, operands[1:2]), vector.ir.as_pointer())
        builder.store(operands[2], place, align=BYTES // vector.lanes)
        return context.get_dummy_value()

    return types.void(array, types.intp, entries), generate


@intrinsic
def splat(_, scalar):  # type: ignore[no-untyped-def]
    """Repeat a number in every lane."""
    return Lanes(scalar)(scalar), lambda _, builder, sig, operands: _splat(builder, Vector(sig.args[0]), operands[0])


@intrinsic
def fma(_, a, b, c):  # type: ignore[no-untyped-def]
    """Return a b + c, rounded once where the machine can."""
    return a(a, b, c), lambda _, builder, sig, operands: _call(builder, "llvm.fmuladd", Vector(a.dtype), *operands)


@intrinsic
def root(_, a):  # type: ignore[no-untyped-def]
    """Return square roots."""
    return a(a), lambda _, builder, sig, operands: _call(builder, "llvm.sqrt", Vector(a.dtype), *operands)


def _total(builder: Any, vector: Vector, entries: Any) -> Any:
    """Sum the lanes, by halves."""
    zero = ir.Constant(vector.ir.element, -0.0)
    return _call(builder, "llvm.vector.reduce.fadd", vector, zero, entries, result=vector.ir.element, fastmath=("reassoc",))


@intrinsic
def total_of(_, a):  # type: ignore[no-untyped-def]
    """Return the sum of the lanes."""
    return a.dtype(a), lambda _, builder, sig, operands: _total(builder, Vector(a.dtype), operands[0])


@intrinsic
def where_above(_, a, b, this):  # type: ignore[no-untyped-def]
    """Return `this` in the lanes where a > b, and 0 in the others, whatever `this` is there."""

    def generate(_, builder, sig, operands):  # type: ignore[no-untyped-def]
        above = builder.fcmp_ordered(">", operands[0], operands[1])
        return builder.select(above, operands[2], ir.Constant(operands[2].type, None))

    return this(a, b, this), generate


@intrinsic
def times_power_of_two(_, a, n):  # type: ignore[no-untyped-def]
    """Return a 2^n for normal results, with the whole number n in the low bits of n's significand."""

    def generate(_, builder, sig, operands):  # type: ignore[no-untyped-def]
        vector = Vector(a.dtype)
        bits, significand = (32, 23) if a.dtype.bitwidth == 32 else (64, 52)
        whole = ir.VectorType(ir.IntType(bits), vector.lanes)
        exponent = builder.shl(builder.bitcast(operands[1], whole), ir.Constant(whole, [significand] * vector.lanes))
        return builder.bitcast(builder.add(builder.bitcast(operands[0], whole), exponent), vector.ir)

    return a(a, n), generate


# 2^f for |f| <= 1/2 within 1.3 (float32) and 1.9 (float64) unit roundoffs, rounding aside: the polynomials of degree 5 and 10 of
# least relative error, found by the Remez exchange.
_EXP2 = {
    32: (1.00000007166747961, 0.693146967027096642, 0.240221196599806856, 0.0555071330802312988, 0.00967554480904540403,
         0.00132764692491094514),
    64: (1.00000000000000007, 0.693147180559949776, 0.240226506959087674, 0.0555041086644587449, 0.00961812910803469136,
         0.00133335582285764779, 0.000154035299610526655, 0.0000152526581073543605, 1.32156628555040606e-6,
         1.02085397551807178e-7, 7.03727805561027117e-9),
}  # fmt: skip


@intrinsic
def exp2_near_0(_, a):  # type: ignore[no-untyped-def]
    """Return 2^a for -1/2 <= a <= 1/2."""

    def generate(_, builder, sig, operands):  # type: ignore[no-untyped-def]
        vector = Vector(a.dtype)
        *others, value = [ir.Constant(vector.ir, [c] * vector.lanes) for c in _EXP2[a.dtype.bitwidth]]
        for coefficient in reversed(others):
            value = _call(builder, "llvm.fmuladd", vector, value, operands[0], coefficient)
        return value

    return a(a), generate


# Points: a tuple of vectors, one for each coordinate. `like` is any tuple of as many entries, so that d is known to the compiler.


def _tuple(context: Any, builder: Any, kind: Any, vectors: Any) -> Any:
    point = ir.Constant(context.get_value_type(kind), ir.Undefined)
    for k, vector in enumerate(vectors):
        point = builder.insert_value(point, vector, k)
    return point


def _each(builder: Any, point: Any) -> list[Any]:
    return [builder.extract_value(point, k) for k in range(point.type.count)]


def _column(context: Any, builder: Any, array: Any, value: Any, count: int, column: Any) -> list[Any]:
    return [_place(context, builder, array, value, column.type(k), column) for k in range(count)]


@intrinsic
def load_points(_, array, like, column):  # type: ignore[no-untyped-def]
    """Read array[:, column:], as many points as there are lanes."""

    def generate(context, builder, sig, operands):  # type: ignore[no-untyped-def]
        vector = Vector(array.dtype)
        places = _column(context, builder, array, operands[0], len(like), operands[2])
        rows = [builder.bitcast(place, vector.ir.as_pointer()) for place in places]
        loaded = [builder.load(row, align=BYTES // vector.lanes) for row in rows]
        return _tuple(context, builder, sig.return_type, loaded)

    return types.UniTuple(Lanes(array.dtype), len(like))(array, like, types.intp), generate


@intrinsic
def store_points(_, array, column, points):  # type: ignore[no-untyped-def]
    """Write array[:, column:], as many points as there are lanes."""

    def generate(context, builder, sig, operands):  # type: ignore[no-untyped-def]
        vector = Vector(array.dtype)
        places = _column(context, builder, array, operands[0], len(points), operands[1])
        for place, entries in zip(places, _each(builder, operands[2]), strict=True):
            builder.store(entries, builder.bitcast(place, vector.ir.as_pointer()), align=BYTES // vector.lanes)
        return context.get_dummy_value()

    return types.void(array, types.intp, points), generate


@intrinsic
def splat_point(_, array, like, column):  # type: ignore[no-untyped-def]
    """Read the point array[:, column], and repeat it in every lane."""

    def generate(context, builder, sig, operands):  # type: ignore[no-untyped-def]
        places = _column(context, builder, array, operands[0], len(like), operands[2])
        splats = [_splat(builder, Vector(array.dtype), builder.load(place)) for place in places]
        return _tuple(context, builder, sig.return_type, splats)

    return types.UniTuple(Lanes(array.dtype), len(like))(array, like, types.intp), generate


@intrinsic
def origin(_, array, like):  # type: ignore[no-untyped-def]
    """Return points of zeros."""
    kind = types.UniTuple(Lanes(array.dtype), len(like))
    return kind(array, like), lambda context, builder, sig, operands: context.get_constant_null(kind)


@intrinsic
def minus(_, a, b):  # type: ignore[no-untyped-def]
    """Return the differences of points."""

    def generate(context, builder, sig, operands):  # type: ignore[no-untyped-def]
        pairs = zip(*(_each(builder, point) for point in operands), strict=True)
        return _tuple(context, builder, sig.return_type, [builder.fsub(*pair) for pair in pairs])

    return a(a, b), generate


@intrinsic
def squared_length(_, a):  # type: ignore[no-untyped-def]
    """Return the squared distances of points from the origin."""

    def generate(context, builder, sig, operands):  # type: ignore[no-untyped-def]
        first, *others = _each(builder, operands[0])
        squares = builder.fmul(first, first)
        for other in others:
            squares = _call(builder, "llvm.fmuladd", Vector(a.dtype.dtype), other, other, squares)
        return squares

    return a.dtype(a), generate


@intrinsic
def add_weighted(_, sums, weight, points):  # type: ignore[no-untyped-def]
    """Return sums + weight * points."""

    def generate(context, builder, sig, operands):  # type: ignore[no-untyped-def]
        terms = zip(_each(builder, operands[2]), _each(builder, operands[0]), strict=True)
        added = [_call(builder, "llvm.fmuladd", Vector(weight.dtype), operands[1], entry, total) for entry, total in terms]
        return _tuple(context, builder, sig.return_type, added)

    return sums(sums, weight, points), generate


@intrinsic
def add_totals(_, array, column, points):  # type: ignore[no-untyped-def]
    """Add the sum of all lanes to array[:, column]."""

    def generate(context, builder, sig, operands):  # type: ignore[no-untyped-def]
        vector = Vector(array.dtype)
        places = _column(context, builder, array, operands[0], len(points), operands[1])
        for place, entries in zip(places, _each(builder, operands[2]), strict=True):
            builder.store(builder.fadd(builder.load(place), _total(builder, vector, entries)), place)
        return context.get_dummy_value()

    return types.void(array, types.intp, points), generate


# Tiles: rows of adjacent vectors, as one tuple. `vectors` is any tuple of as many entries as a row has.


def _tile(context: Any, builder: Any, array: Any, value: Any, count: int, width: int, row: Any, column: Any) -> list[Any]:
    vector, word = Vector(array.dtype), row.type
    starts = [
        _place(context, builder, array, value, builder.add(row, word(r)), builder.add(column, word(v * vector.lanes)))
        for r in range(count // width)
        for v in range(width)
    ]
    return [builder.bitcast(start, vector.ir.as_pointer()) for start in starts]


@intrinsic
def load_tile(_, array, like, vectors, row, column):  # type: ignore[no-untyped-def]
    """Read array[row:, column:], as many rows as `like` has entries for."""

    def generate(context, builder, sig, operands):  # type: ignore[no-untyped-def]
        item = array.dtype.bitwidth // 8
        places = _tile(context, builder, array, operands[0], len(like), len(vectors), *operands[3:])
        return _tuple(context, builder, sig.return_type, [builder.load(place, align=item) for place in places])

    return types.UniTuple(Lanes(array.dtype), len(like))(array, like, vectors, types.intp, types.intp), generate


@intrinsic
def store_tile(_, array, vectors, row, column, tile):  # type: ignore[no-untyped-def]
    """Write array[row:, column:]."""

    def generate(context, builder, sig, operands):  # type: ignore[no-untyped-def]
        item = array.dtype.bitwidth // 8
        places = _tile(context, builder, array, operands[0], len(tile), len(vectors), *operands[2:4])
        for place, entries in zip(places, _each(builder, operands[4]), strict=True):
            builder.store(entries, place, align=item)
        return context.get_dummy_value()

    return types.void(array, vectors, types.intp, types.intp, tile), generate


def _over_tile(
    context: Any, builder: Any, array: Any, value: Any, row: Any, column: Any, sums: Any, vectors: Any, added: Any
) -> Any:
    """Replace each sum by added(array[row + r, column], vector, sum, r, v)."""
    sums, entries, word = _each(builder, sums), _each(builder, vectors), row.type
    for r in range(len(sums) // len(entries)):
        factor = builder.load(_place(context, builder, array, value, builder.add(row, word(r)), column))
        factor = _splat(builder, Vector(array.dtype), factor)
        for v, entry in enumerate(entries):
            sums[r * len(entries) + v] = added(factor, entry, sums[r * len(entries) + v], r, v)
    return sums


@intrinsic
def add_outer(_, tile, array, row, column, vectors):  # type: ignore[no-untyped-def]
    """Return the tile plus the outer product of array[row:, column] and a row of vectors."""

    def generate(context, builder, sig, operands):  # type: ignore[no-untyped-def]
        sums, value, row, column, entries = operands

        def added(factor, entry, total, r, v):  # type: ignore[no-untyped-def]
            return _call(builder, "llvm.fmuladd", Vector(array.dtype), factor, entry, total)

        return _tuple(context, builder, tile, _over_tile(context, builder, array, value, row, column, sums, entries, added))

    return tile(tile, array, types.intp, types.intp, vectors), generate


@intrinsic
def add_squares(_, tile, array, row, column, vectors):  # type: ignore[no-untyped-def]
    """Return the tile plus the squared differences of a row of vectors and each of array[row:, column]."""

    def generate(context, builder, sig, operands):  # type: ignore[no-untyped-def]
        sums, value, row, column, entries = operands

        def added(factor, entry, total, r, v):  # type: ignore[no-untyped-def]
            difference = builder.fsub(entry, factor)
            return _call(builder, "llvm.fmuladd", Vector(array.dtype), difference, difference, total)

        return _tuple(context, builder, tile, _over_tile(context, builder, array, value, row, column, sums, entries, added))

    return tile(tile, array, types.intp, types.intp, vectors), generate


@intrinsic
def add_product(_, tile, weights, column, vectors, points, row, k):  # type: ignore[no-untyped-def]
    """Return the tile plus the outer product of weights[:, column] and a row of vectors."""

    def generate(context, builder, sig, operands):  # type: ignore[no-untyped-def]
        sums, value, column, entries, *_ = operands

        def added(factor, entry, total, r, v):  # type: ignore[no-untyped-def]
            return _call(builder, "llvm.fmuladd", Vector(weights.dtype), factor, entry, total)

        return _tuple(
            context, builder, tile, _over_tile(context, builder, weights, value, column.type(0), column, sums, entries, added)
        )

    return tile(tile, weights, types.intp, vectors, points, types.intp, types.intp), generate


@intrinsic
def add_pull(_, tile, weights, column, vectors, points, row, k):  # type: ignore[no-untyped-def]
    """Return the tile plus weights[r, column] times what leads from points[row + r, k:] to a row of vectors."""

    def generate(context, builder, sig, operands):  # type: ignore[no-untyped-def]
        sums, value, column, entries, points_value, row, k = operands
        vector = Vector(weights.dtype)
        count, width = len(tile), len(vectors)
        places = _tile(context, builder, points, points_value, count, width, row, k)
        starts = [builder.load(place, align=points.dtype.bitwidth // 8) for place in places]

        def added(factor, entry, total, r, v):  # type: ignore[no-untyped-def]
            return _call(builder, "llvm.fmuladd", vector, factor, builder.fsub(entry, starts[r * width + v]), total)

        return _tuple(
            context, builder, tile, _over_tile(context, builder, weights, value, column.type(0), column, sums, entries, added)
        )

    return tile(tile, weights, types.intp, vectors, points, types.intp, types.intp), generate
