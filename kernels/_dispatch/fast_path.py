"""The fast path: an ordinary call goes to its kernel after some comparisons.

Like the validator, it is Python source made for one variant, as `dataclasses` makes an `__init__`. It stands in for everything
that the slow path asks, so it takes only the ordinary: plain arrays that the kernel can take as they are, of the core
dimensions alone, in a neutral state; or, of a kernel for batches, arrays that have the same before their core dimensions. Any
other call goes the slow path, and so does one whose kernel returns what it must not: the slow path says so.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels._arrays import dtype_name
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
    {complete}
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
    signature = op.contract.signature
    has_none = signature.result_type is not None or not (signature.uniform or signature.result.extents)
    if variant.arrays in ("any", "dask") or has_none:
        return lambda *args, **kwargs: slow(args, kwargs)
    if not {*signature.result.extents} <= {extent for core in op.core.inputs[: op.leading] for extent in core}:
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
    names["allowed"] = {
        dtype: {_dtype(variant, name) for name in signature.result.dtypes(dtype_name(dtype))} for dtype in names["dtypes"]
    }

    def compiled(batches: bool, slow: Slow) -> Callable[..., Any]:
        source, own = _source(op, variant, of_state, of_array, len(conditions), batches), names | {"slow": slow}
        exec(compile(source, f"<fast path of {op.name}, {variant.name}>", "exec"), own)
        call: Callable[..., Any] = own["call"]
        names["is_plain"] = own["is_plain"]
        return call

    if not (variant.batches and op.core.output and all(argument.batch for argument in signature.arrays.values())):
        return compiled(False, slow)
    if len(signature.arrays) == 1 and not op.core.optional:
        return compiled(True, slow)
    several = compiled(True, slow)
    return compiled(False, lambda args, kwargs: several(*args, **kwargs))  # several arrays mostly have no batch


def completing(op: Operation) -> str:
    """Write the statement that puts the first array in the place of those by position that a call leaves out for it."""
    left_out = [key for key in op.by_position[: op.leading] if key in op.contract.signature.defaults]
    if not left_out:
        return "pass"
    given = " and ".join([f"len(args) == {op.leading - len(left_out)}", *(f"{key!r} not in kwargs" for key in left_out)])
    return f"if {given}: args = (*args, {'args[0], ' * len(left_out)})"


def _source(
    op: Operation, variant: Variant, of_state: Sequence[str], of_array: Sequence[str], conditions: int, batches: bool
) -> str:
    """Write the source: arrays are array_0, array_1 and so on, and their extents extent_0_0, extent_0_1 and so on."""
    core = op.core.inputs[: op.leading]
    arrays = [f"array_{i}" for i in range(op.leading)]
    extents = [(extent, f"extent_{i}_{axis}") for i, operand in enumerate(core) for axis, extent in enumerate(operand)]
    named = dict(reversed(extents))  # each extent by where it comes first
    unpacked = [
        f"*batch_{i}, " * batches + "".join(f"extent_{i}_{axis}, " for axis, _ in enumerate(operand))
        for i, operand in enumerate(core)
    ]
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
    rejected += [f"batch_{i} != batch_0" for i in range(1, op.leading) if batches]
    rejected += [f"not condition_{i}(*plain, **named)" for i in range(conditions)]
    rejected += ["beyond_limits(op, variant, plain, named)"] if variant.limits else []
    result = op.contract.signature.result
    shape = "*batch_0, " * batches + "".join(f"{named[extent]}, " for extent in result.extents)
    right_dtype = "result.dtype is dtype" if op.contract.signature.uniform else "result.dtype in allowed[dtype]"
    return SOURCE.format(
        strange_array=" or ".join(test.format("array") for test in of_array) or "False",
        complete=completing(op),
        strange=" or ".join(strange),
        extents="; ".join(f"{locals} = {array}.shape" for locals, array in zip(unpacked, arrays, strict=True) if locals)
        or "pass",
        enter="before = set_errors(ignored)" if numpy else "pass",
        validated="args, kwargs" if alone else "validate(*args, **kwargs)",
        rejected=" or ".join(rejected) or "False",
        arguments=", ".join([*(arrays if alone else ["*plain", "**named"]), *(["**options"] if variant.options else [])]),
        leave="finally: reset_errors(before)" if numpy else "except complaints: return slow(args, kwargs)",
        # NumPy gives a scalar for a result without dimensions.
        right=f"type(result) is kind and {right_dtype} and result.shape == ({shape})"
        if shape or not numpy
        else "type(result) is dtype.type",
    )


def _dtype(variant: Variant, name: str) -> Any:
    return np.dtype(name) if variant.arrays == "numpy" else getattr(sys.modules["torch"], name)


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
