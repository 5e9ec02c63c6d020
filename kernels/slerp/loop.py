"""slerp by its definition: loops over numbers for the lengths, for the angle, and for the result."""

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


@register("slerp", "loop", rank=0)
@np.errstate(all="ignore")
def slerp(a, b, t):
    (unit_a, of_a), (unit_b, of_b) = length(a), length(b)
    apart = together = a.dtype.type(0)
    for p, q in zip(a, b, strict=True):
        apart += (p / unit_a / of_a - q / unit_b / of_b) ** 2
        together += (p / unit_a / of_a + q / unit_b / of_b) ** 2
    w = 2 * np.arctan2(np.sqrt(apart), np.sqrt(together))
    near, far = a.dtype.type(1 - t), a.dtype.type(t)
    if not (of_a == 0 or of_b == 0 or w == 0 or together == 0):
        near, far = np.sin(near * w) / np.sin(w), np.sin(far * w) / np.sin(w)
    y = np.empty(a.shape, a.dtype)
    for k in range(len(a)):
        y[k] = near * a[k] + far * b[k]
    return y
