"""frobenius_norm by a loop over numbers: the largest so far, and the sum of all squares relative to its square.

References
----------
Anderson et al., LAPACK Users' Guide: the auxiliary routine xLASSQ of LAPACK up to 3.9, by Hammarling. Here numbers that are equal
to the largest are counted, so that infinities are not divided by each other.
"""

import numpy as np

from registry import register


@register("frobenius_norm", "loop", rank=10)
@np.errstate(all="ignore")
def frobenius_norm(x):
    largest = total = x.dtype.type(0)
    for row in x:
        for number in row:
            size = abs(number)
            if size > largest:
                total = 1 + total * (largest / size) ** 2
                largest = size
            elif size == largest:
                total += 1
            else:
                total += (size / largest) ** 2
    return largest * np.sqrt(total, dtype=x.dtype)
