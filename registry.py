"""The registry of the kernel zoo: look up an implementation of an operation, or register one.

    from registry import get
    step = get("meanshift_step")          # the best variant for each call
    y = step(points, bandwidth=2.5)

The catalogue is read from the source of the kernel files with `ast`, so listing it imports none of them;
`get` imports the one file it needs. Importing this module loads the standard library alone.
"""

from __future__ import annotations

import copyreg
import importlib
import importlib.util
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    "avoid",
    "broken_operations",
    "candidates",
    "check",
    "conformance_test",
    "contract",
    "explain",
    "frozen",
    "get",
    "missing",
    "operations",
    "refresh",
    "register",
    "summary",
    "use",
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


for _name in ("_machine", "_variant", "_catalogue", "_imports", "_explanation", "_zoo"):
    _load(_name)

from kernels._explanation import Explanation  # noqa: E402 (each was loaded above)
from kernels._imports import import_module  # noqa: E402
from kernels._machine import VERSION, System  # noqa: E402
from kernels._variant import (  # noqa: E402
    DEVICES,
    DTYPES,
    SELECTORS,
    ConformanceError,
    DuplicateVariant,
    UnknownOperation,
    UnknownVariant,
    Variant,
    VariantUnavailable,
)
from kernels._zoo import Catalogue  # noqa: E402

__version__ = VERSION
_errors = (ConformanceError, DuplicateVariant, UnknownOperation, UnknownVariant, VariantUnavailable)
for _public in (*_errors, Explanation, System, Variant):
    _public.__module__ = "registry"  # where people import them from, and pickle finds them


class Zoo(Catalogue):
    """A catalogue of operations and variants (`Catalogue` has its parameters); this module's functions are the methods of one."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Let this module's functions be pickled: the process that reads them uses its own catalogue."""
        if self is not _zoo:
            raise pickle.PicklingError("a Zoo that you made cannot be pickled: make it in the process that needs it")
        return zoo, ()

    # Looking up

    def get(self, operation: str, selector: str = "auto", *, precision: str | None = None) -> Callable[..., Any]:
        """Return a callable that computes an operation on the caller's own kind of array.

        Parameters
        ----------
        operation : str
            One of `operations()`.
        selector : str
            A variant's name; or a device, ``"cpu"`` or ``"cuda"``, for the best available variant there;
            or ``"auto"``, for the best available variant for each call's device, dtype and shape.
        precision : str, optional
            The weakest class of error that will do, such as ``"working"``: no variant runs that promises a weaker one. A class is
            no weaker than another if its bound, which follows from the operation's definition, is nowhere larger.

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
        ValueError
            If the operation knows no such class of error.
        """
        try:
            return self._callables[operation, selector, precision]
        except (KeyError, TypeError):
            pass
        candidates = self.candidates(operation, selector)
        if selector not in SELECTORS:
            self.function(candidates[0])
        elif not any(v.available for v in candidates):
            lines = [f"  {v.name}: {v.reason}" for v in candidates] or ["  none is registered"]
            raise VariantUnavailable("\n".join([f"{operation}: no variant for {selector!r} can run here:", *lines]))
        dispatch: Any = import_module("kernels._dispatch", self.folder)
        # Two threads may both get here, and must leave with the same callable.
        made = dispatch.make_callable(self, operation, selector, precision)
        made.__module__ = "registry"  # where pickle finds it, by the name that it has
        return self._callables.setdefault((operation, selector, precision), made)

    # What narrows the choice

    def use(self, operation: str, selector: str) -> AbstractContextManager[None]:
        """Let a variant's name or a device take the place of ``"auto"`` in a block of code, and narrow what a device means.

        It holds for calls within the block, whenever their function was looked up, in this thread or task alone. A block within
        takes its place. A variant that is looked up by its name runs as ever. The environment variable ``KERNEL_ZOO_USE``
        does the same for a process: ``matmul=numpy,meanshift_step=numba``.

        Raises
        ------
        UnknownOperation, UnknownVariant
            On entry, with what exists, and the nearest spelling.

        Examples
        --------
        >>> with registry.use("meanshift_step", "numba"):
        ...     y = get("meanshift_step")(x, 0.5)
        """
        return self._overrides().use(self, operation, selector)  # type: ignore[no-any-return]

    def avoid(self, operation: str, *names: str) -> AbstractContextManager[None]:
        """Forbid variants to be chosen in a block of code, in this thread or task alone; blocks add up.

        The environment variable ``KERNEL_ZOO_AVOID`` does the same for a process: ``matmul=torch,matmul=einsum``.

        Raises
        ------
        UnknownOperation, UnknownVariant
            On entry, with what exists, and the nearest spelling.
        """
        return self._overrides().avoid(self, operation, names)  # type: ignore[no-any-return]

    def _overrides(self) -> Any:
        return import_module("kernels._dispatch.overrides", self.folder)

    @contextmanager
    def frozen(self, path: str | os.PathLike[str], *, record: bool = False) -> Iterator[None]:
        """Take each choice from a file in a block of code, in all threads, so that the same file and calls give the same bits.

        Only variants that give the same bits twice are chosen. The first choice for a kind of call (its selector, device, dtype,
        parameters, options, and extents to an eighth of a doubling) holds for all others of the kind, whatever their contents.

        Parameters
        ----------
        path : path
            The file, JSON. `use` and `avoid` come before it.
        record : bool
            Whether choices that the file lacks are made, and added to it at the end of the block.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, or it holds no choices.
        LookupError
            In a call for which the file holds no choice; it says how to record it.
        VariantUnavailable
            In a call whose choice cannot run here.

        Examples
        --------
        >>> with registry.frozen("choices.json", record=True):
        ...     program()  # once
        >>> with registry.frozen("choices.json"):
        ...     program()  # from then on
        """
        choices: Any = import_module("kernels._dispatch.frozen", self.folder).Choices(Path(path), record)
        before, self.choices = self.choices, choices
        self.generation += 1
        try:
            yield
        finally:
            self.choices = before
            self.generation += 1
            if record:
                choices.save()

    def refresh(self) -> None:
        """Look again at what may have changed meanwhile: packages, devices, and the measurements of `kernel-zoo tune`."""
        self.system.forget()
        import_module("kernels._costs.table", self.folder).forget()
        self.generation += 1

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
        conformance = self._conformance("check", "hypothesis")
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
        conformance = self._conformance("conformance_test", "hypothesis", "pytest")
        test: Callable[..., None] = conformance.conformance_test(self, operation, function, **claims)
        return test

    def _conformance(self, asked: str, *packages: str) -> Any:
        for reason in filter(None, map(self.missing, packages)):
            raise ModuleNotFoundError(f"{asked} {reason}")
        return import_module("kernels._conformance", self.folder)

    def explain(
        self, operation: str, *args: Any, selector: str = "auto", precision: str | None = None, **kwargs: Any
    ) -> Explanation:
        """Say, for these very arguments, which variants are considered, what each takes or why it is rejected, and which runs.

        No kernel runs. The times are measurements of this machine if `kernel-zoo tune` made any, else those that came with the
        package; `Explanation.notes` say which.

        Raises
        ------
        TypeError, ValueError
            If the arguments are not valid for the operation.
        """
        dispatch: Any = import_module("kernels._dispatch", self.folder)
        explanation: Explanation = dispatch.explain(self, operation, selector, args, kwargs, precision=precision)
        return explanation


_zoo = Zoo(FOLDER)
avoid = _zoo.avoid
check = _zoo.check
candidates = _zoo.candidates
conformance_test = _zoo.conformance_test
contract = _zoo.contract
explain = _zoo.explain
frozen = _zoo.frozen
get = _zoo.get
missing = _zoo.missing
broken_operations = _zoo.broken_operations
operations = _zoo.operations
refresh = _zoo.refresh
register = _zoo.register
summary = _zoo.summary
use = _zoo.use
variant = _zoo.variant
variants = _zoo.variants


def zoo() -> Zoo:
    """Return the catalogue whose methods this module's functions are."""
    return _zoo


def _reduced(variant: Variant) -> tuple[Any, ...]:
    """Let a variant be pickled without the catalogue: the process that reads it finds out whether it can run there."""
    declared = {f.name: getattr(variant, f.name) for f in fields(Variant) if f.name != "_why_not"}
    return _restored, (declared | {"options": dict(variant.options), "limits": dict(variant.limits)},)


def _restored(declared: dict[str, Any]) -> Variant:
    return Variant(**declared, _why_not=_zoo.why_not)


copyreg.pickle(Variant, _reduced)

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Find what `get` returned under the name that pickle knows it by: ``matmul:auto``, the operation and the selector.

        Pickle looks a function up by its name, whatever else it is told; an object that tells it more takes longer to call.
        """
        operation, *asked = name.split(":")
        if not asked:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return get(operation, asked[0], precision=asked[1] if asked[1:] else None)


def call_by_name(module: str, function: str, *arguments: Any) -> Any:
    """Call a function of a module of the zoo: a new process finds this by its name, whatever is called `kernels` there."""
    return getattr(import_module(module, FOLDER), function)(*arguments)


if __name__ == "__main__":
    # Run as a script this file is `__main__`; the command, and kernel files, import the module `registry`.
    from kernel_zoo import main

    main()
