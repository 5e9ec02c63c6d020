"""Every CUDA kernel written by hand, compiled ahead of time for three generations of devices, and held to a budget.

Nothing here needs a GPU: Numba's compiler and Triton's make PTX for any device, and ptxas machine code, saying what it takes.
A kernel may spill nothing to memory, and one for float32 may hold no float64 instruction: a slip of the type in an
expression costs a device tens of times its speed, and shows nowhere else.
"""

import importlib.util
import re
import shutil
import subprocess
import types
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import settings

import registry

CAPABILITIES = ((8, 0), (9, 0), (10, 0))
BLOCK_REGISTERS = 65_536  # of a multiprocessor: a block that wants more cannot be launched
STATIC, DYNAMIC = 48 * 1024, 160 * 1024  # bytes of shared memory for a block, as declared and as asked for at the launch


# The nightly profile compiles every specialisation for each generation; others some of them, each for one generation in turn.
EVERY = settings.default.max_examples > 1000
TRITON = {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32", "float64": "fp64"}


class Resources(NamedTuple):
    """What a kernel takes on a device."""

    registers: int
    spilled: int  # bytes, of registers and of arrays that found no place in them
    shared: int


def ptxas():
    spec = importlib.util.find_spec("nvidia")
    folders = [Path(folder, "cu13", "bin") for folder in (spec and spec.submodule_search_locations) or ()]
    return next((found for folder in folders if (found := shutil.which("ptxas", path=folder))), shutil.which("ptxas"))


def assembled(ptx, folder):
    """Assemble PTX for the device it names, and return what its one kernel takes."""
    (target,) = re.findall(r"^\.target (sm_\w+)", ptx, re.MULTILINE)
    path = folder / "kernel.ptx"
    path.write_text(ptx, encoding="utf-8")
    command = [ptxas(), "--verbose", f"--gpu-name={target}", path, "--output-file", folder / "kernel.cubin"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    patterns = (r"Used (\d+) registers", r"(\d+) bytes (?:stack frame|spill)", r"(\d+) bytes smem")
    return Resources(*(sum(map(int, re.findall(pattern, said))) for pattern in patterns))


def dumped(compiled, folder):
    """Return what a kernel takes that Triton has assembled; it asks for its shared memory at the launch."""
    from triton import knobs

    path = folder / "kernel.cubin"
    path.write_bytes(compiled.asm["cubin"])
    said = subprocess.run([knobs.nvidia.cuobjdump.path, "-res-usage", path], capture_output=True, text=True, check=True).stdout
    registers, spilled = (sum(map(int, re.findall(pattern, said))) for pattern in (r"REG:(\d+)", r"(?:STACK|LOCAL):(\d+)"))
    return Resources(registers, spilled, compiled.metadata.shared)


def hold(used, ptx, dtype, threads, registers, shared):
    """Hold a kernel to its budget: no spills, a number of registers, and shared memory that any of the devices has."""
    assert used.spilled == 0, f"it spills: {used}"
    assert used.registers <= registers, f"{used.registers} registers, over its budget of {registers}"
    assert used.registers * threads <= BLOCK_REGISTERS
    assert used.shared <= shared, f"{used.shared} bytes of shared memory, over the {shared} of a block"
    if dtype != "float64":
        assert ".f64" not in ptx, "a float64 instruction in a kernel for narrower numbers"


def numba_builds():
    """Yield each build: what it is, the kernel, its arguments' types, the threads of a block, and its budget of registers."""
    from numba import float32, float64, int64, uint8

    from kernels.matmul import numba_cuda, numba_cuda_blocked, numba_cuda_tiled
    from kernels.meanshift_step import KERNELS
    from kernels.meanshift_step import numba_cuda as step
    from kernels.meanshift_step import numba_cuda_grid as grid

    for dtype in (float32, float64):
        single, matrices = dtype is float32, (dtype[:, ::1],) * 3
        yield f"matmul/numba_cuda {dtype}", numba_cuda.kernel(dtype), matrices, numba_cuda.TILE**2, 40
        tile = numba_cuda_tiled.TILE
        yield f"matmul/numba_cuda_tiled {dtype}", numba_cuda_tiled.kernel(dtype, tile), matrices, tile**2, 40
        blocked = numba_cuda_blocked.kernel(dtype)
        yield f"matmul/numba_cuda_blocked {dtype}", blocked, matrices, numba_cuda_blocked.ACROSS**2, 128
        signature, threads = (dtype[:, ::1], dtype[:, ::1], dtype, dtype[:, ::1]), step.LANES * step.WARPS
        for kind, name in enumerate(KERNELS):
            for d in range(1, step.NARROW + 1):
                for n in (1, step.CROWD):
                    gaussian = d == 2 or (single and n > 1 and d in (1, 3, step.NARROW))
                    compact = n > 1 and (d == step.NARROW if single else d == 2 and kind == 1)
                    if EVERY or (compact if kind else gaussian):
                        per_thread = step.points_per_thread(n, d, dtype)
                        label = f"meanshift_step/numba_cuda {dtype} {name} d={d}, {per_thread} for each thread"
                        yield label, step.narrow(dtype, kind, d, per_thread), signature, threads, 96 if single else 164
            if EVERY or kind < 2:
                label = f"meanshift_step/numba_cuda {dtype} {name} any d"
                yield label, step.wide(dtype, kind), signature, threads, 96 if single else 128
        keys, sites = (int64[::1], int64[::1], dtype[:, ::1]), (dtype[:, ::1], dtype, dtype[:, ::1], uint8[::1])
        for d in range(grid.NARROW + 1):
            label = f"meanshift_step/numba_cuda_grid {dtype} {{}} d={d or 'any'}"
            for kind, name in enumerate(KERNELS):
                if EVERY or (kind == 0 and (d in (2, 3, grid.NARROW) if single else d == 2)) or (kind < 2 and d == 0):
                    registers = (128 if d == 0 else 80) + (0 if single else 32)
                    near = grid.near(dtype, kind, d)
                    yield label.format(name), near, (*keys, int64[::1], *sites), grid.THREADS, registers
            if EVERY or d in (0, 2):
                registers = 96 if d == 0 else 48 if single else 80
                yield label.format("all data"), grid.far(dtype, d), (*keys[1:], *sites), grid.THREADS, registers


def triton_builds():
    """Yield each build: what it is, the function, its arguments' types, constants, warps, stages, and its budget of registers."""
    from kernels.matmul import triton as matmul
    from kernels.meanshift_step import KERNELS
    from kernels.meanshift_step import triton as step

    arithmetic = [("ieee", "float32"), ("tf32", "float32"), ("tf32x3", "float32"), ("half", "float16"), ("float64", "float64")]
    for precision, dtype in [*arithmetic, *([("half", "bfloat16")] if EVERY else [])]:
        pointers = dict.fromkeys("abc", f"*{TRITON[dtype]}")
        for at, (top, left, warps, stages) in enumerate(matmul.TILES[precision]):
            depth = matmul.DEPTHS[getattr(matmul.torch, dtype)]
            constants = {"DEPTH": depth, "PRECISION": precision if dtype == "float32" else "ieee", "TOP": top, "LEFT": left}
            signature = pointers | dict.fromkeys(("m", "k", "n", "size"), "i32")
            # Extents that are multiples of 16 allow wide loads, and with them more stages.
            for aligned in ("", "kn") if EVERY else ("" if at % 2 else "kn",):
                label = f"matmul/triton {dtype} {precision} {top}x{left} {aligned}"
                yield label, matmul.product, signature, aligned, constants, warps, stages, 255
    for dtype in ("float32", "float64"):
        single = dtype == "float32"
        pointers = dict.fromkeys(("x", "data", "y"), f"*{TRITON[dtype]}")
        types_ = pointers | dict.fromkeys("nmd", "i32") | {"bits": "i32" if single else "i64"}
        for kind, name in enumerate(KERNELS):
            for d in (1, 2, 3, step.NARROW, 2 * step.NARROW):
                for n in (1, step.CROWD):
                    if EVERY or (kind == 0 and (single or d == 2)) or (d == 2 and kind < 2):
                        count = min(d, step.NARROW)
                        constants = {
                            "KERNEL": kind,
                            "ALONE": d <= count,
                            "POINTS": step.WARPS * step.points_per_thread(n, count, single),
                            "DATA": step.LANES,
                            "COUNT": count,
                        }
                        label = f"meanshift_step/triton {dtype} {name} d={d}, {constants['POINTS']} points"
                        yield label, step.step, types_, "", constants, step.WARPS, 3, 216


@pytest.fixture
def without_driver(monkeypatch):
    """Let Numba compile device functions: it asks the driver which device for, though their code is the same for all."""
    import numba.cuda.dispatcher

    stand_in = types.SimpleNamespace(compute_capability=CAPABILITIES[0])
    monkeypatch.setattr(numba.cuda.dispatcher, "get_current_device", lambda: stand_in)


def _turn(builds, capability):
    """Return the builds whose turn it is to be compiled for a generation of devices."""
    at = CAPABILITIES.index(capability)
    return builds if EVERY else builds[at :: len(CAPABILITIES)]


def _needs(*packages):
    reasons = [reason for package in packages if (reason := registry.missing(package))]
    if reasons:
        pytest.skip("; ".join(reasons))


@pytest.mark.usefixtures("without_driver")
@pytest.mark.parametrize("capability", CAPABILITIES, ids="sm_{0[0]}{0[1]}".format)
def test_numba_kernels_fit(capability, tmp_path, subtests):
    _needs("numba", "torch", "numba_cuda")
    if not ptxas():
        pytest.skip("needs ptxas (pip install 'cuda-toolkit[nvcc]')")
    from numba import cuda

    builds = list({kernel: (label, kernel, *rest) for label, kernel, *rest in numba_builds()}.values())  # some have two labels
    for label, kernel, signature, threads, registers in _turn(builds, capability):
        with subtests.test(label):
            ptx, _ = cuda.compile_ptx(kernel.py_func, signature, cc=capability)
            hold(assembled(ptx, tmp_path), ptx, label.split()[1], threads, registers, STATIC)


@pytest.mark.parametrize("capability", CAPABILITIES, ids="sm_{0[0]}{0[1]}".format)
def test_triton_kernels_fit(capability, tmp_path, subtests):
    _needs("triton", "torch")
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    target = GPUTarget("cuda", 10 * capability[0] + capability[1], 32)
    for build in _turn(list(triton_builds()), capability):
        label, function, arguments, multiples, constants, warps, stages, registers = build
        with subtests.test(label):
            by_16 = [at for at, (key, kind) in enumerate(arguments.items()) if kind.startswith("*") or key in multiples]
            aligned = {(at,): [["tt.divisibility", 16]] for at in by_16}
            source = ASTSource(function, arguments | dict.fromkeys(constants, "constexpr"), constants, aligned)
            compiled = triton.compile(source, target=target, options={"num_warps": warps, "num_stages": stages})
            used = dumped(compiled, tmp_path)
            hold(used, compiled.asm["ptx"], label.split()[1], 32 * warps, registers, DYNAMIC)


@pytest.mark.usefixtures("without_driver")
def test_a_slip_of_the_type_is_found(tmp_path):
    """A bare 0.0 is float64 to Numba, and so is every sum that starts there."""
    _needs("numba", "numba_cuda")
    from numba import cuda, float32

    @cuda.jit
    def total(a, b):
        sum_ = 0.0
        for i in range(a.shape[0]):
            sum_ += a[i]
        b[0] = sum_

    ptx, _ = cuda.compile_ptx(total.py_func, (float32[::1], float32[::1]), cc=CAPABILITIES[0])
    with pytest.raises(AssertionError, match="float64 instruction"):
        hold(Resources(1, 0, 0), ptx, "float32", 1, 1, 0)


def test_every_kernel_written_by_hand_is_compiled():
    _needs("numba", "triton", "torch")
    labels = {label.partition(" ")[0] for builds in (numba_builds, triton_builds) for label, *_ in builds()}
    files = {
        f"{operation}/{Path(variant.file).stem}"
        for operation in registry.operations()
        for variant in registry.variants(operation)
        if variant.device == "cuda" and {"numba", "triton"} & set(variant.requires)
    }
    assert labels == files
