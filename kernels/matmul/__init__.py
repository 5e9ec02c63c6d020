"""The contract of matmul: what it means, how a result is judged, what it costs, and examples to try it on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kernels._arrays import Array, dtype_name
from kernels._examples import Example
from kernels._numerics import gamma, precision_of, reference_share, require_precision, wide

ARRAYS = ("a", "b")
CORE = "(m?,k),(k,n?)->(m?,n?)"
RATE = "flops"
PRECISIONS = ("working", "wide", "tf32", "3xtf32")

# Shapes (m, k, n). The lecture multiplies five images of 28 x 28 pixels, then all 50,000, by weights for ten digits.
SIZES = {"tiny": (4, 4, 4), "lecture": (5, 784, 10), "medium": (512, 512, 512), "large": (50_000, 784, 10)}


def matmul(a: Array, b: Array) -> tuple[tuple[Any, ...], dict[str, Any]]:
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
    if a.ndim == 2 == b.ndim and a.shape[1] == b.shape[0]:
        return (a, b), {}
    for name, operand in (("a", a), ("b", b)):
        if not operand.ndim:
            raise ValueError(f"matmul: argument {name}: expected at least one dimension, got a 0-d array; to scale, use *")
    inner = b.shape[-2] if b.ndim > 1 else b.shape[0]
    if a.shape[-1] != inner:
        expected = f"(..., {a.shape[-1]}, n)" if b.ndim > 1 else f"({a.shape[-1]},)"
        raise ValueError(f"matmul: argument b: expected shape {expected} to follow a of {tuple(a.shape)}, got {tuple(b.shape)}")
    if a.ndim > 2 and b.ndim > 2:
        try:
            np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        except ValueError:
            raise ValueError(
                f"matmul: argument b: expected leading dimensions that broadcast with {tuple(a.shape[:-2])} of a, "
                f"got {tuple(b.shape[:-2])}"
            ) from None
    return (a, b), {}


def reference(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any], *, dtype: str) -> np.ndarray[Any, Any]:
    """Return the product by the definition, one inner index at a time, in a precision wider than `dtype`.

    Integers are multiplied as Python's, which are exact, and wrapped once at the end.
    """
    if precision_of(dtype) is None:
        exact = _product(a.astype(object), b.astype(object)) if a.dtype != bool else _product(a.astype(int), b.astype(int)) > 0
        if np.dtype(dtype).kind in "iu":
            bytes_ = np.dtype(dtype).itemsize
            exact = np.asarray(exact & (2 ** (8 * bytes_) - 1)).astype(f"u{bytes_}")
        return np.asarray(exact).astype(dtype)
    return _product(a.astype(wide(dtype)), b.astype(wide(dtype)))


def _product(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    left = a if a.ndim > 1 else a[None]
    right = b if b.ndim > 1 else b[:, None]
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    total = np.zeros((*batch, left.shape[-2], right.shape[-1]), left.dtype)
    for k in range(left.shape[-1]):
        total = total + left[..., :, k, None] * right[..., None, k, :]
    if b.ndim == 1:
        total = total[..., 0]
    return total[..., 0, :] if a.ndim == 1 and b.ndim > 1 else total[..., 0] if a.ndim == 1 else total


def bound(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any], *, dtype: str, precision: str = "working") -> np.ndarray[Any, Any]:
    """Bound the error of each entry: gamma_k |A||B| for sums in any order, with or without fused multiply-add.

    Parameters
    ----------
    a, b : ndarray
        The operands' values in any dtype that holds them.
    dtype : str
        The working dtype.
    precision : {"working", "wide", "tf32", "3xtf32"}
        The class of error. "working": sums and products in the working precision, or better. The others are those of
        tensor cores, which accumulate in float32: "wide" takes float16 and bfloat16 as they are and rounds once, at the end;
        "tf32" cuts float32 to 11 bits first; "3xtf32" to two such halves, and leaves out the product of the lower ones.
        For other dtypes they are "working".

    References
    ----------
    Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed.: (3.13) for real matrices, lemma 3.5 for complex.
    Blanchard, Higham, Lopez, Mary and Pranesh 2020, Mixed precision block fused multiply-add, section 3. Fasi, Higham,
    Mikaitis and Pranesh 2021, Numerical behavior of NVIDIA tensor cores: terms are aligned with the largest and cut.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"matmul: unknown precision {precision!r} (there are: {', '.join(map(repr, PRECISIONS))})")
    working = precision_of(dtype)
    size = _product(np.abs(a).astype(wide(dtype)).real, np.abs(b).astype(wide(dtype)).real)
    if working is None:
        return np.zeros(size.shape)
    k = a.shape[-1]
    narrow = ("float16", "bfloat16") if precision == "wide" else ("float32",)
    if precision == "working" or dtype not in narrow:
        is_complex = "complex" in dtype or dtype == "clongdouble"
        factor = math.sqrt(2) * gamma(k + 2, working.unit) if is_complex else gamma(k, working.unit)
        with np.errstate(invalid="ignore"):
            limit = factor * size * (1 + reference_share(dtype)) + k * working.subnormal * (size > 0)  # a sum of zeros is exact
    else:
        limit = _tensor_core_error(a, b, size, dtype, precision)
    return np.where(size < working.largest, limit, np.inf)  # past that, whether an entry overflows depends on the order


def _tensor_core_error(
    a: np.ndarray[Any, Any], b: np.ndarray[Any, Any], size: np.ndarray[Any, Any], dtype: str, precision: str
) -> np.ndarray[Any, Any]:
    """Bound the error of products on tensor cores: of the operands, of the sums, and of the result's rounding.

    An instruction takes at least four products and the sum so far, cuts each below the last of the largest's 24 bits, and cuts
    the sum: six units of 2^-23 for four terms. A half of an operand may also vanish where it is below float32's range.
    """
    working, single = require_precision(dtype), require_precision("float32")
    k = a.shape[-1]
    terms = 3 * k if precision == "3xtf32" else k
    sums = gamma(1.5 * terms + 2, 2 * single.unit)
    cut = {"wide": 0.0, "tf32": 2.0**-10, "3xtf32": 2.0**-20}[precision]  # what is cut off an operand, relative to it
    left_out = 2.0**-20 if precision == "3xtf32" else 0.0
    factor = left_out + 2 * cut + cut**2 + (1 + 2.0**-10) ** 2 * sums if cut else sums
    a, b = a.astype(wide(dtype)), b.astype(wide(dtype))
    with np.errstate(invalid="ignore"):
        limit = factor * size + k * single.subnormal
        if cut:
            limit += 2 * single.tiny * (_product(np.abs(a), np.ones_like(b)) + _product(np.ones_like(a), np.abs(b)))
        limit += working.unit * (np.abs(_product(a, b)) + limit) + working.subnormal
    return np.asarray(limit * (1 + reference_share(dtype)))


def scale(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return |A||B|, entry by entry: a bound wider than this says nothing."""
    return _product(np.abs(a).astype(float), np.abs(b).astype(float))


def work(a: Array, b: Array) -> dict[str, float]:
    """Return the floating-point operations of the definition, and the bytes of reading both operands and writing the result."""
    m = a.shape[-2] if a.ndim > 1 else 1
    k = a.shape[-1]
    n = b.shape[-1] if b.ndim > 1 else 1
    batch = math.prod(np.broadcast_shapes(tuple(a.shape[:-2]), tuple(b.shape[:-2])))
    entry = getattr(a, "itemsize", None) or np.dtype(dtype_name(a.dtype)).itemsize  # NumPy knows no bfloat16, others no itemsize
    return {"flops": 2 * batch * m * k * n, "bytes": entry * (math.prod(a.shape) + math.prod(b.shape) + batch * m * n)}


def rows(index: np.ndarray[Any, Any], a: Array, b: Array) -> tuple[tuple[Array, ...], dict[str, Any]]:
    """Return the call whose result is these rows of the result; `a` is a matrix."""
    return (a[index], b), {}


def example(size: str = "lecture", *, dtype: str = "float32", seed: int = 0) -> Example:
    """Return operands of a named size, entries from the standard normal distribution."""
    m, k, n = SIZES[size]
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    return Example((a, b), {}, f"{m}x{k} @ {k}x{n}")


def from_file(arrays: dict[str, np.ndarray[Any, Any]], *, sample: int = 0, dtype: str = "float32", seed: int = 0) -> Example:
    """Make a call from a file's arrays: `a` and `b` from a .npz that names them, else the Gram matrix A A^T of the one matrix."""
    if len(arrays) == 1:
        arrays = {"a": next(iter(arrays.values()))}
    elif not {"a", "b"} <= arrays.keys():
        raise ValueError(f"matmul: the file holds {', '.join(sorted(arrays))}; expected one matrix, or a and b")
    for name in arrays.keys() & {"a", "b"}:
        if arrays[name].ndim != 2:
            raise ValueError(f"matmul: the file holds an array of shape {arrays[name].shape}; expected a matrix")
    a, b = arrays["a"], arrays.get("b")
    if sample and len(a) > sample:
        a = a[np.sort(np.random.default_rng(seed).choice(len(a), sample, replace=False))]
    a = a.astype(dtype)
    b = a.T if b is None else b.astype(dtype)
    return Example((a, b), {}, f"{'x'.join(map(str, a.shape))} @ {'x'.join(map(str, b.shape))}")
