"""attention's CUDA kernels."""

DAMAGE = [
    ("numba_cuda", "cuda.syncthreads()  # until all scores", "pass  # until all scores"),
    ("numba_cuda", "cuda.syncthreads()  # until all weights", "pass  # until all weights"),
    ("numba_cuda", "total * kept, moved * kept, now", "total * kept, moved, now"),
    ("numba_cuda", "m - n + 1 if causal", "1 if causal"),
    ("numba_cuda", "min(THREADS, seen - start)", "THREADS"),
    ("triton", "tl.where(j[None, :] < seen, scores", "tl.where(j[None, :] < seen + 1, scores"),
    ("triton", "moved * kept, input", "moved, input"),
    ("triton", "total == 0, 1, total", "total == 0, total, total"),
    ("triton", "mask=(i < n) & (column < e))", "mask=(i <= n) & (column < e))"),
]


def numba_builds(every):
    from numba import float32, float64, int64

    from kernels.attention import numba_cuda as attention

    for dtype in (float32, float64):
        arrays = (dtype[:, ::1],) * 3
        signature = (*arrays, dtype, int64, dtype[:, ::1])
        yield f"attention/numba_cuda {dtype}", attention.kernel(dtype), signature, attention.THREADS, 64


def triton_builds(every):
    from kernels.attention import triton as attention
    from operations import TRITON

    for dtype in ("float16", "float32", "float64", *(["bfloat16"] if every else [])):
        for d in (64, 128, 256) if every else (64,) if dtype == "float64" else (64, 128):
            names = ("QUERIES", "KEYS", "DEPTH", "WIDTH")
            tile = attention.tile_of(getattr(attention.torch, dtype), d, d)
            constants, warps = dict(zip(names, tile, strict=True)), attention.warps_of(*tile[2:])
            types_ = dict.fromkeys("qkvy", f"*{TRITON[dtype]}") | dict.fromkeys(("n", "m", "d", "e", "last"), "i32")
            types_["bits"] = "i64" if dtype == "float64" else "i32"
            label = f"attention/triton {dtype} d={d}"
            yield label, attention.attend, types_, "de", constants, warps, attention.STAGES, 255
