"""What the fused mean-shift step adds to the contract: its memory, slabs of points that join, few pairs by its passes too."""

import tracemalloc

import numpy as np
import pytest

import registry
from kernels import _conformance
from kernels._definition.numerics import compare

pytest.importorskip("numba")
EXAMPLES = 10
CONTRACT = registry.contract("meanshift_step")


def test_a_million_points_in_eight_dimensions_take_at_most_64_megabytes():
    from kernels.meanshift_step import numba

    rng = np.random.default_rng(0)
    x, data = rng.standard_normal((10**6, 8)).astype(np.float32), rng.standard_normal((17, 8)).astype(np.float32)
    numba.meanshift_step(x[:100], 1.0, data, "gaussian")
    tracemalloc.start()
    try:
        result = numba.meanshift_step(x, 1.0, data, "gaussian")
        beyond = tracemalloc.get_traced_memory()[1] - result.nbytes
    finally:
        tracemalloc.stop()
    assert beyond <= 64e6
    beside_edges = np.r_[0, np.arange(numba.SLAB, len(x), numba.SLAB) - 1, np.arange(numba.SLAB, len(x), numba.SLAB), len(x) - 1]
    args, kwargs = CONTRACT.rows(beside_edges, x, 1.0, data=data)
    error = np.abs(result[beside_edges] - CONTRACT.reference(*args, **kwargs, dtype="float32"))
    assert (error <= CONTRACT.bound(*args, **kwargs, dtype="float32")).all()


@pytest.mark.parametrize("property_", _conformance.all_properties(CONTRACT), ids=lambda property_: property_.__name__)
@pytest.mark.parametrize("shared", [False, True], ids=["slabs", "shared"])
def test_few_pairs_that_are_laid_out_keep_the_contract(shared, property_, monkeypatch):
    """Examples are small: each of their pairs would go by itself, and the passes over laid out points would hardly be asked."""
    from kernels.meanshift_step import numba

    monkeypatch.setattr(numba, "few", lambda n, m, d: False)
    if shared:  # the data, by a thread for each few of them
        monkeypatch.setattr(numba, "SHARED", 16)
        monkeypatch.setattr(numba, "BLOCK", 16)
    variant = next(each for each in registry.variants("meanshift_step") if each.name == "numba")
    _conformance.run(property_, _conformance.implementation_of(registry.zoo(), variant), EXAMPLES, 0)


def test_shared_data_whose_scaling_overflows_do_not_spoil_the_step(monkeypatch):
    from kernels.meanshift_step import numba

    monkeypatch.setattr(numba, "SHARED", 16)
    monkeypatch.setattr(numba, "BLOCK", 16)
    h = np.float32(2.0**-120)
    x, data = np.array([[0, 0], [h, 0]]), np.random.default_rng(0).uniform(0, h, (1000, 2))
    x, data = x.astype(np.float32), data.astype(np.float32)
    data[900] = 1e30
    call = {"data": data, "dtype": "float32"}
    error = np.abs(numba.meanshift_step(x, h, data, "gaussian") - CONTRACT.reference(x, h, **call))
    assert (error <= CONTRACT.bound(x, h, **call)).all()


@pytest.mark.parametrize("name", ["numba", "tiles"])
@pytest.mark.parametrize("kernel", ["gaussian", "flat"])
@pytest.mark.parametrize("limit", ["MAX_BYTES", "PRIVATE_BYTES"])
def test_blocks_of_points_and_data_join(limit, kernel, name, monkeypatch):
    """The last block of each is shorter, in the memory of a whole one."""
    from kernels.meanshift_step import _tiles

    monkeypatch.setattr(_tiles, limit, 1)
    rng = np.random.default_rng(0)
    x, data = rng.standard_normal((111, 20)), rng.standard_normal((203, 20))
    call = {"data": data, "kernel": kernel, "weights": rng.uniform(size=203) if kernel == "gaussian" else None}
    result = registry.get("meanshift_step", name)(x, 4.0, **call)
    precision = next(each.precision for each in registry.variants("meanshift_step") if each.name == name)
    bound = CONTRACT.bound(x, 4.0, **call, dtype="float64", precision=precision)
    assert compare(result, CONTRACT.reference(x, 4.0, **call, dtype="float64"), bound).passes
