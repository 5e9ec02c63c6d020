"""Which variant serves a call: the one decision, which a call runs and `explain` shows.

For each candidate it says whether it can run the call, and what it will take (`kernels/_costs/model.py`). The cheapest runs.
Of those that are tied with it the one of the highest rank runs, then one for the caller's own kind of array, then the first by
name: so two measurements lead to one choice. The tie is narrow, because its edge is where two measurements may lead apart: there
the two choices should take the same time, which they do where their costs cross, and less so the wider the tie.

A variant without measurements has its rank alone: it counts as fast as the fastest variant that it ranks above, and wins the tie.
Where nothing was measured, the highest rank runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from kernels import _arrays
from kernels._costs import calls
from kernels._dispatch.operation import Operation, Request, wrong_dtype
from kernels._dispatch.strength import no_weaker
from kernels._explanation import Cost
from kernels._variant import Variant, VariantUnavailable

if TYPE_CHECKING:
    from kernels._costs.model import Costs

NEAR = 1.01  # costs within this factor are tied
SHORTEST = 1e-7  # seconds that no call takes less than


class Rejection(NamedTuple):
    """Why a variant does not serve a call, and what a caller who insists on it gets."""

    reason: str
    error: type[Exception]


class Candidate(NamedTuple):
    """A variant that was considered for a call.

    Attributes
    ----------
    variant : Variant
    rejection : Rejection or None
        None if it can run the call.
    cost : Cost or None
        What it will take; None where nothing is known of it, and for one that cannot run the call.
    options : mapping
        The measured options that take the place of the variant's defaults.
    """

    variant: Variant
    rejection: Rejection | None
    cost: Cost | None = None
    options: Mapping[str, Any] = {}


class Question(NamedTuple):
    """What is asked of the candidates beside the call itself.

    Attributes
    ----------
    selector : str
    forbidden : mapping
        Variants that must not run, with who says so.
    precision : str or None
        The weakest class of error that will do.
    repeatable : bool
        Whether the same call must give the same bits.
    """

    selector: str
    forbidden: Mapping[str, str] = {}
    precision: str | None = None
    repeatable: bool = False


def cannot_run(op: Operation, variant: Variant, request: Request, question: Question) -> Rejection | None:
    """Say why a variant cannot run a call, or None if it can. Asks the registration, the system and the call alone."""
    if variant.reason:
        return Rejection(variant.reason, VariantUnavailable)
    if question.selector == "auto" and variant.device != request.caller.device:
        return Rejection(f"runs on {variant.device}, and the arrays are on {request.caller.device}", ValueError)
    for_dask = variant.arrays == "dask"
    if for_dask != (request.caller.kind == "dask") and not (for_dask and variant.name == question.selector):
        takes = "is for dask arrays" if for_dask else "takes no dask arrays; compute() makes others of them"
        return Rejection(takes, TypeError)
    name = _arrays.dtype_name(request.dtype)
    if name not in variant.dtypes:
        return Rejection(wrong_dtype(variant, name), TypeError)
    if name == "bfloat16" and variant.arrays == "numpy" and (lacking := op.zoo.missing("ml_dtypes")):
        return Rejection(f"takes bfloat16 as NumPy has it, and {lacking}", VariantUnavailable)
    for key, value in request.options.items():
        if key not in variant.options:
            return Rejection(f"has no argument {key!r}; its options are: {', '.join(variant.options) or 'none'}", TypeError)
        if type(value) is not type(variant.options[key]):
            return Rejection(f"takes {key} as {type(variant.options[key]).__name__}; got {value!r}", TypeError)
        if type(value) in (int, float) and not value > 0:
            return Rejection(f"takes {key} above 0; got {value!r}", ValueError)
    if variant.limits and (beyond := beyond_limits(op, variant, *op.contract.signature.as_call(request.arguments))):
        return beyond
    return must_not_run(op, variant, request, question)


def must_not_run(op: Operation, variant: Variant, request: Request, question: Question) -> Rejection | None:
    """Say what somebody asked for that keeps a variant from running a call that it can run, or None."""
    if variant.name in question.forbidden:
        return Rejection(f"is forbidden here: {question.forbidden[variant.name]}", VariantUnavailable)
    if question.repeatable and not variant.deterministic:
        return Rejection("does not give the same bits twice, and choices are frozen", VariantUnavailable)
    if question.precision is not None:
        parameters = {key: value for key, value in request.arguments.items() if key in op.contract.DISCRETE}
        if not no_weaker(op.contract, variant.precision, question.precision, _arrays.dtype_name(request.dtype), parameters):
            return Rejection(f"promises the class {variant.precision!r}, weaker than {question.precision!r}", ValueError)
    return None


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
            fact = None if fact is None or fact is args[0] else "an array"
        if isinstance(limit, tuple) and fact not in limit:
            return Rejection(f"takes {key} {', '.join(map(repr, limit))}; got {fact!r}", ValueError)
        if not isinstance(limit, tuple) and not fact <= limit:
            return Rejection(f"takes at most {limit:g} {key}; this call has {fact:g}", ValueError)
    return None


def able(op: Operation, request: Request, question: Question, candidates: Sequence[Variant]) -> list[Candidate]:
    """Say of each candidate whether it can run a call, and if not, why."""
    return [Candidate(variant, cannot_run(op, variant, request, question)) for variant in candidates]


def ordered(
    considered: Sequence[Candidate], caller: str, options: Mapping[str, Any], described: calls.Call, costs: Costs
) -> list[Candidate]:
    """Return the candidates with their costs for a described call, the one to run first, those that cannot run it last.

    Where the facts of the call are not known, the one to run is the one that, whatever they are, takes the least multiple of the
    time that the best would take.
    """
    running = [candidate.variant for candidate in considered if candidate.rejection is None]
    converted = _for_tensors(running, costs) if caller == "torch" else lambda _, cost: cost
    bounds = {} if described.facts else calls.bounds(costs.contract, described.extents, described.parameters)

    def with_costs(facts: Mapping[str, float]) -> list[Candidate]:
        call = described._replace(facts=facts)
        known = [converted(variant, costs.of(variant.name, call, options)) for variant in running]
        return [Candidate(v, None, cost, cost.options if cost else {}) for v, cost in zip(running, known, strict=True)]

    corners = [with_costs(facts) for facts in (calls.corners(bounds) if bounds else [described.facts])]
    regrets = dict.fromkeys((variant.name for variant in running), 0.0)
    for seconds in map(_placed, corners):
        least = min(seconds.values(), default=0.0)
        for name, own in seconds.items():
            regrets[name] = max(regrets[name], own / least if math.isfinite(own) else own if math.isfinite(least) else 1.0)
    tied = NEAR * min(regrets.values(), default=0.0)
    worst = [
        each._replace(cost=each.cost and each.cost._replace(at_most=each.cost != best.cost))
        for best, each in zip(corners[0], corners[-1], strict=True)
    ]
    place = _placed(worst)

    def order(candidate: Candidate) -> tuple[Any, ...]:
        variant = candidate.variant
        ties = (-variant.rank, variant.arrays != caller, variant.name)
        return (0, *ties) if regrets[variant.name] <= tied else (1, place[variant.name], *ties)

    rejected = [candidate for candidate in considered if candidate.rejection is not None]
    return sorted(worst, key=order) + sorted(rejected, key=lambda each: (-each.variant.rank, each.variant.arrays != caller))


def _for_tensors(variants: Sequence[Variant], costs: Costs) -> Callable[[Variant, Cost | None], Cost | None]:
    """Return a function that makes of a cost for NumPy arrays the cost for tensors.

    There the variants that take tensors are spared the conversion, and those that take NumPy arrays are not. It takes as long for
    large arrays as for small ones, and for one variant as for another of its kind, because the memory is shared.
    """
    longer = {kind: costs.of_tensors(v.name for v in variants if v.arrays == kind) for kind in {v.arrays for v in variants}}

    def converted(variant: Variant, cost: Cost | None) -> Cost | None:
        if cost is None or not longer[variant.arrays]:
            return cost
        origin = "interpolated" if cost.origin == "measured" else cost.origin
        return cost._replace(seconds=max(cost.seconds + longer[variant.arrays], SHORTEST), origin=origin)

    return converted


def _placed(candidates: Sequence[Candidate]) -> dict[str, float]:
    """Return the seconds by which candidates are compared; one without any takes those of the fastest that it ranks above."""
    known = [(each.variant.rank, each.cost.seconds) for each in candidates if each.cost is not None]
    return {
        each.variant.name: each.cost.seconds
        if each.cost is not None
        else min((seconds for rank, seconds in known if rank <= each.variant.rank), default=math.inf)
        for each in candidates
    }


def first_that_loads(op: Operation, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates with those whose files fail, before one that can run, moved to the end and rejected for it."""
    broken: list[Candidate] = []
    for i, candidate in enumerate(candidates):
        if candidate.rejection is not None:
            break
        try:
            op.zoo.function(candidate.variant)
        except VariantUnavailable:
            broken.append(Candidate(candidate.variant, Rejection(str(candidate.variant.reason), VariantUnavailable)))
            continue
        return [*candidates[i:], *broken]
    return [*broken, *candidates[len(broken) :]]


def none_can_run(op: Operation, request: Request, selector: str, rejected: Sequence[Candidate]) -> Exception:
    """What every working variant rejects is the caller's to mend; otherwise the machine is at fault."""
    because = [(each.variant, each.rejection) for each in rejected if each.rejection is not None]
    because = [each for each in because if _concerns(each[0], request, selector)] or because
    here = [each for each in because if each[1].error is not VariantUnavailable] or because
    error = here[0][1].error
    if here[0][0].name == selector:
        return error(f"{op.name}: variant {selector!r} {here[0][1].reason}")
    reasons = {rejection.reason for _, rejection in here}
    if len(reasons) == 1:
        return error(f"{op.name}: no variant for {selector!r} can take this call: each {reasons.pop()}")
    lines = [f"  {variant.name}: {rejection.reason}" for variant, rejection in here]
    return error("\n".join([f"{op.name}: no variant for {selector!r} can take this call:", *lines]))


def _concerns(variant: Variant, request: Request, selector: str) -> bool:
    """Whether a variant is for such arrays, their dtype and the options, so that its rejection tells most."""
    there = selector != "auto" or variant.device == request.caller.device
    there &= (variant.arrays == "dask") == (request.caller.kind == "dask")
    return there and _arrays.dtype_name(request.dtype) in variant.dtypes and request.options.keys() <= variant.options.keys()
