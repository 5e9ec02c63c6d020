"""The weights of pairs, for NumPy arrays and tensors alike."""

from __future__ import annotations

from array_api_compat import array_namespace

from kernels._arrays import Array
from kernels.meanshift_step import relative

__all__ = ["mean", "of_pairs", "relative", "with_weight"]


def of_pairs(q2: Array, kernel: str, v: Array | None = None) -> Array:
    """Return the kernel's weight of each squared distance in bandwidths, times that of the datum, if given.

    The last axis runs over the data. A gaussian's weights are relative to that of the nearest datum with any weight, so that they
    never all underflow, however far the data; past the square root of the largest number (1.8e19 bandwidths in float32)
    distances saturate and count alike.
    """
    if v is not None:
        xp = array_namespace(q2)
        if kernel == "gaussian":  # a datum without weight moves to the end of all distances, so that it is not the nearest
            q2 = xp.where(v > 0, q2, xp.full_like(q2, xp.inf))
        return v * of_pairs(q2, kernel)
    xp = array_namespace(q2)
    if kernel == "gaussian":
        q2 = xp.clip(q2, max=xp.finfo(q2.dtype).max)
        return xp.exp((xp.min(q2, axis=-1, keepdims=True) - q2) / 2)
    if kernel == "triangular":
        return xp.clip(1 - xp.sqrt(q2), min=0)
    if kernel == "epanechnikov":
        return xp.clip(1 - q2, min=0)
    return xp.astype(q2 <= 1, q2.dtype)


def with_weight(data: Array, weights: Array | None) -> tuple[Array, Array | None]:
    """Return the data that have any weight, and their weights relative to the largest, or None for None."""
    v = relative(weights)
    if v is None or bool((v > 0).all()):
        return data, v
    return data[v > 0], v[v > 0]


def mean(weighted_sum: Array, total: Array) -> Array:
    """Divide, leaving 0 where no data had any weight."""
    xp = array_namespace(total)
    return weighted_sum / xp.where(total > 0, total, xp.ones_like(total))[..., None]
