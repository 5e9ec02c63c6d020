"""meanshift_step: one mean-shift update, which moves every point to the weighted mean of the data around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import numpy as np
from annotated_types import Gt, IsFinite
from array_api_compat import array_namespace

from kernels._arrays import dtype_name
from kernels._definition.numerics import precision_of
from kernels._definition.rounding import off_by, pivot, unit_roundoff, weighted_mean

if TYPE_CHECKING:
    from jaxtyping import Float

    from kernels._arrays import Array

Kernel = Literal["gaussian", "triangular", "epanechnikov", "flat"]
KERNELS = get_args(Kernel)
Bandwidth = Annotated[float, IsFinite, Gt(0)]

DEFAULTS = {"data": "x"}  # the blurring step: x moves towards itself
FINITE = ("x", "data", "weights")
NONNEGATIVE = ("weights",)
PROMOTES = False
ROWS = "n"
QUANTITIES = {"pairs": "n m", "dimensions": "d"}
RATE = "pairs"


def meanshift_step(
    x: Float[Array, "n d"],
    bandwidth: Bandwidth,
    *,
    data: Float[Array, "m d"] | None = None,
    weights: Float[Array, " m"] | None = None,
    kernel: Kernel = "gaussian",
) -> Float[Array, "n d"]:
    """One simultaneous mean-shift update: every point moves to the weighted mean of the data around it.

    With r_ij = |x_i - data_j|, q = r_ij / bandwidth, and the data's weights v_j,

        y_i = sum_j v_j w(q) data_j / sum_j v_j w(q)

    Every row reads the old `x`. A row with no data within a compact kernel's support stays where it is; a gaussian
    weighs the nearest points however far they are; past the square root of the largest number (1.8e19 bandwidths in
    float32) all distances count alike. Sums over the data of coordinates, and of differences, must be finite.

    Only the proportions of the weights matter. A datum of weight k counts as k data of weight 1, and one of weight 0 as if it
    were absent: all rows stay where they are if all weights are 0. So may a datum count whose weight is below the smallest
    normal number (1e-38 in float32) times the largest weight.

    Parameters
    ----------
    x : array, shape (n, d)
        The points to move. NumPy array, torch tensor, or anything that speaks DLPack; float32 or float64.
    bandwidth : float
        Finite and above 0, in the points' unit of length.
    data : array, shape (m, d), optional
        The points they move towards, of the same kind, device and dtype; `x` itself if not given (the blurring step).
    weights : array, shape (m,), optional
        The weight of each datum, finite and at least 0, of the same kind, device and dtype; 1 for each if not given.
    kernel : {"gaussian", "triangular", "epanechnikov", "flat"}
        w(q) is exp(-q^2/2), max(0, 1-q), max(0, 1-q^2), or 1 if q <= 1 else 0.
    check_finite : bool
        Whether to look for NaN, infinities and negative weights first; without, they give undefined results.

    Returns
    -------
    array, shape (n, d)
        Fresh memory, of `x`'s kind, dtype and device.

    Raises
    ------
    TypeError
        If an array or the bandwidth is not one, the arrays differ in kind or dtype, or the variant does not take the dtype.
    ValueError
        If shapes do not fit, the data is empty while `x` is not, points are not finite, or the bandwidth, a weight or the
        kernel is none of those above.

    References
    ----------
    Fukunaga and Hostetler 1975, The estimation of the gradient of a density function; Cheng 1995, Mean shift, mode
    seeking, and clustering, sections 2 and 3.
    """
    xp = array_namespace(x)
    differences = (x if data is None else data)[None, :, :] - x[:, None, :]
    q2 = xp.sum((differences / bandwidth) ** 2, axis=-1)
    return x + weighted_mean(of_pairs(q2, kernel, weights), differences)


def of_pairs(q2: Any, kernel: Kernel, weights: Any = None) -> Any:
    """Return the weights of pairs: the kernel's, times those of the data relative to the largest.

    A gaussian's are relative to that of the nearest datum that has any weight.

    Parameters
    ----------
    q2 : array, shape (n, m)
        Squared distances in bandwidths.
    """
    xp, v = array_namespace(q2), relative(weights)
    if v is None or not q2.shape[-1]:
        return of_kernel(q2, kernel)
    if kernel == "gaussian":  # a datum without weight moves to the farthest, so that it is not the nearest
        q2 = xp.where(v > 0, q2, xp.max(q2, axis=-1, keepdims=True))
    return v * of_kernel(q2, kernel)


def relative(weights: Any) -> Any:
    """Return the weights of data relative to the largest; None stays None."""
    if weights is None or not weights.shape[0]:
        return weights
    xp = array_namespace(weights)
    largest = xp.max(weights)
    return weights / pivot(xp.where(largest > 0, largest, xp.ones_like(largest)))


def of_kernel(q2: Any, kernel: Kernel) -> Any:
    """Return a kernel's weights at squared distances in bandwidths, (n, m); a gaussian's relative to the row's largest."""
    xp = array_namespace(q2)
    if kernel == "gaussian":
        return xp.exp((pivot(xp.min(q2, axis=-1, keepdims=True)) - q2) / 2) if q2.shape[-1] else q2
    if kernel == "triangular":
        return xp.maximum(1 - xp.sqrt(q2), xp.zeros_like(q2))
    if kernel == "epanechnikov":
        return xp.maximum(1 - q2, xp.zeros_like(q2))
    return xp.where(q2 <= 1, xp.ones_like(q2), xp.zeros_like(q2))


def validate(x: Array, bandwidth: float, *, data: Array, weights: Array | None, kernel: Kernel) -> None:
    """Refuse points without data, and a bandwidth that rounds to 0 or to infinity in the points' dtype."""
    if not data.shape[0] and x.shape[0]:
        raise ValueError(f"meanshift_step: argument data: expected at least one point for the {x.shape[0]} of x, got none")
    if 1e-37 < bandwidth < 1e38:
        return
    dtype = dtype_name(x.dtype)
    working = precision_of(dtype) if dtype in ("float32", "float64") else None
    if working and not working.tiny <= bandwidth <= working.largest:
        raise ValueError(
            f"meanshift_step: argument bandwidth: expected between {working.tiny:g} and {working.largest:g}, "
            f"the range of {dtype}, got {bandwidth}; rescale the points or use a wider dtype"
        )


def expansion(x: Any, bandwidth: float, *, data: Any, weights: Any, kernel: Kernel) -> Any:
    """Distances as |x|^2 + |y|^2 - 2xy and means of the data themselves, both after centring on the data's weighted mean."""
    xp = array_namespace(x)
    if not (x.shape[0] and data.shape[0]):
        return x
    centre = pivot(xp.mean(data, axis=0) if weights is None else weighted_mean(relative(weights), data))
    b, z = (x - centre) / bandwidth, (data - centre) / bandwidth
    q2 = xp.sum(b**2, axis=1)[:, None] + xp.sum(z**2, axis=1)[None, :] - 2 * (b @ z.T)
    w = of_pairs(xp.maximum(q2, 0), kernel, weights)
    moved = centre + weighted_mean(w, z) * bandwidth
    return xp.where((xp.sum(w, axis=1) == 0)[:, None], x, moved)


def plain(x: Any, bandwidth: float, *, data: Any, weights: Any, kernel: Kernel) -> Any:
    """The docstring's own formula: the mean of the data, not of their differences from the point."""
    xp = array_namespace(x)
    w = of_pairs(xp.sum(((data[None] - x[:, None]) / bandwidth) ** 2, axis=-1), kernel, weights)
    return xp.where((xp.sum(w, axis=1) == 0)[:, None], x, weighted_mean(w, data))


def truncated(x: Any, bandwidth: float, *, data: Any, weights: Any, kernel: Kernel) -> Any:
    """A gaussian whose far or approximated weights may move a point, for each of the data, by u times the bandwidth.

    Or by u times the width of all points, whichever is less. Each datum counts in proportion to its weight, the heaviest as 1;
    those without weight are absent. The other kernels are as in the class "working".

    To leave out a part of the data, or to approximate all kernel weights alike, moves a point in proportion to the weight of
    that data, and in inverse proportion to the kernel-weighted sum that is kept. In multiples of the largest weight, both are
    what they would be for so many data of that weight: so the rule for weights that are 1 stands for any others.
    """
    step = meanshift_step(x, bandwidth, data=data, weights=weights, kernel=kernel)
    v = np.ones(len(data)) if weights is None else weights.value
    if kernel != "gaussian" or not (x.size and v.any()):
        return step
    both = np.concatenate([x.value, data.value[v > 0]])
    return off_by(step, (v / v.max()).sum() * unit_roundoff(x) * min(bandwidth, np.ptp(both, axis=0).max()))


PRECISIONS = {"expansion": expansion, "plain": plain, "truncated": truncated}


def scale(x: Array, bandwidth: float, *, data: Array, weights: Array | None, kernel: Kernel) -> Any:
    """Return the width of all points in each coordinate, or their distance from the origin where all coincide."""
    both = np.concatenate([x, data]).astype(float)
    if not both.size:
        return 0.0
    width = np.ptp(both, axis=0)
    return np.where(width > 0, width, np.abs(both).max(axis=0))
