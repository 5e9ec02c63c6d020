"""What is asked of every operation in the same words, each once: relations between calls, beside the calls of `calls.py`.

From its signature an operation has `reads_every_layout`, `agrees_where_extents_are_long`, `takes_empty_extents`, and where they
apply `takes_arrays_that_share_memory`, `takes_what_is_left_out_for_its_default`, `keeps_nothing_of_the_call_before` and
`treats_rows_apart`. Its symmetries follow from its meaning: `kernels/<operation>/_properties.py` states them as data, in names of
its arguments and extents, and each statement gives a property:

SCALES, such as ``({"x": 1, "bandwidth": 1, "result": 1},)``
    For each entry: times 2^p to these powers, arguments give the result times 2^p to its power, bit for bit (homogeneity). A
    power of the result that depends on parameters is a function of them: ``lambda metric: 2 if metric == "sqeuclidean" else 1``.
RANGES, such as ``((0.5, 0.5), (1, 0))``
    For each entry: the power p of each of `SCALES`, as a share of the exponent of the smallest normal number, at which results
    keep the digits that they can.
PERMUTES, such as ``"n m d"``
    The extents whose entries may come in any order; those of the result go along.
MIRRORS, such as ``"d"``
    Of those, the extents along which any entries may change their sign, and those of the result with them.
SHIFTS, such as ``({"x": "d", "data": "d", "result": "d"},)``
    For each entry: the arrays that may be moved by one offset, which has these extents, and whether the result is moved by it.
REPEATS, such as ``"m"``
    The extents whose entries may all be repeated; the result's are repeated likewise.
SPLITS, such as ``"k"``
    The extents along which the results of the parts add up to the result of the whole.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import assume, reject
from hypothesis import strategies as st

from kernels._conformance import draws
from kernels._conformance.calls import (
    agrees_where_extents_are_long,
    explicit,
    keeps_nothing_of_the_call_before,
    pairs_of,
    reads_every_layout,
    small_sizes,
    takes_arrays_that_share_memory,
    takes_empty_extents,
    takes_what_is_left_out_for_its_default,
)
from kernels._conformance.cases import Case, extents
from kernels._conformance.draws import properties_of
from kernels._conformance.implementation import Implementation, require
from kernels._definition.numerics import require_precision, wide
from kernels._definition.signature import ArrayArgument, Signature

Array = np.ndarray[Any, Any]
Property = Callable[[Implementation, st.DataObject], None]


def of(contract: Any) -> tuple[Property, ...]:
    """Return the properties that follow from an operation's signature, and from the symmetries that it states."""
    signature: Signature = contract.signature
    follow = {
        reads_every_layout: True,
        agrees_where_extents_are_long: True,
        takes_empty_extents: any(argument.extents for argument in signature.arrays.values()),
        takes_arrays_that_share_memory: bool(pairs_of(signature)),
        takes_what_is_left_out_for_its_default: bool(signature.defaults),
        keeps_nothing_of_the_call_before: len(signature.public.parameters) > 1,
        treats_rows_apart: hasattr(contract.module, "ROWS"),
    }
    stated = {property_: bool(getattr(properties_of(contract), statement, ())) for statement, property_ in STATEMENTS.items()}
    return tuple(property_ for property_, asked in (follow | stated).items() if asked)


# Relations


def _unit(implementation: Implementation, data: st.DataObject, among: Callable[[str], bool] = draws.is_inexact) -> Case:
    """Draw a call whose entries are signed and of unit size, in a dtype that rounds."""
    sizes = small_sizes(implementation, data, extents(implementation.small, round(implementation.small ** (1 / 3))).filter(bool))
    return implementation.note(data.draw(draws.calls(implementation, sizes, among=among), label="case"))


Change = Callable[[Array, int], Any]


def _along(argument: ArrayArgument, array: Array, extent: str, change: Change) -> Array:
    """Return an array with a change made along each axis of an extent; the change is given the axis."""
    for axis, name in enumerate(argument.extents):
        array = np.asarray(change(array, axis)) if name == extent else array
    return array


def _changed(implementation: Implementation, case: Case, extent: str, change: Change) -> Case:
    """Return the call with a change made along an extent of all its arrays."""
    signature: Signature = implementation.contract.signature
    return replace(case, arrays={key: _along(signature.arrays[key], each, extent, change) for key, each in case.arrays.items()})


def _require_same_change(implementation: Implementation, case: Case, changes: Mapping[str, Change], claim: str) -> None:
    """Hold a call with changes along some extents to the result with the same changes, within what both may be off by."""

    def image(entries: Any) -> Array:
        array: Array = np.broadcast_to(entries, once.shape)
        for extent, change in changes.items():
            array = _along(implementation.contract.signature.result, array, extent, change)
        return array

    other = case
    for extent, change in changes.items():
        other = _changed(implementation, other, extent, change)
    once, again = implementation.call(case), implementation.call(implementation.note(other))
    if not implementation.contract.by_entries:  # two right results may differ: each is judged
        implementation.judge(other, again)
        return
    bound = implementation.bound(other) + np.abs(image(implementation.bound(case)))
    implementation.require_close(again, image(once), bound, np.abs(image(implementation.scale(case))), claim)


def _sizes(implementation: Implementation, case: Case) -> dict[str, int]:
    """Return the extents of a call by name."""
    signature: Signature = implementation.contract.signature
    return signature.extents(signature.with_defaults(case.arrays))


def treats_rows_apart(implementation: Implementation, data: st.DataObject) -> None:
    """Some of the rows that the definition computes apart, in any order, some of them twice, give those rows of the result."""
    case = explicit(implementation, _unit(implementation, data)) or reject()
    assume(implementation.contract.rows_are_apart(**case.arrays, **case.parameters))
    rows: str = implementation.contract.module.ROWS
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed of the rows"))
    chosen = rng.integers(_sizes(implementation, case)[rows], size=data.draw(st.sampled_from([1, 2, 16, 17]), label="rows"))
    claim = f"rows {chosen} by themselves are not those of the whole"
    _require_same_change(implementation, case, {rows: _taking(chosen)}, claim)


def commutes_with_permutations(implementation: Implementation, data: st.DataObject) -> None:
    """The order of entries means nothing, nor their sign where that is stated: what the arrays do, the result does."""
    case, stated = _unit(implementation, data), properties_of(implementation.contract)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed of the order"))
    changes = {}
    for extent in stated.PERMUTES.split():
        size = _sizes(implementation, case)[extent]
        signs = rng.choice([-1, 1], size) if extent in getattr(stated, "MIRRORS", "").split() else None
        changes[extent] = _taking(rng.permutation(size), signs)
    same = implementation.contract.signature.same_extents(case.arrays)
    changes |= {extent: changes[its] for extent, its in same.items() if extent in changes and its in changes}
    _require_same_change(implementation, case, changes, "entries in another order, or with other signs, gave another result")


def _taking(chosen: Any, signs: Array | None = None) -> Change:
    """Return the change to some entries along an axis, some with the other sign."""

    def change(array: Array, axis: int) -> Array:
        taken = np.take(array, chosen, axis)
        along = 1 if signs is None else signs.astype(array.dtype).reshape(-1, *(1,) * (array.ndim - 1 - axis))
        return np.asarray(taken * along)

    return change


def ignores_how_often_entries_are_repeated(implementation: Implementation, data: st.DataObject) -> None:
    """All entries along an extent twice or three times give the same result: a mean is no sum."""
    case = explicit(implementation, _unit(implementation, data)) or reject()
    extent = data.draw(st.sampled_from(properties_of(implementation.contract).REPEATS.split()), label="extent")
    times = data.draw(st.sampled_from([2, 3]), label="times")

    def tiled(array: Array, axis: int) -> Array:
        return np.concatenate([array] * times, axis)

    _require_same_change(implementation, case, {extent: tiled}, f"repeating all entries along {extent} changed the result")


def adds_up_over_a_split(implementation: Implementation, data: st.DataObject) -> None:
    """Where all arrays are cut along an extent, the results of the two parts add up to the result."""
    case = _unit(implementation, data)
    extent = data.draw(st.sampled_from(properties_of(implementation.contract).SPLITS.split()), label="extent")
    size = _sizes(implementation, case)[extent]
    cut = data.draw(st.integers(1, max(1, size - 1)), label="cut")
    assume(cut < size)
    parts = [_changed(implementation, case, extent, _taking(range(*part))) for part in ((0, cut), (cut, size))]
    total: Any = sum(implementation.call(part).astype(wide(case.dtype)) for part in parts)
    bound = implementation.bound(case) + sum(implementation.bound(part) for part in parts)
    claim = f"the results of the parts before and after {cut} along {extent} do not add up"
    implementation.require_close(total, implementation.call(case), bound, implementation.scale(case), claim)


def commutes_with_translations(implementation: Implementation, data: st.DataObject) -> None:
    """Moving arrays by the same offset moves the result by it, or leaves it as it is.

    Entries, and the offset, are whole numbers of a power of two, so that the moved ones are as exact.
    """
    case = _unit(implementation, data)
    moves: Mapping[str, str] = data.draw(st.sampled_from(properties_of(implementation.contract).SHIFTS), label="what is moved")
    bits = int(-np.log2(require_precision(case.dtype).unit))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed of the offset"))
    sizes, grid = _sizes(implementation, case), 2.0 ** (bits // 3)
    far = rng.integers(2 ** (bits // 2 + 1), size=[sizes[extent] for extent in next(iter(moves.values())).split()])
    whole = {key: draws.rounded(np.rint(array * grid) / grid, case.dtype) for key, array in case.arrays.items()}
    case = replace(case, arrays=whole)
    signature: Signature = implementation.contract.signature

    def placed(argument: ArrayArgument) -> Any:
        """Return the offset with an axis for each of the array's."""
        return far.reshape([sizes[e] if e in moves[argument.name].split() else 1 for e in argument.extents])

    arrays = {
        key: draws.rounded(array + placed(signature.arrays[key]), case.dtype) if key in moves else array
        for key, array in case.arrays.items()
    }
    moved = implementation.note(replace(case, arrays=arrays))
    expected = implementation.call(case).astype(wide(case.dtype))
    expected = expected + placed(signature.result._replace(name="result")) if "result" in moves else expected
    bound = implementation.bound(case) + implementation.bound(moved)
    implementation.require_close(
        implementation.call(moved), expected, bound, implementation.scale(case), "moving everything changed more than the place"
    )


def scales_exactly_by_powers_of_two(implementation: Implementation, data: st.DataObject) -> None:
    """Arguments times powers of two give the result times a power of two, bit for bit: no hidden epsilon, no constant."""
    case = _unit(implementation, data, lambda dtype: draws.is_inexact(dtype) and dtype != "float16")
    exponents = [data.draw(st.integers(-20, 20), label="p") for _ in properties_of(implementation.contract).SCALES]
    other, factor = _times_powers_of_two(implementation, case, exponents)
    expected, other = implementation.call(case), implementation.note(other)
    implementation.same(implementation.call(other), expected, other, factor, "scaling by powers of two changed the digits")


def keeps_its_digits_across_the_range(implementation: Implementation, data: st.DataObject) -> None:
    """Where results, arguments or their squares are near the ends of the dtype's range, results have the digits that they can."""
    case = _unit(implementation, data)
    powers = data.draw(st.sampled_from(properties_of(implementation.contract).RANGES), label="shares of the smallest exponent")
    working = require_precision(case.dtype)
    digits, least = round(float(-np.log2(working.unit))), float(np.log2(working.tiny))
    inside = data.draw(st.integers(-min(12, digits // 2), 4), label="further")
    exponents = [round(power * least) + (inside if power else 0) for power in powers]
    other, _ = _times_powers_of_two(implementation, case, exponents)
    implementation.judge(other, implementation.call(implementation.note(other)))


def _times_powers_of_two(implementation: Implementation, case: Case, exponents: Sequence[int]) -> tuple[Case, float]:
    """Return the call with each of the operation's `SCALES` times a power of two, and what the result is multiplied by."""
    total: dict[str, int] = dict.fromkeys(("result", *case.arrays, *case.parameters), 0)
    for powers, exponent in zip(properties_of(implementation.contract).SCALES, exponents, strict=True):
        known = {key: power(**case.parameters) if callable(power) else power for key, power in powers.items()}
        total |= {key: total[key] + power * exponent for key, power in known.items() if key in total}
    return draws.scaled(case, total), 2.0 ** total["result"]


# Where entries are not finite


def propagates_special_values_as_ieee(
    implementation: Implementation, data: st.DataObject, choices: Sequence[Mapping[str, Any]] = ({},)
) -> None:
    """Zeros, NaN and infinities among the entries give what IEEE arithmetic gives, in any order: 0 inf is NaN, 2 inf is inf.

    Zeros also fill rows, columns and tiles, whose products may not be skipped. An operation that takes such entries, and whose
    definition says what comes of them, names this among its `PROPERTIES`. `choices` are parameters under each of which the same
    entries are asked.
    """
    case = _unit(
        implementation, data, lambda dtype: draws.is_inexact(dtype) and "complex" not in dtype and dtype != "clongdouble"
    )
    # Not drawn one by one: Hypothesis prefers the first of its choices, and few examples would have a NaN.
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed of the special values"))
    share = rng.choice([0.1, 0.02, 0.004, 0.0])
    special = [0.0, *[(np.nan,), (np.inf,), (-np.inf,), (np.nan, np.inf, -np.inf)][rng.integers(4)]]
    for array in case.arrays.values():
        chosen = rng.random(array.shape) < share
        chosen.flat[rng.integers(array.size)] = True
        array[chosen] = rng.choice(special, chosen.sum())
    zeros = case.arrays[data.draw(st.sampled_from(list(case.arrays)), label="where zeros are")]
    for axis in data.draw(st.sampled_from([(), *itertools.combinations(range(zeros.ndim), 1), range(zeros.ndim)]), label="axes"):
        start = 16 * rng.integers(1 + zeros.shape[axis] // 16)
        zeros[(slice(None),) * axis + (slice(start, start + 16),)] = 0
    for choice in choices:
        asked = implementation.note(replace(case, parameters=case.parameters | dict(choice)))
        with np.errstate(invalid="ignore"):
            expected, result = implementation.reference(asked), implementation.call(asked)
        require((np.isnan(result) == np.isnan(expected)).all(), "a NaN was lost or made up")
        infinite = np.isinf(expected)
        require((result[infinite] == expected[infinite]).all(), "an infinity was lost")
        require(not np.isinf(result[~infinite]).any(), "an infinity was made up")


STATEMENTS: dict[str, Property] = {
    "SCALES": scales_exactly_by_powers_of_two,
    "RANGES": keeps_its_digits_across_the_range,
    "PERMUTES": commutes_with_permutations,
    "SHIFTS": commutes_with_translations,
    "REPEATS": ignores_how_often_entries_are_repeated,
    "SPLITS": adds_up_over_a_split,
}

# The share of the asked-for examples that a property gets: calls are large, or what it catches is caught by others too.
SHARES: dict[Property, float] = {
    reads_every_layout: 0.5,
    takes_empty_extents: 0.3,
    takes_arrays_that_share_memory: 0.3,
    takes_what_is_left_out_for_its_default: 0.3,
    keeps_nothing_of_the_call_before: 0.3,
    treats_rows_apart: 0.2,
    commutes_with_permutations: 0.2,
    commutes_with_translations: 0.2,
    ignores_how_often_entries_are_repeated: 0.2,
    adds_up_over_a_split: 0.2,
}
