"""Explicit vectors for Numba: values of as many lanes as this machine's registers hold, where its own vectoriser sees none.

Each function is one instruction of LLVM, which breaks it up where the hardware is narrower.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba.core import types
from numba.core.datamodel import models, register_default
from numba.extending import intrinsic
from numba.np.arrayobj import make_array


def _register_bytes() -> int:
    features = get_host_cpu_features()
    return 64 if features.get("avx512f") else 32 if features.get("avx") else 16


BYTES = _register_bytes()


class Vector(types.Type):
    """Numba's type of a vector of float32 or float64."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        self.lanes = BYTES * 8 // dtype.bitwidth
        self.ir = ir.VectorType(ir.FloatType() if dtype.bitwidth == 32 else ir.DoubleType(), self.lanes)
        super().__init__(f"Vector({dtype}, {self.lanes})")


@register_default(Vector)
class _Model(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, kind.ir)


def _place(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    return builder.gep(make_array(kind)(context, builder, array).data, [index])


@intrinsic  # type: ignore[untyped-decorator]
def load(_: Any, array: Any, index: Any) -> Any:
    """Return the vector that begins at an index of a contiguous array of one axis."""
    kind = Vector(array.dtype)

    def generate(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
        place = _place(context, builder, signature.args[0], *operands)
        return builder.load(builder.bitcast(place, kind.ir.as_pointer()), align=array.dtype.bitwidth // 8)

    return kind(array, types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]
def store(_: Any, array: Any, index: Any, vector: Any) -> Any:
    """Write a vector to a contiguous array of one axis, from an index on."""

    def generate(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
        place = _place(context, builder, signature.args[0], *operands[:2])
        builder.store(operands[2], builder.bitcast(place, vector.ir.as_pointer()), align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate
