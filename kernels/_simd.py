"""Explicit vectors for Numba: as many numbers as this machine's registers hold, where its own vectoriser would not see them."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features


def _register_bytes() -> int:
    features = get_host_cpu_features()
    return 64 if features.get("avx512f") else 32 if features.get("avx") else 16


BYTES = _register_bytes()


class Vector:
    """The vector of a Numba type of numbers."""

    def __init__(self, dtype: Any) -> None:
        self.lanes = BYTES * 8 // dtype.bitwidth
        self.ir = ir.VectorType(ir.FloatType() if dtype.bitwidth == 32 else ir.DoubleType(), self.lanes)
