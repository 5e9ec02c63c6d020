"""The conformance suite: a function under test, what it claims, and how it is held to the properties of an operation.

The general properties are in `general.py`, those that follow from an operation's signature and its symmetries in
`relations.py`. What an operation states of itself is in `kernels/<operation>/_properties.py`; any of these may be absent:

SCALES, RANGES, PERMUTES, MIRRORS, SHIFTS, REPEATS, SPLITS
    Its symmetries, as `relations.py` reads them.
cases(implementation, most)
    A Hypothesis strategy for a `Case` that an `Implementation` takes; `most` bounds the work of the definition, so that a slow
    kernel can be asked too.
parameters(implementation, arrays)
    A strategy for the parameters that go with arrays.
PROPERTIES
    Further properties, functions of an `Implementation` and a drawn `hypothesis.strategies.DataObject`.
refused(dtype)
    Further calls that must be refused by a kernel that takes a dtype: pairs of keyword arguments and the expected error.
hint(case, result)
    What a failure says further of a wrong result of a call, such as which mistake gives the same; or None.
SHARES
    Of the asked-for examples, for properties whose calls are large; 1 where it says nothing.
"""

from __future__ import annotations

import textwrap
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from types import ModuleType
from typing import Any

from hypothesis import strategies as st

from kernels import _dispatch
from kernels._conformance import asking, relations
from kernels._conformance.calls import agrees_where_extents_are_long
from kernels._conformance.claims import implementation_from
from kernels._conformance.draws import properties_of
from kernels._conformance.general import GENERAL, SHARES, Property
from kernels._conformance.implementation import Implementation, Record, Trial, kinds_here, under_test
from kernels._conformance.sizes import agrees_at_every_length, agrees_at_ordinary_sizes
from kernels._conformance.snippet import hints, snippet
from kernels._conformance.state import watched
from kernels._variant import ConformanceError, Variant
from kernels._zoo import Catalogue

MESSAGE = 400  # characters of an error that a failure shows; the error itself is the failure's cause
SHRINKS = True  # whether a failing example is made small; what asks only whether there is one sets it otherwise


def all_properties(contract: ModuleType) -> tuple[Property, ...]:
    """Return the general properties, those that an operation's signature and symmetries give, and its own."""
    stated: tuple[Property, ...] = properties_of(contract).PROPERTIES
    return GENERAL + relations.of(contract) + stated


def implementation_of(zoo: Catalogue, variant: Variant) -> Implementation:
    """Put a registered variant under test, called through dispatch with every kind of array."""
    contract = zoo.contract(variant.operation)  # what is wrong with it is to be said before the variant is loaded
    return under_test(variant, contract, _dispatch.make_callable(zoo, variant.operation, variant.name), kinds=kinds_here(zoo))


def _require_examples(max_examples: int) -> None:
    if max_examples < 1:
        raise ValueError(f"argument max_examples: expected at least 1, got {max_examples!r}")


# Each makes many calls, of all sizes, in its one example. A quick look, with fewer examples of the others than
# LEAST_FOR_LARGE, leaves them out.
WITH_LARGE_CALLS: tuple[Property, ...] = (agrees_at_every_length, agrees_where_extents_are_long, agrees_at_ordinary_sizes)
LEAST_FOR_LARGE = 20


def run(property_: Property, implementation: Implementation, max_examples: int, seed: int = 0) -> Record:
    """Ask one property of an implementation; the same seed asks the same questions.

    Returns
    -------
    Record
        What was asked, and how close it came; no example where the property is about nothing that the implementation claims.

    Raises
    ------
    ConformanceError
        With the property and the smallest failing example as code.
    """
    implementation = replace(implementation, record=Record())
    stated: dict[Property, float] = getattr(properties_of(implementation.contract), "SHARES", {})
    share = (SHARES | relations.SHARES | stated).get(property_, 1)
    started = time.perf_counter()
    if property_ in WITH_LARGE_CALLS and max_examples < LEAST_FOR_LARGE:
        return implementation.record

    def ask(data: Any) -> None:
        trial, form = Trial(), implementation.form
        implementation.record.trial = trial
        if form and form.varies:
            form.leaves_out = trial.left_out = data.draw(st.booleans(), label="what has a default is left out")
        try:
            # Behind dispatch NumPy gives no warnings; those of a bare function do not decide its verdict.
            with warnings.catch_warnings(action="ignore") if implementation.bare else nullcontext():
                property_(implementation, data)
        except SystemExit as end:
            ended = AssertionError(f"it ends the process with SystemExit({end})")
            ended.__dict__["trial"] = trial
            raise ended from end
        except Exception as error:
            error.__dict__["trial"] = trial  # the last example that fails need not be the one that is shown
            raise
        implementation.record.examples += 1  # those that a property rejects do not count

    large = property_ in WITH_LARGE_CALLS
    examples = 1 if large else max(1, round(max_examples * share))
    with _naming(property_, implementation), watched(unusual=False) as implementation.record.changed:
        asking.explore(ask, property_, implementation, examples, seed, large=large, shrinks=SHRINKS)
    implementation.record.seconds = time.perf_counter() - started
    return implementation.record


@contextmanager
def _naming(property_: Property, implementation: Implementation) -> Iterator[None]:
    try:
        yield
    except Exception as raised:
        error = raised
        while isinstance(error, ExceptionGroup):  # Hypothesis's word that an example failed now and then, as races do
            error = error.exceptions[0]
        error.__notes__ = []  # Hypothesis's own account of what it drew, array by array
        what = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
        what = what if len(what) <= MESSAGE else f"{what[:MESSAGE]} ..."
        lines = [f"{implementation.operation}: {property_.__name__} failed: {what}"]
        record = implementation.record
        trial: Trial = error.__dict__.get("trial", record.trial)
        lines += [*hints(implementation, trial, error), *implementation.notes]
        if record.changed and "for the whole process" not in what:
            lines.append(f"it changed {', '.join(record.changed)} for the whole process, which may be why")
        if trial.case is not None:
            lines.append(f"smallest failing example:\n{textwrap.indent(snippet(implementation, trial), '    ')}")
        raise ConformanceError("\n".join(lines)) from error


def check(
    zoo: Catalogue, operation: str, function: Callable[..., Any], *, max_examples: int = 100, bare: bool = False, **claims: Any
) -> None:
    """Hold any function to every property of an operation; see `registry.check`."""
    _require_examples(max_examples)
    implementation = implementation_from(zoo, operation, function, bare=bare, **claims)
    for property_ in all_properties(implementation.contract):
        run(property_, implementation, max_examples)


def conformance_test(
    zoo: Catalogue, operation: str, function: Callable[..., Any], *, max_examples: int = 100, bare: bool = False, **claims: Any
) -> Callable[..., None]:
    """Return a pytest test that holds a function to every property, each under its own name; see `registry.conformance_test`."""
    import pytest

    _require_examples(max_examples)
    implementation = implementation_from(zoo, operation, function, bare=bare, **claims)

    @pytest.mark.parametrize("property_", all_properties(implementation.contract), ids=lambda property_: property_.__name__)
    def test(property_: Property) -> None:
        run(property_, implementation, max_examples)

    return test
