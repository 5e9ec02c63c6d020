"""frobenius_norm: the square root of the sum of the squares of a matrix's entries."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import array_namespace

from kernels._definition.numerics import FLOAT32, gamma
from kernels._definition.rounding import Rounded, off_by, rounded_to

if TYPE_CHECKING:
    from jaxtyping import Float

    from kernels._arrays import Array

QUANTITIES = {"entries": "m n"}
RATE = "entries"


def frobenius_norm(x: Float[Array, "m n"]) -> Float[Array, ""]:
    """Frobenius norm of a matrix: the square root of the sum of the squares of its entries.

    Parameters
    ----------
    x : array, shape (m, n)
        NumPy array, torch tensor, or anything that speaks DLPack; float32 or float64 everywhere. Either extent may be 0: the
        norm of no entries is 0.

    Returns
    -------
    array, shape ()
        Fresh memory, of `x`'s kind, dtype and device. Finite and not 0 wherever the norm is representable, also where
        the squares of the entries are not. NaN where an entry is NaN, and otherwise infinite where one is.

    Raises
    ------
    TypeError
        If `x` is not an array, or the variant does not take its dtype.
    ValueError
        If `x` is not a matrix.

    References
    ----------
    Golub and Van Loan, Matrix Computations, 4th ed., (2.3.1). Blue 1978, A portable Fortran program to find the Euclidean
    norm of a vector: why entries are scaled before they are squared.
    """
    xp = array_namespace(x)
    if not x.size:
        return xp.sum(x)
    largest = xp.max(xp.abs(x))
    unscaled = (largest == 0) | xp.isinf(largest)
    scale = xp.where(unscaled, xp.ones_like(largest), largest)
    return scale * xp.sqrt(xp.sum((x / scale) ** 2))


def wide(x: Any) -> Any:
    """Squares and sums in float32 of entries in half precision, and the norm rounded to their dtype at the end."""
    if x.format.unit <= FLOAT32.unit:
        return frobenius_norm(x)
    return rounded_to(frobenius_norm(Rounded(x.value, format=FLOAT32)), x.format)


def blocks(x: Any) -> Any:
    """Norms of blocks, and norms of those, on at most five levels: those past the first add their own roundings.

    A norm of k numbers rounds as often as k / 2 + 5 times, by the definition. The k of all levels add up to no more than the
    entries and one for each level. A subnormal norm is off by half of the smallest number, and k of them take the norm of the
    next level off by sqrt(k) times that; with k halved at least on each level, and at first the number of entries that are not 0,
    the sum is below 1.5 sqrt(k) times the smallest number.
    """
    norm = frobenius_norm(x)
    size = np.where(np.isfinite(norm.value), np.abs(norm.value), 0)
    return off_by(norm, gamma(4 * 6, x.format.unit) * size + 1.5 * math.sqrt(np.count_nonzero(x.value)) * x.format.subnormal)


PRECISIONS = {"wide": wide, "blocks": blocks}
