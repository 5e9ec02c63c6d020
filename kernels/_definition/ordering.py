"""The array API's functions that compare the entries along an axis, for numbers that are known within a bound."""

from __future__ import annotations

from collections.abc import Callable
from functools import partialmethod
from typing import Any

import numpy as np

from kernels._definition.certain import Choice, Truth, truth
from kernels._definition.moving import Moving, Rounded, full

Array = np.ndarray[Any, Any]


class Ordering(Moving):
    """These functions, of a namespace for `Rounded` arrays."""

    def _extreme(self, function: Callable[..., Any], x: Rounded, **along: Any) -> Rounded:
        value = function(x.value, **along)
        if not np.any(x.error):
            return type(x)(value, format=x.format, drift=np.max(full(x.drift, x), **along))
        with np.errstate(invalid="ignore"):
            error = np.maximum(function(x.value + x.error, **along) - value, value - function(x.value - x.error, **along))
        return type(x)(value, np.where(np.isnan(error), 0.0, error), format=x.format)

    max, min = partialmethod(_extreme, np.max), partialmethod(_extreme, np.min)

    def argmin(self, x: Rounded, *, axis: int = -1, keepdims: bool = False) -> Choice:
        choice = Choice.of(x.value, full(x.error, x), axis=axis, sorts=False)
        return choice[(*(slice(None),) * (axis % x.ndim), None)] if keepdims else choice

    def argmax(self, x: Rounded, *, axis: int = -1, keepdims: bool = False) -> Choice:
        return self.argmin(-x, axis=axis, keepdims=keepdims)

    def argsort(self, x: Rounded, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Choice:
        return Choice.of(x.value, full(x.error, x), axis=axis, sorts=True, largest=descending)

    def sort(self, x: Rounded, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Rounded:
        """A sorted number lies between the sorted lower bounds and the sorted upper ones."""
        if descending:
            return -self.sort(-x, axis=axis)
        value = np.sort(x.value, axis=axis)
        with np.errstate(invalid="ignore"):
            apart = (np.abs(np.sort(bound, axis=axis) - value) for bound in (x.value - x.error, x.value + x.error))
            error = np.maximum(*apart)
        return type(x)(value, np.where(np.isnan(error), 0.0, error), format=x.format)  # an infinity in its place is exact

    def take(self, x: Any, indices: Any, *, axis: Any = None) -> Any:
        if isinstance(indices, Choice):
            return self._chosen(x, indices, axis or 0)
        return self._move(lambda a: np.take(a, indices, axis), x)

    def take_along_axis(self, x: Any, indices: Any, *, axis: int = -1) -> Any:
        if not isinstance(indices, Choice):
            return self._move(lambda a: np.take_along_axis(a, np.asarray(indices), axis), x)
        value = np.take_along_axis(x.value, indices.value, axis)
        candidates = (np.expand_dims(np.moveaxis(each, axis, 0), 1 + axis % x.ndim) for each in (x.value, full(x.error, x)))
        return self._among(x, value, indices.possible, *candidates)

    def _chosen(self, x: Rounded, indices: Choice, axis: int) -> Rounded:
        """Return the entries along an axis, the first unless indices are one-dimensional, that indices choose."""
        if axis % x.ndim:
            raise TypeError("error arithmetic takes, at indices that rounding may change, along the first axis alone")
        rest = (None,) * (x.ndim - 1)
        candidates = (each[(slice(None), *(None,) * indices.ndim)] for each in (x.value, full(x.error, x)))
        return self._among(x, x.value[indices.value], indices.possible[(..., *rest)], *candidates)

    def _among(self, x: Rounded, value: Array, possible: Array, candidates: Array, errors: Array) -> Rounded:
        """Return numbers taken at indices that rounding may change: off by as much as any that may be taken."""
        with np.errstate(invalid="ignore"):
            apart = np.where(possible, np.abs(candidates - value) + errors, 0.0)
        return type(x)(value, np.where(np.isnan(apart), 0.0, apart).max(axis=0, initial=0.0), format=x.format)

    def all(self, x: Any, **along: Any) -> Truth:
        return truth(x).all(**along)

    def any(self, x: Any, **along: Any) -> Truth:
        return truth(x).any(**along)

    def _classified(self, classify: Callable[..., Any], x: Rounded) -> Truth:
        return truth(classify(x.value))

    isfinite, isinf = partialmethod(_classified, np.isfinite), partialmethod(_classified, np.isinf)
    isnan = partialmethod(_classified, np.isnan)
