"""Explicit vectors for Numba: a value of as many lanes as this machine's registers hold, where its own vectoriser would not see one.

A vector comes from `load` or `splat`; `+`, `-` and `*` work lane by lane, and so do the functions below. Each is one
instruction of LLVM (`exp2` a dozen), which breaks it up where the hardware is narrower: no result depends on more than `lanes`.
Tuples of vectors hold points, one coordinate each.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba.core import types
from numba.core.datamodel import models, register_default
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic
from numba.np.arrayobj import make_array


def _register_bytes() -> int:
    features = get_host_cpu_features()
    return 64 if features.get("avx512f") else 32 if features.get("avx") else 16


BYTES = _register_bytes()


def lanes(dtype: Any) -> int:
    """Return how many numbers of a dtype a vector holds on this machine."""
    return BYTES // int(np.dtype(dtype).itemsize)


class Vector(types.Type):
    """Numba's type of a vector of float32 or float64."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        self.lanes = BYTES * 8 // dtype.bitwidth
        self.ir = ir.VectorType(ir.FloatType() if dtype.bitwidth == 32 else ir.DoubleType(), self.lanes)
        self.integers = ir.VectorType(ir.IntType(dtype.bitwidth), self.lanes)
        super().__init__(f"Vector({dtype}, {self.lanes})")

    def constant(self, value: float) -> Any:
        """Return a vector with one value in all lanes."""
        return ir.Constant(self.ir, [value] * self.lanes)


FLOAT32, FLOAT64 = Vector(types.float32), Vector(types.float64)


@register_default(Vector)
class _Model(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, kind.ir)


def _lanewise(operation: Any, name: str) -> None:
    @infer_global(operation)
    class _(ConcreteTemplate):  # type: ignore[misc]
        cases = [signature(kind, kind, kind) for kind in (FLOAT32, FLOAT64)]

    @lower_builtin(operation, Vector, Vector)
    def lower(_context: Any, builder: Any, _signature: Any, operands: Any) -> Any:
        return getattr(builder, name)(*operands)


for _operation, _name in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul")):
    _lanewise(_operation, _name)


def _call(builder: Any, name: str, kind: Vector, *operands: Any) -> Any:
    """Call LLVM's intrinsic function of that name."""
    mangled = f"llvm.{name}.v{kind.lanes}f{kind.dtype.bitwidth}"
    declared = ir.FunctionType(kind.ir, [kind.ir] * len(operands))
    return builder.call(builder.module.globals.get(mangled) or ir.Function(builder.module, declared, mangled), operands)


def _splat(builder: Any, kind: Vector, scalar: Any) -> Any:
    one = builder.insert_element(ir.Constant(kind.ir, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), kind.lanes), None)
    return builder.shuffle_vector(one, ir.Constant(kind.ir, ir.Undefined), zeros)


def _place(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    """Return a pointer into a C-contiguous array of one axis or two, from an index or a pair; the sign of an index means nothing."""
    array = make_array(kind)(context, builder, array)
    if kind.ndim == 2:
        row, column = _parts(builder, index, 2)
        index = builder.add(builder.mul(row, builder.extract_value(array.shape, 1)), column)
    return builder.gep(array.data, [index])


def _parts(builder: Any, value: Any, count: int) -> list[Any]:
    return [builder.extract_value(value, i) for i in range(count)]


def _index(array: Any) -> Any:
    return types.UniTuple(types.intp, 2) if array.ndim == 2 else types.intp


@intrinsic  # type: ignore[misc]
def load(_: Any, array: Any, index: Any) -> Any:
    """Return the vector that begins at an index of a C-contiguous array; two axes take a pair of indices."""
    kind = Vector(array.dtype)

    def generate(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
        place = _place(context, builder, signature.args[0], *operands)
        return builder.load(builder.bitcast(place, kind.ir.as_pointer()), align=array.dtype.bitwidth // 8)

    return kind(array, _index(array)), generate


@intrinsic  # type: ignore[misc]
def store(_: Any, array: Any, index: Any, vector: Any) -> Any:
    """Write a vector to a C-contiguous array, from an index on."""

    def generate(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
        place = _place(context, builder, signature.args[0], *operands[:2])
        builder.store(operands[2], builder.bitcast(place, vector.ir.as_pointer()), align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, _index(array), vector), generate


@intrinsic  # type: ignore[misc]
def splat(_: Any, scalar: Any) -> Any:
    """Return a vector with one number in all lanes."""
    kind = Vector(scalar)
    return kind(scalar), lambda context, builder, signature, operands: _splat(builder, kind, *operands)


@intrinsic  # type: ignore[misc]
def fma(_: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a b + c, rounded once."""
    return a(a, a, a), lambda context, builder, signature, operands: _call(builder, "fma", a, *operands)


@intrinsic  # type: ignore[misc]
def sqrt(_: Any, a: Any) -> Any:
    """Return the square roots."""
    return a(a), lambda context, builder, signature, operands: _call(builder, "sqrt", a, *operands)


@intrinsic  # type: ignore[misc]
def maximum(_: Any, a: Any, b: Any) -> Any:
    """Return the larger of two, the second where one is NaN."""

    def generate(_context: Any, builder: Any, _signature: Any, operands: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *operands), *operands)

    return a(a, a), generate


@intrinsic  # type: ignore[misc]
def minimum(_: Any, a: Any, b: Any) -> Any:
    """Return the smaller of two, the second where one is NaN."""

    def generate(_context: Any, builder: Any, _signature: Any, operands: Any) -> Any:
        return builder.select(builder.fcmp_ordered("<", *operands), *operands)

    return a(a, a), generate


@intrinsic  # type: ignore[misc]
def at_most(_: Any, a: Any, b: Any) -> Any:
    """Return 1 where a <= b, else 0."""

    def generate(_context: Any, builder: Any, _signature: Any, operands: Any) -> Any:
        return builder.select(builder.fcmp_ordered("<=", *operands), a.constant(1.0), a.constant(0.0))

    return a(a, a), generate


@intrinsic  # type: ignore[misc]
def largest_like(_: Any, a: Any) -> Any:
    """Return the largest finite number in all lanes."""
    value = float(np.finfo(str(a.dtype)).max)
    return a(a), lambda context, builder, signature, operands: a.constant(value)


# 2^f between -1/2 and 1/2: the interpolant at Chebyshev's nodes, its relative error 1.7 and 2.6 unit roundoffs (Trefethen,
# Approximation Theory and Approximation Practice, chapter 2).
_POWERS_OF_TWO = {
    32: [
        1.0000000754548972,
        0.6931471880262288,
        0.2402210748530834,
        0.05550357114219078,
        0.009676031918322054,
        0.0013390863364671234,
    ],
    64: [
        *(1.0, 0.69314718055995, 0.24022650695910097, 0.05550410866444772, 0.009618129107606888, 0.0013333558230164974),
        *(0.0001540353044173605, 1.5252657260200837e-05, 1.321544258792169e-06, 1.0208690299958306e-07, 7.072585949269223e-09),
    ],
}


@intrinsic  # type: ignore[misc]
def exp2(_: Any, t: Any) -> Any:
    """Return 2^t for t up to 0; 0 for t below -127 (-1023 in float64).

    The whole part of t goes to the exponent as an integer: adding 1.5 2^23 leaves it in the last bits of the sum. At the floor the
    exponent's field becomes 0 over a significand of 1, which is the number 0; nothing is denormal but beside the floor.
    """
    bits, digits, floor = (32, 23, -127.0) if t.dtype.bitwidth == 32 else (64, 52, -1023.0)

    def generate(_context: Any, builder: Any, _signature: Any, operands: Any) -> Any:
        floored = builder.select(builder.fcmp_ordered(">", operands[0], t.constant(floor)), operands[0], t.constant(floor))
        magic = t.constant(1.5 * 2.0**digits)
        shifted = builder.fadd(floored, magic)
        fraction = builder.fsub(floored, builder.fsub(shifted, magic))
        *lower, value = (t.constant(c) for c in _POWERS_OF_TWO[bits])
        for coefficient in reversed(lower):
            value = _call(builder, "fma", t, value, fraction, coefficient)
        whole = builder.shl(builder.bitcast(shifted, t.integers), ir.Constant(t.integers, [digits] * t.lanes))
        return builder.bitcast(builder.add(builder.bitcast(value, t.integers), whole), t.ir)

    return t(t), generate


# Points: tuples of vectors, and of arrays with one coordinate each


@intrinsic  # type: ignore[misc]
def zeros_like(_: Any, point: Any) -> Any:
    """Return the origin."""

    def generate(context: Any, builder: Any, _signature: Any, _operands: Any) -> Any:
        return context.make_tuple(builder, point, [kind.constant(0.0) for kind in point])

    return point(point), generate


@intrinsic  # type: ignore[misc]
def load_point(_: Any, arrays: Any, index: Any) -> Any:
    """Return as many points as there are lanes, from an index on."""
    point = types.UniTuple(Vector(arrays.dtype.dtype), len(arrays))

    def generate(context: Any, builder: Any, _signature: Any, operands: Any) -> Any:
        kind = point.dtype
        values = []
        for array in _parts(builder, operands[0], len(arrays)):
            place = _place(context, builder, arrays.dtype, array, operands[1])
            values.append(builder.load(builder.bitcast(place, kind.ir.as_pointer()), align=kind.dtype.bitwidth // 8))
        return context.make_tuple(builder, point, values)

    return point(arrays, types.intp), generate


@intrinsic  # type: ignore[misc]
def store_point(_: Any, array: Any, point: Any) -> Any:
    """Write points to the first rows of a C-contiguous array, a row for each coordinate."""

    def generate(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
        rows, kind = make_array(signature.args[0])(context, builder, operands[0]), point.dtype
        for k, part in enumerate(_parts(builder, operands[1], len(point))):
            place = builder.gep(rows.data, [builder.mul(builder.extract_value(rows.shape, 1), ir.Constant(builder.extract_value(rows.shape, 1).type, k))])
            builder.store(part, builder.bitcast(place, kind.ir.as_pointer()), align=kind.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, point), generate


@intrinsic  # type: ignore[misc]
def towards(_: Any, point: Any, arrays: Any, index: Any) -> Any:
    """Return the differences from points to the one at an index."""

    def generate(context: Any, builder: Any, _signature: Any, operands: Any) -> Any:
        differences = []
        for here, array in zip(_parts(builder, operands[0], len(point)), _parts(builder, operands[1], len(point)), strict=True):
            there = builder.load(_place(context, builder, arrays.dtype, array, operands[2]))
            differences.append(builder.fsub(_splat(builder, point.dtype, there), here))
        return context.make_tuple(builder, point, differences)

    return point(point, arrays, types.intp), generate


@intrinsic  # type: ignore[misc]
def squared_norm(_: Any, point: Any, unit: Any) -> Any:
    """Return the squared lengths in units of 1 / `unit`; scaled before they are squared, so that no square leaves the range."""

    def generate(_context: Any, builder: Any, _signature: Any, operands: Any) -> Any:
        scaled = [builder.fmul(part, operands[1]) for part in _parts(builder, operands[0], len(point))]
        total = builder.fmul(scaled[0], scaled[0])
        for part in scaled[1:]:
            total = _call(builder, "fma", unit, part, part, total)
        return total

    return unit(point, unit), generate


@intrinsic  # type: ignore[misc]
def add_scaled(_: Any, point: Any, factor: Any, step: Any) -> Any:
    """Return the points plus factor times another."""

    def generate(context: Any, builder: Any, _signature: Any, operands: Any) -> Any:
        parts = zip(_parts(builder, operands[0], len(point)), _parts(builder, operands[2], len(point)), strict=True)
        return context.make_tuple(builder, point, [_call(builder, "fma", factor, operands[1], b, a) for a, b in parts])

    return point(point, factor, step), generate
