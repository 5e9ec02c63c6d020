"""attention: scaled dot-product attention, for each query the mean of the values, weighted by softmax over the keys."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import array_namespace

from kernels._definition.numerics import FLOAT32, gamma
from kernels._definition.rounding import Rounded, inner, off_by, pivot, rounded_to, weighted_mean

if TYPE_CHECKING:
    from jaxtyping import Float

    from kernels._arrays import Array

FINITE = ("q", "k", "v")
ROWS, APART = "n", {"causal": False}  # which keys a row sees depends with `causal` on how many rows there are
LINEAR = {"v": "e"}
QUANTITIES = {"pairs": "n m"}


def attention(
    q: Float[Array, "*batch n d"], k: Float[Array, "*batch m d"], v: Float[Array, "*batch m e"], *, causal: bool = False
) -> Float[Array, "*batch n e"]:
    """Scaled dot-product attention: softmax(q k^T / sqrt(d)) v, the softmax over the keys.

    With scores s_ij = q_i . k_j / sqrt(d), row i of the result is

        sum_j exp(s_ij) v_j / sum_j exp(s_ij)

    over the keys j that row i sees: all m, or with `causal` those with j <= i + m - n. So the last query sees all keys, and
    each one before it sees one key fewer. A row that sees no key is 0: with `causal` the first n - m rows where n is above m,
    and all rows where m is 0. With d = 0 all scores are 0. Scores must be finite.

    Parameters
    ----------
    q : array, shape (..., n, d)
        The queries. NumPy array, torch tensor, or anything that speaks DLPack. Which floating dtypes are taken, each
        variant declares (float32 and float64 always).
    k : array, shape (..., m, d)
        The keys.
    v : array, shape (..., m, e)
        The values, one for each key. Leading dimensions of all three broadcast.
    causal : bool
        Whether a query sees only the keys up to its own place, counted from the end. (torch's ``is_causal`` counts from the
        start: there row i sees keys j <= i, which is the same only where n equals m.)
    check_finite : bool
        Whether to look for NaN and infinities first; without, such entries give undefined results.

    Returns
    -------
    array, shape (..., n, e)
        Fresh memory, of the operands' kind, promoted dtype and device.

    Raises
    ------
    TypeError
        If an operand is not an array, `causal` is no truth value, the operands are of two kinds, or the variant does not
        take their dtype.
    ValueError
        If shapes do not fit, the leading dimensions do not broadcast, or entries are not finite.

    References
    ----------
    Vaswani et al. 2017, Attention is all you need, section 3.2.1. The mask where n differs from m is that of FlashAttention
    from version 2.1 on, which calls it aligned to the bottom right corner.
    """
    scores = (q / math.sqrt(max(1, q.shape[-1]))) @ array_namespace(q).matrix_transpose(k)
    return mean(weights(scores, causal), v)


def weights(scores: Any, causal: bool) -> Any:
    """Return exp(s_ij) over the largest of its row, and 0 where row i does not see key j."""
    xp = array_namespace(scores)
    if not scores.shape[-1]:
        return scores
    if not causal:
        return xp.exp(scores - pivot(xp.max(scores, axis=-1, keepdims=True)))
    n, m = scores.shape[-2:]
    i, j = (xp.arange(count, device=scores.device) for count in (n, m))
    seen = j[None, :] <= i[:, None] + (m - n)
    scores = xp.where(seen, scores, -xp.inf)
    largest = pivot(xp.max(scores, axis=-1, keepdims=True))
    return xp.exp(scores - xp.where(i[:, None] + (m - n) >= 0, largest, 0.0))


def mean(weights: Any, values: Any) -> Any:
    """Return the weighted mean of the values for each row of weights, whose batches broadcast."""
    return weighted_mean(weights[(*(None,) * (values.ndim - weights.ndim), ...)], values)


def fused(q: Any, k: Any, v: Any, *, causal: bool) -> Any:
    """Sums in float32 of products of float16 or bfloat16, whose weights are rounded to that dtype before they meet the values.

    As FlashAttention does on tensor cores, and torch on the CPU: scores, weights and their sums are of float32, and so is the
    result before it is rounded. float32 and float64 are as in the class "working".

    References
    ----------
    Dao 2023, FlashAttention-2, algorithm 1. Fasi, Higham, Mikaitis and Pranesh 2021, Numerical behavior of NVIDIA tensor
    cores: terms are aligned with the largest and cut, hence 2^-23 for the unit roundoff of their sums.
    """
    low = q.format
    if low.unit <= FLOAT32.unit or not k.shape[-2]:
        return attention(q, k, v, causal=causal)
    scores = inner(q, k.mT, gamma(1.5 * q.shape[-1] + 2, 2 * FLOAT32.unit), accumulator=FLOAT32)
    w = weights(scores / math.sqrt(max(1, q.shape[-1])), causal)
    values = Rounded(v.value, format=FLOAT32)
    # Weights are rounded in the upper sum alone, which is off by a share of each weighted value, or by their least number.
    sizes = (
        mean(Rounded(w.value, format=FLOAT32), abs(values)).value
        + low.subnormal / low.unit * np.abs(v.value).sum(-2)[..., None, :]
    )
    return rounded_to(off_by(mean(w, values), low.unit * sizes), low)


PRECISIONS = {"fused": fused}


def scale(q: Array, k: Array, v: Array, *, causal: bool) -> float:
    """Return the size of the largest value: a result lies among the values, and a bound wider than they are says nothing."""
    return float(np.abs(v).max(initial=0.0))
