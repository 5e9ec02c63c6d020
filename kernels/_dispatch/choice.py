"""Which variant serves a call: the one decision, which a call runs and `explain` shows."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from kernels import _arrays
from kernels._dispatch.operation import Call, Operation, wrong_dtype
from registry import VariantUnavailable

if TYPE_CHECKING:
    from registry import Variant


class Rejection(NamedTuple):
    """Why a variant does not serve a call.

    Attributes
    ----------
    reason : str
    error : type or None
        What a caller who insists on the variant gets; None if it can run, but another should be faster.
    by_values : bool
        Whether it depends on more than the arrays' type, dtype and device.
    """

    reason: str
    error: type[Exception] | None
    by_values: bool = False


def cannot_run(op: Operation, variant: Variant, call: Call, selector: str) -> Rejection | None:
    """Say why a variant cannot run a call, or None if it can. Asks the registration, the system and the call alone."""
    if variant.reason:
        return Rejection(variant.reason, VariantUnavailable)
    if selector == "auto" and variant.device != call.caller.device:
        return Rejection(f"runs on {variant.device}, and the arrays are on {call.caller.device}", ValueError)
    if (variant.arrays == "dask") != (call.caller.kind == "dask") and not (variant.arrays == "dask" and variant.name == selector):
        takes = "is for dask arrays" if variant.arrays == "dask" else "takes no dask arrays; compute() makes others of them"
        return Rejection(takes, TypeError)
    name = _arrays.dtype_name(call.dtype)
    if name not in variant.dtypes:
        return Rejection(wrong_dtype(variant, name), TypeError)
    if name == "bfloat16" and variant.arrays == "numpy" and (lacking := op.zoo.missing("ml_dtypes")):
        return Rejection(f"takes bfloat16 as NumPy has it, and {lacking}", VariantUnavailable)
    for key, value in call.options.items():
        if key not in variant.options:
            return Rejection(f"has no argument {key!r}; its options are: {', '.join(variant.options) or 'none'}", TypeError)
        if type(value) is not type(variant.options[key]):
            return Rejection(f"takes {key} as {type(variant.options[key]).__name__}; got {value!r}", TypeError)
        if type(value) in (int, float) and not value > 0:
            return Rejection(f"takes {key} above 0; got {value!r}", ValueError)
    return beyond_limits(op, variant, call.args, call.kwargs) if variant.limits else None


def beyond_limits(op: Operation, variant: Variant, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Rejection | None:
    """Say which limit of a variant a normalised call goes beyond, or None."""
    facts = {**dict(zip(op.by_position, args, strict=False)), **kwargs}
    for more in (op.contract.quantities, op.contract.work):  # counting the work takes longer
        if not variant.limits.keys() <= facts.keys():
            facts = {**more(*args, **kwargs), **facts}
    for key, limit in variant.limits.items():
        if key not in facts:
            reason = f"limits {key!r} ({variant.source}), which is neither an argument nor a quantity of work(...)"
            return Rejection(reason, VariantUnavailable)
        fact = facts[key]
        if key in op.keyed:  # data that is left out is x itself once a call is normalised
            fact = None if fact is args[0] else "an array"
        if isinstance(limit, tuple) and fact not in limit:
            return Rejection(f"takes {key} {', '.join(map(repr, limit))}; got {fact!r}", ValueError, by_values=True)
        if not isinstance(limit, tuple) and not fact <= limit:
            return Rejection(f"takes at most {limit:g} {key}; this call has {fact:g}", ValueError, by_values=True)
    return None


def should_not_run(op: Operation, variant: Variant, call: Call) -> Rejection | None:
    """Say why a variant that can run a call should not: its file is broken, or `unsuited` there says it would be slower."""
    try:
        unsuited = unsuited_of(op.zoo.function(variant))
    except VariantUnavailable:
        return Rejection(str(variant.reason), VariantUnavailable)
    if unsuited is None:
        return None
    args, kwargs = op.adapted(variant, call)
    try:
        reason = unsuited(*args, **kwargs)
    except Exception as error:
        reason = f"unsuited(...) in {variant.file} failed: {type(error).__name__}: {error}"
        return Rejection(reason, VariantUnavailable, by_values=True)
    return Rejection(reason, None, by_values=True) if reason else None


def unsuited_of(kernel: Callable[..., Any]) -> Callable[..., str | None] | None:
    """Return the function by which a kernel's file says, of a normalised call, why another variant would be faster, or None."""
    function: Callable[..., str | None] | None = getattr(inspect.unwrap(kernel), "__globals__", {}).get("unsuited")
    return function


def consider(
    op: Operation, call: Call, selector: str, candidates: Sequence[Variant]
) -> Iterator[tuple[Variant, Rejection | None]]:
    """Yield the candidates, best first, each with why it is rejected; the first that is not rejected runs.

    Of two on one rank, the one that takes the caller's own arrays comes first. A variant is asked whether it should run
    only if it may be the first; one that the caller named runs even where another would be faster.
    """
    found = False
    for variant in sorted(candidates, key=lambda v: (-v.rank, v.arrays != call.caller.kind)):
        rejection = cannot_run(op, variant, call, selector)
        if rejection is None and not found and variant.name != selector:
            rejection = should_not_run(op, variant, call)
        found = found or rejection is None
        yield variant, rejection


def slow_but_able(rejected: Sequence[tuple[Variant, Rejection | None]]) -> Variant | None:
    """Return the best of the rejected variants that can run: slow is better than not at all."""
    return next((variant for variant, rejection in rejected if rejection and rejection.error is None), None)


def choose(
    op: Operation, call: Call, selector: str, candidates: Sequence[Variant]
) -> tuple[Variant, list[tuple[Variant, Rejection]]]:
    """Choose the best variant for a call; return what was rejected before it too.

    Raises
    ------
    TypeError, ValueError, VariantUnavailable
        If none can run it.
    """
    rejected: list[tuple[Variant, Rejection]] = []
    for variant, rejection in consider(op, call, selector, candidates):
        if rejection is None:
            return variant, rejected
        rejected.append((variant, rejection))
    slow = slow_but_able(rejected)
    if slow is None:
        raise _none_can_run(op, call, selector, rejected)
    return slow, rejected


def _none_can_run(op: Operation, call: Call, selector: str, rejected: Sequence[tuple[Variant, Rejection]]) -> Exception:
    """What every working variant rejects is the caller's to mend; otherwise the machine is at fault."""
    here = [each for each in rejected if each[1].error is not VariantUnavailable]
    here = [each for each in here if _concerns(each[0], call, selector)] or here or [*rejected]
    error = here[0][1].error or VariantUnavailable
    if here[0][0].name == selector:
        return error(f"{op.name}: variant {selector!r} {here[0][1].reason}")
    reasons = {rejection.reason for _, rejection in here}
    if len(reasons) == 1:
        return error(f"{op.name}: no variant for {selector!r} can take this call: each {reasons.pop()}")
    lines = [f"  {variant.name}: {rejection.reason}" for variant, rejection in here]
    return error("\n".join([f"{op.name}: no variant for {selector!r} can take this call:", *lines]))


def _concerns(variant: Variant, call: Call, selector: str) -> bool:
    """Whether a variant is where the arrays are and knows their dtype and the options, so that its rejection tells most."""
    there = selector != "auto" or variant.device == call.caller.device
    return there and _arrays.dtype_name(call.dtype) in variant.dtypes and call.options.keys() <= variant.options.keys()


def still_rejects(op: Operation, variant: Variant, rejection: Rejection) -> Callable[..., Any]:
    """Return the test that is true of a normalised call as long as a variant is rejected for it by values."""
    unsuited = None if rejection.error else unsuited_of(op.zoo.function(variant))

    def rejects(*args: Any, **kwargs: Any) -> Any:
        try:
            return unsuited(*args, **kwargs) if unsuited else beyond_limits(op, variant, args, kwargs)
        except Exception:  # the slow path says so
            return None

    return rejects
