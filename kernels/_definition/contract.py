"""An operation as its definition: what is derived from it for validation, for the tests, for dispatch and for benchmarks.

An operation's file begins with a function whose annotations say what may be passed (`signature.py`) and whose body is
the definition, in functions of the array API. One definition has many readings:

- on NumPy arrays in a wider precision, the reference;
- on arrays that carry a bound on their rounding (`rounding.py`), the bound on a kernel's error;
- on arrays that only count (`counting.py`), the operations and the memory;
- on the caller's own arrays, the first variant.

What the file may state beside it: `PRECISIONS`, further classes of error, each as another expression of the same operation;
`ROWS`, the extent along which the result's entries are computed apart; `QUANTITIES`, products of extents that rates and limits
are given in, and `RATE`, the one for rates; `scale`, the size beyond which a bound says nothing; and what `Signature` reads.
Sizes, examples and files that people bring stand in `_examples.py` beside it.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from kernels._arrays import dtype_name
from kernels._definition.counting import Counted, Tally
from kernels._definition.examples import Example, derived_example, example_from_file
from kernels._definition.numerics import Precision, precision_of, reference_share, wide
from kernels._definition.rounding import Rounded
from kernels._definition.signature import Signature

Array = np.ndarray[Any, Any]
BLOCK = 2**20  # entries that the largest array of an evaluation may have before it goes block by block


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
        self.CORE = self.signature.gufunc
        self._expressions: dict[str, Callable[..., Any]] = {"working": self.definition, **getattr(module, "PRECISIONS", {})}
        self.PRECISIONS = tuple(self._expressions)
        self.QUANTITIES: dict[str, str] = getattr(module, "QUANTITIES", {})
        self.RATE: str = getattr(module, "RATE", "flops")

    def __getattr__(self, name: str) -> Any:
        """Find what else the operation's file states, such as the choices of a parameter."""
        return getattr(self.module, name)

    def _normal(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return a call's arguments by name, with what is not given filled in; nothing is validated."""
        bound = self.signature.public.bind(*args, **{k: v for k, v in kwargs.items() if k in self.signature.public.parameters})
        bound.apply_defaults()
        call = bound.arguments
        for key, other in self.signature.defaults.items():
            call[key] = call[other] if call[key] is None else call[key]
        return call

    def _as_call(self, call: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        public = self.signature.public.parameters
        args = tuple(call[key] for key, each in public.items() if each.kind is not each.KEYWORD_ONLY)
        return args, {key: call[key] for key, each in public.items() if each.kind is each.KEYWORD_ONLY}

    # Rows

    def _row_axis(self, call: dict[str, Any]) -> tuple[dict[str, int], int] | None:
        """Return, for each array that has it, the axis of the rows that are computed apart, and that of the result."""
        rows: str | None = getattr(self.module, "ROWS", None)
        axes = {}
        for key, argument in self.signature.arrays.items():
            present = argument.present(call[key].ndim)
            if rows in present:
                axes[key] = call[key].ndim - len(present) + present.index(rows)
        if not axes:
            return None
        own = [extent for extent in self.signature.result.extents if extent not in self._lacking(call)]
        return axes, own.index(rows) - len(own)  # type: ignore[arg-type]

    def _lacking(self, call: dict[str, Any]) -> set[str]:
        """Return the extents that an array of a call lacks."""
        return {
            extent
            for key, argument in self.signature.arrays.items()
            for extent in argument.extents
            if extent not in argument.present(call[key].ndim)
        }

    def rows(self, index: Array | slice, *args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the call whose result is these rows of the result."""
        return self._as_call(self._sliced(self._normal(args, kwargs), index))

    def _sliced(self, call: dict[str, Any], index: Array | slice) -> dict[str, Any]:
        found = self._row_axis(call)
        if found is None:
            return call
        axes, _ = found
        return call | {key: call[key][(*(slice(None),) * axis, index)] for key, axis in axes.items()}

    def _blocks(self, call: dict[str, Any]) -> Iterator[tuple[dict[str, Any], int]]:
        """Cut a call into blocks of rows, none of whose arrays is large; yield each with the axis along which results join."""
        found = self._row_axis(call)
        extents = math.prod(max(1, size) for size in self.extents(call).values())
        if found is None or extents <= BLOCK:
            yield call, 0
            return
        axes, joined = found
        key, axis = next(iter(axes.items()))
        total = call[key].shape[axis]
        per_row = max(1, self._tally(call).largest // max(1, total))
        step = max(1, BLOCK // per_row)
        for start in range(0, max(1, total), step):
            yield self._sliced(call, slice(start, start + step)), joined

    def extents(self, call: dict[str, Any]) -> dict[str, int]:
        """Return the extents of a normalised call by name; that of a batch is the product of its dimensions."""
        arrays = {key: call[key] for key in self.ARRAYS}
        batch = np.broadcast_shapes(*(own for _, own in self.signature.batches(arrays)))
        return self.signature.extents(arrays) | ({"batch": math.prod(batch)} if batch else {})

    # Readings

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the definition gives for the caller's own arrays, block by block: the first variant."""
        parts = []
        for call, axis in self._blocks(self._normal(args, kwargs)):
            positional, keyed = self._as_call(call)
            parts.append((self.definition(*positional, **keyed), axis))
        first, axis = parts[0]
        return first if len(parts) == 1 else array_namespace(first).concat([part for part, _ in parts], axis=axis)

    def reference(self, *args: Any, dtype: str, **kwargs: Any) -> Array:
        """Return the result by the definition, in a precision wider than `dtype`; whole numbers exactly, wrapped at the end."""
        call = self._normal(args, kwargs)
        if precision_of(dtype) is None:
            return self._exact(call, dtype)
        return self._joined([np.asarray(self._read(self.definition, block, dtype)) for block, _ in self._blocks(call)], call)

    def bound(self, *args: Any, dtype: str, precision: str = "working", **kwargs: Any) -> Array:
        """Bound the error of each entry of a result of some class of error.

        Raises
        ------
        ValueError
            If the operation knows no such class.
        """
        return self.expected(*args, dtype=dtype, precision=precision, **kwargs)[1]

    def expected(self, *args: Any, dtype: str, precision: str = "working", **kwargs: Any) -> tuple[Array, Array]:
        """Return the reference, and how far a result of some class of error may be from each of its entries."""
        if precision not in self._expressions:
            known = ", ".join(map(repr, self.PRECISIONS))
            raise ValueError(f"{self.operation}: unknown precision {precision!r} (there are: {known})")
        call, format = self._normal(args, kwargs), precision_of(dtype)
        if format is None:
            exact = self._exact(call, dtype)
            return exact, np.zeros(exact.shape)
        references, bounds = [], []
        for block, _ in self._blocks(call):
            working = self._read(self.definition, block, dtype, format) if precision == "working" else None
            claimed = working if working is not None else self._read(self._expressions[precision], block, dtype, format)
            value = claimed.value if working is not None else np.asarray(self._read(self.definition, block, dtype))
            with np.errstate(invalid="ignore"):
                apart = np.abs(claimed.value - value) if claimed.value is not value else 0.0
            error = np.broadcast_to(claimed.error, value.shape) * (1 + reference_share(dtype)) + np.where(
                np.isnan(apart), 0.0, apart
            )
            references.append(value)
            bounds.append(error)
        return self._joined(references, call), self._joined(bounds, call)

    def _read(self, expression: Callable[..., Any], call: dict[str, Any], dtype: str, format: Precision | None = None) -> Any:
        """Evaluate an expression in the wider precision, or where a format is given with the rounding that it leaves."""
        made: dict[int, Any] = {}

        def read(array: Any) -> Any:
            if id(array) not in made:  # an array that is two arguments stays one
                values = np.asarray(array).astype(wide(dtype))
                made[id(array)] = values if format is None else Rounded(values, format=format)
            return made[id(array)]

        args, kwargs = self._as_call({key: read(each) if key in self.ARRAYS else each for key, each in call.items()})
        with np.errstate(all="ignore"):
            return expression(*args, **kwargs)

    def _joined(self, parts: list[Array], call: dict[str, Any]) -> Array:
        found = self._row_axis(call)
        return parts[0] if len(parts) == 1 or found is None else np.concatenate(parts, axis=found[1])

    def _exact(self, call: dict[str, Any], dtype: str) -> Array:
        """Evaluate the definition on Python's whole numbers."""
        as_ = int if dtype == "bool" else object
        args, kwargs = self._as_call({key: np.asarray(v).astype(as_) if key in self.ARRAYS else v for key, v in call.items()})
        exact = np.asarray(self.definition(*args, **kwargs), dtype=as_)  # without dimensions it is the number itself
        if dtype == "bool":
            return exact > 0
        if dtype != "object" and np.dtype(dtype).kind in "iu":
            bytes_ = np.dtype(dtype).itemsize
            exact = np.asarray(exact & (2 ** (8 * bytes_) - 1)).astype(f"u{bytes_}")
        return exact.astype(dtype)

    # Sizes

    def scale(self, *args: Any, **kwargs: Any) -> Any:
        """Return the size beyond which a bound says nothing: that of the largest entry, unless the operation states another."""
        call = self._normal(args, kwargs)
        stated = getattr(self.module, "scale", None)
        if stated is not None:
            positional, keyed = self._as_call(call)
            return stated(*positional, **keyed)
        value = np.abs(np.asarray(self._read(self.definition, call, "float64")))
        finite = value[np.isfinite(value)]
        return float(finite.max(initial=0.0)) if finite.size else math.inf

    def quantities(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Return the products of extents that limits may be stated in."""
        extents = self.extents(self._normal(args, kwargs))
        return {key: math.prod(extents[extent] for extent in product.split()) for key, product in self.QUANTITIES.items()}

    def work(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Return the operations of the definition, the bytes of its arguments and its result, and the stated quantities."""
        call = self._normal(args, kwargs)
        own = {id(call[key]): call[key] for key in self.ARRAYS}  # one array that is two arguments is read once
        first = call[self.ARRAYS[0]]
        entry = getattr(first, "itemsize", None) or np.dtype(dtype_name(first.dtype)).itemsize  # NumPy knows no bfloat16
        tally = self._tally(call)
        moved = sum(math.prod(array.shape) for array in own.values()) + tally.result
        return {"flops": tally.flops, "bytes": entry * moved, **self.quantities(*args, **kwargs)}

    def _tally(self, call: dict[str, Any]) -> Tally:
        tally = Tally()
        counted = {key: Counted(each.shape, tally) if key in self.ARRAYS else each for key, each in call.items()}
        args, kwargs = self._as_call(counted)
        tally.result = self.definition(*args, **kwargs).size
        return tally

    # Examples

    @property
    def _examples(self) -> ModuleType | None:
        name = f"{self.module.__name__}._examples"
        own = hasattr(self.module, "__path__") and importlib.util.find_spec(name)
        return importlib.import_module(name) if own else None

    @property
    def SIZES(self) -> dict[str, Any]:
        """The named sizes of examples."""
        stated = self._examples
        return stated.SIZES if stated else {"tiny": 4, "lecture": 28, "medium": 256, "large": 1024}

    def example(self, size: str = "lecture", **changes: Any) -> Example:
        """Return a call of a named size."""
        stated = self._examples
        return stated.example(size, **changes) if stated else derived_example(self.signature, self.SIZES[size], **changes)

    def from_file(self, arrays: dict[str, Array], **changes: Any) -> Example:
        """Make a call from a file's arrays."""
        stated = self._examples
        return stated.from_file(arrays, **changes) if stated else example_from_file(self.signature, arrays, **changes)
