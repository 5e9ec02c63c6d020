"""softmax's CUDA kernels."""

DAMAGE = [
    ("numba_cuda", "cuda.syncthreads()  # until all threads have read it", "pass"),
    ("numba_cuda", "n, lanes):\n            y[", "n - 1, lanes):\n            y["),
    ("numba_cuda", "if i < x.shape[0] else 0", "if i <= x.shape[0] else 0"),
    ("triton", "total = total * exp(most - shift) +", "total = total +"),
    ("triton", "mask=(i < count) & (j < n), other=hidden", "mask=(i < count) & (j < n), other=0"),
    ("triton", "y.dtype.element_ty), mask=(i < count) & (j < n)", "y.dtype.element_ty), mask=j < n"),
]


def numba_builds(every):
    from numba import float32, float64

    from kernels.softmax import numba_cuda

    for dtype in (float32, float64):
        for lanes in (numba_cuda.WARP, numba_cuda.THREADS):
            label, registers = f"softmax/numba_cuda {dtype} {lanes} threads for a row", 48 if dtype is float32 else 64
            yield label, numba_cuda.kernel(dtype, lanes), (dtype[:, ::1],) * 2, numba_cuda.THREADS, registers


def triton_builds(every):
    from kernels.softmax import triton
    from operations import TRITON

    for dtype in ("float32", "float16", "float64", *(("bfloat16",) if every else ())):
        signature = dict.fromkeys("xy", f"*{TRITON[dtype]}") | {"count": "i32", "n": "i32"}
        registers = 128 if dtype == "float64" else 96
        for block, (rows, warps) in triton.BLOCKS.items():
            for fits in (True, False) if block == max(triton.BLOCKS) else (True,):
                if every or (dtype == "float32" and block > 32) or (block == max(triton.BLOCKS) and not fits):
                    constants = {"ROWS": rows, "BLOCK": block, "FITS": fits}
                    label = f"softmax/triton {dtype} {rows} x {block}{'' if fits else ', longer rows'}"
                    yield label, triton.softmax_of_rows, signature, "n" if fits else "", constants, warps, 3, registers
