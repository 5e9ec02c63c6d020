"""The fast path: an ordinary call goes to its kernel after some comparisons and a look at what is known of its kind.

Like the validator, it is Python source made for one operation, as `dataclasses` makes an `__init__`. It stands in for everything
that the slow path asks, so it takes only the ordinary: plain arrays that the kernel can take as they are, in a neutral state.
What follows the look at their state and kind is source for their numbers of dimensions, made when such arrays come for the first
time: for the core dimensions alone, without those that an array may lack, or with a batch before them, in which no extent is
repeated. Any other call goes the slow path, and so does one whose kernel returns what it must not: the slow path says so.

What serves a kind of call is known by dictionaries in dictionaries, one for each part of the kind. A look into a dictionary for
a number takes some nanoseconds; one for a tuple of as many numbers takes longer than all these looks. Where a call is all in its
arrays, what serves arrays of exactly such shapes is known by these shapes too: that saves taking them apart. A kernel that does
one of several things may have an attribute `narrowed`, a function of such arrays: it returns what serves all arrays of their
shapes and their dtype. What returns an array of the same dtype and shape at each call, and calls NumPy alone, is not looked after
further: a function of NumPy's, and one that has an attribute `of_numpy`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from types import MethodDescriptorType
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels._costs import calls
from kernels._dispatch import neutral
from kernels._dispatch.choice import beyond_limits
from kernels._dispatch.operation import Operation
from kernels._dispatch.served import adapted, extents_of, lifted, served, with_room

if TYPE_CHECKING:
    from kernels._variant import Variant

Slow = Callable[..., Any]  # of the positional arguments, and the keyword arguments
MOST = 128  # shapes of an array that are known exactly
OF_NUMPY = np.ufunc, MethodDescriptorType  # whose results have the same type, dtype and shape at each call
ABSENT = object()  # an array that a call does not give by position

HEAD = """
def call({parameters}, **kwargs):
    {complete}
    if {strange}:
        return otherwise({given}, kwargs)
    try:
        {look}
        found = known[{first}]
    except KeyError:  # before the validator looks at the entries, somebody must take the dtype
        found = {empty}
    except RuntimeError:  # a nested tensor has no shape
        found = None
    if found is None:
        return slow({args}, kwargs)
    {exact}
    if {elsewhere}:
        return bodies[{dimensions}]({arrays}, {shapes}, args, kwargs, dtype, found)
    {body}
"""
BODY = """
    {extents}
    if {apart}:
        return slow({args}, kwargs)
    {enter}
    try:
        {validate}
        {then}
        if plain and ({scattered}):
            return slow({args}, kwargs)
        result = kernel({arguments})
    {leave}
    if not ({right}):
        return slow({args}, kwargs)
    {keep}
    return result
"""
EXACT = """
    try:
        kernel, plain, right, shape = found["shapes"][{shapes}]
    except KeyError:
        pass
    else:
        if plain and ({scattered}):
            return slow({args}, kwargs)
        if right is None:
            try:
                return ignoring(kernel, {arguments})
            except RuntimeError:  # another thread is in this context
                pass
        {enter}
        try:
            result = kernel({arguments})
        {leave}
        if right and (type(result) is not right or shape is not None and (result.dtype is not dtype or result.shape != shape)):
            return slow({args}, kwargs)
        return result
"""
VALIDATE = """
        try:
            positional, named = validate(*args, **kwargs)
        except TypeError:  # such as an argument too many: the slow path names the operation
            positional = None
        if positional is None:
            return slow({args}, kwargs)
"""
LOOK = """
        try:
            kernel, plain, dtypes = found[{then}]
        except KeyError:
            kernel = None
        if kernel is None:
            return slow({args}, kwargs, ({key}))
"""


def of_variant(op: Operation, variant: Variant, kernel: Callable[..., Any], slow: Slow) -> Callable[..., Any]:
    """Return a function that serves the ordinary calls of a variant, and leaves any other to `slow`."""
    if variant.arrays in ("any", "dask"):
        return lambda *args, **kwargs: slow(args, kwargs)

    def path(kind: str, otherwise: Slow) -> Callable[..., Any]:
        whole = adapted(variant, kernel, kind)

        def within_limits(*args: Any, **kwargs: Any) -> Any:
            return None if beyond_limits(op, variant, args, kwargs) else whole(*args, **kwargs)

        serves = served(op, variant, within_limits if variant.limits else whole, variant.options, kind)
        # Python takes a plain tuple apart faster than a named one.
        known = {dtype: {None: tuple(each)} for dtype, each in serves.items()}
        names = {"known": known, "slow": slow, "otherwise": otherwise}
        return fast_path(op, kind, variant.device, names, batches=variant.batches)

    def not_own(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Serve a call whose arrays are no ordinary ones of the variant's own kind: those of the other kind are as common."""
        converting = paths.get(type(args[0])) if args else None
        return converting(*args, **kwargs) if converting else first(args, kwargs)

    @neutral.in_neutral_state
    def first(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        kind = getattr(sys.modules.get("torch"), "Tensor", None) if other == "torch" else np.ndarray
        if args and type(args[0]) is kind:
            paths[kind] = path(other, slow)
        return slow(args, kwargs)

    paths: dict[type, Callable[..., Any]] = {}
    other = "torch" if variant.arrays == "numpy" else "numpy"
    return path(variant.arrays, not_own if variant.device == "cpu" else slow)


def fast_path(
    op: Operation, arrays: str, device: str, names: Mapping[str, Any], state: Sequence[str] = (), *, batches: bool = True
) -> Callable[..., Any]:
    """Return a function that serves ordinary calls by what is known of them.

    Parameters
    ----------
    op : Operation
    arrays, device : str
        Which arrays are ordinary, as variants state it.
    names : mapping
        `known`; and two functions of the positional arguments and the keyword arguments: `slow`, and `otherwise`, which takes
        other arrays. With a state, `slow` takes a third argument too: where a call that is not known was looked for; and
        `takes` says whether any variant takes a dtype.
    state : sequence of str
        Expressions for what is looked for in `known` before the dtype. With a state, what serves hangs on all that a choice does.
    batches : bool
        Whether arrays may have a batch before their core dimensions, or lack some of these.
    """
    signature, slow = op.contract.signature, names["slow"]
    has_none = signature.result_type is not None or not (signature.uniform or signature.result.extents)
    # The result's shape may hang on an array that may be left out.
    if has_none or not {*signature.result.extents} <= {extent for core in op.core.inputs[: op.leading] for extent in core}:
        return lambda *args, **kwargs: slow(args, kwargs)
    return _Source(op, arrays, device, names, state, batches).compiled()


class Bodies(dict[Any, Callable[..., Any]]):
    """What follows the look at the arrays' kind, by their numbers of dimensions; made when it is asked for."""

    def __init__(self, make: Callable[..., Callable[..., Any]]) -> None:
        self.make = make

    def __missing__(self, dimensions: Any) -> Callable[..., Any]:
        made = self[dimensions] = self.make(dimensions)
        return made


def _completing(op: Operation) -> str:
    """Write the statement that puts the first array in the place of those by position that a call leaves out for it."""
    left_out = [key for key in op.by_position[: op.leading] if key in op.contract.signature.defaults]
    if not left_out:
        return "pass"
    given = " and ".join([f"len(args) == {op.leading - len(left_out)}", *(f"{key!r} not in kwargs" for key in left_out)])
    return f"if {given}: args = (*args, {'args[0], ' * len(left_out)})"


def _given(*args: Any) -> tuple[Any, ...]:
    """Return the positional arguments that a call gives."""
    return args if args[-1] is not ABSENT else tuple(each for each in args if each is not ABSENT)


def _keep(
    found: dict[Any, Any], shapes: Sequence[Any], kernel: Callable[..., Any], plain: bool, result: Any, arrays: Sequence[Any]
) -> None:
    """Keep what serves arrays of these shapes."""
    known = found.setdefault("shapes", {})  # beside what is known of buckets of extents
    *first, last = shapes
    for shape in first:
        known = with_room(known, MOST).setdefault(shape, {})
    serves = kernel.narrowed(*arrays) if hasattr(kernel, "narrowed") else kernel
    of_numpy = isinstance(serves, OF_NUMPY) or getattr(serves, "of_numpy", False)
    right = None if of_numpy and not arrays[0].dtype.hasobject else type(result)
    with_room(known, MOST)[last] = serves, plain, right, None if isinstance(result, np.generic) else result.shape


def _in_batch(extent: str) -> bool:
    """Whether a name is one that `extents_of` gave to an extent of a batch."""
    return " " in extent


class _Source:
    """The source for an operation; its parameters are those of `fast_path`."""

    def __init__(
        self, op: Operation, kind: str, device: str, names: Mapping[str, Any], state: Sequence[str], batches: bool
    ) -> None:
        self.op, self.kind, self.state, self.slow = op, kind, state, names["slow"]
        self.batches = batches and all(argument.batch for argument in op.contract.signature.arrays.values())
        self.core = tuple(map(len, op.core.inputs[: op.leading]))  # how many dimensions arrays have without a batch
        self.of_state, self.of_array, self.of_memory, own = _strange(kind, device)
        self.lifted: dict[Any, Any] = {}  # what is known of one variant, by the numbers of dimensions where arrays lack some
        self.names = {
            **names,
            **own,
            "validate": op.function,
            "absent": ABSENT,
            "given": _given,
            "keep": _keep,
            "lifted": self.lifted,
        }
        self.names["bodies"] = Bodies(self.body)
        self.arrays = [f"array_{i}" for i in range(op.leading)]
        self.shapes = [f"shape_{i}" for i in range(op.leading)]
        self.args = f"({', '.join(self.arrays)},)" if op.shapes_alone else "args"
        self.first = [*state, "dtype"]  # where what serves a call is looked for, whatever its shape
        self.exact = op.shapes_alone and op.contract.signature.uniform  # whether exact shapes are known too
        self.guard = (
            ("before = set_errors(ignored)", "finally: reset_errors(before)")
            if kind == "numpy"
            else ("pass", f"except complaints: return slow({self.args}, kwargs)")
        )

    def compiled(self) -> Callable[..., Any]:
        """Return the function that is called."""
        first, *others = self.arrays
        lengths, alone = [f"len({shape})" for shape in self.shapes], self.op.shapes_alone
        given = self.arrays if alone else [f"({array} := args[{i}])" for i, array in enumerate(self.arrays)]
        strange = [
            "args" if alone else f"len(args) < {self.op.leading}",
            *self.of_state,
            *(f"type({array}) is not kind" for array in given),
            f"(dtype := {first}.dtype) is None",
            *(f"{array}.dtype is not dtype" for array in others),
            *(test.format(array) for test in self.of_array for array in self.arrays),
            *self._of_keywords(),
        ]
        return self._function(
            HEAD.format(
                complete=_completing(self.op),
                strange=" or ".join(strange),
                look="; ".join(f"{shape} = {array}.shape" for shape, array in zip(self.shapes, self.arrays, strict=True)),
                first="][".join(self.first),
                empty="{} if takes(dtype) else None" if self.state else "None",
                exact=self._exact() if self.exact else "pass",
                elsewhere=" or ".join(f"{length} != {ndim}" for length, ndim in zip(lengths, self.core, strict=True)),
                dimensions="".join(f"{length}, " for length in lengths),
                parameters=", ".join([*(f"{array}=absent" for array in self.arrays), "/", "*args"]) if alone else "*args",
                given=f"given({', '.join(self.arrays)}, *args)" if alone else "args",
                arrays=", ".join(self.arrays),
                shapes=", ".join(self.shapes),
                args=self.args,
                body=self._body(self.core),
            ),
            "call",
        )

    def _exact(self) -> str:
        """Write what serves arrays of shapes that came before."""
        enter, leave = self.guard
        arrays, scattered = ", ".join(self.arrays), " or ".join(map(self.of_memory.format, self.arrays))
        shapes = "][".join(self.shapes)
        return EXACT.format(
            shapes=shapes, arguments=arrays, scattered=scattered, args=self.args, enter=enter, leave=leave
        ).strip()

    def body(self, dimensions: tuple[int, ...]) -> Callable[..., Any]:
        """Return the function for arrays of so many dimensions."""
        written = self._body(dimensions) or f"return slow({self.args}, kwargs)"
        return self._function(
            f"def body({', '.join([*self.arrays, *self.shapes])}, args, kwargs, dtype, found):\n    {written}", "body"
        )

    def _function(self, source: str, name: str) -> Callable[..., Any]:
        made: dict[str, Callable[..., Any]] = {}
        exec(compile(source, f"<fast path of {self.op.name}>", "exec"), self.names, made)
        return made[name]

    def _of_keywords(self) -> list[str]:
        """Write tests of the keyword arguments, each true of what is not ordinary."""
        op, wrong = self.op, []
        if op.shapes_alone:
            return ["kwargs"]
        for name, operand in zip(op.keyed, op.core.inputs[op.leading :], strict=True):
            tests = ["type(other) is not kind", "other.dtype is not dtype", f"other.ndim != {len(operand)}"]
            strange = " or ".join([*tests, *(test.format("other") for test in self.of_array)])
            wrong += [f"(other := kwargs.get({name!r})) is not None and other is not array_0 and ({strange})"]
        return [f"kwargs and ({' or '.join(wrong)})"] if wrong else []

    def _body(self, dimensions: tuple[int, ...]) -> str | None:
        """Write what follows for arrays of so many dimensions; None where such calls are not ordinary."""
        op, alone, numpy = self.op, self.op.shapes_alone, self.kind == "numpy"
        operands = extents_of(op, dimensions)
        lifts = not self.batches and dimensions != self.core
        if operands is None or (lifts and self.state):
            return None
        if lifts:
            serves = {dtype: found[None] for dtype, found in self.names["known"].items()}
            known = {dtype: (lifted(op, kernel, dimensions), *more) for dtype, (kernel, *more) in serves.items()}
            if not all(kernel for kernel, *_ in known.values()):
                return None
            self.lifted[dimensions] = known
        extents = [(extent, f"extent_{i}_{axis}") for i, operand in enumerate(operands) for axis, extent in enumerate(operand)]
        named = dict(reversed(extents))  # each extent by where it comes first
        unpacked = ["".join(f"extent_{i}_{axis}, " for axis, _ in enumerate(operand)) for i, operand in enumerate(operands)]
        apart = [
            f"{local} != {named[extent]}" for extent, local in extents if local != named[extent] and (alone or _in_batch(extent))
        ]
        then = self._kind_of_call(dimensions, dict(reversed(named.items())))
        scattered = [self.of_memory.format(array) for array in self.arrays]
        scattered += [f"(other := named[{name!r}]) is not None and ({self.of_memory.format('other')})" for name in op.keyed]
        result, batch = op.contract.signature.result, max(operands, key=lambda operand: sum(map(_in_batch, operand)))
        given = [*(extent for extent in batch if _in_batch(extent)), *(extent for extent in result.extents if extent in named)]
        shape = "".join(f"{named[extent]}, " for extent in given)
        right_dtype = "result.dtype is dtype" if op.contract.signature.uniform else "result.dtype in dtypes"
        served = "kernel, plain, dtypes = found[None]"
        if self.state:
            served = LOOK.format(then="][".join(then), key=", ".join(self.first + then), args=self.args).strip()
        elif lifts:
            served = f"kernel, plain, dtypes = lifted[{dimensions}][dtype]"
        return BODY.format(
            extents="; ".join(f"{own}= {shape}" for own, shape in zip(unpacked, self.shapes, strict=True) if own) or "pass",
            apart=" or ".join(apart) or "False",
            enter=self.guard[0],
            validate="pass" if alone else VALIDATE.format(args=self.args).strip(),
            args=self.args,
            then=served,
            scattered=" or ".join(scattered),
            arguments=", ".join(self.arrays if alone else ["*positional", "**named"]),
            leave=self.guard[1],
            # NumPy gives a scalar for a result without dimensions.
            right=f"type(result) is kind and {right_dtype} and result.shape == ({shape})"
            if shape or not numpy
            else "type(result) is dtype.type",
            keep=f"keep(found, ({', '.join(self.shapes)},), kernel, plain, result, {self.args})" if self.exact else "pass",
        )

    def _kind_of_call(self, dimensions: tuple[int, ...], named: Mapping[str, str]) -> list[str]:
        """Write what a choice hangs on beside the dtype: expressions in a call's own names, of few values each."""
        op = self.op

        def bucket(extent: str, local: str) -> str:  # below 0 for each bucket of large extents: a call takes twice as long
            large = f"-({calls.STEPS} * (shift := {local}.bit_length() - {calls.STEPS.bit_length()}) + ({local} >> shift))"
            return f"{local} if {extent} < {calls.EXACT} else {large}"

        kind = [] if dimensions == self.core else [repr(str(dimensions))]
        places = {name: f"positional[{place}]" for place, name in enumerate(op.by_position)}
        value = {name: places.get(name, f"named[{name!r}]") for name in op.contract.signature.parameters}
        kind += [value[name] for name in op.contract.DISCRETE]
        kind += [f"{value[name]} == {default!r}" for name, default in op.contract.LEFT_OUT.items()]
        kind += [bucket(local, local) for local in named.values()]
        given = ""
        for name, operand in zip(op.keyed, op.core.inputs[op.leading :], strict=True):
            own = [bucket(f"(extent := other.shape[{axis}])", "extent") for axis, each in enumerate(operand) if each not in named]
            given += f"None if (other := named[{name!r}]) is None or other is array_0 else ({', '.join(own)}, ), "
        kind += [f"({given}) if kwargs else None"] if given else []
        return kind or ["None"]


def _strange(kind: str, device: str) -> tuple[list[str], list[str], str, dict[str, Any]]:
    """Return tests of the state, of an array `{0}`, and of its memory, each true of what is not ordinary; and their names."""
    names: dict[str, Any] = {"smallest": neutral.SMALLEST, "half": neutral.HALF, "complaints": neutral.COMPLAINTS}
    flushing = "not smallest * half"
    if kind == "numpy":
        names |= {"kind": np.ndarray, "set_errors": neutral.set_errors, "reset_errors": neutral.reset_errors}
        names |= {"ignored": neutral.IGNORED, "ignoring": neutral.IGNORING.run}
        return [flushing], [], "not {0}.flags.carray", names
    import torch

    disturbances = neutral.torch_disturbances(device)
    names |= {"kind": torch.Tensor, "strided": torch.strided, **disturbances.names}
    of_array = [f"not {{0}}.is_{device}", "{0}.layout is not strided", "{0}.requires_grad"]
    return [flushing, *disturbances.tests], of_array, "{0}.is_neg() or {0}.is_conj()", names
