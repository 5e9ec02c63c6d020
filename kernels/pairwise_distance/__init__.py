"""pairwise_distance: the distance of every point from every other, in one of four metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from array_api_compat import array_namespace

from kernels._definition.rounding import pivot

if TYPE_CHECKING:
    from jaxtyping import Float

    from kernels._arrays import Array

Metric = Literal["euclidean", "sqeuclidean", "cityblock", "chebyshev"]
METRICS = get_args(Metric)

DEFAULTS = {"y": "x"}  # the distances of points from each other
ROWS = "n"
QUANTITIES = {"pairs": "n m", "dimensions": "d"}
RATE = "pairs"


def pairwise_distance(
    x: Float[Array, "n d"], y: Float[Array, "m d"] | None = None, *, metric: Metric = "euclidean"
) -> Float[Array, "n m"]:
    """Distance of each point of x from each point of y, in the metrics that SciPy's cdist has by the same names.

    With a = |x_ik - y_jk| for each coordinate k, entry (i, j) of the result is

    - "euclidean": sqrt(sum_k a^2)
    - "sqeuclidean": sum_k a^2
    - "cityblock": sum_k a
    - "chebyshev": max_k a

    Coordinates are subtracted before anything else, so that points far from the origin, and near each other, keep the
    digits of their distance. A euclidean distance is right wherever it can be represented: its squares are scaled, so that none
    overflows or vanishes. A "sqeuclidean" distance is itself a square: it is infinite past the largest number, and loses digits
    below the smallest normal one. Points that are equal have distance 0; no other entry is set to 0, on the diagonal neither.

    A coordinate that is NaN, or two infinite ones of the same sign, make a distance NaN, in every metric. Otherwise an infinite
    coordinate makes it infinite. The class of error "expansion" takes finite points alone.

    Parameters
    ----------
    x : array, shape (n, d)
        Points. NumPy array, torch tensor, or anything that speaks DLPack; floating. Mixed dtypes promote.
    y : array, shape (m, d), optional
        Further points, of the same kind and device; `x` itself if not given. Any extent may be 0; with d = 0 distances are 0.
    metric : {"euclidean", "sqeuclidean", "cityblock", "chebyshev"}
        As above.

    Returns
    -------
    array, shape (n, m)
        Fresh memory, of the points' kind, promoted dtype and device.

    Raises
    ------
    TypeError
        If an array is none, the two are of different kinds, or the variant does not take their dtype.
    ValueError
        If an array has not two dimensions, the two differ in d, or the metric is none of those above.

    References
    ----------
    https://docs.scipy.org/doc/scipy/reference/generated/scipy.spatial.distance.cdist.html. Squares that neither overflow nor
    vanish: Blue 1978, A portable Fortran program to find the Euclidean norm of a vector.
    """
    xp = array_namespace(x)
    apart = xp.abs(x[:, None, :] - (x if y is None else y)[None, :, :])
    if metric == "sqeuclidean":
        return xp.sum(apart**2, axis=-1)
    if metric == "cityblock" or not x.shape[-1]:
        return xp.sum(apart, axis=-1)
    largest = xp.max(apart, axis=-1)
    if metric == "chebyshev":
        return largest
    unit = pivot(xp.where((largest > 0) & (largest < xp.inf), largest, xp.ones_like(largest)))
    return unit * xp.sqrt(xp.sum((apart / unit[..., None]) ** 2, axis=-1))


def expansion(x: Any, y: Any, *, metric: Metric) -> Any:
    """Squares as |x|^2 + |y|^2 - 2xy, of coordinates that are centred on the mean of y and then scaled; finite points alone.

    Both metrics without squares are as in the class "working".
    """
    xp = array_namespace(x)
    if metric not in ("euclidean", "sqeuclidean") or 0 in (*x.shape, *y.shape):
        return pairwise_distance(x, y, metric=metric)
    centre, unit = pivot(xp.mean(y, axis=0)), xp.maximum(xp.max(xp.abs(x)), xp.max(xp.abs(y)))
    unit = xp.where(unit > 0, unit, xp.ones_like(unit))
    a, b = (x - centre) / unit, (y - centre) / unit
    squares = xp.maximum(xp.sum(a**2, axis=1)[:, None] + xp.sum(b**2, axis=1)[None, :] - 2 * (a @ b.T), 0)
    return xp.sqrt(squares) * unit if metric == "euclidean" else squares * unit * unit


PRECISIONS = {"expansion": expansion}


def scale(x: Array, y: Array, *, metric: Metric) -> float:
    """Return the largest distance, or where all points coincide the largest from the origin: a wider bound says nothing."""
    x, y = (np.asarray(points).astype(float) for points in (x, y))
    with np.errstate(all="ignore"):
        for others in (y, np.zeros_like(y[:1])):
            distances = pairwise_distance(x, others, metric=metric)
            largest = float(distances[np.isfinite(distances)].max(initial=0.0))
            if largest > 0:
                return largest
    return np.inf
