"""What the referee asks of a mean-shift step besides the general properties, and how it draws points."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from hypothesis import strategies as st

from kernels._conformance import LAYOUTS, SMALL, Case, Subject, extents, in_layouts, plain, strategy_of, within
from kernels._numerics import precision_of
from kernels.meanshift_step import KERNELS

DIMENSIONS = (1, 2, 3, 4, 5, 6, 16, 0)
NONE: Mapping[str, Any] = MappingProxyType({})


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
def cases(draw: st.DrawFn, dtypes: tuple[str, ...], most: int, limits: Mapping[str, Any] = NONE) -> Case:
    """Draw points, their scale and offset, and a bandwidth from far below their spacing to far above their extent."""
    dtype = draw(st.sampled_from(dtypes))
    d = draw(st.sampled_from(within(limits, "dimensions", DIMENSIONS)))
    room = most // max(1, d)
    n = draw(extents(most, room))
    blurring = n == 0 or (n * n <= room and draw(st.booleans()))
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
    return Case(arrays, {"bandwidth": bandwidth, "kernel": draw(st.sampled_from(within(limits, "kernel", KERNELS)))}, dtype)


def _points(subject: Subject, data: st.DataObject) -> Case:
    return data.draw(strategy_of(subject)(subject.dtypes, SMALL), label="case")


def _dimensions(subject: Subject, most: int) -> st.SearchStrategy[int]:
    return st.sampled_from(within(subject.limits, "dimensions", range(1, most + 1)))


def _kernels(subject: Subject) -> st.SearchStrategy[str]:
    return st.sampled_from(within(subject.limits, "kernel", KERNELS))


def takes_x_as_its_own_data(subject: Subject, data: st.DataObject) -> None:
    """data=None, data=x and data=a copy of x all mean the blurring step."""
    case = _points(subject, data)
    x = case.arrays["x"]
    for arrays in ({"x": x}, {"x": x, "data": x}, {"x": x, "data": x.copy()}):
        trial = subject.note(Case(arrays, case.parameters, case.dtype))
        subject.judge(trial, subject.call(trial))


def commutes_with_permutation(subject: Subject, data: st.DataObject) -> None:
    """The order of the points means nothing: no row sees another's new position."""
    case = _points(subject, data)
    x = case.arrays["x"]
    order = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed of the order")).permutation(len(x))
    shuffled = subject.note(Case({**case.arrays, "x": x[order]}, case.parameters, case.dtype))
    once, again = subject.call(case), subject.call(shuffled)
    bound = subject.bound(case)
    wide = np.abs(again.astype(bound.dtype) - once[order])
    assert (wide <= 2 * bound[order]).all(), "permuting the points changed where they go"


def fixes_coincident_points(subject: Subject, data: st.DataObject) -> None:
    """One point, or many at one place, stay where they are."""
    dtype = data.draw(st.sampled_from(subject.dtypes), label="dtype")
    d, n = data.draw(_dimensions(subject, 6), label="d"), data.draw(st.sampled_from([1, 2, 17, 65]), label="n")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    parameters = {
        "bandwidth": 2.0 ** data.draw(st.integers(-20, 20), label="log2 h"),
        "kernel": data.draw(_kernels(subject)),
    }
    x = np.tile(rng.standard_normal(d) * 100, (n, 1)).astype(dtype)
    case = subject.note(Case({"x": x}, parameters, dtype))
    subject.judge(case, subject.call(case))


def stays_where_nothing_is_in_reach(subject: Subject, data: st.DataObject) -> None:
    """A row with no data within a compact kernel's support stays bit for bit; a gaussian goes to the nearest, however far."""
    dtype = data.draw(st.sampled_from(subject.dtypes), label="dtype")
    d = data.draw(_dimensions(subject, 6), label="d")
    far = 2.0 ** data.draw(st.integers(5, 40), label="log2 of the distance in bandwidths")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    kernel = data.draw(_kernels(subject), label="kernel")
    x = rng.standard_normal((33, d)).astype(dtype)
    site = np.full((1, d), far, dtype)
    case = subject.note(Case({"x": x, "data": np.repeat(site, 5, axis=0)}, {"bandwidth": 1.0, "kernel": kernel}, dtype))
    result = subject.call(case)
    if kernel == "gaussian":
        working = precision_of(dtype)
        assert working is not None
        arms = np.abs(site.astype(np.longdouble) - x) + np.abs(site)
        assert (np.abs(result - site.astype(np.longdouble)) <= 32 * working.unit * arms).all(), "a gaussian lost the only data"
    else:
        assert result.tobytes() == x.tobytes(), "a point moved with nothing in reach"


def scales_exactly_by_powers_of_two(subject: Subject, data: st.DataObject) -> None:
    """Scaling points and bandwidth by 2^p scales the result by 2^p, bit for bit: no hidden epsilon."""
    case = _points(subject, data)
    factor = 2.0 ** data.draw(st.integers(-20, 20), label="p")
    arrays = {name: array * array.dtype.type(factor) for name, array in case.arrays.items()}
    scaled = Case(arrays, {**case.parameters, "bandwidth": case.parameters["bandwidth"] * factor}, case.dtype)
    plain, result = subject.call(case), subject.call(subject.note(scaled))
    assert (result == plain * plain.dtype.type(factor)).all(), "scaling by a power of two changed the digits"


def is_exact_on_a_lattice(subject: Subject, data: st.DataObject) -> None:
    """On a 1-D integer lattice with a bandwidth that is a power of two, triangular weights and their sums are exact.

    What is left is the rounding of one quotient and one sum; a centring step would add its own, so the class
    "expansion" is not asked.
    """
    if subject.precision != "working" or not within(subject.limits, "kernel", ["triangular"]):
        return
    dtype = data.draw(st.sampled_from(subject.dtypes), label="dtype")
    n = data.draw(st.sampled_from([1, 2, 3, 15, 16, 17, 33, 64, 65]), label="n")
    h = data.draw(st.sampled_from([1, 2, 4, 8, 16]), label="h")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    sites = rng.permutation(np.arange(n) - n // 2)
    case = subject.note(Case({"x": sites.astype(dtype)[:, None]}, {"bandwidth": float(h), "kernel": "triangular"}, dtype))
    weights = np.maximum(h - np.abs(sites[:, None] - sites), 0)
    moved = ((weights * (sites - sites[:, None])).sum(axis=1) / weights.sum(axis=1).astype(np.longdouble))[:, None]
    expected = case.arrays["x"] + moved
    working = precision_of(dtype)
    assert working is not None
    allowed = working.unit * (1.01 * np.abs(moved) + np.abs(expected) * 1.01)
    assert (np.abs(subject.call(case) - expected) <= allowed).all(), "exact weights gave an inexact mean"


def keeps_its_digits_across_the_range(subject: Subject, data: st.DataObject) -> None:
    """A step whose squared distances leave the dtype's range, but whose distances do not, has the digits of one of unit size.

    Scaling by a power of two is exact until something underflows or overflows. Sites are whole numbers of 1/256 from 1/256
    to 1, so that differences, and their products with the least of a dtype's weights, stay normal.
    """
    dtype = data.draw(st.sampled_from(subject.dtypes), label="dtype")
    working = precision_of(dtype)
    assert working is not None
    n, d = data.draw(st.sampled_from([1, 2, 17, 33]), label="n"), data.draw(_dimensions(subject, 3), label="d")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    x = (rng.integers(1, 257, (n, d)) / 256).astype(dtype)
    kernel = data.draw(_kernels(subject), label="kernel")
    bandwidth = 2.0 ** data.draw(st.integers(-1, 1), label="log2 h") * (1 + rng.random())
    least = math.log2(working.tiny)
    p = data.draw(st.sampled_from([least / 2 - 8, -least / 2 + 4]), label="p")
    factor = 2.0 ** int(p)
    scaled = {"x": x * x.dtype.type(factor)}
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        unit = subject.call(Case({"x": x}, {"bandwidth": bandwidth, "kernel": kernel}, dtype))
        case = subject.note(Case(scaled, {"bandwidth": bandwidth * factor, "kernel": kernel}, dtype))
        result = subject.call(case)
    assert (result == unit * unit.dtype.type(factor)).all(), "squared distances left the range of the dtype"


def weighs_a_gaussian_to_its_end(subject: Subject, data: st.DataObject) -> None:
    """A gaussian has weight wherever it is above the unit roundoff of the nearest point's: it ends at no 3, 4 or 7 bandwidths."""
    dtype = data.draw(st.sampled_from(subject.dtypes), label="dtype")
    working = precision_of(dtype)
    assert working is not None
    end = math.sqrt(-2 * math.log(working.unit))  # there the weight is the unit roundoff
    distance = end * data.draw(st.integers(1, 16), label="sixteenths of the end") / 16
    sites = np.array([[0.0], [distance]], dtype)  # the near one pulls by nothing, so that the far one shows
    case = subject.note(Case({"x": sites[:1], "data": sites}, {"bandwidth": 1.0, "kernel": "gaussian"}, dtype))
    subject.judge(case, subject.call(case))


def reads_every_layout(subject: Subject, data: st.DataObject) -> None:
    """Points and data in each memory layout, where no two extents are equal and none is 1, so that a mistaken stride shows."""
    dtype = data.draw(st.sampled_from(subject.dtypes), label="dtype")
    shapes = [e for e in itertools.permutations([2, 3, 5, 17], 3) if within(subject.limits, "dimensions", e[2:])]
    n, m, d = data.draw(st.sampled_from(shapes), label="n, m, d")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    arrays = {"x": points(rng, "cloud", n, d).astype(dtype), "data": points(rng, "cloud", m, d).astype(dtype)}
    parameters = {
        "bandwidth": 2 * math.sqrt(d) * (1 + rng.random()),
        "kernel": data.draw(_kernels(subject), label="kernel"),
    }
    for layout in LAYOUTS:
        case = subject.note(in_layouts(Case(arrays, parameters, dtype), {"x": layout, "data": layout}))
        subject.judge(plain(case), subject.call(case))


def agrees_where_one_side_is_long(subject: Subject, data: st.DataObject) -> None:
    """The points or the data go past the batches and splits of fast kernels, up to 1025, and the other side is small."""
    dtype = data.draw(st.sampled_from(subject.dtypes), label="dtype")
    long = data.draw(st.sampled_from([255, 256, 257, 511, 512, 513, 1023, 1024, 1025]), label="long side")
    short, d = data.draw(st.integers(1, 4), label="short side"), data.draw(_dimensions(subject, 3), label="d")
    n, m = (long, short) if data.draw(st.booleans(), label="x is long") else (short, long)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    arrays = {"x": points(rng, "cloud", n, d).astype(dtype), "data": points(rng, "cloud", m, d).astype(dtype)}
    parameters = {"bandwidth": 1 + rng.random(), "kernel": data.draw(_kernels(subject), label="kernel")}
    case = subject.note(Case(arrays, parameters, dtype))
    subject.judge(case, subject.call(case))


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
)

_X = np.ones((3, 2), np.float32)
REFUSED: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"x": _X[0], "bandwidth": 1.0}, ValueError),
    ({"x": _X[None], "bandwidth": 1.0}, ValueError),
    ({"x": np.float32(1), "bandwidth": 1.0}, ValueError),
    ({"x": [[1.0, 2.0]], "bandwidth": 1.0}, TypeError),
    ({"x": _X.astype(int), "bandwidth": 1.0}, TypeError),
    ({"x": _X, "bandwidth": 0.0}, ValueError),
    ({"x": _X, "bandwidth": -1.0}, ValueError),
    ({"x": _X, "bandwidth": float("nan")}, ValueError),
    ({"x": _X, "bandwidth": float("inf")}, ValueError),
    ({"x": _X, "bandwidth": 1e-300}, ValueError),
    ({"x": _X, "bandwidth": "2.5"}, TypeError),
    ({"x": _X, "bandwidth": None}, TypeError),
    ({"x": _X, "bandwidth": True}, TypeError),
    ({"x": _X, "bandwidth": 1.0, "kernel": "cosine"}, ValueError),
    ({"x": _X, "bandwidth": 1.0, "kernel": ["gaussian"]}, ValueError),
    ({"x": _X, "bandwidth": 1.0, "data": _X[:, :1]}, ValueError),
    ({"x": _X, "bandwidth": 1.0, "data": _X[:0]}, ValueError),
    ({"x": _X, "bandwidth": 1.0, "data": _X[0]}, ValueError),
    ({"x": _X, "bandwidth": 1.0, "data": _X.astype("float64")}, TypeError),
    ({"x": np.full((3, 2), np.nan, np.float32), "bandwidth": 1.0}, ValueError),
    ({"x": np.full((3, 2), np.inf, np.float32), "bandwidth": 1.0}, ValueError),
    ({"x": _X, "bandwidth": 1.0, "data": np.full((3, 2), -np.inf, np.float32)}, ValueError),
]
