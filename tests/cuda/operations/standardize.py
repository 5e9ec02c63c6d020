"""standardize's CUDA kernels."""

DAMAGE = [
    ("numba_cuda", "found[1, warp, lane] = low, high\n        cuda.syncthreads()", "found[1, warp, lane] = low, high"),
    ("numba_cuda", "stop = (part + 1) * n // parts if column < d else 0", "stop = (part + 1) * n // parts if column <= d else 0"),
    ("numba_cuda", "count = dtype((stop - start + WARPS - 1) // WARPS)", "count = dtype((stop - start) // WARPS + 1)"),
    ("numba_cuda", "apart * apart * (count * more / total)", "apart * apart * (count / total)"),
    ("triton", "total += tl.where(there, over(entries - middle, largest), 0)", "total += over(entries - middle, largest)"),
    ("triton", "tl.where(varies, root(over(count, squares)), 0)", "root(over(count, squares))"),
    ("triton", "there = (row < stop)[:, None] & (column < d)[None, :]", "there = (row <= stop)[:, None] & (column < d)[None, :]"),
]


def numba_builds(every):
    from numba import float32, float64

    from kernels.standardize import numba_cuda as step

    threads = step.LANES * step.WARPS
    for dtype in (float32, float64):
        x, summaries, registers = dtype[:, ::1], dtype[:, :, ::1], 48 if dtype is float32 else 80
        yield f"standardize/numba_cuda {dtype} find", step.finding(dtype), (x, summaries), threads, registers
        yield f"standardize/numba_cuda {dtype} summarize", step.summing(dtype), (x, summaries, summaries), threads, registers
        yield f"standardize/numba_cuda {dtype} apply", step.applying(dtype), (x, summaries, summaries, x), threads, registers


def triton_builds(every):
    from kernels.standardize import triton as step
    from operations import TRITON

    for dtype in ("float32", "float64", "float16", *(["bfloat16"] if every else [])):
        own, wide = f"*{TRITON[dtype]}", "*fp64" if dtype == "float64" else "*fp32"
        sizes, constants = dict.fromkeys(("n", "d", "parts"), "i32"), {"ROWS": step.ROWS, "COLUMNS": step.COLUMNS}
        arrays = {step.find: "x ends", step.summarize: "x ends moments", step.apply: "x ends moments y"}
        for function, names in arrays.items():
            if every or dtype == "float32" or function is step.apply:
                pointers = {name: own if name in "xy" else wide for name in names.split()}
                label = f"standardize/triton {dtype} {function.__name__}"
                yield label, function, pointers | sizes, "", constants, step.WARPS, 3, 96 if dtype == "float64" else 64
