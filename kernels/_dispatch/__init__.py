"""How a call flows: the contract's validation, the choice of a variant, arrays adapted, the kernel, the result handed back."""

from __future__ import annotations

import difflib
import functools
import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kernels import _arrays
from kernels._definition import results
from kernels._dispatch import gufunc, neutral
from registry import ConformanceError, Explanation, VariantUnavailable

if TYPE_CHECKING:
    from registry import Variant, Zoo

ShortWay = Callable[[tuple[Any, ...], dict[str, Any]], Any]


class Refusal(NamedTuple):
    """Why a variant is passed over.

    Attributes
    ----------
    reason : str
    error : type or None
        What a caller who insists on it gets; None if it could serve, but says that another would be faster.
    by_values : bool
        Whether it hangs on more than the arrays' type, dtype and device.
    """

    reason: str
    error: type[Exception] | None
    by_values: bool = False


class Call(NamedTuple):
    """One call as its contract normalised it, and what it asks of a variant."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    options: dict[str, Any]
    arrays: tuple[Any, ...]
    caller: _arrays.Caller
    dtype: Any


class Operation:
    """An operation's contract, with what dispatch needs to know of its signature."""

    def __init__(self, zoo: Zoo, name: str) -> None:
        self.zoo = zoo
        self.name = name
        self.contract = zoo.contract(name)
        self.function: Callable[..., Any] = self.contract.validate
        self.signature = inspect.signature(self.function)
        self.core = gufunc.parse(self.contract.CORE)
        kinds = {key: parameter.kind for key, parameter in self.signature.parameters.items()}
        self.by_position = [key for key, kind in kinds.items() if kind is not inspect.Parameter.KEYWORD_ONLY]
        self.keyed = [key for key in self.contract.ARRAYS if key not in self.by_position]
        self.leading = len(self.contract.ARRAYS) - len(self.keyed)  # arrays come first by position, then by keyword

    def arrays(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
        """Pick the arrays out of a normalised call."""
        return (*args[: self.leading], *[kwargs[key] for key in self.keyed])

    def request(self, args: tuple[Any, ...], kwargs: dict[str, Any], candidates: Sequence[Variant]) -> Call:
        """Validate a call; what the operation has no name for is an option of some candidate.

        What no candidate takes is refused here, before the contract looks at the values, in one line.
        """
        own = {key: value for key, value in kwargs.items() if key in self.signature.parameters}
        options = {key: _integer(value) for key, value in kwargs.items() if key not in own}
        try:
            given = self.signature.bind(*args, **own).arguments
        except TypeError as error:
            raise TypeError(f"{self.name}: {error}{self.misspelt(options, candidates)}") from None
        defaults = {key: self.signature.parameters[key].default for key in self.contract.ARRAYS}
        brought = {key: given[key] for key in defaults if key in given and given[key] is not defaults[key]}
        _arrays.require_arrays(self.name, brought)
        caller = _arrays.caller_of(next(iter(brought.values())))
        together = {key: brought[key] for key in self.contract.signature.group if key in brought}  # an index keeps its dtype
        try:
            dtype = _arrays.promoted(caller, tuple(together.values()))
        except TypeError as error:
            raise TypeError(f"{self.name}: arguments {', '.join(together)}: {error}") from None
        if candidates:
            self.require_taker(together, dtype, options, candidates)
        args, kwargs = self.function(*args, **own)
        return Call(args, kwargs, options, self.arrays(args, kwargs), caller, dtype)

    def misspelt(self, options: Mapping[str, Any], candidates: Sequence[Variant]) -> str:
        """Name the keywords that nobody knows, each with the nearest that the operation or a variant has."""
        names = dict.fromkeys((*self.signature.parameters, *(option for v in candidates for option in v.options)))
        near = {key: difflib.get_close_matches(key, names, n=1) for key in options if key not in names}
        return "".join(
            f"; there is no argument {key!r}{f', did you mean {own[0]!r}?' if own else ''}" for key, own in near.items()
        )

    def require_taker(
        self, arrays: Mapping[str, Any], dtype: Any, options: Mapping[str, Any], candidates: Sequence[Variant]
    ) -> None:
        """Refuse a dtype, or of several candidates an option, that none knows."""
        name = _arrays.dtype_name(dtype)
        if not any(name in v.dtypes for v in candidates):
            if len(candidates) == 1:
                raise TypeError(f"{self.name}: variant {candidates[0].name!r} {_wrong_dtype(candidates[0], name)}")
            taken = list(dict.fromkeys(dtype for v in candidates for dtype in v.dtypes))
            own = {key: _arrays.dtype_name(array.dtype) for key, array in arrays.items()}
            wrong = next((key for key in own if own[key] not in taken), None)
            where = f"argument {wrong}: " if wrong else ""
            got = own[wrong] if wrong else name
            raise TypeError(f"{self.name}: {where}expected dtype {' or '.join(taken)}, got {got}; cast it")
        for key in options if len(candidates) > 1 else ():
            if not any(key in v.options for v in candidates):
                known = dict.fromkeys(own for v in candidates for own in v.options)
                raise TypeError(
                    f"{self.name}: no variant has an argument {key!r}; their options are: {', '.join(known) or 'none'}"
                )

    def refusal(self, variant: Variant, call: Call, selector: str) -> Refusal | None:
        """Say why a variant cannot serve a call, or None if it can. Asks the registration, the system and the call alone."""
        if variant.reason:
            return Refusal(variant.reason, VariantUnavailable)
        if selector == "auto" and variant.device != call.caller.device:
            return Refusal(f"runs on {variant.device}, and the arrays are on {call.caller.device}", ValueError)
        name = _arrays.dtype_name(call.dtype)
        if name not in variant.dtypes:
            return Refusal(_wrong_dtype(variant, name), TypeError)
        for key, value in call.options.items():
            if key not in variant.options:
                return Refusal(f"has no argument {key!r}; its options are: {', '.join(variant.options) or 'none'}", TypeError)
            if type(value) is not type(variant.options[key]):
                return Refusal(f"takes {key} as {type(variant.options[key]).__name__}; got {value!r}", TypeError)
            if type(value) in (int, float) and not value > 0:
                return Refusal(f"takes {key} above 0; got {value!r}", ValueError)
        return self.beyond_limits(variant, call.args, call.kwargs) if variant.limits else None

    def beyond_limits(self, variant: Variant, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Refusal | None:
        """Say which limit of a variant a normalised call goes beyond, or None."""
        facts = {**dict(zip(self.by_position, args, strict=False)), **kwargs}
        for more in (self.contract.quantities, self.contract.work):  # counting the work takes longer
            if not variant.limits.keys() <= facts.keys():
                facts = {**more(*args, **kwargs), **facts}
        for key, limit in variant.limits.items():
            if key not in facts:
                reason = f"limits {key!r} ({variant.source}), which is neither an argument nor a quantity of work(...)"
                return Refusal(reason, VariantUnavailable)
            fact = facts[key]
            if key in self.keyed:  # data that is left out is x itself once a call is normalised
                fact = None if fact is args[0] else "an array"
            if isinstance(limit, tuple) and fact not in limit:
                return Refusal(f"takes {key} {', '.join(map(repr, limit))}; got {fact!r}", ValueError, by_values=True)
            if not isinstance(limit, tuple) and not fact <= limit:
                return Refusal(f"takes at most {limit:g} {key}; this call has {fact:g}", ValueError, by_values=True)
        return None

    def doubt(self, variant: Variant, call: Call) -> Refusal | None:
        """Say why a variant that can serve a call should not: its file is broken, or `unsuited` there says it would lose."""
        try:
            unsuited = _unsuited(self.zoo.function(variant))
        except VariantUnavailable:
            return Refusal(str(variant.reason), VariantUnavailable)
        if unsuited is None:
            return None
        args, kwargs = self._adapted(variant, call)
        try:
            reason = unsuited(*args, **kwargs)
        except Exception as error:
            reason = f"unsuited(...) in {variant.file} failed: {type(error).__name__}: {error}"
            return Refusal(reason, VariantUnavailable, by_values=True)
        return Refusal(reason, None, by_values=True) if reason else None

    def run(self, variant: Variant, kernel: Callable[..., Any], call: Call) -> Any:
        """Adapt the arrays to the kernel's kind, run it, and hand the result back as the caller's kind."""
        args, kwargs = self._adapted(variant, call)
        kwargs |= {**variant.options, **call.options}
        arrays = self.arrays(args, kwargs)
        signature = self.contract.signature
        if not signature.uniform:
            result = self._typed(variant, kernel, args, kwargs)
            return results.map_parts(lambda part: _arrays.hand_back(part, call.caller, call.arrays[0]), result)

        def checked(*args: Any, **kwargs: Any) -> Any:
            result, own = kernel(*args, **kwargs), self.arrays(args, kwargs)
            first = own[0]
            if isinstance(first, np.ndarray) and not gufunc.result_shape(self.core, own):
                # NumPy gives a scalar for a result without dimensions, and the object itself for one of objects.
                result = np.asarray(result, dtype=object if first.dtype == object else None)
            self.require_result(variant, result, own)
            return result

        if variant.batches or gufunc.is_core(self.core, arrays):
            result = checked(*args, **kwargs)
        else:
            result = gufunc.apply(self.core, functools.partial(checked, **kwargs), arrays)
        return _arrays.hand_back(result, call.caller, call.arrays[0])

    def _typed(self, variant: Variant, kernel: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a kernel whose result is several arrays, or has a dtype of its own, and refuse what is not such a result."""
        signature, given = self.contract.signature, dict(zip(self.by_position, args, strict=False)) | kwargs

        def checked(*own: Any) -> Any:
            named = dict(zip(signature.arrays, own, strict=True))
            keyed = {**kwargs, **{key: named[key] for key in self.keyed}}
            result = kernel(*(named.get(key, given[key]) for key in self.by_position), **keyed)
            try:
                return results.require(signature, result, named, given)
            except TypeError as error:
                where = f" ({variant.source})" if variant.file else ""
                raise ConformanceError(f"{self.name}: variant {variant.name!r} {error}{where}") from None

        arrays = [given[key] for key in signature.arrays]
        if variant.batches or gufunc.is_core(self.core, arrays):
            return checked(*arrays)
        return results.over_batches(signature, checked, arrays, given)

    def require_result(self, variant: Variant, result: Any, arrays: Sequence[Any]) -> None:
        """Refuse what a kernel made of arrays of its own kind, unless it is such an array, with their dtype and the core's shape.

        Raises
        ------
        ConformanceError
            With what was expected and what came.
        """
        first = arrays[0]
        shape = gufunc.result_shape(self.core, arrays)
        own = type(result) is type(first) or (isinstance(first, np.ndarray) and isinstance(result, np.generic))
        place = _arrays.place(first)
        if own and result.dtype == first.dtype and shape == tuple(result.shape) and _arrays.place(result) == place:
            return
        expected = _arrays.described(first, shape)
        got = _arrays.described(result, tuple(result.shape)) if own else f"a {type(result).__name__}"
        where = f" ({variant.source})" if variant.file else ""
        raise ConformanceError(f"{self.name}: variant {variant.name!r} returned {got}, expected {expected}{where}")

    def _adapted(self, variant: Variant, call: Call) -> tuple[tuple[Any, ...], dict[str, Any]]:
        together = self.contract.signature.group
        adapted = {  # x as data too stays one
            id(array): self._adapt(variant, array, call.dtype if key in together else array.dtype)
            for key, array in zip(self.contract.ARRAYS, call.arrays, strict=True)
        }
        args: Any = list(call.args)
        kwargs: Any = dict(call.kwargs)
        for slot, array in zip((*range(self.leading), *self.keyed), call.arrays, strict=True):
            (args if type(slot) is int else kwargs)[slot] = adapted[id(array)]
        return tuple(args), kwargs

    def _adapt(self, variant: Variant, array: Any, dtype: Any) -> Any:
        wanted = None if array.dtype == dtype else dtype
        if variant.arrays == "any" and variant.device == "cpu":
            return _arrays.as_it_comes(array, wanted)
        if variant.arrays != "numpy":
            return _arrays.to_torch(array, variant.device, wanted)
        adapted = _arrays.to_numpy(array, wanted)
        return _arrays.contiguous(adapted) if variant.layout == "C" else adapted


def _wrong_dtype(variant: Variant, name: str) -> str:
    return f"takes dtype {', '.join(variant.dtypes)}; got {name} (cast the arrays)"


def _integer(value: Any) -> Any:
    """Return an integer of any library as Python's own; anything else, and a truth value, as it is."""
    try:
        return value if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return value


def make_callable(zoo: Zoo, operation: str, selector: str) -> Callable[..., Any]:
    """Return the function that `registry.get` hands out."""
    op = Operation(zoo, operation)
    first, *_ = zoo.candidates(operation, selector)
    call = fixed(op, first, zoo.function(first)) if first.name == selector else _choosing(op, selector)
    call.__name__, call.__doc__ = operation, op.contract.definition.__doc__
    call.__module__, call.__qualname__ = "registry", f"{operation}:{selector}"  # where pickle finds it
    call.__signature__ = _public(op.signature, first.options if first.name == selector else {})  # type: ignore[attr-defined]
    return call


def _public(signature: inspect.Signature, options: Mapping[str, Any]) -> inspect.Signature:
    """Return what a caller sees of a contract's signature: it gives an array, and takes a named variant's options."""
    own = [inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=value) for key, value in options.items()]
    gives = signature.empty if signature.return_annotation is signature.empty else "Array"
    return signature.replace(parameters=[*signature.parameters.values(), *own], return_annotation=gives)


def fixed(op: Operation, variant: Variant, kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Return one variant's callable: arrays of the kind it was written for pass straight to its kernel."""
    short_way = _short_way(op, variant, kernel)

    @neutral.in_neutral_state
    def long_way(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        request = op.request(args, kwargs, [variant])
        refusal = op.refusal(variant, request, variant.name)
        if refusal and refusal.error:
            raise refusal.error(f"{op.name}: variant {variant.name!r} {refusal.reason}")
        return op.run(variant, kernel, request)

    def call(*args: Any, **kwargs: Any) -> Any:
        result = short_way(args, kwargs)
        return long_way(args, kwargs) if result is NotImplemented else result

    return call


def _choosing(op: Operation, selector: str) -> Callable[..., Any]:
    """Return a callable that takes, for each call, the best variant that can serve it and does not say it would lose.

    A choice is remembered for the arrays' type, dtype and device until a variant is registered; what was passed over for
    more than those is asked again on each call.
    """
    short_ways: dict[Any, ShortWay] = {}

    @neutral.in_neutral_state
    def long_way(args: tuple[Any, ...], kwargs: dict[str, Any], key: Any) -> Any:
        candidates = op.zoo.candidates(op.name, selector)
        request = op.request(args, kwargs, candidates)
        variant, passed_over = _choose(op, request, selector, candidates)
        kernel = op.zoo.function(variant)
        varying = [(better, refusal) for better, refusal in passed_over if refusal.by_values]
        same_arrays = (
            bool(args) and args[0] is request.arrays[0] and all(better.arrays == variant.arrays for better, _ in varying)
        )
        if same_arrays and not (request.options or variant.limits or _unsuited(kernel)):
            objections = [_objection(op, *each) for each in varying]
            short_ways[key] = _short_way(op, variant, kernel, objections)
        return op.run(variant, kernel, request)

    def call(*args: Any, **kwargs: Any) -> Any:
        first = args[0] if args else None
        key = (type(first), getattr(first, "dtype", None), getattr(first, "device", None), op.zoo.generation)
        short_way = short_ways.get(key)
        result = short_way(args, kwargs) if short_way else NotImplemented
        return long_way(args, kwargs, key) if result is NotImplemented else result

    return call


def _unsuited(kernel: Callable[..., Any]) -> Callable[..., str | None] | None:
    """Return the function by which a kernel's file says, of a normalised call, why another variant would be faster, or None."""
    function: Callable[..., str | None] | None = getattr(inspect.unwrap(kernel), "__globals__", {}).get("unsuited")
    return function


def _objection(op: Operation, variant: Variant, refusal: Refusal) -> Callable[..., Any]:
    """Return the test that, while true of a normalised call, keeps a variant from it."""
    unsuited = None if refusal.error else _unsuited(op.zoo.function(variant))

    def objects(*args: Any, **kwargs: Any) -> Any:
        try:
            return unsuited(*args, **kwargs) if unsuited else op.beyond_limits(variant, args, kwargs)
        except Exception:  # the long way says so
            return None

    return objects


def _ranked(candidates: Sequence[Variant], request: Call) -> list[Variant]:
    """The candidates, best first; of two on one rank the one that takes the caller's own arrays."""
    return sorted(candidates, key=lambda v: (-v.rank, v.arrays != request.caller.kind))


def _concerns(variant: Variant, request: Call, selector: str) -> bool:
    """Whether a variant is where the arrays are and knows their dtype and the options, so that its refusal tells most."""
    there = selector != "auto" or variant.device == request.caller.device
    return there and _arrays.dtype_name(request.dtype) in variant.dtypes and request.options.keys() <= variant.options.keys()


def _choose(
    op: Operation, request: Call, selector: str, candidates: Sequence[Variant]
) -> tuple[Variant, list[tuple[Variant, Refusal]]]:
    """Choose the best variant for a call; return what was passed over too."""
    passed_over: list[tuple[Variant, Refusal]] = []
    for variant in _ranked(candidates, request):
        refusal = op.refusal(variant, request, selector) or op.doubt(variant, request)
        if refusal is None:
            return variant, passed_over
        passed_over.append((variant, refusal))
    for variant, refusal in passed_over:
        if refusal.error is None:  # slow is better than not at all
            return variant, passed_over
    # What every working variant refuses is the caller's to mend; else the machine is at fault.
    here = [each for each in passed_over if each[1].error is not VariantUnavailable]
    here = [each for each in here if _concerns(each[0], request, selector)] or here or passed_over
    error = here[0][1].error or VariantUnavailable
    reasons = {refusal.reason for _, refusal in here}
    if len(reasons) == 1:
        raise error(f"{op.name}: no variant for {selector!r} can take this call: each {reasons.pop()}")
    lines = [f"  {variant.name}: {refusal.reason}" for variant, refusal in here]
    raise error("\n".join([f"{op.name}: no variant for {selector!r} can take this call:", *lines]))


def _short_way(
    op: Operation, variant: Variant, kernel: Callable[..., Any], objections: Sequence[Callable[..., Any]] = ()
) -> ShortWay:
    """Return a function that serves an ordinary call at once, and of any other returns NotImplemented.

    It stands in for everything the long way asks, so it takes only the ordinary: plain arrays that the kernel can take as
    they are, in a neutral state. A kernel that fails for the caller's settings, or returns what it must not, has the long way
    to do it again or to say so.
    """
    if variant.arrays == "any" or not op.contract.signature.uniform:
        return lambda args, kwargs: NotImplemented
    validate, options, limited = op.function, dict(variant.options), bool(variant.limits)
    core, leading, keyed, own = op.core, op.leading, op.keyed, op.signature.parameters.keys()
    ranks = [len(dimensions) for dimensions in core.inputs]
    extents = gufunc.result_extents(core)
    tiny, half = neutral.SMALLEST, neutral.HALF
    kind, dtypes, plain, disturbed = _ordinary(variant)

    def serve(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        arrays = args[:leading]
        if kwargs:
            if not kwargs.keys() <= own:
                return NotImplemented
            for key in keyed:
                if kwargs.get(key) is not None:
                    arrays = (*arrays, kwargs[key])
        if len(arrays) < leading or not tiny * half or (disturbed and disturbed()):
            return NotImplemented
        first = arrays[0]
        if type(first) is not kind or (plain and not plain(first)) or (dtype := first.dtype) not in dtypes:
            return NotImplemented
        shapes: list[Any] = []
        for array, rank in zip(arrays, ranks):  # noqa: B905 (costs a tenth of the whole test)
            if array is not first and (type(array) is not kind or array.dtype is not dtype or (plain and not plain(array))):
                return NotImplemented
            shape = array.shape
            if len(shape) != rank:
                return NotImplemented
            shapes.append(shape)
        try:
            args, kwargs = validate(*args, **kwargs)
        except (TypeError, *neutral.COMPLAINTS):  # such as an argument too many: the long way names the operation
            return NotImplemented
        if limited and op.beyond_limits(variant, args, kwargs):
            return NotImplemented
        for objection in objections:
            if not objection(*args, **kwargs):
                return NotImplemented
        try:
            result = kernel(*args, **kwargs, **options)
        except neutral.COMPLAINTS:
            return NotImplemented
        right = type(result) is kind and result.dtype is dtype and result.shape == extents(shapes)
        return result if right else NotImplemented

    return serve


def _ordinary(variant: Variant) -> tuple[Any, set[Any], Callable[[Any], bool] | None, Callable[[], bool] | None]:
    """Return the type and dtypes of arrays that a variant's kernel takes as they are, a test of one, and one of the state."""
    if variant.arrays == "numpy":
        layout = operator.attrgetter("flags.carray") if variant.layout == "C" else None
        return np.ndarray, {np.dtype(name) for name in variant.dtypes if name != "bfloat16"}, layout, None
    import torch

    strided, here = torch.strided, operator.attrgetter(f"is_{variant.device}")

    def plain(array: Any) -> bool:
        return here(array) and array.layout is strided and not (array.requires_grad or array.is_nested)

    dtypes = {getattr(torch, name) for name in variant.dtypes if hasattr(torch, name)}
    return torch.Tensor, dtypes, plain, neutral.torch_disturbance(variant.device)


def explain(zoo: Zoo, operation: str, selector: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Explanation:
    """Say what a call would do, without running a kernel."""
    op = Operation(zoo, operation)
    candidates = zoo.candidates(operation, selector)
    request = op.request(args, kwargs, candidates if len(candidates) > 1 else ())  # why one alone refuses is the answer
    considered: list[tuple[Variant, Refusal | None]] = []
    chosen = None
    for variant in _ranked(candidates, request):
        refusal = op.refusal(variant, request, selector)
        if refusal is None and chosen is None and variant.name != selector:
            refusal = op.doubt(variant, request)
        if refusal is None and chosen is None:
            chosen = variant
        considered.append((variant, refusal))
    slow = (variant for variant, refusal in considered if refusal and refusal.error is None)
    reasons = tuple((variant, refusal.reason if refusal else None) for variant, refusal in considered)
    return Explanation(operation, selector, reasons, chosen or next(slow, None))
