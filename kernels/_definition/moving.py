"""The array API's functions that give entries another place and round nothing, for arrays that carry what is known of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from kernels._definition.certain import Truth

Rounded = Any  # an array of `rounded.py`, which imports this file
R = TypeVar("R")  # such an array


def moved(move: Callable[..., Any], *arrays: R) -> R:
    """Apply an indexing or a change of shape to the values of arrays and to what they carry."""
    given: Any = arrays
    first = given[0]

    def along(carried: list[Any]) -> Any:
        if any(map(np.ndim, carried)):
            return move(*(np.broadcast_to(each, array.value.shape) for each, array in zip(carried, given, strict=True)))
        return max(carried)

    error, drift = along([array.error for array in given]), along([array.drift for array in given])
    made: R = type(first)(move(*(array.value for array in given)), error, format=first.format, drift=drift)
    return made


def full(carried: Any, array: Rounded) -> np.ndarray[Any, Any]:
    """Return what an array carries, entry by entry."""
    return np.broadcast_to(carried, array.value.shape)


class Moving:
    """These functions, of a namespace for `Rounded` arrays, for `Truth`, and for plain arrays of whole numbers."""

    asarray: Callable[..., Any]  # of the namespace that this is a part of

    def _move(self, move: Callable[..., Any], x: Any) -> Any:
        if isinstance(x, Truth):
            return Truth(move(x.value), move(x.certain))
        return move(x) if isinstance(x, np.ndarray) else moved(move, x)

    def concat(self, arrays: Sequence[Any], *, axis: Any = 0) -> Any:
        return moved(lambda *each: np.concatenate(each, axis), *map(self.asarray, arrays))

    def stack(self, arrays: Sequence[Any], *, axis: int = 0) -> Any:
        return moved(lambda *each: np.stack(each, axis), *map(self.asarray, arrays))

    def arange(self, *args: Any, **_: Any) -> Any:
        return np.arange(*args)


def _moving(name: str) -> Callable[..., Any]:
    move = getattr(np, name)
    return lambda self, x, *args, **kwargs: self._move(lambda array: move(array, *args, **kwargs), x)


for _name in ("broadcast_to", "expand_dims", "flip", "matrix_transpose", "permute_dims", "reshape", "roll", "squeeze"):
    setattr(Moving, _name, _moving(_name))
