"""An operation as dispatch needs it: a call is validated, its arrays are adapted to a kernel, the result is converted back."""

from __future__ import annotations

import difflib
import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import array_api_compat

from kernels import _arrays
from kernels._definition import results
from kernels._dispatch.arguments import require_arrays
from kernels._dispatch.lazy import beside_dask, finite_blocks
from kernels._variant import ConformanceError, Variant
from kernels._zoo import Catalogue


class Request(NamedTuple):
    """One call as its contract normalised it, its arguments by name; its first array; and what it asks of a variant."""

    arguments: dict[str, Any]
    first: Any
    options: dict[str, Any]
    caller: _arrays.Caller
    dtype: Any


class Core(NamedTuple):
    """The core extents of each array and of a result that is one array, and those that an array may lack."""

    inputs: tuple[tuple[str, ...], ...]
    output: tuple[str, ...]
    optional: frozenset[str]


class Operation:
    """An operation's contract, with what dispatch needs to know of its signature."""

    def __init__(self, zoo: Catalogue, name: str) -> None:
        self.zoo = zoo
        self.name = name
        self.contract = zoo.contract(name)
        self.function: Callable[..., Any] = self.contract.validate
        self.signature = inspect.signature(self.function)
        asks = self.contract.signature
        arrays = asks.arrays.values()
        optional = frozenset(extent for array in arrays for extent in array.optional)
        self.core = Core(tuple(array.extents for array in arrays), asks.result.extents if asks.uniform else (), optional)
        self.by_position = asks.by_position
        self.keyed = [key for key in asks.arrays if key not in self.by_position]
        # Whether a call of arrays whose extents fit is valid, whatever the validator would say.
        self.shapes_alone = asks.promotes and not (asks.parameters or asks.defaults or asks.finite or asks.custom or self.keyed)
        self.leading = len(asks.arrays) - len(self.keyed)  # arrays come first by position, then by keyword

    def request(self, args: tuple[Any, ...], kwargs: dict[str, Any], candidates: Sequence[Variant]) -> Request:
        """Validate a call; what the operation has no name for is an option of some candidate.

        What no candidate takes is refused here, before the contract looks at the values, in one line.
        """
        stated = {key: value for key, value in kwargs.items() if key in self.signature.parameters}
        options = {key: _integer(value) for key, value in kwargs.items() if key not in stated}
        try:
            bound = self.signature.bind(*args, **stated)
        except TypeError as error:
            raise TypeError(f"{self.name}: {error}{self.misspelt(options, candidates)}") from None
        given = bound.arguments
        defaults = {key: self.signature.parameters[key].default for key in self.contract.ARRAYS}
        brought = {key: given[key] for key in defaults if key in given and given[key] is not defaults[key]}
        signature = self.contract.signature
        distributed = any(map(array_api_compat.is_dask_array, brought.values()))
        if distributed:
            brought = beside_dask(brought)
            given |= brought
        require_arrays(self.name, brought)
        first = next(iter(brought.values()))
        caller = _arrays.caller_of(first)
        together = {key: brought[key] for key in signature.group if key in brought}  # an index keeps its dtype
        try:
            dtype = _arrays.promoted(caller, tuple(together.values()))
        except TypeError as error:
            reason = str(error).partition(". ")[0]  # NumPy goes on for lines
            raise TypeError(f"{self.name}: arguments {', '.join(together)}: {reason}") from None
        if candidates:
            self.require_candidate(together, dtype, options, candidates)
        args, kwargs = self.function(*bound.args, **bound.kwargs)
        arguments = dict(zip(self.by_position, args, strict=True)) | kwargs
        if distributed and given.get("check_finite", True):
            arguments |= finite_blocks(self.zoo, signature, arguments)
        return Request(arguments, first, options, caller, dtype)

    def misspelt(self, options: Mapping[str, Any], candidates: Sequence[Variant]) -> str:
        """Name the keywords that nobody knows, each with the nearest that the operation or a variant has."""
        names = dict.fromkeys((*self.signature.parameters, *(option for v in candidates for option in v.options)))
        near = {key: difflib.get_close_matches(key, names, n=1) for key in options if key not in names}
        return "".join(
            f"; there is no argument {key!r}{f', did you mean {names[0]!r}?' if names else ''}" for key, names in near.items()
        )

    def require_candidate(
        self, arrays: Mapping[str, Any], dtype: Any, options: Mapping[str, Any], candidates: Sequence[Variant]
    ) -> None:
        """Refuse a dtype, or of several candidates an option, that none knows."""
        name = _arrays.dtype_name(dtype)
        if not any(name in v.dtypes for v in candidates):
            if len(candidates) == 1:
                raise TypeError(f"{self.name}: variant {candidates[0].name!r} {wrong_dtype(candidates[0], name)}")
            taken = list(dict.fromkeys(dtype for v in candidates for dtype in v.dtypes))
            given = {key: _arrays.dtype_name(array.dtype) for key, array in arrays.items()}
            wrong = next((key for key in given if given[key] not in taken), None)
            where = f"argument {wrong}: " if wrong else ""
            got = given[wrong] if wrong else name
            raise TypeError(f"{self.name}: {where}expected dtype {' or '.join(taken)}, got {got}; cast it")
        for key in options if len(candidates) > 1 else ():
            if not any(key in v.options for v in candidates):
                known = dict.fromkeys(option for v in candidates for option in v.options)
                raise TypeError(
                    f"{self.name}: no variant has an argument {key!r}; their options are: {', '.join(known) or 'none'}"
                )

    def run(self, variant: Variant, kernel: Callable[..., Any], request: Request, options: Mapping[str, Any] = {}) -> Any:
        """Adapt the arrays to the kernel's kind, run it, and convert the result back to the caller's kind.

        `options` take the place of the variant's defaults, where the call states none.

        Raises
        ------
        ConformanceError
            If what the kernel returns is not such a result, with what was expected and what came.
        """
        signature, arguments = self.contract.signature, request.arguments | self._adapted(variant, request)
        options = {**variant.options, **options, **request.options}

        def checked(*arrays: Any) -> Any:
            own = arguments | dict(zip(signature.arrays, arrays, strict=True))
            args, kwargs = signature.as_call(own)
            result = kernel(*args, **kwargs, **options)
            try:
                return results.require(signature, result, own)
            except TypeError as error:
                where = f" ({variant.source})" if variant.file else ""
                raise ConformanceError(f"{self.name}: variant {variant.name!r} {error}{where}") from None

        if variant.batches or signature.is_core(arguments):
            result = checked(*(arguments[key] for key in signature.arrays))
        else:
            result = results.over_batches(signature, checked, arguments)
        return results.map_parts(lambda part: _arrays.convert_back(part, request.caller, request.first), result)

    def _adapted(self, variant: Variant, request: Request) -> dict[str, Any]:
        """Return the arrays by name, made into the kernel's kind, dtype and layout."""
        together = self.contract.signature.group
        given = {key: array for key in self.contract.ARRAYS if (array := request.arguments[key]) is not None}
        adapted = {  # x as data too stays one
            id(array): self._adapt(variant, array, request.dtype if key in together else array.dtype)
            for key, array in given.items()
        }
        return {key: adapted[id(array)] for key, array in given.items()}

    def _adapt(self, variant: Variant, array: Any, dtype: Any) -> Any:
        wanted = None if array.dtype == dtype else dtype
        if variant.arrays == "any" and variant.device == "cpu":
            return _arrays.as_it_comes(array, wanted)
        if variant.arrays == "dask":
            return _arrays.to_dask(array, wanted)
        if variant.arrays != "numpy":
            return _arrays.to_torch(array, variant.device, wanted)
        adapted = _arrays.to_numpy(array, wanted)
        return _arrays.contiguous(adapted) if variant.layout == "C" else adapted


def wrong_dtype(variant: Variant, name: str) -> str:
    """Say that a variant does not take a dtype."""
    return f"takes dtype {', '.join(variant.dtypes)}; got {name} (cast the arrays)"


def _integer(value: Any) -> Any:
    """Return an integer of any library as Python's own; anything else, and a truth value, as it is."""
    try:
        return value if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return value
