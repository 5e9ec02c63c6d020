"""Matrix products of numbers that are known within a bound, and the rounding of their sums."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kernels._definition.moving import Rounded, full
from kernels._definition.numerics import BFLOAT16, Precision


def gammas(counts: Any, unit: float) -> Any:
    """Return gamma of each count, and infinity from where it means nothing."""
    product = counts * unit
    return np.where(product < 1, product / np.where(product < 1, 1 - product, 1), np.inf)


def inner(a: Rounded, b: Rounded, share: float, accumulator: Precision | None = None) -> Rounded:
    """Return a matrix product, in the accumulator's format where it is another, whose sums are off by a share of |A||B|.

    Processors' dot products of bfloat16 take operands and sums below the smallest normal number as zeros.

    References
    ----------
    Intel 2018, BFLOAT16 - Hardware Numerics Definition, section 2; VDPBF16PS.
    """
    format = accumulator or a.format
    least = format.subnormal
    if format == BFLOAT16:
        a, b = (_without_subnormal(each) for each in (a, b))
        least = 2 * format.tiny  # of a product, and of the sum so far
    size_a, size_b = np.abs(a.value), np.abs(b.value)
    sizes = full(a.magnitude, a) @ full(b.magnitude, b)

    def carried(of_a: Any, of_b: Any) -> Any:
        total = size_a @ full(of_b, b) if np.any(of_b) else 0.0
        return total + full(of_a, a) @ (size_b + of_b) if np.any(of_a) else total

    error, drift = carried(a.error, b.error), carried(a.drift, b.drift)
    with np.errstate(invalid="ignore"):
        # Each part of a complex product is made of two products, and each of those may underflow.
        each = 2 * math.sqrt(2) if np.iscomplexobj(a.value) or np.iscomplexobj(b.value) else 1
        underflow = each * a.value.shape[-1] * least
        error = error + share * sizes + underflow * (sizes > 0)  # a sum of zeros is exact
        error = np.where(sizes < a.format.largest, error, np.inf)  # past that, whether it overflows depends on the order
        return type(a)(a.value @ b.value, error, format=format, drift=drift)


def _without_subnormal(x: Rounded) -> Rounded:
    """Return an operand each of whose entries below the smallest normal number may be taken as zero."""
    size = np.abs(x.value)
    return type(x)(x.value, x.error + np.where(size < x.format.tiny, size, 0), format=x.format, drift=x.drift)
