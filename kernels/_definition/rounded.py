"""Arrays that carry a bound on their rounding: an operation's definition, evaluated on them, gives its error bound.

A `Rounded` array holds what the definition gives in a wide precision, and how far from it the same definition may end in a
working precision, whatever the order of its sums: running error analysis (Higham, Accuracy and Stability of Numerical
Algorithms, 2nd ed., section 3.3). Its namespace has the array API's functions, so that a definition needs no change.

What each function costs, in units of the working roundoff u, and which freedoms that leaves a kernel:

- `+`, `-`, `*` and `square`: one rounding, a fused multiply-add included. Adding an exact zero and multiplying by a power of
  two cost nothing.
- `/`: two, since a kernel may multiply by a reciprocal. A Python number that the working format does not hold costs one.
- `sqrt`: two. `exp`, `log`, `atan2` and other functions of a mathematical library: eight (measured on NumPy's, glibc's and
  CUDA's).
- `sum` of k terms and `matmul` over k: gamma_(k-1) and gamma_k of the magnitudes, for any order (Higham, section 3.1).
- `abs`, negation, indexing, `max`, `minimum`, `where`: none. Where it is certain which side is taken, that side's error alone
  counts; where rounding may change the side, the distance between the sides is added.

Functions that give entries another place are in `moving.py`, those that compare the entries along an axis in `ordering.py`,
those of a mathematical library in `elementary.py`, matrix products in `products.py`; comparisons and indices, and what is certain
of them, in `certain.py`; and what a definition may say beyond the array API, such as `pivot`, in `rounding.py`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import cache, partialmethod
from typing import Any

import numpy as np

from kernels._definition.certain import Choice, Truth, Valued, truth
from kernels._definition.elementary import Elementary
from kernels._definition.moving import full, moved
from kernels._definition.numerics import Precision, gamma
from kernels._definition.ordering import Ordering
from kernels._definition.products import gammas, inner

Array = np.ndarray[Any, Any]
DTYPES = ("bool", "int32", "int64", "float32", "float64")  # that a definition may name


class Rounded(Valued):
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

    device = "cpu"

    def __init__(self, value: Any, error: Any = 0.0, *, format: Precision, drift: Any = 0.0) -> None:
        self.value, self.error, self.drift, self.format = np.asarray(value), _known(error), _known(drift), format

    def __array_namespace__(self, api_version: str | None = None) -> Namespace:
        return _namespace(self.format)

    @property
    def T(self) -> Rounded:
        """The array with its axes the other way round."""
        return moved(np.transpose, self)

    @property
    def mT(self) -> Rounded:
        """The array with its last two axes exchanged."""
        return moved(lambda a: np.swapaxes(a, -1, -2), self)

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, index: Any) -> Rounded:
        return moved(lambda a: a[index], self)

    @property
    def magnitude(self) -> Any:
        """The largest size that a computed value may have."""
        return np.abs(self.value) + self.error + self.drift

    def __add__(self, other: Any) -> Rounded:
        a, b = self, in_format(other, self.format)
        with np.errstate(invalid="ignore"):
            value, error = a.value + b.value, a.error + b.error
        if np.isinf(value).any():  # whatever is added to an infinity
            error = np.where(np.isinf(a.value), a.error, np.where(np.isinf(b.value), b.error, error))
        total = rounded(value, error, 1, self.format, a.drift + b.drift, tiny=False)
        for one, zero in ((a, b), (b, a)):
            if not zero.value.all():
                nothing = zero.magnitude == 0
                total.error = np.where(nothing, one.error, total.error)
        return total

    def __mul__(self, other: Any) -> Rounded:
        a, b = self, in_format(other, self.format)
        with np.errstate(invalid="ignore", over="ignore"):
            error, drift = _of_product(a, b, a.error, b.error), _of_product(a, b, a.drift, b.drift)
            product = a.value * b.value
        if _is_power_of_two(other):  # exact, but for digits that a subnormal number has no place for
            if abs(other) < 1:
                error = error + self.format.subnormal * ((product != 0) & (np.abs(product) < self.format.tiny))
            return Rounded(product, error, format=self.format, drift=drift)
        # The product of complex numbers: Higham, lemma 3.5.
        return rounded(product, error, 2 * math.sqrt(2) if np.iscomplexobj(product) else 1, self.format, drift)

    def __truediv__(self, other: Any) -> Rounded:
        if _is_power_of_two(other):
            return self.__mul__(1 / other)
        a, b = self, in_format(other, self.format)
        with np.errstate(all="ignore"):
            quotient, least = a.value / b.value, np.abs(b.value) - b.error - b.drift
            least = np.where(least > 0, least, 0.0)  # a divisor that may be zero leaves nothing known
            error = (a.error + np.abs(quotient) * b.error) / least if _some(a.error) or _some(b.error) else 0.0
            drift = (a.drift + np.abs(quotient) * b.drift) / least if _some(a.drift) or _some(b.drift) else 0.0
        return rounded(quotient, error, 2, self.format, drift)

    def __pow__(self, exponent: float) -> Rounded:
        if exponent == 2:
            return self * self
        if exponent == 0.5:
            root: Rounded = self.__array_namespace__().sqrt(self)
            return root
        raise TypeError(f"a definition may raise to the powers 2 and 0.5; got {exponent}")

    def __matmul__(self, other: Any) -> Rounded:
        return self.__array_namespace__().matmul(self, other)

    def __sub__(self, other: Any) -> Rounded:
        return self + -in_format(other, self.format)

    def __neg__(self) -> Rounded:
        return Rounded(-self.value, self.error, format=self.format, drift=self.drift)

    def __abs__(self) -> Rounded:
        return Rounded(np.abs(self.value), self.error, format=self.format, drift=self.drift)

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: Any) -> Rounded:
        return (-self).__add__(other)

    def __rtruediv__(self, other: Any) -> Rounded:
        return in_format(other, self.format) / self

    def _compared(self, other: Any, compare: np.ufunc) -> Truth:
        a, b = self, in_format(other, self.format)
        slack = a.error + b.error
        certain = (np.abs(a.value - b.value) > slack) | np.asarray(slack == 0)
        value = np.asarray(compare(a.value, b.value))
        return Truth(value, np.broadcast_to(certain, value.shape))

    __lt__, __le__ = partialmethod(_compared, compare=np.less), partialmethod(_compared, compare=np.less_equal)
    __gt__, __ge__ = partialmethod(_compared, compare=np.greater), partialmethod(_compared, compare=np.greater_equal)
    __eq__ = partialmethod(_compared, compare=np.equal)
    __ne__ = partialmethod(_compared, compare=np.not_equal)
    __hash__ = None  # type: ignore[assignment]


def in_format(x: Any, format: Precision) -> Rounded:
    """Return a number or an array of exact numbers in a format; a number that the format does not hold, it rounds."""
    if isinstance(x, Rounded):
        return x
    if isinstance(x, float) and math.isfinite(x):
        digits = math.frexp(x)[0] / format.unit
        return Rounded(x, 0.0 if digits == round(digits) else format.unit * abs(x), format=format)
    return Rounded(x, format=format)


def rounded(value: Any, error: Any, roundings: float, format: Precision, drift: Any = 0.0, *, tiny: bool = True) -> Rounded:
    """Return a computed value: the error of its operands, and that of rounding it so many times.

    `tiny`: whether it may underflow, which sums cannot.
    """
    share = gamma(roundings, format.unit)
    with np.errstate(invalid="ignore", over="ignore"):
        size = np.abs(value)
        total = share * (size + drift)
        if _some(error):
            size = size + error
            total = total + error * (1 + share)
        if tiny:
            total = total + format.subnormal * (size + drift != 0)
        if not np.max(size, initial=0.0) < format.largest:  # it may overflow, or the value is no number
            exact = np.isinf(value) & np.asarray(error == 0)  # an infinity that was brought stays one
            total = np.where(size < format.largest, total, np.where(exact, 0.0, np.inf))
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


class Namespace(Ordering, Elementary):
    """The array API's functions for `Rounded` arrays of one format, as far as definitions use them."""

    __name__ = "rounded"

    def __init__(self, format: Precision) -> None:
        self._format = format

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"no error arithmetic is known for the array API's function {name!r}: state it in {__name__}")

    pi, e, inf, nan, newaxis = math.pi, math.e, math.inf, math.nan, None

    def asarray(self, x: Any, **_: Any) -> Rounded:
        return x if isinstance(x, Rounded) else Rounded(np.asarray(x, dtype=float), format=self._format)

    def astype(self, x: Any, dtype: Any, **_: Any) -> Any:
        if isinstance(x, Rounded) or (isinstance(x, Truth | Choice) and np.dtype(dtype).kind in "iub"):
            return x
        if np.dtype(dtype).kind in "iub":
            return np.asarray(x).astype(dtype)
        return self.where(x, 1.0, 0.0) if isinstance(x, Truth) else self.asarray(x)

    def full(self, shape: Any, fill_value: Any, *, dtype: Any = None, **_: Any) -> Any:
        made = np.full(shape, fill_value, dtype=float if dtype is None else dtype)
        return made if made.dtype.kind in "iub" else self.asarray(made)

    def full_like(self, x: Rounded, fill_value: Any, **_: Any) -> Rounded:
        return Rounded(np.full_like(x.value, fill_value), format=self._format)

    zeros, ones = partialmethod(full, fill_value=0), partialmethod(full, fill_value=1)
    zeros_like, ones_like = partialmethod(full_like, fill_value=0), partialmethod(full_like, fill_value=1)

    def _computed(self, value: Any, error: Any, roundings: float, *, tiny: bool = True) -> Rounded:
        return rounded(value, error, roundings, self._format, tiny=tiny)

    # Two sides

    def _either(self, function: Callable[..., Any], a: Any, b: Any) -> Rounded:
        a, b = (in_format(each, self._format) for each in (a, b))
        value = function(a.value, b.value)
        certain = np.abs(a.value - b.value) > a.error + b.error
        error = np.where(certain, np.where(value == a.value, a.error, b.error), np.maximum(a.error, b.error))
        return Rounded(value, error, format=self._format)

    maximum, minimum = partialmethod(_either, np.maximum), partialmethod(_either, np.minimum)

    def clip(self, x: Rounded, min: Any = None, max: Any = None) -> Rounded:
        x = x if min is None else self.maximum(x, min)
        return x if max is None else self.minimum(x, max)

    def where(self, condition: Truth | Array, a: Any, b: Any) -> Rounded:
        which = truth(condition)
        a, b = (in_format(each, self._format) for each in (a, b))
        error = np.where(which.value, a.error, b.error)
        if not np.all(which.certain):
            with np.errstate(invalid="ignore"):
                apart = np.abs(a.value - b.value)  # an infinity on both sides is the same on both
            apart = np.where(np.isnan(apart), 0.0, apart) + np.maximum(a.error, b.error)
            error = np.where(which.certain, error, apart)
        return Rounded(np.where(which.value, a.value, b.value), error, format=self._format)

    # Along an axis

    def sum(self, x: Rounded, *, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Rounded:
        along = {"axis": axis, "keepdims": keepdims}
        value, sizes = np.sum(x.value, **along), np.abs(x.value)
        error, drift = (np.sum(full(each, x), **along) if _some(each) else 0.0 for each in (x.error, x.drift))
        sizes = x.magnitude if _some(x.error) or _some(x.drift) else sizes
        terms = np.count_nonzero(sizes, **along)  # exact zeros add nothing
        sizes = np.sum(sizes, **along)
        with np.errstate(invalid="ignore"):
            total = error + gammas(np.maximum(terms - 1, 0), self._format.unit) * sizes
            if not np.max(sizes, initial=0.0) < self._format.largest:
                total = np.where(sizes < self._format.largest, total, np.inf)
        return Rounded(value, total, format=self._format, drift=drift)

    def var(self, x: Rounded, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Rounded:
        total = self.sum((x - self.mean(x, axis=axis, keepdims=True)) ** 2, axis=axis, keepdims=keepdims)
        count: int = x.size // max(1, total.size)
        return total / (count - correction)

    def std(self, x: Rounded, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Rounded:
        root: Rounded = self.sqrt(self.var(x, axis=axis, correction=correction, keepdims=keepdims))
        return root

    def mean(self, x: Rounded, *, axis: Any = None, keepdims: bool = False) -> Rounded:
        total = self.sum(x, axis=axis, keepdims=keepdims)
        count: int = x.size // max(1, total.size)
        return total / count

    def matmul(self, a: Any, b: Any) -> Rounded:
        a, b = (each if isinstance(each, Rounded) else Rounded(each, format=self._format) for each in (a, b))
        k = a.value.shape[-1]
        # The inner product of complex numbers: Higham, lemma 3.5.
        is_complex = np.iscomplexobj(a.value) or np.iscomplexobj(b.value)
        share = math.sqrt(2) * gamma(k + 2, self._format.unit) if is_complex else gamma(k, self._format.unit)
        product: Rounded = inner(a, b, share)
        return product


_OPERATORS: dict[str, Any] = {
    "square": lambda x: x**2,
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul, "divide": operator.truediv, "pow": operator.pow,
    "negative": operator.neg, "less": operator.lt, "less_equal": operator.le, "greater": operator.gt, "equal": operator.eq,
    "greater_equal": operator.ge, "not_equal": operator.ne, "logical_and": operator.and_, "logical_or": operator.or_,
    "logical_not": operator.invert, "abs": operator.abs,
}  # fmt: skip
for _name, _operation in _OPERATORS.items():
    setattr(Namespace, _name, staticmethod(_operation))
for _name in DTYPES:
    setattr(Namespace, _name, np.dtype(_name))


@cache
def _namespace(format: Precision) -> Namespace:
    return Namespace(format)


def rounded_to(x: Rounded, format: Precision) -> Rounded:
    """Round to another format, once."""
    return rounded(x.value, x.error, 1, format, x.drift)
