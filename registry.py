"""The registry of the kernel zoo: look an implementation of an operation up, or hand one in.

    from registry import get
    step = get("meanshift_step")          # the best variant for each call
    y = step(points, bandwidth=2.5)

The catalogue is read from the source of the kernel files with `ast`, so listing it imports none of them;
`get` imports the one file it needs. Importing this module loads the standard library alone.
"""

from __future__ import annotations

import ast
import copyreg
import importlib
import importlib.util
import os
import pickle
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

__version__ = "0.1.0"
__all__ = [
    "DEVICES",
    "DTYPES",
    "ConformanceError",
    "DuplicateVariant",
    "Explanation",
    "System",
    "UnknownOperation",
    "UnknownVariant",
    "Variant",
    "VariantUnavailable",
    "Zoo",
    "broken_operations",
    "candidates",
    "check",
    "conformance_test",
    "contract",
    "explain",
    "get",
    "missing",
    "operations",
    "register",
    "summary",
    "variant",
    "variants",
    "zoo",
]

FOLDER = Path(__file__).resolve().parent / "kernels"


def _load(name: str) -> None:
    """Load a file of the standard library alone by its place: importing `kernels` could bring another distribution's package."""
    full = f"kernels.{name}"
    spec = importlib.util.spec_from_file_location(full, FOLDER / f"{name}.py")
    if full not in sys.modules and spec is not None and spec.loader is not None:
        module = sys.modules[full] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


for _name in ("_machine", "_variant", "_catalogue", "_imports"):
    _load(_name)

from kernels._catalogue import Provider, Reading, one_line, providers, read  # noqa: E402 (each was loaded above)
from kernels._imports import import_module  # noqa: E402
from kernels._machine import ON_DEVICE, System  # noqa: E402
from kernels._variant import (  # noqa: E402
    DEFAULTS,
    DEVICES,
    DTYPES,
    SELECTORS,
    ConformanceError,
    DuplicateVariant,
    UnknownOperation,
    UnknownVariant,
    Variant,
    VariantUnavailable,
    declare,
    unknown,
)

for _public in (ConformanceError, DuplicateVariant, System, UnknownOperation, UnknownVariant, Variant, VariantUnavailable):
    _public.__module__ = "registry"  # where people import them from, and pickle finds them


@dataclass(frozen=True)
class Explanation:
    """What dispatch made of one call: the variants it considered, best first, and the one it chose.

    Attributes
    ----------
    operation, selector : str
        What was asked for.
    considered : tuple of (Variant, str or None)
        Each variant with the reason it was rejected; None for one that can serve.
    chosen : Variant or None
        The one that runs.
    """

    operation: str
    selector: str
    considered: tuple[tuple[Variant, str | None], ...]
    chosen: Variant | None

    def __str__(self) -> str:
        def verdict(variant: Variant, reason: str | None) -> str:
            return "runs" if variant == self.chosen else f"rejected: {reason}" if reason else "could serve, ranks lower"

        lines = [f"{self.operation}, selector {self.selector!r}:"]
        return "\n".join(lines + [f"  {v.name}: {verdict(v, reason)}" for v, reason in self.considered])


class Zoo:
    """A catalogue of operations and variants; this module's functions are the methods of one.

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
        self.generation = 0  # counts the changes to the catalogue
        self._lock = threading.RLock()
        self._providers: dict[str, list[Provider]] | None = None
        self._readings: dict[str, Reading] = {}
        self._functions: dict[tuple[str, str], Callable[..., Any]] = {}
        self._contracts: dict[str, ModuleType] = {}
        self._broken: dict[str, str] = {}  # files, with the reason
        self._callables: dict[tuple[str, str], Callable[..., Any]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Let this module's functions travel: the catalogue of arrival takes the place of this one."""
        if self is not _zoo:
            raise pickle.PicklingError("a catalogue of your own does not travel; make it where it is needed")
        return zoo, ()

    # What there is

    def operations(self) -> tuple[str, ...]:
        """Return the names of all operations, in alphabetical order."""
        return tuple(sorted(name for name, them in self._all_providers().items() if any(p.contract for p in them)))

    def broken_operations(self) -> dict[str, str]:
        """Return the operations whose contract cannot be read, each with the reason."""
        broken = {name: them for name, them in self._all_providers().items() if name not in self.operations()}
        return {name: "; ".join(provider.failure for provider in broken[name]) for name in sorted(broken)}

    def variants(self, operation: str) -> tuple[Variant, ...]:
        """Return the variants of an operation, from naive to fast, the unavailable ones with their reason.

        Raises
        ------
        UnknownOperation
            If there is no such operation.
        DuplicateVariant
            If two files claim the same name.
        """
        return tuple(sorted(self._variants(operation).values(), key=lambda v: v.rank))

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

    # Handing one in

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
            if elsewhere and (file, name) in self._readings[operation].passed_over:
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

    # Looking one up

    def get(self, operation: str, selector: str = "auto") -> Callable[..., Any]:
        """Return a callable that computes an operation on the caller's own kind of array.

        Parameters
        ----------
        operation : str
            One of `operations()`.
        selector : str
            A variant's name; or a device, ``"cpu"`` or ``"cuda"``, for the best available variant there;
            or ``"auto"``, for the best available variant for each call's device, dtype and shape.

        Returns
        -------
        callable
            With the operation's signature, docstring and name; a variant's options are further keyword arguments.

        Raises
        ------
        UnknownOperation, UnknownVariant
            With what exists, and the nearest spelling.
        VariantUnavailable
            With one line per candidate: its reason, and what would mend it.
        """
        try:
            return self._callables[operation, selector]
        except (KeyError, TypeError):
            pass
        candidates = self.candidates(operation, selector)
        if selector in SELECTORS:
            self._require_one(operation, selector, candidates)
        else:
            self.function(candidates[0])
        dispatch: Any = import_module("kernels._dispatch", self.folder)
        # Two threads may both get here, and must leave with the same callable.
        return self._callables.setdefault((operation, selector), dispatch.make_callable(self, operation, selector))

    def check(
        self,
        operation: str,
        function: Callable[..., Any],
        *,
        max_examples: int = 100,
        bare: bool = False,
        **claims: Any,
    ) -> None:
        """Hold any function to an operation's contract: agreement with the reference within the derived bound, and the rest.

        Parameters
        ----------
        operation : str
            One of `operations()`.
        function : callable
            Takes the operation's arguments, after dispatch's validation: for matmul two matrices, for
            meanshift_step ``(x, bandwidth, *, data, weights, kernel)``. What it has defaults for is left out in half of the
            calls. An array that is None where a call leaves it out, as ``weights`` is, it may lack: then no call gives one.
        max_examples : int
            How many examples Hypothesis draws for each property.
        bare : bool
            Whether the verdict is on a whole function, which dispatch does not stand before: it has the operation's
            public signature and is called as users call it, by position and by keyword, with what has a default left out,
            with arrays in every layout and of every kind (``arrays`` claims one), vectors and batches where the operation
            has them. It must itself refuse what the operation refuses, with TypeError or ValueError.
        **claims
            What it claims, as `register` takes it: nothing beyond is asked of it. ``dtypes`` are float32 and float64 if
            not given; ``arrays`` is found out by a call; ``layout="C"`` asks for writable C-contiguous arrays. A function
            without a parameter says so by a limit: ``limits={"kernel": ("gaussian",), "data": (None,)}``. Compiled code
            that takes no read-only array gets writable copies of those; a failure, and the command, say so.

        Raises
        ------
        ConformanceError
            With the property that failed and the smallest failing example, as code. Arrays too large to show are saved
            in the folder ``kernel-zoo-USER`` of the temporary directory; nothing else is left behind.
        TypeError, ValueError
            If a claim is not what `Variant` says, or means nothing for the operation.
        """
        reason = self.missing("hypothesis")
        if reason:
            raise ModuleNotFoundError(f"check {reason}")
        conformance: Any = import_module("kernels._conformance", self.folder)
        conformance.check(self, operation, function, max_examples=max_examples, bare=bare, **claims)

    def conformance_test(self, operation: str, function: Callable[..., Any], **claims: Any) -> Callable[..., None]:
        """Return a pytest test for another project's suite, which reports each property of a function under its own name.

        Parameters
        ----------
        operation, function
            As `check` takes them.
        **claims
            ``max_examples``, ``bare`` and what the function claims, as `check` takes them.

        Examples
        --------
        A whole test file::

            import registry
            from mypackage import matmul
            test_matmul = registry.conformance_test("matmul", matmul)
        """
        conformance: Any = import_module("kernels._conformance", self.folder)
        test: Callable[..., None] = conformance.conformance_test(self, operation, function, **claims)
        return test

    def explain(self, operation: str, *args: Any, selector: str = "auto", **kwargs: Any) -> Explanation:
        """Say, for these very arguments, which variants were considered, why each was rejected, and which runs.

        Raises
        ------
        TypeError, ValueError
            If the arguments are not valid for the operation.
        """
        dispatch: Any = import_module("kernels._dispatch", self.folder)
        explanation: Explanation = dispatch.explain(self, operation, selector, args, kwargs)
        return explanation

    def candidates(self, operation: str, selector: str) -> tuple[Variant, ...]:
        """Return the variants that a selector may mean, highest rank first.

        Raises
        ------
        UnknownOperation, UnknownVariant
            With what exists, and the nearest spelling.
        """
        known = self._variants(operation)
        if isinstance(selector, str) and selector in known:
            return (known[selector],)
        if selector not in SELECTORS:
            names = [v.name for v in self.variants(operation)]
            raise UnknownVariant(unknown(f"{operation}: no variant {selector!r}", selector, [*names, *SELECTORS]))
        return tuple(v for v in reversed(self.variants(operation)) if selector == "auto" or v.device == selector)

    def _require_one(self, operation: str, selector: str, candidates: tuple[Variant, ...]) -> None:
        if not any(v.available for v in candidates):
            lines = [f"  {v.name}: {v.reason}" for v in candidates] or ["  none is registered"]
            raise VariantUnavailable("\n".join([f"{operation}: no variant for {selector!r} can run here:", *lines]))

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
        function = self._functions.get((variant.operation, variant.name))
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
        reasons = [refused, self._broken.get(variant.file), self._overclaim(variant), *map(self.system.missing, needs)]
        if variant.device == "cpu" and "numba" in variant.requires and os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
            reasons.append("needs Numba's compiler, and NUMBA_DISABLE_JIT switches it off (unset it)")
        return next(filter(None, reasons), None)

    def _overclaim(self, variant: Variant) -> str | None:
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


_zoo = Zoo(FOLDER)
check = _zoo.check
candidates = _zoo.candidates
conformance_test = _zoo.conformance_test
contract = _zoo.contract
explain = _zoo.explain
get = _zoo.get
missing = _zoo.missing
broken_operations = _zoo.broken_operations
operations = _zoo.operations
register = _zoo.register
summary = _zoo.summary
variant = _zoo.variant
variants = _zoo.variants


def zoo() -> Zoo:
    """Return the catalogue whose methods this module's functions are."""
    return _zoo


def _stated(variant: Variant) -> tuple[Any, ...]:
    """Let a variant travel without the catalogue: whether it can run, the machine of arrival says."""
    stated = {f.name: getattr(variant, f.name) for f in fields(Variant) if f.name != "_why_not"}
    return _arrived, (stated | {"options": dict(variant.options), "limits": dict(variant.limits)},)


def _arrived(stated: dict[str, Any]) -> Variant:
    return Variant(**stated, _why_not=_zoo.why_not)


copyreg.pickle(Variant, _stated)

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Find what `get` returned under the name that pickle knows it by: ``matmul:auto``, the operation and the selector.

        Pickle looks a function up by its name, whatever else it is told; an object that tells it more takes longer to call.
        """
        operation, colon, selector = name.partition(":")
        if not colon:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return get(operation, selector)


def _serve(*arguments: Any) -> None:
    """Run kernels for the command `kernel-zoo`, in a process of their own, where this is found by its name."""
    import_module("kernels._cli.child", FOLDER).serve(*arguments)


def main() -> None:
    """Run the command `kernel-zoo`."""
    import_module("kernels._cli", FOLDER).main()


if __name__ == "__main__":
    # Run as a script this file is `__main__`; kernel files register with the module `registry`, so hand over to that one.
    importlib.import_module("registry").main()
