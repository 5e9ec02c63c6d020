"""difference_map: where two stacks of pictures differ, between 0 and 1: the mask of DiffEdit before its threshold."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from array_api_compat import array_namespace

from kernels._definition.counting import Counted
from kernels._definition.numerics import FLOAT32
from kernels._definition.rounding import Rounded, rounded_to

if TYPE_CHECKING:
    from jaxtyping import Float

    from kernels._arrays import Array


def difference_map(a: Float[Array, "s c h w"], b: Float[Array, "s c h w"]) -> Float[Array, "h w"]:
    """Return the mean of |a - b| over samples and channels, less its least entry, over the range of its entries.

    Parameters
    ----------
    a, b : array, shape (s, c, h, w)
        Samples, channels, rows and columns, such as two noise predictions for the same latents. NumPy arrays, torch tensors, or
        anything that speaks DLPack; both of one kind and on one device. Mixed dtypes promote as the array API standard says.

    Returns
    -------
    array, shape (h, w)
        Fresh memory, of the operands' kind, promoted dtype and device. Between 0, where they differ least, and 1, where they
        differ most; zeros where the mean is the same everywhere. It does not overflow or lose digits where the entries, or sums
        of them, are near the ends of the dtype's range. Without rows or columns it is empty. An infinite difference makes its
        own place NaN and all finite ones 0, and a NaN all of the map, as IEEE arithmetic has it.

    Raises
    ------
    TypeError
        If an operand is not an array, the operands are of two kinds, or the variant does not take their dtype.
    ValueError
        If the operands have not one shape of four extents, or there are no samples or no channels, which have no mean.

    References
    ----------
    Couairon, Verbeek, Schwenk and Cord 2022, DiffEdit: diffusion-based semantic image editing with mask guidance, section 3.2,
    step 1. A threshold of 0.5 on this map gives the mask.
    """
    xp = array_namespace(a, b)
    mean = xp.mean(differences(a, b), axis=(0, 1))
    if not mean.size:
        return mean
    above = mean - xp.min(mean)
    span = xp.max(above)
    return above / xp.where(span == 0, xp.ones_like(span), span)


def differences(a: Any, b: Any) -> Any:
    """Return |a - b| times the power of two that brings the largest to about 1, so that no sum of them overflows or underflows.

    The map does not depend on it. Where a difference overflows, halves are subtracted: the digits below the smallest normal
    number that a half loses are nothing beside it.
    """
    if isinstance(a, Counted) or not a.size:
        return abs(a - b)
    if isinstance(a, Rounded):
        apart = abs(a - b)
        if apart.value.max() > a.format.largest / 2:
            apart = abs(a * 0.5 - b * 0.5)
        largest = apart.value.max()
    else:
        xp = array_namespace(a, b)
        apart = abs(a - b)
        if xp.isinf(xp.max(apart)):
            apart = abs(a * 0.5 - b * 0.5)
        largest = xp.max(apart)
    exponent = math.frexp(float(largest))[1]
    return apart * 2.0 ** (-exponent // 2) * 2.0 ** (-exponent - -exponent // 2)  # one power alone may be out of range


def validate(a: Array, b: Array) -> None:
    """Raise ValueError where there is nothing to take the mean of."""
    if 0 in a.shape[:2]:
        raise ValueError(f"difference_map: argument a: expected at least one sample and one channel, got shape {tuple(a.shape)}")


def scale(a: Array, b: Array) -> float:
    """Return the range of a map: a bound wider than this says nothing."""
    return 1.0


def wide(a: Rounded, b: Rounded) -> Any:
    """Compute with float16 and bfloat16 as they are in float32, and round the map to the operands' dtype."""
    if a.format.unit <= FLOAT32.unit:
        return difference_map(a, b)
    return rounded_to(difference_map(*(Rounded(each.value, format=FLOAT32) for each in (a, b))), a.format)


PRECISIONS = {"wide": wide}
