"""What a definition may say beyond the array API's functions, so that its bound is tight: what error arithmetic cannot see.

They are ordinary functions on ordinary arrays, and tell arrays of `Rounded` numbers more. `pivot` marks a number that the exact
result does not depend on, such as a centre or the largest exponent of a softmax; `settled`, where it has cancelled.
`weighted_mean` moves, for an error in a weight, by the distance of that weight's value from the mean. `sinc` is sin(x) / x, near
zero too. `norm` and `normalized` are of rows whose squares may leave the range. `off_by` grants what a class of error leaves out.
The arrays themselves, and what each of the array API's functions costs, are in `rounded.py`.
"""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np

from kernels._definition.elementary import LIBRARY
from kernels._definition.moving import full
from kernels._definition.products import gammas, inner
from kernels._definition.rounded import Rounded, in_format, rounded, rounded_to

__all__ = [
    "Rounded",
    "inner",
    "norm",
    "normalized",
    "off_by",
    "pivot",
    "rounded_to",
    "settled",
    "sinc",
    "unit_roundoff",
    "weighted_mean",
]


def pivot(c: Any) -> Any:
    """Mark numbers that the exact result does not depend on: a centre, or the largest exponent of a softmax.

    Whatever a kernel takes for them, it takes the same number wherever it uses them, so that their own error counts for
    nothing. Only the size of what is left may differ by it. A kernel may not take a number with which something overflows.
    """
    return Rounded(c.value, 0.0, format=c.format, drift=c.error) if isinstance(c, Rounded) else c


def settled(x: Any) -> Any:
    """Say that a pivot has cancelled, as a centre does in differences from the mean of what was centred.

    What size these numbers have does not depend on the pivot any more. Their error does, and stays.
    """
    return Rounded(x.value, x.error, format=x.format) if isinstance(x, Rounded) else x


def off_by(x: Any, amount: Any) -> Any:
    """Grant a computed value a further error, such as what a class of error leaves out."""
    if not isinstance(x, Rounded):
        return x
    return Rounded(x.value, x.error + np.abs(getattr(amount, "value", amount)), format=x.format, drift=x.drift)


def unit_roundoff(x: Any) -> float:
    """Return the unit roundoff of an array's working format."""
    return x.format.unit if isinstance(x, Rounded) else float(array_api_compat.array_namespace(x).finfo(x.dtype).eps) / 2


def sinc(x: Any) -> Any:
    """Return sin(x) / x, and 1 where x is 0."""
    if isinstance(x, Rounded):
        return _rounded_sinc(x)
    xp = array_api_compat.array_namespace(x)
    one = xp.ones_like(x)
    return xp.where(x == 0, one, xp.sin(x) / xp.where(x == 0, one, x))


def _rounded_sinc(x: Rounded) -> Rounded:
    """An error moves it by the slope, which is at most |x| / 3 and 1/2: sinc(x) is the mean of cos(s x) for s from 0 to 1.

    That the slope is the mean of -s sin(s x) gives both. A sine and a quotient add their roundings.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.where(x.value == 0, 1, np.sin(x.value) / x.value)
        error = x.error * np.minimum((np.abs(x.value) + x.error) / 3, 0.5)
    return rounded(value, error, LIBRARY + 2, x.format)


def norm(x: Any) -> Any:
    """Return the Euclidean norm along the last axis; squares neither overflow nor vanish."""
    if not x.shape[-1]:
        return array_api_compat.array_namespace(x).sum(x, axis=-1)
    xp = array_api_compat.array_namespace(x)
    largest, scaled = _by_largest(x)
    return (largest * xp.where(xp.isinf(largest), xp.ones_like(largest), _root_of_squares(scaled)))[..., 0]


def normalized(x: Any) -> Any:
    """Return rows over their Euclidean norms, and rows of zeros as they are; squares neither overflow nor vanish.

    A row with an infinity is NaN. The result does not depend on the rows' size, so what they are divided by first is a pivot.
    """
    if not x.shape[-1]:
        return x
    _, scaled = _by_largest(x)
    size = _root_of_squares(scaled)
    xp = array_api_compat.array_namespace(x)
    return scaled / xp.where(size == 0, xp.ones_like(size), size)


def _by_largest(x: Any) -> tuple[Any, Any]:
    """Return each row's largest magnitude, or 1 where that is 0, and the row over it."""
    xp = array_api_compat.array_namespace(x)
    most = xp.max(xp.abs(x), axis=-1, keepdims=True)
    most = pivot(xp.where(most > 0, most, xp.ones_like(most)))
    return most, x / most


def _root_of_squares(x: Any) -> Any:
    xp = array_api_compat.array_namespace(x)
    return xp.sqrt(xp.sum(x**2, axis=-1, keepdims=True))


def weighted_mean(weights: Any, values: Any) -> Any:
    """Return sum_j w_j z_j / sum_j w_j along the weights' last axis, and 0 where the weights' sum is 0.

    Parameters
    ----------
    weights : array, shape (..., n, m) or (m,)
        Not negative.
    values : array, shape (..., n, m, d), (..., m, d) or (m, d)
        Each row of weights has values of its own, or all have the same.
    """
    if isinstance(weights, Rounded):
        return _rounded_mean(weights, in_format(values, weights.format))
    xp = array_api_compat.array_namespace(weights)
    total = xp.sum(weights, axis=-1)[..., None]
    separate = values.ndim > max(2, weights.ndim)  # each row of weights has values of its own
    moved = xp.sum(weights[..., None] * values, axis=-2) if separate else weights @ values
    return moved / xp.where(total == 0, xp.ones_like(total), total)


def _rounded_mean(weights: Rounded, values: Rounded) -> Rounded:
    """An error of a weight moves the mean by the distance of its value from the mean, over the sum of the weights.

    The two sums and the quotient add their own roundings; the weights may be divided by their sum first.
    """
    if 2 < values.ndim <= weights.ndim:
        values = values[..., None, :, :]
    w, e, z, format = weights.value, full(weights.error, weights), values.value, values.format
    total, spared = w.sum(axis=-1), w.sum(axis=-1) - e.sum(axis=-1)
    m = np.count_nonzero((w != 0) | (e != 0), axis=-1)[..., None]
    with np.errstate(all="ignore"):
        mean = _sums(w, z) / np.where(total == 0, 1, total)[..., None]
        spread = _distances(e, z, mean)
        roundings = gammas(m + 2, format.unit) + gammas(m, format.unit) + 2 * format.unit
        sizes = _sums(w + e, full(np.abs(z) + values.drift, values))
        carried = _sums(w + e, full(values.error, values)) if np.any(values.error) else 0.0
        error = (spread + roundings * (sizes + carried) + carried + m * format.tiny) / spared[..., None]
        error = np.where((spared[..., None] > 0) & ~np.isnan(error), error, np.where(m > 0, np.inf, 0.0))
    drift = np.max(full(values.drift, values), axis=-2) if np.ndim(values.drift) else values.drift
    return Rounded(mean, error, format=format, drift=drift)


def _sums(weights: Any, values: Any) -> Any:
    """Return sum_j w_j z_j."""
    shared = values.ndim == 2 or (values.ndim == weights.ndim + 1 and values.shape[-3] == 1)
    if shared:  # all rows of weights have the same values
        return weights @ values.reshape(*values.shape[:-3], *values.shape[-2:])
    return np.einsum("...j,...jk->...k", weights, values)


def _distances(weights: Any, values: Any, mean: Any) -> Any:
    """Return sum_j w_j |z_j - mean|, for some columns of the values at a time: no array is much larger than the weights."""
    columns = max(1, 2**16 // max(1, weights.size))
    sums = [
        np.einsum("...j,...jk->...k", weights, np.abs(values[..., k : k + columns] - mean[..., None, k : k + columns]))
        for k in range(0, values.shape[-1], columns)
    ]
    return np.concatenate(sums, axis=-1) if sums else np.zeros(mean.shape)
