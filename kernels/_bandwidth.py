"""A bandwidth for mean shift, estimated from how far from the points a part of the data lies.

References
----------
Cheng 1995, Mean shift, mode seeking, and clustering. Marron and Nolan 1988, Canonical kernels in density estimation, for
bandwidths of different kernels.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from array_api_compat import is_dask_array
from scipy.spatial.distance import cdist
from sklearn.utils import check_array
from sklearn.utils._param_validation import Interval, StrOptions, validate_params
from sklearn.utils.random import sample_without_replacement
from sklearn.utils.validation import _check_sample_weight

Array = np.ndarray[Any, Any]

KERNELS = ("gaussian", "triangular", "epanechnikov", "flat")
DTYPES = [np.float64, np.float32]
# A flat kernel of this bandwidth smooths as much as a gaussian of bandwidth 1: it climbs the density that Epanechnikov's kernel
# estimates (Cheng 1995, section 3), and the two estimates agree at the canonical bandwidths 1.7188 and 0.7764 (Marron and Nolan).
FLAT_PER_GAUSSIAN = 1.7188 / 0.7764
BLOCK = 2**22  # distances that are held at a time


@validate_params(
    {
        "X": ["array-like"],
        "quantile": [Interval(Real, 0, 1, closed="both")],
        "kernel": [StrOptions(set(KERNELS))],
        "n_samples": [Interval(Integral, 1, None, closed="left"), None],
        "sample_weight": ["array-like", None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)  # type: ignore[untyped-decorator]
def estimate_bandwidth(
    X: Any,
    *,
    quantile: float = 0.3,
    kernel: str = "gaussian",
    n_samples: int | None = 2000,
    sample_weight: Any = None,
    random_state: Any = 0,
) -> Any:
    """Estimate a bandwidth: the mean over the points of the radius within which a part of the data lies.

    It is scikit-learn's rule, but holds no more than some millions of distances at a time, and looks at a sample of the points.

    Parameters
    ----------
    X : array-like, shape (n_samples, n_features)
        The points. Of a dask array only the sample is computed.
    quantile : float
        The part of the data, from 0 to 1. With 1/3 and a compact kernel it is the lecture's rule: the bandwidth that covers a
        third of the data.
    kernel : {"gaussian", "triangular", "epanechnikov", "flat"}
        A compact kernel's bandwidth is the radius. A gaussian's is the one that smooths as a flat kernel of that radius does.
    n_samples : int or None
        How many points are looked at, drawn at random where there are more; all of them if None, in time that is quadratic.
    sample_weight : array-like, shape (n_samples,), optional
        How many points each row stands for. If their mean, without zeros, is below 1, they are multiplied to make it 1.
    random_state : int, RandomState or None
        For the sample.

    Returns
    -------
    float
        0 where so large a part of the data coincides with each point.
    """
    if is_dask_array(X):
        if sample_weight is not None or n_samples is None:
            raise ValueError(
                "estimate_bandwidth: a dask array's comes from a sample of rows without weights: give n_samples alone"
            )
        X = X[_sample(len(X), n_samples, random_state)].compute()
    X = check_array(X, dtype=DTYPES, input_name="X")
    weights = None
    if sample_weight is not None:
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        X, weights = X[weights > 0], weights[weights > 0]
    if n_samples is not None and n_samples < len(X):
        chosen = _sample(len(X), n_samples, random_state)
        X, weights = X[chosen], weights if weights is None else weights[chosen]
    n = len(X)
    blocks = np.array_split(X, -(-n * n // BLOCK))
    if weights is None:
        nearest = max(1, int(n * quantile)) - 1
        radius = sum(np.partition(cdist(some, X), nearest, axis=1)[:, nearest].sum() for some in blocks) / n
    else:
        weights = weights / min(1, weights.mean())
        radii = np.concatenate([_radii(cdist(some, X), weights, quantile) for some in blocks])
        radius = np.average(radii, weights=weights)
    return radius / (FLAT_PER_GAUSSIAN if kernel == "gaussian" else 1)


def _sample(n: int, most: int, random_state: Any) -> Array:
    """Return some of n rows in their order, in memory that does not grow with n."""
    chosen: Array = np.sort(sample_without_replacement(n, min(n, most), random_state=random_state))
    return chosen


def _radii(distances: Array, weights: Array, quantile: float) -> Array:
    """Return how far, in each row of distances, points go of which so many as they weigh are a part of all."""
    order = np.argsort(distances, axis=1)
    within = np.cumsum(weights[order], axis=1)
    fewer = within < max(1, int(within[0, -1] * quantile))
    last = np.minimum(fewer.sum(axis=1), len(weights) - 1)
    radii: Array = np.take_along_axis(distances, np.take_along_axis(order, last[:, None], axis=1), axis=1)[:, 0]
    return radii
