"""What the sorted grid on CUDA adds to the contract; test_cuda_grid.py runs it without a GPU, in processes of their own."""

import functools
import itertools

import grids
import numpy as np
import pytest
import torch
from grids import DTYPES

from kernels.meanshift_step import KERNELS, numba_cuda_grid


def step(x, bandwidth, data, kernel, *weights):
    points = torch.from_numpy(x)
    others = [points if data is x else torch.from_numpy(data), kernel, *map(torch.from_numpy, weights)]
    return numba_cuda_grid.meanshift_step(points, bandwidth, *others).numpy()


judge = functools.partial(grids.judge, step)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [1, 2, 3, 4])
@pytest.mark.parametrize("offset", [0, -1000, 1_000_000])
def test_a_neighbour_at_exactly_the_bandwidth_is_met(dtype, d, offset):
    grids.meets_neighbours_at_exactly_the_bandwidth(step, 7, dtype, d, offset)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_second_smallest_difference_that_is_too_far_is_not(dtype):
    """Beside the edge, where a cell's number rounds the other way."""
    x = np.array([[0.0], [np.nextafter(np.array(7, dtype), np.array(8, dtype)) + np.finfo(dtype).eps * 32]], dtype)
    assert (step(x, 7.0, x, "flat") == x).all()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_points_very_far_apart_are_still_told_apart(dtype, kernel):
    """Three clusters 1e7 to 1e30 bandwidths apart, and points alone at every distance between, past the last column too."""
    rng = np.random.default_rng(1)
    for d, far in itertools.product((1, 2, 4), (1e7, 1e12, 1e30)):
        x = rng.standard_normal((15, d))
        x[::3] += far
        x[1::7] -= far
        alone = 10.0 ** rng.uniform(0, np.log10(far), (6, d)) * rng.choice([-1, 1], (6, d))
        x = np.concatenate([x, alone]).astype(dtype)
        precision = "truncated" if kernel == "gaussian" else "working"
        judge(x, 1.0, x, kernel, precision=precision)
        judge(x[::5].copy(), 1.0, x[1:].copy(), kernel, precision=precision)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("d", [2, 3])
def test_rows_that_share_a_number_are_told_apart(kernel, d):
    """Rows a power of two apart have one key: what lies there is met, and weighs nothing."""
    modulus = 2 ** numba_cuda_grid.row_bits(d)
    cutoff, rows = numba_cuda_grid.cutoff_of(numba_cuda_grid.DTYPES[torch.float32], KERNELS.index(kernel))
    rng = np.random.default_rng(2)
    x = rng.uniform(-1, 1, (30, d))
    x[:, 0] *= 4 * modulus * cutoff  # the columns' axis, the widest
    x[:, 1:] += modulus * cutoff / rows * rng.integers(-1, 2, (30, d - 1))
    x = np.concatenate([x, x + 0.3 * rng.uniform(-1, 1, x.shape)]).astype("float32")
    judge(x, 1.0, x, kernel)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_extent_past_the_largest_number_is_no_distance(dtype, kernel):
    largest = np.finfo(dtype).max
    x = np.array([[-largest, 1.0], [-largest, 1.5], [largest, 1.0], [largest, 0.5], [0.0, 1.0], [0.0, 1.25]], dtype)
    for bandwidth in (1.0, float(largest) / 2**20):
        result = step(x, bandwidth, x, kernel)
        assert np.isfinite(result).all()
        assert (result[:, 0] == x[:, 0]).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [1, 2, 3])
def test_a_crowd_at_any_distance_is_weighed_or_proven_light(dtype, d):
    """A thousand points c bandwidths from a lone one: whatever c, they are left out only where they would not be missed."""
    for c in (4, 5.5, 6.5, 8, 9.5, 12, 20):
        data = np.zeros((601, d))
        data[0, -1] = c
        data[300:, 0] -= 1e-3  # a crowd, not one site
        data = data.astype(dtype)
        judge(data[:2].copy(), 1.0, data, "gaussian")  # the lone point has itself
        judge(data[:1].copy(), 1.0, data[1:].copy(), "gaussian")  # and has nothing nearer


def test_all_in_one_cell():
    x = np.random.default_rng(3).uniform(0, 0.01, (40, 3)).astype("float32")
    for kernel in KERNELS:
        judge(x, 1.0, x, kernel)


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_are_sorted_with_their_data(dtype):
    """Of each size, and 0 for all data near some of the points, which go to others far beyond any cutoff."""
    rng = np.random.default_rng(4)
    x = np.concatenate([rng.standard_normal((20, 2)), rng.standard_normal((5, 2)) + 1000]).astype(dtype)
    weights = (rng.integers(0, 3, len(x)) * 2.0 ** rng.integers(-8, 8, len(x))).astype(dtype)
    weights[-5:] = 0
    for kernel in KERNELS:
        judge(x, 1.0, x, kernel, weights)
