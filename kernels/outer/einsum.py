"""outer product by Einstein summation: C_ij = a_i b_j."""

import numpy as np

from registry import register


@register("outer", "einsum", dtypes=("bool", "numeric"), limits={"function": ("multiply",)}, rank=20)
def outer(a, b, function):
    return np.einsum("i,j->ij", a, b)
