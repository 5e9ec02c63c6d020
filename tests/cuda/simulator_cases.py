"""What Numba's simulator owes the kernels; test_cuda_simulated.py runs it in a process of its own."""

import time

import numpy as np
from numba import cuda


def test_threads_that_ask_at_once_for_a_shared_array_have_one(monkeypatch):
    allocate = np.empty

    def slow(*args, **kwargs):
        time.sleep(0.01)  # all threads ask before the first has it
        return allocate(*args, **kwargs)

    @cuda.jit
    def sums(out):
        i = cuda.threadIdx.x
        first, second = cuda.shared.array(8, np.int64), cuda.shared.array(8, np.int64)  # two on a line are two
        first[i], second[i] = 1, 10
        cuda.syncthreads()
        out[i] = first.sum() + second.sum()

    out = np.zeros(8, np.int64)
    monkeypatch.setattr(np, "empty", slow)
    sums[1, 8](out)
    assert (out == 88).all()
