"""What may be passed to an operation, read from its definition's annotations, and the validator that is made of them.

How annotations are written, `annotations.py` says.

The validator is Python source made for the one signature, as `dataclasses` makes an `__init__`: a valid call costs some
comparisons, and anything else goes to `Signature.refuse`, which finds out what is wrong and says so in one line.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from types import ModuleType
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_dask_array

from kernels._arrays import all_finite, dtype_name
from kernels._definition.annotations import ArrayArgument, Parameter, array_argument, fits, parameter, result_arguments

__all__ = ["ArrayArgument", "Parameter", "Signature"]


class Signature:
    """The arrays and parameters of an operation.

    Parameters
    ----------
    definition : callable
        The operation's definition, annotated.
    module : module
        Where it is. It may state ``DEFAULTS``, for an array that is None if not given, which one it is then, without which
        it stays None; ``FINITE``, the arrays whose entries must be finite, which gives the operation a keyword
        ``check_finite``; ``NONNEGATIVE``, those of them none of which may be below 0; ``PROMOTES = False``, if floating arrays
        of different dtypes are refused; ``INDICES``, for an array of whole numbers, the extent that they
        count; ``SPECIAL``, for an array, numbers that are not finite and that tests draw among its entries; and ``validate``, a
        function of a normalised call that raises ValueError or TypeError for what annotations cannot say.
    """

    def __init__(self, definition: Callable[..., Any], module: ModuleType) -> None:
        self.name = definition.__name__
        self.public = inspect.signature(definition)
        kinds = {key: stated.kind for key, stated in self.public.parameters.items()}
        self.by_position = [key for key, kind in kinds.items() if kind is not inspect.Parameter.KEYWORD_ONLY]
        self.by_keyword = [key for key in kinds if key not in self.by_position]
        self.defaults: dict[str, str] = getattr(module, "DEFAULTS", {})
        self.finite: tuple[str, ...] = getattr(module, "FINITE", ())
        self.nonnegative: tuple[str, ...] = getattr(module, "NONNEGATIVE", ())
        self.promotes: bool = getattr(module, "PROMOTES", True)
        self.indices: dict[str, str] = getattr(module, "INDICES", {})
        self.special: dict[str, tuple[float, ...]] = getattr(module, "SPECIAL", {})
        self.custom: Callable[..., None] | None = getattr(module, "validate", None)  # checks what annotations cannot say
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
        # Arrays that a caller may leave out, and those of them that a kernel then gets None for.
        self.omissible = frozenset(key for key in self.arrays if self.public.parameters[key].default is None)
        self.nullable = self.omissible - self.defaults.keys()
        self.results, self.result_type = result_arguments(self.public.return_annotation, module)
        if not self.arrays:
            raise ValueError("a definition takes arrays and gives one, annotated as jaxtyping writes them")
        self.result = next(iter(self.results.values()))
        group = tuple(key for key, array in self.arrays.items() if not array.keeps_dtype)
        self.group = group or tuple(self.arrays)  # the arrays that promote together
        extents = {extent for array in self.arrays.values() for extent in array.extents}
        further = {extent for array in self.results.values() for extent in array.extents} - extents
        unknown = [extent for extent in further if getattr(self.parameters.get(extent), "type", None) is not int]
        if unknown:
            raise ValueError(
                f"the result has an extent {unknown[0]}, which is neither one of an array nor a parameter that is an int"
            )
        # Whether all arrays, the result among them, are of one dtype, and its shape follows from theirs.
        one_dtype = self.group == tuple(self.arrays) and not self.result.keeps_dtype and self.result.kind != "Shaped"
        self.uniform = self.result_type is None and one_dtype and not further
        named = {"FINITE": self.finite, "DEFAULTS": (*self.defaults, *self.defaults.values())}
        named |= {"INDICES": tuple(self.indices), "SPECIAL": tuple(self.special), "NONNEGATIVE": self.nonnegative}
        for statement, names in named.items():
            for name in names:
                if name not in self.arrays:
                    arrays = ", ".join(self.arrays)
                    raise ValueError(f"{statement} names {name}, which is no array of the definition ({arrays})")
        self.validator = self._make()

    def extents(self, arrays: Mapping[str, Any]) -> dict[str, int]:
        """Return the extents by name of valid arrays; what is missing of one counts as 1."""
        found: dict[str, int] = {}
        for key, argument in self.arrays.items():
            if arrays.get(key) is None:  # it is left out
                continue
            shape = arrays[key].shape
            present = argument.present(len(shape))
            for extent in argument.extents:
                found.setdefault(extent, 1)
            found.update(zip(present, shape[len(shape) - len(present) :], strict=True))
        return found

    def with_defaults(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arrays of a call by name, with the default of one that is left out."""
        known = {**{key: arrays[other] for key, other in self.defaults.items()}, **arrays}
        return {key: known[key] for key in self.arrays if key in known}

    def same_extents(self, given: Mapping[str, Any] | list[str] | tuple[str, ...] = ()) -> dict[str, str]:
        """Return the extents of arrays that are left out, each with that of the array's default, where its name is another."""
        return {
            absent: extent
            for key, other in self.defaults.items()
            if key not in given
            for absent, extent in zip(self.arrays[key].extents, self.arrays[other].extents, strict=True)
            if absent != extent
        }

    def lacking(self, arrays: Mapping[str, Any]) -> set[str]:
        """Return the extents that an array of a call lacks."""
        given = [(each, arrays[key].ndim) for key, each in self.arrays.items() if each.optional and arrays[key] is not None]
        return {extent for each, ndim in given for extent in each.optional.difference(each.present(ndim))}

    # The validator

    def _make(self) -> Callable[..., tuple[tuple[Any, ...], dict[str, Any]]]:
        """Write the validator's source and run it."""
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
        ways = (False, True) if any(array.batch for array in self.arrays.values()) else (False,)
        in_order = " or ".join(f"({self._shapes_in_order(batch)})" for batch in ways)
        body += [f"if not ({in_order}): _refuse({self._as_keywords(self.arrays)})"]
        for key, each in self.parameters.items():
            names[f"_choices_{key}"], names[f"_parameter_{key}"] = each.choices, each
            if each.choices:
                body += [f"if {key} not in _choices_{key}: _refuse_value(_parameter_{key}, {key})"]
                continue
            given = f"{key} is not None and " if each.optional else ""
            body += [f"if {given}type({key}) is not {each.type.__name__}: {key} = _number(_parameter_{key}, {key})"]
            condition = " and ".join(self._with_shapes(code.replace("value", key)) for code, _ in each.conditions)
            body += [f"if {given}not ({condition}): _refuse_value(_parameter_{key}, {key})"] if condition else []
        normalised = self._as_keywords(self.public.parameters)
        body += [f"_require_indices({key!r}, {key}, {self._shape_of(extent)})" for key, extent in self.indices.items()]
        body += [f"_custom({normalised})"] if self.custom else []
        body += ["if check_finite:"] if self.finite else []
        for key in self.finite:
            other = self.defaults.get(key, "None")
            given = f"if {key} is not {other}: " if key in self.omissible else ""
            body += [f"    {given}_require_{'nonnegative' if key in self.nonnegative else 'finite'}({key!r}, {key})"]
        body += [f"return ({', '.join(self.by_position)},), {{{', '.join(f'{key!r}: {key}' for key in self.by_keyword)}}}"]
        source = "\n    ".join([f"def {self.name}({head}):", *body])
        names |= {"_refuse": self.refuse, "_refuse_value": self.refuse_value, "_number": self.number, "_custom": self.custom,
                  "_require_finite": self.require_finite, "_require_nonnegative": self.require_nonnegative,
                  "_require_indices": self.require_indices, "fits": fits, "inf": math.inf}  # fmt: skip
        exec(compile(source, f"<validator of {self.name}>", "exec"), names)
        validator: Any = names[self.name]
        validator.__signature__ = self.public.replace(parameters=shown)
        return validator  # type: ignore[no-any-return]

    @staticmethod
    def _as_keywords(names: Any) -> str:
        return ", ".join(f"{key}={key}" for key in names)

    def _shape_of(self, extent: str) -> str:
        """Write where an extent is found, whatever dimensions come before the core ones."""
        for key, array in self.arrays.items():
            if extent in array.extents and not array.optional and key not in self.nullable:
                return f"{key}.shape[{array.extents.index(extent) - len(array.extents)}]"
        raise ValueError(f"{extent} is no extent of an array")

    def _with_shapes(self, code: str) -> str:
        return re.sub(r"extents\['(\w+)'\]", lambda found: self._shape_of(found[1]), code)

    def _shapes_in_order(self, batch: bool = False) -> str:
        """Write what is true of arrays that have their core dimensions alone, each extent the same wherever it is named.

        With `batch` before these stand the same others in each array; those that differ, and broadcast, are for `refuse`.
        """
        stacked = {key: f"{key}.shape[:{key}.ndim - {len(array.extents)}]" for key, array in self.arrays.items()}
        seen: dict[str, str] = {}
        whole = []
        first, *others = self.group
        for key, array in self.arrays.items():
            own = [f"{key}.ndim {'>=' if batch and array.batch else '=='} {len(array.extents)}"]
            own += [f"{stacked[key]} == {stacked[first]}"] if batch and key != first else []
            for axis, extent in enumerate(array.extents, start=-len(array.extents)):
                here = f"{key}.shape[{axis}]"
                own += [f"{here} == {seen[extent]}"] if extent in seen else []
                seen.setdefault(extent, here)
            own += [f"{key}.dtype == {first}.dtype"] if key in others and not self.promotes else []
            own += [f"fits({array.kind!r}, {key}.dtype)"] if array.keeps_dtype else []
            together = " and ".join(own)
            whole += [f"({key} is None or {together})" if key in self.nullable else together]
        return " and ".join(whole)

    def refuse(self, **arrays: Any) -> None:
        """Raise ValueError or TypeError for arrays whose shapes or dtypes do not fit; return if they are a batch that does."""
        known: dict[str, int] = {}
        source: dict[str, str] = {}
        given = {key: argument for key, argument in self.arrays.items() if arrays[key] is not None}
        for key, argument in given.items():
            shape = tuple(arrays[key].shape)
            present = argument.present(len(shape))
            where = f"{self.name}: argument {key}: expected"
            if len(shape) < argument.least or (len(shape) > len(argument.extents) and not argument.batch):
                one_short = len(shape) < argument.least and len(shape) == len(argument.extents) - 1
                missing = f"; {key}[None] has one more" if one_short else ""
                likes = next((f" like {source[extent]}" for extent in argument.extents if extent in known), "")
                raise ValueError(f"{where} shape {argument.patterns(known)}{likes}, got {shape}{missing}")
            sizes = dict(zip(present, shape[len(shape) - len(present) :], strict=True))
            wrong = [extent for extent, size in sizes.items() if known.get(extent, size) != size]
            if wrong:
                batch = argument.batch if len(shape) >= len(argument.extents) else None
                expected = argument._replace(extents=present, batch=batch).pattern({extent: known[extent] for extent in wrong})
                other = source[wrong[0]]
                raise ValueError(f"{where} shape {expected} to go with {other} of {tuple(arrays[other].shape)}, got {shape}")
            source = dict.fromkeys(sizes, key) | source
            known = sizes | known
        for key, argument in given.items():
            if argument.keeps_dtype and not fits(argument.kind, arrays[key].dtype):
                wanted = {"Bool": "bool", "UInt": "an unsigned integer dtype"}.get(argument.kind, "an integer dtype")
                got = dtype_name(arrays[key].dtype)
                raise TypeError(f"{self.name}: argument {key}: expected {wanted}, got {got}; cast it")
        first, *others = self.group
        for key in () if self.promotes else [key for key in others if key in given]:
            mine, theirs = dtype_name(arrays[key].dtype), dtype_name(arrays[first].dtype)  # whatever the byte order
            if mine != theirs:
                raise TypeError(
                    f"{self.name}: argument {key}: expected dtype {theirs} like {first}, got {mine}; cast one of them"
                )
        self._require_batches(arrays)

    def normal(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return a call's arguments by name, with what is not given filled in; nothing is validated."""
        bound = self.public.bind(*args, **{key: value for key, value in kwargs.items() if key in self.public.parameters})
        bound.apply_defaults()
        call = bound.arguments
        for key, other in self.defaults.items():
            call[key] = call[other] if call[key] is None else call[key]
        return call

    def as_call(self, call: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments that are given by name as they are passed: by position, and by keyword."""
        args = tuple(call[key] for key in self.by_position if key in call)
        return args, {key: call[key] for key in self.by_keyword if key in call}

    def extents_of(self, call: Mapping[str, Any]) -> dict[str, int]:
        """Return the extents of a normalised call by name; that of a batch is the product of its dimensions."""
        batch = self.batch(call)
        return self.extents(call) | ({"batch": math.prod(batch)} if batch else {})

    def batches(self, call: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Return the batch dimensions of each array; one that is left out has none."""
        shapes = {key: () if call[key] is None else tuple(call[key].shape) for key in self.arrays}
        return {key: shape[: max(0, len(shape) - len(self.arrays[key].extents))] for key, shape in shapes.items()}

    def batch(self, call: Mapping[str, Any]) -> tuple[int, ...]:
        """Return the batch dimensions of a call's result: those of the arrays, broadcast."""
        return np.broadcast_shapes(*self.batches(call).values())

    def is_core(self, call: Mapping[str, Any]) -> bool:
        """Whether the arrays have their core dimensions alone, so that a kernel for these can take them as they are."""
        return all(call[key] is None or call[key].ndim == len(each.extents) for key, each in self.arrays.items())

    def _require_batches(self, arrays: Mapping[str, Any]) -> None:
        so_far: tuple[int, ...] = ()
        before: list[str] = []
        for key, batch in self.batches(arrays).items():
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

    def require_nonnegative(self, key: str, array: Any) -> None:
        """Raise ValueError for an array with a negative number, NaN or an infinity, naming the first.

        A dask array is not asked: its blocks are, once they are computed.
        """
        if is_dask_array(array):
            return
        wrong = ~((array >= 0) & (array < math.inf))
        xp = array_namespace(array)
        if xp.any(wrong):
            at = int(xp.argmax(xp.astype(xp.reshape(wrong, (-1,)), xp.int32)))
            raise ValueError(
                f"{self.name}: argument {key}: expected finite numbers of at least 0, got {float(xp.reshape(array, (-1,))[at])} "
                f"at {at} (check_finite=False skips this look)"
            )

    def require_indices(self, key: str, array: Any, extent: int) -> None:
        """Raise ValueError for indices outside of what they count."""
        if not math.prod(array.shape):
            return
        xp = array_namespace(array)
        least, most = int(xp.min(array)), int(xp.max(array))
        if not (least >= 0 and most < extent):
            raise ValueError(
                f"{self.name}: argument {key}: expected indices from 0 to {extent - 1} ({self.indices[key]} is {extent}), "
                f"got {least} to {most}"
            )
