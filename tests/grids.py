"""What every sorted grid must do, on the CPU and on CUDA."""

import numpy as np

import registry
from kernels._definition.numerics import compare

CONTRACT = registry.contract("meanshift_step")
DTYPES = ("float32", "float64")


def judge(step, x, bandwidth, data, kernel, *weights, precision="truncated"):
    """Hold a step to its bound, and return it."""
    dtype = str(x.dtype)
    call = {"data": data, "kernel": kernel, "dtype": dtype} | dict(zip(["weights"], weights, strict=False))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        result = step(x, bandwidth, data, kernel, *weights)
        agreement = compare(
            result, CONTRACT.reference(x, bandwidth, **call), CONTRACT.bound(x, bandwidth, **call, precision=precision)
        )
    assert agreement.passes, f"{kernel}, {dtype}: entry {agreement.worst} is off by {agreement.share:.3g} bounds"
    return result


def meets_neighbours_at_exactly_the_bandwidth(step, count, dtype, d, offset):
    """Whole numbers apart by 7 in one coordinate: their quotients by 7 round, their difference does not."""
    for axis in range(d):
        left = np.zeros((count, d))
        left[:, axis] = offset + 29 * (np.arange(count) - count // 2)
        right = left.copy()
        right[:, axis] += 7
        x = np.concatenate([left, right]).astype(dtype)
        middle = np.concatenate([left, right])
        middle[:, axis] = np.tile(left[:, axis] + 3.5, 2)
        np.testing.assert_array_equal(step(x, 7.0, x, "flat"), middle.astype(dtype))
