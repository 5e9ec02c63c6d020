"""The compiled softmax and its exponentials, where the suite's entries do not reach: the ends of the range, and their bits."""

import numpy as np
import pytest

import registry

pytest.importorskip("numba")

from kernels._compute.jit import jit
from kernels._compute.simd import BYTES, load, store
from kernels._compute.simd_exp import exp, exp_constants, load_first, store_first


@jit
def exponentials(x, y, c):
    lanes = BYTES // x.itemsize
    for i in range(0, len(x), lanes):
        store(y, i, exp(load(x, i), c))


@jit
def copied(x, y, count):
    store_first(y, 1, count, load_first(x, 1, count, x.dtype.type(7)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_exponential_is_off_by_less_than_the_bound_grants_a_library(dtype):
    info = np.finfo(dtype)
    least = np.log(info.tiny)
    x = np.concatenate([np.linspace(least, 0, 200_000), -np.geomspace(1e-30, 1, 56_000)]).astype(dtype)
    y = np.empty_like(x)
    exponentials(x, y, exp_constants(dtype))
    exact = np.exp(x.astype(np.longdouble))
    kept = exact >= info.tiny
    assert float((np.abs(y - exact)[kept] / exact[kept]).max()) < 4 * info.eps / 2
    assert (np.abs(y - exact)[~kept] <= info.tiny).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exponentials_of_what_is_hidden_are_zero_and_nan_stays(dtype):
    special = [-np.inf, -np.finfo(dtype).max, -1e5, np.log(np.finfo(dtype).tiny) - 1, np.nan]
    payload = np.array([-1], f"i{np.dtype(dtype).itemsize}").view(dtype)  # a NaN whose bits are all set
    x = np.resize(np.concatenate([np.array(special, dtype), payload]), 6 * 64)
    y = np.empty_like(x)
    exponentials(x, y, exp_constants(dtype))
    assert np.array_equal(y, np.resize([0, 0, 0, 0, np.nan, np.nan], x.shape), equal_nan=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_first_lanes_alone_are_read_and_written(dtype):
    lanes = BYTES // np.dtype(dtype).itemsize
    x = np.arange(lanes + 2, dtype=dtype)
    for count in range(lanes + 1):
        y = np.full_like(x, -1)
        copied(x, y, count)
        assert (y[1 : 1 + count] == x[1 : 1 + count]).all()
        assert (np.delete(y, range(1, 1 + count)) == -1).all()


def test_rows_have_the_same_bits_however_many_there_are():
    """Neither a row's neighbours nor where it lies change its digits."""
    softmax = registry.get("softmax", "numba")
    for n in (1, 5, 16, 37, 130):
        x = np.random.default_rng(n).standard_normal((3000, n)).astype(np.float32)
        whole = softmax(x)
        assert all((softmax(x[i]) == whole[i]).all() for i in (0, 1, 1499, 2999))
