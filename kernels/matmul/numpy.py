"""matmul by NumPy, which hands float matrices to its BLAS."""

import math

import numpy as np

from registry import register

OF_BLAS = {*map(np.dtype, ("float32", "float64", "complex64", "complex128"))}


def joined(a, b):
    """Multiply a batch by one matrix: one product of all its rows."""
    if not a.flags.c_contiguous:
        return np.matmul(a, b)
    *batch, k = a.shape
    return a.reshape(math.prod(batch), k).dot(b).reshape(*batch, *b.shape[1:])


def by_shape(a, b):
    """Return which of NumPy's products serves arrays of such shapes and such a dtype, whatever they hold."""
    if b.ndim > 2 or a.dtype not in OF_BLAS:
        return np.matmul
    # The method dot hands the same matrices to the BLAS for half the price of a call. But as a multiple of another array, an
    # array of a single 0 makes zeros of infinities and NaN.
    if len(b) == 1 and 1 in (a.size, b.size):
        return np.multiply if a.ndim == b.ndim == 2 else np.matmul
    return np.ndarray.dot if a.ndim < 3 else joined


@register("matmul", "numpy", dtypes=("bool", "numeric", "object"), batches=True, rank=60)
def matmul(a, b):
    return by_shape(a, b)(a, b)


matmul.narrowed = by_shape  # type: ignore[attr-defined]
