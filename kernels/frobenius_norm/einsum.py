"""frobenius_norm by Einstein summation of the entries over the largest: the square root of sum_ij Y_ij Y_ij."""

import numpy as np

from registry import register


@register("frobenius_norm", "einsum", rank=40)
@np.errstate(all="ignore")
def frobenius_norm(x):
    largest = np.abs(x).max(initial=0)
    if largest in (0, np.inf):
        return largest
    y = x / largest
    return largest * np.sqrt(np.einsum("ij,ij->", y, y))
