"""What narrows the choice among variants beside the selector: `use` and `avoid` for a block, the environment for a process.

A variant that is asked for by its name is no choice, and none of this concerns it.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from kernels._variant import UnknownOperation, UnknownVariant, Variant, VariantUnavailable
from kernels._zoo import Catalogue

USE, AVOID = "KERNEL_ZOO_USE", "KERNEL_ZOO_AVOID"


class Overrides(NamedTuple):
    """Which selector takes the place of an operation's own, and which variants are forbidden, each with who says so."""

    use: tuple[tuple[str, str, str], ...] = ()
    avoid: tuple[tuple[str, str, str], ...] = ()

    def __str__(self) -> str:
        said = [f"{who} takes {selector!r} for {operation}" for operation, selector, who in self.use]
        return "; ".join(said + [f"{who} forbids {name!r} for {operation}" for operation, name, who in self.avoid])


in_block: ContextVar[Overrides | None] = ContextVar("kernel_zoo_overrides", default=None)


def in_effect() -> Overrides:
    """Return what is in effect here."""
    return in_block.get() or of_environment()


@functools.cache
def of_environment() -> Overrides:
    """Read what the environment says, once for the process; whether such variants exist, `require_known` asks."""
    return Overrides(tuple(_pairs(USE)), tuple(_pairs(AVOID)))


def _pairs(variable: str) -> Iterator[tuple[str, str, str]]:
    for pair in filter(None, map(str.strip, os.environ.get(variable, "").split(","))):
        operation, equals, name = (part.strip() for part in pair.partition("="))
        if not (operation and equals and name):
            raise ValueError(f"{variable}: expected OPERATION=VARIANT, separated by commas, got {pair!r}")
        yield operation, name, variable


def require_known(zoo: Catalogue, operation: str) -> None:
    """Refuse names in the environment that the catalogue does not have: operations at any time, variants of this operation.

    Raises
    ------
    UnknownOperation, UnknownVariant
        With the variable, and the nearest spelling.
    """
    use, avoid = of_environment()
    for of, name, variable in (*use, *avoid):
        try:
            if of not in zoo.operations():
                zoo.variants(of)
            if of == operation and variable == USE:
                zoo.candidates(of, name)
            elif of == operation:
                zoo.variant(of, name)
        except (UnknownOperation, UnknownVariant) as error:
            raise type(error)(f"{variable}: {error}") from None


@contextmanager
def use(zoo: Catalogue, operation: str, selector: str) -> Iterator[None]:
    """See `registry.use`."""
    zoo.candidates(operation, selector)
    before = in_effect()
    others = tuple(override for override in before.use if override[0] != operation)
    with _held(before._replace(use=(*others, (operation, selector, f"use({operation!r}, {selector!r})")))):
        yield


@contextmanager
def avoid(zoo: Catalogue, operation: str, names: Iterable[str]) -> Iterator[None]:
    """See `registry.avoid`."""
    before = in_effect()
    known = {override[:2] for override in before.avoid}
    who = f"avoid({operation!r}, ...)"
    more = [(operation, zoo.variant(operation, name).name, who) for name in names if (operation, name) not in known]
    with _held(before._replace(avoid=(*before.avoid, *more))):
        yield


@contextmanager
def _held(overrides: Overrides) -> Iterator[None]:
    token = in_block.set(overrides)
    try:
        yield
    finally:
        in_block.reset(token)


def narrowed(zoo: Catalogue, operation: str, selector: str) -> tuple[str, tuple[Variant, ...]]:
    """Return the selector that is in effect for a call, and the variants that it may mean.

    Raises
    ------
    VariantUnavailable
        If what is in effect leaves none.
    """
    candidates = zoo.candidates(operation, selector)
    override = next((override for override in in_effect().use if override[0] == operation), None)
    if override is None:
        return selector, candidates
    _, other, who = override
    both = tuple(variant for variant in zoo.candidates(operation, other) if variant in candidates)
    if not both:
        raise VariantUnavailable(f"{operation}: {who} is in effect, and leaves no variant for {selector!r}")
    return (selector if other == "auto" else other), both


def forbidden(operation: str) -> dict[str, str]:
    """Return the variants of an operation that are forbidden here, with who says so."""
    return {name: who for of, name, who in in_effect().avoid if of == operation}
