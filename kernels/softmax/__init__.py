"""softmax: a row's exponentials over their sum, where an entry may be hidden by -inf."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from array_api_compat import array_namespace

from kernels._definition.numerics import FLOAT32
from kernels._definition.rounding import Rounded, pivot, rounded_to

if TYPE_CHECKING:
    from jaxtyping import Float

    from kernels._arrays import Array

SPECIAL = {"x": (-math.inf,)}
RATE = "bytes"  # what a fused pass takes


def softmax(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """Softmax over the last axis: y_i = exp(x_i) / sum_j exp(x_j), by rows.

    Parameters
    ----------
    x : array, shape (..., n)
        float32 or float64, and the dtypes that a variant declares. An entry of -inf is hidden: its result is 0. Any extent may
        be 0.

    Returns
    -------
    array, shape (..., n)
        Fresh memory of the kind, dtype and device of `x`. Rows are computed apart. A row is NaN where all of its entries are
        -inf, or any is NaN or +inf.

    Raises
    ------
    TypeError
        If `x` is not an array, or the variant does not take its dtype.
    ValueError
        If `x` has no axis.

    References
    ----------
    Blanchard, Higham and Higham 2021, Accurately computing the log-sum-exp and softmax functions, section 2: the largest entry
    is subtracted first, so that no exponential overflows and the sum is at least 1.
    """
    xp = array_namespace(x)
    weights = xp.exp(x - pivot(xp.max(x, axis=-1, keepdims=True))) if x.shape[-1] else x
    return weights / xp.sum(weights, axis=-1, keepdims=True)


def wide(x: Rounded) -> Any:
    """Compute with float16 and bfloat16 in float32, and round the result once; other dtypes as in the class "working"."""
    if x.format.unit <= FLOAT32.unit:
        return softmax(x)
    return rounded_to(softmax(Rounded(x.value, format=FLOAT32)), x.format)


PRECISIONS = {"wide": wide}
