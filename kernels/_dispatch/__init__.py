"""How a call flows: validation, the choice of a variant, arrays adapted, the kernel, the result converted back."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from kernels._dispatch import neutral
from kernels._dispatch.choice import choose, consider, slow_but_able, still_rejects, unsuited_of
from kernels._dispatch.fast_path import fast_path
from kernels._dispatch.operation import Operation
from registry import Explanation

if TYPE_CHECKING:
    from registry import Variant, Zoo

__all__ = ["Operation", "explain", "fixed", "make_callable"]


def make_callable(zoo: Zoo, operation: str, selector: str) -> Callable[..., Any]:
    """Return the function that `registry.get` hands out."""
    op = Operation(zoo, operation)
    first, *_ = zoo.candidates(operation, selector)
    call = fixed(op, first, zoo.function(first)) if first.name == selector else choosing(op, selector)
    call.__name__, call.__doc__ = operation, op.contract.definition.__doc__
    call.__module__, call.__qualname__ = "registry", f"{operation}:{selector}"  # where pickle finds it
    call.__signature__ = _public(op.signature, first.options if first.name == selector else {})  # type: ignore[attr-defined]
    return call


def _public(signature: inspect.Signature, options: Mapping[str, Any]) -> inspect.Signature:
    """Return what a caller sees of a contract's signature: it gives an array, and takes a named variant's options."""
    further = [inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=value) for key, value in options.items()]
    gives = signature.empty if signature.return_annotation is signature.empty else "Array"
    return signature.replace(parameters=[*signature.parameters.values(), *further], return_annotation=gives)


def fixed(op: Operation, variant: Variant, kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Return one variant's callable: arrays of the kind it was written for pass straight to its kernel."""

    @neutral.in_neutral_state
    def slow(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        request = op.request(args, kwargs, [variant])
        choose(op, request, variant.name, [variant])
        return op.run(variant, kernel, request)

    return fast_path(op, variant, kernel, slow)


def choosing(op: Operation, selector: str) -> Callable[..., Any]:
    """Return a callable that takes, for each call, the best variant that can run it and should.

    A choice is remembered for the arrays' type, dtype and device until a variant is registered; a variant that was rejected
    for more than those is asked again on each call.
    """
    fast_paths: dict[Any, Callable[..., Any]] = {}

    @neutral.in_neutral_state
    def slow(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        candidates = op.zoo.candidates(op.name, selector)
        request = op.request(args, kwargs, candidates)
        variant, rejected = choose(op, request, selector, candidates)
        kernel = op.zoo.function(variant)
        by_values = [(better, rejection) for better, rejection in rejected if rejection.by_values]
        same_arrays = (
            bool(args) and args[0] is request.arrays[0] and all(better.arrays == variant.arrays for better, _ in by_values)
        )
        if same_arrays and not (request.options or variant.limits or unsuited_of(kernel)):
            conditions = [still_rejects(op, *each) for each in by_values]
            first = request.arrays[0]
            key = (type(first), first.dtype, getattr(first, "device", None), op.zoo.generation)
            fast_paths[key] = fast_path(op, variant, kernel, slow, conditions)
        return op.run(variant, kernel, request)

    def call(*args: Any, **kwargs: Any) -> Any:
        first = args[0] if args else None
        key = (type(first), getattr(first, "dtype", None), getattr(first, "device", None), op.zoo.generation)
        fast = fast_paths.get(key)
        return fast(*args, **kwargs) if fast else slow(args, kwargs)

    return call


def explain(zoo: Zoo, operation: str, selector: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Explanation:
    """Say what a call would do, without running a kernel."""
    op = Operation(zoo, operation)
    candidates = zoo.candidates(operation, selector)
    request = op.request(args, kwargs, candidates if len(candidates) > 1 else ())  # why one alone is rejected is the answer
    considered = [*consider(op, request, selector, candidates)]
    chosen = next((variant for variant, rejection in considered if rejection is None), None) or slow_but_able(considered)
    reasons = tuple((variant, rejection.reason if rejection else None) for variant, rejection in considered)
    return Explanation(operation, selector, reasons, chosen)
