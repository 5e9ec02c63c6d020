"""Vectors for compiled functions: a new type for Numba, that holds as many numbers as a register of the processor.

Numba's compiler vectorises some loops by itself. A kernel uses this type where the compiler would not. A compiled function
makes a vector with `load` or `splat`; it adds, subtracts and multiplies vectors with Python's operators, and calls the
functions below for everything else. `simd_points` and `simd_tiles` build on this file.
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
    """Return how many bytes a register has on the processor that Numba compiles for (NUMBA_CPU_NAME may name a lesser one)."""
    _, _, features = cpu_target.target_context.codegen().magic_tuple()
    enabled = features.split(",")
    return 64 if "+avx512f" in enabled else 32 if "+avx" in enabled else 16


BYTES = _register_bytes()


class Vector:
    """LLVM's type of a vector of Numba's float32 or float64."""

    def __init__(self, dtype: Any) -> None:
        self.item = dtype.bitwidth // 8  # the bytes of a lane, to which the vectors of an array are aligned
        self.lanes = BYTES // self.item
        self.name = f"v{self.lanes}f{dtype.bitwidth}"  # as LLVM's functions for such vectors have it in their names
        self.ir = ir.VectorType(ir.FloatType() if dtype.bitwidth == 32 else ir.DoubleType(), self.lanes)
        self.bits = ir.VectorType(ir.IntType(dtype.bitwidth), self.lanes)


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

    @lower_builtin(function, Lanes, Lanes)
    def _lower(context: Any, builder: Any, sig: Any, operands: Any) -> Any:
        return getattr(builder, instruction)(*operands, flags=("contract",))


for _function, _instruction in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul")):
    _arithmetic(_function, _instruction)


# The functions that generate LLVM's code for the intrinsics of this file, and of the files that build on it.


def emit_splat(builder: Any, vector: Vector, scalar: Any) -> Any:
    """Repeat a number in every lane."""
    undefined = ir.Constant(ir.VectorType(scalar.type, vector.lanes), ir.Undefined)
    one = builder.insert_element(undefined, scalar, ir.IntType(32)(0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), vector.lanes), None))


def emit_call(builder: Any, name: str, vector: Vector, *operands: Any, result: Any = None, **flags: Any) -> Any:
    """Call LLVM's function of this name for vectors."""
    kind = ir.FunctionType(result or vector.ir, [operand.type for operand in operands])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"{name}.{vector.name}"), operands, **flags)


def emit_sum(builder: Any, vector: Vector, entries: Any) -> Any:
    """Sum the lanes of a vector, in an order that LLVM chooses when it compiles: it adds the halves of the vector."""
    zero = ir.Constant(vector.ir.element, -0.0)
    return emit_call(builder, "llvm.vector.reduce.fadd", vector, zero, entries, result=vector.ir.element, fastmath=("reassoc",))


def emit_exponent(builder: Any, vector: Vector, n: Any) -> Any:
    """Return, as bits, the vector whose exponent is in the low bits of n's significand, and whose significand is 0."""
    digits = ir.Constant(vector.bits, [23 if vector.item == 4 else 52] * vector.lanes)  # of a significand
    return builder.shl(builder.bitcast(n, vector.bits), digits)


def entry_pointer(context: Any, builder: Any, array: Any, value: Any, row: Any, column: Any) -> Any:
    """Return the address of an entry of a C-contiguous matrix."""
    at = make_array(array)(context, builder, value)
    return builder.gep(at.data, [builder.add(builder.mul(row, builder.extract_value(at.shape, 1)), column)])


def vector_pointer(context: Any, builder: Any, array: Any, value: Any, index: Any) -> Any:
    """Return the address of a vector whose first lane is array[index], for a contiguous array of one axis."""
    start = make_array(array)(context, builder, value).data
    return builder.bitcast(builder.gep(start, [index]), Vector(array.dtype).ir.as_pointer())


def pack_tuple(context: Any, builder: Any, kind: Any, vectors: Any) -> Any:
    """Make a tuple of some vectors."""
    packed = ir.Constant(context.get_value_type(kind), ir.Undefined)
    for k, vector in enumerate(vectors):
        packed = builder.insert_value(packed, vector, k)
    return packed


def unpack_tuple(builder: Any, packed: Any) -> list[Any]:
    """Return the vectors of a tuple."""
    return [builder.extract_value(packed, k) for k in range(packed.type.count)]


@intrinsic
def load(_, array, index):
    """Read a vector from a contiguous array of one axis; its first lane is array[index]."""

    def generate(context, builder, sig, operands):
        place = vector_pointer(context, builder, array, *operands)
        return builder.load(place, align=Vector(array.dtype).item)

    return Lanes(array.dtype)(array, types.intp), generate


@intrinsic
def store(_, array, index, entries):
    """Write a vector to a contiguous array of one axis; its first lane becomes array[index]."""

    def generate(context, builder, sig, operands):
        place = vector_pointer(context, builder, array, *operands[:2])
        builder.store(operands[2], place, align=Vector(array.dtype).item)
        return context.get_dummy_value()

    return types.void(array, types.intp, entries), generate


@intrinsic
def splat(_, scalar):
    """Repeat a number in every lane."""
    return Lanes(scalar)(scalar), lambda _, builder, sig, operands: emit_splat(builder, Vector(sig.args[0]), operands[0])


@intrinsic
def fma(_, a, b, c):
    """Return a b + c: rounded once where the processor has such an instruction, and otherwise twice."""
    return a(a, b, c), lambda _, builder, sig, operands: emit_call(builder, "llvm.fmuladd", Vector(a.dtype), *operands)


@intrinsic
def root(_, a):
    """Return the square root of each lane."""
    return a(a), lambda _, builder, sig, operands: emit_call(builder, "llvm.sqrt", Vector(a.dtype), *operands)


@intrinsic
def total_of(_, a):
    """Return the sum of the lanes."""
    return a.dtype(a), lambda _, builder, sig, operands: emit_sum(builder, Vector(a.dtype), operands[0])


@intrinsic
def larger(_, a, b):
    """Return the larger number of each lane, and that of `b` where one is NaN."""

    def generate(_, builder, sig, operands):
        return builder.select(builder.fcmp_ordered(">", *operands), *operands)

    return a(a, b), generate


@intrinsic
def largest_of(_, a):
    """Return the largest of the lanes, none of which is NaN."""

    def generate(_, builder, sig, operands):
        vector = Vector(a.dtype)
        return emit_call(builder, "llvm.vector.reduce.fmax", vector, *operands, result=vector.ir.element, fastmath=("nnan",))

    return a.dtype(a), generate


@intrinsic
def where_above(_, a, b, this):
    """Return `this` in the lanes where a > b, and 0 in the others, whatever `this` is there."""

    def generate(_, builder, sig, operands):
        above = builder.fcmp_ordered(">", operands[0], operands[1])
        return builder.select(above, operands[2], ir.Constant(operands[2].type, None))

    return this(a, b, this), generate


@intrinsic
def times_power_of_two(_, a, n):
    """Return a 2^n, where the low bits of n's significand hold the whole number n. The result must not be subnormal."""

    def generate(_, builder, sig, operands):
        vector = Vector(a.dtype)
        exponent = emit_exponent(builder, vector, operands[1])
        return builder.bitcast(builder.add(builder.bitcast(operands[0], vector.bits), exponent), vector.ir)

    return a(a, n), generate


# Coefficients of polynomials in f that approximate 2^f for |f| <= 1/2, of degree 5 for float32 and of degree 10 for float64. The
# Remez exchange found them: their relative error, 1.3 (float32) and 1.9 (float64) unit roundoffs, is the least for their degree.
_EXP2 = {
    32: (1.00000007166747961, 0.693146967027096642, 0.240221196599806856, 0.0555071330802312988, 0.00967554480904540403,
         0.00132764692491094514),
    64: (1.00000000000000007, 0.693147180559949776, 0.240226506959087674, 0.0555041086644587449, 0.00961812910803469136,
         0.00133335582285764779, 0.000154035299610526655, 0.0000152526581073543605, 1.32156628555040606e-6,
         1.02085397551807178e-7, 7.03727805561027117e-9),
}  # fmt: skip


@intrinsic
def exp2_near_0(_, a):
    """Return 2^a for -1/2 <= a <= 1/2."""

    def generate(_, builder, sig, operands):
        vector = Vector(a.dtype)
        *others, value = [ir.Constant(vector.ir, [c] * vector.lanes) for c in _EXP2[a.dtype.bitwidth]]
        for coefficient in reversed(others):
            value = emit_call(builder, "llvm.fmuladd", vector, value, operands[0], coefficient)
        return value

    return a(a), generate
