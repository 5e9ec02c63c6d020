"""guidance by its definition: loops over numbers for the guided row, for the lengths, and for the result."""

import numpy as np

from registry import register


def length(x):
    """Return a row's largest number and its length as a multiple of that: no square overflows or vanishes."""
    largest = total = x.dtype.type(0)
    for number in x:
        largest = max(largest, abs(number))
    largest = largest if largest > 0 else x.dtype.type(1)
    for number in x:
        total += (number / largest) ** 2
    return largest, np.sqrt(total)


@register("guidance", "loop", rank=0)
@np.errstate(all="ignore")
def guidance(unconditional, conditional, scale, rescale):
    y = np.empty(conditional.shape, conditional.dtype)
    for k in range(len(y)):
        y[k] = unconditional[k] + scale * (conditional[k] - unconditional[k])
    if rescale == 0:
        return y
    (unit_c, of_c), (unit_g, of_g) = length(conditional), length(y)
    of_g = of_g if of_g != 0 else 1
    for k in range(len(y)):
        y[k] = rescale * unit_c * of_c * (y[k] / unit_g / of_g) + (1 - rescale) * y[k]
    return y
