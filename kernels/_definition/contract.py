"""An operation as its definition: what is derived from it for validation, for the tests, for dispatch and for benchmarks.

An operation's file begins with a function whose annotations say what may be passed (`signature.py`) and whose body is
the definition, in functions of the array API. One definition has many readings:

- on NumPy arrays in a wider precision, the reference;
- on arrays that carry a bound on their rounding (`rounding.py`), the bound on a kernel's error;
- on arrays that only count (`counting.py`), the operations and the memory;
- on the caller's own arrays, the first variant.

What the file may state beside it: `PRECISIONS`, further classes of error, each as another expression of the same operation;
`ROWS`, the extent along which the result's entries are computed apart, without which it is the first of a batch, and `APART`, the
values that parameters must have for that where it is not always so; `QUANTITIES`, products of extents that rates and limits are
given in, and `RATE`, the one for rates; `scale`, the size beyond which a bound says nothing; `judge`, where an answer is judged
otherwise than entry by entry (`judging.py`); `DEFINITION`, what a register line would say of the definition as a variant, such as
its dtypes, as literals; and what `Signature` reads.
Sizes, examples and files that people bring are in `_examples.py` beside it; what its variants' costs depend on, in `_costs.py`.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import math
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from kernels._arrays import dtype_name
from kernels._definition import judging, results
from kernels._definition.annotations import ArrayArgument
from kernels._definition.counting import Counted, Tally
from kernels._definition.examples import Example, derived_example, example_from_file
from kernels._definition.numerics import Agreement, Precision, precision_of, wide
from kernels._definition.rounding import Rounded
from kernels._definition.rows import BLOCK, Rows
from kernels._definition.signature import Signature

Array = np.ndarray[Any, Any]


class Contract:
    """An operation, as its definition and what the file beside it states.

    Parameters
    ----------
    operation : str
    module : module
        Holds the definition, a function of the operation's name.

    Raises
    ------
    ValueError
        If the definition's annotations or the statements cannot be read.
    """

    def __init__(self, operation: str, module: ModuleType) -> None:
        self.operation, self.module = operation, module
        self.definition: Callable[..., Any] = getattr(module, operation)
        self.signature = Signature(self.definition, module)
        self.validate = self.signature.validator
        self.ARRAYS = tuple(self.signature.arrays)
        # Whether a result is one floating array that is held to the reference entry by entry.
        self.by_entries = self.signature.uniform and not hasattr(module, "judge")
        self.DISCRETE = tuple(key for key, each in self.signature.parameters.items() if each.choices or each.type is bool)
        # Numbers that may be left out, each with its default, for which a kernel may skip work.
        self.LEFT_OUT = {key: each.default for key, each in self.signature.parameters.items()
                         if key not in self.DISCRETE and isinstance(each.default, (int, float))}  # fmt: skip
        self._expressions: dict[str, Callable[..., Any]] = {"working": self.definition, **getattr(module, "PRECISIONS", {})}
        self.PRECISIONS = tuple(self._expressions)
        self.QUANTITIES: dict[str, str] = getattr(module, "QUANTITIES", {})
        self.RATE: str = getattr(module, "RATE", "flops")

    def __getattr__(self, name: str) -> Any:
        """Find what else the operation's file states, such as the choices of a parameter."""
        return getattr(self.module, name)

    def shapes(self, *args: Any, **kwargs: Any) -> tuple[tuple[int, ...], ...]:
        """Return the shape that each part of a valid call's result has."""
        return tuple(results.shapes(self.signature, self.signature.normal(args, kwargs)).values())

    def rows_are_apart(self, *args: Any, **kwargs: Any) -> bool:
        """Whether a call's result has rows that are computed apart."""
        return bool(self._rows(self.signature.normal(args, kwargs)).axes)

    def row_count(self, *args: Any, **kwargs: Any) -> int:
        """Return how many rows a call's result has that are computed apart; 1 where it is one whole."""
        return self._rows(self.signature.normal(args, kwargs)).count

    def rows(self, index: Array | slice, *args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the call whose result is these rows of the result."""
        return self.signature.as_call(self._rows(self.signature.normal(args, kwargs)).cut(index))

    def rows_of(self, result: Any, index: Array | slice, *args: Any, **kwargs: Any) -> Any:
        """Return these rows of a call's result, of all its parts: those that `rows` asks for."""
        return self._rows(self.signature.normal(args, kwargs)).of(result, index)

    def _rows(self, call: dict[str, Any]) -> Rows:
        return Rows(self.signature, self.module, call)

    def _blocks(self, rows: Rows) -> Iterator[tuple[dict[str, Any], slice]]:
        return rows.blocks(lambda: self._tally(rows.call).largest)

    # Readings

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the definition gives for the caller's own arrays, block by block: the first variant."""
        rows, blocks = self._rows(self.signature.normal(args, kwargs)), []
        for block, _ in self._blocks(rows):
            positional, keyed = self.signature.as_call(block)
            blocks.append(self.definition(*positional, **keyed))
        return rows.joined(blocks)

    def reference(self, *args: Any, dtype: str, **kwargs: Any) -> Any:
        """Return the result by the definition, in a precision wider than `dtype`; whole numbers exactly, wrapped at the end."""
        call = self.signature.normal(args, kwargs)
        if precision_of(dtype) is None:
            return self._exact(call, dtype)
        rows = self._rows(call)
        return rows.joined([self._plain(block, dtype) for block, _ in self._blocks(rows)])

    def _plain(self, call: dict[str, Any], dtype: str) -> Any:
        return results.map_parts(np.asarray, self._read(self.definition, call, dtype))

    def bound(self, *args: Any, dtype: str, precision: str = "working", **kwargs: Any) -> Any:
        """Bound the error of each entry of a result of some class of error; infinite where an index or a truth is not certain.

        Raises
        ------
        ValueError
            If the operation knows no such class.
        """
        return self.expected(*args, dtype=dtype, precision=precision, **kwargs)[1]

    def expected(self, *args: Any, dtype: str, precision: str = "working", **kwargs: Any) -> tuple[Any, Any]:
        """Return the reference, and how far a result of some class of error may be from each of its entries."""
        call = self.signature.normal(args, kwargs)
        self.require_class(precision)
        if precision_of(dtype) is None:
            exact = self._exact(call, dtype)
            return exact, results.map_parts(lambda part: np.zeros(part.shape), exact)
        rows, references, bounds = self._rows(call), [], []
        for block, _ in self._blocks(rows):
            value, known = self._known(block, dtype, precision)
            references.append(value)
            bounds.append(results.map_parts(lambda exact, each: judging.error_of(exact, each, dtype), value, known))
        return rows.joined(references), rows.joined(bounds)

    def require_class(self, precision: str) -> None:
        """Refuse a class of error that the operation does not know; raises ValueError."""
        if precision not in self._expressions:
            known = ", ".join(map(repr, self.PRECISIONS))
            raise ValueError(f"{self.operation}: unknown precision {precision!r} (there are: {known})")

    def _known(self, call: dict[str, Any], dtype: str, precision: str) -> tuple[Any, Any]:
        """Return the reference of a call, and what a class of error makes of it."""
        known = self.rounded(call, dtype, precision)
        if precision == "working":
            return results.map_parts(lambda part: np.asarray(getattr(part, "value", part)), known), known
        return self._plain(call, dtype), known

    def rounded(self, call: Mapping[str, Any], dtype: str, precision: str = "working", expression: Any = None) -> Any:
        """Return what a class of error, or an expression, makes of a normalised call on arrays that carry their rounding."""
        return self._read(expression or self._expressions[precision], call, dtype, precision_of(dtype))

    def _read(self, expression: Callable[..., Any], call: Mapping[str, Any], dtype: str, format: Precision | None = None) -> Any:
        """Evaluate an expression in the wider precision, or where a format is given with the rounding that it leaves."""
        made: dict[int, Any] = {}

        def read(key: str, array: Any) -> Any:
            if array is None:
                return None
            if key not in self.signature.group:
                whole = np.asarray(array)
                return whole if whole.dtype.kind == "b" else whole.astype(np.int64)
            if id(array) not in made:  # an array that is two arguments stays one
                values = np.asarray(array).astype(wide(dtype))
                made[id(array)] = values if format is None else Rounded(values, format=format)
            return made[id(array)]

        args, kwargs = self.signature.as_call(
            {key: read(key, each) if key in self.ARRAYS else each for key, each in call.items()}
        )
        with np.errstate(all="ignore"):
            return expression(*args, **kwargs)

    def verdict(self, result: Any, *args: Any, dtype: str, precision: str = "working", **kwargs: Any) -> judging.Verdict:
        """Hold a result, in NumPy, to the definition: entry by entry, or as the operation's own `judge` says."""
        self.require_class(precision)
        call = self.signature.normal(args, kwargs)
        judge: Callable[..., str | None] | None = getattr(self.module, "judge", None)
        if judge is None:
            return self.entries(call, result, dtype, precision)
        failure = judge(judging.Call(self, call, dtype, precision), result)
        return judging.Verdict(Agreement(math.inf if failure else 0.0, (), 0.0), failure)

    def entries(self, call: Mapping[str, Any], result: Any, dtype: str, precision: str) -> judging.Verdict:
        """Hold each entry of a result to the definition, block by block."""
        worst, failure, vacuous, entries = Agreement(0.0, (), 0.0), None, 0.0, 0
        if wrong := self._wrong_shape(call, result):
            return judging.Verdict(Agreement(math.inf, (), 0.0), wrong)
        rows = self._rows(dict(call))
        for block, index in self._blocks(rows):
            if precision_of(dtype) is None:
                value = known = self._exact(block, dtype)
            else:
                value, known = self._known(block, dtype, precision)
            parts = map(results.parts, (rows.of(result, index), value, known))
            for name, got, exact, each in zip(self.signature.results, *parts, strict=True):
                agreement = judging.agreement_of(got, exact, each, dtype)
                vacuous, entries = vacuous + agreement.vacuous * got.size, entries + got.size
                if agreement.share > worst.share:
                    worst = agreement
                if not (agreement.passes or failure):
                    failure = judging.worded(name, agreement, got, exact, each)
        return judging.Verdict(worst._replace(vacuous=vacuous / max(1, entries)), failure)

    def _wrong_shape(self, call: Mapping[str, Any], result: Any) -> str | None:
        """Say which part of a result has another shape than it must have."""
        expected = results.shapes(self.signature, call)
        for (name, shape), part in zip(expected.items(), results.parts(result), strict=True):
            if tuple(part.shape) != shape:
                return f"{'' if name == 'return' else f'{name}: '}the result has shape {tuple(part.shape)}, expected {shape}"
        return None

    def _exact(self, call: dict[str, Any], dtype: str) -> Any:
        """Evaluate the definition on Python's whole numbers."""
        as_ = int if dtype == "bool" else object
        given = {key: np.asarray(call[key]).astype(as_) for key in self.ARRAYS if call[key] is not None}
        args, kwargs = self.signature.as_call(call | given)

        def wrapped(part: Any, stated: ArrayArgument) -> Array:
            exact = np.asarray(part)
            if stated.keeps_dtype or (exact.dtype.kind == "b" and not self.signature.uniform):  # an index, or a comparison
                return exact
            exact = exact.astype(as_)  # without dimensions it is the number itself
            if dtype == "bool":
                return exact > 0
            if dtype != "object" and np.dtype(dtype).kind in "iu":
                bytes_ = np.dtype(dtype).itemsize
                exact = np.asarray(exact & (2 ** (8 * bytes_) - 1)).astype(f"u{bytes_}")
            return exact.astype(dtype)

        exact, stated = self.definition(*args, **kwargs), tuple(self.signature.results.values())
        return results.map_parts(wrapped, exact, stated if isinstance(exact, tuple) else stated[0])

    # Sizes

    def scale(self, exact: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the size beyond which a bound says nothing: the largest exact entry's, unless the operation states one."""
        stated = getattr(self.module, "scale", None)
        if stated is None:
            return results.map_parts(judging.size_of, exact)
        positional, keyed = self.signature.as_call(self.signature.normal(args, kwargs))
        return stated(*positional, **keyed)

    def quantities(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Return the products of extents that limits may be stated in."""
        extents = self.signature.extents_of(self.signature.normal(args, kwargs))
        return {key: math.prod(extents[extent] for extent in product.split()) for key, product in self.QUANTITIES.items()}

    def work(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Return what the definition takes: operations, and the bytes of arguments and result; and the stated quantities.

        `scratch` is the entries of the largest array on the way, 0 where that is no larger than what is passed or given.
        """
        call = self.signature.normal(args, kwargs)
        given = [call[key] for key in self.ARRAYS if call[key] is not None]
        distinct = {id(array): array for array in given}  # one array that is two arguments is read once
        tally = self._tally(call)
        sizes = [math.prod(array.shape) for array in distinct.values()]
        moved = sum(_bytes(array.dtype) * size for array, size in zip(distinct.values(), sizes, strict=True))
        working = call[self.signature.group[0]].dtype
        for part, size in zip(self.signature.results.values(), tally.results, strict=True):
            moved += size * (_bytes(np.dtype(part.dtypes("")[0])) if part.keeps_dtype else _bytes(working))
        rows, scratch = self._rows(call), tally.largest
        if rows.axes:  # an evaluation goes block by block
            scratch = max(tally.largest // max(1, rows.count), min(tally.largest, BLOCK))
        scratch = scratch if scratch > max(*sizes, *tally.results) else 0
        return {"flops": tally.flops, "bytes": moved, "scratch": scratch, **self.quantities(*args, **kwargs)}

    def _tally(self, call: dict[str, Any]) -> Tally:
        tally = Tally()
        counted = {key: Counted(call[key].shape, tally) for key in self.ARRAYS if call[key] is not None}
        args, kwargs = self.signature.as_call(call | counted)
        tally.results = tuple(part.size for part in results.parts(self.definition(*args, **kwargs)))
        return tally

    # The files beside the definition

    def beside(self, file: str) -> ModuleType | None:
        """Return a file of the operation's folder as a module, or None if there is no such file."""
        name = f"{self.module.__name__}.{file}"
        found = hasattr(self.module, "__path__") and importlib.util.find_spec(name)
        return importlib.import_module(name) if found else None

    @functools.cached_property
    def costs(self) -> ModuleType | None:
        """What the operation says its variants' costs depend on, as `kernels/_costs/calls.py` reads it."""
        return self.beside("_costs")

    @functools.cached_property
    def examples(self) -> ModuleType | None:
        """What the operation states of calls that people and measurements make."""
        return self.beside("_examples")

    @property
    def SIZES(self) -> dict[str, Any]:
        """The named sizes of examples."""
        stated = self.examples
        return stated.SIZES if stated else {"tiny": 4, "lecture": 28, "medium": 256, "large": 1024}

    def example(self, size: str = "lecture", **changes: Any) -> Example:
        """Return a call of a named size."""
        stated = self.examples
        return stated.example(size, **changes) if stated else derived_example(self.signature, self.SIZES[size], **changes)

    def from_file(self, arrays: dict[str, Array], **changes: Any) -> Example:
        """Make a call from a file's arrays."""
        stated = self.examples
        return stated.from_file(arrays, **changes) if stated else example_from_file(self.signature, arrays, **changes)


def _bytes(dtype: Any) -> int:
    """Return the bytes of an entry."""
    return getattr(dtype, "itemsize", None) or np.dtype(dtype_name(dtype)).itemsize  # NumPy knows no bfloat16
