"""The array API's functions that give entries another place and round nothing, for arrays that carry what is known of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from kernels._definition.certain import Truth

Rounded = Any  # an array of `rounded.py`, which is made of what stands here
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

    def expand_dims(self, x: Any, *, axis: int) -> Any:
        return self._move(lambda a: np.expand_dims(a, axis), x)

    def squeeze(self, x: Any, axis: int) -> Any:
        return self._move(lambda a: np.squeeze(a, axis), x)

    def reshape(self, x: Any, shape: tuple[int, ...]) -> Any:
        return self._move(lambda a: np.reshape(a, shape), x)

    def broadcast_to(self, x: Any, shape: tuple[int, ...]) -> Any:
        return self._move(lambda a: np.broadcast_to(a, shape), x)

    def permute_dims(self, x: Any, axes: tuple[int, ...]) -> Any:
        return self._move(lambda a: np.transpose(a, axes), x)

    def matrix_transpose(self, x: Any) -> Any:
        return self._move(lambda a: np.swapaxes(a, -1, -2), x)

    def flip(self, x: Any, *, axis: Any = None) -> Any:
        return self._move(lambda a: np.flip(a, axis), x)

    def roll(self, x: Any, shift: Any, *, axis: Any = None) -> Any:
        return self._move(lambda a: np.roll(a, shift, axis), x)

    def take(self, x: Any, indices: Any, *, axis: Any = None) -> Any:
        return self._move(lambda a: np.take(a, indices, axis), x)

    def concat(self, arrays: Sequence[Any], *, axis: Any = 0) -> Any:
        return moved(lambda *each: np.concatenate(each, axis), *map(self.asarray, arrays))

    def stack(self, arrays: Sequence[Any], *, axis: int = 0) -> Any:
        return moved(lambda *each: np.stack(each, axis), *map(self.asarray, arrays))

    def arange(self, *args: Any, **_: Any) -> Any:
        return np.arange(*args)
