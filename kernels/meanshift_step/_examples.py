"""Points for meanshift_step: the lecture's six clusters, and points from files."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np

from kernels._arrays import all_finite
from kernels._definition.examples import Example

# The lecture's data: six clusters of 250 points, five steps. Larger ones keep its box and add points.
SIZES = {
    "tiny": {"n": 6, "kernel": "gaussian", "bandwidth": 2.5, "steps": 1},
    "lecture": {"n": 1500, "kernel": "gaussian", "bandwidth": 2.5, "steps": 5},
    "lecture_triangular": {"n": 1500, "kernel": "triangular", "bandwidth": 8.0, "steps": 5},
    "medium": {"n": 6_000, "kernel": "gaussian", "bandwidth": 2.5, "steps": 1},
    "large": {"n": 30_000, "kernel": "gaussian", "bandwidth": 2.5, "steps": 1},
}
# What is measured: in these dimensions, points of these kinds.
GRID = {"d": (1, 2, 2, 2, 3, 3, 8, 32, 128)}
CONTENTS = ("clusters", "even", "sparse", "crowded")
NEIGHBOURS = {"even": 10.0, "sparse": 0.1}  # within a bandwidth, however many points there are


def example(size: str = "lecture", *, dtype: str = "float32", seed: int = 0, **changes: Any) -> Example:
    """Return the lecture's points at a named size: six clusters, centroids uniform in [-35, 35]^2, covariance 5 I.

    `bandwidth` and `kernel` among `changes` replace those of the size.
    """
    about = SIZES[size] | _parameters(changes)
    n: Any = about["n"]
    rng = np.random.default_rng(seed)
    centroids = rng.uniform(-35, 35, (6, 2))
    x = rng.multivariate_normal(np.zeros(2), 5 * np.eye(2), n) + np.repeat(centroids, n // 6, axis=0)
    return _example(x.astype(dtype), about)


def of_extents(rng: np.random.Generator, extents: dict[str, int], contents: str = "crowded") -> dict[str, Any]:
    """Return a step in any dimension.

    Crowded points are normal, with a bandwidth that some pairs are within and others are not; clusters are the lecture's; even
    and sparse points are uniform in a cube.
    """
    n, m, d = (extents[name] for name in "nmd")
    if contents == "crowded":
        # Distances have about this mean, and a deviation of 1, until their rounding in thousands of dimensions is more than that.
        bandwidth = math.sqrt(2 * d) + rng.uniform(-1, 1) + d / 1000
        return {"x": rng.standard_normal((n, d)), "data": rng.standard_normal((m, d)), "bandwidth": bandwidth}
    if contents == "clusters":
        centroids = rng.uniform(-35, 35, (6, d))
        x, data = (centroids[np.arange(k) % 6] + 5**0.5 * rng.standard_normal((k, d)) for k in (n, m))
        return {"x": x, "data": data, "bandwidth": 2.5}
    ball = d / 2 * math.log(math.pi) - math.lgamma(d / 2 + 1)  # the logarithm of the unit ball's volume
    side = math.exp((math.log(m / NEIGHBOURS[contents]) + ball) / d)
    return {"x": rng.uniform(0, side, (n, d)), "data": rng.uniform(0, side, (m, d)), "bandwidth": 1.0}


def from_file(
    arrays: dict[str, np.ndarray[Any, Any]], *, sample: int = 0, dtype: str = "float32", seed: int = 0, **changes: Any
) -> Example:
    """Make a step from a file's one array: the last axis holds coordinates (a picture's channels), all others count points.

    Without a `bandwidth` among `changes` it follows Scott's rule, n^(-1/(d+4)) times the mean standard deviation
    (Scott 1992, Multivariate Density Estimation, section 6.3).
    """
    if len(arrays) != 1:
        raise ValueError(f"meanshift_step: the file holds {', '.join(sorted(arrays))}; expected one array of points")
    (points,) = arrays.values()
    if points.ndim < 2 or not points.size:
        raise ValueError(f"meanshift_step: the file holds an array of shape {points.shape}; expected points, (n, d)")
    x = points.reshape(-1, points.shape[-1])
    if sample and len(x) > sample:
        x = x[np.sort(np.random.default_rng(seed).choice(len(x), sample, replace=False))]
    x = x.astype(dtype)
    if not all_finite(x):
        raise ValueError("meanshift_step: the file holds NaN or infinite points; drop those rows")
    n, d = x.shape
    scott = float(n ** (-1 / (d + 4)) * x.std(axis=0, dtype=float).mean()) or 1.0
    return _example(x, {"kernel": "gaussian", "bandwidth": scott, "steps": 1} | _parameters(changes))


def _parameters(changes: dict[str, Any]) -> dict[str, Any]:
    unknown = changes.keys() - {"bandwidth", "kernel"}
    if unknown:
        raise TypeError(f"meanshift_step: no parameter {', '.join(sorted(unknown))}; there are bandwidth and kernel")
    bandwidth = changes.get("bandwidth", 1.0)
    if not isinstance(bandwidth, Real) or isinstance(bandwidth, bool):
        raise TypeError(f"meanshift_step: argument bandwidth: expected a real number, got {type(bandwidth).__name__}")
    return changes | ({"bandwidth": float(bandwidth)} if "bandwidth" in changes else {})


def _example(x: np.ndarray[Any, Any], about: dict[str, Any]) -> Example:
    (n, d), steps = x.shape, about["steps"]
    count = f", {steps} steps" if steps > 1 else ""
    title = f"n = {n}, d = {d}, {about['kernel']}, bandwidth {about['bandwidth']:.4g}{count}"
    return Example((x, about["bandwidth"]), {"kernel": about["kernel"]}, title, steps)
