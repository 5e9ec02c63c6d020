"""What the referee asks of a mean-shift step besides the general properties, and how it draws points."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from kernels._conformance.cases import LAYOUTS, Case, extents, in_layouts, lengths, plain
from kernels._conformance.subject import Subject, require
from kernels._definition.numerics import gamma, require_precision
from kernels.meanshift_step import KERNELS

DIMENSIONS = (1, 2, 3, 4, 5, 6, 16, 0)
WIDE = (8, 7, 9, 12, 17, 23, 24, 31, 32, 33, 64, 65, 129)


def points(rng: np.random.Generator, form: str, n: int, d: int) -> np.ndarray[Any, Any]:
    """Draw n points of unit spread in a form that has broken kernels before."""
    cloud = rng.standard_normal((n, d))
    if form == "clusters" and n:  # far apart, so that most pairs weigh nothing
        return np.asarray(cloud / 8 + 8 * rng.integers(-2, 3, (3, d))[rng.integers(3, size=n)])
    if form == "duplicates" and n:
        return np.asarray(cloud[rng.integers(max(1, n // 3), size=n)])
    if form == "outlier" and n:
        cloud[0] += 50
    if form == "cells":  # pairs on either side of the edges of a grid of unit cells, negative ones among them
        return np.asarray(rng.integers(-2, 3, (n, d)) + rng.choice([-1e-3, 1e-3], (n, d)))
    return cloud


@st.composite
def cases(draw: st.DrawFn, subject: Subject, most: int) -> Case:
    """Draw points, their scale and offset, and a bandwidth from far below their spacing to far above their extent."""
    dtype = draw(st.sampled_from(subject.dtypes))
    d = draw(st.one_of(*[dimensions(subject, choices) for choices in (DIMENSIONS, DIMENSIONS, WIDE)]))
    room = most // max(1, d)
    n = draw(extents(most, room if takes_data(subject) else math.isqrt(room)))
    blurring = n == 0 or not takes_data(subject) or (n * n <= room and draw(st.booleans()))
    m = n if blurring else max(1, draw(extents(most, room // n)))
    form = draw(st.sampled_from(["cloud", "clusters", "duplicates", "outlier", "cells"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    offset = draw(st.sampled_from([0.0, 0.0, 10.0, 1e3]))
    unit = 2.0 ** draw(st.integers(-30, 30))
    x = (points(rng, form, n, d) + offset) * unit
    arrays = {"x": x.astype(dtype)}
    if not blurring:
        arrays["data"] = ((points(rng, form, m, d) + offset) * unit).astype(dtype)
    bandwidth = unit * 2.0 ** draw(st.integers(-4, 6)) * (1 + rng.random())  # no lattice lies on its edge by chance
    bandwidth *= math.sqrt(max(1, d / 4))  # as distances grow
    return Case(arrays, {"bandwidth": bandwidth, "kernel": draw(kernels(subject))}, dtype)


def dimensions(subject: Subject, choices: Iterable[int]) -> st.SearchStrategy[int]:
    """Draw a number of dimensions that the subject takes."""
    choices = list(choices)
    taken = subject.within("dimensions", choices) or subject.within("dimensions", range(min(choices), 1 + max(WIDE)))
    return st.sampled_from(taken) if taken else st.nothing()


@st.composite
def directions(draw: st.DrawFn, subject: Subject, choices: Iterable[int]) -> np.ndarray[Any, Any]:
    """Draw a direction, along an axis or across, in a number of dimensions that the subject takes."""
    d = draw(dimensions(subject, choices))
    across = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).standard_normal(d)
    along = draw(st.sampled_from([-1, 1])) * np.eye(d)[draw(st.integers(0, d - 1))]
    return draw(st.sampled_from([along, across / math.sqrt(across @ across)]))


def takes_data(subject: Subject) -> bool:
    """Whether the subject claims to move points towards others than themselves."""
    return "data" not in subject.limits


def kernels(subject: Subject) -> st.SearchStrategy[str]:
    """Draw a kernel that the subject takes."""
    return st.sampled_from(subject.within("kernel", KERNELS))


def _points(subject: Subject, data: st.DataObject) -> Case:
    return subject.note(data.draw(cases(subject, subject.small), label="case"))


def takes_x_as_its_own_data(subject: Subject, data: st.DataObject) -> None:
    """data=None, data=x and data=a copy of x all mean the blurring step."""
    case = _points(subject, data)
    x = case.arrays["x"]
    for arrays in ({"x": x}, {"x": x, "data": x}, {"x": x, "data": x.copy()}):
        trial = Case(arrays, case.parameters, case.dtype)
        if subject.claims(trial):  # a kernel without data takes the first two
            subject.judge(trial, subject.call(subject.note(trial)))


def commutes_with_permutation(subject: Subject, data: st.DataObject) -> None:
    """The order of the points means nothing: no row sees another's new position."""
    case = _points(subject, data)
    x = case.arrays["x"]
    order = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed of the order")).permutation(len(x))
    shuffled = subject.note(Case({**case.arrays, "x": x[order]}, case.parameters, case.dtype))
    once, again = subject.call(case), subject.call(shuffled)
    claim = "permuting the points changed where they go"
    subject.hold(again, once[order], 2 * subject.bound(case)[order], subject.scale(case), claim)


def fixes_coincident_points(subject: Subject, data: st.DataObject) -> None:
    """One point, or many at one place, stay where they are."""
    dtype = data.draw(st.sampled_from(subject.dtypes), label="dtype")
    d, n = data.draw(dimensions(subject, range(1, 7)), label="d"), data.draw(st.sampled_from([1, 2, 17, 65]), label="n")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    parameters = {
        "bandwidth": 2.0 ** data.draw(st.integers(-20, 20), label="log2 h"),
        "kernel": data.draw(kernels(subject)),
    }
    x = np.tile(rng.standard_normal(d) * 100, (n, 1)).astype(dtype)
    case = subject.note(Case({"x": x}, parameters, dtype))
    subject.judge(case, subject.call(case))


def stays_where_nothing_is_in_reach(subject: Subject, data: st.DataObject) -> None:
    """A row with no data within a compact kernel's support stays bit for bit; a gaussian goes to the nearest, however far."""
    assume(takes_data(subject))
    dtype = data.draw(st.sampled_from(subject.dtypes), label="dtype")
    d = data.draw(dimensions(subject, range(1, 7)), label="d")
    far = 2.0 ** data.draw(st.integers(5, 40), label="log2 of the distance in bandwidths")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    kernel = data.draw(kernels(subject), label="kernel")
    x = rng.standard_normal((33, d)).astype(dtype)
    site = np.full((1, d), far, dtype)
    case = subject.note(Case({"x": x, "data": np.repeat(site, 5, axis=0)}, {"bandwidth": 1.0, "kernel": kernel}, dtype))
    result = subject.call(case)
    if kernel == "gaussian":
        working = require_precision(dtype)
        arms = np.abs(site.astype(np.longdouble) - x) + np.abs(site)
        require((np.abs(result - site.astype(np.longdouble)) <= 32 * working.unit * arms).all(), "a gaussian lost the only data")
    else:
        require(result.tobytes() == x.tobytes(), "a point moved with nothing in reach")


def scales_exactly_by_powers_of_two(subject: Subject, data: st.DataObject) -> None:
    """Scaling points and bandwidth by 2^p scales the result by 2^p, bit for bit: no hidden epsilon."""
    case = _points(subject, data)
    factor = 2.0 ** data.draw(st.integers(-20, 20), label="p")
    arrays = {name: array * array.dtype.type(factor) for name, array in case.arrays.items()}
    scaled = Case(arrays, {**case.parameters, "bandwidth": case.parameters["bandwidth"] * factor}, case.dtype)
    plain = subject.call(case)
    subject.same(subject.call(subject.note(scaled)), plain, scaled, factor, "scaling by a power of two changed the digits")


def is_exact_on_a_lattice(subject: Subject, data: st.DataObject) -> None:
    """On a 1-D integer lattice with a bandwidth that is a power of two, triangular weights and their sums are exact.

    What is left is the rounding of sums, products and quotients; a centring step would add its own, so the class
    "expansion" is not asked.
    """
    assume(subject.precision != "expansion" and subject.within("kernel", ["triangular"]))
    dtype = data.draw(st.sampled_from(subject.dtypes), label="dtype")
    n = data.draw(st.sampled_from([1, 2, 3, 15, 16, 17, 33, 64, 65]), label="n")
    h = data.draw(st.sampled_from([1, 2, 4, 8, 16]), label="h")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    sites = rng.permutation(np.arange(n) - n // 2)
    case = subject.note(Case({"x": sites.astype(dtype)[:, None]}, {"bandwidth": float(h), "kernel": "triangular"}, dtype))
    weights = np.maximum(h - np.abs(sites[:, None] - sites), 0)
    total, differences = weights.sum(axis=1).astype(np.longdouble), sites - sites[:, None]
    moved, arms = (((weights * arm).sum(axis=1) / total)[:, None] for arm in (differences, np.abs(differences)))
    expected = case.arrays["x"] + moved
    working = require_precision(dtype)
    bound = gamma(n + 3, working.unit) * arms + 2 * working.unit * np.abs(expected)  # weights may be divided by their sum first
    subject.hold(subject.call(case), expected, bound, _scale(subject, case), "weights without rounding errors")


def keeps_its_digits_across_the_range(subject: Subject, data: st.DataObject) -> None:
    """A step whose squared distances leave the dtype's range, but whose distances do not, has the digits of one of unit size.

    Scaling by a power of two is exact until something underflows or overflows. Sites are whole numbers of 1/256 from 1/256
    to 1, so that differences, and their products with the least of a dtype's weights, stay normal.
    """
    dtype = data.draw(st.sampled_from(subject.dtypes), label="dtype")
    working = require_precision(dtype)
    n, d = data.draw(st.sampled_from([1, 2, 17, 33]), label="n"), data.draw(dimensions(subject, range(1, 4)), label="d")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    x = (rng.integers(1, 257, (n, d)) / 256).astype(dtype)
    kernel = data.draw(kernels(subject), label="kernel")
    bandwidth = 2.0 ** data.draw(st.integers(-1, 1), label="log2 h") * (1 + rng.random())
    least = math.log2(working.tiny)
    p = data.draw(st.sampled_from([least / 2 - 8, -least / 2 + 4]), label="p")
    factor = 2.0 ** int(p)
    scaled = {"x": x * x.dtype.type(factor)}
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        unit = subject.call(Case({"x": x}, {"bandwidth": bandwidth, "kernel": kernel}, dtype))
        case = subject.note(Case(scaled, {"bandwidth": bandwidth * factor, "kernel": kernel}, dtype))
        subject.same(subject.call(case), unit, case, factor, "squared distances left the range of the dtype")


def weighs_a_gaussian_to_its_end(subject: Subject, data: st.DataObject) -> None:
    """A gaussian has weight wherever it is above the smallest normal number: it ends at no 3, 4 or 7 bandwidths.

    Up to where its pull is the unit roundoff times the bandwidth a class that truncates is held to it too.
    """
    assume(takes_data(subject) and subject.within("kernel", ["gaussian"]))
    dtype = data.draw(st.sampled_from(subject.dtypes), label="dtype")
    working = require_precision(dtype)
    lightest = data.draw(st.sampled_from([working.unit / 8, 4 * working.tiny]), label="weight at the end")
    distance = math.sqrt(-2 * math.log(lightest)) * data.draw(st.integers(1, 64), label="sixty-fourths of the end") / 64
    far = distance * data.draw(directions(subject, range(1, 4)), label="direction")
    sites = np.stack([np.zeros_like(far), far]).astype(dtype)  # the near one pulls by nothing, so that the far one shows
    case = subject.note(Case({"x": sites[:1], "data": sites}, {"bandwidth": 1.0, "kernel": "gaussian"}, dtype))
    subject.hold(subject.call(case), subject.reference(case), subject.bound(case), distance)


def reads_every_layout(subject: Subject, data: st.DataObject) -> None:
    """Points and data in each memory layout, where no two extents are equal and none is 1, so that a mistaken stride shows."""
    assume(takes_data(subject))
    dtype = data.draw(st.sampled_from(subject.dtypes), label="dtype")
    d = data.draw(dimensions(subject, [2, 3, 5, 17]), label="d")
    n, m = data.draw(st.permutations([extent for extent in (2, 3, 5, 17) if extent != d]), label="n, m and others")[:2]
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    arrays = {"x": points(rng, "cloud", n, d).astype(dtype), "data": points(rng, "cloud", m, d).astype(dtype)}
    parameters = {
        "bandwidth": 2 * math.sqrt(d) * (1 + rng.random()),
        "kernel": data.draw(kernels(subject), label="kernel"),
    }
    for layout in LAYOUTS:
        case = subject.note(in_layouts(Case(arrays, parameters, dtype), {"x": layout, "data": layout}))
        subject.judge(plain(case), subject.call(case))


def agrees_where_one_side_is_long(subject: Subject, data: st.DataObject) -> None:
    """The points or the data go past the batches and splits of fast kernels, up to 4097 and more, and the other side is small."""
    assume(takes_data(subject))
    long, short = data.draw(lengths(subject.most), label="long side"), data.draw(st.integers(1, 4), label="short side")
    d = data.draw(dimensions(subject, [1, 2, 3, 4, 9]), label="d")
    _agrees_with_clouds(subject, data, *((long, short) if data.draw(st.booleans(), label="x is long") else (short, long)), d)


def agrees_where_both_sides_are_long(subject: Subject, data: st.DataObject) -> None:
    """Points and data both go past tiles of 256, and are or are not the same."""
    tiles = [pair for pair in [(256, 256), (256, 512), (512, 256), (512, 0)] if max(pair) ** 2 <= subject.most] or [(16, 0)]
    n, m = data.draw(st.sampled_from(tiles), label="tiles")
    past = data.draw(st.tuples(st.integers(1, 15), st.integers(1, 15)), label="points past the tiles")
    d = data.draw(dimensions(subject, range(1, 4)), label="d")
    _agrees_with_clouds(subject, data, n + past[0], m and m + past[1], d)


def _agrees_with_clouds(subject: Subject, data: st.DataObject, n: int, m: int, d: int) -> None:
    """Judge a step of a cloud of n points towards one of m, or itself where m is 0; up to all are within the support."""
    dtype = data.draw(st.sampled_from(subject.dtypes), label="dtype")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    arrays = {"x": points(rng, "cloud", n, d).astype(dtype)}
    if m:
        arrays["data"] = points(rng, "cloud", m, d).astype(dtype)
    bandwidth = data.draw(st.sampled_from([1, 4]), label="least h") * (1 + rng.random())
    parameters = {"bandwidth": bandwidth, "kernel": data.draw(kernels(subject), label="kernel")}
    case = subject.note(Case(arrays, parameters, dtype))
    subject.judge(case, subject.call(case))


def counts_what_lies_on_the_edge(subject: Subject, data: st.DataObject) -> None:
    """Flat weights reach to the bandwidth itself and no further: a datum on the edge counts, one just past it does not.

    Along an axis, with a bandwidth that is a power of two, the distance has no rounding that could take it over the edge.
    A centring step would add its own, so the class "expansion" is not asked.
    """
    assume(takes_data(subject) and subject.precision != "expansion" and subject.within("kernel", ["flat"]))
    dtype = data.draw(st.sampled_from(subject.dtypes), label="dtype")
    working = require_precision(dtype)
    n, d = data.draw(st.sampled_from([1, 2, 17, 65]), label="n"), data.draw(dimensions(subject, [1, 2, 3, 4, 5, 9]), label="d")
    h = 2.0 ** data.draw(st.integers(-8, 8), label="log2 h")
    finest = int(-math.log2(working.unit)) - 6  # 64 roundings: a square, a sum and a quotient keep their side
    margin = data.draw(st.sampled_from([0.0, 0.0, 1.0, -1.0]), label="side") * 2.0 ** -data.draw(
        st.one_of(st.integers(2, finest), st.just(finest)), label="log2 of the margin"
    )
    site = np.zeros((1, d), dtype)
    site[0, data.draw(st.integers(0, d - 1), label="axis")] = data.draw(st.sampled_from([-1, 1]), label="sign") * h * (1 + margin)
    x = np.zeros((n, d), dtype)
    case = subject.note(Case({"x": x, "data": np.concatenate([x[:1], site])}, {"bandwidth": h, "kernel": "flat"}, dtype))
    expected = site / 2 if margin <= 0 else x[:1]
    close = np.abs(subject.call(case) - expected) <= 8 * working.unit * h
    require(close.all(), "flat weights do not end where the distance is the bandwidth, itself counted")


def goes_to_the_only_datum_in_reach(subject: Subject, data: st.DataObject) -> None:
    """However little a lone datum just inside the support weighs, it is all the weight there is: no least sum, no epsilon."""
    compact = subject.within("kernel", KERNELS[1:])
    assume(takes_data(subject) and subject.precision != "expansion" and compact)
    dtype = data.draw(st.sampled_from(subject.dtypes), label="dtype")
    working = require_precision(dtype)
    kernel = data.draw(st.sampled_from(compact), label="kernel")
    h = 2.0 ** data.draw(st.integers(-8, 8), label="log2 h")
    margin = 2.0 ** -data.draw(st.integers(1, int(-math.log2(working.unit)) - 6), label="log2 of the margin")
    direction = data.draw(directions(subject, range(1, 6)), label="direction")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed of the place"))
    place = rng.uniform(-2, 2, len(direction)).astype(dtype)  # anywhere in the cells of a grid
    sites = place + np.stack([np.full_like(direction, 8), (1 - margin) * direction])
    arrays = {"x": (h * np.tile(place, (17, 1))).astype(dtype), "data": (h * sites).astype(dtype)}
    case = subject.note(Case(arrays, {"bandwidth": h, "kernel": kernel}, dtype))
    subject.judge(case, subject.call(case))


def keeps_nothing_of_the_call_before(subject: Subject, data: st.DataObject) -> None:
    """The same data again, with another kernel, bandwidth or set of points: nothing made for the last call is taken for this."""
    case = _points(subject, data)
    changes = {"kernel": data.draw(kernels(subject), label="kernel before")}
    changes["bandwidth"] = case.parameters["bandwidth"] * data.draw(st.sampled_from([1, 0.5, 4, 1 + 2**-10]), label="h before")
    x, sites = case.arrays["x"], case.arrays.get("data", case.arrays["x"])
    others = data.draw(st.booleans(), label="other points before")
    arrays = {"x": x[::-1].copy(), "data": sites} if others else case.arrays
    before = subject.note(Case(arrays, {**case.parameters, **changes}, case.dtype))
    subject.call(before)
    subject.record.before = before
    again = subject.note(Case({"x": x, "data": sites}, case.parameters, case.dtype))
    subject.judge(again, subject.call(again))


def takes_data_that_shares_memory_with_x(subject: Subject, data: st.DataObject) -> None:
    """Data that is a part of x, or holds it, or is x the other way round, is data like any other: it is not x."""
    assume(takes_data(subject))
    case = _points(subject, data)
    x = case.arrays["x"]
    start, stop, by = data.draw(st.sampled_from([(0, None, 2), (1, None, 1), (0, -1, 1), (None, None, -1)]), label="part")
    part = x[start:stop:by]
    small, large = (part, x) if data.draw(st.booleans(), label="x is the part") else (x, part)
    if not len(part):
        return
    case = subject.note(Case({"x": small, "data": large}, case.parameters, case.dtype))
    subject.judge(plain(case), subject.call(case))


def commutes_with_signed_permutations_of_the_axes(subject: Subject, data: st.DataObject) -> None:
    """Swapping and mirroring coordinates does the same to the result: no axis and no side is special."""
    case = _points(subject, data)
    d = case.arrays["x"].shape[1]
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed of the axes"))
    axes, signs = rng.permutation(d), rng.choice([-1, 1], d).astype(case.dtype)
    turned = subject.note(_with(case, **{name: array[:, axes] * signs for name, array in case.arrays.items()}))
    bound, claim = 2 * subject.bound(case)[:, axes], "swapping and mirroring axes changed where points go"
    subject.hold(subject.call(turned) * signs, subject.call(case)[:, axes], bound, _scale(subject, case)[:, axes], claim)


def commutes_with_rotations(subject: Subject, data: st.DataObject) -> None:
    """Turning the plane of the first two axes turns the result. The turn is by (3, 4, 5), exact on multiples of five."""
    case, _ = _lattice(subject, data, least=2)
    five_turns = 5 * np.eye(case.arrays["x"].shape[1], dtype=np.longdouble)
    five_turns[:2, :2] = [[3, -4], [4, 3]]

    def turn(points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.asarray(points @ five_turns.T / 5)

    turned = subject.note(_with(case, **{name: turn(array).astype(case.dtype) for name, array in case.arrays.items()}))
    once, again = subject.call(case), subject.call(turned)
    rounding = 4 * np.finfo(np.longdouble).eps * np.abs(once)
    bound = (subject.bound(case) + rounding) @ np.abs(five_turns).T / 5 + subject.bound(turned)
    subject.hold(again, turn(once), bound, _scale(subject, turned), "turning the plane changed where points go")


def commutes_with_translations(subject: Subject, data: st.DataObject) -> None:
    """Moving everything by the same whole numbers, however far, moves the result by them."""
    case, rng = _lattice(subject, data)
    far = rng.integers(-(2**16), 2**16, case.arrays["x"].shape[1]) * 5
    moved = subject.note(_with(case, **{name: array + far.astype(case.dtype) for name, array in case.arrays.items()}))
    bound = subject.bound(case) + subject.bound(moved)
    expected = subject.call(case) + far.astype(bound.dtype)
    subject.hold(subject.call(moved), expected, bound, _scale(subject, case), "moving all points changed where they go")


def _lattice(subject: Subject, data: st.DataObject, least: int = 1) -> tuple[Case, np.random.Generator]:
    """Draw points whose coordinates are multiples of five, and a bandwidth from below their spacing to above their extent."""
    dtype = data.draw(st.sampled_from(subject.dtypes), label="dtype")
    sizes = [size for size in (1, 2, 17, 33, 65) if size**2 <= subject.most]
    n, m = (data.draw(st.sampled_from(sizes), label=name) for name in "nm")
    d = data.draw(dimensions(subject, range(least, 5)), label="d")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    arrays = {"x": 5 * rng.integers(-40, 41, (n, d)), "data": 5 * rng.integers(-40, 41, (m, d))}
    if not takes_data(subject) or data.draw(st.booleans(), label="x is the data"):
        del arrays["data"]
    parameters = {"bandwidth": float(np.exp2(rng.uniform(2, 8))), "kernel": data.draw(kernels(subject), label="kernel")}
    return subject.note(Case({name: array.astype(dtype) for name, array in arrays.items()}, parameters, dtype)), rng


def _with(case: Case, **arrays: np.ndarray[Any, Any]) -> Case:
    return replace(case, arrays=arrays)


def _scale(subject: Subject, case: Case) -> np.ndarray[Any, Any]:
    return np.broadcast_to(subject.scale(case), case.arrays["x"].shape)


def stays_within_the_data(subject: Subject, data: st.DataObject) -> None:
    """A weighted mean lies in the bounding box of the data, and a point that nothing pulls stays."""
    case = _points(subject, data)
    x = case.arrays["x"]
    sites = case.arrays.get("data", x)
    result, bound = subject.call(case), subject.bound(case)
    if not result.size:
        return
    least, most = sites.min(axis=0) - bound, sites.max(axis=0) + bound
    inside, stayed = (result >= least) & (result <= most), (result == x) & (case.parameters["kernel"] != "gaussian")
    require((inside | stayed).all(), "a point left the bounding box of the data")


def goes_to_the_mean_for_a_large_bandwidth(subject: Subject, data: st.DataObject) -> None:
    """Where the bandwidth is far larger than the data's extent all weights are nearly 1.

    Weights of at least 1 - t move the mean of the data by at most t / (1 - t) times the mean distance from it.
    """
    case, _ = _lattice(subject, data)
    x, sites = case.arrays["x"], case.arrays.get("data", case.arrays["x"])
    bandwidth = 2.0 ** data.draw(st.integers(14, 60), label="log2 h")
    case = subject.note(replace(case, parameters={**case.parameters, "bandwidth": bandwidth}))
    t = 400 * math.sqrt(x.shape[1]) / bandwidth  # the largest distance in bandwidths: no weight falls by more
    mean = sites.astype(np.longdouble).mean(axis=0)
    spread = np.abs(sites - mean).mean(axis=0)
    bound = subject.bound(case) + t / (1 - t) * spread + 2 * np.finfo(np.longdouble).eps * np.abs(sites).sum(axis=0)
    result = subject.call(case)
    subject.judge(case, result)
    subject.hold(
        result,
        np.tile(mean, (len(x), 1)),
        bound,
        5 + _scale(subject, case),
        "a large bandwidth does not give the mean",
    )


def leaves_points_alone_below_their_gap(subject: Subject, data: st.DataObject) -> None:
    """Where no other point has any weight all stay, bit for bit.

    A gaussian's exp(-q^2/2) is half the least subnormal number at most, and that rounds to 0; in a wider precision it may
    still move a coordinate that is 0. The class "expansion" bounds nothing here, and is not asked.
    """
    assume(subject.precision != "expansion")
    case, _ = _lattice(subject, data)
    working = require_precision(case.dtype)
    gaps = math.sqrt(2 - 2 * math.log(working.subnormal)) if case.parameters["kernel"] == "gaussian" else 1
    bandwidth = 5 / gaps / (1 + 2.0 ** data.draw(st.integers(-10, 10), label="log2 of the margin"))
    case = replace(case, arrays={"x": case.arrays["x"]}, parameters={**case.parameters, "bandwidth": bandwidth})
    result, x = subject.call(subject.note(case)), case.arrays["x"]
    subject.judge(case, result)
    require(((result == x) | (x == 0)).all(), "a point moved though nothing else is in reach")


def ignores_how_often_the_data_is_repeated(subject: Subject, data: st.DataObject) -> None:
    """Every point of the data twice or three times: the same means."""
    assume(takes_data(subject))
    case = _points(subject, data)
    sites = case.arrays.get("data", case.arrays["x"])
    times = data.draw(st.sampled_from([2, 3]), label="times")
    repeated = subject.note(_with(case, x=case.arrays["x"], data=np.tile(sites, (times, 1))))
    bound = subject.bound(case) + subject.bound(repeated)
    subject.hold(
        subject.call(repeated), subject.call(case), bound, _scale(subject, case), "repeating the data changed where points go"
    )


def ignores_what_is_out_of_reach(subject: Subject, data: st.DataObject) -> None:
    """Data appended beyond the support of a compact kernel, or where a gaussian's weight underflows, changes nothing."""
    assume(takes_data(subject))
    case, rng = _lattice(subject, data)
    x, sites = case.arrays["x"], case.arrays.get("data", case.arrays["x"])
    reach = 40 if case.parameters["kernel"] == "gaussian" else 1  # exp(-800) is 0 in float64 too
    side = data.draw(st.sampled_from([-1, 1]), label="side")
    corner = side * (1001 + (reach + rng.random()) * case.parameters["bandwidth"])
    far = np.full((data.draw(st.sampled_from([1, 16, 65]), label="points appended"), x.shape[1]), corner).astype(case.dtype)
    sites = np.concatenate([sites, x])  # so that every row has data of its own
    near = Case({"x": x, "data": sites}, case.parameters, case.dtype)
    more = subject.note(_with(near, x=x, data=np.concatenate([far, sites])))
    bound = subject.bound(near) + subject.bound(more)
    subject.hold(
        subject.call(more), subject.call(near), bound, _scale(subject, near), "data out of reach changed where points go"
    )


def ignores_a_constant_column(subject: Subject, data: st.DataObject) -> None:
    """A coordinate that all points share adds nothing to distances, and stays."""
    case = _points(subject, data)
    arrays, d = case.arrays, case.arrays["x"].shape[1]
    assume(subject.within("dimensions", [d + 1]))
    column = data.draw(st.integers(0, d), label="column")
    constant = np.asarray(
        data.draw(st.sampled_from([1.0, -3.0, 1e3]), label="constant") * case.parameters["bandwidth"], case.dtype
    )
    wider = subject.note(_with(case, **{name: np.insert(array, column, constant, axis=1) for name, array in arrays.items()}))
    once, again = subject.call(case), subject.call(wider)
    bound, expected = subject.bound(wider), np.insert(once, column, constant, axis=1)
    bound = bound + np.insert(subject.bound(case), column, 0, axis=1)
    subject.hold(again, expected, bound, _scale(subject, wider), "a constant column changed where points go")


def balances_its_moves(subject: Subject, data: st.DataObject) -> None:
    """Points that are their own data pull each other equally: moves, each times its sum of weights, add up to zero."""
    case, _ = _lattice(subject, data)
    case = subject.note(_with(case, x=case.arrays["x"]))
    x = case.arrays["x"].astype(np.longdouble)
    weights = _weights(x, x, **case.parameters)
    total = weights.sum(axis=1)[:, None]
    moves = total * (subject.call(case) - x)
    rounding = 8 * len(x) * np.finfo(np.longdouble).eps * (total * np.abs(moves)).sum(axis=0)
    limit = (total * subject.bound(case)).sum(axis=0) + rounding
    require((np.abs(moves.sum(axis=0)) <= limit).all(), "what points pull and are pulled does not balance")


def never_lowers_the_density(subject: Subject, data: st.DataObject) -> None:
    """Each point goes uphill on the density whose gradient the weights are: the kernel's shadow (Cheng 1995, section 3).

    The shadow of a gaussian is itself; of triangular weights 1 - 3q^2 + 2q^3, of Epanechnikov's (1 - q^2)^2, of flat ones
    1 - q^2. None is steeper than 2 per bandwidth.
    """
    case, _ = _lattice(subject, data)
    x, h, kernel = case.arrays["x"], case.parameters["bandwidth"], case.parameters["kernel"]
    sites = case.arrays.get("data", x).astype(np.longdouble)
    bound = subject.bound(case)
    before, after = (_shadow(points.astype(np.longdouble), sites, h, kernel) for points in (x, subject.call(case)))
    slack = 2 / h * np.sqrt((bound**2).sum(axis=1)) + 32 * np.finfo(np.longdouble).eps
    require((after >= before - len(sites) * slack).all(), "a point went down the density that it should climb")


def _distances(x: np.ndarray[Any, Any], sites: np.ndarray[Any, Any], bandwidth: float) -> np.ndarray[Any, Any]:
    return np.asarray(np.sqrt((((sites - x[:, None]) / bandwidth) ** 2).sum(axis=2)))


def _weights(x: np.ndarray[Any, Any], sites: np.ndarray[Any, Any], bandwidth: float, kernel: str) -> np.ndarray[Any, Any]:
    q = _distances(x, sites, bandwidth)
    inside = {"triangular": 1 - q, "epanechnikov": 1 - q**2, "flat": np.ones_like(q)}
    return np.exp(-(q**2) / 2) if kernel == "gaussian" else np.where(q <= 1, inside[kernel], 0)


def _shadow(x: np.ndarray[Any, Any], sites: np.ndarray[Any, Any], bandwidth: float, kernel: str) -> np.ndarray[Any, Any]:
    q = _distances(x, sites, bandwidth)
    inside = {"triangular": 1 - 3 * q**2 + 2 * q**3, "epanechnikov": (1 - q**2) ** 2, "flat": 1 - q**2}
    return np.asarray((np.exp(-(q**2) / 2) if kernel == "gaussian" else np.where(q <= 1, inside[kernel], 0)).sum(axis=1))


PROPERTIES = (
    takes_x_as_its_own_data,
    commutes_with_permutation,
    fixes_coincident_points,
    stays_where_nothing_is_in_reach,
    scales_exactly_by_powers_of_two,
    is_exact_on_a_lattice,
    keeps_its_digits_across_the_range,
    weighs_a_gaussian_to_its_end,
    reads_every_layout,
    agrees_where_one_side_is_long,
    agrees_where_both_sides_are_long,
    counts_what_lies_on_the_edge,
    goes_to_the_only_datum_in_reach,
    keeps_nothing_of_the_call_before,
    takes_data_that_shares_memory_with_x,
    commutes_with_signed_permutations_of_the_axes,
    commutes_with_rotations,
    commutes_with_translations,
    stays_within_the_data,
    goes_to_the_mean_for_a_large_bandwidth,
    leaves_points_alone_below_their_gap,
    ignores_how_often_the_data_is_repeated,
    ignores_what_is_out_of_reach,
    ignores_a_constant_column,
    balances_its_moves,
    never_lowers_the_density,
)

SHARES = {
    takes_x_as_its_own_data: 0.5,
    agrees_where_one_side_is_long: 0.5,
    agrees_where_both_sides_are_long: 0.05,
    counts_what_lies_on_the_edge: 0.5,
    goes_to_the_only_datum_in_reach: 0.5,
    keeps_nothing_of_the_call_before: 0.25,
    takes_data_that_shares_memory_with_x: 0.25,
}


def refused(dtype: str) -> list[tuple[dict[str, Any], type[Exception]]]:
    """Return calls that must be refused by a kernel that takes a dtype."""
    x, other = np.ones((3, 2), dtype), "float32" if dtype == "float64" else "float64"
    return [
        ({"x": x[0], "bandwidth": 1.0}, ValueError),
        ({"x": x[None], "bandwidth": 1.0}, ValueError),
        ({"x": x[0, 0, ...], "bandwidth": 1.0}, ValueError),
        ({"x": [[1.0, 2.0]], "bandwidth": 1.0}, TypeError),
        ({"x": x.astype(int), "bandwidth": 1.0}, TypeError),
        ({"x": x, "bandwidth": 0.0}, ValueError),
        ({"x": x, "bandwidth": -1.0}, ValueError),
        ({"x": x, "bandwidth": float("nan")}, ValueError),
        ({"x": x, "bandwidth": float("inf")}, ValueError),
        ({"x": x, "bandwidth": require_precision(dtype).tiny / 2}, ValueError),
        ({"x": x, "bandwidth": "2.5"}, TypeError),
        ({"x": x, "bandwidth": None}, TypeError),
        ({"x": x, "bandwidth": True}, TypeError),
        ({"x": x, "bandwidth": 1.0, "kernel": "cosine"}, ValueError),
        ({"x": x, "bandwidth": 1.0, "kernel": ["gaussian"]}, ValueError),
        ({"x": x, "bandwidth": 1.0, "data": x[:, :1]}, ValueError),
        ({"x": x, "bandwidth": 1.0, "data": x[:0]}, ValueError),
        ({"x": x, "bandwidth": 1.0, "data": x[0]}, ValueError),
        ({"x": x, "bandwidth": 1.0, "data": x.astype(other)}, TypeError),
        ({"x": np.full_like(x, np.nan), "bandwidth": 1.0}, ValueError),
        ({"x": np.full_like(x, np.inf), "bandwidth": 1.0}, ValueError),
        ({"x": x, "bandwidth": 1.0, "data": np.full_like(x, -np.inf)}, ValueError),
    ]
