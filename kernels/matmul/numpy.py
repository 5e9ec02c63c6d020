"""matmul by NumPy, which hands float matrices to its BLAS."""

import numpy as np

from registry import register

OF_BLAS = {*map(np.dtype, ("float32", "float64", "complex64", "complex128"))}


@register("matmul", "numpy", dtypes=("bool", "numeric", "object"), batches=True, rank=60)
def matmul(a, b):
    # The method dot hands the same matrices to the BLAS for half the price of a call. But as a multiple of another array, an
    # array of a single 0 makes zeros of infinities and NaN.
    if a.ndim < 3 > b.ndim and a.dtype in OF_BLAS and (len(b) != 1 or ((a.size != 1 or a.item()) and (b.size != 1 or b.item()))):
        return a.dot(b)
    return np.matmul(a, b)
