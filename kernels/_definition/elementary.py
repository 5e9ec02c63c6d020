"""The functions of a mathematical library, entry by entry, for numbers that are known within a bound."""

from __future__ import annotations

from collections.abc import Callable
from functools import partialmethod
from typing import Any

import numpy as np

from kernels._definition.moving import Rounded
from kernels._definition.numerics import Precision

LIBRARY = 8  # units of roundoff in which mathematical libraries give exp, log and the like


class Elementary:
    """These functions, of a namespace for `Rounded` arrays."""

    _format: Precision  # of the namespace that this is a part of
    _computed: Callable[..., Any]  # makes an array of values, the errors of what they were made of, and their own roundings

    def sqrt(self, x: Rounded) -> Rounded:
        value = np.sqrt(np.maximum(x.value, 0))
        with np.errstate(invalid="ignore", divide="ignore"):
            low = np.sqrt(np.maximum(x.value - x.error, 0))
            below = np.where(low > 0, x.error / (value + low), value)
            error = np.maximum(below, np.sqrt(x.value + x.error) - value)
        return self._computed(value, error, 2, tiny=False)

    def exp(self, x: Rounded) -> Rounded:
        with np.errstate(over="ignore", invalid="ignore"):
            value = np.exp(x.value)
            error = np.where(np.asarray(x.error) < 1, value * np.expm1(np.minimum(x.error, 1)), np.exp(x.value + x.error))
            exact = np.isinf(x.value) & np.asarray(x.error == 0)  # an infinity that was brought, or one that hides an entry
            result = self._computed(value, np.where(exact, 0.0, error), LIBRARY)
            # What is smaller than the smallest normal number may be taken for zero.
            smallest = (value + result.error < 2 * self._format.tiny) & ~exact
            result.error = result.error + np.where(smallest, self._format.tiny, 0)
        return result

    def log(self, x: Rounded) -> Rounded:
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.where(np.asarray(x.error) > 0, -np.log1p(-np.minimum(x.error / x.value, 1)), 0.0)
            return self._computed(np.log(x.value), error, LIBRARY)

    def _periodic(self, function: Callable[[Any], Any], x: Rounded) -> Rounded:
        return self._computed(function(x.value), np.minimum(x.error, 2.0), LIBRARY)

    sin, cos = partialmethod(_periodic, np.sin), partialmethod(_periodic, np.cos)

    def atan2(self, y: Rounded, x: Rounded) -> Rounded:
        """A point that may be anywhere in a disc is seen from the origin within the angle of the disc's tangents.

        Past the negative half of the x-axis the angle wraps around, on it by the sign of a zero; around the origin it may be any.
        """
        with np.errstate(invalid="ignore"):
            share = np.hypot(y.error, x.error) / np.hypot(y.value, x.value)
            goes_round = (x.value - x.error <= 0) & (np.abs(y.value) <= y.error)
            error = np.where(goes_round | ~(share < 1), 2 * np.pi, np.arcsin(np.minimum(share, 1)))
        return self._computed(np.arctan2(y.value, x.value), error, LIBRARY)

    def _monotone(self, function: Callable[[Any], Any], x: Rounded) -> Rounded:
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            value = function(x.value)
            error = np.maximum(np.abs(function(x.value + x.error) - value), np.abs(value - function(x.value - x.error)))
            return self._computed(value, np.where(np.isnan(error), np.inf, error), LIBRARY)


MONOTONE: dict[str, Callable[[Any], Any]] = {
    "acos": lambda x: np.arccos(np.clip(x, -1, 1)),
    "atan": np.arctan,
    "expm1": np.expm1,
    "log1p": np.log1p,
    "tanh": np.tanh,
}
for _name, _function in MONOTONE.items():
    setattr(Elementary, _name, partialmethod(Elementary._monotone, _function))
