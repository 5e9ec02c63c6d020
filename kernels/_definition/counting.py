"""Arrays that only count: an operation's definition, evaluated on them, gives its floating-point operations and its memory.

An entry of an elementwise function counts as one operation, whatever the function; a sum counts its terms, and a matrix product
two for each of its terms.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

ELEMENTWISE = frozenset({
    "abs", "acos", "add", "asin", "atan", "atan2", "clip", "cos", "divide", "equal", "exp", "expm1", "floor", "greater",
    "greater_equal", "isfinite", "isinf", "isnan", "less", "less_equal", "log", "log1p", "logical_and", "logical_not",
    "logical_or", "maximum", "minimum", "multiply", "negative", "not_equal", "pow", "round", "sign", "sin", "sqrt", "square",
    "subtract", "tan", "tanh", "where",
})  # fmt: skip
REDUCTIONS = frozenset({"all", "any", "argmax", "argmin", "count_nonzero", "max", "mean", "min", "prod", "std", "sum", "var"})
SAME_SHAPE = frozenset({"asarray", "astype", "cumulative_sum", "flip", "full_like", "ones_like", "roll", "zeros_like"})
SORTS = frozenset({"argsort", "sort"})  # a comparison for each entry and each bit of their number
VIEWS = frozenset({"broadcast_to", "expand_dims", "matrix_transpose", "permute_dims", "squeeze"})  # NumPy copies nothing for them


@dataclass
class Tally:
    """What an evaluation has cost so far: operations, and the entries of its largest array and of each part of its result."""

    flops: int = 0
    largest: int = 0
    results: tuple[int, ...] = ()

    def made(self, shape: tuple[int, ...], flops: int = 0) -> Counted:
        """Count a new array, and the operations that it took."""
        self.flops += flops
        self.largest = max(self.largest, math.prod(shape))
        return Counted(shape, self)


class Counted:
    """An array of which only the shape is known."""

    __array_ufunc__ = None  # NumPy leaves operators to this class

    def __init__(self, shape: tuple[int, ...], tally: Tally) -> None:
        self.shape, self.tally = tuple(shape), tally
        self.ndim, self.size, self.dtype, self.device = len(self.shape), math.prod(self.shape), np.dtype(float), "cpu"

    def __array_namespace__(self, api_version: str | None = None) -> Namespace:
        return Namespace(self.tally)

    T = property(lambda self: Counted(self.shape[::-1], self.tally))
    mT = property(lambda self: Counted((*self.shape[:-2], self.shape[-1], self.shape[-2]), self.tally))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Counted:
        index = index if isinstance(index, tuple) else (index,)
        return Counted(_shown(self)[index].shape, self.tally)

    def __matmul__(self, other: Any) -> Counted:
        return self.__array_namespace__().matmul(self, other)


def _elementwise(*arrays: Any, tally: Tally) -> Counted:
    shape = _broadcast(*map(np.shape, arrays))
    return tally.made(shape, math.prod(shape))


def _broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Return what NumPy's broadcast_shapes does, axis by axis: what is only counted may have more entries than an array can."""
    columns = itertools.zip_longest(*(shape[::-1] for shape in shapes), fillvalue=1)
    return tuple(np.broadcast_shapes(*((extent,) for extent in column))[0] for column in columns)[::-1]


def _operator(self: Counted, *others: Any) -> Counted:
    return _elementwise(self, *others, tally=self.tally)


for _name in ("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "pow", "neg", "abs", "lt", "le", "gt", "ge",
              "eq", "ne", "and", "or", "invert"):  # fmt: skip
    setattr(Counted, f"__{_name}__", _operator)


class Namespace:
    """The array API's functions for `Counted` arrays."""

    __name__ = "counted"
    pi, e, inf, nan, newaxis = math.pi, math.e, math.inf, math.nan, None

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name in ELEMENTWISE:
            return lambda *arrays, **_: _elementwise(*arrays, tally=self._tally)
        if name in REDUCTIONS:
            return self._reduction
        if name in SORTS:
            return lambda x, **_: self._tally.made(x.shape, x.size * max(1, x.size - 1).bit_length())
        if name in SAME_SHAPE:
            return lambda x, *_, **__: self._tally.made(np.shape(x))
        if name in VIEWS:
            return lambda x, *args, **kwargs: self._tally.made(getattr(np, name)(_shown(x), *args, **kwargs).shape)
        raise AttributeError(f"no count is known for the array API's function {name!r}: state it in {__name__}")

    def _reduction(self, x: Counted, *, axis: Any = None, keepdims: bool = False, **_: Any) -> Counted:
        axes = range(x.ndim) if axis is None else [i % x.ndim for i in np.atleast_1d(axis)]
        shape = [1 if i in axes else extent for i, extent in enumerate(x.shape) if keepdims or i not in axes]
        return self._tally.made(tuple(shape), x.size)

    def reshape(self, x: Counted, shape: tuple[int, ...]) -> Counted:
        known = -math.prod(shape)  # one extent may be -1
        return self._tally.made(tuple(x.size // known if extent == -1 else extent for extent in shape))

    def zeros(self, shape: int | tuple[int, ...], *_: Any, **__: Any) -> Counted:
        return self._tally.made(shape if isinstance(shape, tuple) else (shape,))

    ones = full = empty = zeros

    def arange(self, *args: Any, **_: Any) -> Counted:
        return self._tally.made(np.arange(*args).shape)

    def take(self, x: Counted, indices: Any, *, axis: int = 0) -> Counted:
        axis %= x.ndim
        return self._tally.made((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))

    def take_along_axis(self, x: Counted, indices: Any, *, axis: int = -1) -> Counted:
        return self._tally.made(indices.shape)

    def concat(self, arrays: Sequence[Counted], *, axis: int = 0) -> Counted:
        first = arrays[0].shape
        axis %= len(first)
        return self._tally.made((*first[:axis], sum(each.shape[axis] for each in arrays), *first[axis + 1 :]))

    def stack(self, arrays: Sequence[Counted], *, axis: int = 0) -> Counted:
        return self.concat([self.expand_dims(each, axis=axis) for each in arrays], axis=axis)

    def matmul(self, a: Any, b: Any) -> Counted:
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        shape = (*batch, *a.shape[:-1][-1:], *b.shape[-1:][: b.ndim - 1])  # a vector has no row, or no column
        return self._tally.made(shape, 2 * math.prod(shape) * a.shape[-1])


for _name in ("bool", "int32", "int64", "float32", "float64"):
    setattr(Namespace, _name, np.dtype(_name))


def _shown(x: Counted) -> np.ndarray[Any, Any]:
    """Return a NumPy array of the shape, whose entries take no memory: it may have more than NumPy could count bytes of."""
    nothing = np.dtype([])
    return np.ndarray(x.shape, nothing, np.zeros((), nothing), strides=(0,) * x.ndim)
