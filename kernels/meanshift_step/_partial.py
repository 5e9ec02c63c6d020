"""Sums over a part of the data: a step is what the sums of all parts give together.

For a point the sums are of w (data - point), of w, and a pivot: a gaussian's weights are exp((pivot - q^2) / 2), so that they
never all vanish, however far this part of the data is. Two sums of different pivots are added after one of them is rescaled, as
in a softmax that is streamed; other kernels have a pivot of 0. Sums are kept in float64.

References
----------
Milakov and Gimelshein 2018, Online normalizer calculation for softmax.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace, device

from kernels._dispatch.neutral import in_neutral_state
from kernels.meanshift_step._weights import of_pairs
from registry import missing

PAIRS = 2**22  # that are in memory at a time where Numba is missing, or the points are no NumPy arrays


class Sums(NamedTuple):
    """Sums for n points of d coordinates: shapes (n, d), (n,) and (n,)."""

    moved: Any
    total: Any
    pivot: Any


@in_neutral_state
def added(sums: Sums | None, x: Any, data: Any, bandwidth: float, kernel: str, v: Any = None) -> Sums | None:
    """Return sums with those over further data added, of weights v if given; None are sums over no data. Arrays are of a kind."""
    if not data.shape[0]:
        return sums
    more = _sums(sums, x, data, bandwidth, kernel, v)
    whole: Sums | None = both(sums, more, kernel)
    return whole


@in_neutral_state
def both(sums: Sums | None, more: Sums | None, kernel: str) -> Sums | None:
    """Return the sums over two parts of the data as one."""
    if sums is None or more is None:
        return more if sums is None else sums
    if kernel != "gaussian":
        return Sums(sums.moved + more.moved, sums.total + more.total, sums.pivot)
    xp = array_namespace(sums.total)
    pivot = xp.minimum(sums.pivot, more.pivot)
    factors = [xp.exp((pivot - each.pivot) / 2) for each in (sums, more)]
    moved, total = (
        sum(factor[..., None] * each.moved for factor, each in zip(factors, (sums, more), strict=True)),
        sum(factor * each.total for factor, each in zip(factors, (sums, more), strict=True)),
    )
    return Sums(moved, total, pivot)


@in_neutral_state
def step(sums: Sums | None, x: Any) -> Any:
    """Return the points of x moved by what all sums give; a point without any weight stays."""
    xp = array_namespace(x)
    if sums is None:
        return xp.asarray(x, copy=True)
    shift = sums.moved / xp.where(sums.total > 0, sums.total, xp.ones_like(sums.total))[:, None]
    return x + xp.astype(shift, x.dtype)


def _sums(before: Sums | None, x: Any, data: Any, bandwidth: float, kernel: str, v: Any) -> Sums:
    if isinstance(x, np.ndarray) and x.shape[1] and not missing("numba"):
        from kernels.meanshift_step._partial_compiled import sums

        return Sums(*sums(x, data, bandwidth, kernel, v, None if before is None else before.pivot))
    xp = array_namespace(x)
    parts = []
    for start in range(0, max(1, x.shape[0]), rows := max(1, PAIRS // data.shape[0])):
        differences = data[None, :, :] - x[start : start + rows, None, :]
        q2 = xp.sum((differences / bandwidth) ** 2, axis=-1)
        q2 = xp.clip(q2, max=xp.finfo(x.dtype).max)
        w = of_pairs(q2, kernel, v)
        pivot = xp.min(q2, axis=-1) if kernel == "gaussian" else xp.zeros(q2.shape[:1], dtype=x.dtype, device=device(x))
        parts.append((xp.sum(w[:, :, None] * differences, axis=1), xp.sum(w, axis=-1), pivot))
    return Sums(*(xp.astype(xp.concat(each), xp.float64) for each in zip(*parts, strict=True)))
