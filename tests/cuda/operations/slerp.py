"""slerp's CUDA kernel."""

DAMAGE = [
    ("numba_cuda", "apart, together = sums_of(parts, apart, together)", "pass"),
    ("numba_cuda", "if of_a != zero and of_b != zero and apart != zero and", "if"),
    ("numba_cuda", "near, far = sine(near * w) / sine(w), sine(far * w) / sine(w)", "pass"),
    ("numba_cuda", "a.shape[1], cuda.blockDim.x):\n            y[", "a.shape[1] - 1, cuda.blockDim.x):\n            y["),
]


def numba_builds(every):
    from numba import float32, float64

    from kernels._compute.cuda_rows import THREADS
    from kernels.slerp import numba_cuda

    for dtype in (float32, float64):
        rows, number = dtype[:, ::1], dtype
        signature = (rows, rows, number, number, rows)
        yield f"slerp/numba_cuda {dtype}", numba_cuda.kernel(dtype), signature, THREADS, 48 if dtype is float32 else 80
