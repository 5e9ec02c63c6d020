"""meanshift_step's CUDA kernels."""

import itertools

WITH = ("", " with weights")  # as a label says it

DAMAGE = [
    ("numba_cuda", "cuda.syncthreads()  # until no warp", "pass  # until no warp"),
    ("numba_cuda", "cuda.syncthreads()\n            j, end", "j, end"),
    ("numba_cuda", "count = min(TILE, data.shape[0] - start)", "count = min(TILE, data.shape[0] - start + 1)"),
    ("numba_cuda", "// LANES), unsigned(count)", "// LANES), unsigned(count - 1)"),
    ("numba_cuda", "cuda.syncthreads()\n            together", "together"),
    ("numba_cuda", "if together < least:", "if together < 0:"),
    ("numba_cuda_grid", "most + 1 if axes > 1", "most if axes > 1"),
    ("numba_cuda_grid", "if i >= n:", "if i > n:"),
    ("numba_cuda_grid", "cuda.syncthreads()  # until all threads have stored their nearest", "pass"),
    ("triton", "w = tl.where(j < m, w, 0)", "w = w"),
    ("triton", "mask=mask & (i < n) &", "mask=mask & (i < n + 1) &"),
    ("triton", "(data, m, d, j, first, COUNT)\n        q2", "(data, m - 1, d, j, first, COUNT)\n        q2"),
    ("triton", "if tl.min(total) < threshold", "if tl.max(total) < threshold"),
    # Weights of the data: ignored, not sorted with the data, loaded past the last of them, of data that should be absent.
    ("numba_cuda", "w *= tile[j, unsigned(d)]", "w *= dtype(1)"),
    ("numba_cuda", "if weighted and tile", "if weighted and purpose != NEAREST and tile"),
    ("numba_cuda", "if not weighted or data[j, d] > zero:", "if True:"),
    ("numba_cuda_grid", "weights[None]]", "weights[None, order.argsort()]]"),
    ("numba_cuda_grid", "w *= data_sites[unsigned(width), j]", "w *= one"),
    ("numba_cuda_grid", "if not weighted or data_sites[unsigned(width), j] > zero:", "if True:"),
    ("triton", "w * v)", "w)"),
    ("triton", "tl.load(weights + j, mask=j < m, other=0)", "tl.load(weights + j)"),
    ("triton", "tl.where(tl.load(weights + j) == 0, largest(scale.dtype), q2)", "q2"),
]


def numba_builds(every):
    from numba import float32, float64, int64, uint8

    from kernels.meanshift_step import KERNELS
    from kernels.meanshift_step import numba_cuda as step
    from kernels.meanshift_step import numba_cuda_grid as grid

    for dtype in (float32, float64):
        single = dtype is float32
        signature, threads = (dtype[:, ::1], dtype[:, ::1], dtype, dtype[:, ::1]), step.LANES * step.WARPS
        for kind, name in enumerate(KERNELS):
            for d in range(1, step.NARROW + 1):
                for n, weighted in itertools.product((1, step.CROWD), (False, True)):
                    gaussian = d == 2 or (single and n > 1 and d in (1, 3, step.NARROW))
                    compact = n > 1 and (d == step.NARROW if single else d == 2 and kind == 1)
                    with_weights = single and n > 1 and d == step.NARROW and kind == 0
                    if every or (with_weights if weighted else compact if kind else gaussian):
                        per_thread = step.points_per_thread(n, d, dtype)
                        label = f"meanshift_step/numba_cuda {dtype} {name} d={d}, {per_thread} for each thread{WITH[weighted]}"
                        kernel = step.narrow(dtype, kind, d, per_thread, weighted)
                        yield label, kernel, signature, threads, 96 if single else 164
            for weighted in (False, True):
                if every or (kind < 2 and not weighted) or (kind == 0 and single):
                    label = f"meanshift_step/numba_cuda {dtype} {name} any d{WITH[weighted]}"
                    yield label, step.wide(dtype, kind, weighted), signature, threads, 96 if single else 128
        keys, sites = (int64[::1], int64[::1], dtype[:, ::1]), (dtype[:, ::1], dtype, dtype[:, ::1], uint8[::1])
        for d, weighted in itertools.product(range(grid.NARROW + 1), (False, True)):
            label = f"meanshift_step/numba_cuda_grid {dtype} {{}} d={d or 'any'}{WITH[weighted]}"
            for kind, name in enumerate(KERNELS):
                some = (kind == 0 and (d in (2, 3, grid.NARROW) if single else d == 2)) or (kind < 2 and d == 0)
                if every or (kind == 0 and single and d in (0, 2) if weighted else some):
                    registers = (128 if d == 0 else 80) + (0 if single else 32)
                    near = grid.near(dtype, kind, d, weighted)
                    yield label.format(name), near, (*keys, int64[::1], *sites), grid.THREADS, registers
            if every or (d == 0 or (d == 2 and not weighted)):
                registers = 96 if d == 0 else 48 if single else 80
                yield label.format("all data"), grid.far(dtype, d, weighted), (*keys[1:], *sites), grid.THREADS, registers


def triton_builds(every):
    from kernels.meanshift_step import KERNELS
    from kernels.meanshift_step import triton as step
    from operations import TRITON

    for dtype in ("float32", "float64"):
        single = dtype == "float32"
        pointers = dict.fromkeys(("x", "data", "weights", "y"), f"*{TRITON[dtype]}")
        types_ = pointers | dict.fromkeys("nmd", "i32") | {"bits": "i32" if single else "i64"}
        for kind, name in enumerate(KERNELS):
            for d in (1, 2, 3, step.NARROW, 2 * step.NARROW):
                for n, weighted in itertools.product((1, step.CROWD), (False, True)):
                    some = (kind == 0 and (single or d == 2)) or (d == 2 and kind < 2)
                    with_weights = kind == 0 and single and n > 1 and d in (2, 2 * step.NARROW)
                    if every or (with_weights if weighted else some):
                        count = min(d, step.NARROW)
                        passed = types_ if weighted else types_ | {"weights": "constexpr"}
                        constants = ({} if weighted else {"weights": None}) | {
                            "KERNEL": kind,
                            "ALONE": d <= count,
                            "POINTS": step.WARPS * step.points_per_thread(n, count, single),
                            "DATA": step.LANES,
                            "COUNT": count,
                        }
                        label = f"meanshift_step/triton {dtype} {name} d={d}, {constants['POINTS']} points{WITH[weighted]}"
                        yield label, step.step, passed, "", constants, step.WARPS, 3, 216
