"""What serves an ordinary call of a kind: a kernel, made into one of the caller's own arrays and of all their dimensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kernels import _arrays
from kernels._dispatch import neutral
from kernels._dispatch.operation import Operation

if TYPE_CHECKING:
    from kernels._variant import Variant

PURE = {"torch"}  # what only torch's functions read; others read memory, where a conjugate is not resolved


class Served(NamedTuple):
    """What serves a kind of call.

    Attributes
    ----------
    kernel : callable
        Takes a normalised call. Returns None for one that is left to the slow path.
    plain : bool
        Whether its arrays must lie in memory as it reads them: of NumPy writable and C-contiguous, and of torch without a
        conjugate that is not resolved.
    dtypes : set
        Those that its result may have.
    """

    kernel: Callable[..., Any]
    plain: bool
    dtypes: set[Any]


def served(
    op: Operation, variant: Variant, kernel: Callable[..., Any], options: Mapping[str, Any], kind: str
) -> dict[Any, Served]:
    """Return what serves calls of a variant with a caller's kind of array, by their dtype; the kernel takes that kind."""
    bound = partial(kernel, **options) if options else kernel
    results = op.contract.signature.result.dtypes
    return {
        dtype: Served(bound, plain_only(variant, kind), {_dtype(kind, each) for each in results(name)})
        for name in variant.dtypes
        if can_serve(variant, kind, variant.device, name) and (dtype := _dtype(kind, name)) is not None
    }


def can_serve(variant: Variant, kind: str, device: str, dtype: str) -> bool:
    """Whether a caller's arrays go to a variant as they come, or share their memory with arrays of its own kind."""
    if variant.arrays == kind:
        return kind == "numpy" or variant.device == device
    return {variant.arrays, kind} == {"numpy", "torch"} and variant.device == device == "cpu" and dtype != "bfloat16"


def plain_only(variant: Variant, kind: str) -> bool:
    """Whether a caller's arrays must lie in memory as a variant reads them."""
    if variant.arrays != kind:
        return True
    return variant.layout == "C" if kind == "numpy" else not {*variant.requires} <= PURE


def adapted(variant: Variant, kernel: Callable[..., Any], kind: str) -> Callable[..., Any]:
    """Return a variant's kernel as one of a caller's kind of array; of those on the processor that share their memory."""
    if variant.arrays == kind:
        return kernel
    given, to_own, back = _between_tensors(variant.layout) if kind == "torch" else _between_arrays()
    guarded = _without_errors if kind == "torch" else _in_neutral_torch
    run = guarded(kernel)

    def call(*args: Any, **kwargs: Any) -> Any:
        made = {id(each): to_own(each) for each in (*args, *kwargs.values()) if type(each) is given}  # x as data too stays one
        positional = [made.get(id(each), each) for each in args]
        return back(run(*positional, **{key: made.get(id(each), each) for key, each in kwargs.items()}))

    def narrowed(*arrays: Any) -> Callable[..., Any]:
        run = guarded(kernel.narrowed(*map(to_own, arrays)))  # type: ignore[attr-defined]
        return lambda *arrays: back(run(*map(to_own, arrays)))

    if hasattr(kernel, "narrowed"):
        call.narrowed = narrowed  # type: ignore[attr-defined]
    return call


def _between_tensors(layout: str) -> tuple[type, Callable[..., Any], Callable[..., Any]]:
    """Return what a kernel of arrays is called with, how a tensor becomes an array of a layout, and how its result comes back.

    What is no ordinary result comes back as None: the slow path refuses it.
    """
    torch = import_module("torch")

    def back(result: Any) -> Any:
        if not isinstance(result, np.ndarray | np.generic) or not result.dtype.isnative:
            return None
        array = np.asarray(result)
        return torch.from_numpy(array) if array.flags.carray else _arrays.to_torch(array, "cpu")

    own = torch.Tensor.numpy
    return torch.Tensor, (lambda tensor: _arrays.contiguous(own(tensor))) if layout == "C" else own, back


def _between_arrays() -> tuple[type, Callable[..., Any], Callable[..., Any]]:
    """Return the same for a kernel of tensors, which NumPy's arrays are passed to."""
    torch = import_module("torch")

    def back(result: Any) -> Any:
        strided = isinstance(result, torch.Tensor) and result.layout is torch.strided
        return result.numpy(force=True)[()] if strided else None

    return np.ndarray, torch.from_numpy, back


def _without_errors(kernel: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        before = neutral.set_errors(neutral.IGNORED)
        try:
            return kernel(*args, **kwargs)
        finally:
            neutral.reset_errors(before)

    return run


def _in_neutral_torch(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Return a kernel that leaves a call to the slow path where torch's state is not neutral."""
    tests, names = neutral.torch_disturbances("cpu")
    disturbed: Callable[[], bool] = eval(f"lambda: {' or '.join(tests)}", names)
    return lambda *args, **kwargs: None if disturbed() else kernel(*args, **kwargs)


def lifted(op: Operation, kernel: Callable[..., Any], dimensions: Sequence[int]) -> Callable[..., Any] | None:
    """Return a kernel of the core dimensions as one of arrays that lack some; None where they have a batch.

    Parameters
    ----------
    op, kernel
    dimensions : sequence of int
        How many each array has.
    """
    named = extents_of(op, dimensions)
    if not op.shapes_alone or named is None or any(len(own) > len(core) for own, core in zip(named, op.core.inputs, strict=True)):
        return None
    present = {extent for own in named for extent in own}
    places = [tuple(slice(None) if extent in present else None for extent in core) for core in op.core.inputs]
    place = tuple(slice(None) if extent in present else 0 for extent in op.core.output)

    def of_vectors(*given: Any) -> Any:
        result = kernel(*(array[where] for array, where in zip(given, places, strict=True)))
        return None if result is None else result[place]

    return of_vectors


def extents_of(op: Operation, dimensions: Sequence[int]) -> list[tuple[str, ...]] | None:
    """Return the names of the extents of arrays of so many dimensions, a batch's counted from its end; None if they cannot be."""
    named = []
    for array, ndim in zip(op.contract.signature.arrays.values(), dimensions, strict=False):
        core = array.present(ndim)
        if len(core) > ndim or (len(core) < ndim and not array.batch):
            return None
        named.append((*(f"batch {i}" for i in reversed(range(ndim - len(core)))), *core))
    return named


def with_room(known: dict[Any, Any], most: int) -> dict[Any, Any]:
    """Return a dictionary that is about to hold one thing more; what would then be too much is forgotten, all at once."""
    if len(known) >= most:
        known.clear()
    return known


def _dtype(kind: str, name: str) -> Any:
    """Return the dtype of a name, as a kind of array has it; None where it has none of its own."""
    if kind == "torch":
        return getattr(import_module("torch"), name, None)
    return np.dtype(name) if name != "bfloat16" else None
