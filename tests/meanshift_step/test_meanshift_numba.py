"""What the fused mean-shift step adds to the contract: how much memory it takes, and that slabs of points join."""

import tracemalloc

import numpy as np
import pytest

import registry

pytest.importorskip("numba")


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
    contract = registry.contract("meanshift_step")
    beside_edges = np.r_[0, np.arange(numba.SLAB, len(x), numba.SLAB) - 1, np.arange(numba.SLAB, len(x), numba.SLAB), len(x) - 1]
    args, kwargs = contract.rows(beside_edges, x, 1.0, data=data)
    error = np.abs(result[beside_edges] - contract.reference(*args, **kwargs, dtype="float32"))
    assert (error <= contract.bound(*args, **kwargs, dtype="float32")).all()
