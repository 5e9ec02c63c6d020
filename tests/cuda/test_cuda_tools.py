"""What bench/ runs on a device, on what stands in for one: the small run under a sanitizer, the loop of exponentials."""

import sys
from pathlib import Path

import pytest
from test_cuda_simulated import VARIANTS

import registry

BENCH = str(Path(registry.__file__).with_name("bench"))
SMALL_RUN = f"""
import sys, warnings
warnings.simplefilter("ignore")  # NumPy's scalars warn where a device is silent
sys.path.insert(0, {BENCH!r})
import sanitize
sanitize.main(["--alone"])
"""
LOOP = f"""
import sys
sys.path.insert(0, {BENCH!r})
import torch
from exponentials import chains
from kernels._compute.cuda import launch
last = torch.empty(16)
launch(chains, 2, 8, last, 100)
assert all(abs(x / 4 - 2**-(x / 4)) < 1e-6 for x in last.tolist()), last
"""


@pytest.fixture(autouse=True)
def needs():
    missing = [reason for package in ("torch", "numba", "numba_cuda", "triton") if (reason := registry.missing(package))]
    if missing:
        pytest.skip("; ".join(missing))


def test_the_small_run_calls_every_kernel_written_by_hand(do):
    """On the stand-ins, whose results are held to their bounds; it refuses a kernel's maker that no call came to."""
    done = do("simulated", "python", SMALL_RUN)
    assert done.status == 0, done.said
    told = {line.partition(":")[0] for line in done.said.splitlines()}
    assert told == {f"{variant.operation} {variant.name}" for variant in VARIANTS.values()}


def test_the_loop_of_exponentials_settles(do):
    done = do("simulated", "python", LOOP)
    assert done.status == 0, done.said


def test_the_loop_of_exponentials_is_nothing_else(monkeypatch):
    monkeypatch.setattr(sys, "path", [BENCH, *sys.path])
    from exponentials import CHAINS, chains
    from numba import float32, int64
    from numba_ptx import ptx_of

    ptx = ptx_of(chains, (float32[::1], int64), (9, 0))
    assert ptx.count("ex2.approx.ftz.f32") % CHAINS == 0 < ptx.count("ex2.approx.ftz.f32")
    assert ".f64" not in ptx
