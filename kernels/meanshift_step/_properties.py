"""What is asked of a mean-shift step besides what its signature gives: where weights end, and what they count."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import assume, reject
from hypothesis import strategies as st

from kernels._conformance.calls import explicit, ordinary
from kernels._conformance.cases import Case
from kernels._conformance.draws import WRAPS, beside_a_wrap
from kernels._conformance.implementation import Implementation, require
from kernels._definition.numerics import gamma, require_precision
from kernels.meanshift_step import KERNELS
from kernels.meanshift_step._draws import cases, dimensions, directions, kernels, parameters, takes_data, takes_weights

__all__ = ["cases", "parameters"]

SCALES = ({"x": 1, "data": 1, "bandwidth": 1, "result": 1}, {"weights": 1, "result": 0})
RANGES = ((0.5, 0), (-0.5, 0), (0, 0.9), (0, -0.9))  # squared distances leave the range, distances do not; sums of weights do
PERMUTES, MIRRORS = "n m d", "d"
SHIFTS = ({"x": "d", "data": "d", "result": "d"},)
REPEATS = "m"


def stays_where_nothing_is_in_reach(implementation: Implementation, data: st.DataObject) -> None:
    """A row with no data within a compact kernel's support stays bit for bit; a gaussian goes to the nearest, however far.

    Two data equally far off on either side stay so, also where a whole number of 32 bits goes round: it goes between them.
    """
    assume(takes_data(implementation))
    dtype = data.draw(st.sampled_from(implementation.dtypes), label="dtype")
    d = data.draw(dimensions(implementation, range(1, 7)), label="d")
    log2 = data.draw(st.one_of(st.integers(5, 40), st.sampled_from([29, 30, 31])), label="log2 of the distance in bandwidths")
    tie = data.draw(st.booleans(), label="data on either side")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    kernel = data.draw(kernels(implementation), label="kernel")
    site = np.ldexp(rng.choice([-1, 1], d) * rng.integers(4, 8, d) / 4, log2) if tie else np.full(d, 2.0**log2)
    x = (np.zeros((33, d)) if tie else rng.standard_normal((33, d))).astype(dtype)
    sites = np.stack([site, -site] if tie else [site] * 5).astype(dtype)
    middle = sites.astype(np.longdouble).mean(axis=0)
    for beside in [slice(0)] if tie else [slice(0), slice(0, None, 2)]:  # then every other point is where the data are
        x[beside] = site
        case = implementation.note(Case({"x": x, "data": sites}, {"bandwidth": 1.0, "kernel": kernel}, dtype))
        result = implementation.call(case)
        if kernel == "gaussian":
            arms = np.abs(sites[0].astype(np.longdouble) - x) + np.abs(sites[0])
            near = np.abs(result - middle) <= 32 * require_precision(dtype).unit * arms
            require(near.all(), "a gaussian lost data that is as far away as any other")
        else:
            require(result.tobytes() == x.tobytes(), "a point moved with nothing in reach")


def passes_over_data_without_weight(implementation: Implementation, data: st.DataObject) -> None:
    """Data of weight 0 are not the nearest, though they lie where the points do: a gaussian goes to the others, however far."""
    assume(takes_data(implementation) and takes_weights(implementation) and implementation.within("kernel", ["gaussian"]))
    dtype = data.draw(st.sampled_from(implementation.dtypes), label="dtype")
    d = data.draw(dimensions(implementation, range(1, 7)), label="d")
    site = np.full(d, 2.0 ** data.draw(st.integers(5, 40), label="log2 of the distance in bandwidths"), dtype)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    x = rng.standard_normal((33, d)).astype(dtype)
    order = rng.permutation(len(x) + 5)
    sites, weights = np.concatenate([x, [site] * 5])[order], np.where(order < len(x), 0, 1).astype(dtype)
    case = Case({"x": x, "data": sites, "weights": weights}, {"bandwidth": 1.0, "kernel": "gaussian"}, dtype)
    result = implementation.call(implementation.note(case))
    arms = np.abs(site.astype(np.longdouble) - x) + np.abs(site)
    near = np.abs(result - site.astype(np.longdouble)) <= 32 * require_precision(dtype).unit * arms
    require(near.all(), "a gaussian did not go to the data that have any weight")


def meets_neighbours_wherever_they_are(implementation: Implementation, data: st.DataObject) -> None:
    """Points beside each other where the number of a cell, counted in bandwidths in 8, 16 or 32 bits, goes round.

    The first is at zero, since cells may be numbered from there; after a centring step such points would bound nothing.
    """
    dtype = data.draw(st.sampled_from(implementation.dtypes), label="dtype")
    d, side = data.draw(dimensions(implementation, range(1, 4)), label="d"), data.draw(st.sampled_from([-1, 1]), label="side")
    h = 2.0 ** data.draw(st.integers(-8, 8), label="log2 h")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    for bits in (bits for bits in WRAPS if 2.0 ** (bits + 4) * require_precision(dtype).unit < 1):
        x = side * h * beside_a_wrap(rng, (33, d), bits)
        x[: implementation.precision != "expansion"] = 0
        parameters = {"bandwidth": h, "kernel": data.draw(kernels(implementation), label="kernel")}
        case = implementation.note(Case({"x": x.astype(dtype)}, parameters, dtype))
        implementation.judge(case, implementation.call(case))


def is_exact_on_a_lattice(implementation: Implementation, data: st.DataObject) -> None:
    """On a 1-D integer lattice with a bandwidth that is a power of two, triangular weights and their sums are exact.

    What is left is the rounding of sums, products and quotients; a centring step would add its own, so the class
    "expansion" is not asked.
    """
    assume(implementation.precision != "expansion" and implementation.within("kernel", ["triangular"]))
    dtype = data.draw(st.sampled_from(implementation.dtypes), label="dtype")
    n = data.draw(st.sampled_from([1, 2, 3, 15, 16, 17, 33, 64, 65]), label="n")
    h = data.draw(st.sampled_from([1, 2, 4, 8, 16]), label="h")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    sites = rng.permutation(np.arange(n) - n // 2)
    case = implementation.note(Case({"x": sites.astype(dtype)[:, None]}, {"bandwidth": float(h), "kernel": "triangular"}, dtype))
    weights = np.maximum(h - np.abs(sites[:, None] - sites), 0)
    total, differences = weights.sum(axis=1).astype(np.longdouble), sites - sites[:, None]
    moved, arms = (((weights * arm).sum(axis=1) / total)[:, None] for arm in (differences, np.abs(differences)))
    expected = case.arrays["x"] + moved
    working = require_precision(dtype)
    bound = gamma(n + 3, working.unit) * arms + 2 * working.unit * np.abs(expected)  # weights may be divided by their sum first
    implementation.require_close(
        implementation.call(case), expected, bound, implementation.scale(case), "weights without rounding errors"
    )


def weighs_a_gaussian_to_its_end(implementation: Implementation, data: st.DataObject) -> None:
    """A gaussian has weight wherever it is above the smallest normal number: it ends at no 3, 4 or 7 bandwidths.

    Up to where its pull is the unit roundoff times the bandwidth a class that truncates is held to it too.
    """
    assume(takes_data(implementation) and implementation.within("kernel", ["gaussian"]))
    dtype = data.draw(st.sampled_from(implementation.dtypes), label="dtype")
    working = require_precision(dtype)
    lightest = data.draw(st.sampled_from([working.unit / 8, 4 * working.tiny]), label="weight at the end")
    distance = math.sqrt(-2 * math.log(lightest)) * data.draw(st.integers(1, 64), label="sixty-fourths of the end") / 64
    far = distance * data.draw(directions(implementation, range(1, 4)), label="direction")
    sites = np.stack([np.zeros_like(far), far]).astype(dtype)  # the near one pulls by nothing, so that the far one shows
    case = implementation.note(Case({"x": sites[:1], "data": sites}, {"bandwidth": 1.0, "kernel": "gaussian"}, dtype))
    implementation.require_close(implementation.call(case), implementation.reference(case), implementation.bound(case), distance)


def counts_what_lies_on_the_edge(implementation: Implementation, data: st.DataObject) -> None:
    """Flat weights reach to the bandwidth itself and no further: a datum on the edge counts, one just past it does not.

    Along an axis, with a bandwidth that is a power of two, the distance has no rounding that could take it over the edge.
    A centring step would add its own, so the class "expansion" is not asked.
    """
    assume(takes_data(implementation) and implementation.precision != "expansion" and implementation.within("kernel", ["flat"]))
    dtype = data.draw(st.sampled_from(implementation.dtypes), label="dtype")
    working = require_precision(dtype)
    n, d = (
        data.draw(st.sampled_from([1, 2, 17, 65]), label="n"),
        data.draw(dimensions(implementation, [1, 2, 3, 4, 5, 9]), label="d"),
    )
    h = 2.0 ** data.draw(st.integers(-8, 8), label="log2 h")
    finest = int(-math.log2(working.unit)) - 6  # 64 roundings: a square, a sum and a quotient keep their side
    margin = data.draw(st.sampled_from([0.0, 0.0, 1.0, -1.0]), label="side") * 2.0 ** -data.draw(
        st.one_of(st.integers(2, finest), st.just(finest)), label="log2 of the margin"
    )
    site = np.zeros((1, d), dtype)
    site[0, data.draw(st.integers(0, d - 1), label="axis")] = data.draw(st.sampled_from([-1, 1]), label="sign") * h * (1 + margin)
    x = np.zeros((n, d), dtype)
    case = implementation.note(Case({"x": x, "data": np.concatenate([x[:1], site])}, {"bandwidth": h, "kernel": "flat"}, dtype))
    expected = site / 2 if margin <= 0 else x[:1]
    close = np.abs(implementation.call(case) - expected) <= 8 * working.unit * h
    require(close.all(), "flat weights do not end where the distance is the bandwidth, itself counted")


def goes_to_the_only_datum_in_reach(implementation: Implementation, data: st.DataObject) -> None:
    """However little a lone datum just inside the support weighs, it is all the weight there is: no least sum, no epsilon.

    Nor is a weight of its own too small beside that of a datum out of reach.
    """
    compact = implementation.within("kernel", KERNELS[1:])
    assume(takes_data(implementation) and implementation.precision != "expansion" and compact)
    dtype = data.draw(st.sampled_from(implementation.dtypes), label="dtype")
    working = require_precision(dtype)
    kernel = data.draw(st.sampled_from(compact), label="kernel")
    h = 2.0 ** data.draw(st.integers(-8, 8), label="log2 h")
    margin = 2.0 ** -data.draw(st.integers(1, int(-math.log2(working.unit)) - 6), label="log2 of the margin")
    direction = data.draw(directions(implementation, range(1, 6)), label="direction")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed of the place"))
    place = rng.uniform(-2, 2, len(direction)).astype(dtype)  # anywhere in the cells of a grid
    sites = place + np.stack([np.full_like(direction, 8), (1 - margin) * direction])
    arrays = {"x": (h * np.tile(place, (17, 1))).astype(dtype), "data": (h * sites).astype(dtype)}
    if takes_weights(implementation) and rng.random() < 0.5:
        arrays["weights"] = np.array([1, 2.0 ** rng.integers(int(math.log2(working.tiny)) // 2, 0)], dtype)
    case = implementation.note(Case(arrays, {"bandwidth": h, "kernel": kernel}, dtype))
    implementation.judge(case, implementation.call(case))


def counts_a_weight_as_so_many_data(implementation: Implementation, data: st.DataObject) -> None:
    """A datum of weight k v is k data of weight v, and one of weight 0 is absent; v is a power of two, so that k v is exact."""
    assume(takes_data(implementation) and takes_weights(implementation))
    case = explicit(implementation, ordinary(implementation, data)) or reject()
    m = len(case.arrays["data"])
    assume(m)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed of the weights"))
    counts = rng.integers(0, 4, m)
    counts[rng.integers(m)] += 1
    share = 2.0 ** rng.integers(-6, 7, m) if data.draw(st.booleans(), label="of different weights") else np.ones(m)
    once = replace(case, arrays=case.arrays | {"weights": (counts * share).astype(case.dtype)})
    arrays = {key: array for key, array in case.arrays.items() if key != "weights"}
    arrays["data"] = np.repeat(case.arrays["data"], counts, axis=0)
    if (share != 1).any():
        arrays["weights"] = np.repeat(share, counts).astype(case.dtype)
    often = replace(case, arrays=arrays)
    expected, result = implementation.call(implementation.note(often)), implementation.call(implementation.note(once))
    bound = implementation.bound(often) + implementation.bound(once)
    implementation.require_close(result, expected, bound, implementation.scale(once), "a datum of weight k is not k data")


PROPERTIES = (
    meets_neighbours_wherever_they_are,
    stays_where_nothing_is_in_reach,
    passes_over_data_without_weight,
    is_exact_on_a_lattice,
    weighs_a_gaussian_to_its_end,
    counts_what_lies_on_the_edge,
    goes_to_the_only_datum_in_reach,
    counts_a_weight_as_so_many_data,
)

SHARES = {
    meets_neighbours_wherever_they_are: 0.5,
    counts_what_lies_on_the_edge: 0.5,
    goes_to_the_only_datum_in_reach: 0.5,
    counts_a_weight_as_so_many_data: 0.3,
}


def refused(dtype: str) -> list[tuple[dict[str, Any], type[Exception]]]:
    """Return what `validate` refuses: points without data, and a bandwidth outside of the dtype's range."""
    x = np.ones((3, 2), dtype)
    return [
        ({"x": x, "bandwidth": require_precision(dtype).tiny / 2}, ValueError),
        ({"x": x, "bandwidth": 1.0, "data": x[:0]}, ValueError),
    ]
