"""How a definition's annotations say what may be passed and what is given.

An array is annotated as jaxtyping writes it, `Float[Array, "*batch n d"]`: the kind of number, and the extents by name. An extent
written `m?` may be missing, as in a generalised ufunc of NumPy. A parameter is a `Literal` of its choices, or a number with the
conditions of annotated-types: `Annotated[float, Gt(0), IsFinite]`; a bound given as text is an extent, `Annotated[int, Le("m")]`,
and `| None` allows None. Annotations of arrays are read as text, so that neither jaxtyping nor an array library has to be there.

The result is an array, or a NamedTuple of arrays. Floating arguments promote together; one annotated as Int, UInt or Bool keeps
its dtype. So it is with results: an Int is of int64, the array API's own for indices, a Bool is of bool, what is Shaped may be of
bool or as the floating arguments, and anything else is as they are. An extent that the result alone has is a parameter, an int.
"""

from __future__ import annotations

import ast
import inspect
import math
import types
import typing
from collections.abc import Mapping
from types import ModuleType
from typing import Annotated, Any, NamedTuple

import annotated_types

from kernels._arrays import dtype_name

# The kinds of number, as jaxtyping names them.
KINDS = ("Float", "Real", "Num", "Inexact", "Complex", "Int", "Integer", "UInt", "Bool", "Shaped")
KEEPING = {"Int": ("int", "uint"), "Integer": ("int", "uint"), "UInt": ("uint",), "Bool": ("bool",)}  # their dtype
_BOUNDS: dict[type, tuple[str, str, str]] = {
    annotated_types.Gt: ("gt", ">", "above"),
    annotated_types.Ge: ("ge", ">=", "of at least"),
    annotated_types.Lt: ("lt", "<", "below"),
    annotated_types.Le: ("le", "<=", "of at most"),
}


class ArrayArgument(NamedTuple):
    """An array: its kind of number, its core extents by name, those that may be missing, and the name of its batch, if any."""

    name: str
    kind: str
    extents: tuple[str, ...]
    optional: frozenset[str]
    batch: str | None

    @property
    def keeps_dtype(self) -> bool:
        """Whether it keeps its dtype, whatever the floating arrays are promoted to."""
        return self.kind in KEEPING

    def dtypes(self, working: str) -> tuple[str, ...]:
        """Return the dtypes that a result may have, given that of the floating arguments."""
        dtype = {"Int": "int64", "Integer": "int64", "UInt": "uint64", "Bool": "bool"}.get(self.kind, working)
        return (dtype, "bool") if self.kind == "Shaped" else (dtype,)

    @property
    def least(self) -> int:
        """The fewest dimensions that it may have."""
        return len(self.extents) - sum(extent in self.optional for extent in self.extents)

    def present(self, ndim: int) -> tuple[str, ...]:
        """Return the core extents that an array of so many dimensions has."""
        if ndim >= len(self.extents):
            return self.extents
        gone = [extent for extent in self.extents if extent in self.optional][: len(self.extents) - ndim]
        return tuple(extent for extent in self.extents if extent not in gone)

    def pattern(self, known: Mapping[str, int]) -> str:
        """Write the expected shape, with the extents that are known in numbers."""
        written = [str(known.get(extent, extent)) for extent in self.extents]
        inside = ", ".join([*(["..."] if self.batch else []), *written])
        return f"({inside}{',' if len(written) == 1 and not self.batch else ''})"

    def patterns(self, known: Mapping[str, int]) -> str:
        """Write the expected shape, and the one without what may be missing."""
        needed = tuple(extent for extent in self.extents if extent not in self.optional)
        short = self._replace(extents=needed, batch=None).pattern(known)
        return f"{self.pattern(known)} or {short}" if self.optional else self.pattern(known)


class Parameter(NamedTuple):
    """A parameter: its choices, or its kind of number with what must hold of it, each with the words that say so."""

    name: str
    choices: tuple[Any, ...] = ()
    type: type = float
    conditions: tuple[tuple[str, str], ...] = ()  # Python that is true of a valid `value` and the `extents`, and its words
    default: Any = inspect.Parameter.empty
    optional: bool = False  # may be None
    metadata: tuple[Any, ...] = ()  # what annotated-types says of it

    def allows(self, value: Any, extents: Mapping[str, int]) -> bool:
        """Whether a number meets the conditions, in a call of these extents."""
        return all(eval(code, {"value": value, "extents": extents, "inf": math.inf}) for code, _ in self.conditions)

    def interval(self, extents: Mapping[str, int]) -> tuple[float, float]:
        """Return the bounds on a number in a call of these extents, whether they are allowed or not."""
        bounds: dict[bool, list[float]] = {True: [-math.inf], False: [math.inf]}
        for each in self.metadata:
            if type(each) in _BOUNDS:
                attribute, sign, _ = _BOUNDS[type(each)]
                bound = getattr(each, attribute)
                bounds[">" in sign].append(extents[bound] if isinstance(bound, str) else bound)
        return max(bounds[True]), min(bounds[False])

    @property
    def needed(self) -> bool:
        """Whether it has no default."""
        return self.default is inspect.Parameter.empty

    @property
    def step(self) -> Any:
        """The number of which it is a multiple, or None."""
        return next((each.multiple_of for each in self.metadata if isinstance(each, annotated_types.MultipleOf)), None)

    def example(self, extents: Mapping[str, int]) -> Any:
        """Return a value that is allowed in a call of these extents: 1, if that is."""
        if self.choices or self.type is bool:
            return self.choices[0] if self.choices else False
        low, high = self.interval(extents)
        between = [(low + high) / 2] if math.isfinite(low + high) else []
        tried = [1, self.step or 1, *(each for each in (low, high, *between, low + 1, high - 1) if math.isfinite(each))]
        found = [self.type(each) for each in tried if self.allows(self.type(each), extents)]
        if not found:
            raise ValueError(f"argument {self.name}: no example of {self.expected()} is known; give it a default")
        return found[0]

    def expected(self) -> str:
        """Say what is expected."""
        if self.choices:
            return f"one of {', '.join(map(str, self.choices))}"
        words = [word for _, word in self.conditions]
        noun = {float: "number", int: "whole number", bool: "truth value"}[self.type]
        adjectives = [word for word in words if word == "finite"]
        rest = [word for word in words if word != "finite"]
        said = " ".join(["a", *adjectives, noun, *([" and ".join(rest)] if rest else [])])
        return f"{said}, or None" if self.optional else said


def array_argument(name: str, annotation: str) -> ArrayArgument | None:
    """Read the annotation of an array, such as ``Float[Array, "n d"] | None``; None for anything else."""
    node = ast.parse(annotation, mode="eval").body
    while isinstance(node, ast.BinOp):
        node = node.left
    kind = getattr(node.value, "id", getattr(node.value, "attr", "")) if isinstance(node, ast.Subscript) else ""
    if not (isinstance(node, ast.Subscript) and kind in KINDS):
        return None
    words = node.slice.elts[1] if isinstance(node.slice, ast.Tuple) else None
    if not (isinstance(words, ast.Constant) and isinstance(words.value, str)):
        raise ValueError(f"argument {name}: the annotation {annotation} names no extents")
    extents = words.value.split()
    batch = extents.pop(0)[1:] if extents and extents[0].startswith("*") else None
    plain = tuple(extent.rstrip("?") for extent in extents)
    if not all(extent.isidentifier() for extent in plain):
        raise ValueError(
            f"argument {name}: the extents in {annotation} are names, with * before a batch and ? behind what may miss"
        )
    optional = frozenset(extent[:-1] for extent in extents if extent.endswith("?"))
    return ArrayArgument(name, kind, plain, optional, batch)


def parameter(name: str, annotation: Any, default: Any) -> Parameter:
    """Read the annotation of a parameter."""
    given = typing.get_args(annotation) if typing.get_origin(annotation) in (typing.Union, types.UnionType) else (annotation,)
    optional = type(None) in given
    alternatives = [each for each in given if each is not type(None)]
    base: Any = alternatives[0] if len(alternatives) == 1 else annotation
    if typing.get_origin(base) is typing.Literal:
        return Parameter(name, typing.get_args(base) + ((None,) if optional else ()), default=default)
    metadata: list[Any] = []
    if typing.get_origin(base) is Annotated:
        base, *metadata = typing.get_args(base)
    if base not in (float, int, bool):
        raise ValueError(
            f"argument {name}: expected an array, a Literal, a float, an int or a bool, annotated; got {annotation!r}"
        )
    conditions: list[tuple[str, str]] = []
    for each in metadata:
        if each == annotated_types.IsFinite.__metadata__[0] or each is annotated_types.IsFinite:
            conditions.append(("-inf < value < inf", "finite"))
        elif type(each) in _BOUNDS:
            attribute, sign, word = _BOUNDS[type(each)]
            bound = getattr(each, attribute)
            if isinstance(bound, str):
                conditions.append((f"value {sign} extents[{bound!r}]", f"{word} {bound}"))
            else:
                conditions.append((f"value {sign} {bound!r}", f"{word} {bound:g}"))
        elif isinstance(each, annotated_types.MultipleOf):
            conditions.append((f"value % {each.multiple_of!r} == 0", f"that is a multiple of {each.multiple_of:g}"))
        elif isinstance(each, annotated_types.GroupedMetadata):  # such as Interval
            metadata += list(each)
        else:
            known = "Gt, Ge, Lt, Le, Interval, MultipleOf, IsFinite"
            raise ValueError(f"argument {name}: no condition is known for {each!r}; annotated-types has {known}")
    return Parameter(name, (), base, tuple(conditions), default, optional, tuple(metadata))


def result_arguments(annotation: Any, module: ModuleType) -> tuple[dict[str, ArrayArgument], type | None]:
    """Read what a definition gives: arrays by name, and the NamedTuple that holds them where there is one."""
    text = annotation if isinstance(annotation, str) else ""
    single = array_argument("return", text) if text else None
    if single is not None:
        return {"return": single}, None
    made = vars(module).get(text)
    fields = getattr(made, "__annotations__", {}) if isinstance(made, type) and issubclass(made, tuple) else {}
    stated = {key: getattr(each, "__forward_arg__", each) for key, each in fields.items()}
    arrays = {key: array_argument(key, each) for key, each in stated.items() if isinstance(each, str)}
    given = {key: each for key, each in arrays.items() if each is not None}
    if not given or len(given) < len(fields):
        raise ValueError("a definition takes arrays and gives one, annotated as jaxtyping writes them, or a NamedTuple of such")
    return given, made


def fits(kind: str, dtype: Any) -> bool:
    """Whether a dtype is of a kind that keeps its own."""
    return dtype_name(dtype).startswith(KEEPING[kind])
