"""A row's Euclidean length in compiled code, as a power of two and a factor, so that no square overflows or vanishes."""

import math
from typing import Any

import numpy as np

from kernels._compute.jit import jit

SUMS = {"reassoc", "contract", "nsz"}  # a sum in any order may be made in a vector's lanes; NaN and infinities stay what they are


@jit(fastmath=SUMS, error_model="numpy")
def length(x: Any) -> tuple[Any, Any]:
    """Return a power of two and a factor from 1 to 2 whose product is the row's length.

    The factor of a row of zeros is 0. That of a row with a NaN or an infinity is NaN or infinite.
    """
    one, limits = x.dtype.type(1), np.finfo(x.dtype)
    total = x.dtype.type(0)
    for k in range(len(x)):
        total += x[k] * x[k]
    if limits.tiny / limits.eps**2 < total < limits.max * limits.eps:
        unit, factor = _parts(math.sqrt(total), one)
        return unit, factor
    largest = x.dtype.type(0)
    for k in range(len(x)):
        largest = max(largest, abs(x[k]))
    if not 0 < largest < np.inf:
        return one, total
    unit, _ = _parts(largest, one)
    total = x.dtype.type(0)
    for k in range(len(x)):
        total += (x[k] / unit) * (x[k] / unit)
    if not total < np.inf:
        return one, total
    unit, factor = _parts(math.sqrt(total), unit)
    return unit, factor


@jit
def _parts(size: Any, unit: Any) -> tuple[Any, Any]:
    """Return the largest power of two up to a number, times a unit, and what the number is of it."""
    factor, exponent = math.frexp(size)
    return math.ldexp(unit, exponent - 1), factor + factor
