"""Every CUDA kernel written by hand under the conformance suite on this machine's CPU: simulated or interpreted, never timed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from operations import DAMAGE

import registry
from kernels import _conformance
from kernels._conformance import general

EXAMPLES = max(2, settings.default.max_examples // 80)

VARIANTS = {
    f"{operation}-{variant.name}": variant
    for operation in registry.operations()
    for variant in registry.variants(operation)
    if variant.device == "cuda" and {"numba", "triton"} & set(variant.requires)
}


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_a_simulated_kernel_conforms(variant, stand_in):
    done = stand_in("simulated", variant, EXAMPLES)
    print(done.said)
    assert done.status == 0, done.said


def test_the_simulator_s_own_cases_hold(do):
    pytest.importorskip("numba_cuda")
    cases = Path(__file__).with_name("simulator_cases.py")
    done = do("simulated", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore::RuntimeWarning", cases)
    assert done.status == 0, done.said


def _cut(x):
    """Keep the eleven bits of a significand that TF32 has."""
    return (x.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)


def _tf32(a, b):
    return _cut(np.ascontiguousarray(a)) @ _cut(np.ascontiguousarray(b))


def _3xtf32(a, b):
    a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    a_low, b_low = _cut(a - _cut(a)), _cut(b - _cut(b))
    low = np.nan_to_num(a_low @ _cut(b) + _cut(a) @ b_low, nan=0.0)  # where an operand is infinite, the upper halves say so
    return low + _cut(a) @ _cut(b)


@pytest.mark.parametrize(("precision", "function"), [("tf32", _tf32), ("3xtf32", _3xtf32)])
def test_a_class_of_error_is_that_of_its_arithmetic(precision, function):
    """The interpreter takes TF32 as IEEE float32, so that its bounds are tried on its arithmetic; float32's refuse it."""
    claimed = _conformance.implementation_from(registry.zoo(), "matmul", function, dtypes=("float32",))
    for property_ in _conformance.all_properties(claimed.contract):
        _conformance.run(property_, replace(claimed, precision=precision), EXAMPLES)
    with pytest.raises(registry.ConformanceError):
        _conformance.run(general.agrees_with_reference, claimed, 50)


@pytest.mark.parametrize(("name", "old", "new"), DAMAGE)
def test_a_damaged_kernel_is_refused(name, old, new, stand_in):
    done = stand_in("simulated", VARIANTS[name], 5, old, new)
    assert done.status == 1, done.said
    assert "ConformanceError" in done.said, done.said
