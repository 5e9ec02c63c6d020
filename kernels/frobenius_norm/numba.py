"""frobenius_norm compiled: one parallel pass over the entries as they lie, and a scaled one where squares leave the range.

The entries are divided into chunks of one length, and each chunk's sum of squares is kept: so the number of cores changes no bit
of the result. A sum that is not finite, or so small that squares may have underflowed, is computed again from entries times
the power of two that brings the largest to about 1.
"""

import math
from functools import cache

import numpy as np
from numba import types
from numba.np.numpy_support import from_dtype

from kernels._compute.jit import jit
from kernels._compute.threads import parallel_for
from registry import register

CHUNK = 2**14  # entries
GRAIN = 2**19 // CHUNK  # chunks that are worth waking a thread


@jit(fastmath={"contract", "reassoc"})
def sum_squares(entries, scale, sums, start, stop):
    """Sum the squares of the scaled entries of some chunks."""
    for chunk in range(start, stop):
        own, total = entries[chunk * CHUNK : (chunk + 1) * CHUNK], entries.dtype.type(0)
        for i in range(len(own)):
            scaled = own[i] * scale
            total += scaled * scaled
        sums[chunk] = total


@cache
def compiled(dtype):
    """Compile once for a dtype. The entries' type is read-only, which a writable array may be passed for as well."""
    number = from_dtype(dtype)
    return sum_squares.compile((types.Array(number, 1, "C", readonly=True), number, number[::1], types.intp, types.intp))


def total_of_squares(entries, scale):
    sums, add_up = np.empty(-(-len(entries) // CHUNK), entries.dtype), compiled(entries.dtype)
    parallel_for(lambda start, stop: add_up(entries, scale, sums, start, stop), len(sums), GRAIN)
    return sums.sum()


@register("frobenius_norm", "numba", requires=("numba",), rank=70)
@np.errstate(all="ignore")
def frobenius_norm(x):
    entries, real, limits = np.ravel(x, order="K"), x.dtype.type, np.finfo(x.dtype)
    if not len(entries):
        return real(0)
    total = total_of_squares(entries, real(1))
    if len(entries) * limits.tiny / limits.eps < total < np.inf:
        return np.sqrt(total)
    largest = max(entries.max(), -entries.min())
    if not 0 < largest < np.inf:  # a NaN is either
        return largest
    _, exponent = math.frexp(largest)
    exponent = min(max(exponent, limits.minexp), limits.maxexp - 2)  # of a number whose reciprocal is a normal number too
    return np.sqrt(total_of_squares(entries, real(2.0**-exponent))) * real(2.0**exponent)
