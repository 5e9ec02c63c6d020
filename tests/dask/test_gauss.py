"""Gaussians of dask arrays: what blocks send each other, which points are left over, and versions that are wrong."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import registry

da = pytest.importorskip("dask.array")
pytest.importorskip("numba")
from dask.callbacks import Callback  # noqa: E402

from kernels.meanshift_step import _dask_fast_gauss, _dask_proof, _dask_rest, _dask_tiles  # noqa: E402
from kernels.meanshift_step._chebyshev import expansion  # noqa: E402

step, contract = registry.get("meanshift_step"), registry.contract("meanshift_step")
SHARED = ("hull", "plan", "union", "sum", "local", "gathered", "rest")  # what tasks are called that belong to no block


def crowd(n, d, width=2.0, seed=0):
    return (np.random.default_rng(seed).standard_normal((n, d)) * width).astype(np.float32)


def holds(x, h, data=None, method="fast_gauss", blocks=7):
    """Hold a step of blocks to the bound of its class."""
    other = {} if data is None else {"data": da.from_array(data, chunks=(-(-len(data) // 5), data.shape[1]))}
    y = step(da.from_array(x, chunks=(-(-len(x) // blocks), x.shape[1])), h, method=method, **other)
    call = {"data": data, "dtype": x.dtype.name}
    off = np.abs(y.compute(scheduler="synchronous") - contract.reference(x, h, **call))
    assert np.all(off <= contract.bound(x, h, **call, precision="truncated"))


def far_and_near(d, dtype=np.float32):
    """Return points of which some are far from the data, and data."""
    x, data = crowd(400, d, 4.0), crowd(500, d, 4.0, seed=1)
    x[:99] += np.geomspace(5, 1e4, 99)[:, None].astype(np.float32)
    return x.astype(dtype), data.astype(dtype)


class Sizes(Callback):
    """How many numbers each task returned."""

    def __init__(self):
        self.numbers = {}
        super().__init__(posttask=self.note)

    def note(self, key, result, *_):
        self.numbers[key] = self.count(result)

    def count(self, result):
        if isinstance(result, np.ndarray) and result.dtype != object:
            return result.size
        return sum(map(self.count, result)) if isinstance(result, tuple | list | np.ndarray) else 1


def test_coefficients_travel_and_no_points():
    x = crowd(80_000, 2)
    moved = step(da.from_array(x, chunks=(40_000, 2)), 1.0, method="fast_gauss")
    with Sizes() as sizes:
        moved.compute(scheduler="synchronous", optimize_graph=False)
    cells, terms = len(np.unique(np.floor(x), axis=0)), expansion(1.0, 2)[0] ** 2

    def block(key):
        name = key[0] if isinstance(key, tuple) else key
        what = name.split("-")[-1 if name.startswith("meanshift") else 0]
        return None if what in SHARED else key[1]

    sent = {
        task
        for key, needed in moved.__dask_graph__().get_all_dependencies().items()
        for task in needed & sizes.numbers.keys()
        if block(task) is None or block(task) != block(key)
    }
    assert len(sent) >= 8  # both blocks' extents, moments and cells, and what is merged of them
    assert max(sizes.numbers[task] for task in sent) <= cells * (terms + 1) < x.size / 4


@pytest.mark.parametrize("method", ["fast_gauss", "tiles"])
def test_the_graph_grows_with_blocks(method):
    def tasks(blocks):
        x, data = (da.zeros((4 * blocks, 2), chunks=(4, 2), dtype=np.float32) + i for i in (0, 1))
        return len(dict(step(x, 1.0, data=data, method=method).__dask_graph__()))

    counts = [tasks(blocks) for blocks in (16, 64, 256)]
    assert counts[2] <= 30 * 256
    assert counts[2] - counts[1] <= 4.1 * (counts[1] - counts[0])


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("method", ["fast_gauss", "tiles"])
def test_points_far_from_all_data_meet_all_of_them(monkeypatch, method, d):
    left, gathered = [], _dask_rest._gathered
    monkeypatch.setattr(_dask_rest, "_gathered", lambda parts: left.append(sum(map(len, parts))) or gathered(parts))
    x, data = far_and_near(d)
    holds(x, 2.0, data, method)
    holds(x, 40.0, data, method)
    assert 0 < left[1] <= left[0] <= 120
    if method == "tiles":
        holds(x.astype(float), 2.0, data.astype(float), method)


def test_each_version_that_is_wrong_is_seen(monkeypatch):
    x, data = far_and_near(2)

    def wrong(method, room, name, value):
        holds(x, 2.0, data, method)
        with monkeypatch.context() as patch:
            patch.setattr(room, name, value)
            with pytest.raises(AssertionError):
                holds(x, 2.0, data, method)

    summed, sums = _dask_fast_gauss._sum, _dask_rest._sum
    wrong("fast_gauss", _dask_fast_gauss, "_sum", lambda parts, plan: summed(parts[:-1] or parts, plan))  # a block's moments
    wrong("tiles", _dask_rest, "_sum", lambda parts: sums(parts[1:] or parts))
    wrong("tiles", _dask_proof, "served", lambda x, *_, **__: np.ones(len(x), bool))  # no point is left over


def test_all_points_in_one_place_stay_and_meet_nobody(monkeypatch):
    monkeypatch.setattr(_dask_rest._partial, "added", None)
    x = da.ones((3000, 2), chunks=(500, 2), dtype=np.float32)
    assert (step(x, 1.0, method="fast_gauss") == x).all().compute(scheduler="synchronous")


def test_data_that_are_not_crowded_are_refused_with_what_takes_them(monkeypatch):
    x = da.from_array(crowd(30_000, 3, 1e3), chunks=(7_500, 3))
    moved = step(x, 1.0, method="fast_gauss")
    with pytest.raises(MemoryError, match=r"fast_gauss: \d+,\d+ cells for 30,000 points .* not crowded: take method='tiles'"):
        moved.compute(scheduler="synchronous")
    holds(crowd(700, 3, 6.0), 1.0)  # all pairs take less time than so many cells
    monkeypatch.setattr(_dask_fast_gauss, "memory_limit", lambda: 2**18)
    with pytest.raises(MemoryError, match="a worker may take 0 MiB; give workers more memory, or take method='ring'"):
        step(da.from_array(crowd(3000, 2, 6.0), chunks=(500, 2)), 1.0, method="fast_gauss").compute(scheduler="synchronous")


def test_too_many_points_left_over_are_refused_with_what_takes_them(monkeypatch):
    monkeypatch.setattr(_dask_rest, "memory_limit", lambda: 2**12)
    x = da.from_array(crowd(400, 2) + np.float32(1e3), chunks=(100, 2))
    with pytest.raises(MemoryError, match=r"400 points are too far from most data .* take method='ring'"):
        step(x, 1.0, data=crowd(50, 2), method="tiles").compute(scheduler="synchronous")


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 3),
    st.floats(0.1, 8),
    st.sampled_from([1e-30, 1.0, 1e9]),
    st.booleans(),
    st.booleans(),
)
def test_a_proof_holds_by_the_weights_themselves(seed, d, spread, h, single, weighted):
    rng, unit = np.random.default_rng(seed), 2.0**-24 if single else 2.0**-53
    dtype = np.float32 if single else np.float64
    x, data = ((rng.uniform(-spread, spread, (n, d)) * h * 3).astype(dtype) for n in (60, 40))
    cutoff = _dask_tiles.reach_of("gaussian", 1.0, unit, _dask_proof.NEAREST)
    v = (2.0 ** rng.uniform(-20, 0, len(data))).astype(dtype) if weighted else None
    y = step(x.astype(float), h, data=data.astype(float), weights=None if v is None else v.astype(float))
    served = _dask_proof.served(x, y, data, v, h, cutoff)
    q = np.sqrt((((x[:, None].astype(float) - data) / h) ** 2).sum(axis=-1))
    shift = np.sqrt((((y - x) / h) ** 2).sum(axis=-1))
    total = (np.exp(-q * q / 2) * (1.0 if v is None else v)).sum(axis=1)
    assert np.all((math.exp(-cutoff * cutoff / 2) * (cutoff + shift) <= unit / 2 * total)[served])
    sure = (np.floor(x / (_dask_proof.EDGE * h))[:, None] == np.floor(data / (_dask_proof.EDGE * h))).all(axis=-1).any(axis=1)
    assert weighted or served[sure].all()
