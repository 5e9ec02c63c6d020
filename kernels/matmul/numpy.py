"""matmul by NumPy, which hands float matrices to its BLAS."""

import math

import numpy as np

from registry import register

FEW = 4096  # entries that dot multiplies by a single one in less time than multiply
OF_BLAS = {*map(np.dtype, ("float32", "float64", "complex64", "complex128"))}


def joined(a, b):
    """Multiply a batch by one matrix: one product of all its rows."""
    if not a.flags.c_contiguous:
        return np.matmul(a, b)
    *batch, k = a.shape
    return a.reshape(math.prod(batch), k).dot(b).reshape(*batch, *b.shape[1:])


def by_single_a(a, b):
    """Multiply by an array of a single entry; where that is 0, dot makes zeros of infinities and NaN."""
    return a.dot(b) if a else np.matmul(a, b)


def by_single_b(a, b):
    """Do the same with the operands the other way round."""
    return a.dot(b) if b else np.matmul(a, b)


by_single_a.of_numpy = by_single_b.of_numpy = True  # type: ignore[attr-defined]


def by_shape(a, b):
    """Return which of NumPy's products serves arrays of such shapes and such a dtype, whatever they hold."""
    if b.ndim > 2 or a.dtype not in OF_BLAS:
        return np.matmul
    if a.ndim > 2:
        return joined
    # The method dot hands the same matrices to the BLAS for half the price of a call.
    if len(b) > 1 or 1 not in (a.size, b.size):
        return np.ndarray.dot
    # A multiple of an array: for one entry, and for many, which dot writes twice, multiply is faster.
    if a.ndim == b.ndim == 2 and not 1 < max(a.size, b.size) <= FEW:
        return np.multiply
    return by_single_a if a.size == 1 else by_single_b


@register("matmul", "numpy", dtypes=("bool", "numeric", "object"), batches=True, rank=60)
def matmul(a, b):
    return by_shape(a, b)(a, b)


matmul.narrowed = by_shape  # type: ignore[attr-defined]
