"""Calls of an operation that are ready to make: of a size, or from a file; and those that a signature alone gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from kernels._definition.annotations import ArrayArgument
    from kernels._definition.signature import Signature


class Example(NamedTuple):
    """A call of an operation.

    Attributes
    ----------
    args, kwargs
        The operation's arguments, as NumPy arrays and plain values.
    title : str
        What it is, for a heading.
    steps : int
        How often the operation is applied, each time with the last result in place of the first array.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    title: str
    steps: int = 1


def derived_example(signature: Signature, extent: int, *, dtype: str = "float32", seed: int = 0, **changes: Any) -> Example:
    """Return a call with all extents equal, entries from the standard normal distribution, and `changes` among the parameters."""
    rng = np.random.default_rng(seed)
    given: dict[str, Any] = {
        key: _drawn(rng, argument, (extent,) * (len(argument.extents) or int(argument.batch is not None)), dtype)
        for key, argument in signature.arrays.items()
        if key not in signature.omissible
    }
    return _example(signature, given, changes)


def _drawn(rng: np.random.Generator, argument: ArrayArgument, shape: tuple[int, ...], dtype: str) -> np.ndarray[Any, Any]:
    if not argument.keeps_dtype:
        return rng.standard_normal(shape).astype(dtype)
    count = 2 if argument.kind == "Bool" else max(1, *shape)  # all extents are equal: what it counts has as many
    return rng.integers(0, count, shape).astype(argument.dtypes("")[0])


def example_from_file(
    signature: Signature,
    arrays: dict[str, np.ndarray[Any, Any]],
    *,
    sample: int = 0,
    dtype: str = "float32",
    seed: int = 0,
    **changes: Any,
) -> Example:
    """Make a call from a file's arrays: by their names, or the one array for the one argument that has no default."""
    needed = [key for key in signature.arrays if key not in signature.omissible]
    if len(arrays) == 1 == len(needed):
        arrays = dict(zip(needed, arrays.values(), strict=True))
    if not set(needed) <= arrays.keys():
        raise ValueError(f"{signature.name}: the file holds {', '.join(sorted(arrays))}; expected {' and '.join(needed)}")
    stated = {key: signature.arrays[key] for key in arrays if key in signature.arrays}
    given = {key: arrays[key].astype(argument.dtypes(dtype)[0]) for key, argument in stated.items()}
    return _example(signature, given, changes)


def _example(signature: Signature, arrays: dict[str, Any], changes: dict[str, Any]) -> Example:
    unknown = changes.keys() - signature.parameters.keys()
    if unknown:
        known = ", ".join(signature.parameters) or "none"
        raise TypeError(f"{signature.name}: no parameter {', '.join(sorted(unknown))}; there are: {known}")
    extents = signature.extents(arrays)
    needed = {key: each for key, each in signature.parameters.items() if each.needed and key not in changes}
    given = arrays | changes | {key: each.example(extents) for key, each in needed.items()}
    title = ", ".join([f"{key} {'x'.join(map(str, array.shape))}" for key, array in arrays.items()])
    return Example(*signature.as_call(given), title)
