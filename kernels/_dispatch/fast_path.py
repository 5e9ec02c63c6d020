"""The fast path: an ordinary call goes to its kernel after some comparisons and a look at what is known of its kind.

Like the validator, it is Python source made for one operation, as `dataclasses` makes an `__init__`. It stands in for everything
that the slow path asks, so it takes only the ordinary: plain arrays that the kernel can take as they are, of the core
dimensions alone, in a neutral state; or, of a kernel for batches, arrays that have the same before their core dimensions. Any
other call goes the slow path, and so does one whose kernel returns what it must not: the slow path says so.

What serves a kind of call is known by dictionaries in dictionaries, one for each part of the kind. A look into a dictionary for
a number takes some nanoseconds; one for a tuple of as many numbers takes longer than all these looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kernels._costs import calls
from kernels._dispatch import neutral
from kernels._dispatch.choice import beyond_limits
from kernels._dispatch.operation import Operation

if TYPE_CHECKING:
    from registry import Variant

Slow = Callable[..., Any]  # of the positional arguments, and the keyword arguments
PURE = {"torch"}  # what only torch's functions read; others read memory, where a conjugate is not resolved

SOURCE = """
def call(*args, **kwargs):
    {complete}
    if {strange}:
        return otherwise(args, kwargs)
    try:
        {extents}
        found = known[{first}]
    except KeyError:  # before the validator looks at the entries, somebody must take the dtype
        found = {empty}
    except (ValueError, RuntimeError):  # a batch, or a nested tensor, which has no shape
        dtype = None
    if dtype is None:
        return batch(args, kwargs)
    if found is None or {apart}:
        return slow(args, kwargs)
    {enter}
    try:
        try:
            positional, named = {validated}
        except TypeError:  # such as an argument too many: the slow path names the operation
            positional = None
        if positional is None:
            return slow(args, kwargs)
        {then}
        if plain and ({scattered}):
            return slow(args, kwargs)
        result = kernel({arguments})
    {leave}
    return result if {right} else slow(args, kwargs)
"""
LOOK = """
        try:
            kernel, plain, dtypes = found[{then}]
        except KeyError:
            kernel = None
        if kernel is None:
            return slow(args, kwargs, ({key}))
"""


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


def served(op: Operation, variant: Variant, kernel: Callable[..., Any], options: Mapping[str, Any]) -> dict[Any, Served]:
    """Return what serves calls of a variant, by the dtype of the arrays."""
    bound = partial(kernel, **options) if options else kernel
    results = op.contract.signature.result.dtypes
    return {
        dtype: Served(bound, plain_only(variant), {_dtype(variant, each) for each in results(name)})
        for name in variant.dtypes
        if (dtype := _dtype(variant, name)) is not None
    }


def plain_only(variant: Variant) -> bool:
    """Whether the arrays of a variant must lie in memory as it reads them."""
    return variant.layout == "C" if variant.arrays == "numpy" else not {*variant.requires} <= PURE


def of_variant(op: Operation, variant: Variant, kernel: Callable[..., Any], slow: Slow) -> Callable[..., Any]:
    """Return a function that serves the ordinary calls of a variant, and leaves any other to `slow`."""
    if variant.arrays in ("any", "dask"):
        return lambda *args, **kwargs: slow(args, kwargs)

    def within_limits(*args: Any, **kwargs: Any) -> Any:
        return None if beyond_limits(op, variant, args, kwargs) else kernel(*args, **kwargs)

    known = served(op, variant, within_limits if variant.limits else kernel, variant.options)
    names = {"known": known, "slow": slow, "otherwise": slow}
    return fast_path(op, variant.arrays, variant.device, names, batches=variant.batches)


def fast_path(
    op: Operation, arrays: str, device: str, names: Mapping[str, Any], state: Sequence[str] = (), *, batches: bool = True
) -> Callable[..., Any]:
    """Return a function that serves ordinary calls by what is known of them.

    Parameters
    ----------
    op : Operation
    arrays, device : str
        Which arrays are ordinary, as variants state it.
    names : mapping
        `known`; and two functions of the positional arguments and the keyword arguments: `slow`, and `otherwise`, which takes
        other arrays. With a state, `slow` takes a third argument too: where a call that is not known was looked for; and
        `takes` says whether any variant takes a dtype.
    state : sequence of str
        Expressions for what is looked for in `known` before the dtype. With a state, what serves hangs on all that a choice does.
    batches : bool
        Whether arrays may have the same before their core dimensions.
    """
    signature, slow = op.contract.signature, names["slow"]
    has_none = signature.result_type is not None or not (signature.uniform or signature.result.extents)
    # The result's shape may hang on an array that may be left out.
    if has_none or not {*signature.result.extents} <= {extent for core in op.core.inputs[: op.leading] for extent in core}:
        return lambda *args, **kwargs: slow(args, kwargs)
    names = {**names, "validate": op.function, "bucket": calls.bucket}

    def compiled(batches: bool, batch: Slow) -> Callable[..., Any]:
        source, more = _source(op, arrays, device, state, batches)
        own = {**names, **more, "batch": batch}
        exec(compile(source, f"<fast path of {op.name}>", "exec"), own)
        call: Callable[..., Any] = own["call"]
        return call

    if not (batches and op.core.output and all(argument.batch for argument in signature.arrays.values())):
        return compiled(False, slow)
    several = compiled(True, slow)
    if len(signature.arrays) == 1 and not op.core.optional:
        return several
    return compiled(False, lambda args, kwargs: several(*args, **kwargs))  # several arrays mostly have no batch


def _completing(op: Operation) -> str:
    """Write the statement that puts the first array in the place of those by position that a call leaves out for it."""
    left_out = [key for key in op.by_position[: op.leading] if key in op.contract.signature.defaults]
    if not left_out:
        return "pass"
    given = " and ".join([f"len(args) == {op.leading - len(left_out)}", *(f"{key!r} not in kwargs" for key in left_out)])
    return f"if {given}: args = (*args, {'args[0], ' * len(left_out)})"


def _source(op: Operation, kind: str, device: str, state: Sequence[str], batches: bool) -> tuple[str, dict[str, Any]]:
    """Write the source: arrays are array_0, array_1 and so on, and their extents extent_0_0 and so on; and return its names."""
    of_state, of_array, of_memory, names = _strange(kind, device)
    core, further = op.core.inputs[: op.leading], op.core.inputs[op.leading :]
    arrays = [f"array_{i}" for i in range(op.leading)]
    extents = [(extent, f"extent_{i}_{axis}") for i, operand in enumerate(core) for axis, extent in enumerate(operand)]
    named = dict(reversed(extents))  # each extent by where it comes first
    unpacked = [
        f"*batch_{i}, " * batches + "".join(f"extent_{i}_{axis}, " for axis, _ in enumerate(operand))
        for i, operand in enumerate(core)
    ]
    alone, numpy = op.shapes_alone, kind == "numpy"
    strange = [
        f"len(args) {'!=' if alone else '<'} {op.leading}",
        *of_state,
        *(f"type({array} := args[{i}]) is not kind" for i, array in enumerate(arrays)),
        "(dtype := array_0.dtype) is None",
        *(f"{array}.dtype is not dtype" for array in arrays[1:]),
        *(test.format(array) for test in of_array for array in arrays),
    ]
    if alone:
        strange += ["kwargs"]
    elif op.keyed:
        keyed = []
        for name, operand in zip(op.keyed, further, strict=True):
            tests = ["type(other) is not kind", "other.dtype is not dtype", f"other.ndim != {len(operand)}"]
            wrong = " or ".join([*tests, *(test.format("other") for test in of_array)])
            keyed += [f"(other := kwargs.get({name!r})) is not None and other is not array_0 and ({wrong})"]
        strange += [f"kwargs and ({' or '.join(keyed)})"]
    apart = [f"{local} != {named[extent]}" for extent, local in extents if alone and local != named[extent]]
    apart += [f"batch_{i} != batch_0" for i in range(1, op.leading) if batches]
    first, then = [*state, "dtype"], _kind_of_call(op, batches, named)
    scattered = [of_memory.format(array) for array in arrays]
    scattered += [f"(other := named[{name!r}]) is not None and ({of_memory.format('other')})" for name in op.keyed]
    result = op.contract.signature.result
    shape = "*batch_0, " * batches + "".join(f"{named[extent]}, " for extent in result.extents)
    right_dtype = "result.dtype is dtype" if op.contract.signature.uniform else "result.dtype in dtypes"
    source = SOURCE.format(
        complete=_completing(op),
        strange=" or ".join(strange),
        extents="; ".join(f"{locals} = {array}.shape" for locals, array in zip(unpacked, arrays, strict=True) if locals)
        or "pass",
        apart=" or ".join(apart) or "False",
        enter="before = set_errors(ignored)" if numpy else "pass",
        validated="args, kwargs" if alone else "validate(*args, **kwargs)",
        first="][".join(first),
        empty="{} if takes(dtype) else None" if state else "None",
        then=LOOK.format(then="][".join(then), key=", ".join(first + then)).strip() if state else "kernel, plain, dtypes = found",
        scattered=" or ".join(scattered),
        arguments=", ".join(arrays if alone else ["*positional", "**named"]),
        leave="finally: reset_errors(before)" if numpy else "except complaints: return slow(args, kwargs)",
        # NumPy gives a scalar for a result without dimensions.
        right=f"type(result) is kind and {right_dtype} and result.shape == ({shape})"
        if shape or not numpy
        else "type(result) is dtype.type",
    )
    return source, names


def _kind_of_call(op: Operation, batches: bool, named: Mapping[str, str]) -> list[str]:
    """Write what a choice hangs on beside the dtype: expressions in a call's own names, of few values each."""

    def bucket(extent: str, local: str) -> str:  # a number below 0 for each bucket of large extents: a call takes twice as long
        large = f"-({calls.STEPS} * (shift := {local}.bit_length() - {calls.STEPS.bit_length()}) + ({local} >> shift))"
        return f"{local} if {extent} < {calls.EXACT} else {large}"

    places = {name: f"positional[{place}]" for place, name in enumerate(op.by_position)}
    value = {name: places.get(name, f"named[{name!r}]") for name in op.contract.signature.parameters}
    kind = [value[name] for name in op.contract.DISCRETE]
    kind += [f"{value[name]} == {default!r}" for name, default in op.contract.LEFT_OUT.items()]
    kind += [bucket(local, local) for local in named.values()]
    if batches:
        whole = f"batch_0[0] if len(batch_0) == 1 and batch_0[0] < {calls.EXACT} else tuple(map(bucket, batch_0))"
        kind = ["'batch'", *kind, f"None if not batch_0 else {whole}"]  # apart from calls without any, which have one part less
    given = ""
    for name, operand in zip(op.keyed, op.core.inputs[op.leading :], strict=True):
        own = [bucket(f"(extent := other.shape[{axis}])", "extent") for axis, each in enumerate(operand) if each not in named]
        given += f"None if (other := named[{name!r}]) is None or other is array_0 else ({', '.join(own)}, ), "
    return [*kind, f"({given}) if kwargs else None"] if given else kind


def _dtype(variant: Variant, name: str) -> Any:
    """Return the dtype of a name, as a variant's arrays have it; None where they have none of their own."""
    if variant.arrays == "torch":
        return getattr(import_module("torch"), name, None)
    return np.dtype(name) if name != "bfloat16" else None


def _strange(kind: str, device: str) -> tuple[list[str], list[str], str, dict[str, Any]]:
    """Return tests of the state, of an array `{0}`, and of its memory, each true of what is not ordinary; and their names."""
    names: dict[str, Any] = {"smallest": neutral.SMALLEST, "half": neutral.HALF, "complaints": neutral.COMPLAINTS}
    flushing = "not smallest * half"
    if kind == "numpy":
        names |= {"kind": np.ndarray, "set_errors": neutral.set_errors, "reset_errors": neutral.reset_errors}
        return [flushing], [], "not {0}.flags.carray", names | {"ignored": neutral.IGNORED}
    import torch

    disturbances = neutral.torch_disturbances(device)
    names |= {"kind": torch.Tensor, "strided": torch.strided, **disturbances.names}
    of_array = [f"not {{0}}.is_{device}", "{0}.layout is not strided", "{0}.requires_grad"]
    return [flushing, *disturbances.tests], of_array, "{0}.is_neg() or {0}.is_conj()", names
