"""Negative controls: every wrong kernel is refused, every correct one passes, and which property catches which."""

import datetime
import importlib.util
import inspect
import json
import random
from pathlib import Path

import numpy as np
import pytest
from catalogues import zoo_of
from hypothesis import settings
from logsumexp import LOGSUMEXP, by_rows

import registry
from kernels import _conformance

FOLDER = Path(__file__).parent / "wrong_kernels"
EVERY = settings.default.max_examples > 1000  # the nightly profile asks all wrong kernels, and correct ones in large calls too


def _load(path):
    spec = importlib.util.spec_from_file_location(f"wrong_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


KILL_TABLE = Path(registry.__file__).parent / "bench" / "results" / "wrong_kernels.json"
KILLS = json.loads(KILL_TABLE.read_text()) if KILL_TABLE.exists() else {}
FOUNDING = ("matmul", "meanshift_step")  # what is made for every operation is asked of these in full

generic = _load(FOLDER / "generic.py")
CONTROLS = {path.stem: _load(path) for path in sorted(FOLDER.glob("*.py")) if path.stem != "generic"}


def _made_wrong(operation):
    """Return the wrong kernels that are made from an operation's first right one."""
    module = CONTROLS[operation]
    return generic.made_wrong(module.RIGHT[0], registry.contract(operation), but=module.NO_BUG)


def _wrong(operation):
    return CONTROLS[operation].WRONG + _made_wrong(operation)


def _asked(operation):
    """Return the wrong kernels that are asked: of those that are made, every fourth where others have had them all."""
    made = _made_wrong(operation)
    if not (EVERY or operation in FOUNDING):
        made = made[sorted(CONTROLS).index(operation) % 4 :: 4]
    return CONTROLS[operation].WRONG + made


def _right(operation):
    module = CONTROLS[operation]
    return module.RIGHT + generic.made_right(module.RIGHT[0], registry.contract(operation))


def _claims(operation):
    """Return what the kernels of an operation's controls claim."""
    return getattr(CONTROLS[operation], "CLAIMS", {})


def _functions(which):
    return [
        pytest.param(operation, function, id=f"{operation}-{function.__name__}")
        for operation in CONTROLS
        for function in which(operation)
    ]


# Properties that no wrong kernel can fail, and why they stay.
IDLE = {
    "refuses_what_the_contract_refuses": " (what callers get wrong dispatch refuses before any kernel runs: it is on trial here)"
}


@pytest.fixture
def without_shrinking(monkeypatch):
    """Most of the time on a wrong kernel goes into making its example small, which another test looks at."""
    monkeypatch.setattr(_conformance, "SHRINKS", False)


@pytest.fixture(autouse=True)
def _restores_what_a_process_shares():
    numpys, pythons = np.random.get_state(), random.getstate()
    with np.errstate():
        yield
    np.random.set_state(numpys)
    random.setstate(pythons)


# Properties whose calls are large. They are asked last, and where one of the others has refused a kernel not at all.
WITH_LARGE_CALLS = [property_.__name__ for property_ in _conformance.WITH_LARGE_CALLS]


def _place(property_):
    return WITH_LARGE_CALLS.index(property_.__name__) if property_.__name__ in WITH_LARGE_CALLS else -1


def _hold(zoo, operation, function, max_examples, **claims):
    """Hold a function to all properties, as `check` does, in an order in which a wrong one is soon found.

    What refused it when the kill table was recorded comes first. Then come few examples of everything, since they refuse most,
    the large calls, of which there is one, and many examples.
    """
    implementation = _conformance.implementation_from(zoo, operation, function, **claims)
    ordered = sorted(_conformance.all_properties(implementation.contract), key=lambda property_: _place(property_))
    tables = [KILLS[each]["kernels"] for each in (operation, *KILLS) if each in KILLS]  # a bug that is made has one name in all
    recorded = next((kernels[function.__name__] for kernels in tables if function.__name__ in kernels), {})
    soonest = recorded.get("refused_by") or recorded.get("refused_by_more", ())
    first = [property_ for property_ in ordered if property_.__name__ in soonest]
    large = [property_ for property_ in ordered if property_.__name__ in WITH_LARGE_CALLS]
    few = min(5, max_examples)
    for asked, examples in ((first, max_examples), (ordered, few), (large, max_examples), (ordered, max_examples)):
        for property_ in asked:
            _conformance.run(property_, implementation, examples)


@pytest.mark.usefixtures("without_shrinking")
@pytest.mark.parametrize(("operation", "function"), _functions(_asked))
def test_a_wrong_kernel_is_refused(operation, function):
    with pytest.raises(registry.ConformanceError) as refusal:
        _hold(registry.zoo(), operation, function, 50, **_claims(operation))
    message = str(refusal.value)
    names = [property_.__name__ for property_ in _conformance.all_properties(registry.contract(operation))]
    assert message.startswith(tuple(f"{operation}: {name} failed: " for name in names)), message
    assert "smallest failing example:\n    " in message
    assert f"\n    {function.__name__}(" in message or f", {function.__name__}, {{" in message


@pytest.mark.slow
@pytest.mark.usefixtures("without_shrinking")
def test_an_operation_without_wrong_kernels_refuses_the_generic_ones(tmp_path):
    """What follows from a definition of 25 lines refuses every wrong kernel that can be made from a right one."""
    with zoo_of(tmp_path, {"logsumexp": LOGSUMEXP}) as zoo, np.errstate(all="ignore"):
        for function in generic.made_wrong(by_rows, zoo.contract("logsumexp"), but=generic.NO_BUG_IN_SUMS):
            print(function.__name__)  # the last one is shown if it is not refused
            with pytest.raises(registry.ConformanceError):
                _hold(zoo, "logsumexp", function, 200, batches=True)  # 50 miss another order of terms for one seed in four


def pytest_generate_tests(metafunc):
    """Ask the correct kernels; with `--seeds` past 1 every variant that is here too, whose first seed is test_conformance's."""
    if "kernel" in metafunc.fixturenames:
        variants = [
            pytest.param(operation, variant, id=f"{operation}-{variant.name}")
            for operation in registry.operations()
            for variant in registry.variants(operation)
            if variant.available and metafunc.config.getoption("--seeds") > 1
        ]
        metafunc.parametrize(("operation", "kernel"), _functions(_right) + variants)


def test_a_correct_kernel_passes(operation, kernel, seeds):
    """`--seeds 50` asks every registered variant and correct kernel with that many, a few examples of each property."""
    zoo = registry.zoo()
    registered = isinstance(kernel, registry.Variant)
    implementation = (
        _conformance.implementation_of(zoo, kernel)
        if registered
        else _conformance.implementation_from(zoo, operation, kernel, **_claims(operation))
    )
    properties = _conformance.all_properties(implementation.contract)
    asked = [property_ for property_ in properties if EVERY or registered or property_.__name__ != "agrees_at_ordinary_sizes"]
    for seed in range(registered, seeds):
        examples = 25 if EVERY and not seed else 5  # with as few no large call is made: the variants' own run makes them
        for property_ in asked:
            _conformance.run(property_, implementation, examples, seed)


def test_the_failing_example_is_small():
    (lost,) = (each for each in _wrong("matmul") if each.__name__ == "last_term_lost")
    with pytest.raises(registry.ConformanceError, match=r"a = .*reshape\(\(1, 2\)\)\n    b = .*reshape\(\(2, 1\)\)"):
        registry.check("matmul", lost)
    with pytest.raises(registry.ConformanceError, match=r"x = .*reshape\(\([12], 1\)\)"):
        registry.check("meanshift_step", CONTROLS["meanshift_step"].in_place_by_row)


def test_there_are_controls_for_every_operation():
    assert set(CONTROLS) == set(registry.operations())
    for operation in CONTROLS:
        module = CONTROLS[operation]
        for own, all_, least in ((module.WRONG, _wrong(operation), 8), (module.RIGHT, _right(operation), 3)):
            assert len(own) >= least
            assert len({function.__name__ for function in all_}) == len(all_)
            assert all(function.__doc__ for function in all_)


def _keep(path, operation, kills, more):
    """Add an operation's kill table to a file, which `kernel-zoo report` shows."""
    tables = json.loads(path.read_text()) if path.exists() else {}
    kernels = {
        function.__name__: {
            "is": " ".join(inspect.getdoc(function).partition("\n\n")[0].split()),
            "refused_by": [property_ for property_, names in kills.items() if function.__name__ in names],
        }
        for function in _wrong(operation)
    }
    for name, property_ in more.items():
        kernels[name]["refused_by_more"] = [property_]
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    tables[operation] = {"measured": now, "kernels": kernels}
    path.write_text(json.dumps(tables, indent=1, sort_keys=True) + "\n")


def _refuses(property_, implementation, examples):
    try:
        _conformance.run(property_, implementation, examples)
    except registry.ConformanceError:
        return True
    return False


@pytest.mark.slow
@pytest.mark.usefixtures("without_shrinking")
@pytest.mark.parametrize("operation", CONTROLS)
def test_which_property_catches_which(operation, request):
    """Print the kill table, and keep it (`pytest -s --kill-table FILE`): few examples of each property for each kernel.

    Of a kernel that they do not refuse, the first property that does so with more of them is kept beside.
    """
    path = request.config.getoption("--kill-table")
    if not path:
        pytest.skip("--kill-table asks every property of every wrong kernel; that each is refused is a test of its own")
    properties = sorted(_conformance.all_properties(registry.contract(operation)), key=_place)
    kills, more = {property_.__name__: [] for property_ in properties}, {}
    for function in _wrong(operation):
        implementation = _conformance.implementation_from(registry.zoo(), operation, function, **_claims(operation))
        refused = False
        for property_ in properties:
            large = property_.__name__ in WITH_LARGE_CALLS
            if refused and large:
                break
            if _refuses(property_, implementation, _conformance.LEAST_FOR_LARGE if large else 5):
                kills[property_.__name__].append(function.__name__)
                refused = True
        if not refused:
            more[function.__name__] = next((each.__name__ for each in properties if _refuses(each, implementation, 50)), None)
    _keep(path, operation, kills, more)
    caught = [name for names in kills.values() for name in names]
    print(f"\n{operation}: {len(set(caught))} of {len(_wrong(operation))} wrong kernels caught by five examples")
    for property_, names in kills.items():
        alone = ", ".join(name for name in names if caught.count(name) == 1)
        print(f"  {property_}: {len(names)}" + (f", alone: {alone}" if alone else "") + IDLE.get(property_, ""))
    idle = {*IDLE, *getattr(CONTROLS[operation], "IDLE", ())}
    assert {property_ for property_, names in kills.items() if not names} == idle, (
        "a property that catches nothing needs a reason"
    )
