"""The fast path: an ordinary call of an ordinary kind of array goes to its kernel at once."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels._dispatch import gufunc, neutral
from kernels._dispatch.choice import beyond_limits
from kernels._dispatch.operation import Operation

if TYPE_CHECKING:
    from registry import Variant

FastPath = Callable[[tuple[Any, ...], dict[str, Any]], Any]


def fast_path(
    op: Operation, variant: Variant, kernel: Callable[..., Any], conditions: Sequence[Callable[..., Any]] = ()
) -> FastPath:
    """Return a function that serves an ordinary call at once, and of any other returns NotImplemented.

    It stands in for everything the slow path asks, so it takes only the ordinary: plain arrays that the kernel can take as
    they are, in a neutral state. A kernel that fails for the caller's settings, or returns what it must not, has the slow path
    to do it again or to say so.
    """
    if variant.arrays == "any" or not op.contract.signature.uniform:
        return lambda args, kwargs: NotImplemented
    validate, options, limited = op.function, dict(variant.options), bool(variant.limits)
    core, leading, keyed, names = op.core, op.leading, op.keyed, op.signature.parameters.keys()
    ranks = [len(dimensions) for dimensions in core.inputs]
    extents = gufunc.result_extents(core)
    tiny, half = neutral.SMALLEST, neutral.HALF
    kind, dtypes, plain, disturbed = _ordinary(variant)

    def serve(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        arrays = args[:leading]
        if kwargs:
            if not kwargs.keys() <= names:
                return NotImplemented
            for key in keyed:
                if kwargs.get(key) is not None:
                    arrays = (*arrays, kwargs[key])
        if len(arrays) < leading or not tiny * half or (disturbed and disturbed()):
            return NotImplemented
        first = arrays[0]
        if type(first) is not kind or (plain and not plain(first)) or (dtype := first.dtype) not in dtypes:
            return NotImplemented
        shapes: list[Any] = []
        for array, rank in zip(arrays, ranks):  # noqa: B905 (costs a tenth of the whole test)
            if array is not first and (type(array) is not kind or array.dtype is not dtype or (plain and not plain(array))):
                return NotImplemented
            shape = array.shape
            if len(shape) != rank:
                return NotImplemented
            shapes.append(shape)
        try:
            args, kwargs = validate(*args, **kwargs)
        except (TypeError, *neutral.COMPLAINTS):  # such as an argument too many: the slow path names the operation
            return NotImplemented
        if limited and beyond_limits(op, variant, args, kwargs):
            return NotImplemented
        for condition in conditions:
            if not condition(*args, **kwargs):
                return NotImplemented
        try:
            result = kernel(*args, **kwargs, **options)
        except neutral.COMPLAINTS:
            return NotImplemented
        right = type(result) is kind and result.dtype is dtype and result.shape == extents(shapes)
        return result if right else NotImplemented

    return serve


def _ordinary(variant: Variant) -> tuple[Any, set[Any], Callable[[Any], bool] | None, Callable[[], bool] | None]:
    """Return the type and dtypes of arrays that a variant's kernel takes as they are, a test of one, and one of the state."""
    if variant.arrays == "numpy":
        layout = operator.attrgetter("flags.carray") if variant.layout == "C" else None
        return np.ndarray, {np.dtype(name) for name in variant.dtypes if name != "bfloat16"}, layout, None
    import torch

    strided, here = torch.strided, operator.attrgetter(f"is_{variant.device}")

    def plain(array: Any) -> bool:
        return here(array) and array.layout is strided and not (array.requires_grad or array.is_nested)

    dtypes = {getattr(torch, name) for name in variant.dtypes if hasattr(torch, name)}
    return torch.Tensor, dtypes, plain, neutral.torch_disturbance(variant.device)
