"""Arrays that carry a bound on their rounding: an operation's definition, evaluated on them, gives its error bound.

A `Rounded` array holds what the definition gives in a wide precision, and how far from it the same definition may end in a
working precision, whatever the order of its sums: running error analysis (Higham, Accuracy and Stability of Numerical
Algorithms, 2nd ed., section 3.3). Its namespace has the array API's functions, so that a definition needs no change.

What each function costs, in units of the working roundoff u, and which freedoms that leaves a kernel:

- `+`, `-`, `*` and `square`: one rounding, a fused multiply-add included. Adding an exact zero and multiplying by a power of
  two cost nothing.
- `/`: two, since a kernel may multiply by a reciprocal. A Python number that the working format does not hold costs one.
- `sqrt`: two. `exp`, `log` and other functions of a mathematical library: eight (measured on NumPy's, glibc's and CUDA's).
- `sum` of k terms and `matmul` over k: gamma_(k-1) and gamma_k of the magnitudes, for any order (Higham, section 3.1).
- `abs`, negation, indexing, `max`, `minimum`, `where`: none. Where it is certain which side is taken, that side's error alone
  counts; where rounding may change the side, the distance between the sides is added.

Two further functions carry a meaning that error arithmetic cannot see. `pivot` marks a number that the exact result does not
depend on, such as a centre or the largest exponent of a softmax. `weighted_mean` moves, for an error in a weight, by the distance
of that weight's value from the mean. Both are ordinary functions on ordinary arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import array_api_compat
import numpy as np

from kernels._definition.numerics import Precision, gamma

Array = np.ndarray[Any, Any]
LIBRARY = 8  # units of roundoff in which mathematical libraries give exp, log and the like


@dataclass(frozen=True)
class Truth:
    """A comparison: what it is without rounding, and where rounding cannot change it."""

    value: Array
    certain: Array

    def __and__(self, other: Truth) -> Truth:
        settled = (self.certain & ~self.value) | (other.certain & ~other.value)  # false whatever the other side is
        return Truth(self.value & other.value, settled | (self.certain & other.certain))

    def __or__(self, other: Truth) -> Truth:
        return ~(~self & ~other)

    def __invert__(self) -> Truth:
        return Truth(~self.value, self.certain)

    def __getitem__(self, index: Any) -> Truth:
        return Truth(self.value[index], self.certain[index])


class Rounded:
    """An array of values with a bound on the error of each, in one floating-point format.

    Parameters
    ----------
    value : ndarray
        What exact arithmetic gives, in a precision wider than the format's.
    error : ndarray or float
        How far a computed value may be from it.
    format : Precision
        The working format: its unit roundoff, range and smallest numbers.
    drift : ndarray or float
        By how much more a computed value may be off because a `pivot` was another number. The exact result does not
        depend on a drift; the sizes of intermediate numbers, and so their roundings, do.
    """

    __array_ufunc__ = None  # NumPy leaves operators to this class

    def __init__(self, value: Any, error: Any = 0.0, *, format: Precision, drift: Any = 0.0) -> None:
        self.value, self.error, self.drift, self.format = np.asarray(value), _known(error), _known(drift), format

    def __array_namespace__(self, api_version: str | None = None) -> Namespace:
        return _namespace(self.format)

    shape = property(lambda self: self.value.shape)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    dtype = property(lambda self: self.value.dtype)
    device = "cpu"

    @property
    def T(self) -> Rounded:
        """The array with its axes the other way round."""
        return _moved(np.transpose, self)

    @property
    def mT(self) -> Rounded:
        """The array with its last two axes exchanged."""
        return _moved(lambda a: np.swapaxes(a, -1, -2), self)

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, index: Any) -> Rounded:
        return _moved(lambda a: a[index], self)

    @property
    def magnitude(self) -> Any:
        """The largest size that a computed value may have."""
        return np.abs(self.value) + self.error + self.drift

    def __add__(self, other: Any) -> Rounded:
        a, b = self, self._like(other)
        total = _rounded(a.value + b.value, a.error + b.error, 1, self.format, a.drift + b.drift, tiny=False)
        for one, zero in ((a, b), (b, a)):
            if not zero.value.all():
                nothing = zero.magnitude == 0
                total.error = np.where(nothing, one.error, total.error)
        return total

    def __mul__(self, other: Any) -> Rounded:
        a, b = self, self._like(other)
        with np.errstate(invalid="ignore", over="ignore"):
            error, drift = _of_product(a, b, a.error, b.error), _of_product(a, b, a.drift, b.drift)
            product = a.value * b.value
        if _is_power_of_two(other):
            return Rounded(product, error, format=self.format, drift=drift)
        # The product of complex numbers: Higham, lemma 3.5.
        return _rounded(product, error, 2 * math.sqrt(2) if np.iscomplexobj(product) else 1, self.format, drift)

    def __truediv__(self, other: Any) -> Rounded:
        if _is_power_of_two(other):
            return self.__mul__(1 / other)
        a, b = self, self._like(other)
        with np.errstate(all="ignore"):
            quotient, least = a.value / b.value, np.abs(b.value) - b.error - b.drift
            least = np.where(least > 0, least, 0.0)  # a divisor that may be zero leaves nothing known
            error = (a.error + np.abs(quotient) * b.error) / least if _some(a.error) or _some(b.error) else 0.0
            drift = (a.drift + np.abs(quotient) * b.drift) / least if _some(a.drift) or _some(b.drift) else 0.0
        return _rounded(quotient, error, 2, self.format, drift)

    def __pow__(self, exponent: float) -> Rounded:
        if exponent == 2:
            return self * self
        if exponent == 0.5:
            return self.__array_namespace__().sqrt(self)
        raise TypeError(f"a definition may raise to the powers 2 and 0.5; got {exponent}")

    def __matmul__(self, other: Any) -> Rounded:
        return self.__array_namespace__().matmul(self, other)

    def __sub__(self, other: Any) -> Rounded:
        return self + -self._like(other)

    def __neg__(self) -> Rounded:
        return Rounded(-self.value, self.error, format=self.format, drift=self.drift)

    def __abs__(self) -> Rounded:
        return Rounded(np.abs(self.value), self.error, format=self.format, drift=self.drift)

    def __radd__(self, other: Any) -> Rounded:
        return self.__add__(other)

    def __rmul__(self, other: Any) -> Rounded:
        return self.__mul__(other)

    def __rsub__(self, other: Any) -> Rounded:
        return (-self).__add__(other)

    def __rtruediv__(self, other: Any) -> Rounded:
        return self._like(other) / self

    def __lt__(self, other: Any) -> Truth:
        return self._truth(np.less, other)

    def __le__(self, other: Any) -> Truth:
        return self._truth(np.less_equal, other)

    def __gt__(self, other: Any) -> Truth:
        return self._truth(np.greater, other)

    def __ge__(self, other: Any) -> Truth:
        return self._truth(np.greater_equal, other)

    def __eq__(self, other: Any) -> Any:
        return self._truth(np.equal, other)

    def __ne__(self, other: Any) -> Any:
        return self._truth(np.not_equal, other)

    __hash__ = None  # type: ignore[assignment]

    def _like(self, other: Any) -> Rounded:
        """Return a number or an array of exact numbers in this format; what the format does not hold, it rounds."""
        if isinstance(other, Rounded):
            return other
        if isinstance(other, float) and math.isfinite(other):
            digits = math.frexp(other)[0] / self.format.unit
            return Rounded(other, 0.0 if digits == round(digits) else self.format.unit * abs(other), format=self.format)
        return Rounded(other, format=self.format)

    def _truth(self, compare: Callable[..., Any], other: Any) -> Truth:
        a, b = self, self._like(other)
        slack = a.error + b.error
        certain = (np.abs(a.value - b.value) > slack) | np.asarray(slack == 0)
        truth = compare(a.value, b.value)
        return Truth(truth, np.broadcast_to(certain, truth.shape))


def _rounded(value: Any, error: Any, roundings: float, format: Precision, drift: Any = 0.0, *, tiny: bool = True) -> Rounded:
    """Return a computed value: the error of its operands, and that of rounding it so many times.

    `tiny`: whether it may underflow, which sums cannot.
    """
    share = gamma(roundings, format.unit)
    with np.errstate(invalid="ignore", over="ignore"):
        size = np.abs(value)
        if _some(drift):
            size = size + drift
        total = share * size
        if _some(error):
            size = size + error
            total = total + error * (1 + share)
        if tiny:
            total = total + format.subnormal * (size != 0)
        if not np.max(size, initial=0.0) < format.largest:  # it may overflow, or the value is no number
            total = np.where(size < format.largest, total, np.inf)
    return Rounded(value, total, format=format, drift=drift)


def _of_product(a: Rounded, b: Rounded, of_a: Any, of_b: Any) -> Any:
    """Return what a product carries of what its factors carry."""
    if not _some(of_a):
        return np.abs(a.value) * of_b if _some(of_b) else 0.0
    return np.abs(b.value) * of_a + (np.abs(a.value) + of_a) * of_b if _some(of_b) else np.abs(b.value) * of_a


def _is_power_of_two(number: Any) -> bool:
    return isinstance(number, int | float) and math.isfinite(number) and math.frexp(number)[0] in (0.5, -0.5)


def _some(carried: Any) -> bool:
    """Whether an error or a drift may be other than nothing."""
    return isinstance(carried, np.ndarray) or carried != 0


def _known(carried: Any) -> Any:
    """Return an error or a drift with infinity for NaN: an infinite error times nothing, of which nothing is known."""
    if isinstance(carried, np.ndarray) and math.isnan(carried.sum()):
        return np.where(np.isnan(carried), np.inf, carried)
    return carried


def _moved(move: Callable[[Any], Any], *arrays: Rounded) -> Rounded:
    """Apply an indexing or a change of shape, which rounds nothing, to the values and to what they carry."""
    (array,) = arrays

    def along(carried: Any) -> Any:
        return move(np.broadcast_to(carried, array.value.shape)) if np.ndim(carried) else carried

    return Rounded(move(array.value), along(array.error), format=array.format, drift=along(array.drift))


class Namespace:
    """The array API's functions for `Rounded` arrays of one format, as far as definitions use them."""

    __name__ = "rounded"

    def __init__(self, format: Precision) -> None:
        self._format = format

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"no error arithmetic is known for the array API's function {name!r}: state it in {__name__}")

    pi, e, inf, nan, newaxis = math.pi, math.e, math.inf, math.nan, None

    def asarray(self, x: Any, **_: Any) -> Rounded:
        return x if isinstance(x, Rounded) else Rounded(np.asarray(x, dtype=float), format=self._format)

    def astype(self, x: Rounded, dtype: Any, **_: Any) -> Rounded:
        return x

    def zeros_like(self, x: Rounded, **_: Any) -> Rounded:
        return Rounded(np.zeros_like(x.value), format=self._format)

    def ones_like(self, x: Rounded, **_: Any) -> Rounded:
        return Rounded(np.ones_like(x.value), format=self._format)

    # Shapes

    def expand_dims(self, x: Rounded, *, axis: int) -> Rounded:
        return _moved(lambda a: np.expand_dims(a, axis), x)

    def squeeze(self, x: Rounded, axis: int) -> Rounded:
        return _moved(lambda a: np.squeeze(a, axis), x)

    def reshape(self, x: Rounded, shape: tuple[int, ...]) -> Rounded:
        return _moved(lambda a: np.reshape(a, shape), x)

    def broadcast_to(self, x: Rounded, shape: tuple[int, ...]) -> Rounded:
        return _moved(lambda a: np.broadcast_to(a, shape), x)

    def permute_dims(self, x: Rounded, axes: tuple[int, ...]) -> Rounded:
        return _moved(lambda a: np.transpose(a, axes), x)

    def matrix_transpose(self, x: Rounded) -> Rounded:
        return x.mT

    # One entry at a time

    def abs(self, x: Rounded) -> Rounded:
        return abs(x)

    def square(self, x: Rounded) -> Rounded:
        return x**2

    def sqrt(self, x: Rounded) -> Rounded:
        value = np.sqrt(np.maximum(x.value, 0))
        with np.errstate(invalid="ignore", divide="ignore"):
            low = np.sqrt(np.maximum(x.value - x.error, 0))
            below = np.where(low > 0, x.error / (value + low), value)
            error = np.maximum(below, np.sqrt(x.value + x.error) - value)
        return _rounded(value, error, 2, self._format, tiny=False)

    def exp(self, x: Rounded) -> Rounded:
        with np.errstate(over="ignore", invalid="ignore"):
            value = np.exp(x.value)
            error = np.where(np.asarray(x.error) < 1, value * np.expm1(np.minimum(x.error, 1)), np.exp(x.value + x.error))
            result = _rounded(value, error, LIBRARY, self._format)
            # What is smaller than the smallest normal number may be taken for zero.
            result.error = result.error + np.where(value + result.error < 2 * self._format.tiny, self._format.tiny, 0)
        return result

    def log(self, x: Rounded) -> Rounded:
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.where(np.asarray(x.error) > 0, -np.log1p(-np.minimum(x.error / x.value, 1)), 0.0)
            return _rounded(np.log(x.value), error, LIBRARY, self._format)

    def tanh(self, x: Rounded) -> Rounded:
        return self._monotone(np.tanh, x)

    def atan(self, x: Rounded) -> Rounded:
        return self._monotone(np.arctan, x)

    def acos(self, x: Rounded) -> Rounded:
        return self._monotone(lambda v: np.arccos(np.clip(v, -1, 1)), x)

    def expm1(self, x: Rounded) -> Rounded:
        return self._monotone(np.expm1, x)

    def log1p(self, x: Rounded) -> Rounded:
        return self._monotone(np.log1p, x)

    def sin(self, x: Rounded) -> Rounded:
        return _rounded(np.sin(x.value), np.minimum(x.error, 2.0), LIBRARY, self._format)

    def cos(self, x: Rounded) -> Rounded:
        return _rounded(np.cos(x.value), np.minimum(x.error, 2.0), LIBRARY, self._format)

    def _monotone(self, function: Callable[[Any], Any], x: Rounded) -> Rounded:
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            value = function(x.value)
            error = np.maximum(np.abs(function(x.value + x.error) - value), np.abs(value - function(x.value - x.error)))
            return _rounded(value, np.where(np.isnan(error), np.inf, error), LIBRARY, self._format)

    # Two sides

    def maximum(self, a: Any, b: Any) -> Rounded:
        return self._either(np.maximum, a, b)

    def minimum(self, a: Any, b: Any) -> Rounded:
        return self._either(np.minimum, a, b)

    def clip(self, x: Rounded, min: Any = None, max: Any = None) -> Rounded:
        x = x if min is None else self.maximum(x, min)
        return x if max is None else self.minimum(x, max)

    def _either(self, function: Callable[..., Any], a: Any, b: Any) -> Rounded:
        a, b = (each if isinstance(each, Rounded) else self.asarray(0.0)._like(each) for each in (a, b))
        value = function(a.value, b.value)
        certain = np.abs(a.value - b.value) > a.error + b.error
        error = np.where(certain, np.where(value == a.value, a.error, b.error), np.maximum(a.error, b.error))
        return Rounded(value, error, format=self._format)

    def where(self, condition: Truth | Array, a: Any, b: Any) -> Rounded:
        truth = condition if isinstance(condition, Truth) else Truth(np.asarray(condition), np.ones(np.shape(condition), bool))
        a, b = (each if isinstance(each, Rounded) else self.asarray(0.0)._like(each) for each in (a, b))
        error = np.where(truth.value, a.error, b.error)
        if not np.all(truth.certain):
            with np.errstate(invalid="ignore"):
                apart = np.abs(a.value - b.value)  # an infinity on both sides is the same on both
            apart = np.where(np.isnan(apart), 0.0, apart) + np.maximum(a.error, b.error)
            error = np.where(truth.certain, error, apart)
        return Rounded(np.where(truth.value, a.value, b.value), error, format=self._format)

    # Along an axis

    def sum(self, x: Rounded, *, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Rounded:
        along = {"axis": axis, "keepdims": keepdims}
        value, sizes = np.sum(x.value, **along), np.abs(x.value)
        error, drift = (np.sum(_full(each, x), **along) if _some(each) else 0.0 for each in (x.error, x.drift))
        sizes = x.magnitude if _some(x.error) or _some(x.drift) else sizes
        terms = np.count_nonzero(sizes, **along)  # exact zeros add nothing
        sizes = np.sum(sizes, **along)
        with np.errstate(invalid="ignore"):
            total = error + _gammas(np.maximum(terms - 1, 0), self._format.unit) * sizes
            if not np.max(sizes, initial=0.0) < self._format.largest:
                total = np.where(sizes < self._format.largest, total, np.inf)
        return Rounded(value, total, format=self._format, drift=drift)

    def mean(self, x: Rounded, *, axis: Any = None, keepdims: bool = False) -> Rounded:
        total = self.sum(x, axis=axis, keepdims=keepdims)
        return total.__truediv__(x.size // max(1, total.size))

    def max(self, x: Rounded, *, axis: Any = None, keepdims: bool = False) -> Rounded:
        return self._extreme(np.max, x, axis=axis, keepdims=keepdims)

    def min(self, x: Rounded, *, axis: Any = None, keepdims: bool = False) -> Rounded:
        return self._extreme(np.min, x, axis=axis, keepdims=keepdims)

    def _extreme(self, function: Callable[..., Any], x: Rounded, **along: Any) -> Rounded:
        value = function(x.value, **along)
        if not np.any(x.error):
            return Rounded(value, format=self._format, drift=np.max(x.drift, **along) if np.ndim(x.drift) else x.drift)
        with np.errstate(invalid="ignore"):
            error = np.maximum(function(x.value + x.error, **along) - value, value - function(x.value - x.error, **along))
        return Rounded(value, np.where(np.isnan(error), 0.0, error), format=self._format)

    def matmul(self, a: Any, b: Any) -> Rounded:
        a, b = (each if isinstance(each, Rounded) else Rounded(each, format=self._format) for each in (a, b))
        k = a.value.shape[-1]
        # The inner product of complex numbers: Higham, lemma 3.5.
        is_complex = np.iscomplexobj(a.value) or np.iscomplexobj(b.value)
        return inner(a, b, math.sqrt(2) * gamma(k + 2, self._format.unit) if is_complex else gamma(k, self._format.unit))


@cache
def _namespace(format: Precision) -> Namespace:
    return Namespace(format)


def _gammas(counts: Any, unit: float) -> Any:
    """Return gamma of each count, and infinity from where it means nothing."""
    product = counts * unit
    return np.where(product < 1, product / np.where(product < 1, 1 - product, 1), np.inf)


def inner(a: Rounded, b: Rounded, share: float, accumulator: Precision | None = None) -> Rounded:
    """Return a matrix product, in the accumulator's format where it is another, whose sums are off by a share of |A||B|."""
    format = accumulator or a.format
    size_a, size_b = np.abs(a.value), np.abs(b.value)
    sizes = _full(a.magnitude, a) @ _full(b.magnitude, b)
    error: Any = 0.0
    if np.any(b.error):
        error = error + size_a @ _full(b.error, b)
    if np.any(a.error):
        error = error + _full(a.error, a) @ (size_b + b.error)
    drift: Any = 0.0
    if np.any(b.drift):
        drift = drift + size_a @ _full(b.drift, b)
    if np.any(a.drift):
        drift = drift + _full(a.drift, a) @ (size_b + b.drift)
    with np.errstate(invalid="ignore"):
        error = error + share * sizes + a.value.shape[-1] * format.subnormal * (sizes > 0)  # a sum of zeros is exact
        error = np.where(sizes < a.format.largest, error, np.inf)  # past that, whether it overflows depends on the order
        return Rounded(a.value @ b.value, error, format=format, drift=drift)


def rounded_to(x: Rounded, format: Precision) -> Rounded:
    """Round to another format, once."""
    return _rounded(x.value, x.error, 1, format, x.drift)


def _full(carried: Any, array: Rounded) -> Array:
    return np.broadcast_to(carried, array.value.shape)


# What definitions say beyond the array API


def pivot(c: Any) -> Any:
    """Mark numbers that the exact result does not depend on: a centre, or the largest exponent of a softmax.

    Whatever a kernel takes for them, it takes the same number wherever it uses them, so that their own error counts for
    nothing. Only the size of what is left may differ by it.
    """
    return Rounded(c.value, 0.0, format=c.format, drift=c.error) if isinstance(c, Rounded) else c


def off_by(x: Any, amount: Any) -> Any:
    """Grant a computed value a further error, such as what a class of error leaves out."""
    if not isinstance(x, Rounded):
        return x
    return Rounded(x.value, x.error + np.abs(getattr(amount, "value", amount)), format=x.format, drift=x.drift)


def unit_roundoff(x: Any) -> float:
    """Return the unit roundoff of an array's working format."""
    return x.format.unit if isinstance(x, Rounded) else float(array_api_compat.array_namespace(x).finfo(x.dtype).eps) / 2


def weighted_mean(weights: Any, values: Any) -> Any:
    """Return sum_j w_j z_j / sum_j w_j along the weights' last axis, and 0 where the weights' sum is 0.

    Parameters
    ----------
    weights : array, shape (..., m)
        Not negative.
    values : array, shape (..., m, d) or (m, d)
    """
    if isinstance(weights, Rounded):
        return _rounded_mean(weights, values if isinstance(values, Rounded) else weights._like(values))
    xp = array_api_compat.array_namespace(weights)
    total = xp.sum(weights, axis=-1)[..., None]
    moved = weights @ values if values.ndim == 2 else xp.sum(weights[..., None] * values, axis=-2)
    return moved / xp.where(total == 0, xp.ones_like(total), total)


def _rounded_mean(weights: Rounded, values: Rounded) -> Rounded:
    """An error of a weight moves the mean by the distance of its value from the mean, over the sum of the weights.

    The two sums and the quotient add their own roundings; the weights may be divided by their sum first.
    """
    w, e, z, format = weights.value, _full(weights.error, weights), values.value, values.format
    total, spared = w.sum(axis=-1), w.sum(axis=-1) - e.sum(axis=-1)
    m = np.count_nonzero((w != 0) | (e != 0), axis=-1)[..., None]
    with np.errstate(all="ignore"):
        mean = np.einsum("...j,...jk->...k", w, z) / np.where(total == 0, 1, total)[..., None]
        spread = np.einsum("...j,...jk->...k", e, np.abs(z - mean[..., None, :]))
        roundings = _gammas(m + 2, format.unit) + _gammas(m, format.unit) + 2 * format.unit
        sizes = np.einsum("...j,...jk->...k", w + e, _full(np.abs(z) + values.drift, values))
        carried = np.einsum("...j,...jk->...k", w + e, _full(values.error, values)) if np.any(values.error) else 0.0
        error = (spread + roundings * (sizes + carried) + carried + m * format.tiny) / spared[..., None]
        error = np.where((spared[..., None] > 0) & ~np.isnan(error), error, np.where(m > 0, np.inf, 0.0))
    drift = np.max(_full(values.drift, values), axis=-2) if np.ndim(values.drift) else values.drift
    return Rounded(mean, error, format=format, drift=drift)
