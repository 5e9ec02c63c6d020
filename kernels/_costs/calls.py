"""What a call's cost may hang on, and the units of work that it is counted in.

An operation says what its variants' costs hang on beside the shape in a file `_costs.py` beside its definition:

- `FACTS(extents, parameters)` names the facts of a call's contents that matter for such a shape, each with its least and its
  greatest value; none where a look would not pay;
- `look(*args, **kwargs)` returns these facts of a call, as the contract normalised it, from a sample of its contents. It takes
  at most a fiftieth of the time of the fastest variant;
- `COUNTS` maps a variant to a function `(extents, parameters, facts)` that counts its work, in units of its own.

A cost grows with a fact, or does not hang on it. A variant without a count of its own does the operation's counted work.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from kernels._arrays import dtype_name

EXACT = 1024  # a smaller extent is a bucket of its own
STEPS = 8  # buckets for each doubling beyond
FACT_STEPS = 2  # buckets for each doubling of a fact


class Call(NamedTuple):
    """What a call's cost may hang on.

    Attributes
    ----------
    dtype : str
    extents : mapping
        By name; "batch" is the product of what stands before the core dimensions, 1 if nothing does.
    parameters : mapping
        Those that are one of few choices, and those that may be left out where they have their default.
    facts : mapping
        What `look` says of the contents; empty if the operation has no facts, or nobody looked.
    """

    dtype: str
    extents: Mapping[str, int]
    parameters: Mapping[str, Any]
    facts: Mapping[str, float]


def describe(contract: Any, dtype: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, looks: bool = True) -> Call:
    """Describe a call as the contract normalised it; with `looks`, by a look at its contents too."""
    named = dict(zip(contract.signature.public.parameters, args, strict=False)) | dict(kwargs)
    extents = {"batch": 1} | contract.signature.extents_of(named)
    parameters = {key: named[key] for key in contract.DISCRETE}
    parameters |= {key: default for key, default in contract.LEFT_OUT.items() if named[key] == default}
    facts = contract.costs.look(*args, **kwargs) if looks and bounds(contract, extents, parameters) else {}
    return Call(dtype_name(dtype), extents, parameters, facts)


def bounds(contract: Any, extents: Mapping[str, int], parameters: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Return the facts that matter for calls of a shape, each with its least and its greatest value."""
    stated = getattr(contract.costs, "FACTS", None)
    return stated(extents, parameters) if stated else {}


def corners(facts: Mapping[str, tuple[float, float]]) -> Iterator[dict[str, float]]:
    """Yield each mix of least and greatest facts, the greatest of all last."""
    for values in product(*facts.values()):
        yield dict(zip(facts, values, strict=True))


# Buckets: calls of one bucket are served by one variant


def bucket(extent: int) -> int:
    """Return the number of an extent's bucket; the buckets of larger extents have larger numbers."""
    if extent < EXACT:
        return extent
    shift = extent.bit_length() - STEPS.bit_length()
    return EXACT + shift * STEPS + (extent >> shift) - STEPS


def ends(number: int) -> tuple[int, int]:
    """Return the least and the greatest extent of a bucket."""
    if number < EXACT:
        return number, number
    shift, step = divmod(number - EXACT, STEPS)
    return (STEPS + step) << shift, ((STEPS + step + 1) << shift) - 1


def fact_buckets(facts: Mapping[str, float]) -> tuple[int, ...]:
    """Return the numbers of the facts' buckets."""
    return tuple(round(FACT_STEPS * math.log2(value)) for value in facts.values())


def of_buckets(facts: Iterable[str], numbers: tuple[int, ...]) -> dict[str, float]:
    """Return the facts that stand for all of some buckets."""
    return {key: 2 ** (number / FACT_STEPS) for key, number in zip(facts, numbers, strict=True)}


# Work


def stand_ins(contract: Any, call: Call) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return arguments of a call's shape, dtype and parameters, whose arrays take the memory of one entry."""
    signature = contract.signature
    made: dict[str, Any] = {}
    dtype = np.dtype(call.dtype if call.dtype in np.sctypeDict else "float32")
    batch = (call.extents["batch"],) if call.extents.get("batch", 1) != 1 else ()
    for key, stated in signature.public.parameters.items():
        if key in signature.nullable:
            made[key] = None
        elif key in signature.arrays:
            array = signature.arrays[key]
            shape = (*(batch if array.batch else ()), *(call.extents.get(extent, 1) for extent in array.extents))
            kind = np.dtype({"Bool": "bool", "UInt": "uint64"}.get(array.kind, "int64")) if array.keeps_dtype else dtype
            made[key] = np.broadcast_to(kind.type(0), shape)
            other = made.get(signature.defaults.get(key))
            if other is not None and other.shape == shape:
                made[key] = other
        elif key in call.parameters:
            made[key] = call.parameters[key]
        else:
            given = stated.default is stated.empty or key in contract.LEFT_OUT
            made[key] = signature.parameters[key].example(call.extents) if given else stated.default
    positional = [key for key, each in signature.public.parameters.items() if each.kind is not each.KEYWORD_ONLY]
    return tuple(made.pop(key) for key in positional), made


def work(contract: Any, call: Call) -> dict[str, float]:
    """Return the operation's counted work for a call, as `contract.work` does."""
    return dict(_work(contract, call.dtype, tuple(call.extents.items()), tuple(call.parameters.items())))


@functools.lru_cache(4096)
def _work(contract: Any, dtype: str, extents: tuple[Any, ...], parameters: tuple[Any, ...]) -> dict[str, float]:
    args, kwargs = stand_ins(contract, Call(dtype, dict(extents), dict(parameters), {}))
    counted: dict[str, float] = contract.work(*args, **kwargs)
    return counted


def count(contract: Any, variant: str, call: Call) -> float:
    """Return the units of work that a variant does for a call."""
    own = getattr(contract.costs, "COUNTS", {}).get(variant)
    if own is None:
        taken = work(contract, call)
        return taken["flops"] + taken["bytes"]
    facts = {key: call.facts.get(key, most) for key, (_, most) in bounds(contract, call.extents, call.parameters).items()}
    return float(own(call.extents, call.parameters, facts or call.facts))
