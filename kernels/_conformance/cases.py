"""What a kernel is asked: one call with its arrays, their extents, their memory layouts, and the kind a caller would bring.

Arrays are filled by NumPy from a drawn seed: drawing them entry by entry is some thirty times slower.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from kernels import _arrays

# Shapes that find bugs straddle the tiles of blocked kernels.
EXTENTS = (1, 2, 3, 0, 5, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129)
TILES = EXTENTS[-9:]
LONG_TILES = (256, 512, 1024, 2048, 4096, 2**15, 2**16)  # the last two are where counters of 16 bits go round
SMALL, MOST_WORK = 20_000, 1_000_000  # bounds on the work of a case: a second at most for three loops in Python


@dataclass(frozen=True)
class Case:
    """One drawn call: named arrays, in NumPy whatever the working dtype, and the operation's other arguments."""

    arrays: dict[str, np.ndarray[Any, Any]]
    parameters: dict[str, Any]
    dtype: str
    layouts: dict[str, str] = field(default_factory=dict)  # how each array lies in memory, by a name of LAYOUTS

    def __repr__(self) -> str:
        arrays = [f"{name}: {self.layouts.get(name, '')} {array.shape}" for name, array in self.arrays.items()]
        return f"Case({self.dtype}, {', '.join(arrays)}, {self.parameters})"


def extents(most: int, longest: int) -> st.SearchStrategy[int]:
    """Draw an extent of at most `longest`; a case of more than the small work is there to cross tiles in every direction.

    A third are any number up to the largest, for kernels that take six, twelve or fourteen rows at a time.
    """
    among = EXTENTS if most <= SMALL else TILES
    beside_tiles = st.sampled_from([e for e in among if e <= longest] or [1])
    if longest < min(among):
        return beside_tiles
    return st.one_of(beside_tiles, beside_tiles, st.integers(min(among), min(longest, max(among))))


def long_tiles(most: int) -> list[int]:
    """Return the tiles, batches and splits of fast kernels, as far as the most work allows."""
    return [tile for tile in LONG_TILES if 4 * tile <= most] or [64]


def present(array: np.ndarray[Any, Any], kind: str, dtype: str, device: str = "cpu") -> Any:
    """Return an array as a caller of some kind would bring it; torch where NumPy lacks the dtype or the device."""
    if kind == "torch" or dtype == "bfloat16" or device != "cpu":
        import torch

        tensor = _arrays.to_torch(array, device)
        return tensor.to(torch.bfloat16) if dtype == "bfloat16" and tensor.is_floating_point() else tensor
    if kind == "array_api_strict":
        import array_api_strict

        return array_api_strict.asarray(array)
    return array


def values(result: Any) -> np.ndarray[Any, Any]:
    """Return a result's values in NumPy, bfloat16 as float32."""
    if str(getattr(result, "dtype", "")) == "torch.bfloat16":
        result = result.float()
    return _arrays.to_numpy(result)


def _bordered(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A copy inside a larger array of NaN (or the largest integer): what is read past its edge shows in the result."""
    border = np.nan if array.dtype.kind in "fc" else np.iinfo(array.dtype).max if array.dtype.kind in "iu" else 1
    around = np.full([extent + 2 for extent in array.shape], border, array.dtype)
    inside = around[(slice(1, -1),) * array.ndim]
    inside[...] = array
    return inside


def _every_other(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.repeat(array, 2, axis=-1)[..., ::2]


def _read_only(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


LAYOUTS: dict[str, Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]] = {
    "contiguous": lambda a: a.copy(),
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "reversed": lambda a: np.ascontiguousarray(a[..., ::-1])[..., ::-1],
    "reversed rows": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "every other": _every_other,
    "bordered": _bordered,
    "read-only": _read_only,
    "0-stride": lambda a: np.broadcast_to(a[..., :1], a.shape) if a.shape[-1] else a,
}


def laid_out(case: Case, data: st.DataObject) -> Case:
    """Return the case with each array in a drawn layout; a 0-stride one repeats its first column, values and all."""
    return in_layouts(case, {name: data.draw(st.sampled_from(list(LAYOUTS)), label=f"layout of {name}") for name in case.arrays})


def in_layouts(case: Case, names: dict[str, str]) -> Case:
    """Return the case with each array in the layout of that name."""
    return replace(case, arrays={name: LAYOUTS[names[name]](array) for name, array in case.arrays.items()}, layouts=names)


def plain(case: Case) -> Case:
    """Return the case with its arrays copied to C order."""
    return replace(case, arrays={name: np.array(array, order="C") for name, array in case.arrays.items()}, layouts={})
