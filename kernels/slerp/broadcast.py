"""slerp by broadcasting: all rows' lengths, angles and weights at once."""

import numpy as np

from registry import register


def normalized(x):
    """Return rows over their lengths, and which of them have none; they are divided by their largest entry first."""
    largest = np.abs(x).max(axis=-1, keepdims=True, initial=0)
    scaled = x / np.where(largest > 0, largest, 1)
    size = np.sqrt((scaled**2).sum(axis=-1, keepdims=True))
    return scaled / np.where(size == 0, 1, size), size == 0


@register("slerp", "broadcast", batches=True, rank=30)
@np.errstate(all="ignore")
def slerp(a, b, t):
    (of_a, no_a), (of_b, no_b) = normalized(a), normalized(b)
    apart, together = (np.sqrt((rows**2).sum(axis=-1, keepdims=True)) for rows in (of_a - of_b, of_a + of_b))
    w = 2 * np.arctan2(apart, together)
    straight = no_a | no_b | (together == 0) | (w == 0)
    near, far = (np.where(straight, share, np.sin(share * w) / np.sin(w)).astype(a.dtype) for share in (1 - t, t))
    return near * a + far * b
