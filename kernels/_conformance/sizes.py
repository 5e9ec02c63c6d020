"""The sizes that users have and small cases never reach: every length up to past two tiles, hundreds of each, many of one.

Lengths come from intervals, so that there is none that is never asked. A large call is judged on some rows of its result: a
definition gives its reference and its bound for any rows, those of its extent `ROWS`, or those of the batch where it states none.
An operation may say two things about its large calls:

of_extents(rng, extents) in `_examples.py`
    The arguments by name of a call of these extents; without it, entries are from the standard normal distribution.
LINEAR beside the definition
    Arrays that the result is linear in, each with an extent that both have: sums of the array along it, whatever the factors,
    give the same sums of the result. They see every entry of a large result (Freivalds 1977, Probabilistic machines can use
    less running time).
"""

from __future__ import annotations

import functools
import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from kernels._conformance.arguments import whole_array
from kernels._conformance.cases import MOST_WORK, Case
from kernels._conformance.draws import all_arrays, rounded
from kernels._conformance.implementation import Implementation
from kernels._definition.numerics import gamma, precision_of, wide

Array = np.ndarray[Any, Any]
Sizes = dict[str, int]

SWEEP = 144  # every length up to this is asked
SHORT, BESIDE_LONG = 5, 5  # the most of an extent while another takes every length, or is long: so many of LONGEST are stored
WORK = 24_000_000  # the product of a call's extents: two past 4,200, or three past 256
STORED = 2**19  # entries of an array that is passed or given back
LONGEST = 100_000  # past 16 bits
FIRST = 3000  # the product of the extents of the first of the calls that show how fast an implementation is
STEP = 20  # by which that product grows from one of them to the next
SECONDS = 1.0  # of a processor that a large call may take, as far as one a step smaller tells
STAND_IN = 4  # of so many large calls, one is asked of a stand-in for a device
JUDGED, SAMPLE = 2**17, 48  # the product of the extents, and the rows, that are judged


def agrees_at_every_length(implementation: Implementation, data: st.DataObject) -> None:
    """Each extent takes every length up to past two tiles of 64, one call each, while the others are small."""
    rng, names = _generator(data), _names(implementation.contract)
    choices = _all_choices(implementation, rng)
    for name in names:
        others = {other: int(rng.integers(2, SHORT + 1)) for other in names}
        call = functools.partial(_claimed, implementation, rng, *next(choices))
        lengths = range(1, SWEEP + 1)
        if implementation.stands_in:
            lengths = range(int(rng.integers(1, 7)), max(2, min(SWEEP, implementation.most // SHORT**2)), 24)
        for length in lengths:
            case = call(others | {name: length})
            if case:
                implementation.judge(case, implementation.call(implementation.note(case)))


def agrees_at_ordinary_sizes(implementation: Implementation, data: st.DataObject) -> None:
    """Sampled rows agree where one extent is long, or some, or all, and the others are small: as long as is bearable."""
    rng, contract = _generator(data), implementation.contract
    choices = _all_choices(implementation, rng)
    plan = list(_plan(contract, rng))
    if implementation.stands_in:  # each seed asks it for others of them
        plan = [plan[i] for i in sorted(rng.permutation(len(plan))[: math.ceil(len(plan) / STAND_IN)])]
    for long, others, share in plan:
        dtype, parameters = next(choices)
        # Each call has a generator of its own, so that kernels that differ in speed are asked the same as far as they go.
        own = functools.partial(np.random.default_rng, int(rng.integers(2**32)))
        calls = functools.partial(_long_call, implementation, own, dtype, parameters, long, others, share)
        first = calls(min(FIRST, implementation.most))
        if first is None:
            continue
        apart = _rows_are_apart(implementation, first)
        case, result = _largest(implementation, first, calls, WORK if apart and precision_of(dtype) else MOST_WORK)
        if apart:
            rows = _sample(contract, case, own())
            chosen = contract.rows_of(result, rows, **case.arrays, **case.parameters)
            implementation.judge(_cut(contract, case, rows), chosen)
            _sums_agree(implementation, case, result, own())
        else:
            implementation.judge(case, result)


def _generator(data: st.DataObject) -> np.random.Generator:
    """Draw a generator of sizes and entries. Sizes are not drawn one by one: a large example takes too long to be made small."""
    return np.random.default_rng(data.draw(st.integers(0, 2**16 - 1), label="seed of sizes and entries"))


# Sizes


def _plan(contract: Any, rng: np.random.Generator) -> Iterator[tuple[tuple[str, ...], Sizes, float]]:
    """Yield every choice of long extents, with the lengths of the others, and how long, as a share of what can be borne.

    Some long extents come twice, with 1 for the others and with a few; one comes with a few, as long as can be and less.
    """
    names = _names(contract)
    for count in range(len(names), 0, -1):
        for long in itertools.combinations(names, count):
            others = [name for name in names if name not in long]
            if count > 1:
                yield long, dict.fromkeys(others, 1), 1.0
            few = {name: int(rng.integers(2, BESIDE_LONG + 1)) for name in others}
            if others or count == 1:
                yield long, few, 1.0
            if count == 1:
                yield long, few, float(2 ** rng.uniform(-4, 0))


def _long_call(
    implementation: Implementation,
    generator: Callable[[], np.random.Generator],
    dtype: str,
    parameters: dict[str, Any],
    long: tuple[str, ...],
    others: Sizes,
    share: float,
    product: int,
) -> Case | None:
    """Return a call that the implementation takes, whose extents' product is at most `product`; None if it takes no such call."""
    rng = generator()
    each = share * min((product / math.prod(others.values())) ** (1 / len(long)), _longest(dtype))
    sizes = others | {name: max(1, int(each * rng.uniform(0.9, 1))) for name in long}
    for dimensions in _all_dimensions(implementation.contract):
        size, shared = math.prod(sizes[name] for name in dimensions), [name for name in dimensions if name in long]
        if size > STORED:
            sizes |= {name: max(1, int(sizes[name] * (STORED / size) ** (1 / len(shared)))) for name in shared}
    return _claimed(implementation, rng, dtype, parameters, sizes)


def _longest(dtype: str) -> int:
    """Return the longest sum in a dtype whose bound says something."""
    working = precision_of(dtype)
    return LONGEST if working is None else int(min(LONGEST, 0.25 / working.unit))


def _largest(implementation: Implementation, case: Case, calls: Callable[[int], Case | None], most: int) -> tuple[Case, Array]:
    """Make larger and larger calls, up to `most` or what it does in `SECONDS`; return the last, and its result."""
    product, seconds = min(FIRST, implementation.most), 0.0
    most = implementation.most if implementation.stands_in else most
    while True:
        foretold = 2 * STEP * seconds
        for _ in range(2):  # a first call that takes longer than the call before foretold may have compiled
            started = time.process_time()
            result = implementation.call(implementation.note(case))
            seconds = time.process_time() - started
            if seconds <= max(foretold, SECONDS / STEP) or product >= most:
                break
        if product >= most or seconds * STEP > SECONDS:
            return case, result
        product = min(product * STEP, most)
        larger = calls(product)
        if larger is None:
            return case, result
        case = larger


# Calls


def _names(contract: Any) -> tuple[str, ...]:
    """Return the extents of an operation; a batch is one where the operation states no rows that are computed apart."""
    return tuple(dict.fromkeys(itertools.chain(*_all_dimensions(contract)[:-1])))


def _dimensions(contract: Any, argument: Any) -> tuple[str, ...]:
    batch = (f"*{argument.batch}",) if argument.batch and getattr(contract, "ROWS", None) is None else ()
    return (*batch, *argument.extents)


def _all_dimensions(contract: Any) -> list[tuple[str, ...]]:
    """Return the extents of each array and of the result."""
    return [_dimensions(contract, each) for each in (*contract.signature.arrays.values(), contract.signature.result)]


def _all_choices(implementation: Implementation, rng: np.random.Generator) -> Iterator[tuple[str, dict[str, Any]]]:
    """Draw a dtype and parameters again and again; for a stand-in, which compiles a kernel for each of them, once."""
    while True:
        drawn = _choices(implementation, rng)
        yield from itertools.repeat(drawn) if implementation.stands_in else (drawn,)


def _choices(implementation: Implementation, rng: np.random.Generator) -> tuple[str, dict[str, Any]]:
    """Draw a dtype, most of the time one in which long sums keep digits, and parameters, which are 1 without choices or default.

    They stay while sizes change: a kernel that is compiled for each is not compiled anew for every call.
    """
    floating = [dtype for dtype in implementation.dtypes if precision_of(dtype) and _longest(dtype) == LONGEST]
    dtype = str(rng.choice(floating if floating and rng.random() < 0.8 else implementation.dtypes))
    parameters = {}
    for key, each in implementation.contract.signature.parameters.items():
        if each.choices or each.type is bool:
            choices = implementation.within(key, each.choices or (False, True))
            parameters[key] = choices[rng.integers(len(choices))]
        else:
            parameters[key] = each.type(1) if each.needed else each.default
    return dtype, parameters


def _claimed(
    implementation: Implementation, rng: np.random.Generator, dtype: str, parameters: dict[str, Any], sizes: Sizes
) -> Case | None:
    """Return a call of these extents that it takes: with an array left out or the small extents 1, if it must be."""
    able, signature = all_arrays(implementation), implementation.contract.signature
    without = {key for key in signature.nullable if key not in able or rng.random() < 0.5}
    least = {name: size if size > BESIDE_LONG else 1 for name, size in sizes.items()}
    for each in (sizes, least):
        short = _left_out(implementation.contract, each)
        calls = [(each, without), (short, without | signature.defaults.keys())]
        if 2 * math.prod(short.values()) > math.prod(each.values()) and rng.random() < 0.5:
            calls.reverse()
        for extents, left_out in calls:
            case = _case(implementation.contract, rng, dtype, parameters, extents, left_out)
            if implementation.claims(case):
                return case
    return None


def _left_out(contract: Any, sizes: Sizes) -> Sizes:
    """Return the extents where arrays are left out for others: the lesser of the two."""
    for a, b in contract.signature.same_extents().items():
        sizes = sizes | dict.fromkeys((a, b), min(sizes[a], sizes[b]))
    return sizes


def _case(contract: Any, rng: np.random.Generator, dtype: str, parameters: dict[str, Any], sizes: Sizes, left_out: Any) -> Case:
    """Make a call of these extents."""
    stated = getattr(contract.examples, "of_extents", None)
    given = stated(rng, sizes) if stated else {}
    arrays = {}
    for key, argument in contract.signature.arrays.items():
        if key not in left_out:
            shape = [sizes[extent] for extent in _dimensions(contract, argument)]
            if argument.keeps_dtype:
                arrays[key] = whole_array(rng, argument, shape, sizes.get(contract.signature.indices.get(key, "")))
            else:
                arrays[key] = _as(given[key] if key in given else rng.standard_normal(shape), dtype)
                arrays[key] = np.abs(arrays[key]) if key in contract.signature.nonnegative else arrays[key]
    return Case(arrays, {key: given.get(key, value) for key, value in parameters.items()}, dtype)


def _as(numbers: Array, dtype: str) -> Array:
    """Return normal numbers in a dtype: whole numbers up to some hundreds, bfloat16 as float32 that it holds."""
    if precision_of(dtype):
        return rounded(numbers, dtype)
    whole = np.rint(50 * numbers).astype(np.int64)
    return np.asarray(whole > 0 if dtype == "bool" else whole.astype(dtype))


# Rows that are computed apart


def _cut(contract: Any, case: Case, rows: Array) -> Case:
    """Return the call whose result is these rows of a call's result."""
    call = contract.signature.normal(*contract.rows(rows, **case.arrays, **case.parameters))
    return replace(case, arrays={key: call[key] for key in contract.ARRAYS if call[key] is not None})


def _sample(contract: Any, case: Case, rng: np.random.Generator) -> Array:
    """Draw rows to judge, the first and the last among them."""
    given = {**case.arrays, **case.parameters}
    count, extents = contract.row_count(**given), contract.signature.extents_of(contract.signature.normal((), given))
    drawn = int(min(SAMPLE, max(2, JUDGED * count // math.prod(extents.values()))))
    return np.unique([0, count - 1, *rng.integers(count, size=drawn)])


def _rows_are_apart(implementation: Implementation, case: Case) -> bool:
    """Whether the bound of a row is the same without the other rows: in a class that goes by the largest entry it is not."""
    contract, given = implementation.contract, {**case.arrays, **case.parameters}
    if not contract.rows_are_apart(**given):
        return False
    if implementation.precision == "working":
        return True
    rows = np.arange(0, contract.row_count(**given), 2)
    whole = contract.rows_of(implementation.bound(case), rows, **given)
    return bool((implementation.bound(_cut(contract, case, rows)) >= whole * (1 - 2.0**-20)).all())


def _sums_agree(implementation: Implementation, case: Case, result: Array, rng: np.random.Generator) -> None:
    """Hold signed sums of the result to the result of signed sums, where an operation is linear.

    Rounding bounds of a linear operation are linear in magnitudes, up to what underflows. So n times the bound for the mean
    magnitude is at least the sum of n bounds. Both sums have roundings of their own, in the wider precision.
    """
    contract, dtype = implementation.contract, case.dtype
    for key, extent in getattr(contract, "LINEAR", {}).items() if precision_of(dtype) else ():
        axis = _dimensions(contract, contract.signature.arrays[key]).index(extent)
        n, kept = case.arrays[key].shape[axis], _dimensions(contract, contract.signature.result).index(extent)
        signs = rng.choice(np.array([-1, 1], wide(dtype)), n)

        def summed(array: Array, axis: int, signs: Array = signs) -> Array:
            return np.expand_dims(np.tensordot(array.astype(signs.dtype), signs, (axis, 0)), axis)

        sizes = {name: np.abs(array).astype(wide(dtype)) for name, array in case.arrays.items()}
        sizes[key] = sizes[key].mean(axis=axis, keepdims=True)
        mean, few = replace(case, arrays=sizes), replace(case, arrays=case.arrays | {key: summed(case.arrays[key], axis)})
        size = n * np.abs(implementation.expected(mean).reference)
        bound = n * implementation.bound(mean) + 2 * gamma(n + 1, float(np.finfo(wide(dtype)).eps) / 2) * size
        claim = f"a sum of the result along {extent} is not the result of that sum of {key}"
        implementation.require_close(summed(result, kept), implementation.reference(few), bound, size, claim)
