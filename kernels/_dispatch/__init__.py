"""How a call flows: validation, the choice of a variant, arrays adapted, the kernel, the result converted back."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from kernels._dispatch import neutral, overrides
from kernels._dispatch.choice import Question, able, none_can_run
from kernels._dispatch.choosing import Chooser
from kernels._dispatch.fast_path import of_variant
from kernels._dispatch.operation import Operation
from kernels._explanation import Explanation
from kernels._variant import Variant
from kernels._zoo import Catalogue

__all__ = ["Operation", "explain", "fixed", "make_callable"]


def make_callable(zoo: Catalogue, operation: str, selector: str, precision: str | None = None) -> Callable[..., Any]:
    """Return the function that `registry.get` hands out."""
    overrides.require_known(zoo, operation)
    op = Operation(zoo, operation)
    if precision is not None:
        op.contract.require_class(precision)
    first, *_ = zoo.candidates(operation, selector)
    named = first.name == selector
    call = fixed(op, first, zoo.function(first), precision) if named else Chooser(op, selector, precision).callable()
    call.__name__, call.__doc__ = operation, op.contract.definition.__doc__
    call.__qualname__ = ":".join(filter(None, (operation, selector, precision)))
    call.__signature__ = _public(op.signature, first.options if named else {})  # type: ignore[attr-defined]
    return call


def _public(signature: inspect.Signature, options: Mapping[str, Any]) -> inspect.Signature:
    """Return what a caller sees of a contract's signature: it gives an array, and takes a named variant's options."""
    further = [inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=value) for key, value in options.items()]
    gives = signature.empty if signature.return_annotation is signature.empty else "Array"
    return signature.replace(parameters=[*signature.parameters.values(), *further], return_annotation=gives)


def fixed(op: Operation, variant: Variant, kernel: Callable[..., Any], precision: str | None = None) -> Callable[..., Any]:
    """Return one variant's callable: arrays of the kind it was written for pass straight to its kernel."""
    question = Question(variant.name, precision=precision)

    @neutral.in_neutral_state
    def slow(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        request = op.request(args, kwargs, [variant])
        (candidate,) = able(op, request, question, [variant])
        if candidate.rejection is not None:
            raise none_can_run(op, request, variant.name, [candidate])
        return op.run(variant, kernel, request)

    # Whether a class of error is weak enough may hang on the dtype and on parameters, which the slow path sees.
    return (lambda *args, **kwargs: slow(args, kwargs)) if precision else of_variant(op, variant, kernel, slow)


def explain(
    zoo: Catalogue,
    operation: str,
    selector: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    precision: str | None = None,
    looks: bool = True,
) -> Explanation:
    """Say what a call would do, without running a kernel; without `looks`, whatever the arrays' contents."""
    overrides.require_known(zoo, operation)
    op, asked = Operation(zoo, operation), selector
    named = selector in {v.name for v in zoo.variants(operation)}
    if named:
        candidates = zoo.candidates(operation, selector)
    else:
        selector, candidates = overrides.narrowed(zoo, operation, selector)
    request = op.request(args, kwargs, candidates if len(candidates) > 1 else ())  # why one alone is rejected is the answer
    considered, notes = Chooser(op, asked, precision).considered(request, selector, candidates, looks=looks)
    if said := str(overrides.in_effect()):
        notes = (*notes, f"in effect here: {said}")
    first = considered[0] if considered else None
    return Explanation(
        operation,
        asked,
        tuple((each.variant, each.rejection.reason if each.rejection else None) for each in considered),
        first.variant if first and first.rejection is None else None,
        tuple(each.cost for each in considered),
        notes,
    )
