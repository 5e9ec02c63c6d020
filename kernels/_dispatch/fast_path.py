"""The fast path: an ordinary call goes to its kernel after some comparisons.

Like the validator, it is Python source made for one variant, as `dataclasses` makes an `__init__`. It stands in for everything
that the slow path asks, so it takes only the ordinary: plain arrays that the kernel can take as they are, of the core
dimensions alone, in a neutral state. Any other call goes the slow path, and so does one whose kernel returns what it must
not: the slow path says so.
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
def call(*args, **kwargs):
    if {strange}:
        return slow(args, kwargs)
    try:
        {shapes}
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
    arrays = op.by_position[: op.leading]
    core = dict(zip(op.contract.ARRAYS, op.core.inputs, strict=True))
    extents = {name: [f"{extent}_{name}" for extent in core[name]] for name in arrays}
    place = {extent: f"{extent}_{name}" for name in reversed(arrays) for extent in core[name]}
    if not place.keys() >= {*op.core.output}:
        return lambda *args, **kwargs: slow(args, kwargs)
    names, disturbed, of_one = _strange(variant)
    strange = [
        f"len(args) {'!=' if op.shapes_alone else '<'} {len(arrays)}",
        *disturbed,
        *(f"type({name} := args[{i}]) is not kind" for i, name in enumerate(arrays)),
        f"(dtype := {arrays[0]}.dtype) not in dtypes",
        *(f"{name}.dtype is not dtype" for name in arrays[1:]),
        *(test.format(name) for test in of_one for name in arrays),
        "kwargs" if op.shapes_alone else f"kwargs and strange_keywords(kwargs, {arrays[0]})",
    ]
    differing = [
        f"{extent}_{name} != {place[extent]}" for name in arrays for extent in core[name] if place[extent] != f"{extent}_{name}"
    ]
    rejected = [f"not condition_{i}(*plain, **named)" for i in range(len(conditions))]
    rejected += ["beyond_limits(op, variant, plain, named)"] if variant.limits else []
    shape = "".join(f"{place[extent]}, " for extent in op.core.output)
    right = f"type(result) is kind and result.dtype is dtype and result.shape == ({shape})"
    source = SOURCE.format(
        strange=" or ".join(strange),
        shapes="; ".join(f"{''.join(f'{extent}, ' for extent in extents[name])} = {name}.shape" for name in arrays if core[name]),
        validated="args, kwargs" if op.shapes_alone else "validate(*args, **kwargs)",
        rejected=" or ".join([*(differing if op.shapes_alone else []), *rejected]) or "False",
        arguments=", ".join(
            [*(arrays if op.shapes_alone else ["*plain", "**named"]), *(["**options"] if variant.options else [])]
        ),
        enter="before = set_errors(ignored)" if variant.arrays == "numpy" else "pass",
        leave="finally: reset_errors(before)" if variant.arrays == "numpy" else "except complaints: return slow(args, kwargs)",
        right=right if shape or variant.arrays != "numpy" else "type(result) is dtype.type",
    )
    alone: dict[str, Any] = {}
    exec(_test_of_one(of_one), names, alone)
    ordinary = alone["ordinary"]

    def strange_keywords(kwargs: dict[str, Any], first: Any) -> bool:
        given = {key: kwargs[key] for key in op.keyed if kwargs.get(key) is not None and kwargs[key] is not first}
        return not kwargs.keys() <= op.signature.parameters.keys() or not all(
            ordinary(array) and array.dtype is first.dtype and array.ndim == len(core[key]) for key, array in given.items()
        )

    names |= {f"condition_{i}": condition for i, condition in enumerate(conditions)} | {
        "slow": slow, "validate": op.function, "kernel": kernel, "options": dict(variant.options), "op": op, "variant": variant,
        "beyond_limits": beyond_limits, "strange_keywords": strange_keywords,
        "set_errors": neutral.set_errors, "reset_errors": neutral.reset_errors, "ignored": neutral.IGNORED,
        "complaints": neutral.COMPLAINTS,
    }  # fmt: skip
    exec(compile(source, f"<fast path of {op.name}, {variant.name}>", "exec"), names)
    call: Callable[..., Any] = names["call"]
    return call


def _strange(variant: Variant) -> tuple[dict[str, Any], list[str], list[str]]:
    """Return tests of the state and tests of one array, `{0}`, each true of what is not ordinary, and the names in them."""
    names: dict[str, Any] = {"smallest": neutral.SMALLEST, "half": neutral.HALF}
    flushing = "not smallest * half"
    if variant.arrays == "numpy":
        dtypes = {np.dtype(name) for name in variant.dtypes if name != "bfloat16"}
        names |= {"kind": np.ndarray, "dtypes": dtypes}
        return names, [flushing], ["not {0}.flags.carray"] if variant.layout == "C" else []
    import torch

    of_state = neutral.torch_disturbances(variant.device)
    names |= {"kind": torch.Tensor, "dtypes": {getattr(torch, name) for name in variant.dtypes if hasattr(torch, name)},
              "strided": torch.strided, **of_state.names}  # fmt: skip
    of_one = [f"not {{0}}.is_{variant.device}", "{0}.layout is not strided", "{0}.requires_grad"]
    unresolved = [] if {*variant.requires} <= PURE else ["{0}.is_neg()", "{0}.is_conj()"]
    return names, [flushing, *of_state.tests], of_one + unresolved


def _test_of_one(tests: Sequence[str]) -> str:
    return (
        f"def ordinary(array):\n    return not ({' or '.join(['type(array) is not kind', *(t.format('array') for t in tests)])})"
    )
