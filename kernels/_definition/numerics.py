"""What "agrees with the reference" means: componentwise bounds from the working precision, and how a result is held to one.

Nothing here is a tolerance: every bound follows from the unit roundoff of a dtype and the length of the sums
(Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]


class Precision(NamedTuple):
    """A floating-point format: unit roundoff, smallest normal, smallest subnormal, and largest number."""

    unit: float
    tiny: float
    subnormal: float
    largest: float


FLOAT32 = Precision(2.0**-24, 2.0**-126, 2.0**-149, float(np.finfo(np.float32).max))
BFLOAT16 = Precision(2.0**-8, 2.0**-126, 2.0**-133, 3.3895313892515355e38)  # float32's exponents, eight bits of significand
_REAL_PART = {"complex64": "float32", "complex128": "float64", "clongdouble": "longdouble"}


def precision_of(dtype: str) -> Precision | None:
    """Return the format of a real or complex dtype by name, or None for one whose arithmetic is exact."""
    if dtype == "bfloat16":
        return BFLOAT16
    kind = np.dtype(_REAL_PART.get(dtype, dtype))
    if kind.kind != "f":
        return None
    info: Any = np.finfo(kind)
    number = float if kind.itemsize <= 8 else kind.type  # not of the narrow dtype itself, in which they would be computed with
    return Precision(*map(number, (info.eps / 2, info.tiny, info.smallest_subnormal, info.max)))


def require_precision(dtype: str) -> Precision:
    """Return the format of a real or complex dtype by name; a dtype whose arithmetic is exact is a TypeError."""
    working = precision_of(dtype)
    if working is None:
        raise TypeError(f"expected a real or complex dtype, got {dtype}")
    return working


def wide(dtype: str) -> type[Any]:
    """Return the dtype that the reference for `dtype` is computed in: float64, or extended for float64 itself."""
    extended = dtype in ("float64", "complex128", "longdouble", "clongdouble")
    if "complex" in dtype or dtype == "clongdouble":
        return np.clongdouble if extended else np.complex128
    return np.longdouble if extended else np.float64


def gamma(count: float, unit: float) -> float:
    """Bound the relative error that `count` roundings in a row leave: k u / (1 - k u), infinite once k u reaches 1."""
    return count * unit / (1 - count * unit) if count * unit < 1 else float("inf")


def exactness(dtype: str) -> float:
    """Return the largest integer up to which sums in a dtype are exact: one over its unit roundoff."""
    working = precision_of(dtype)
    return float("inf") if working is None else 1 / working.unit


def reference_share(dtype: str) -> float:
    """Return the unit roundoff of the reference as a share of the working one: what its own rounding adds to a bound.

    Bounds grow at least in proportion to the unit roundoff, so this share of the kernel's bound covers a reference that is
    computed in the same way.
    """
    return float(np.finfo(wide(dtype)).eps / 2 / require_precision(dtype).unit)


class Agreement(NamedTuple):
    """How a result compares with its reference.

    Attributes
    ----------
    share : float
        The largest error as a share of its bound; at most 1 for a result that agrees, inf where NaNs or infinities differ.
    worst : tuple of int
        Where that is.
    vacuous : float
        The share of entries whose bound says nothing: not finite, or wider than the data.
    """

    share: float
    worst: tuple[int, ...]
    vacuous: float

    @property
    def passes(self) -> bool:
        """Whether every entry is within its bound. NaN never is."""
        return self.share <= 1


def compare(result: Array, reference: Array, bound: Array, scale: Array | float = np.inf) -> Agreement:
    """Hold a result to its reference within a componentwise bound.

    Parameters
    ----------
    result, reference, bound : ndarray
        Of one shape; `result` is compared in the reference's precision.
    scale : ndarray or float
        A bound above this says nothing: the width of the data. Infinite where the operation leaves a result open, so that no
        bound could say anything.
    """
    if result.shape != reference.shape:
        raise ValueError(f"the result has shape {result.shape}, the reference {reference.shape}")
    if not result.size:
        return Agreement(0.0, (), 0.0)
    if reference.dtype.kind == "O" or reference.dtype.kind in "iub":
        share = np.where(np.asarray(result == reference, dtype=bool), 0.0, np.inf)
        return Agreement(float(share.max()), _position(share), 0.0)
    with np.errstate(all="ignore"):
        error = np.abs(result.astype(reference.dtype) - reference)
        share = np.where(error == 0, 0.0, np.asarray(error / bound, dtype=float))  # 0 / 0 is agreement
        share = np.where(np.isfinite(reference), share, np.where(_same_special(result, reference), 0.0, np.inf))
        share = np.where(np.isnan(share) | ~np.isfinite(np.abs(result)) & np.isfinite(reference), np.inf, share)
        says_nothing = ~(bound <= scale)
        vacuous = np.mean(says_nothing[np.isfinite(reference)]) if np.isfinite(reference).any() else 0.0
    return Agreement(float(share.max()), _position(share), float(vacuous))


def _position(share: Array) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(share.argmax()), share.shape))


def _same_special(result: Array, reference: Array) -> Any:
    """Whether two entries are the same NaN or infinity; a complex number is as special as its parts."""
    if reference.dtype.kind == "c":
        return _same_special(result.real, reference.real) & _same_special(result.imag, reference.imag)
    return (np.isnan(result) & np.isnan(reference)) | (result == reference) | (np.isfinite(result) & np.isfinite(reference))
