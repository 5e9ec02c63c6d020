"""matmul's CUDA kernels."""

DAMAGE = [
    ("numba_cuda", "i < c.shape[0] and", "i <= c.shape[0] and"),
    ("numba_cuda_tiled", "cuda.syncthreads()\n            for", "for"),
    ("numba_cuda_tiled", "cuda.syncthreads()  # no thread", "pass  # no thread"),
    ("numba_cuda_tiled", "start + row < b.shape[0]", "start + row < b.shape[0] - 1"),
    ("numba_cuda_blocked", "cuda.syncthreads()\n            ahead", "ahead"),
    ("numba_cuda_blocked", "i < m and k < depth", "i < m and k <= depth"),
    ("numba_cuda_blocked", "if i < m and j < n:", "if i <= m and j < n:"),
    ("triton", "mask=(i < m) & (along_a < k)", "mask=i < m"),
    ("triton", "c.dtype.element_ty), mask=(i < m) & (j < n)", "c.dtype.element_ty), mask=(i <= m) & (j < n)"),
]


def numba_builds(every):
    from numba import float32, float64

    from kernels.matmul import numba_cuda, numba_cuda_blocked, numba_cuda_tiled

    for dtype in (float32, float64):
        matrices = (dtype[:, ::1],) * 3
        yield f"matmul/numba_cuda {dtype}", numba_cuda.kernel(dtype), matrices, numba_cuda.TILE**2, 40
        tile = numba_cuda_tiled.TILE
        yield f"matmul/numba_cuda_tiled {dtype}", numba_cuda_tiled.kernel(dtype, tile), matrices, tile**2, 40
        blocked = numba_cuda_blocked.kernel(dtype)
        yield f"matmul/numba_cuda_blocked {dtype}", blocked, matrices, numba_cuda_blocked.ACROSS**2, 128


def triton_builds(every):
    from kernels.matmul import triton as matmul
    from operations import TRITON

    arithmetic = [("ieee", "float32"), ("tf32", "float32"), ("tf32x3", "float32"), ("half", "float16"), ("float64", "float64")]
    for precision, dtype in [*arithmetic, *([("half", "bfloat16")] if every else [])]:
        pointers = dict.fromkeys("abc", f"*{TRITON[dtype]}")
        for at, (top, left, warps, stages) in enumerate(matmul.TILES[precision]):
            depth = matmul.DEPTHS[getattr(matmul.torch, dtype)]
            constants = {"DEPTH": depth, "PRECISION": precision if dtype == "float32" else "ieee", "TOP": top, "LEFT": left}
            signature = pointers | dict.fromkeys(("m", "k", "n", "size"), "i32")
            # Extents that are multiples of 16 allow wide loads, and with them more stages.
            for aligned in ("", "kn") if every else ("" if at % 2 else "kn",):
                label = f"matmul/triton {dtype} {precision} {top}x{left} {aligned}"
                yield label, matmul.product, signature, aligned, constants, warps, stages, 255
