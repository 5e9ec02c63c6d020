"""Every CUDA kernel written by hand under the conformance suite on this machine's CPU: simulated or interpreted, never timed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

import registry

STAND_IN = Path(__file__).with_name("stand_in.py")
EXAMPLES = max(4, settings.default.max_examples // 40)

VARIANTS = {
    f"{operation}-{variant.name}": variant
    for operation in registry.operations()
    for variant in registry.variants(operation)
    if variant.device == "cuda" and {"numba", "triton"} & set(variant.requires)
}

# One slip each: a barrier that is missing, an edge that is off by one, a tail that is not masked.
DAMAGE = [
    ("matmul-numba_cuda", "i < c.shape[0] and", "i <= c.shape[0] and"),
    ("matmul-numba_cuda", "range(a.shape[1])", "range(1, a.shape[1])"),
    ("matmul-numba_cuda_tiled", "cuda.syncthreads()\n            for", "for"),
    ("matmul-numba_cuda_tiled", "cuda.syncthreads()  # before", "pass  # before"),
    ("matmul-numba_cuda_tiled", "start + row < b.shape[0]", "start + row <= b.shape[0]"),
    ("matmul-numba_cuda_tiled", "start + row < b.shape[0]", "start + row < b.shape[0] - 1"),
]


def stand_in(variant, *damage):
    missing = [reason for package in variant.requires if (reason := registry.missing(package))]
    if missing:
        pytest.skip("; ".join(missing))
    command = [sys.executable, STAND_IN, variant.operation, variant.name, str(EXAMPLES), *damage]
    environment = os.environ | {"PYTHONPATH": str(Path(registry.__file__).parent)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_a_simulated_kernel_conforms(variant):
    done = stand_in(variant)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("name", "old", "new"), DAMAGE)
def test_a_damaged_kernel_is_refused(name, old, new):
    done = stand_in(VARIANTS[name], old, new)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "ConformanceError" in done.stderr, done.stderr
