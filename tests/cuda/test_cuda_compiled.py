"""Every CUDA kernel written by hand, compiled ahead of time for three generations of devices, and held to a budget.

Nothing here needs a GPU: Numba's compiler and Triton's make PTX for any device, and ptxas machine code, saying what it takes.
A kernel may spill nothing to memory, and one for float32 may hold no float64 instruction: a slip of the type in an
expression costs a device tens of times its speed, and shows nowhere else.
"""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import operations
import pytest
from hypothesis import settings

import registry

CAPABILITIES = ((8, 0), (9, 0), (10, 0))
BLOCK_REGISTERS = 65_536  # of a multiprocessor: a block that wants more cannot be launched
STATIC, DYNAMIC = 48 * 1024, 160 * 1024  # bytes of shared memory for a block, as declared and as asked for at the launch


# The nightly profile compiles every specialisation for each generation; others some of them, each for one generation in turn.
EVERY = settings.default.max_examples > 1000


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


def _turn(builds, capability):
    """Return the builds whose turn it is to be compiled for a generation of devices."""
    at = CAPABILITIES.index(capability)
    return builds if EVERY else builds[at :: len(CAPABILITIES)]


def _needs(*packages):
    reasons = [reason for package in packages if (reason := registry.missing(package))]
    if reasons:
        pytest.skip("; ".join(reasons))


@pytest.mark.parametrize("capability", CAPABILITIES, ids="sm_{0[0]}{0[1]}".format)
def test_numba_kernels_fit(capability, tmp_path, subtests):
    _needs("numba", "torch", "numba_cuda")
    if not ptxas():
        pytest.skip("needs ptxas (pip install 'cuda-toolkit[nvcc]')")
    from numba_ptx import ptx_of

    builds = list(
        {kernel: (label, kernel, *rest) for label, kernel, *rest in operations.builds("numba_builds", EVERY)}.values()
    )  # some have two labels
    for label, kernel, signature, threads, registers in _turn(builds, capability):
        with subtests.test(label):
            ptx = ptx_of(kernel, signature, capability)
            hold(assembled(ptx, tmp_path), ptx, label.split()[1], threads, registers, STATIC)


@pytest.mark.parametrize("capability", CAPABILITIES, ids="sm_{0[0]}{0[1]}".format)
def test_triton_kernels_fit(capability, tmp_path, subtests):
    _needs("triton", "torch")
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    target = GPUTarget("cuda", 10 * capability[0] + capability[1], 32)
    for build in _turn(list(operations.builds("triton_builds", EVERY)), capability):
        label, function, arguments, multiples, constants, warps, stages, registers = build
        with subtests.test(label):
            by_16 = [at for at, (key, kind) in enumerate(arguments.items()) if kind.startswith("*") or key in multiples]
            aligned = {(at,): [["tt.divisibility", 16]] for at in by_16}
            source = ASTSource(function, arguments | dict.fromkeys(constants, "constexpr"), constants, aligned)
            compiled = triton.compile(source, target=target, options={"num_warps": warps, "num_stages": stages})
            used = dumped(compiled, tmp_path)
            hold(used, compiled.asm["ptx"], label.split()[1], 32 * warps, registers, DYNAMIC)


def test_a_slip_of_the_type_is_found(tmp_path):
    """A bare 0.0 is float64 to Numba, and so is every sum that starts there."""
    _needs("numba", "numba_cuda")
    from numba import cuda, float32
    from numba_ptx import ptx_of

    @cuda.jit
    def total(a, b):
        sum_ = 0.0
        for i in range(a.shape[0]):
            sum_ += a[i]
        b[0] = sum_

    ptx = ptx_of(total, (float32[::1], float32[::1]), CAPABILITIES[0])
    with pytest.raises(AssertionError, match="float64 instruction"):
        hold(Resources(1, 0, 0), ptx, "float32", 1, 1, 0)


def test_every_kernel_written_by_hand_is_compiled():
    _needs("numba", "triton", "torch")
    labels = {label.partition(" ")[0] for of in ("numba_builds", "triton_builds") for label, *_ in operations.builds(of, EVERY)}
    files = {
        f"{operation}/{Path(variant.file).stem}"
        for operation in registry.operations()
        for variant in registry.variants(operation)
        if variant.device == "cuda" and {"numba", "triton"} & set(variant.requires)
    }
    assert labels == files
