"""guidance: a prediction moved on from the unconditional to the conditional one and past it, and brought back to its length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, IsFinite, Le

from kernels._definition.numerics import FLOAT32
from kernels._definition.rounding import Rounded, norm, normalized, rounded_to

if TYPE_CHECKING:
    from jaxtyping import Float

    from kernels._arrays import Array


def guidance(
    unconditional: Float[Array, "*batch n"],
    conditional: Float[Array, "*batch n"],
    scale: Annotated[float, IsFinite],
    *,
    rescale: Annotated[float, Ge(0), Le(1)] = 0.0,
) -> Float[Array, "*batch n"]:
    """Classifier-free guidance of a diffusion model's predictions, row by row, with its length rescaled.

    With u and c a row of each,

        g = u + scale (c - u),    then    g (rescale |c| / |g| + 1 - rescale)

    where |c| and |g| are Euclidean norms. So with `rescale` 1 a row is as long as c, with 0 it is g as it is. Where g is 0 the
    result is 0. Without rescaling NaN and infinities propagate as in IEEE arithmetic, entry by entry; with it, a row with one of
    them is NaN.

    Parameters
    ----------
    unconditional, conditional : array, shape (..., n)
        Leading dimensions broadcast. NumPy arrays, torch tensors, or anything that speaks DLPack; both of one kind
        and on one device. Rows may be of any length that the dtype holds: squares neither overflow nor vanish.
    scale : float
        How far to go: 0 gives the unconditional row, 1 the conditional one, more goes past it.
    rescale : float
        How much of the conditional row's length to take, from 0 to 1.

    Returns
    -------
    array, shape (..., n)
        Fresh memory, of the arrays' kind, promoted dtype and device.

    Raises
    ------
    TypeError
        If an array is none, they are of two kinds, a parameter is not a number, or the variant does not take the dtype.
    ValueError
        If the rows differ in length, the leading dimensions do not broadcast, the scale is not finite, or `rescale` is not
        from 0 to 1.

    References
    ----------
    Ho and Salimans 2022, Classifier-free diffusion guidance, (6), with its 1 + w as `scale`. Lin, Liu, Li and Yang 2024, Common
    diffusion noise schedules and sample steps are flawed, section 3.4, with norms in place of standard deviations.
    """
    guided = unconditional + scale * (conditional - unconditional)
    if rescale == 0:
        return guided
    return rescale * norm(conditional)[..., None] * normalized(guided) + (1 - rescale) * guided


def wide(unconditional: Any, conditional: Any, scale: float, *, rescale: float) -> Any:
    """Arithmetic in float32 on rows of half precision, and the result rounded to their dtype at the end."""
    format = conditional.format
    if format.unit <= FLOAT32.unit:
        return guidance(unconditional, conditional, scale, rescale=rescale)
    u, c = (Rounded(rows.value, format=FLOAT32) for rows in (unconditional, conditional))
    return rounded_to(guidance(u, c, scale, rescale=rescale), format)


PRECISIONS = {"wide": wide}
