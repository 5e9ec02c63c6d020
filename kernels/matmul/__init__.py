"""matmul: the product of two matrices, as the array API standard defines it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import array_namespace

from kernels._definition.numerics import FLOAT32, gamma
from kernels._definition.rounding import Rounded, inner, off_by, rounded_to

if TYPE_CHECKING:
    from jaxtyping import Num

    from kernels._arrays import Array

ROWS = "m"
LINEAR = {"b": "n"}
DEFINITION = {"dtypes": ("float32", "float64", "complex64", "complex128")}


def matmul(a: Num[Array, "*batch m? k"], b: Num[Array, "*batch k n?"]) -> Num[Array, "*batch m? n?"]:
    """Matrix product of two arrays: C_ij = sum_k A_ik B_kj, as the array API standard's matmul.

    Parameters
    ----------
    a : array, shape (..., m, k) or (k,)
    b : array, shape (..., k, n) or (k,)
        Leading dimensions broadcast. NumPy arrays, torch tensors, or anything that speaks DLPack; both of one kind
        and on one device. Mixed dtypes promote as the standard says; which dtypes are taken, each variant declares
        (float32 and float64 always). Any extent may be 0; with k = 0 the product is zeros.

    Returns
    -------
    array, shape (..., m, n); without m or n where `a` or `b` is a vector
        Fresh memory, of the operands' kind, promoted dtype and device. Integers wrap; NaN and infinities propagate
        as in IEEE arithmetic.

    Raises
    ------
    TypeError
        If an operand is not an array, the operands are of two kinds, or the variant does not take their dtype.
    ValueError
        If an operand is 0-d, the inner extents differ, or the leading dimensions do not broadcast.

    References
    ----------
    https://data-apis.org/array-api/latest/API_specification/generated/array_api.matmul.html
    """
    return array_namespace(a).matmul(a, b)


def scale(a: Array, b: Array) -> Array:
    """Return |A||B|, entry by entry: a bound wider than this says nothing."""
    size_a, size_b = (np.abs(x).astype(np.result_type(np.abs(x), float)) for x in (a, b))  # longdouble reaches further
    return np.matmul(size_a, size_b)


def on_tensor_cores(a: Rounded, b: Rounded, *, cut: float = 0.0, terms: int = 1, left_out: float = 0.0) -> Any:
    """Products of operands that are cut, relative to their size, summed in float32, and rounded to the result's dtype at the end.

    An instruction takes at least four products and the sum so far, cuts each below the last of the largest's 24 bits, and cuts
    the sum: six units of 2^-23 for four terms. A cut operand may also vanish where it is below float32's range. Operands that
    the cores do not take, float64 and for the cut classes all but float32, are multiplied as in the class "working".

    References
    ----------
    Blanchard, Higham, Lopez, Mary and Pranesh 2020, Mixed precision block fused multiply-add, section 3. Fasi, Higham,
    Mikaitis and Pranesh 2021, Numerical behavior of NVIDIA tensor cores: terms are aligned with the largest and cut.
    """
    taken = a.format == FLOAT32 and not np.iscomplexobj(a.value) if cut else a.format.unit > FLOAT32.unit
    if not taken:
        return matmul(a, b)
    if cut:
        a, b = (off_by(operand, cut * np.abs(operand.value) + 2 * FLOAT32.tiny) for operand in (a, b))
    product = inner(a, b, gamma(1.5 * terms * a.shape[-1] + 2, 2 * FLOAT32.unit), accumulator=FLOAT32)
    return rounded_to(off_by(product, left_out * (np.abs(a.value) @ np.abs(b.value))), a.format)


def normwise(a: Rounded, b: Rounded) -> Any:
    """A fast product, such as Strassen's down to blocks of 16: bounded by the largest entries, not entry by entry.

    References
    ----------
    Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., (23.14): in the largest entry's norm the error is at most
    ((n / n0)^log2(12) (n0^2 + 5 n0) - 5 n) u |A| |B|. An extent that is no power of two is padded to the next.
    """
    if not (a.size and b.size):
        return matmul(a, b)
    n0 = 16
    n = max(n0, *(2 ** int(np.ceil(np.log2(extent))) for extent in (*a.shape[-2:], *b.shape[-2:])))
    growth = (n / n0) ** np.log2(12) * (n0**2 + 5 * n0) - 5 * n
    largest: Any = np.abs(a.value).max(initial=0.0) * np.abs(b.value).max(initial=0.0)
    return off_by(matmul(a, b), growth * a.format.unit * largest)


PRECISIONS = {
    "wide": on_tensor_cores,  # float16 and bfloat16 as they are
    "tf32": partial(on_tensor_cores, cut=2.0**-10),  # float32 cut to 11 bits
    "3xtf32": partial(
        on_tensor_cores, cut=2.0**-20, terms=3, left_out=2.0**-20
    ),  # two such halves, less the product of the lower
    "normwise": normwise,
}
