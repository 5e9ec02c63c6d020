"""The front desk of the kernel zoo: look an implementation of an operation up, or hand one in.

    from registry import get
    step = get("meanshift_step")          # the best variant for each call
    y = step(points, bandwidth=2.5)

The catalogue is read from the source of the kernel files with `ast`, so listing it imports none of them;
`get` imports the one file it needs. Importing this module loads the standard library alone.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

__version__ = "0.1.0"
__all__ = [
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
]

ENTRY_POINTS = "kernel_zoo"
DEVICES = ("cpu", "cuda")
SELECTORS = ("auto", *DEVICES)

# "numeric" is the array API standard's name for every integer, real and complex dtype; these are NumPy's.
_INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
_REALS = ("float16", "float32", "float64", "longdouble")
_COMPLEX = ("complex64", "complex128", "clongdouble")
DTYPE_GROUPS = {"numeric": _INTEGERS + _REALS + _COMPLEX}
# What a contract holds beside the operation's own function; it may further name its PRECISIONS and a gufunc's CORE.
_FUNCTIONS = ("reference", "bound", "scale", "work", "rows", "example", "from_file")
CONTRACT = ("ARRAYS", "RATE", "SIZES", *(f"{name}(...)" for name in _FUNCTIONS))
DTYPES = ("bool", "object", "bfloat16", *DTYPE_GROUPS["numeric"], *DTYPE_GROUPS)

ON_DEVICE = {"numba": "numba_cuda"}  # what a CUDA variant needs beyond a package it requires: numba's own target is of the past
DISTRIBUTIONS = {"numba_cuda": "'numba-cuda[cu13]'"}  # what pip calls a package, where not by its name


class UnknownOperation(LookupError):
    """No operation has this name."""


class UnknownVariant(LookupError):
    """The operation has no variant of this name."""


class VariantUnavailable(RuntimeError):
    """The variant exists, but cannot run here: a package, a device or a working file is missing."""


class DuplicateVariant(ValueError):
    """Two functions claim the same name under the same operation."""


class ConformanceError(AssertionError):
    """A function does not do what its operation's contract says."""


class System:
    """What this machine offers. Resolution asks only this, so it can be tested without the hardware."""

    def __init__(self) -> None:
        self._missing: dict[str, str | None] = {}

    def missing(self, requirement: str) -> str | None:
        """Return why a package or a device (`"cuda"`) cannot be used, or None when it can."""
        if requirement not in self._missing:
            probe = self._cuda if requirement == "cuda" else self._package
            self._missing[requirement] = probe(requirement)
        return self._missing[requirement]

    def _package(self, name: str) -> str | None:
        try:
            found = _find_spec(name) is not None
        except (ImportError, ValueError):  # ValueError: sys.modules[name] is None, an import that was blocked
            found = False
        distribution = DISTRIBUTIONS.get(name, name.partition(".")[0])
        return None if found else f"needs the package {name}, which is not installed (pip install {distribution})"

    def _cuda(self, _: str) -> str | None:
        """Ask NVIDIA's management library: unlike the driver's own, it can be asked before a fork."""
        import ctypes

        if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
            return "needs a CUDA device, and CUDA_VISIBLE_DEVICES hides them all (unset it)"
        library = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"
        absent = "needs a CUDA device, and none was found"
        try:
            nvml = ctypes.CDLL(library)
        except OSError:
            return f"{absent}: no NVIDIA driver ({library}) is installed (run it on a machine with an NVIDIA GPU)"
        count = ctypes.c_uint()
        if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) or not count.value:
            return f"{absent}: the NVIDIA driver reports no device (see nvidia-smi)"
        if _torch_built_without_cuda():
            return "needs torch built for CUDA, and the installed build is for the CPU alone (see pytorch.org/get-started)"
        return None


def _find_spec(name: str) -> ModuleSpec | None:
    """Find a module as importlib.util.find_spec does, but without importing the packages it lies in."""
    first, *inner = name.split(".")
    spec = importlib.util.find_spec(first)
    for part in inner:
        folders = spec.submodule_search_locations if spec else None
        spec = PathFinder.find_spec(part, list(folders)) if folders else None
    return spec


def _torch_built_without_cuda() -> bool:
    """Read torch/version.py, which says `cuda: Optional[str] = None` in a CPU build: importing torch takes seconds."""
    spec = importlib.util.find_spec("torch")
    for folder in (spec and spec.submodule_search_locations) or ():
        for node in ast.parse(Path(folder, "version.py").read_bytes()).body:
            if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "cuda":
                return isinstance(node.value, ast.Constant) and node.value.value is None
    return False


@dataclass(frozen=True, kw_only=True, eq=False)
class Variant:
    """One implementation of an operation, as its `register` line and its source describe it.

    Attributes
    ----------
    operation, name : str
        What it computes, and what it is called there.
    device : str
        ``"cpu"`` or ``"cuda"``.
    arrays : str
        The kind of array its function takes: ``"numpy"`` or ``"torch"``.
    requires : tuple of str
        Packages it imports beyond those of the core.
    dtypes : tuple of str
        Names of the dtypes it takes, spelled out.
    options : mapping
        Its own keyword arguments with their defaults, such as ``batch_size``.
    precision : str
        The class of error it promises; the operation's ``bound`` knows what each one means.
    deterministic : bool
        Whether the same input gives the same bits twice.
    rank : int
        Its place on the ladder from naive to fast; dispatch takes the highest that can serve a call.
    limits : mapping
        What it can take: for an argument the allowed values, for a quantity of the operation's ``work`` the most.
    layout : str
        ``"any"``, or ``"C"`` if its function wants writable C-contiguous arrays (compiled for that layout alone).
    file, line : str, int
        Where it stands.
    doc : str
        Its docstring, or that of its file.
    """

    operation: str
    name: str
    device: str = "cpu"
    arrays: str = "numpy"
    requires: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ("float32", "float64")
    options: Mapping[str, Any] = field(default_factory=dict)
    precision: str = "working"
    deterministic: bool = True
    rank: int = 0
    limits: Mapping[str, Any] = field(default_factory=dict)
    layout: str = "any"
    module: str = ""
    file: str = ""
    line: int = 0
    doc: str = ""
    _why_not: Callable[[Variant], str | None] = field(default=lambda _: None, repr=False)

    def __post_init__(self) -> None:
        for key in ("options", "limits"):
            object.__setattr__(self, key, MappingProxyType(dict(getattr(self, key))))

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel without the catalogue: whether it can run, the machine of arrival says."""
        stated = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "_why_not"}
        return _arrived, (stated | {"options": dict(self.options), "limits": dict(self.limits)},)

    @property
    def reason(self) -> str | None:
        """Why it cannot run here, or None when it can."""
        return self._why_not(self)

    @property
    def available(self) -> bool:
        """Whether it can run here."""
        return self.reason is None

    @property
    def source(self) -> str:
        """Where it stands, as ``file:line``."""
        return f"{self.file}:{self.line}"

    @property
    def framework(self) -> str:
        """What it is written with: the first package it requires, else the kind of array it takes."""
        return self.requires[0] if self.requires else self.arrays


# What a register line may say further, and what goes without saying.
_DEFAULTS: dict[str, Any] = {
    f.name: {} if f.default is MISSING else f.default
    for f in fields(Variant)
    if f.name not in ("operation", "name", "module", "file", "line", "doc", "_why_not")
}
_CHOICES = {"device": DEVICES, "arrays": ("numpy", "torch"), "layout": ("any", "C")}


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


class _Room:
    """A module or package whose source may hold an operation's contract and variants.

    `contract` is the function that carries the operation's name in the first file; where it is None, `failure` says why.
    """

    def __init__(self, operation: str, module: str, files: tuple[Path, ...], failure: str = "") -> None:
        self.operation, self.module, self.files, self.failure = operation, module, files, failure
        self.contract: ast.FunctionDef | None = None
        if files:
            try:
                body = _tree(files[0]).body
            except (SyntaxError, ValueError) as error:
                self.failure = f"{files[0]} cannot be read: {type(error).__name__}: {error}"
                return
            named = [node for node in body if isinstance(node, ast.FunctionDef) and node.name == operation]
            self.contract = next((node for node in named if not any(map(_registers, node.decorator_list))), None)
            self.failure = "" if self.contract else f"{files[0]} defines no function {operation}"


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
        self._rooms: dict[str, list[_Room]] | None = None
        self._catalogue: dict[str, dict[str, Variant]] = {}
        self._functions: dict[tuple[str, str], Callable[..., Any]] = {}
        self._contracts: dict[str, ModuleType] = {}
        self._broken: dict[str, str] = {}
        self._callables: dict[tuple[str, str], Callable[..., Any]] = {}

    # What there is

    def operations(self) -> tuple[str, ...]:
        """Return the names of all operations, in alphabetical order."""
        return tuple(sorted(name for name, rooms in self._all_rooms().items() if any(r.contract for r in rooms)))

    def broken_operations(self) -> dict[str, str]:
        """Return the operations whose contract cannot be read, each with the reason."""
        rooms = {name: rooms for name, rooms in self._all_rooms().items() if name not in self.operations()}
        return {name: "; ".join(room.failure for room in rooms[name]) for name in sorted(rooms)}

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
            room = next(room for room in self._all_rooms()[operation] if room.contract)
            where = f"{operation}: the contract in {room.files[0]}"
            try:
                module = _import(room.module, self.folder)
            except Exception as error:
                raise VariantUnavailable(f"{where} failed to import: {type(error).__name__}: {error}") from error
            lacking = [name for name in CONTRACT if not hasattr(module, name.removesuffix("(...)"))]
            if lacking:
                raise VariantUnavailable(f"{where} lacks {', '.join(lacking)}")
            self._contracts[operation] = module
        return self._contracts[operation]

    def summary(self, operation: str) -> str:
        """Return the first line of an operation's docstring without importing it."""
        self._variants(operation)
        node = next(filter(None, (room.contract for room in self._all_rooms()[operation])))
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
            ``limits`` and ``layout`` of `Variant`, where its defaults will not do.

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
        complete = _declare(operation, name, **declared)

        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            self._add(complete, function, os.path.realpath(caller.f_code.co_filename), caller.f_lineno)
            return function

        return decorate

    def _add(self, declared: dict[str, Any], function: Callable[..., Any], file: str, line: int) -> None:
        operation, name = declared["operation"], declared["name"]
        with self._lock:
            known = self._variants(operation)
            read = known.get(name)
            if read is not None and (read.file != file or not read.module or (file, operation, name) in self._imported):
                raise DuplicateVariant(f"{operation}: variant {name!r} is registered twice: {read.source} and {file}:{line}")
            if read is not None:
                differing = [key for key in _DEFAULTS if getattr(read, key) != declared[key]]
                if differing:
                    raise ValueError(f"{operation}: variant {name!r} ({read.source}) was read with other {', '.join(differing)}")
                self._imported[file, operation, name] = function
            elif any(file == os.path.realpath(f) for room in self._all_rooms()[operation] for f in room.files):
                raise ValueError(
                    f"{operation}: variant {name!r} ({file}:{line}) was not found when its source was read: "
                    "a register line stands directly on a function at the top level of its file"
                )
            else:
                doc = function.__doc__ or ""
                known[name] = Variant(**declared, file=file, line=line, doc=doc, _why_not=self._why_not)
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
            self._function(candidates[0])
        dispatch: Any = _import("kernels._dispatch", self.folder)
        # Two threads may both get here, and must leave with the same callable.
        return self._callables.setdefault((operation, selector), dispatch.make_callable(self, operation, selector))

    def check(
        self,
        operation: str,
        function: Callable[..., Any],
        *,
        device: str = "cpu",
        dtypes: tuple[str, ...] | None = None,
        max_examples: int = 100,
    ) -> None:
        """Hold any function to an operation's contract: agreement with the reference within the derived bound, and the rest.

        Parameters
        ----------
        operation : str
            One of `operations()`.
        function : callable
            Takes the operation's arguments, after the front desk's validation: for matmul two matrices, for
            meanshift_step ``(x, bandwidth, *, data, kernel)``. One that refuses NumPy arrays is given tensors.
        device : str
            Where the arrays are: ``"cpu"`` or ``"cuda"``.
        dtypes : tuple of str, optional
            The dtypes it claims to take; float32 and float64 if not given.
        max_examples : int
            How many examples Hypothesis draws for each property.

        Raises
        ------
        ConformanceError
            With the property that failed and the smallest failing example.
        """
        reason = self.system.missing("hypothesis")
        if reason:
            raise ModuleNotFoundError(f"check {reason}")
        conformance: Any = _import("kernels._conformance", self.folder)
        conformance.check(self, operation, function, device=device, dtypes=dtypes, max_examples=max_examples)

    def conformance_test(self, operation: str, function: Callable[..., Any], **claims: Any) -> Callable[..., None]:
        """Return a pytest test for another project's suite, which reports each property of a function under its own name.

        Parameters
        ----------
        operation, function
            As `check` takes them.
        **claims
            ``device``, ``dtypes`` and ``max_examples``, as `check` takes them.

        Examples
        --------
        A whole test file::

            import registry
            from mypackage import matmul
            test_matmul = registry.conformance_test("matmul", matmul)
        """
        conformance: Any = _import("kernels._conformance", self.folder)
        test: Callable[..., None] = conformance.conformance_test(self, operation, function, **claims)
        return test

    def explain(self, operation: str, *args: Any, selector: str = "auto", **kwargs: Any) -> Explanation:
        """Say, for these very arguments, which variants were considered, why each was rejected, and which runs.

        Raises
        ------
        TypeError, ValueError
            If the arguments are not valid for the operation.
        """
        dispatch: Any = _import("kernels._dispatch", self.folder)
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
            raise UnknownVariant(_unknown(f"{operation}: no variant {selector!r}", selector, [*names, *SELECTORS]))
        return tuple(v for v in reversed(self.variants(operation)) if selector == "auto" or v.device == selector)

    def _require_one(self, operation: str, selector: str, candidates: tuple[Variant, ...]) -> None:
        if not any(v.available for v in candidates):
            lines = [f"  {v.name}: {v.reason}" for v in candidates] or ["  none is registered"]
            raise VariantUnavailable("\n".join([f"{operation}: no variant for {selector!r} can run here:", *lines]))

    def _function(self, variant: Variant) -> Callable[..., Any]:
        """Import the one file a variant lives in, and return its function.

        Raises VariantUnavailable; a file that fails stays broken for the process, with its error as the reason.
        """
        # Python's import lock lets one thread in; holding our own meanwhile could deadlock with a direct import.
        function = self._functions.get((variant.operation, variant.name))
        if function is None and variant.available:
            try:
                _import(variant.module, self.folder)
            except Exception as error:
                self._broken[variant.file] = f"its file failed to import: {type(error).__name__}: {error}"
            function = self._imported.get((variant.file, variant.operation, variant.name))
            if function is None and variant.available:
                self._broken[variant.file] = "importing its file did not register it"
        if function is None or not variant.available:
            raise VariantUnavailable(f"{variant.operation}: variant {variant.name!r} cannot run here: {variant.reason}")
        return function

    def _why_not(self, variant: Variant) -> str | None:
        needs = list(variant.requires)
        if variant.device != "cpu":
            needs += [variant.device, *(ON_DEVICE[package] for package in variant.requires if package in ON_DEVICE)]
        reasons = [self._broken.get(variant.file), self._overclaim(variant), *map(self.system.missing, needs)]
        if variant.device == "cpu" and "numba" in variant.requires and os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
            reasons.append("needs Numba's compiler, and NUMBA_DISABLE_JIT switches it off (unset it)")
        return next(filter(None, reasons), None)

    def _overclaim(self, variant: Variant) -> str | None:
        """Say that a variant promises a precision its contract, once imported, does not know; or None."""
        known = getattr(self._contracts.get(variant.operation), "PRECISIONS", (variant.precision,))
        if variant.precision in known:
            return None
        return _unknown(f"{variant.operation} knows no precision {variant.precision!r}", variant.precision, known)

    # Reading the catalogue from the source

    def _all_rooms(self) -> dict[str, list[_Room]]:
        """The folders of the built-in operations, then what installed distributions declare as entry points."""
        with self._lock:
            if self._rooms is None:
                self._rooms = {}
                for path in sorted(self.folder.glob("[!_.]*/__init__.py")):
                    room = _Room(path.parent.name, f"kernels.{path.parent.name}", _python_files(path.parent))
                    # Another distribution may keep folders of its own in `kernels`.
                    if room.contract or any(b"from registry import register" in file.read_bytes() for file in room.files):
                        self._rooms[room.operation] = [room]
                from importlib.metadata import entry_points

                for point in entry_points(group=ENTRY_POINTS):
                    self._rooms.setdefault(point.name, []).append(self._entry_room(point.name, point.value))
            return self._rooms

    def _entry_room(self, operation: str, module: str) -> _Room:
        try:
            spec = _find_spec(module)
            if spec is None or not spec.origin:
                raise ModuleNotFoundError(f"No module named {module!r}")
        except Exception as error:
            return _Room(operation, module, (), f"entry point {operation} = {module} failed: {type(error).__name__}: {error}")
        folder = spec.submodule_search_locations
        return _Room(operation, module, _python_files(Path(next(iter(folder)))) if folder else (Path(spec.origin),))

    def _variants(self, operation: str) -> dict[str, Variant]:
        with self._lock:
            if operation not in self.operations():
                failures = [why for name, why in self.broken_operations().items() if name == operation]
                what = f"no operation {operation!r}{': ' if failures else ''}{''.join(failures)}"
                raise UnknownOperation(_unknown(what, operation, self.operations()))
            if operation not in self._catalogue:
                found: dict[str, Variant] = {}
                for room in self._all_rooms()[operation]:
                    if not room.files:
                        self._placeholder(operation, room.module, room.module, room.failure, found)
                    for path in room.files:
                        self._read(room, path, found)
                self._catalogue[operation] = found
            return self._catalogue[operation]

    def _placeholder(self, operation: str, name: str, file: str, failure: str, found: dict[str, Variant]) -> None:
        """List a source that brings no variant under its own name, so that its failure can be seen."""
        name = Path(file).name if name in found else name
        found[name] = Variant(operation=operation, name=name, file=file, _why_not=self._why_not)
        self._broken.setdefault(file, failure)

    def _read(self, room: _Room, path: Path, found: dict[str, Variant]) -> None:
        module = room.module if path.stem == "__init__" or len(room.files) == 1 else f"{room.module}.{path.stem}"
        file = os.path.realpath(path)
        try:
            lines = list(_register_lines(_tree(path)))
        except (SyntaxError, ValueError) as error:
            failure = f"its source cannot be read: {type(error).__name__}: {error}"
            self._placeholder(room.operation, path.stem, file, failure, found)
            return
        before = len(found)
        for call, doc in lines:
            try:
                declared = _declare_line(call)
                other = declared["operation"]
                if other not in self.operations():
                    raise ValueError(_unknown(f"no operation {other!r}", other, self.operations()))
            except (TypeError, ValueError) as error:  # importing the file will fail of it, and take its other variants along
                self._broken[file] = f"line {call.lineno} cannot be read: {error}"
                declared = {
                    "operation": room.operation,
                    "name": _name_in(call) or (path.stem if path.stem not in found else path.name),
                }
            if declared["operation"] != room.operation:
                continue
            variant = Variant(**declared, module=module, file=file, line=call.lineno, doc=doc, _why_not=self._why_not)
            twin = found.get(variant.name)
            if twin is not None:
                raise DuplicateVariant(
                    f"{room.operation}: variant {variant.name!r} is registered twice: {twin.source} and {variant.source}"
                )
            found[variant.name] = variant
        # A contract registers nothing, and a package of another distribution may hold modules of any kind.
        ours = path.parent.parent == self.folder and path.stem != "__init__"
        if len(found) == before and (ours or (len(room.files) == 1 and not room.contract)):
            failure = f"registers no variant of {room.operation} (shared code has a name with a leading underscore)"
            self._placeholder(room.operation, path.stem, file, failure, found)


def _python_files(folder: Path) -> tuple[Path, ...]:
    """The contract first, then the kernel files; names with a leading underscore are shared machinery."""
    return (folder / "__init__.py", *(p for p in sorted(folder.glob("*.py")) if not p.name.startswith("_")))


def _tree(path: Path) -> ast.Module:
    if path.suffix != ".py":
        raise ValueError(f"{path.name} is not Python source")
    return ast.parse(path.read_bytes(), filename=str(path))


def _registers(node: ast.expr) -> bool:
    """Whether a decorator reads `register(...)` or `registry.register(...)`."""
    if not isinstance(node, ast.Call):
        return False
    return getattr(node.func, "id", None) == "register" or getattr(node.func, "attr", None) == "register"


def _register_lines(tree: ast.Module) -> Iterator[tuple[ast.Call, str]]:
    """Yield each register line of a module, with the docstring of its function or of the module."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            for call in filter(_registers, node.decorator_list):
                assert isinstance(call, ast.Call)
                yield call, ast.get_docstring(node) or ast.get_docstring(tree) or ""


def _declare_line(call: ast.Call) -> dict[str, Any]:
    """Read what a register line declares."""
    try:
        arguments = [ast.literal_eval(value) for value in call.args]
        keywords = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (TypeError, ValueError):
        raise ValueError("the arguments of register must be literals") from None
    return _declare(*arguments, **keywords)


def _name_in(call: ast.Call) -> str | None:
    """The variant's name in a register line that may say anything else."""
    name = call.args[1].value if len(call.args) > 1 and isinstance(call.args[1], ast.Constant) else None
    return name if isinstance(name, str) and name not in ("", *SELECTORS) else None


def _declare(operation: str, name: str, **declared: Any) -> dict[str, Any]:
    """Check the arguments of a register line, and complete them."""
    where = f"register({operation!r}, {name!r})"
    if not isinstance(name, str) or not name or name in SELECTORS:
        raise ValueError(f"{where}: a variant cannot be called {name!r}; {', '.join(SELECTORS)} are selectors")
    unknown = sorted(declared.keys() - _DEFAULTS.keys())
    if unknown:
        raise TypeError(_unknown(f"{where}: no argument {', '.join(unknown)}", unknown[0], tuple(_DEFAULTS)))
    complete = _DEFAULTS | {key: dict(value) if isinstance(value, MappingProxyType) else value for key, value in declared.items()}
    for key, default in _DEFAULTS.items():
        if type(complete[key]) is not type(default):
            raise TypeError(f"{where}: {key} is a {type(default).__name__}, got {complete[key]!r}")
        if key in _CHOICES and complete[key] not in _CHOICES[key]:
            raise ValueError(f"{where}: {key} is one of {', '.join(_CHOICES[key])}, got {complete[key]!r}")
        if isinstance(default, tuple | dict) and not all(isinstance(each, str) for each in complete[key]):
            raise TypeError(f"{where}: {key} is a {type(default).__name__} of names, got {complete[key]!r}")
    for entry in complete["dtypes"]:
        if entry not in DTYPES:
            raise ValueError(_unknown(f"{where}: no dtype {entry!r}", entry, DTYPES))
    for key, limit in complete["limits"].items():
        if type(limit) not in (tuple, int, float):
            raise TypeError(f"{where}: the limit of {key} is a tuple of the allowed values or a largest number, got {limit!r}")
    dtypes = tuple(dtype for entry in complete["dtypes"] for dtype in DTYPE_GROUPS.get(entry, (entry,)))
    return complete | {"operation": operation, "name": name, "dtypes": dtypes}


def _unknown(what: str, name: object, existing: list[str] | tuple[str, ...]) -> str:
    import difflib

    near = difflib.get_close_matches(str(name), existing, n=1)
    return f"{what}{f'; did you mean {near[0]!r}?' if near else ''} (there are: {', '.join(existing) or 'none'})"


def _import(module: str, folder: Path) -> ModuleType:
    """Import a module; the namespace package `kernels` is first made to reach our folder.

    Another distribution owns a regular package of that name, which hides a namespace package on the path.
    """
    if module.partition(".")[0] == "kernels":
        package = importlib.import_module("kernels")
        if str(folder) not in package.__path__:
            package.__path__.append(str(folder))
    return importlib.import_module(module)


_zoo = Zoo(Path(__file__).resolve().parent / "kernels")
check = _zoo.check
candidates = _zoo.candidates
conformance_test = _zoo.conformance_test
contract = _zoo.contract
explain = _zoo.explain
get = _zoo.get
missing = _zoo.system.missing
broken_operations = _zoo.broken_operations
operations = _zoo.operations
register = _zoo.register
summary = _zoo.summary
variant = _zoo.variant
variants = _zoo.variants


def _arrived(stated: dict[str, Any]) -> Variant:
    """Return a variant from another process."""
    return Variant(**stated, _why_not=_zoo._why_not)


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Find what `get` returned under the name that pickle knows it by: ``matmul:auto``, the operation and the selector."""
        operation, colon, selector = name.partition(":")
        if not colon:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return get(operation, selector)


def main() -> None:
    """Run the command `kernel-zoo`."""
    _import("kernels._cli", _zoo.folder).main()


if __name__ == "__main__":
    # Run as a script this file is `__main__`; kernel files register with the module `registry`, so hand over to that one.
    importlib.import_module("registry").main()
