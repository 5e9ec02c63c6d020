"""Vectors of exponentials: what a compiled function needs for a softmax, built on `simd`: maxima, the rest of a row, and exp."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels._compute.simd import Lanes, Vector, emit_exponent, emit_splat, exp2_near_0, fma, splat, vector_pointer


def _first_lanes(builder: Any, vector: Vector, count: Any) -> Any:
    """Return which lanes are the first `count`."""
    whole = ir.VectorType(ir.IntType(64), vector.lanes)
    return builder.icmp_signed("<", ir.Constant(whole, list(range(vector.lanes))), emit_splat(builder, vector, count))


def _masked(builder: Any, name: str, vector: Vector, place: Any, result: Any, *operands: Any) -> Any:
    """Call LLVM's masked load or store of a vector."""
    kind = ir.FunctionType(result, [operand.type for operand in operands])
    full = f"llvm.masked.{name}.{vector.name}.p0{vector.name}"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, full), operands)


@intrinsic
def load_first(_, array, index, count, other):
    """Read the first `count` lanes of a vector from a contiguous array of one axis; the others hold `other`."""

    def generate(context, builder, sig, operands):
        vector, place = Vector(array.dtype), vector_pointer(context, builder, array, *operands[:2])
        mask, rest = _first_lanes(builder, vector, operands[2]), emit_splat(builder, vector, operands[3])
        return _masked(builder, "load", vector, place, vector.ir, place, ir.IntType(32)(vector.item), mask, rest)

    return Lanes(array.dtype)(array, types.intp, types.intp, array.dtype), generate


@intrinsic
def store_first(_, array, index, count, entries):
    """Write the first `count` lanes of a vector to a contiguous array of one axis."""

    def generate(context, builder, sig, operands):
        vector, place = Vector(array.dtype), vector_pointer(context, builder, array, *operands[:2])
        mask, align = _first_lanes(builder, vector, operands[2]), ir.IntType(32)(vector.item)
        _masked(builder, "store", vector, place, ir.VoidType(), operands[3], place, align, mask)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, entries), generate


@intrinsic
def power_of_two(_, n):
    """Return 2^(n - bias), where the low bits of n's significand hold a whole number n, and the exponent of 1 is the bias."""

    def generate(_, builder, sig, operands):
        vector = Vector(n.dtype)
        return builder.bitcast(emit_exponent(builder, vector, operands[0]), vector.ir)

    return n(n), generate


@intrinsic
def zero_below(_, a, b, this):
    """Return 0 in the lanes where a < b, whatever `this` is there, and `this` in the others, also where a is NaN."""

    def generate(_, builder, sig, operands):
        below = builder.fcmp_ordered("<", operands[0], operands[1])
        return builder.select(below, ir.Constant(operands[2].type, None), operands[2])

    return this(a, b, this), generate


def exp_constants(real: type[Any]) -> tuple[Any, ...]:
    """Return what `exp` takes for a dtype: the least exponent, log2(e), a number that rounds to whole ones, ln 2 in two parts.

    The first part of ln 2 has so few bits that its products with whole numbers are exact (Cody and Waite 1980, Software Manual
    for the Elementary Functions, chapter 6).
    """
    significand, least, bits = (23, -126, 15) if real is np.float32 else (52, -1022, 40)
    upper = math.floor(math.ldexp(math.log(2), bits)) / 2**bits
    lower = np.log(np.longdouble(2)) - upper
    return real(least * math.log(2)), real(1 / math.log(2)), real(1.5 * 2**significand - least + 1), real(-upper), real(-lower)


@njit(inline="always")
def exp(a, c):
    """Return e^a for a <= 0, and 0 where that is below the smallest normal number; NaN stays NaN.

    Adding 1.5 x 2^23 (float32) or 1.5 x 2^52 (float64) rounds a number to a whole one, which is then in its low bits.
    """
    rounder = splat(c[2])
    whole = fma(a, splat(c[1]), rounder)
    n = whole - rounder
    rest = fma(n, splat(c[4]), fma(n, splat(c[3]), a))
    return zero_below(a, splat(c[0]), exp2_near_0(rest * splat(c[1])) * power_of_two(whole))
