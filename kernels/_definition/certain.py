"""Comparisons and indices of numbers that are known within a bound: what they are, and which others rounding may make of them.

A `Truth` is a comparison. A `Choice` is an index that a definition takes by comparing, such as the nearest of some sites: an
answer that need not be unique, since a tie, or what rounding makes one, may be broken either way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


class Valued:
    """What has an array of values, and more that is known of each of them."""

    __array_ufunc__ = None  # NumPy leaves operators to this class

    value: Any
    shape = property(lambda self: self.value.shape)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    dtype = property(lambda self: self.value.dtype)


@dataclass(frozen=True, eq=False)
class Truth(Valued):
    """A comparison: what it is without rounding, and where rounding cannot change it."""

    value: Array
    certain: Array

    def __and__(self, other: Any) -> Truth:
        other = truth(other)
        settled = (self.certain & ~self.value) | (other.certain & ~other.value)  # false whatever the other side is
        return Truth(self.value & other.value, settled | (self.certain & other.certain))

    def __or__(self, other: Any) -> Truth:
        return ~(~self & ~truth(other))

    __rand__, __ror__ = __and__, __or__

    def __invert__(self) -> Truth:
        return Truth(~self.value, self.certain)

    def __getitem__(self, index: Any) -> Truth:
        return Truth(self.value[index], self.certain[index])

    def any(self, **along: Any) -> Truth:
        """Whether any is true along an axis."""
        value = np.any(self.value, **along)
        return Truth(value, np.where(value, np.any(self.value & self.certain, **along), np.all(self.certain, **along)))

    def all(self, **along: Any) -> Truth:
        """Whether all are true along an axis."""
        return ~(~self).any(**along)


def truth(condition: Any) -> Truth:
    """Return a condition as one that rounding may change, or leave where it is sure."""
    if isinstance(condition, Truth):
        return condition
    return Truth(np.asarray(condition), np.ones(np.shape(condition), bool))


@dataclass(frozen=True, eq=False)
class Choice(Valued):
    """Indices into candidates: those without rounding, and which others rounding may make of them.

    Parameters
    ----------
    value : ndarray of int
        What is chosen by the exact numbers.
    low, high : ndarray, shape (candidates, *value.shape)
        What each candidate's number is at least and at most.
    least, most : ndarray, shape value.shape
        Between what the number at the chosen place may lie: for the smallest number, the smallest of the `low` and of the `high`.
    distinct : int or None
        An axis of `value` along which no candidate may be chosen twice.
    """

    value: Array
    low: Array
    high: Array
    least: Array
    most: Array
    distinct: int | None = None

    @property
    def possible(self) -> Array:
        """Which candidates rounding may make the choice, an axis for them before those of the indices."""
        return (self.low <= self.most) & (self.high >= self.least)

    @staticmethod
    def of(values: Array, error: Any, *, axis: int, sorts: bool, largest: bool = False) -> Choice:
        """Return the index of the smallest number along an axis, or the indices that sort all of them."""
        error = np.where(np.isnan(values) | np.isnan(error), np.inf, error)
        values = -values if largest else values
        low, high = (np.moveaxis(bound, axis, 0) for bound in (values - error, values + error))
        if sorts:
            value = np.argsort(values, axis=axis, kind="stable")
            least, most = (np.moveaxis(np.sort(bound, axis=0), 0, axis) for bound in (low, high))
            low, high = (
                np.broadcast_to(np.expand_dims(bound, 1 + axis % values.ndim), (len(bound), *value.shape))
                for bound in (low, high)
            )
            return Choice(value, low, high, least, most, axis % values.ndim)
        return Choice(np.argmin(values, axis=axis), low, high, low.min(axis=0), high.min(axis=0))

    def __getitem__(self, index: Any) -> Choice:
        index = index if isinstance(index, tuple) else (index,)
        low, high = (each[(slice(None), *index)] for each in (self.low, self.high))
        distinct = self.distinct
        if distinct is not None:
            places = np.arange(self.shape[distinct]).reshape([-1] + [1] * (self.ndim - 1 - distinct))
            marks = np.broadcast_to(places, self.shape)[index]
            along = [axis for axis in range(marks.ndim) if marks.strides[axis]]
            distinct = along[0] if along else None
        return Choice(self.value[index], low, high, self.least[index], self.most[index], distinct)

    def allows(self, indices: Any) -> Any:
        """Return which of some indices attain, within the bounds of both sides, what is asked for."""
        indices = np.asarray(indices)
        allowed = self._may_be(indices)
        if self.distinct is not None and indices.shape[self.distinct] > 1:
            ordered = np.sort(indices, axis=self.distinct)
            twice = (np.diff(ordered, axis=self.distinct) == 0).any(axis=self.distinct, keepdims=True)
            allowed = allowed & ~twice
        return allowed

    def _may_be(self, indices: Array) -> Array:
        """Return which of some indices, of a shape that broadcasts with that of the choice, rounding may make the choice."""
        inside = (indices >= 0) & (indices < len(self.low))
        shape = np.broadcast_shapes(self.shape, indices.shape)
        if not len(self.low):
            return np.broadcast_to(inside, shape)
        chosen = np.broadcast_to(np.where(inside, indices, 0), shape)[None]
        further = (slice(None), *(None,) * (len(shape) - self.ndim))
        low, high = (
            np.take_along_axis(np.broadcast_to(each[further], (len(each), *shape)), chosen, axis=0)[0]
            for each in (self.low, self.high)
        )
        allowed: Array = inside & (low <= self.most) & (high >= self.least)
        return allowed

    def __eq__(self, other: Any) -> Any:
        """Whether some candidate is the chosen one, and whether rounding may change that."""
        other = np.asarray(other)
        several = np.count_nonzero(self.possible, axis=0) > 1
        return Truth(self.value == other, ~(several & self._may_be(other)))

    def __ne__(self, other: Any) -> Any:
        return ~(self == other)

    __hash__ = None  # type: ignore[assignment]
