"""outer product by Einstein summation: C_ij = a_i b_j."""

import numpy as np

from registry import register


@register("outer", "einsum", dtypes=("bool", "numeric"), limits={"function": ("multiply",)}, rank=20)
def outer(a, b, function):
    if not len(b):  # NumPy 2.4's einsum writes complex numbers of long doubles past such a result, into others' memory
        return np.empty((len(a), 0), a.dtype)
    return np.einsum("i,j->ij", a, b)
