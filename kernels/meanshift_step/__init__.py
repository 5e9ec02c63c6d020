"""The contract of meanshift_step: what it means, how a result is judged, what it costs, and examples to try it on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from kernels._arrays import Array, all_finite, dtype_name
from kernels._examples import Example
from kernels._numerics import gamma, precision_of, reference_share, wide

ARRAYS = ("x", "data")
CORE = "(n,d),(m,d)->(n,d)"
RATE = "pairs"
KERNELS = ("gaussian", "triangular", "epanechnikov", "flat")
PRECISIONS = ("working", "expansion", "truncated")

# The lecture's data: six clusters of 250 points, five steps. Larger ones keep its box and add points.
SIZES = {
    "tiny": {"n": 6, "kernel": "gaussian", "bandwidth": 2.5, "steps": 1},
    "lecture": {"n": 1500, "kernel": "gaussian", "bandwidth": 2.5, "steps": 5},
    "lecture_triangular": {"n": 1500, "kernel": "triangular", "bandwidth": 8.0, "steps": 5},
    "medium": {"n": 6_000, "kernel": "gaussian", "bandwidth": 2.5, "steps": 1},
    "large": {"n": 30_000, "kernel": "gaussian", "bandwidth": 2.5, "steps": 1},
}


def meanshift_step(
    x: Array, bandwidth: float, *, data: Array | None = None, kernel: str = "gaussian", check_finite: bool = True
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """One simultaneous mean-shift update: every point moves to the weighted mean of the data around it.

    With r_ij = |x_i - data_j| and q = r_ij / bandwidth,

        y_i = sum_j w(q) data_j / sum_j w(q)

    Every row reads the old `x`. A row with no data within a compact kernel's support stays where it is; a gaussian
    weighs the nearest points however far they are; past the square root of the largest number (1.8e19 bandwidths in
    float32) all distances count alike. Sums over the data of coordinates, and of differences, must be finite.

    Parameters
    ----------
    x : array, shape (n, d)
        The points to move. NumPy array, torch tensor, or anything that speaks DLPack; float32 or float64.
    bandwidth : float
        Finite and above 0, in the points' unit of length.
    data : array, shape (m, d), optional
        The points they move towards, of the same kind, device and dtype; `x` itself if not given (the blurring step).
    kernel : {"gaussian", "triangular", "epanechnikov", "flat"}
        w(q) is exp(-q^2/2), max(0, 1-q), max(0, 1-q^2), or 1 if q <= 1 else 0.
    check_finite : bool
        Whether to look for NaN and infinities first; without, such points give undefined results.

    Returns
    -------
    array, shape (n, d)
        Fresh memory, of `x`'s kind, dtype and device.

    Raises
    ------
    TypeError
        If an array or the bandwidth is not one, the arrays differ in kind or dtype, or the variant does not take the dtype.
    ValueError
        If shapes do not fit, the data is empty while `x` is not, points are not finite, or the bandwidth or kernel is
        none of those above.

    References
    ----------
    Fukunaga and Hostetler 1975, The estimation of the gradient of a density function; Cheng 1995, Mean shift, mode
    seeking, and clustering, sections 2 and 3.
    """
    op = "meanshift_step"
    if data is not None:
        if data.ndim != 2 or (x.ndim == 2 and data.shape[1] != x.shape[1]):
            expected = f"(m, {x.shape[1]})" if x.ndim == 2 else "(m, d)"
            raise ValueError(f"{op}: argument data: expected shape {expected} like x, got {tuple(data.shape)}")
        if data.dtype != x.dtype:
            mine, theirs = dtype_name(data.dtype), dtype_name(x.dtype)
            raise TypeError(f"{op}: argument data: expected dtype {theirs} like x, got {mine}; cast one of them")
        if not data.shape[0] and x.shape[0]:
            raise ValueError(f"{op}: argument data: expected at least one point for the {x.shape[0]} of x, got none")
    if x.ndim != 2:
        raise ValueError(f"{op}: argument x: expected shape (n, d), got {tuple(x.shape)}; one point is x[None]")
    if type(bandwidth) is not float:
        bandwidth = _real(bandwidth)
    if not 0 < bandwidth < math.inf:
        raise ValueError(f"{op}: argument bandwidth: expected a finite number above 0, got {bandwidth}")
    if kernel not in KERNELS:
        raise ValueError(f"{op}: argument kernel: expected one of {', '.join(KERNELS)}, got {kernel!r}")
    if not 1e-37 < bandwidth < 1e38:
        _require_representable(bandwidth, dtype_name(x.dtype))
    if check_finite:
        _require_finite("x", x)
        if data is not None:
            _require_finite("data", data)
    return (x, bandwidth), {"data": x if data is None else data, "kernel": kernel}


def _real(bandwidth: object) -> float:
    if not isinstance(bandwidth, Real) or isinstance(bandwidth, bool):
        raise TypeError(f"meanshift_step: argument bandwidth: expected a real number, got {type(bandwidth).__name__}")
    try:
        return float(bandwidth)
    except OverflowError:
        return math.inf


def _require_representable(bandwidth: float, dtype: str) -> None:
    """A bandwidth that rounds to 0 or infinity in the points' dtype would make every distance infinite or 0."""
    working = precision_of(dtype) if dtype in ("float32", "float64") else None
    if working and not working.tiny <= bandwidth <= working.largest:
        raise ValueError(
            f"meanshift_step: argument bandwidth: expected between {working.tiny:g} and {working.largest:g}, "
            f"the range of {dtype}, got {bandwidth}; rescale the points or use a wider dtype"
        )


def _require_finite(name: str, points: Array) -> None:
    if not all_finite(points):
        raise ValueError(
            f"meanshift_step: argument {name}: expected finite points, got NaN or infinity; drop those rows "
            "(check_finite=False skips this look)"
        )


class _Pairs(NamedTuple):
    """A block of rows against all data, in the reference's precision."""

    rows: slice
    differences: np.ndarray[Any, Any]  # data_j - x_i, (rows, m, d)
    r2: np.ndarray[Any, Any]  # (rows, m)
    weights: np.ndarray[Any, Any]  # (rows, m); a gaussian's are relative to its row's largest
    log_weights: np.ndarray[Any, Any] | None  # of a gaussian


def _pairs(x: np.ndarray[Any, Any], bandwidth: float, data: np.ndarray[Any, Any], kernel: str) -> Iterator[_Pairs]:
    """Evaluate the definition, a block of rows at a time so that memory stays small."""
    rows = max(1, 2**20 // max(1, data.size))
    h = x.dtype.type(bandwidth)
    for start in range(0, len(x), rows):
        block = slice(start, start + rows)
        differences = data - x[block, None]
        r2 = (differences**2).sum(axis=-1)
        q2 = ((differences / h) ** 2).sum(axis=-1)
        log_weights = None
        if kernel == "gaussian":
            log_weights = (q2.min(axis=1, keepdims=True) - q2) / 2
            weights = np.exp(log_weights)
        elif kernel == "triangular":
            weights = np.maximum(1 - np.sqrt(q2), 0)
        elif kernel == "epanechnikov":
            weights = np.maximum(1 - q2, 0)
        else:
            weights = (q2 <= 1).astype(x.dtype)
        yield _Pairs(block, differences, r2, weights, log_weights)


def reference(
    x: np.ndarray[Any, Any],
    bandwidth: float,
    *,
    data: np.ndarray[Any, Any] | None = None,
    kernel: str = "gaussian",
    dtype: str,
    **_: Any,
) -> np.ndarray[Any, Any]:
    """Return the step by the definition, in a precision wider than `dtype`."""
    x = x.astype(wide(dtype))
    y = np.empty_like(x)
    for pairs in _pairs(x, bandwidth, x if data is None else data.astype(wide(dtype)), kernel):
        total = pairs.weights.sum(axis=1)[:, None]
        moved = (pairs.weights[..., None] * pairs.differences).sum(axis=1)
        y[pairs.rows] = x[pairs.rows] + moved / np.where(total > 0, total, 1)
    return y


def bound(
    x: np.ndarray[Any, Any],
    bandwidth: float,
    *,
    data: np.ndarray[Any, Any] | None = None,
    kernel: str = "gaussian",
    dtype: str,
    precision: str = "working",
    **_: Any,
) -> np.ndarray[Any, Any]:
    """Bound the error of each coordinate of a step.

    A weight's error E follows from that of its squared distance; the quotient's from E and from the rounding of its
    two sums:

        |y^_ik - y_ik| <= [sum_j E_ij |x_jk - y_ik| + (gamma_{m+2} + gamma_m + 2u) A_ik + m eta] / (sum_j w_ij - sum_j E_ij)

    Parameters
    ----------
    x, bandwidth, data, kernel
        The step's arguments, as `reference` takes them.
    dtype : str
        The working dtype: u is its unit roundoff, eta its smallest normal number.
    precision : {"working", "expansion", "truncated"}
        The class of error. "working": distances from differences, and x_i + sum w (data_j - x_i) / sum w.
        "expansion": distances from |x|^2 + |y|^2 - 2xy after centring on the data's mean, and sum w z_j / sum w of
        the centred data z; its error grows with the square of the data's extent over the bandwidth. "truncated":
        as "working", and a gaussian's far or approximated weights may move a point, for each of the data, by u times the
        bandwidth or the width of all points, whichever is less; the sums' own rounding may grow at that rate, too.

    Returns
    -------
    ndarray, shape (n, d)
        Infinite where the weights' own uncertainty reaches their sum.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"meanshift_step: unknown precision {precision!r} (there are: {', '.join(map(repr, PRECISIONS))})")
    working = precision_of(dtype)
    assert working is not None
    u, eta = working.unit, working.tiny
    x = x.astype(wide(dtype))
    data = x if data is None else data.astype(wide(dtype))
    (n, d), m = x.shape, len(data)
    limit = np.zeros_like(x)
    if not n or not d:
        return limit
    centre = data.mean(axis=0)
    centre_error = gamma(m, u) * np.abs(data).mean(axis=0)  # the kernel's own mean, summed in any order
    z, z_data = np.abs(x - centre) + centre_error, np.abs(data - centre) + centre_error
    width = (np.maximum(x.max(axis=0), data.max(axis=0)) - np.minimum(x.min(axis=0), data.min(axis=0))).max()
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for pairs in _pairs(x, bandwidth, data, kernel):
            if precision != "expansion":
                r2_error = gamma(d + 2, u) * pairs.r2 + d * eta
            else:  # z = (x - c) / h rounds twice
                r2_error = (gamma(d + 3, u) + 4 * u) * ((z[pairs.rows, None] + z_data) ** 2).sum(axis=-1) + d * eta
            w, e = pairs.weights, _weight_error(pairs, r2_error, bandwidth, kernel, d, u, eta, precision)
            y = x[pairs.rows] + (w[..., None] * pairs.differences).sum(axis=1) / np.maximum(w.sum(axis=1), eta)[:, None]
            spread = (e[..., None] * np.abs(data - y[:, None])).sum(axis=1)
            arms = np.abs(pairs.differences) if precision != "expansion" else z_data[None]
            sums = ((w + e)[..., None] * arms).sum(axis=1)
            certain = (w.sum(axis=1) - e.sum(axis=1))[:, None]
            block = (spread + (gamma(m + 3, u) + gamma(m, u) + 2 * u) * sums + m * eta) / certain * (1 + 2 * u)
            block += u * np.abs(y)
            if precision == "expansion":
                block += u * np.abs(y) + 2 * u * np.abs(y - centre) + u * z_data.max(axis=0)
                own = gamma(m + 3, reference_share(dtype) * u)  # the reference adds up ways from the point
                block += own * np.abs(pairs.differences).max(axis=1)
            if precision == "truncated" and kernel == "gaussian":
                block += m * u * min(bandwidth, width)
            alone = (w == 0).all(axis=1) & (e == 0).all(axis=1)  # nothing within reach for certain: the row stays, bit for bit
            limit[pairs.rows] = np.where(alone[:, None], 0, np.where(certain > 0, block, np.inf))
    return limit * (1 + reference_share(dtype))


def _weight_error(
    pairs: _Pairs, r2_error: Any, bandwidth: float, kernel: str, d: int, u: float, eta: float, precision: str
) -> np.ndarray[Any, Any]:
    """Bound each weight's error from that of its squared distance.

    Scaling by the bandwidth costs q^2 up to six more roundings, whichever way round it is done: h itself, twice the
    division, the product, the gaussian's shift. Eight units cover the error of exp in NumPy, the C library and CUDA.
    """
    h, w = bandwidth, pairs.weights
    q2 = pairs.r2 / h / h
    q2_error = r2_error / h / h * (1 + 8 * u) + gamma(6, u) * q2
    if kernel == "gaussian":
        assert pairs.log_weights is not None
        return np.asarray(np.exp(pairs.log_weights + q2_error / 2) * (1 + 8 * u) - w * (1 - 8 * u) + eta)
    if kernel == "triangular":
        r = np.sqrt(pairs.r2)
        if precision != "expansion":
            r_error = (gamma(d + 2, u) + 2 * u) * r + math.sqrt(d * eta)
        else:
            r_error = np.minimum(np.sqrt(r2_error), r2_error / np.maximum(r, eta)) + 2 * u * r
        q_error = r_error / h * (1 + 4 * u) + gamma(2, u) * r / h
        return np.where(r / h - q_error < 1, np.minimum(1, q_error + u * w), 0)
    if kernel == "epanechnikov":
        return np.where(q2 - q2_error < 1, np.minimum(1, q2_error + u * w), 0)
    return np.where(np.abs(q2 - 1) <= q2_error, 1.0, 0.0)  # a step function: all or nothing beside the edge


def scale(
    x: np.ndarray[Any, Any], bandwidth: float, *, data: np.ndarray[Any, Any] | None = None, **_: Any
) -> np.ndarray[Any, Any] | float:
    """Return the width of all points in each coordinate: a bound wider than this says nothing.

    Where all coincide it is their distance from the origin.
    """
    everything = (x if data is None else np.concatenate([x, data])).astype(float)
    if not everything.size:
        return 0.0
    width = np.ptp(everything, axis=0)
    return np.asarray(np.where(width > 0, width, np.abs(everything).max(axis=0)))


def work(x: Array, bandwidth: float = 1.0, *, data: Array | None = None, **_: Any) -> dict[str, float]:
    """Return the pair evaluations of the definition, their operations, the bytes read and written, and the dimensions.

    A pair costs d differences, squares and sums for the distance, one weight (counted as one operation), and d
    products and sums for the mean.
    """
    (n, d), m = x.shape, x.shape[0] if data is None else data.shape[0]
    entry = np.dtype(dtype_name(x.dtype)).itemsize  # not every library's dtypes know it
    moved = entry * d * (2 * n + (m if data is not None else 0))
    return {"pairs": n * m, "flops": n * m * (5 * d + 2), "bytes": moved, "dimensions": d}


def rows(
    index: np.ndarray[Any, Any], x: Array, bandwidth: float, *, data: Array | None = None, **kwargs: Any
) -> tuple[tuple[Array, ...], dict[str, Any]]:
    """Return the call whose result is these rows of the result."""
    return (x[index], bandwidth), {"data": x if data is None else data, **kwargs}


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
    return changes | ({"bandwidth": _real(changes["bandwidth"])} if "bandwidth" in changes else {})


def _example(x: np.ndarray[Any, Any], about: dict[str, Any]) -> Example:
    (n, d), steps = x.shape, about["steps"]
    count = f", {steps} steps" if steps > 1 else ""
    title = f"n = {n}, d = {d}, {about['kernel']}, bandwidth {about['bandwidth']:.4g}{count}"
    return Example((x, about["bandwidth"]), {"kernel": about["kernel"]}, title, steps)
