"""What the tests of verdicts ask with: some properties of a function, and whether one refuses it."""

import numpy as np
import pytest

import registry
from kernels import _conformance
from kernels._conformance.claims import implementation_from
from registry import ConformanceError


def verdict(words, function, operation="matmul", examples=20, **claims):
    """Ask the properties whose names have these words, in this order; return the first failure, or nothing."""
    implementation = implementation_from(registry.zoo(), operation, function, **claims)
    properties = _conformance.all_properties(implementation.contract)
    for word in words:
        asked = [each for each in properties if word in each.__name__]
        assert asked, word
        try:
            for property_ in asked:
                _conformance.run(property_, implementation, examples)
        except ConformanceError as error:
            return str(error)
    return ""


@pytest.fixture(autouse=True)
def without_shrinking(monkeypatch):
    """What is asked is whether, not how small."""
    monkeypatch.setattr(_conformance, "SHRINKS", False)


def torch():
    return pytest.importorskip("torch")


def refusal(function, operation="matmul", **claims):
    with pytest.raises(ConformanceError) as caught:
        registry.check(operation, function, max_examples=50, **claims)
    return str(caught.value)


def flat_alone(x, bandwidth, *, data, kernel):
    """Take flat weights, and complain of any others as a kernel for tensors would of arrays."""
    if kernel != "flat":
        raise AttributeError(f"no {kernel} here")
    near = (((data - x[:, None]) / bandwidth) ** 2).sum(axis=2) <= 1
    total = np.maximum(near.sum(axis=1), 1)[:, None].astype(x.dtype)
    return x + np.stack([(near * (data[:, k] - x[:, k, None])).sum(axis=1) for k in range(x.shape[1])], axis=1) / total
