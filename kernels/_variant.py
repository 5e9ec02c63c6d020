"""A variant: what a register line may declare of it, and the errors that speak of variants and operations.

Loads the standard library alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from types import MappingProxyType
from typing import Any

DEVICES = ("cpu", "cuda")
SELECTORS = ("auto", *DEVICES)

# An operation's first variants: its definition, on the caller's own arrays. No register line brings them. Whatever else can serve
# a call is chosen before them; they take no call that would need more memory than this many entries on the way to its result.
STATED = "DEFINITION"  # the name under which an operation's file says of them what a register line would say
OF_DEFINITION: dict[str, Any] = {"rank": -1, "batches": True, "limits": {"scratch": 2**28}}
FIRST: dict[str, dict[str, Any]] = {
    "definition": {"arrays": "any"},
    "definition_cuda": {"arrays": "torch", "requires": ("torch",), "device": "cuda"},
}

# "numeric" is the array API standard's name for every integer, real and complex dtype; these are NumPy's.
_INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
_REALS = ("float16", "float32", "float64", "longdouble")
_COMPLEX = ("complex64", "complex128", "clongdouble")
DTYPE_GROUPS = {"numeric": _INTEGERS + _REALS + _COMPLEX}
DTYPES = ("bool", "object", "bfloat16", *DTYPE_GROUPS["numeric"], *DTYPE_GROUPS)


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
        The kind of array its function takes: ``"numpy"``, ``"torch"``, ``"dask"``, or ``"any"``, which is whatever else the
        caller brings. Dispatch takes one of ``"dask"`` for dask arrays, and for no others unless the caller names it.
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
    batches : bool
        Whether its function takes arrays with dimensions before the core ones, and without core dimensions that may be
        missing; otherwise it is called once for each of the batch.
    file, line : str, int
        Where its register line is.
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
    batches: bool = False
    module: str = ""
    file: str = ""
    line: int = 0
    doc: str = ""
    _why_not: Callable[[Variant], str | None] = field(default=lambda _: None, repr=False)

    def __post_init__(self) -> None:
        for key in ("options", "limits"):
            object.__setattr__(self, key, MappingProxyType(dict(getattr(self, key))))

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
        """Where its register line is, as ``file:line``."""
        return f"{self.file}:{self.line}"

    @property
    def framework(self) -> str:
        """What it is written with: the first package it requires, else the kind of array it takes."""
        return self.requires[0] if self.requires else "array API" if self.arrays == "any" else self.arrays

    @property
    def is_definition(self) -> bool:
        """Whether it is the operation's definition itself, which no register line brings."""
        return self.name in FIRST


# What a register line may declare beside the two names, with the defaults.
DEFAULTS: dict[str, Any] = {
    f.name: {} if f.default is MISSING else f.default
    for f in fields(Variant)
    if f.name not in ("operation", "name", "module", "file", "line", "doc", "_why_not")
}
_CHOICES = {"device": DEVICES, "arrays": ("numpy", "torch", "dask", "any"), "layout": ("any", "C")}


def declare(operation: str, name: str, **declared: Any) -> dict[str, Any]:
    """Check the arguments of a register line, and complete them."""
    where = f"register({operation!r}, {name!r})"
    if not isinstance(name, str) or not name or name in SELECTORS:
        raise ValueError(f"{where}: a variant cannot be called {name!r}; {', '.join(SELECTORS)} are selectors")
    surplus = sorted(declared.keys() - DEFAULTS.keys())
    if surplus:
        raise TypeError(unknown(f"{where}: no argument {', '.join(surplus)}", surplus[0], tuple(DEFAULTS)))
    complete = DEFAULTS | {key: dict(value) if isinstance(value, MappingProxyType) else value for key, value in declared.items()}
    for key, default in DEFAULTS.items():
        kind = type(default).__name__
        if type(complete[key]) is not type(default):
            raise TypeError(f"{where}: {key} is {'an' if kind == 'int' else 'a'} {kind}, got {complete[key]!r}")
        if key in _CHOICES and complete[key] not in _CHOICES[key]:
            raise ValueError(f"{where}: {key} is one of {', '.join(_CHOICES[key])}, got {complete[key]!r}")
        if isinstance(default, tuple | dict) and not all(isinstance(each, str) for each in complete[key]):
            raise TypeError(f"{where}: {key} is a {kind} of names, got {complete[key]!r}")
    for entry in complete["dtypes"]:
        if entry not in DTYPES:
            raise ValueError(unknown(f"{where}: no dtype {entry!r}", entry, DTYPES))
    for key, limit in complete["limits"].items():
        if type(limit) not in (tuple, int, float):
            raise TypeError(f"{where}: the limit of {key} is a tuple of the allowed values or a largest number, got {limit!r}")
    dtypes = tuple(dtype for entry in complete["dtypes"] for dtype in DTYPE_GROUPS.get(entry, (entry,)))
    return complete | {"operation": operation, "name": name, "dtypes": dtypes}


def unknown(what: str, name: object, existing: list[str] | tuple[str, ...]) -> str:
    """Say that there is no such name, with the nearest of those that exist, and all of them."""
    import difflib  # only an error needs it

    near = difflib.get_close_matches(str(name), existing, n=1)
    return f"{what}{f'; did you mean {near[0]!r}?' if near else ''} (there are: {', '.join(existing) or 'none'})"
