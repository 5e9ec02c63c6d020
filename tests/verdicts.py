"""What the tests of verdicts ask with: some properties of a function, and whether one refuses it."""

import types

import pytest
from hypothesis import Phase

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
    monkeypatch.setattr(_conformance, "Phase", types.SimpleNamespace(generate=Phase.generate, shrink=Phase.generate))


def torch():
    return pytest.importorskip("torch")
