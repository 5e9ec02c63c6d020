"""guidance by broadcasting: all rows' lengths and factors at once."""

import numpy as np

from registry import register


def length(x):
    """Return rows' largest magnitudes and their lengths as multiples of those: no square overflows or vanishes."""
    largest = np.abs(x).max(axis=-1, keepdims=True, initial=0)
    largest = np.where(largest > 0, largest, 1).astype(x.dtype)
    return largest, np.sqrt(((x / largest) ** 2).sum(axis=-1, keepdims=True))


@register("guidance", "broadcast", batches=True, rank=30)
@np.errstate(all="ignore")
def guidance(unconditional, conditional, scale, rescale):
    guided = unconditional + scale * (conditional - unconditional)
    if rescale == 0:
        return guided
    (unit_c, of_c), (unit_g, of_g) = length(conditional), length(guided)
    return rescale * (unit_c * of_c) * (guided / unit_g / np.where(of_g == 0, 1, of_g)) + (1 - rescale) * guided
