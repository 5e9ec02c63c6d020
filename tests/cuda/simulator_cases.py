"""What the simulator of tests/cuda/simulator.py owes the kernels; test_cuda_simulated.py runs it in a process of its own."""

import numpy as np
import pytest
from numba import cuda


@cuda.jit
def _sums(out):
    i = cuda.threadIdx.x
    first, second = cuda.shared.array(8, np.int64), cuda.shared.array(8, np.int64)  # two on a line are two
    first[i], second[i] = 1, 10
    cuda.syncthreads()
    out[cuda.grid(1)] = first.sum() + second.sum()


def _reads_early(other):
    """Return a kernel whose threads each read what another writes, with no barrier in between."""

    @cuda.jit
    def kernel(out):
        tile, i = cuda.shared.array(8, np.int64), cuda.threadIdx.x
        tile[i] = 0
        cuda.syncthreads()
        tile[i] = 1
        out[cuda.grid(1)] = tile[other(i)]

    return kernel


@cuda.jit
def _ends_before(out):
    i = cuda.grid(1)
    if i % 2:
        cuda.syncthreads()
    out[i] = 1


@cuda.jit
def _any_and_all(out):
    i = cuda.threadIdx.x
    out[cuda.grid(1)] = cuda.syncthreads_or(i == 3) and not cuda.syncthreads_or(i == 8)


@cuda.jit
def _fails(out):
    cuda.syncthreads()
    out[8] = 1


def _result(kernel):
    out = np.zeros(16, np.int64)
    kernel[2, 8](out)
    return out


def test_a_shared_array_is_one_for_all_threads_of_a_block():
    assert (_result(_sums) == 88).all()


@pytest.mark.parametrize("other", [lambda i: (i + 1) % 8, lambda i: max(i - 1, 0)], ids=["the next", "the last"])
def test_who_reads_before_a_barrier_that_is_missing_reads_too_early_every_time(other):
    for _ in range(3):
        assert not _result(_reads_early(other)).all()


def test_threads_that_have_ended_are_not_waited_for():
    assert _result(_ends_before).all()


def test_a_barrier_says_whether_any_thread_says_so():
    assert _result(_any_and_all).all()


def test_an_error_of_a_thread_is_the_launch_s_and_the_next_launch_works():
    with pytest.raises(IndexError):
        _fails[1, 8](np.zeros(8))
    assert (_result(_sums) == 88).all()
