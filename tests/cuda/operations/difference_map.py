"""difference_map's CUDA kernels."""

DAMAGE = [
    ("numba_cuda", "if p < total.shape[0]:", "if p <= total.shape[0]:"),
    ("numba_cuda", "range(a.shape[0])", "range(1, a.shape[0])"),
    ("numba_cuda", "part += abs(x * factor - y * factor)", "part += abs(x - y) * factor"),
    ("numba_cuda", "torch.where(total.amax().isinf(), fractions, total)", "total"),
    ("numba_cuda", "ceildiv(places, THREADS)", "max(1, places // THREADS)"),
]


def numba_builds(every):
    from numba import float32, float64

    from kernels.difference_map import numba_cuda

    for dtype in (float32, float64):
        signature = (dtype[:, ::1], dtype[:, ::1], dtype, dtype[::1], dtype[::1])
        yield f"difference_map/numba_cuda {dtype}", numba_cuda.kernel(dtype), signature, numba_cuda.THREADS, 48
