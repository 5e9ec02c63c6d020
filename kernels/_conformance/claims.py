"""What a function that is not registered claims, in the words of a register line, and the kind of array it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import Phase, find, settings
from hypothesis.errors import HypothesisException

from kernels import _dispatch
from kernels._catalogue import declare
from kernels._conformance.cases import SMALL, Case, present
from kernels._conformance.subject import Form, Subject, properties_of
from registry import Variant, VariantUnavailable, Zoo


def function_subject(zoo: Zoo, operation: str, function: Callable[..., Any], **claims: Any) -> Subject:
    """Put any function on trial, behind dispatch's validation.

    Parameters
    ----------
    zoo, operation, function
        What it is held to, and the function.
    **claims
        As `registry.register` takes them. Where nothing is said of ``arrays``, the function is tried with NumPy's, then torch's.

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
    needs = [*variant.requires, *([variant.device] if variant.device != "cpu" else [])]
    for reason in filter(None, map(zoo.system.missing, needs)):
        raise VariantUnavailable(f"{operation}: {name} cannot be checked here: it {reason}")

    example = op.contract.example("tiny")
    keywords = op.function(*example.args, **example.kwargs)[1]

    def subject(arrays: str) -> Subject:
        own = replace(variant, arrays=arrays)
        form = Form(own, function, op.function, keywords)
        return Subject(
            operation,
            op.contract,
            _dispatch.fixed(op, own, form),
            own.dtypes,
            own.precision,
            own.deterministic,
            own.device,
            limits=own.limits,
            form=form,
        )

    case = _smallest(subject("numpy"), name)
    if "arrays" in claims:
        return subject(variant.arrays)
    if variant.device != "cpu" or "bfloat16" in variant.dtypes:  # NumPy has neither
        return subject("torch")
    if zoo.system.missing("torch") or _takes(op, subject("numpy"), case):
        return subject("numpy")
    return subject("torch" if _takes(op, subject("torch"), case) else "numpy")


def _variant(zoo: Zoo, op: _dispatch.Operation, name: str, claims: dict[str, Any]) -> Variant:
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
    example = op.contract.example("tiny")
    limitable = [*op.signature.parameters, *op.contract.work(*example.args, **example.kwargs)]
    for key in variant.limits.keys() - set(limitable):
        raise ValueError(f"{where} expected limits of {', '.join(limitable)}, got one of {key!r}")
    return variant


def _smallest(subject: Subject, name: str) -> Case:
    """Return the smallest call that is within what a subject claims."""
    calls = properties_of(subject.contract).cases(subject, SMALL)
    asked = settings(max_examples=200, derandomize=True, database=None, phases=(Phase.generate, Phase.shrink))
    try:
        case: Case = find(
            calls, lambda each: subject.claims(each) and all(array.size for array in each.arrays.values()), settings=asked
        )
    except HypothesisException:
        limits = ", ".join(f"{key} {limit!r}" for key, limit in subject.limits.items())
        raise ValueError(f"{subject.operation}: the claims of {name}: no call is within the limits {limits}") from None
    return case


def _takes(op: _dispatch.Operation, subject: Subject, case: Case) -> bool:
    """Whether a function answers a call with an array of the kind that it is given."""
    form: Any = subject.form
    arrays = {name: present(array, form.variant.arrays, case.dtype) for name, array in case.arrays.items()}
    args, kwargs = op.function(**arrays, **case.parameters)
    try:
        result = form(*args, **kwargs, **form.variant.options)
    except (Exception, SystemExit):  # a failure of its own, which the properties will show
        return False
    return isinstance(result, np.ndarray | np.generic) == (form.variant.arrays == "numpy") and hasattr(result, "dtype")
