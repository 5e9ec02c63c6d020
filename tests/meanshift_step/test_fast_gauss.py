"""The fast Gauss transform where the suite does not reach: its errors' bounds, the points left over, and all kinds of cells."""

import math
import tracemalloc

import numpy as np
import pytest

pytest.importorskip("numba")

import registry
from kernels._compute import threads
from kernels.meanshift_step import _chebyshev, _dask_tiles, _fast_gauss, fast_gauss

STEP = registry.get("meanshift_step", "fast_gauss")
CONTRACT = registry.contract("meanshift_step")


def holds(x, h, data=None, weights=None):
    """Hold a step to the bound of its class."""
    y, call = STEP(x, h, data=data, weights=weights), {"data": data, "weights": weights, "dtype": "float32"}
    assert np.all(np.abs(y - CONTRACT.reference(x, h, **call)) <= CONTRACT.bound(x, h, **call, precision="truncated"))
    return y


def crowd(n, d, width=4.0, seed=0):
    return (np.random.default_rng(seed).standard_normal((n, d)) * width).astype(np.float32)


@pytest.mark.parametrize("ratio", [3.9, 2.0, 1.0, 0.8, 0.51])
def test_the_truncation_bound_holds_and_is_not_idle(ratio):
    most, cutoff, *_ = _chebyshev.expansion(ratio, 1)
    targets, sources = np.meshgrid(np.linspace(-1, 1, 61), np.linspace(-1, 1, 59), indexing="ij")
    for p in range(2, most + 1):
        matrices = _chebyshev.translations(ratio, p, cutoff)
        value, slope = _chebyshev.errors(ratio, 1, p, cutoff)
        wrong = [0.0, 0.0]
        for offset, matrix in zip(range(-cutoff, cutoff + 1), matrices, strict=True):
            z = ratio * (offset + (sources - targets) / 2)
            exact = np.exp(-z * z / 2)
            chebyshev = np.polynomial.chebyshev
            found = chebyshev.chebval2d(targets, sources, matrix)
            rate = chebyshev.chebval2d(targets, sources, chebyshev.chebder(matrix))
            wrong = [max(wrong[0], abs(found - exact).max()), max(wrong[1], abs(rate - exact * z * ratio / 2).max())]
        assert wrong[0] <= value
        assert wrong[1] <= slope
        if p < most and ratio <= 1:  # at most what is beyond the cutoff counts as much; for wide cells the bounds are loose
            assert slope <= 100 * wrong[1]
    beyond = cutoff * ratio
    assert math.exp(-beyond * beyond / 2) <= value
    assert beyond * ratio / 2 * math.exp(-beyond * beyond / 2) <= slope <= ratio / 2 * _chebyshev.UNIT_ROUNDOFF / 4


@pytest.mark.parametrize(("n", "d", "h"), [(1500, 1, 2.5), (1500, 2, 1.3), (700, 3, 1.9), (700, 3, 40.0)])
def test_expansions_keep_to_their_bounds(n, d, h):
    x = crowd(n, d)
    y = holds(x, h)
    expected = CONTRACT.reference(x, h, dtype="float32")
    assert np.abs(y - expected).max() <= n * _chebyshev.UNIT_ROUNDOFF / 2 * h + _chebyshev.UNIT_ROUNDOFF * np.abs(expected).max()
    data = crowd(n + 3, d, seed=1) + np.float32(1.5)
    holds(x, h, data)


def test_rows_that_expansions_cannot_serve_take_the_exact_path():
    data = crowd(4000, 2, 0.5)
    distances = np.array([0, 3, 4, 5, 5.5, 6, 6.5, 7, 8, 9, 11, 20, 100, 1e4, 1e30], np.float32)
    x = np.stack([distances, np.zeros_like(distances)], axis=1)
    y = holds(x, 1.0, data)
    certain = distances <= 100  # further out the rounding of distances alone decides which datum is nearest
    expected = CONTRACT.reference(x[certain], 1.0, data=data, dtype="float32")
    assert np.abs(y[certain] - expected).max() <= 4000 * _chebyshev.UNIT_ROUNDOFF


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("far", [1e5, 1e15, 1e30])
def test_few_points_over_huge_extents_make_few_cells(d, far):
    rng = np.random.default_rng(0)
    x = crowd(300, d, 1.0)
    x[:100] += np.float32(far) * rng.choice([-1, 1], (100, d)).astype(np.float32)
    x[100:200] *= np.float32(far)
    x[200:210] = x[100:110]
    holds(x, 0.7)
    holds(x[::3].copy(), 0.7, x)


def test_calls_and_rows_take_exact_steps_where_expansions_do_not_serve(monkeypatch):
    left = []
    exact = fast_gauss.gaussian_step
    monkeypatch.setattr(fast_gauss, "gaussian_step", lambda x, *call: left.append(len(x)) or exact(x, *call))
    x = crowd(400, 2)
    holds(x, 1.5)
    assert not left
    holds(np.concatenate([x, x[:30] + np.float32(200)]), 1.5, x)
    assert left == [30]
    monkeypatch.setattr(_fast_gauss, "MAX_COEFFICIENTS", 0)
    monkeypatch.setattr(_fast_gauss, "COEFFICIENTS_PER_POINT", 1)
    holds(x, 0.1)
    assert left == [30, 400]


@pytest.mark.parametrize("d", [1, 2, 3])
def test_a_bandwidth_wider_than_the_points_leaves_their_width_to_err_by(monkeypatch, d):
    monkeypatch.setattr(fast_gauss, "gaussian_step", None)
    x = crowd(300, d) + np.float32(100)
    for h in (30, 1e3, 1e5, 1e6, 1e20):
        holds(x, h)


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("spread", [0, 3, 12])
def test_weights_multiply_moments(d, spread):
    """Equal ones, and such that light points, whose sums the expansions cannot serve, stand beside heavy ones."""
    x, rng = crowd(900, d), np.random.default_rng(d)
    weights = (2.0 ** rng.uniform(-spread, spread, len(x))).astype(np.float32)
    y = holds(x, 1.9, weights=weights)
    holds(x[::3].copy(), 1.9, x, weights * (rng.random(len(x)) < 0.5))
    if not spread:
        assert np.array_equal(y, STEP(x, 1.9, weights=weights * np.float32(2.0**40)))
        assert np.abs(y - STEP(x, 1.9)).max() <= len(x) * _chebyshev.UNIT_ROUNDOFF * 1.9


def test_one_crowded_cell_and_duplicates():
    x = np.concatenate([crowd(900, 2, 0.01), np.full((200, 2), -3.25, np.float32), np.array([[40, -40]], np.float32)])
    y = holds(x, 2.0)
    assert np.array_equal(y[-1], x[-1])


@pytest.mark.parametrize("d", [1, 2, 3])
def test_bits_depend_on_no_cores_and_scale_with_powers_of_two(monkeypatch, d):
    x, data = crowd(700, d), crowd(500, d, seed=1)
    y = STEP(x, 2.3, data=data)
    for exponent in (-60, -7, 30):
        factor = np.float32(2.0**exponent)
        assert np.array_equal(STEP(x * factor, 2.3 * float(factor), data=data * factor), y * factor)
    for cores in (1, 3, 5):
        monkeypatch.setattr(threads, "CORES", cores)
        assert np.array_equal(STEP(x, 2.3, data=data), y)


def test_points_that_are_not_finite_do_no_harm():
    x = crowd(50, 2)
    x[7, 1], x[9, 0] = np.nan, np.inf
    assert STEP(x, 1.0, check_finite=False).shape == x.shape


@pytest.mark.parametrize(("d", "near"), [(1, 20), (2, 50), (3, 5000)])
def test_a_step_takes_no_more_memory_than_is_said_before(d, near):
    n = 100_000
    x = np.random.default_rng(0).random((n, d), np.float32)
    h = (near / n / {1: 2, 2: math.pi, 3: 4 / 3 * math.pi}[d]) ** (1 / d)
    STEP(x[:100], h)  # which compiles
    tracemalloc.start()
    STEP(x, h, data=x.copy())
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    low, high = _fast_gauss.ends_of([x])
    cells = _fast_gauss.best_lattice(low, high, h, float(n), _fast_gauss.sample(x), 2 * n)
    said = _fast_gauss.most_bytes(2 * n, low, high, cells)
    assert said / 4 <= taken <= said


def test_a_worker_expands_crowded_points_for_which_as_many_cells_would_not_fit(monkeypatch):
    monkeypatch.setattr(_dask_tiles, "memory_limit", lambda: 2**27)
    x = np.random.default_rng(0).random((100_000, 2), np.float32)
    assert _dask_tiles.expandable(x, x, 0.02)
    assert not _dask_tiles.expandable(x, x, 1e-4)  # cells of which most hold a point
