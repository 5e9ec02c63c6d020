"""The fast path: an ordinary call goes to its kernel after some comparisons.

Like the validator, it is Python source made for one variant, as `dataclasses` makes an `__init__`. It stands in for everything
that the slow path asks, so it takes only the ordinary: plain arrays that the kernel can take as they are, of the core
dimensions alone, in a neutral state; or the one array of a kernel for batches, whatever stands before its core dimensions. Any
other call goes the slow path, and so does one whose kernel returns what it must not: the slow path says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels._dispatch import neutral
from kernels._dispatch.choice import beyond_limits
from kernels._dispatch.operation import Operation

if TYPE_CHECKING:
    from registry import Variant

Slow = Callable[[tuple[Any, ...], dict[str, Any]], Any]
PURE = {"torch"}  # what only torch's functions read; others read memory, where a conjugate is not resolved

SOURCE = """
def is_plain(array):
    return type(array) is kind and not ({strange_array})

def call(*args, **kwargs):
    if {strange}:
        return slow(args, kwargs)
    try:
        {extents}
    except (ValueError, RuntimeError):  # a batch, or a nested tensor, which has no shape
        return slow(args, kwargs)
    {enter}
    try:
        try:
            plain, named = {validated}
        except TypeError:  # such as an argument too many: the slow path names the operation
            return slow(args, kwargs)
        if {rejected}:
            return slow(args, kwargs)
        result = kernel({arguments})
    {leave}
    return result if {right} else slow(args, kwargs)
"""


def fast_path(
    op: Operation, variant: Variant, kernel: Callable[..., Any], slow: Slow, conditions: Sequence[Callable[..., Any]] = ()
) -> Callable[..., Any]:
    """Return a function that serves an ordinary call at once, and leaves any other to `slow`.

    Parameters
    ----------
    op, variant, kernel
        What is served, and by what.
    slow : callable
        Takes the positional arguments and the keyword arguments.
    conditions : sequence of callable
        Tests of a normalised call; it is ordinary while all are true.
    """
    if variant.arrays in ("any", "dask") or not op.contract.signature.uniform:
        return lambda *args, **kwargs: slow(args, kwargs)
    if not {*op.core.output} <= {extent for core in op.core.inputs[: op.leading] for extent in core}:
        return lambda *args, **kwargs: slow(args, kwargs)  # the result's shape hangs on an array that may be left out
    of_state, of_array, names = _strange(variant)
    ranks = {key: len(core) for key, core in zip(op.contract.ARRAYS, op.core.inputs, strict=True)}

    def strange_keywords(kwargs: dict[str, Any], first: Any) -> bool:
        given = {key: kwargs[key] for key in op.keyed if kwargs.get(key) is not None and kwargs[key] is not first}
        return not kwargs.keys() <= op.signature.parameters.keys() or not all(
            names["is_plain"](array) and array.dtype is first.dtype and array.ndim == ranks[key] for key, array in given.items()
        )

    names |= {f"condition_{i}": condition for i, condition in enumerate(conditions)}
    names |= {"op": op, "variant": variant, "kernel": kernel, "slow": slow, "options": dict(variant.options)}
    names |= {"validate": op.function, "beyond_limits": beyond_limits, "strange_keywords": strange_keywords}
    source = _source(op, variant, of_state, of_array, len(conditions))
    exec(compile(source, f"<fast path of {op.name}, {variant.name}>", "exec"), names)
    call: Callable[..., Any] = names["call"]
    return call


def _source(op: Operation, variant: Variant, of_state: Sequence[str], of_array: Sequence[str], conditions: int) -> str:
    """Write the source: arrays are array_0, array_1 and so on, and their extents extent_0_0, extent_0_1 and so on."""
    core = op.core.inputs[: op.leading]
    arrays = [f"array_{i}" for i in range(op.leading)]
    batched = variant.batches and all(argument.batch for argument in op.contract.signature.arrays.values())
    batch = "*batch, " if batched and len(op.core.inputs) == 1 and op.core.output and not op.core.optional else ""
    extents = [(extent, f"extent_{i}_{axis}") for i, operand in enumerate(core) for axis, extent in enumerate(operand)]
    named = dict(reversed(extents))  # each extent by where it comes first
    unpacked = [batch + "".join(f"extent_{i}_{axis}, " for axis, _ in enumerate(operand)) for i, operand in enumerate(core)]
    alone, numpy = op.shapes_alone, variant.arrays == "numpy"
    strange = [
        f"len(args) {'!=' if alone else '<'} {op.leading}",
        *of_state,
        *(f"type({array} := args[{i}]) is not kind" for i, array in enumerate(arrays)),
        "(dtype := array_0.dtype) not in dtypes",
        *(f"{array}.dtype is not dtype" for array in arrays[1:]),
        *(test.format(array) for test in of_array for array in arrays),
        "kwargs" if alone else "kwargs and strange_keywords(kwargs, array_0)",
    ]
    rejected = [f"{local} != {named[extent]}" for extent, local in extents if alone and local != named[extent]]
    rejected += [f"not condition_{i}(*plain, **named)" for i in range(conditions)]
    rejected += ["beyond_limits(op, variant, plain, named)"] if variant.limits else []
    shape = batch + "".join(f"{named[extent]}, " for extent in op.core.output)
    return SOURCE.format(
        strange_array=" or ".join(test.format("array") for test in of_array) or "False",
        strange=" or ".join(strange),
        extents="; ".join(f"{locals} = {array}.shape" for locals, array in zip(unpacked, arrays, strict=True) if locals)
        or "pass",
        enter="before = set_errors(ignored)" if numpy else "pass",
        validated="args, kwargs" if alone else "validate(*args, **kwargs)",
        rejected=" or ".join(rejected) or "False",
        arguments=", ".join([*(arrays if alone else ["*plain", "**named"]), *(["**options"] if variant.options else [])]),
        leave="finally: reset_errors(before)" if numpy else "except complaints: return slow(args, kwargs)",
        # NumPy gives a scalar for a result without dimensions.
        right=f"type(result) is kind and result.dtype is dtype and result.shape == ({shape})"
        if shape or not numpy
        else "type(result) is dtype.type",
    )


def _strange(variant: Variant) -> tuple[list[str], list[str], dict[str, Any]]:
    """Return tests of the state and of an array, `{0}`, each true of what is not ordinary, and the names in them."""
    names: dict[str, Any] = {"smallest": neutral.SMALLEST, "half": neutral.HALF, "complaints": neutral.COMPLAINTS}
    flushing = "not smallest * half"
    if variant.arrays == "numpy":
        names |= {"kind": np.ndarray, "dtypes": {np.dtype(name) for name in variant.dtypes if name != "bfloat16"}}
        names |= {"set_errors": neutral.set_errors, "reset_errors": neutral.reset_errors, "ignored": neutral.IGNORED}
        return [flushing], ["not {0}.flags.carray"] if variant.layout == "C" else [], names
    import torch

    disturbances = neutral.torch_disturbances(variant.device)
    names |= {"kind": torch.Tensor, "dtypes": {getattr(torch, name) for name in variant.dtypes if hasattr(torch, name)}}
    names |= {"strided": torch.strided, **disturbances.names}
    of_array = [f"not {{0}}.is_{variant.device}", "{0}.layout is not strided", "{0}.requires_grad"]
    of_array += [] if {*variant.requires} <= PURE else ["{0}.is_neg()", "{0}.is_conj()"]
    return [flushing, *disturbances.tests], of_array, names
