"""Negative controls: every wrong kernel is refused, every correct one passes, and which property catches which."""

import importlib.util
import types
from pathlib import Path

import pytest
from hypothesis import Phase, settings

import registry
from kernels import _conformance

FOLDER = Path(__file__).parent / "wrong_kernels"


def _load(path):
    spec = importlib.util.spec_from_file_location(f"wrong_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CONTROLS = {path.stem: _load(path) for path in sorted(FOLDER.glob("*.py"))}


def _functions(which):
    return [
        pytest.param(operation, function, id=f"{operation}-{function.__name__}")
        for operation, module in CONTROLS.items()
        for function in getattr(module, which)
    ]


# Properties that no wrong kernel can fail, and why they stay.
IDLE = {
    "refuses_what_the_contract_refuses": " (what callers get wrong dispatch refuses before any kernel runs: it is on trial here)"
}


@pytest.fixture
def without_shrinking(monkeypatch):
    """Most of the time on a wrong kernel goes into making its example small, which another test looks at."""
    phases = types.SimpleNamespace(generate=Phase.generate, shrink=Phase.generate)
    monkeypatch.setattr(_conformance, "Phase", phases)


@pytest.mark.usefixtures("without_shrinking")
@pytest.mark.parametrize(("operation", "function"), _functions("WRONG"))
def test_a_wrong_kernel_is_refused(operation, function):
    with pytest.raises(registry.ConformanceError) as refusal:
        registry.check(operation, function, max_examples=50)
    message = str(refusal.value)
    names = [property_.__name__ for property_ in _conformance.all_properties(registry.contract(operation))]
    assert message.startswith(tuple(f"{operation}: {name} failed: " for name in names)), message
    assert "smallest failing example:\n    " in message
    assert f"\n    {function.__name__}(" in message or f", {function.__name__}, (" in message


@pytest.mark.parametrize(("operation", "function"), _functions("RIGHT"))
def test_a_correct_kernel_passes(operation, function):
    registry.check(operation, function, max_examples=min(50, settings.default.max_examples))


def _correct_kernels():
    for operation in registry.operations():
        for variant in registry.variants(operation):
            if variant.available:
                yield pytest.param(operation, variant, id=f"{operation}-{variant.name}")
        for function in CONTROLS[operation].RIGHT:
            yield pytest.param(operation, function, id=f"{operation}-{function.__name__}")


@pytest.mark.parametrize(("operation", "kernel"), list(_correct_kernels()))
def test_other_seeds_raise_no_false_alarm(operation, kernel, seeds):
    """`--seeds 50` asks every registered variant and correct kernel with that many, a few examples of each property."""
    zoo = registry.zoo()
    registered = isinstance(kernel, registry.Variant)
    subject = _conformance.subject_of(zoo, kernel) if registered else _conformance.function_subject(zoo, operation, kernel)
    for seed in range(1, seeds + 1):
        for property_ in _conformance.all_properties(subject.contract):
            _conformance.run(property_, subject, 5, seed)


def test_the_failing_example_is_small():
    with pytest.raises(registry.ConformanceError, match=r"a = .*reshape\(\(1, 1\)\)\n    b = .*reshape\(\(1, 1\)\)"):
        registry.check("matmul", CONTROLS["matmul"].last_term_lost)
    with pytest.raises(registry.ConformanceError, match=r"x = .*reshape\(\([12], 1\)\)"):
        registry.check("meanshift_step", CONTROLS["meanshift_step"].in_place_by_row)


def test_there_are_controls_for_every_operation():
    assert set(CONTROLS) == set(registry.operations())
    for module in CONTROLS.values():
        for which, least in ((module.WRONG, 25), (module.RIGHT, 8)):
            assert len({function.__name__ for function in which}) == len(which) >= least
            assert all(function.__doc__ for function in which)


@pytest.mark.slow
@pytest.mark.usefixtures("without_shrinking")
@pytest.mark.parametrize("operation", CONTROLS)
def test_which_property_catches_which(operation):
    """Print the kill table (`pytest -s`): a few examples of each property for each wrong kernel."""
    properties = _conformance.all_properties(registry.contract(operation))
    kills = {property_.__name__: [] for property_ in properties}
    for function in CONTROLS[operation].WRONG:
        subject = _conformance.function_subject(registry.zoo(), operation, function)
        for property_ in properties:
            try:
                _conformance.run(property_, subject, 5)
            except registry.ConformanceError:
                kills[property_.__name__].append(function.__name__)
    caught = [name for names in kills.values() for name in names]
    print(f"\n{operation}: {len(set(caught))} of {len(CONTROLS[operation].WRONG)} wrong kernels caught by five examples")
    for property_, names in kills.items():
        alone = ", ".join(name for name in names if caught.count(name) == 1)
        print(f"  {property_}: {len(names)}" + (f", alone: {alone}" if alone else "") + IDLE.get(property_, ""))
    assert [property_ for property_, names in kills.items() if not names] == list(IDLE), (
        "a property that catches nothing needs a reason"
    )
