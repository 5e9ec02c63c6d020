"""Every CUDA kernel written by hand as it is compiled, under the conformance suite: the machine for PTX runs it without a GPU.

Numba's simulator and Triton's interpreter run a kernel's Python, on small tiles. This is the code that a device would get, at
its own tiles, with what compilers make of it: fused operations, approximate exponentials, tensor cores, copies behind the back.
"""

from pathlib import Path

import pytest
from hypothesis import settings
from operations import DAMAGE
from test_cuda_simulated import VARIANTS

import registry

EXAMPLES = max(2, settings.default.max_examples // 40)
CASES = Path(__file__).with_name("machine_cases.py")
# One of them shows beyond 256 data only, which few cases have: the simulator, whose tiles are small, finds it sooner.
RACES = [slip for slip in DAMAGE if "syncthreads" in slip[1] and "until no warp" not in slip[1]]


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_a_compiled_kernel_conforms(variant, stand_in):
    done = stand_in("compiled", variant, EXAMPLES)
    print(done.said)
    assert done.status == 0, done.said


@pytest.mark.parametrize(("name", "old", "new"), RACES)
def test_a_missing_barrier_is_found(name, old, new, stand_in):
    """By the first call that meets one: the machine knows who was where, and needs no bad luck."""
    done = stand_in("compiled", VARIANTS[name], EXAMPLES, old, new)
    assert done.status == 1, done.said
    assert "with no barrier between" in done.said, done.said


def test_its_own_cases_hold(do):
    for package in ("numba", "numba_cuda", "triton", "torch"):
        if reason := registry.missing(package):
            pytest.skip(reason)
    done = do("compiled", "pytest", "-q", "-p", "no:cacheprovider", CASES)
    assert done.status == 0, done.said
