"""What may be passed to an operation, read from its definition's annotations, and the validator that is made of them.

An array is annotated as jaxtyping writes it, `Float[Array, "*batch n d"]`: the kind of number, and the extents by name. An extent
written `m?` may be missing, as in a generalised ufunc of NumPy. A parameter is a `Literal` of its choices, or a number with the
conditions of annotated-types: `Annotated[float, Gt(0), IsFinite]`. Annotations of arrays are read as text, so that neither
jaxtyping nor an array library has to be there.

The validator is Python source made for the one signature, as `dataclasses` makes an `__init__`: a call that is in order costs
some comparisons, and anything else goes to `Signature.refuse`, which finds out what is wrong and says so in one line.
"""

from __future__ import annotations

import ast
import inspect
import math
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Integral, Real
from types import ModuleType
from typing import Annotated, Any, NamedTuple

import annotated_types
import numpy as np

from kernels._arrays import all_finite, dtype_name

# The kinds of number, as jaxtyping names them.
KINDS = ("Float", "Real", "Num", "Inexact", "Complex", "Int", "Integer", "UInt", "Bool", "Shaped")
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
    def least(self) -> int:
        """The fewest dimensions that it may have."""
        return len(self.extents) - sum(extent in self.optional for extent in self.extents)

    def present(self, ndim: int) -> tuple[str, ...]:
        """Return the core extents that an array of so many dimensions has."""
        gone = [extent for extent in self.extents if extent in self.optional][: max(0, len(self.extents) - ndim)]
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
    conditions: tuple[tuple[str, str], ...] = ()  # Python that is true of a valid `value`, and its words
    default: Any = inspect.Parameter.empty

    def expected(self) -> str:
        """Say what is expected."""
        if self.choices:
            return f"one of {', '.join(map(str, self.choices))}"
        words = [word for _, word in self.conditions]
        noun = {float: "number", int: "whole number", bool: "truth value"}[self.type]
        adjectives = [word for word in words if word == "finite"]
        rest = [word for word in words if word != "finite"]
        return " ".join(["a", *adjectives, noun, *([" and ".join(rest)] if rest else [])])


def array_argument(name: str, annotation: str) -> ArrayArgument | None:
    """Read the annotation of an array, such as ``Float[Array, "n d"] | None``; None for anything else."""
    node = ast.parse(annotation, mode="eval").body
    while isinstance(node, ast.BinOp):
        node = node.left
    if not (isinstance(node, ast.Subscript) and getattr(node.value, "id", getattr(node.value, "attr", "")) in KINDS):
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
    return ArrayArgument(name, getattr(node.value, "id", getattr(node.value, "attr", "")), plain, optional, batch)


def parameter(name: str, annotation: Any, default: Any) -> Parameter:
    """Read the annotation of a parameter."""
    if typing.get_origin(annotation) is typing.Literal:
        return Parameter(name, typing.get_args(annotation), default=default)
    base: Any = annotation
    metadata: list[Any] = []
    if typing.get_origin(annotation) is Annotated:
        base, *metadata = typing.get_args(annotation)
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
            conditions.append((f"value {sign} {getattr(each, attribute)!r}", f"{word} {getattr(each, attribute):g}"))
        elif isinstance(each, annotated_types.GroupedMetadata):  # such as Interval
            metadata += list(each)
        else:
            raise ValueError(f"argument {name}: no condition is known for {each!r}; annotated-types has Gt, Ge, Lt, Le, IsFinite")
    return Parameter(name, (), base, tuple(conditions), default)


class Signature:
    """The arrays and parameters of an operation.

    Parameters
    ----------
    definition : callable
        The operation's definition, annotated.
    module : module
        Where it stands. It may state ``DEFAULTS``, for an array that is None if not given, which one it is then; ``FINITE``,
        the arrays whose entries must be finite, which gives the operation a keyword ``check_finite``; ``PROMOTES = False``,
        if arrays of different dtypes are refused; and ``validate``, a function of a normalised call that raises
        ValueError or TypeError for what annotations cannot say.
    """

    def __init__(self, definition: Callable[..., Any], module: ModuleType) -> None:
        self.name = definition.__name__
        self.public = inspect.signature(definition)
        self.defaults: dict[str, str] = getattr(module, "DEFAULTS", {})
        self.finite: tuple[str, ...] = getattr(module, "FINITE", ())
        self.promotes: bool = getattr(module, "PROMOTES", True)
        self.own: Callable[..., None] | None = getattr(module, "validate", None)
        self.arrays: dict[str, ArrayArgument] = {}
        self.parameters: dict[str, Parameter] = {}
        for key, stated in self.public.parameters.items():
            text = stated.annotation
            if not isinstance(text, str):
                wanted = "as text, which `from __future__ import annotations` makes of it"
                raise ValueError(f"argument {key}: expected an annotation, {wanted}")
            array = array_argument(key, text)
            if array is not None:
                self.arrays[key] = array
                continue
            try:
                annotation = eval(text, vars(module))
            except Exception as error:
                raise ValueError(f"argument {key}: {text}: {type(error).__name__}: {error}") from error
            self.parameters[key] = parameter(key, annotation, stated.default)
        result = self.public.return_annotation
        gives = array_argument("return", result) if isinstance(result, str) else None
        if not self.arrays or gives is None:
            raise ValueError("a definition takes arrays and gives one, annotated as jaxtyping writes them")
        self.result = gives
        for statement, names in (("FINITE", self.finite), ("DEFAULTS", (*self.defaults, *self.defaults.values()))):
            for name in names:
                if name not in self.arrays:
                    arrays = ", ".join(self.arrays)
                    raise ValueError(f"{statement} names {name}, which is no array of the definition ({arrays})")
        self.validator = self._make()

    @property
    def gufunc(self) -> str:
        """The signature in NumPy's notation for generalised ufuncs."""

        def written(array: ArrayArgument) -> str:
            return f"({','.join(extent + '?' * (extent in array.optional) for extent in array.extents)})"

        return f"{','.join(map(written, self.arrays.values()))}->{written(self.result)}"

    def extents(self, arrays: Mapping[str, Any]) -> dict[str, int]:
        """Return the extents by name of a call that is valid; what is missing counts as 1."""
        found: dict[str, int] = {}
        for key, argument in self.arrays.items():
            shape = arrays[key].shape
            present = argument.present(len(shape))
            found |= dict.fromkeys(argument.extents, 1) | found
            found |= dict(zip(present, shape[len(shape) - len(present) :], strict=True))
        return found

    # The validator

    def _make(self) -> Callable[..., tuple[tuple[Any, ...], dict[str, Any]]]:
        """Write the validator's source and run it."""
        positional = [key for key, stated in self.public.parameters.items() if stated.kind is not stated.KEYWORD_ONLY]
        keyed = [key for key in self.public.parameters if key not in positional]
        shown = [*self.public.parameters.values()]
        if self.finite:
            shown.append(inspect.Parameter("check_finite", inspect.Parameter.KEYWORD_ONLY, default=True, annotation="bool"))
        names: dict[str, Any] = {f"_default_{each.name}": each.default for each in shown if each.default is not each.empty}
        head = ", ".join(
            ("*, " if each.kind is each.KEYWORD_ONLY and (i == 0 or shown[i - 1].kind is not each.KEYWORD_ONLY) else "")
            + each.name + (f"=_default_{each.name}" if each.default is not each.empty else "")
            for i, each in enumerate(shown)
        )  # fmt: skip
        body = [f"if {key} is None: {key} = {other}" for key, other in self.defaults.items()]
        body += [f"if not ({self._shapes_in_order()}): _refuse({self._as_keywords(self.arrays)})"]
        for key, each in self.parameters.items():
            names[f"_choices_{key}"], names[f"_parameter_{key}"] = each.choices, each
            if each.choices:
                body += [f"if {key} not in _choices_{key}: _refuse_value(_parameter_{key}, {key})"]
                continue
            body += [f"if type({key}) is not {each.type.__name__}: {key} = _number(_parameter_{key}, {key})"]
            condition = _joined([code.replace("value", key) for code, _ in each.conditions])
            body += [f"if not ({condition}): _refuse_value(_parameter_{key}, {key})"] if condition else []
        normalised = self._as_keywords(self.public.parameters)
        body += [f"_own({normalised})"] if self.own else []
        body += ["if check_finite:"] if self.finite else []
        for key in self.finite:
            other = self.defaults.get(key)
            body += [f"    {f'if {key} is not {other}: ' if other else ''}_require_finite({key!r}, {key})"]
        body += [f"return ({', '.join(positional)},), {{{', '.join(f'{key!r}: {key}' for key in keyed)}}}"]
        source = "\n    ".join([f"def {self.name}({head}):", *body])
        names |= {"_refuse": self.refuse, "_refuse_value": self.refuse_value, "_number": self.number, "_own": self.own,
                  "_require_finite": self.require_finite, "inf": math.inf}  # fmt: skip
        exec(compile(source, f"<validator of {self.name}>", "exec"), names)
        validator: Any = names[self.name]
        validator.__signature__ = self.public.replace(parameters=shown)
        return validator  # type: ignore[no-any-return]

    @staticmethod
    def _as_keywords(names: Any) -> str:
        return ", ".join(f"{key}={key}" for key in names)

    def _shapes_in_order(self) -> str:
        """Write what is true of arrays that have their core dimensions alone, each extent the same wherever it is named."""
        ranks = [f"{key}.ndim == {len(array.extents)}" for key, array in self.arrays.items()]
        seen: dict[str, str] = {}
        equal = []
        for key, array in self.arrays.items():
            for axis, extent in enumerate(array.extents):
                here = f"{key}.shape[{axis}]"
                equal += [f"{here} == {seen[extent]}"] if extent in seen else []
                seen.setdefault(extent, here)
        first, *others = self.arrays
        dtypes = [] if self.promotes else [f"{key}.dtype == {first}.dtype" for key in others]
        return " and ".join(ranks + equal + dtypes)

    def refuse(self, **arrays: Any) -> None:
        """Raise ValueError or TypeError for arrays whose shapes or dtypes do not fit; return if they are a batch that does."""
        known: dict[str, int] = {}
        source: dict[str, str] = {}
        for key, argument in self.arrays.items():
            shape = tuple(arrays[key].shape)
            present = argument.present(len(shape))
            where = f"{self.name}: argument {key}: expected"
            if len(shape) < argument.least or (len(shape) > len(argument.extents) and not argument.batch):
                missing = (
                    ""
                    if len(shape) >= argument.least or len(argument.extents) - len(shape) != 1
                    else f"; {key}[None] has one more"
                )
                likes = next((f" like {source[extent]}" for extent in argument.extents if extent in known), "")
                raise ValueError(f"{where} shape {argument.patterns(known)}{likes}, got {shape}{missing}")
            own = dict(zip(present, shape[len(shape) - len(present) :], strict=True))
            wrong = [extent for extent, size in own.items() if known.get(extent, size) != size]
            if wrong:
                batch = argument.batch if len(shape) >= len(argument.extents) else None
                expected = argument._replace(extents=present, batch=batch).pattern({extent: known[extent] for extent in wrong})
                other = source[wrong[0]]
                raise ValueError(f"{where} shape {expected} to go with {other} of {tuple(arrays[other].shape)}, got {shape}")
            source = dict.fromkeys(own, key) | source
            known = own | known
        first, *others = self.arrays
        for key in () if self.promotes else others:
            if arrays[key].dtype != arrays[first].dtype:
                mine, theirs = dtype_name(arrays[key].dtype), dtype_name(arrays[first].dtype)
                raise TypeError(
                    f"{self.name}: argument {key}: expected dtype {theirs} like {first}, got {mine}; cast one of them"
                )
        self._require_batches(arrays)

    def batches(self, arrays: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield the batch dimensions of each array."""
        for key, argument in self.arrays.items():
            shape = tuple(arrays[key].shape)
            yield key, shape[: max(0, len(shape) - len(argument.extents))]

    def _require_batches(self, arrays: Mapping[str, Any]) -> None:
        so_far: tuple[int, ...] = ()
        before: list[str] = []
        for key, batch in self.batches(arrays):
            try:
                so_far = np.broadcast_shapes(so_far, batch)
            except ValueError:
                raise ValueError(
                    f"{self.name}: argument {key}: expected leading dimensions that broadcast with {so_far} "
                    f"of {' and '.join(before)}, got {batch}"
                ) from None
            before += [key] if batch else []

    def refuse_value(self, each: Parameter, value: Any) -> None:
        """Raise the error of a parameter's value."""
        raise ValueError(f"{self.name}: argument {each.name}: expected {each.expected()}, got {value!r}")

    def number(self, each: Parameter, value: Any) -> Any:
        """Return any library's number as Python's own; raise TypeError for what is none."""
        kinds: dict[type, type] = {float: Real, int: Integral, bool: bool}
        is_bool = isinstance(value, bool | np.bool_)
        if each.type is bool and is_bool:
            return bool(value)
        if is_bool or not isinstance(value, kinds[each.type]):
            noun = {float: "a real number", int: "a whole number", bool: "True or False"}[each.type]
            raise TypeError(f"{self.name}: argument {each.name}: expected {noun}, got {type(value).__name__}")
        try:
            return each.type(value)
        except OverflowError:
            return math.inf

    def require_finite(self, key: str, array: Any) -> None:
        """Raise ValueError for an array with NaN or an infinity."""
        if not all_finite(array):
            raise ValueError(
                f"{self.name}: argument {key}: expected finite entries, got NaN or infinity; drop those rows "
                "(check_finite=False skips this look)"
            )


def _joined(conditions: Sequence[str]) -> str:
    return " and ".join(conditions)
