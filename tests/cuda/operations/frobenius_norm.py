"""frobenius_norm's CUDA kernels."""

DAMAGE = [
    ("numba_cuda", "cuda.syncthreads()\n    while", "while"),
    ("numba_cuda", "cuda.syncthreads()  # until all sums of this round are there", "pass"),
    (
        "numba_cuda",
        "range(cuda.grid(1), len(entries), cuda.gridsize(1))",
        "range(cuda.grid(1), len(entries), cuda.gridsize(1) + 1)",
    ),
    ("numba_cuda", "size *= up\n", "size *= down\n"),
    ("numba_cuda", "if large != zero:", "if large > ordinary:"),
]


def numba_builds(every):
    from numba import float32, float64

    from kernels.frobenius_norm import numba_cuda as norm

    for dtype in (float32, float64):
        sums = dtype[:, ::1]
        yield f"frobenius_norm/numba_cuda {dtype} sums", norm.summing(dtype), (dtype[::1], sums), norm.THREADS, 40
        yield f"frobenius_norm/numba_cuda {dtype} end", norm.finishing(dtype), (sums, dtype[::1]), norm.THREADS, 40
