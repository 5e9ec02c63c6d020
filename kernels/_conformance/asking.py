"""Asks a property for one example after the other: what Hypothesis draws, or what it drew when the same was asked before.

Who claims the same is asked the same, and to draw takes longer than most kernels take to answer. So the draws of a run that ended
well are remembered, and the next function gets copies of them. A failure sends it to Hypothesis, which makes the example small.
"""

from __future__ import annotations

import copy
import os
import zlib
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, configuration, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable, UnsatisfiedAssumption

from kernels._conformance.implementation import Implementation

HOME = "__hypothesis_home_directory"  # the name for the folder that Hypothesis writes to, in its own module
REMEMBERED = 400  # runs: more than the properties of the operations that tests take at a time
MOST = 100  # examples of a run: to remember more takes more memory than it saves time
OF_ITS_OWN = ("contract", "function", "form", "first", "record")  # the fields of an implementation that are no claims

Ask = Callable[[Any], None]  # of something to draw from, as `hypothesis.strategies.DataObject`
Example = list[tuple[str | None, Any]]  # what was drawn, in this order, each with its label

_remembered: dict[Hashable, list[Example]] = {}


class _Found(BaseException):
    """An example that failed: Hypothesis, which knows no such exception, lets it pass, and asks nothing more."""


class _OtherDraws(Exception):
    """A property draws something else than it did when its draws were remembered."""


class _Drawing:
    """Draws from Hypothesis, and keeps what it gave as it was: properties change arrays in place."""

    def __init__(self, data: st.DataObject) -> None:
        self._data, self.example = data, Example()

    def draw(self, strategy: st.SearchStrategy[Any], label: str | None = None) -> Any:
        """Draw as `hypothesis.strategies.DataObject` does."""
        drawn = self._data.draw(strategy, label=label)
        self.example.append((label, copy.deepcopy(drawn)))
        return drawn


class _Remembered:
    """Gives once more what was drawn for an example."""

    def __init__(self, example: Example) -> None:
        self._left = iter(example)

    def draw(self, _: st.SearchStrategy[Any], label: str | None = None) -> Any:
        """Return what was drawn here."""
        known, drawn = next(self._left, (None, _OtherDraws))
        if known != label or drawn is _OtherDraws:
            raise _OtherDraws
        return copy.deepcopy(drawn)


def explore(
    ask: Ask, property_: Any, implementation: Implementation, examples: int, seed: int, *, large: bool, shrinks: bool
) -> None:
    """Ask for so many examples; raise what the smallest that fails raises, or the first where none is to be made small.

    The same seed asks the same, and each property has one of its own, or all would be asked about the same cases. Large arrays
    are not remembered; nor is what a bare function is asked, which hangs on its parameters.
    """
    seed += zlib.crc32(property_.__name__.encode())
    key = property_, claims_of(implementation), examples, seed
    failure = None
    if key in _remembered:
        failure = _failure(ask, _remembered[key], seed)
        if failure is None:
            return
        if not (shrinks or isinstance(failure, _OtherDraws)):
            raise failure
    drawn: list[Example] = []

    def ask_anew(data: st.DataObject) -> None:
        drawing = _Drawing(data)
        ask(drawing)
        drawn.append(drawing.example)

    try:
        _let_hypothesis_ask(ask_anew if shrinks else _ending(ask_anew), examples, seed)
    except _Found as found:
        raise found.args[0] from None
    except Unsatisfiable:  # nothing that the property is about is within what the implementation claims
        pass
    if not (failure is None or isinstance(failure, _OtherDraws)):
        raise failure  # it happens now and then, as a race does
    if drawn and examples <= MOST and not (large or implementation.bare):
        _remembered[key] = drawn
        if len(_remembered) > REMEMBERED:
            del _remembered[next(iter(_remembered))]


def claims_of(implementation: Implementation) -> Hashable:
    """Return what the calls that an implementation is asked for hang on."""
    claims = {each.name: getattr(implementation, each.name) for each in fields(implementation) if each.name not in OF_ITS_OWN}
    return implementation.contract, repr(claims), implementation.form is not None and implementation.form.varies


def _failure(ask: Ask, examples: list[Example], seed: int) -> Exception | None:
    """Ask for remembered examples, all in one that is Hypothesis's own, and return what the first that fails raises."""

    def ask_again(_: st.DataObject) -> None:
        for example in examples:
            try:
                ask(_Remembered(example))
            except UnsatisfiedAssumption as rejected:
                raise _OtherDraws from rejected

    try:
        _let_hypothesis_ask(_ending(ask_again), 1, seed)
    except _Found as found:
        return found.args[0]  # type: ignore[no-any-return]
    return None


def _ending(ask: Ask) -> Ask:
    """Let the first failure end it."""

    def asked(data: st.DataObject) -> None:
        try:
            ask(data)
        except (UnsatisfiedAssumption, Unsatisfiable):
            raise
        except Exception as error:
            raise _Found(error) from error

    return asked


def _let_hypothesis_ask(ask: Ask, examples: int, seed: int) -> None:
    own = settings(
        max_examples=examples,
        deadline=None,  # a first call may compile
        database=None,
        report_multiple_bugs=False,
        # Not Phase.target: it dwells on the examples with the largest share of a bound, and those are tiny.
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    with nothing_stored():
        seeded(seed)(own(given(st.data())(ask)))()


@contextmanager
def nothing_stored() -> Iterator[None]:
    """Let Hypothesis write nothing: its folder, else `.hypothesis` where the caller stands, is one that cannot be made."""
    before = vars(configuration).get(HOME)
    configuration.set_hypothesis_home_dir(Path(os.devnull, "hypothesis"))
    try:
        yield
    finally:
        configuration.set_hypothesis_home_dir(before)
