"""The registry: what it lists, what it loads, what it hands out, and what it says of names that do not exist."""

import copy
import importlib.util
import inspect
import json
import multiprocessing
import pickle
import pydoc
import sys
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from neighbours import ROOT, Machine, fresh_zoo, python

import registry
from registry import DuplicateVariant, UnknownOperation, UnknownVariant, VariantUnavailable, Zoo

READERS = {
    f"kernels._{name}" for name in ("catalogue", "explanation", "imports", "machine", "variant", "zoo")
}  # loaded by their place


def test_importing_the_registry_loads_the_standard_library_alone():
    loaded = python("import registry, json; print(json.dumps(sorted(sys.modules)))")
    assert not {"numpy", "torch", "numba", "array_api_compat", "click", "rich"} & {name.partition(".")[0] for name in loaded}
    assert {name for name in loaded if name.partition(".")[0] == "kernels"} == READERS


def test_listing_imports_no_kernel_file():
    loaded = python("""
        import json, registry
        for operation in registry.operations():
            [(v.available, v.reason, v.source) for v in registry.variants(operation)]
        print(json.dumps(sorted(m for m in sys.modules if m.partition(".")[0] in ("kernels", "numpy", "torch", "numba"))))
    """)
    assert set(loaded) == READERS


def test_get_imports_only_the_file_it_needs():
    loaded = python("""
        import json, registry
        registry.get("matmul", "numpy")
        print(json.dumps([m for m in sys.modules if m.startswith("kernels.matmul.") or m in ("torch", "numba")]))
    """)
    assert loaded == ["kernels.matmul.numpy"]


@pytest.mark.parametrize("operation", registry.operations())
def test_a_variant_says_what_it_is(operation):
    for variant in registry.variants(operation):
        file, _, line = variant.source.rpartition(":")
        begins = f"def {operation}(" if variant.is_definition else "@register("
        assert Path(file).read_text().splitlines()[int(line) - 1].startswith(begins)
        assert variant.doc
        assert variant.framework
        assert variant.available is (variant.reason is None)
        assert {"float32", "float64"} & set(variant.dtypes)
    ranks = [variant.rank for variant in registry.variants(operation)]
    assert ranks == sorted(ranks)


@pytest.mark.parametrize("operation", registry.operations())
@pytest.mark.parametrize("selector", ["auto", "cpu"])
def test_get_returns_the_operation(operation, selector):
    function = registry.get(operation, selector)
    contract = registry.contract(operation)
    assert function.__name__ == operation
    assert function.__doc__ == contract.definition.__doc__
    shown, own = inspect.signature(function), inspect.signature(contract.validate)
    assert shown.parameters == own.parameters
    assert shown.return_annotation == "Array"
    assert registry.get(operation, selector) is function
    for variant in registry.variants(operation):
        if variant.available:
            parameters = inspect.signature(registry.get(operation, variant.name)).parameters
            assert list(parameters) == [*own.parameters, *variant.options]
            assert all(parameters[key].default == value for key, value in variant.options.items())
            assert f"{operation}(" in pydoc.render_doc(registry.get(operation, variant.name), renderer=pydoc.plaintext)


@pytest.mark.parametrize("selector", ["auto", "cpu", "numpy"])
def test_what_get_returns_travels_to_another_process(selector):
    function = registry.get("matmul", selector)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(function, protocol)) is function
    assert copy.deepcopy(function) is function
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        (product,) = pool.starmap(function, [(np.eye(2), np.eye(2))])
    assert product.tolist() == [[1, 0], [0, 1]]
    with pytest.raises(pickle.PicklingError):
        pickle.dumps(fresh_zoo().get("matmul", "numpy"))  # another catalogue's is not at home where it would arrive
    with pytest.raises(AttributeError, match="module 'registry' has no attribute 'gett'"):
        registry.gett  # noqa: B018


def test_variants_and_explanations_travel_and_cannot_be_changed():
    explanation = registry.explain("meanshift_step", np.ones((3, 2)), 1.0)
    for there in (pickle.loads(pickle.dumps(explanation)), copy.deepcopy(explanation)):
        assert str(there) == str(explanation)
        for (mine, _), (theirs, _) in zip(explanation.considered, there.considered, strict=True):
            for key in ("operation", "name", "options", "limits", "dtypes", "source", "reason", "available"):
                assert getattr(mine, key) == getattr(theirs, key)
    variant = next(v for v in registry.variants("meanshift_step") if v.options)
    assert len(pickle.dumps(variant)) < 3000
    with pytest.raises(TypeError):
        variant.options["batch_size"] = 3


def test_public_functions_travel_by_name():
    for name in registry.__all__:
        public = getattr(registry, name)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            there = pickle.loads(pickle.dumps(public, protocol))
            assert there == public
        assert getattr(there, "__self__", None) is getattr(public, "__self__", None)
    with pytest.raises(pickle.PicklingError, match="cannot be pickled"):
        pickle.dumps(fresh_zoo())


def test_classes_are_the_same_wherever_they_are_imported_from():
    from kernels import _machine, _variant

    assert _variant.Variant is registry.Variant
    assert _machine.System is registry.System
    for name in (
        "Variant",
        "System",
        "UnknownOperation",
        "UnknownVariant",
        "VariantUnavailable",
        "DuplicateVariant",
        "ConformanceError",
    ):
        assert getattr(registry, name).__module__ == "registry"
    assert inspect.signature(inspect.unwrap(registry.Variant))


def test_the_cost_of_dispatch_can_be_measured(monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("overhead", ROOT / "bench" / "overhead.py")
    overhead = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(overhead)
    monkeypatch.setattr(overhead, "ROUNDS", 1)
    monkeypatch.setattr(overhead, "CALLS", 20)
    monkeypatch.setattr(sys, "argv", ["overhead.py", "--json"])
    overhead.main()
    seconds = json.loads(capsys.readouterr().out)["seconds"]
    for operation in registry.operations():
        for variant in registry.variants(operation):
            if variant.available and variant.device == "cpu" and variant.arrays in ("numpy", "torch"):
                assert f"{operation} {variant.name}, through dispatch" in seconds


def test_eight_threads_may_ask_first_all_at_once():
    same, right = python("""
        import json, registry, threading, numpy as np
        together, found = threading.Barrier(8), []
        def ask(name):
            together.wait()
            if name is None:
                import kernels.matmul.elementwise
            found.append((name, registry.get("matmul", name or "elementwise")))
        names = ["numpy", "numpy", "loop", "loop", "auto", "auto", None, "elementwise"]
        threads = [threading.Thread(target=ask, args=(name,)) for name in names]
        [t.start() for t in threads], [t.join() for t in threads]
        same = len({id(f) for _, f in found}) == 4 and len(found) == 8
        print(json.dumps([same, all(f(np.eye(2), np.eye(2)).tolist() == [[1, 0], [0, 1]] for _, f in found)]))
    """)
    assert same
    assert right


def test_unknown_names_are_answered_with_what_exists_and_the_nearest():
    with pytest.raises(UnknownOperation, match=r"no operation 'matmull'; did you mean 'matmul'\? \(there are: .*meanshift_step"):
        registry.get("matmull")
    with pytest.raises(UnknownVariant, match=r"matmul: no variant 'nunpy'; did you mean 'numpy'\? \(there are: definition"):
        registry.get("matmul", "nunpy")
    with pytest.raises(UnknownVariant):
        registry.explain("matmul", np.ones((2, 2)), np.ones((2, 2)), selector="nunpy")
    for wrong in (None, 3, ("matmul",), ["matmul"]):
        with pytest.raises(UnknownOperation):
            registry.get(wrong)
        with pytest.raises(UnknownVariant):
            registry.get("matmul", wrong)


def test_a_device_that_is_not_there_is_answered_with_a_line_for_each_candidate():
    zoo = Zoo(ROOT / "kernels", Machine("cuda"))
    for operation in zoo.operations():
        candidates = [v for v in zoo.variants(operation) if v.device == "cuda"]
        with pytest.raises(VariantUnavailable) as caught:
            zoo.get(operation, "cuda")
        lines = str(caught.value).splitlines()
        assert len(lines) == 1 + len(candidates) > 1
        assert all("needs cuda, which this machine lacks" in line for line in lines[1:])


def test_a_missing_package_makes_its_variants_unavailable_and_nothing_else():
    zoo = Zoo(ROOT / "kernels", Machine("numba", "cuda"))
    for operation in zoo.operations():
        for variant in zoo.variants(operation):
            assert variant.available is not ("numba" in variant.requires or variant.device == "cuda")
            if "numba" in variant.requires:
                with pytest.raises(VariantUnavailable, match=f"{variant.name}.*needs numba"):
                    zoo.get(operation, variant.name)


class RegistryMachine(RuleBasedStateMachine):
    """Register, look up, take packages away: the catalogue always says what can be had, and `get` agrees."""

    names = st.sampled_from(["alpha", "beta", "gamma", "numpy"])

    def __init__(self):
        super().__init__()
        self.machine = Machine("cuda", "torch", "numba")
        self.zoo = Zoo(ROOT / "kernels", self.machine)
        self.operation = "matmul"
        self.known = {v.name: v.requires for v in self.zoo.variants(self.operation)}
        self.ours = {}

    @rule(name=names, answer=st.integers(0, 9), rank=st.integers(0, 100), requires=st.sampled_from([(), ("numba",), ("widget",)]))
    def register(self, name, answer, rank, requires):
        add = self.zoo.register(self.operation, name, rank=rank, requires=requires)
        function = lambda a, b: np.full((a.shape[0], b.shape[1]), answer, a.dtype)  # noqa: E731
        if name in self.known:
            with pytest.raises(DuplicateVariant, match=f"'{name}' is registered twice: .*:.* and .*:"):
                add(function)
        else:
            assert add(function) is function
            self.known[name] = requires
            self.ours[name] = (answer, rank, requires)

    @rule(package=st.sampled_from(["numba", "widget"]))
    def install(self, package):
        self.machine.absent = tuple(p for p in self.machine.absent if p != package)

    @rule(name=names)
    def look_up(self, name):
        a = np.ones((2, 2))
        if name not in self.known:
            with pytest.raises(UnknownVariant):
                self.zoo.get(self.operation, name)
        elif any(self.machine.missing(p) for p in self.known[name]):
            with pytest.raises(VariantUnavailable, match=f"'{name}' cannot run here"):
                self.zoo.get(self.operation, name)
        elif name in self.ours:
            assert (self.zoo.get(self.operation, name)(a, a) == self.ours[name][0]).all()

    @precondition(lambda self: self.ours)
    @rule()
    def choose(self):
        a = np.ones((2, 2), np.float32)
        chosen = self.zoo.explain(self.operation, a, a).chosen
        can_serve = [v for v in self.zoo.variants(self.operation) if v.available]
        assert chosen in can_serve
        result = self.zoo.get(self.operation)(a, a)
        if chosen.name in self.ours:
            assert (result == self.ours[chosen.name][0]).all()

    @rule(operation=st.sampled_from(["matmuls", "", "loop"]))
    def unknown_operation(self, operation):
        with pytest.raises(UnknownOperation):
            self.zoo.get(operation)

    @invariant()
    def the_list_is_complete_and_sorted(self):
        listed = self.zoo.variants(self.operation)
        assert {v.name for v in listed} == set(self.known)
        assert [v.rank for v in listed] == sorted(v.rank for v in listed)
        assert all(v.available is not any(self.machine.missing(p) for p in v.requires) for v in listed if v.device == "cpu")


TestRegistryMachine = RegistryMachine.TestCase
TestRegistryMachine.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
