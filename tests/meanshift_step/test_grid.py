"""What the sorted grid adds to the contract: its cells, the proof of a cutoff, its memory, and when it is not for a call."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from grids import CONTRACT, DTYPES, judge, meets_neighbours_at_exactly_the_bandwidth

import registry
from kernels import _conformance
from kernels._compute import threads
from kernels._definition.numerics import compare
from kernels.meanshift_step import KERNELS, _properties

pytest.importorskip("numba")
from kernels.meanshift_step import _cells, _grid, grid


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [1, 2, 3, 4])
@pytest.mark.parametrize("offset", [0, -1000, 1_000_000])
def test_a_neighbour_at_exactly_the_bandwidth_is_met(dtype, d, offset):
    meets_neighbours_at_exactly_the_bandwidth(grid.meanshift_step, 60, dtype, d, offset)


def test_compact_kernels_are_exact_on_a_lattice():
    """The class "truncated" excuses the gaussian alone."""
    variant = next(v for v in registry.variants("meanshift_step") if v.name == "numba_grid")
    implementation = replace(_conformance.implementation_of(registry.zoo(), variant), precision="working")
    _conformance.run(_properties.is_exact_on_a_lattice, implementation, 50, 0)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_points_very_far_apart_are_still_told_apart(dtype, kernel):
    """A few clusters 1e7 to 1e30 bandwidths apart, and points alone at every distance between."""
    rng = np.random.default_rng(1)
    for d in (1, 2, 3, 5):
        for far in (1e7, 1e30):
            x = rng.standard_normal((90, d))
            x[::3] += far
            x[1::7] -= far
            alone = 10.0 ** rng.uniform(0, np.log10(far), (30, d)) * rng.choice([-1, 1], (30, d))
            x = np.concatenate([x, alone]).astype(dtype)
            judge(grid.meanshift_step, x, 1.0, x, kernel)
            judge(grid.meanshift_step, x[::5].copy(), 1.0, x[1:], kernel)


@pytest.mark.parametrize("kernel", KERNELS)
def test_an_axis_is_left_out_where_keys_would_overflow(kernel, monkeypatch):
    monkeypatch.setattr(_cells, "MAX_CELLS", 2**40)
    x = np.random.default_rng(2).uniform(-1, 1, (50, 3)) * 2.0**30
    x = np.concatenate([x, x + 0.3])
    assert len(_cells.Grid((x,), 1.0, 1, 1.0).axes) < 3
    judge(grid.meanshift_step, x, 1.0, x, kernel)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [1, 2, 3])
def test_a_crowd_at_any_distance_is_weighed_or_proven_light(dtype, d):
    """10,000 points c bandwidths from a lone one: whatever c, they are left out only where they would not be missed."""
    for c in (4, 5, 5.5, 6, 6.5, 7, 8, 9, 10, 12, 14, 20):
        data = np.zeros((10_001, d))
        data[0, -1] = c
        data[5000:, 0] -= 1e-3  # a crowd, not one site
        data = data.astype(dtype)
        judge(grid.meanshift_step, data[:2].copy(), 1.0, data, "gaussian")  # the lone point has itself
        judge(grid.meanshift_step, data[:1].copy(), 1.0, data[1:], "gaussian")  # and has nothing nearer


def test_most_points_of_a_large_set_prove_a_shorter_cutoff():
    x = np.random.default_rng(3).uniform(0, 80, (100_000, 2)).astype("float32")
    x[0] = 1e4  # but not one that is alone
    result = grid.meanshift_step(x, 1.0, x, "gaussian")
    rows = np.append(0, np.random.default_rng(4).choice(len(x), 20))
    call = {"data": x, "kernel": "gaussian", "dtype": "float32"}
    limit = CONTRACT.bound(x[rows], 1.0, **call, precision="truncated")
    assert compare(result[rows], CONTRACT.reference(x[rows], 1.0, **call), limit).passes
    assert (result[0] == x[0]).all()


@pytest.mark.parametrize("d", [1, 3])
def test_few_points_take_all_data_however_far(d):
    """The way of a few points that `fast_gauss` leaves over: no cells, and weights relative to the nearest datum's."""
    rng = np.random.default_rng(8)
    data = rng.standard_normal((700, d)).astype("float32")
    x = rng.standard_normal((_grid.SORT_PAIRS_PER_DATUM, d))
    x[::2, 0] += 10.0 ** rng.uniform(0, 30, len(x[::2]))
    judge(
        lambda x, h, data, _: _grid.gaussian_step(x, h, data, None),
        x.astype("float32"),
        1.0,
        data,
        "gaussian",
        precision="working",
    )


@pytest.mark.parametrize("kernel", KERNELS)
def test_cores_change_no_bits(kernel, monkeypatch):
    x = np.random.default_rng(5).standard_normal((6_000, 3)).astype("float32")
    results = []
    for cores in (1, 2, 3):
        monkeypatch.setattr(threads, "CORES", cores)
        results.append(grid.meanshift_step(x, 0.3, x, kernel).tobytes())
    assert len(set(results)) == 1


@pytest.mark.parametrize("spread", [20.0, 1e12])
def test_memory_is_linear_in_the_points(spread):
    def peak(n):
        x = (np.random.default_rng(6).uniform(-1, 1, (n, 3)) * spread).astype("float32")
        grid.meanshift_step(x, 1.0, x, "triangular")
        tracemalloc.start()
        try:
            grid.meanshift_step(x, 1.0, x, "triangular")
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(40_000) < 2.2 * peak(20_000) < 2.2 * 200 * 20_000


@pytest.mark.parametrize("dtype", DTYPES)
def test_light_data_widen_the_cutoff_that_they_prove(dtype):
    """A light point beside a heavy crowd c bandwidths off: the crowd's pull shows further out than among equals."""
    variant = registry.get("meanshift_step", "numba_grid")
    for c in (4, 5, 6, 7, 8, 9, 10, 11, 12, 14):
        data = np.random.default_rng(9).standard_normal((2_001, 2)) * 1e-3
        data[0, -1] = c
        weights = np.full(len(data), 1e6)
        weights[0] = 1.0
        data, weights = data.astype(dtype), weights.astype(dtype)
        call = {"data": data, "weights": weights, "dtype": dtype}
        result = variant(data[:1], 1.0, data=data, weights=weights)
        limit = CONTRACT.bound(data[:1], 1.0, **call, precision="truncated")
        assert compare(result, CONTRACT.reference(data[:1], 1.0, **call), limit).passes, c


@pytest.mark.parametrize("kernel", [kernel for kernel in KERNELS if kernel != "gaussian"])
def test_points_that_are_the_first_of_their_data_are_not_sorted_again(kernel, monkeypatch):
    data = np.random.default_rng(0).random((3000, 2))
    points = [data, data[:1000]]
    expected = [grid.meanshift_step(x.copy(), 0.02, data, kernel).tobytes() for x in points]
    sort, calls = _cells.Grid.sort, []
    monkeypatch.setattr(_cells.Grid, "sort", lambda *args: calls.append(args) or sort(*args))
    assert [grid.meanshift_step(x, 0.02, data, kernel).tobytes() for x in points] == expected
    assert len(calls) == 2
