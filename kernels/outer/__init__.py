"""outer: a function of every pair of an entry of one vector and an entry of another, such as their product."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from array_api_compat import array_namespace

from kernels._arrays import dtype_name

if TYPE_CHECKING:
    from jaxtyping import Shaped

    from kernels._arrays import Array

FUNCTIONS = ("multiply", "add", "subtract", "less", "less_equal", "equal")
ROWS = "m"
DEFINITION = {"dtypes": ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "complex64", "complex128")}


def outer(
    a: Shaped[Array, " m"],
    b: Shaped[Array, " n"],
    *,
    function: Literal["multiply", "add", "subtract", "less", "less_equal", "equal"] = "multiply",
) -> Shaped[Array, "m n"]:
    """Apply a function to all pairs of entries: C_ij = f(a_i, b_j).

    Parameters
    ----------
    a : array, shape (m,)
    b : array, shape (n,)
        NumPy arrays, torch tensors, or anything that speaks DLPack; both of one kind and on one device. Mixed dtypes promote
        as the standard says; which dtypes are taken, each variant declares (float32 and float64 always). Any extent may be 0.
    function : {"multiply", "add", "subtract", "less", "less_equal", "equal"}
        What is computed of a_i and b_j, in this order: `a_i - b_j`, and whether `a_i < b_j`, `a_i <= b_j`, `a_i == b_j`.

    Returns
    -------
    array, shape (m, n)
        Fresh memory, of the operands' kind and device. A comparison gives truth values, anything else numbers of the promoted
        dtype. Integers wrap; of booleans a product is whether both are true, and a sum whether any is. A comparison with NaN
        is false, and NaN and infinities propagate as in IEEE arithmetic.

    Raises
    ------
    TypeError
        If an operand is not an array, the operands are of two kinds, or the variant does not take their dtype. As in NumPy,
        and since the standard defines neither, booleans are not subtracted; and complex numbers have no order.
    ValueError
        If an operand is not a vector, or there is no such function.

    References
    ----------
    https://data-apis.org/array-api/latest/API_specification/elementwise_functions.html
    https://numpy.org/doc/stable/reference/generated/numpy.ufunc.outer.html
    """
    return getattr(array_namespace(a, b), function)(a[:, None], b[None, :])


def validate(a: Array, b: Array, function: str) -> None:
    """Raise TypeError for a difference of booleans, and for an order of complex numbers."""
    dtypes = [dtype_name(operand.dtype) for operand in (a, b)]
    if function == "subtract" and dtypes == ["bool", "bool"]:
        raise TypeError("outer: booleans have no difference; cast one of them to an integer dtype")
    if function in ("less", "less_equal") and any("complex" in dtype or dtype == "clongdouble" for dtype in dtypes):
        raise TypeError("outer: complex numbers have no order; compare their absolute values, or their real parts")
