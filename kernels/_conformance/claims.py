"""What a function that is not registered claims, in the words of a register line, and the kind of array it takes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import Phase, find, settings
from hypothesis.errors import HypothesisException

from kernels import _dispatch
from kernels._conformance import asking
from kernels._conformance.cases import SMALL, Case, in_layouts, plain, present
from kernels._conformance.draws import properties_of
from kernels._conformance.forms import Bare, Form, parameters_of
from kernels._conformance.implementation import Implementation, kinds_here, under_test
from kernels._conformance.state import FirstCall, watched
from kernels._definition.results import parts
from kernels._variant import Variant, VariantUnavailable, declare
from kernels._zoo import Catalogue


def implementation_from(
    zoo: Catalogue, operation: str, function: Callable[..., Any], *, bare: bool = False, **claims: Any
) -> Implementation:
    """Put any function under test, behind the validation of dispatch, or bare, as a user would call it.

    Parameters
    ----------
    zoo, operation, function
        What it is held to, and the function.
    bare : bool
        Whether it is called as it is, with the operation's public signature.
    **claims
        As `registry.register` takes them. Where nothing is said of ``arrays``, the function is tried with NumPy's, then torch's;
        a bare one is called with every kind.

    Raises
    ------
    TypeError, ValueError
        If it is not a function, or claims what there is not.
    VariantUnavailable
        If the device or a package it claims is not here.
    """
    op = _dispatch.Operation(zoo, operation)
    if not callable(function):
        raise TypeError(f"argument function: expected a callable, got {type(function).__name__}")
    name = getattr(function, "__name__", "function")
    variant = _variant(zoo, op, name, claims)
    variant = replace(variant, limits={**_lacking(op, function), **variant.limits})
    needs = [*variant.requires, *([variant.device] if variant.device != "cpu" else [])]
    for reason in filter(None, map(zoo.system.missing, needs)):
        raise VariantUnavailable(f"{operation}: {name} cannot be checked here: it {reason}")

    if bare:
        return _bare_implementation(zoo, op, function, variant, claims)
    example = op.contract.example("tiny")
    keywords = op.function(*example.args, **example.kwargs)[1]
    first = FirstCall()

    def implementation(arrays: str) -> Implementation:
        claimed = replace(variant, arrays=arrays)
        form = Form(claimed, function, op.function, keywords)
        return under_test(claimed, op.contract, _dispatch.fixed(op, claimed, form), form=form, first=first)

    case = _smallest(implementation("numpy"), name)
    with watched(unusual=False):
        arrays = claims.get("arrays") or _arrays_of(zoo, op, implementation, case)
        chosen = implementation(arrays)
        if arrays == "numpy" and variant.layout == "any" and "bfloat16" not in variant.dtypes:
            chosen.form.takes_read_only = _takes_read_only(op, chosen, case)  # type: ignore[union-attr]
    return chosen


def _bare_implementation(
    zoo: Catalogue, op: _dispatch.Operation, function: Callable[..., Any], variant: Variant, claims: dict[str, Any]
) -> Implementation:
    """Put a function under test as it is, with each kind of array that it does not exclude."""
    form = Bare(variant, function, op.contract.signature.public)
    kinds = (variant.arrays,) if "arrays" in claims else kinds_here(zoo)
    implementation = under_test(variant, op.contract, form, kinds=kinds, form=form)
    _smallest(implementation, variant.name.strip("<>"))
    return implementation


def _arrays_of(zoo: Catalogue, op: _dispatch.Operation, implementation: Callable[[str], Implementation], case: Case) -> str:
    """Find the kind of array that a function takes."""
    variant: Variant = implementation("numpy").form.variant  # type: ignore[union-attr]
    if variant.device != "cpu" or "bfloat16" in variant.dtypes:  # NumPy has neither
        return "torch"
    if zoo.system.missing("torch") or _takes(op, implementation("numpy"), case):
        return "numpy"
    return "torch" if _takes(op, implementation("torch"), case) else "numpy"


def _lacking(op: _dispatch.Operation, function: Callable[..., Any]) -> dict[str, Any]:
    """Return the limits of a function without a parameter for an array that a call may do without."""
    parameters, takes_any = parameters_of(function)
    return {} if takes_any else dict.fromkeys(op.contract.signature.nullable - parameters.keys(), (None,))


def _variant(zoo: Catalogue, op: _dispatch.Operation, name: str, claims: dict[str, Any]) -> Variant:
    """Return a function's claims as a variant, once they mean something."""
    where = f"{op.name}: the claims of {name}:"
    try:
        variant = Variant(**declare(op.name, f"<{name}>", **claims))
    except (TypeError, ValueError) as error:  # in the words of a register line, which this is not
        raise type(error)(f"{where} {str(error).partition('): ')[2] or error}") from None
    registered = [dtype for each in zoo.variants(op.name) for dtype in each.dtypes]
    known = dict.fromkeys(registered or Variant.dtypes)
    unknown = [dtype for dtype in variant.dtypes if dtype not in known]
    if unknown or not variant.dtypes:
        raise ValueError(f"{where} expected dtypes among {', '.join(known)}, got {', '.join(unknown) or 'none'}")
    precisions = op.contract.PRECISIONS
    if variant.precision not in precisions:
        raise ValueError(f"{where} expected precision among {', '.join(precisions)}, got {variant.precision!r}")
    example, signature = op.contract.example("tiny"), op.contract.signature
    omissible = [key for key in signature.arrays if key in signature.omissible]
    limitable = [*omissible, *signature.parameters, *op.contract.work(*example.args, **example.kwargs)]
    for key, limit in variant.limits.items():
        if key not in limitable:
            raise ValueError(f"{where} expected limits of {', '.join(limitable)}, got one of {key!r}")
        if key in omissible and limit != (None,):
            raise ValueError(f"{where} expected (None,) as the limit of {key}, an array that may be left out; got {limit!r}")
    return variant


def _smallest(implementation: Implementation, name: str) -> Case:
    """Return the smallest call that is within what an implementation claims, which Hypothesis looks for once."""
    claims = asking.claims_of(implementation)
    if claims not in _smallest_calls:
        calls = properties_of(implementation.contract).cases(implementation, SMALL)
        search = settings(max_examples=200, derandomize=True, database=None, phases=(Phase.generate, Phase.shrink))
        try:
            with asking.nothing_stored():
                _smallest_calls[claims] = find(
                    calls,
                    lambda each: implementation.claims(each) and all(array.size for array in each.arrays.values()),
                    settings=search,
                )
        except HypothesisException:
            limits = ", ".join(f"{key} {limit!r}" for key, limit in implementation.limits.items())
            raise ValueError(f"{implementation.operation}: the claims of {name}: no call is within the limits {limits}") from None
    return copy.deepcopy(_smallest_calls[claims])


_smallest_calls: dict[Hashable, Case] = {}


def _takes(op: _dispatch.Operation, implementation: Implementation, case: Case) -> bool:
    """Whether a function answers a call with an array of the kind that it is given."""
    form: Any = implementation.form
    # Of copies: what it writes into its arguments is for the properties to show.
    arrays = {name: present(array.copy(), form.variant.arrays, case.dtype) for name, array in case.arrays.items()}
    args, kwargs = op.function(**arrays, **case.parameters)
    try:
        result = implementation.first.of(form, dispatched=False)(*args, **kwargs, **form.variant.options)
    except (Exception, SystemExit):  # a failure of its own, which the properties will show
        return False
    result = parts(result)[0] if isinstance(result, tuple) and result else result
    return isinstance(result, np.ndarray | np.generic) == (form.variant.arrays == "numpy") and hasattr(result, "dtype")


def _takes_read_only(op: _dispatch.Operation, implementation: Implementation, case: Case) -> bool:
    """Whether a function takes arrays that are read-only: compiled code for a stated signature, as Numba's, may refuse them.

    Only a function that answers the same call with writable arrays is believed.
    """
    form: Any = implementation.form
    writable = plain(case)
    read_only = in_layouts(writable, dict.fromkeys(case.arrays, "read-only"))
    if not _takes(op, implementation, writable):
        return True
    args, kwargs = op.function(**read_only.arrays, **case.parameters)
    try:
        form(*args, **kwargs, **form.variant.options)
    except (Exception, SystemExit) as error:  # any but these is the function's own failure, which the properties will show
        return not isinstance(error, TypeError | ValueError | BufferError)
    return True
