"""How a call is cut into blocks of rows that are computed apart, and its result is put together again.

Rows lie along the extent that an operation states as `ROWS`; without that, along the first axis of a batch. Operations that judge
their answers otherwise than entry by entry, and values of parameters other than `APART`, leave a call whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from kernels._definition import results
from kernels._definition.signature import Signature

Array = np.ndarray[Any, Any]
BLOCK = 2**20  # entries that the largest array of an evaluation may have before it goes block by block


class Rows:
    """The rows of a normalised call's result.

    Parameters
    ----------
    signature : Signature
    module : module
        What the operation's file states.
    call : dict
        The arguments by name.

    Attributes
    ----------
    axes : dict
        The axis of the rows that are computed apart, in each array that has it; empty where the result is one whole.
    of_parts : list
        That axis in each part of the result, counted from the last.
    count : int
        How many rows are computed apart; 1 where the result is one whole.
    """

    def __init__(self, signature: Signature, module: ModuleType, call: dict[str, Any]) -> None:
        self.signature, self.call = signature, call
        apart = all(call[key] == value for key, value in getattr(module, "APART", {}).items())
        rows = getattr(module, "ROWS", None) if apart else None
        self.axes, self.of_parts = self._first_of_batch() if rows is None else self._along(rows)
        if hasattr(module, "judge") or not self.axes:
            self.axes, self.of_parts = {}, []
        self.count: int = next((call[key].shape[axis] for key, axis in self.axes.items()), 1)

    def _along(self, rows: str) -> tuple[dict[str, int], list[int]]:
        axes = {}
        for key, argument in self.signature.arrays.items():
            present = argument.present(self.call[key].ndim) if self.call[key] is not None else ()
            if rows in present:
                axes[key] = self.call[key].ndim - len(present) + present.index(rows)
        lacking = self.signature.lacking(self.call)
        given = [[extent for extent in part.extents if extent not in lacking] for part in self.signature.results.values()]
        return (axes, [each.index(rows) - len(each) for each in given]) if all(rows in each for each in given) else ({}, [])

    def _first_of_batch(self) -> tuple[dict[str, int], list[int]]:
        shape, parts = self.signature.batch(self.call), self.signature.results.values()
        if not shape or not all(part.batch for part in parts):
            return {}, []
        batches = self.signature.batches(self.call)
        axes = {key: 0 for key, batch in batches.items() if len(batch) == len(shape) and batch[0] == shape[0]}
        return axes, [-len(shape) - len(part.extents) for part in parts]

    def cut(self, index: Array | slice) -> dict[str, Any]:
        """Return the call whose result is these rows of the result."""
        return self.call | {key: self.call[key][(*(slice(None),) * axis, index)] for key, axis in self.axes.items()}

    def blocks(self, largest: Callable[[], int]) -> Iterator[tuple[dict[str, Any], slice]]:
        """Cut the call into blocks of rows, none of whose arrays is large; yield each with its rows.

        `largest` counts the entries of the largest array on the way, where the extents say that it may be large.
        """
        extents = math.prod(max(1, size) for size in self.signature.extents_of(self.call).values())
        if extents <= BLOCK or not self.axes:
            yield self.call, slice(None)
            return
        step = max(1, BLOCK // max(1, largest() // max(1, self.count)))
        for start in range(0, max(1, self.count), step):
            yield self.cut(slice(start, start + step)), slice(start, start + step)

    def of(self, result: Any, index: Array | slice) -> Any:
        """Return these rows of the result, of all its parts: the result of the call that `cut` gives."""
        if not self.axes:
            return result
        axes = iter(self.of_parts)
        return results.map_parts(lambda part: part[(..., index, *(slice(None),) * (-next(axes) - 1))], result)

    def joined(self, blocks: Sequence[Any]) -> Any:
        """Return the result whose blocks of rows these are."""
        if len(blocks) == 1:
            return blocks[0]
        axes = iter(self.of_parts)

        def joined(*parts: Any) -> Any:
            return array_namespace(parts[0]).concat(parts, axis=next(axes))

        return results.map_parts(joined, *blocks)
