"""A catalogue: which operations and variants there are, which of them can run here, and their functions.

Loads the standard library alone.
"""

from __future__ import annotations

import ast
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from kernels._catalogue import Provider, Reading, one_line, providers, read
from kernels._explanation import Variants
from kernels._imports import import_module
from kernels._machine import ON_DEVICE, System
from kernels._variant import (
    DEFAULTS,
    SELECTORS,
    DuplicateVariant,
    UnknownOperation,
    UnknownVariant,
    Variant,
    VariantUnavailable,
    declare,
    unknown,
)


class Catalogue:
    """Operations and variants, as their source states them and as functions are handed in.

    Parameters
    ----------
    folder : path
        Holds one folder per operation.
    system : System
        What the machine offers.
    """

    # Functions of imported files: a module is imported, and registers, once, whichever catalogue asked for it.
    _imported: ClassVar[dict[tuple[str, str, str], Callable[..., Any]]] = {}

    def __init__(self, folder: str | os.PathLike[str], system: System | None = None) -> None:
        self.folder = Path(folder)
        self.system = system or System()
        self.generation = 0  # counts what changed: the catalogue, the machine, the measurements, the file of choices in effect
        self.choices: Any = None  # that file
        self._lock = threading.RLock()
        self._providers: dict[str, list[Provider]] | None = None
        self._readings: dict[str, Reading] = {}
        self._functions: dict[tuple[str, str], Callable[..., Any]] = {}  # handed in, or from files that imported without an error
        self._candidates: dict[tuple[str, str, int], tuple[Variant, ...]] = {}  # by operation, selector and generation
        self._contracts: dict[str, ModuleType] = {}
        self._broken: dict[str, str] = {}  # files, with the reason
        self._callables: dict[tuple[str, str, str | None], Callable[..., Any]] = {}

    # Listing

    def operations(self) -> tuple[str, ...]:
        """Return the names of all operations, in alphabetical order."""
        return tuple(sorted(name for name, them in self._all_providers().items() if any(p.contract for p in them)))

    def broken_operations(self) -> dict[str, str]:
        """Return the operations whose contract cannot be read, each with the reason."""
        broken = {name: them for name, them in self._all_providers().items() if name not in self.operations()}
        return {name: "; ".join(provider.failure for provider in broken[name]) for name in sorted(broken)}

    def variants(self, operation: str) -> Variants:
        """Return the variants of an operation, from naive to fast, the unavailable ones with their reason.

        Raises
        ------
        UnknownOperation
            If there is no such operation.
        DuplicateVariant
            If two files claim the same name.
        """
        return Variants(sorted(self._variants(operation).values(), key=lambda v: v.rank))

    def variant(self, operation: str, name: str) -> Variant:
        """Return the one variant of this name.

        Raises
        ------
        UnknownOperation, UnknownVariant
            With what exists, and the nearest spelling; a device or ``"auto"`` is no variant.
        """
        if name in SELECTORS:
            names = ", ".join(v.name for v in self.candidates(operation, name))
            raise UnknownVariant(f"{operation}: {name!r} may mean several variants; name one ({names or 'there is none'})")
        return self.candidates(operation, name)[0]

    def contract(self, operation: str) -> ModuleType:
        """Return the module that says what an operation means: its function, reference, bound, work and sizes.

        Raises
        ------
        UnknownOperation
            If there is no such operation.
        VariantUnavailable
            If the module fails to import, or lacks something.
        """
        self._variants(operation)
        if operation not in self._contracts:
            provider = next(provider for provider in self._all_providers()[operation] if provider.contract)
            where = f"{operation}: the contract in {provider.files[0]}"
            try:
                module = import_module(provider.module, self.folder)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # sys.exit and pytest.skip raise no Exception
                raise VariantUnavailable(f"{where} failed to import: {one_line(error)}") from error
            contract: Any = import_module("kernels._definition.contract", self.folder)
            try:
                self._contracts[operation] = contract.Contract(operation, module)
            except ValueError as error:
                raise VariantUnavailable(f"{where} cannot be read: {one_line(error)}") from error
        return self._contracts[operation]

    def summary(self, operation: str) -> str:
        """Return the first line of an operation's docstring without importing it."""
        self._variants(operation)
        node = next(filter(None, (provider.contract for provider in self._all_providers()[operation])))
        return (ast.get_docstring(node) or "").partition("\n")[0]

    # Registering

    def register(self, operation: str, name: str, **declared: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Register the decorated function as a variant; the arguments are literals, described at `Variant` with their defaults.

        Returns the function unchanged, so several decorators may sit on one body.

        Parameters
        ----------
        operation, name : str
            What it computes, and what it is called there.
        **declared
            ``device``, ``arrays``, ``requires``, ``dtypes``, ``options``, ``precision``, ``deterministic``, ``rank``,
            ``limits``, ``layout`` and ``batches`` of `Variant`, where its defaults will not do.

        Raises
        ------
        DuplicateVariant
            If the name is taken; the message names both places.
        UnknownOperation
            If there is no such operation.
        ValueError, TypeError
            If a name is reserved or an argument is not what `Variant` says.
        """
        caller = sys._getframe(1)
        complete = declare(operation, name, **declared)

        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            self._add(complete, function, os.path.realpath(caller.f_code.co_filename), caller.f_lineno)
            return function

        return decorate

    def _add(self, declared: dict[str, Any], function: Callable[..., Any], file: str, line: int) -> None:
        operation, name = declared["operation"], declared["name"]
        key = (file, operation, name)
        with self._lock:
            known = self._variants(operation)
            there = known.get(name)
            elsewhere = there is None or there.file != file or key in self._imported
            if elsewhere and (file, name) in self._readings[operation].skipped:
                return  # it is listed with the reason, and its file's other variants serve
            if there is not None and (there.file != file or not there.module or key in self._imported):
                raise DuplicateVariant(f"{operation}: variant {name!r} is registered twice: {there.source} and {file}:{line}")
            if there is not None:
                differing = [each for each in DEFAULTS if getattr(there, each) != declared[each]]
                if differing:
                    raise ValueError(f"{operation}: variant {name!r} ({there.source}) was read with other {', '.join(differing)}")
                self._imported[key] = function
            elif any(file == os.path.realpath(f) for p in self._all_providers()[operation] for f in p.files):
                raise ValueError(
                    f"{operation}: variant {name!r} ({file}:{line}) was not found when its source was read: "
                    "a register line stands directly on a function at the top level of its file"
                )
            else:
                doc = function.__doc__ or ""
                known[name] = Variant(**declared, file=file, line=line, doc=doc, _why_not=self.why_not)
                self._functions[operation, name] = function
            self.generation += 1

    # Loading functions

    def candidates(self, operation: str, selector: str) -> tuple[Variant, ...]:
        """Return the variants that a selector may mean, highest rank first.

        Raises
        ------
        UnknownOperation, UnknownVariant
            With what exists, and the nearest spelling.
        """
        asked = operation, selector, self.generation
        try:
            return self._candidates[asked]
        except (KeyError, TypeError):
            pass
        known = self._variants(operation)
        if isinstance(selector, str) and selector in known:
            return (known[selector],)
        if selector not in SELECTORS:
            names = [v.name for v in self.variants(operation)]
            raise UnknownVariant(unknown(f"{operation}: no variant {selector!r}", selector, [*names, *SELECTORS]))
        found = tuple(v for v in reversed(self.variants(operation)) if selector == "auto" or v.device == selector)
        current = {key: them for key, them in self._candidates.items() if key[-1] == self.generation}
        self._candidates = current | {asked: found}
        return found

    def function(self, variant: Variant) -> Callable[..., Any]:
        """Import the one file a variant lives in, and return its function.

        Raises
        ------
        VariantUnavailable
            If it cannot run here.
        """
        if not variant.available:
            raise self._unavailable(variant, variant.reason)
        return self.load(variant)

    def load(self, variant: Variant) -> Callable[..., Any]:
        """Return a variant's function as `function` does, even where its device or a package is missing.

        Raises
        ------
        VariantUnavailable
            If its file fails, which then stays broken for the process, with its error as the reason.
        """
        # Python's import lock lets one thread in; holding our own meanwhile could deadlock with a direct import.
        if variant.is_definition:
            evaluate: Callable[..., Any] = self.contract(variant.operation).evaluate
            return evaluate
        key = variant.operation, variant.name
        function = self._functions.get(key)
        if function is None and variant.file not in self._broken:
            try:
                import_module(variant.module, self.folder)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # sys.exit and pytest.skip raise no Exception
                self._broken[variant.file] = f"its file failed to import: {one_line(error)}"
            function = self._imported.get((variant.file, variant.operation, variant.name))
            if function is None:
                self._broken.setdefault(variant.file, "importing its file did not register it")
        if function is None or variant.file in self._broken:
            raise self._unavailable(variant, self._broken.get(variant.file))
        self._functions[key] = function
        return function

    def _unavailable(self, variant: Variant, reason: str | None) -> VariantUnavailable:
        return VariantUnavailable(f"{variant.operation}: variant {variant.name!r} cannot run here: {reason}")

    def missing(self, requirement: str) -> str | None:
        """Return why a package or a device (`"cuda"`) cannot be used, or None when it can."""
        return self.system.missing(requirement)

    def why_not(self, variant: Variant) -> str | None:
        """Return why a variant cannot run here, or None when it can."""
        needs = list(variant.requires)
        if variant.device != "cpu":
            needs += [variant.device, *(ON_DEVICE[package] for package in variant.requires if package in ON_DEVICE)]
        reading = self._readings.get(variant.operation)
        refused = reading.refused.get(variant.name) if reading else None
        reasons = [refused, self._broken.get(variant.file), self._unknown_precision(variant), *map(self.system.missing, needs)]
        if variant.device == "cpu" and "numba" in variant.requires and os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
            reasons.append("needs Numba's compiler, and NUMBA_DISABLE_JIT switches it off (unset it)")
        return next(filter(None, reasons), None)

    def _unknown_precision(self, variant: Variant) -> str | None:
        """Say that a variant promises a precision its contract, once imported, does not know; or None."""
        known = getattr(self._contracts.get(variant.operation), "PRECISIONS", (variant.precision,))
        if variant.precision in known:
            return None
        return unknown(f"{variant.operation} knows no precision {variant.precision!r}", variant.precision, known)

    # Reading the catalogue from the source

    def _all_providers(self) -> dict[str, list[Provider]]:
        with self._lock:
            if self._providers is None:
                self._providers = providers(self.folder)
            return self._providers

    def _variants(self, operation: str) -> dict[str, Variant]:
        with self._lock:
            if operation not in self.operations():
                failures = [why for name, why in self.broken_operations().items() if name == operation]
                what = f"no operation {operation!r}{': ' if failures else ''}{''.join(failures)}"
                raise UnknownOperation(unknown(what, operation, self.operations()))
            if operation not in self._readings:
                reading = read(operation, self._all_providers()[operation], self.operations(), self.why_not)
                self._broken = reading.broken | self._broken
                self._readings[operation] = reading
            return self._readings[operation].variants
