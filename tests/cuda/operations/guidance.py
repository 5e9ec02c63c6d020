"""guidance's CUDA kernel."""

DAMAGE = [
    ("numba_cuda", "lengths(c, y, i, parts)", "lengths(u, y, i, parts)"),
    ("numba_cuda", "+ rest * y[i, k]", "+ y[i, k]"),
    ("numba_cuda", "c.shape[1], cuda.blockDim.x):\n            y[", "c.shape[1] - 1, cuda.blockDim.x):\n            y["),
]


def numba_builds(every):
    from numba import float32, float64

    from kernels._compute.cuda_rows import THREADS
    from kernels.guidance import numba_cuda

    for dtype in (float32, float64):
        rows, number = dtype[:, ::1], dtype
        signature = (rows, rows, number, number, number, rows)
        yield f"guidance/numba_cuda {dtype}", numba_cuda.kernel(dtype), signature, THREADS, 48 if dtype is float32 else 80
