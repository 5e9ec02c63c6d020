"""slerp: spherical interpolation, along the arc from one row to another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Ge, Le
from array_api_compat import array_namespace

from kernels._definition.numerics import FLOAT32
from kernels._definition.rounding import Rounded, norm, normalized, rounded_to, sinc

if TYPE_CHECKING:
    from jaxtyping import Float

    from kernels._arrays import Array


def slerp(
    a: Float[Array, "*batch n"], b: Float[Array, "*batch n"], t: Annotated[float, Ge(0), Le(1)]
) -> Float[Array, "*batch n"]:
    """Interpolate between the rows of `a` and `b` along the arc between them.

    With w the angle between two rows, from 0 to pi,

        (sin((1 - t) w) a + sin(t w) b) / sin(w)

    Rows keep their lengths: those of `a` at t = 0, of `b` at t = 1, and about the one they share in between. Where no arc is the
    shortest, or there is none, the result is linear, (1 - t) a + t b: between rows that are parallel, between rows that are
    exactly opposite to each other, and where either row is zero. Between rows that are nearly opposite the result is as
    ill-conditioned as the arc. A row with a NaN or an infinity in `a` or `b` is NaN.

    Parameters
    ----------
    a, b : array, shape (..., n)
        Leading dimensions broadcast. NumPy arrays, torch tensors, or anything that speaks DLPack; both of one kind
        and on one device. Rows may be of any length that the dtype holds: squares neither overflow nor vanish.
    t : float
        From 0 to 1.

    Returns
    -------
    array, shape (..., n)
        Fresh memory, of the arrays' kind, promoted dtype and device.

    Raises
    ------
    TypeError
        If `a` or `b` is not an array, they are of two kinds, t is not a number, or the variant does not take the dtype.
    ValueError
        If the rows differ in length, the leading dimensions do not broadcast, or t is not from 0 to 1.

    References
    ----------
    Shoemake 1985, Animating rotation with quaternion curves, section 3.3. The angle is Kahan's, which keeps the digits that a
    cosine loses: Kahan 2006, How futile are mindless assessments of roundoff in floating-point computation?, section 12.
    """
    xp = array_namespace(a)
    linear = (1 - t) * a + t * b
    if a.shape[-1] < 2:  # numbers are parallel or opposite
        return xp.where(xp.isfinite(linear), linear, xp.nan)
    of_a, of_b = normalized(a), normalized(b)
    apart, together = (xp.sqrt(xp.sum(rows**2, axis=-1, keepdims=True)) for rows in (of_a - of_b, of_a + of_b))
    angle = 2 * xp.atan2(apart, together)
    # sin(t w) / sin(w), which is 0 / 0 where w is 0, is t sinc(t w) / sinc(w)
    arc = (1 - t) * sinc((1 - t) * angle) / sinc(angle) * a + t * sinc(t * angle) / sinc(angle) * b
    zero = xp.all(a == 0, axis=-1, keepdims=True) | xp.all(b == 0, axis=-1, keepdims=True)
    return xp.where((together == 0) | zero, linear, arc)


def scale(a: Array, b: Array, t: float) -> Any:
    """Return the longer of two rows times the largest weight that it may have, 2 over the sum of the two rows of length 1.

    Infinite where that sum is no larger than what rounding may make of 0: then it is open whether rows are opposite.
    """
    rounding = 2 * (a.shape[-1] + 32) * np.finfo(a.dtype).eps
    a, b = a.astype(float), b.astype(float)
    with np.errstate(all="ignore"):
        together = norm(normalized(a) + normalized(b))
        return np.where(together <= rounding, np.inf, 2 * np.maximum(norm(a), norm(b)) / together)[..., None]


def wide(a: Any, b: Any, t: float) -> Any:
    """Arithmetic in float32 on rows of half precision, and the result rounded to their dtype at the end."""
    if a.format.unit <= FLOAT32.unit:
        return slerp(a, b, t)
    first, second = (Rounded(rows.value, format=FLOAT32) for rows in (a, b))
    return rounded_to(slerp(first, second, t), a.format)


PRECISIONS = {"wide": wide}
