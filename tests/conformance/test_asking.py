"""Who claims the same is asked the same, drawn once; and a failure is as small as if it were the first to be asked."""

import numpy as np
import pytest

import registry
from kernels import _conformance
from kernels._conformance import asking
from kernels._conformance.calls import takes_arrays_that_share_memory
from registry import ConformanceError


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch):
    monkeypatch.setattr(asking, "_remembered", {})


def properties():
    every = _conformance.all_properties(registry.contract("matmul"))
    return [each for each in every if each not in _conformance.WITH_LARGE_CALLS and each.__name__ != "serves_eight_threads"]


def asked_of(function, **claims):
    """Return the contents of what a function is called with, and what each property saw of it."""
    calls = []

    def kernel(a, b):
        calls.append((a.dtype, a.strides, a.tobytes(), b.dtype, b.strides, b.tobytes()))
        return function(a, b)

    implementation = _conformance.implementation_from(registry.zoo(), "matmul", kernel, **claims)
    calls.clear()
    records = []
    for property_ in properties():
        try:
            each = _conformance.run(property_, implementation, 5)
            records.append((each.examples, each.worst, each.entries, each.vacuous, each.largest))
        except ConformanceError:
            records.append(None)
    return calls, records


def test_what_is_remembered_is_what_was_drawn(monkeypatch):
    first = asked_of(np.matmul)
    drawn = []
    monkeypatch.setattr(asking._Drawing, "draw", lambda *_, **__: drawn.append(1))
    assert asked_of(np.matmul) == first
    assert not drawn


def overwrites(a, b):
    """Leave ones in an argument, which most properties do not look at again."""
    c = np.matmul(a, b)
    if a.flags.writeable:
        a[...] = 1
    return c


def test_what_a_kernel_does_to_its_arguments_is_not_remembered(monkeypatch):
    alone = asked_of(np.matmul)
    monkeypatch.setattr(asking, "_remembered", {})
    _, records = asked_of(overwrites)
    assert None in records
    assert any(records)
    assert asked_of(np.matmul) == alone


def test_other_claims_are_asked_other_calls():
    asked_of(np.matmul)
    calls, _ = asked_of(np.matmul, dtypes=("float64",))
    assert {dtype for dtype, *_ in calls} == {np.dtype("float64")}


def loses_the_last_term(a, b):
    """Lose the last term, where there is one."""
    return np.matmul(a[:, :-1], b[:-1]) if a.shape[1] else np.matmul(a, b)


def test_a_failure_is_as_small_as_if_nothing_was_remembered():
    def refusal():
        with pytest.raises(ConformanceError) as caught:
            registry.check("matmul", loses_the_last_term, max_examples=20)
        return str(caught.value)

    alone = refusal()
    registry.check("matmul", np.matmul, max_examples=20)
    assert refusal() == alone


def test_a_failure_that_comes_now_and_then_is_a_failure():
    """As a race is: what is asked once more, to make the example small, may pass."""
    registry.check("matmul", np.matmul, max_examples=5)
    calls = []

    def once_wrong(a, b):
        calls.append(1)
        return np.matmul(a, b) * (2 if len(calls) == 5 else 1)

    with pytest.raises(ConformanceError):
        registry.check("matmul", once_wrong, max_examples=5)


def test_what_is_drawn_does_not_depend_on_the_order_of_a_set():
    """Python orders the text in a set anew in each process: extents drawn in that order would be others with the same seed."""
    implementation = _conformance.implementation_of(registry.zoo(), registry.variant("attention", "definition"))
    _conformance.run(takes_arrays_that_share_memory, implementation, 5)
    (examples,) = asking._remembered.values()
    assert examples
    for example in examples:
        assert [label for label, _ in example][:4] == ["n", "d", "m", "e"]  # as the signature names them
