"""How a call is cut into blocks of rows that are computed apart, and its result is put together again.

Rows lie along the extent that an operation states as `ROWS`; without that, along the first axis of a batch. Operations that judge
their answers otherwise than entry by entry, and values of parameters other than `APART`, leave a call whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from kernels._definition import results
from kernels._definition.signature import Signature

Array = np.ndarray[Any, Any]
BLOCK = 2**20  # entries that the largest array of an evaluation may have before it goes block by block


class Rows:
    """The rows of an operation's calls.

    Parameters
    ----------
    signature : Signature
    module : module
        What the operation's file states.
    """

    def __init__(self, signature: Signature, module: ModuleType) -> None:
        self.signature, self.module = signature, module

    def apart(self, parameters: Mapping[str, Any]) -> bool:
        """Whether these values of parameters let rows be computed apart."""
        return all(parameters[key] == value for key, value in getattr(self.module, "APART", {}).items())

    def axes(self, call: Mapping[str, Any]) -> tuple[dict[str, int], list[int]] | None:
        """Return the axis of the rows that are computed apart, in each array that has it and in each part of the result."""
        if hasattr(self.module, "judge"):
            return None
        rows: str | None = getattr(self.module, "ROWS", None) if self.apart(call) else None
        if rows is None:
            return self._first_of_batch(call)
        axes = {}
        for key, argument in self.signature.arrays.items():
            present = argument.present(call[key].ndim) if call[key] is not None else ()
            if rows in present:
                axes[key] = call[key].ndim - len(present) + present.index(rows)
        lacking = self.signature.lacking(call)
        given = [[extent for extent in part.extents if extent not in lacking] for part in self.signature.results.values()]
        if not axes or not all(rows in own for own in given):
            return None
        return axes, [own.index(rows) - len(own) for own in given]

    def _first_of_batch(self, call: Mapping[str, Any]) -> tuple[dict[str, int], list[int]] | None:
        batches = self.signature.batches(call)
        shape = np.broadcast_shapes(*batches.values())
        parts = self.signature.results.values()
        if not shape or not all(part.batch for part in parts):
            return None
        axes = {key: 0 for key, own in batches.items() if len(own) == len(shape) and own[0] == shape[0]}
        return axes, [-len(shape) - len(part.extents) for part in parts]

    def count(self, call: Mapping[str, Any]) -> int:
        """Return how many rows a call's result has that are computed apart; 1 where it is one whole."""
        found = self.axes(call)
        if found is None:
            return 1
        key, axis = next(iter(found[0].items()))
        return int(call[key].shape[axis])

    def cut(self, call: dict[str, Any], index: Array | slice) -> dict[str, Any]:
        """Return the call whose result is these rows of the result."""
        axes, _ = self.axes(call) or ({}, [])
        return call | {key: call[key][(*(slice(None),) * axis, index)] for key, axis in axes.items()}

    def blocks(self, call: dict[str, Any], largest: Callable[[], int]) -> Iterator[tuple[dict[str, Any], slice]]:
        """Cut a call into blocks of rows, none of whose arrays is large; yield each with its rows.

        `largest` counts the entries of the largest array on the way, where the extents say that it may be large.
        """
        extents = math.prod(max(1, size) for size in self.signature.extents_of(call).values())
        if extents <= BLOCK or self.axes(call) is None:
            yield call, slice(None)
            return
        total = self.count(call)
        step = max(1, BLOCK // max(1, largest() // max(1, total)))
        for start in range(0, max(1, total), step):
            yield self.cut(call, slice(start, start + step)), slice(start, start + step)

    def of(self, result: Any, index: Array | slice, call: Mapping[str, Any]) -> Any:
        """Return these rows of a call's result, of all its parts: those of the call that `cut` gives."""
        found = self.axes(call)
        if found is None:
            return result
        axes = iter(found[1])
        return results.map_parts(lambda part: part[(..., index, *(slice(None),) * (-next(axes) - 1))], result)

    def joined(self, blocks: Sequence[Any], call: Mapping[str, Any]) -> Any:
        """Return the result whose blocks of rows these are."""
        found = self.axes(call)
        if len(blocks) == 1 or found is None:
            return blocks[0]
        axes = iter(found[1])

        def joined(*parts: Any) -> Any:
            return array_namespace(parts[0]).concat(parts, axis=next(axes))

        return results.map_parts(joined, blocks[0], *blocks[1:])
