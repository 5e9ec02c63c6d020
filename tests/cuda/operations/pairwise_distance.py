"""pairwise_distance's CUDA kernels."""

DAMAGE = [
    ("numba_cuda", "cuda.syncthreads()\n            for", "for"),
    ("numba_cuda", "if top + r < n and first + k < d else zero", "if top + r < n else zero"),
    ("numba_cuda", "if not (least <= distances[i, j]", "if not (zero <= distances[i, j]"),
    ("triton", "mask=inside)\n", "mask=i < n)\n"),
    ("triton", "if tl.max(again.to(tl.float32)) > 0:", "if tl.min(again.to(tl.float32)) > 0:"),
]


def numba_builds(every):
    from numba import float32, float64

    from kernels.pairwise_distance import METRICS, numba_cuda

    for dtype in (float32, float64):
        for metric in METRICS if every else METRICS[:1]:
            fill, threads = numba_cuda.kernel(dtype, metric), numba_cuda.ACROSS**2
            yield f"pairwise_distance/numba_cuda {dtype} {metric}", fill, (dtype[:, ::1],) * 3, threads, 96


def triton_builds(every):
    from kernels.pairwise_distance import METRICS
    from kernels.pairwise_distance import triton as distances
    from operations import TRITON

    for dtype in ("float32", "float64", *(("float16", "bfloat16") if every else ())):
        pointers = dict.fromkeys(("x", "y", "distances"), f"*{TRITON[dtype]}")
        for kind, metric in enumerate(METRICS):
            if every or kind == 0:
                constants = {"METRIC": kind, "TOP": distances.TOP, "LEFT": distances.LEFT}
                registers = 160 if dtype == "float64" else 128
                label = f"pairwise_distance/triton {dtype} {metric}"
                yield label, distances.fill, pointers | dict.fromkeys("nmd", "i32"), "", constants, distances.WARPS, 3, registers
