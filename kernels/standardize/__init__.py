"""standardize: each column less its mean, over its standard deviation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from array_api_compat import array_namespace

from kernels._definition.numerics import FLOAT32
from kernels._definition.rounding import Rounded, off_by, pivot, rounded_to, settled

if TYPE_CHECKING:
    from jaxtyping import Float

    from kernels._arrays import Array

ROWS = "d"  # columns are computed apart
QUANTITIES = {"entries": "n d"}
RATE = "entries"


def standardize(x: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Each column of a matrix less its mean, over its population standard deviation.

    The result has the digits that the differences between the entries have, however far the mean is from zero: a shift by any
    number common to a column changes neither numerator nor denominator, so that a kernel first subtracts some number of the
    column's range, such as its first entry.

    Parameters
    ----------
    x : array, shape (n, d)
        n observations of d variables. NumPy array, torch tensor, or anything that speaks DLPack; float32 or float64
        everywhere. Either extent may be 0.

    Returns
    -------
    array, shape (n, d)
        Fresh memory, of `x`'s kind, dtype and device. A column of equal numbers gives zeros, and one with a NaN or an
        infinity gives NaN.

    Raises
    ------
    TypeError
        If `x` is not an array, or the variant does not take its dtype.
    ValueError
        If `x` is not a matrix.

    References
    ----------
    Chan, Golub and LeVeque 1983, Algorithms for computing the sample variance: analysis and recommendations: the two-pass
    algorithm on shifted data.
    """
    xp = array_namespace(x)
    if not x.shape[0]:
        return xp.zeros_like(x)
    low, high = xp.min(x, axis=0), xp.max(x, axis=0)
    constant = low == high
    centre = pivot(off_by(low / 2 + high / 2, high / 2 - low / 2))  # any number of the column's range does
    apart = x - centre
    largest = xp.max(xp.abs(apart), axis=0)
    apart = apart / xp.where(constant, xp.ones_like(largest), largest)  # squares stay within the range
    apart = settled(apart - xp.mean(apart, axis=0))
    deviation = xp.sqrt(xp.mean(apart**2, axis=0))
    return xp.where(constant, low - high, apart / deviation)  # equal infinities are NaN


def two_pass(x: Any) -> Any:
    """The mean of the entries themselves, and then their differences from it: the mean's rounding stays in all of a column."""
    if not x.shape[0]:
        return x
    xp = array_namespace(x)
    low, high = xp.min(x, axis=0), xp.max(x, axis=0)
    apart = x - xp.mean(x, axis=0)
    return xp.where(low == high, low - high, apart / xp.sqrt(xp.mean(apart**2, axis=0)))


def wide(x: Any) -> Any:
    """Everything in float32 for entries in half precision, and the result rounded to their dtype at the end."""
    if x.format.unit <= FLOAT32.unit:
        return standardize(x)
    return rounded_to(standardize(Rounded(x.value, format=FLOAT32)), x.format)


PRECISIONS = {"two-pass": two_pass, "wide": wide}
