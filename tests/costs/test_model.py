"""What the model makes of measurements: they themselves where they are, and something in between and beyond."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import registry
from kernels._costs import calls
from kernels._costs.model import Costs, Fit
from kernels._costs.table import Entry, Table

MATMUL = registry.contract("matmul")


def entry(variant, n, seconds, *, options=None, abandoned=False, dtype="float32"):
    return Entry("matmul", variant, dtype, {"m": n, "k": n, "n": n}, {}, {}, options or {}, seconds, 0.0, "2026-01-02", abandoned)


def call(n, dtype="float32"):
    return calls.Call(dtype, {"batch": 1, "m": n, "k": n, "n": n}, {}, {})


def costs(*entries, origin="tuned"):
    return Costs(MATMUL, [Table(entries, origin)])


@given(st.integers(0, 2**40))
def test_buckets_hold_what_falls_into_them_and_are_narrow(extent):
    least, most = calls.ends(calls.bucket(extent))
    assert least <= extent <= most
    assert most - least <= least / calls.STEPS
    assert calls.bucket(most) == calls.bucket(least) == calls.bucket(most + 1) - 1


measurements = st.dictionaries(
    st.tuples(st.floats(0, 20), st.floats(0, 20), st.floats(0, 40)), st.floats(-16, 5), min_size=1, max_size=12
).filter(lambda them: all(math.dist(a, b) > 0.1 for a in them for b in them if a != b))


@given(measurements, st.randoms())
def test_a_measured_call_takes_what_was_measured_whatever_the_order(measured, random):
    points = [*measured.items()]
    fit = Fit(measured)
    random.shuffle(points)
    again = Fit(dict(points))
    for place, seconds in points:
        assert fit(place) == seconds
        assert fit.knows(place)
        assert again.smoothed(place) == fit.smoothed(place)


@given(measurements, st.data())
def test_what_was_given_up_takes_no_less_and_what_is_known_to_takes_as_long_as_before(measured, data):
    """A bound that the model exceeds says nothing; another one counts like a measurement, with its neighbours."""
    place = data.draw(st.tuples(st.floats(0, 20), st.floats(0, 20), st.floats(0, 40)).filter(
        lambda place: all(math.dist(place, other) > 0.1 for other in measured)))  # fmt: skip
    fit = Fit(measured)
    expected = fit.smoothed(place)
    assert Fit(measured, {place: expected - data.draw(st.floats(0, 5))}).smoothed(place) == expected
    bound = expected + data.draw(st.floats(0.5, 5))
    assert expected < Fit(measured, {place: bound}).smoothed(place)


@given(st.floats(1e-7, 1e-4), st.floats(1e-13, 1e-9), st.integers(1, 4000))
def test_overhead_and_work_are_found_again(overhead, rate, n):
    """Where the time is as the model says, the measurements lead to it, between them and beyond."""

    def seconds(size):
        return overhead + rate * calls.count(MATMUL, "numpy", call(size))

    known = costs(*(entry("numpy", size, seconds(size)) for size in (1, 4, 16, 64, 256, 1024)))
    assert known.of("numpy", call(n), {}).seconds == pytest.approx(seconds(n), rel=0.35)
    far = known.of("numpy", call(64_000), {}).seconds / known.of("numpy", call(32_000), {}).seconds
    assert far == pytest.approx(8, rel=0.1)  # as the work grows


def test_where_a_cost_comes_from():
    tuned = costs(entry("numpy", 64, 1e-5), entry("numpy", 512, 1e-3))
    assert tuned.of("numpy", call(64), {}).origin == "measured"
    assert tuned.of("numpy", call(100), {}).origin == "interpolated"
    assert tuned.of("numpy", call(64, "int8"), {}).origin == "interpolated"  # of another dtype
    assert costs(entry("numpy", 64, 1e-5), origin="shipped").of("numpy", call(64), {}).origin == "shipped"
    assert tuned.of("loop", call(64), {}) is None
    together = Costs(
        MATMUL, [Table((entry("numpy", 64, 1e-5),), "tuned"), Table((entry("numpy", 64, 9), entry("loop", 64, 3)), "estimated")]
    )
    assert together.of("numpy", call(64), {}).seconds == pytest.approx(1e-5)
    assert together.of("loop", call(64), {}).origin == "estimated"


def test_what_was_given_up_is_no_faster_than_that():
    known = costs(entry("loop", 4, 1e-5), entry("loop", 64, 2.0, abandoned=True), entry("hopeless", 4, 1.0, abandoned=True))
    assert known.of("loop", call(4), {}).seconds == pytest.approx(1e-5)
    assert known.of("loop", call(128), {}).seconds >= 2
    assert known.of("hopeless", call(4), {}).seconds == math.inf


def test_what_was_given_up_makes_no_larger_call_faster():
    """A lower bound is no measurement: 0.2 s for a product that takes hours says nothing of a larger one."""
    measured = [entry("loop", n, 1e-7 * n**3) for n in (4, 8, 16, 32, 64)]
    alone = costs(*measured).of("loop", call(4096), {}).seconds
    bounded = costs(*measured, entry("loop", 2048, 0.2, abandoned=True))
    assert bounded.of("loop", call(4096), {}).seconds == alone > 1000


@given(st.lists(st.tuples(st.integers(1, 300), st.floats(1e-7, 10)), min_size=1, max_size=8), st.integers(300, 10**6))
def test_no_unit_of_work_takes_less_time_than_the_fastest_measured(measured, n):
    entries = [entry("loop", size, seconds) for size, seconds in measured]
    fastest = min(e.seconds / calls.count(MATMUL, "loop", call(e.extents["n"])) for e in entries)
    least = fastest * calls.count(MATMUL, "loop", call(n))
    assert costs(*entries).of("loop", call(n), {}).seconds >= least * (1 - 1e-9)  # of logarithms and back


TIMES = st.dictionaries(st.sampled_from([8, 16, 32, 64, 128]), st.sampled_from([1e-6, 1e-5, 1e-4]), min_size=1)


@given(TIMES, TIMES, st.sampled_from([8, 16, 32, 64, 128]))
def test_no_call_takes_less_time_than_the_shortest_unless_it_does_less_work_than_each(tuned, shipped, n):
    tables = [Table(tuple(entry("loop", *each) for each in of.items()), "tuned") for of in (tuned, shipped)]
    assert n < min(tuned) or Costs(MATMUL, tables).of("loop", call(n), {}).seconds >= 0.999 * min(tuned.values())


def test_the_best_measured_options_are_taken_unless_the_caller_asks_for_others():
    known = costs(
        entry("einsum", 64, 1e-3),
        entry("einsum", 64, 5e-4, options={"tile": 8}),
        entry("einsum", 64, 9.9e-4, options={"tile": 4}),
    )
    assert known.of("einsum", call(64), {}).options == {"tile": 8}
    assert known.of("einsum", call(64), {"tile": 4}).seconds == pytest.approx(1e-3)  # no better than the default beyond the noise
    assert known.of("einsum", call(64), {"tile": 7}).options == {}


def test_an_extent_of_one_is_a_regime_of_its_own():
    """Where one column is read in one stretch and two are not, neither says what the other takes."""

    def thin(m, n):
        return {"m": m, "k": 8, "n": n}

    seconds = {1: 1e-9, 2: 1e-8, 4: 1e-8}
    known = costs(
        *(entry("numpy", 1, seconds[n] * m * n)._replace(extents=thin(m, n)) for m in (1000, 4000, 64_000) for n in seconds)
    )
    for n in seconds:
        for m in (2000, 16_000):
            asked = calls.Call("float32", {"batch": 1, **thin(m, n)}, {}, {})
            assert known.of("numpy", asked, {}).seconds == pytest.approx(seconds[n] * m * n, rel=0.6)  # of ten times


@given(st.floats(0.1, 10), st.lists(st.integers(1, 4000), min_size=2, max_size=4, unique=True), st.integers(1, 4000))
def test_measurements_of_this_machine_refine_those_that_were_shipped(factor, tuned, n):
    """A machine that is slower by a factor is known from a few calls, wherever those lie."""

    def shipped(size):
        return 1e-6 + 1e-12 * calls.count(MATMUL, "numpy", call(size))

    came = Table(tuple(entry("numpy", size, shipped(size)) for size in (1, 4, 16, 64, 256, 1024, 4096)), "shipped")
    own = Table(
        tuple(entry("numpy", size, factor * Costs(MATMUL, [came]).of("numpy", call(size), {}).seconds) for size in tuned), "tuned"
    )
    refined, alone = (Costs(MATMUL, tables).of("numpy", call(n), {}) for tables in ([own, came], [came]))
    if n not in (*tuned, 1, 4, 16, 64, 256, 1024):  # what was measured itself is as it was measured
        assert refined.seconds == pytest.approx(factor * alone.seconds, rel=0.3)
    assert refined.origin in ("interpolated", "measured")


def test_options_that_were_measured_on_small_calls_alone_follow_the_defaults_to_large_ones():
    """A gain of a tenth where the overhead counts is no promise of more than that on long calls."""
    defaults = [entry("einsum", n, 1e-6 + 1e-9 * n**3) for n in (1, 4, 16, 64, 256, 1024)]
    known = costs(*defaults, *(entry("einsum", n, 0.9 * (1e-6 + 1e-9 * n**3), options={"tile": 8}) for n in (1, 4)))
    for n in (200, 900):
        assert known.of("einsum", call(n), {"tile": 8}).seconds == pytest.approx(1e-6 + 1e-9 * n**3, rel=0.4)
