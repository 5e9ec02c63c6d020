"""Calls of any operation that find bugs: every layout, long and empty extents, shared memory, defaults, the call before."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
from hypothesis import assume, reject
from hypothesis import strategies as st

from kernels._conformance import draws
from kernels._conformance.cases import LAYOUTS, Case, in_layouts, long_tiles, plain
from kernels._conformance.draws import properties_of
from kernels._conformance.implementation import Implementation
from kernels._definition.numerics import precision_of
from kernels._definition.signature import ArrayArgument, Signature

SUMMED = ("of one sign", "equal", "normal")  # how the terms of long sums are filled: errors add up in the first two
BLOCKS = ((256, 256), (512, 256), (512, 16, 16), (256, 16, 64))  # tiles of two or three extents at once


def ordinary(implementation: Implementation, data: st.DataObject) -> Case:
    """Draw a call whose arrays have their core extents, all of them."""
    cases = draws.properties_of(implementation.contract).cases(implementation, implementation.small)
    case: Case = data.draw(cases, label="case")
    signature: Signature = implementation.contract.signature
    assume(all(array.ndim == len(signature.arrays[key].extents) for key, array in case.arrays.items()))
    return implementation.note(case)


def explicit(implementation: Implementation, case: Case) -> Case | None:
    """Return the call with each array that was left out given as a copy of its default; None if that call may not be made."""
    defaults = {key: case.arrays[other].copy() for key, other in implementation.contract.signature.defaults.items()}
    whole = replace(case, arrays={**defaults, **case.arrays})
    return whole if implementation.claims(whole) else None


def small_sizes(implementation: Implementation, data: st.DataObject, sizes: st.SearchStrategy[int]) -> dict[str, int]:
    """Draw sizes for the extents of the arrays that a call gives."""
    given = draws.names(implementation, data.draw(draws.given_arrays(implementation), label="arrays given"))
    return {extent: data.draw(draws.allowed(implementation, extent, sizes), label=extent) for extent in given}


def reads_every_layout(implementation: Implementation, data: st.DataObject) -> None:
    """All arrays in each memory layout, where no two extents are equal, so that a mistaken stride shows; one of them may be 1.

    Half of the time they are in a batch; always so where arrays have one extent at most, whose layout is that of the batch.
    """
    arrays: dict[str, ArrayArgument] = implementation.contract.signature.arrays
    vectors = all(len(each.extents) < 2 for each in arrays.values())
    in_batch = [key for key, each in arrays.items() if each.batch]
    batch = in_batch and (vectors or data.draw(st.booleans(), label="in a batch"))
    leading = data.draw(draws.leading_extents(in_batch), label="batch") if batch else {}
    sizes = small_sizes(implementation, data, st.sampled_from([2, 3, 5, 7, 17, 1]))
    assume(len(set(sizes.values())) == len(sizes))
    drawn = data.draw(draws.calls(implementation, sizes, among=draws.is_inexact, leading=leading), label="case")
    for layout in LAYOUTS:
        case = implementation.note(in_layouts(drawn, dict.fromkeys(drawn.arrays, layout)))
        implementation.judge(plain(case), implementation.call(case))


def agrees_where_extents_are_long(implementation: Implementation, data: st.DataObject) -> None:
    """Each extent in turn goes past every tile, split and counter of fast kernels, then two or three past smaller tiles.

    Entries are of one sign, or all equal: there errors add up that cancel elsewhere. The bound of a long sum in a dtype of few
    digits says nothing, and is not asked.
    """
    signature: Signature = implementation.contract.signature
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16 - 1), label="seed of sizes"))  # asked once, it is not the least
    arrays = draws.all_arrays(implementation)
    twice = not signature.defaults.keys() <= {*arrays}  # an array that is two arguments counts twice
    most = math.isqrt(implementation.most) if twice else implementation.most
    given = draws.names(implementation, arrays)
    blocks = [tiles for tiles in BLOCKS if len(tiles) <= len(given) and 4 * math.prod(tile + 15 for tile in tiles) <= most]
    block = int(rng.integers(1 + len(blocks)))  # past the last: none of them
    asked = [*((tile,) for tile in long_tiles(most)), *blocks[block : block + 1]]
    firsts = [*range(len(given))]  # places among the extents of the one that goes past the first tile
    if implementation.stands_in:  # it is asked one of them
        bearable = [tiles for tiles in asked if 64 * math.prod(tiles) <= most] or asked[:1]
        asked, firsts = [bearable[rng.integers(len(bearable))]], [int(rng.integers(len(given)))]
    for tiles in asked:
        counted = max(tiles) >= 2**15  # a counter of 16 bits wraps around there, which shows where long sums keep their digits
        past = [tile + int(rng.integers(-1 if len(tiles) == 1 and not counted else 1, 16)) for tile in tiles]
        rest = 3 if counted else 5  # the least is 2: a mean of one says nothing
        among = (lambda dtype: dtype == "float64") if counted and "float64" in implementation.dtypes else (lambda dtype: True)
        drawn = past + [int(rng.integers(2, rest)) for _ in given[len(past) :]]
        for first in firsts:
            in_order = zip(given[first:] + given[:first], drawn, strict=True)
            sizes = {key: data.draw(draws.allowed(implementation, key, st.just(size)), label=key) for key, size in in_order}
            summed = max((size for extent, size in sizes.items() if extent not in signature.result.extents), default=0)
            for form in ["normal"] if counted else ["of one sign", "equal"] if summed >= 1024 else [str(rng.choice(SUMMED))]:
                case = data.draw(draws.calls(implementation, sizes, (form,), among), label="case")
                working = precision_of(case.dtype) if draws.is_inexact(case.dtype) else None
                if working is None or summed * working.unit < 0.25:
                    implementation.judge(implementation.note(case), implementation.call(case))


def takes_empty_extents(implementation: Implementation, data: st.DataObject) -> None:
    """Where extents are 0, in a batch too, the result is what the definition gives, if anything: a sum over nothing, for one."""
    sizes = small_sizes(implementation, data, st.sampled_from([1, 2, 3, 5, 17]))
    # Not drawn one by one, since Hypothesis prefers the first of its choices. One alone leaves most that may go wrong.
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed of the empty extents"))
    empty = rng.choice(list(sizes), 1 if rng.random() < 0.5 else rng.integers(1, len(sizes), endpoint=True), replace=False)
    sizes |= dict.fromkeys(map(str, empty), 0)
    batched = [key for key, each in implementation.contract.signature.arrays.items() if each.batch]
    batch = (int(rng.choice([0, 2])),)
    for chosen in itertools.product(((), batch), repeat=len(batched)):
        leading = dict(zip(batched, chosen, strict=True))
        case = data.draw(draws.calls(implementation, sizes, leading=leading), label="case")
        try:
            implementation.contract.validate(**case.arrays, **case.parameters)
            implementation.reference(case)
        except ValueError:  # nothing is defined there
            reject()
        implementation.judge(case, implementation.call(implementation.note(case)))


def pairs_of(signature: Signature) -> list[tuple[ArrayArgument, ArrayArgument, bool]]:
    """Return pairs of arrays that may be one array, and whether the second is the transpose of the first."""
    arrays = [argument for argument in signature.arrays.values() if argument.extents and not argument.keeps_dtype]
    pairs = [pair for pair in itertools.combinations(arrays, 2) if len(pair[0].extents) == len(pair[1].extents)]
    return [(one, other, transposed) for one, other in pairs for transposed in (False, True)[: len(one.extents)]]


def takes_arrays_that_share_memory(implementation: Implementation, data: st.DataObject) -> None:
    """Two arrays that are one, or its transpose, or lie over each other, are arrays like any others."""
    signature: Signature = implementation.contract.signature
    every = dict.fromkeys(extent for argument in signature.arrays.values() for extent in argument.extents)  # in this order
    sizes = {
        extent: data.draw(draws.allowed(implementation, extent, st.sampled_from([1, 2, 3, 17, 33, 65])), label=extent)
        for extent in every
    }
    one, other, transposed = data.draw(st.sampled_from(pairs_of(signature)), label="arrays, and whether one is transposed")
    for _ in every:  # until extents are equal that the sharing, directly or through a third, makes so
        for a, b in zip(one.extents, other.extents[::-1] if transposed else other.extents, strict=True):
            sizes[a] = sizes[b] = min(sizes[a], sizes[b])
    case = data.draw(draws.calls(implementation, sizes), label="case")
    assume(one.name in case.arrays and other.name in case.arrays)
    base = case.arrays[one.name]
    longer = np.concatenate([base, base[::-1][:1]])
    views = {
        "the same": (base, base),
        "the other way round": (base, base[::-1]),
        "a step further": (longer[1:], longer[:-1]),
        "a copy": (base, base.copy()),
        "every other": (longer[:: max(1, len(longer) - len(base))][: len(base)], longer[: len(base)]),
    }
    first, second = views[data.draw(st.sampled_from(list(views)), label="how it lies over the other")]
    arrays = case.arrays | {one.name: first, other.name: second.T if transposed else second}
    case = implementation.note(replace(case, arrays=arrays))
    implementation.judge(plain(case), implementation.call(case))


def takes_what_is_left_out_for_its_default(implementation: Implementation, data: st.DataObject) -> None:
    """An array that is left out, its default given, and a copy of that, all mean the same."""
    case, defaults = ordinary(implementation, data), implementation.contract.signature.defaults
    given = {key: array for key, array in case.arrays.items() if key not in defaults}
    same, copied = ({key: change(given[other]) for key, other in defaults.items()} for change in (lambda a: a, np.copy))
    for defaults_given in ({}, same, copied):
        trial = replace(case, arrays=given | defaults_given)
        if implementation.claims(trial):
            implementation.judge(trial, implementation.call(implementation.note(trial)))


def keeps_nothing_of_the_call_before(implementation: Implementation, data: st.DataObject) -> None:
    """The same again, but for a parameter or an array that was another before: nothing made for that call is taken for this."""
    case = ordinary(implementation, data)
    case = explicit(implementation, case) or case
    changed = data.draw(st.sampled_from([*case.arrays, *case.parameters]), label="what is another before")
    if changed in case.parameters:
        others = data.draw(
            properties_of(implementation.contract).parameters(implementation, case.arrays), label="parameters before"
        )
        before = replace(case, parameters=case.parameters | {changed: others[changed]})
    else:
        before = replace(case, arrays=case.arrays | {changed: np.roll(case.arrays[changed][::-1], 1).copy()})
    implementation.call(implementation.note(before))
    implementation.record.trial.before = before
    implementation.judge(implementation.note(case), implementation.call(case))
