"""The four weight functions, for NumPy arrays and tensors alike."""

from __future__ import annotations

from array_api_compat import array_namespace

from kernels._arrays import Array


def weights(q2: Array, kernel: str) -> Array:
    """Return the weight of each squared distance in bandwidths; the last axis runs over the data.

    A gaussian's weights are relative to its row's largest, so that they never all underflow, however far the data;
    past the square root of the largest number (1.8e19 bandwidths in float32) distances saturate and count alike.
    """
    xp = array_namespace(q2)
    if kernel == "gaussian":
        q2 = xp.clip(q2, max=xp.finfo(q2.dtype).max)
        return xp.exp((xp.min(q2, axis=-1, keepdims=True) - q2) / 2)
    if kernel == "triangular":
        return xp.clip(1 - xp.sqrt(q2), min=0)
    if kernel == "epanechnikov":
        return xp.clip(1 - q2, min=0)
    return xp.astype(q2 <= 1, q2.dtype)


def mean(weighted_sum: Array, total: Array) -> Array:
    """Divide, leaving 0 where no data had any weight."""
    xp = array_namespace(total)
    return weighted_sum / xp.where(total > 0, total, xp.ones_like(total))[..., None]
