"""outer's CUDA kernels."""

DAMAGE = [
    ("numba_cuda", "if j < c.shape[1]:", "if j <= c.shape[1]:"),
    ("numba_cuda", "min(first + ROWS, c.shape[0])", "first + ROWS"),
    ("numba_cuda", "return x <= y", "return not x > y"),
    ("numba_cuda", "ceildiv(len(a), ROWS)", "len(a) // ROWS"),
]


def numba_builds(every):
    from numba import float32, float64, uint8

    from kernels.outer import FUNCTIONS, numba_cuda

    for dtype in (float32, float64):
        for which, function in enumerate(FUNCTIONS):
            if every or function in ("multiply", "less"):
                written = uint8 if which >= numba_cuda.LESS else dtype
                signature = (dtype[::1], dtype[::1], written[:, ::1])
                yield f"outer/numba_cuda {dtype} {function}", numba_cuda.kernel(dtype, which), signature, numba_cuda.THREADS, 40
