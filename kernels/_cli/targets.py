"""What `kernel-zoo check` can be pointed at: a registered variant, or `package.module:function` in the current folder."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import registry
from kernels._conformance import implementation_of
from kernels._conformance.claims import implementation_from
from kernels._conformance.implementation import Implementation


def implementation(
    operation: str, target: str, watch: Callable[[Callable[..., Any]], Callable[..., Any]], **claims: Any
) -> Implementation:
    """Return what a target names, on trial; a function with its claims, as `registry.check` takes them.

    `watch` wraps the function before its first call.

    Raises
    ------
    UnknownVariant
        If it is neither a variant nor written as a function's place.
    ValueError
        If the module or the function cannot be had.
    """
    if ":" not in target:
        registered = implementation_of(registry.zoo(), registry.variant(operation, target))
        return replace(registered, function=watch(registered.function))
    return implementation_from(registry.zoo(), operation, watch(load(target)), **claims)


def source_of(operation: str, target: str) -> str:
    """Return where a target stands, as ``file:line``, or nothing if its function is not written in Python."""
    if ":" not in target:
        return registry.variant(operation, target).source
    code = getattr(inspect.unwrap(load(target)), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else ""


def load(target: str) -> Callable[..., Any]:
    """Import the function that `package.module:function` names."""
    module, _, name = target.partition(":")
    sys.path.insert(0, "")  # as `python -m` does: people check what lies in the folder they stand in
    try:
        function: Any = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:
        raise ValueError(f"{target} cannot be loaded: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove("")
    if not callable(function):
        raise ValueError(f"{target} has type {type(function).__name__}, expected a function")
    return function  # type: ignore[no-any-return]
