"""The registry: what it lists, what it loads, what it refuses, and what it says then."""

import copy
import importlib.util
import inspect
import json
import multiprocessing
import os
import pickle
import pydoc
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import registry
from registry import DuplicateVariant, System, UnknownOperation, UnknownVariant, VariantUnavailable, Zoo

ROOT = Path(registry.__file__).parent


def python(code, *, path=()):
    """Run code in a fresh interpreter and return what it prints, as JSON."""
    paths = [str(p) for p in (*path, ROOT)]
    lines = [f"import sys; sys.path[:0] = {paths!r}", textwrap.dedent(code)]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Machine(System):
    """A described system: everything is here but what is named."""

    def __init__(self, *absent):
        super().__init__()
        self.absent = absent

    def missing(self, requirement):
        return f"needs {requirement}, which this machine lacks" if requirement in self.absent else None


# What importing and listing cost


def test_importing_the_registry_loads_the_standard_library_alone():
    loaded = python("import registry, json; print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))")
    assert not {"numpy", "torch", "numba", "array_api_compat", "kernels", "click", "rich"} & set(loaded)


def test_listing_imports_no_kernel_file():
    loaded = python("""
        import json, registry
        for operation in registry.operations():
            [(v.available, v.reason, v.source) for v in registry.variants(operation)]
        print(json.dumps(sorted(m for m in sys.modules if m.partition(".")[0] in ("kernels", "numpy", "torch", "numba"))))
    """)
    assert loaded == []


def test_get_imports_only_the_file_it_needs():
    loaded = python("""
        import json, registry
        registry.get("matmul", "numpy")
        print(json.dumps([m for m in sys.modules if m.startswith("kernels.matmul.") or m in ("torch", "numba")]))
    """)
    assert loaded == ["kernels.matmul.numpy"]


def test_run_as_a_script_it_hands_over_to_the_imported_registry():
    done = subprocess.run(
        [sys.executable, "-m", "registry", "list", "--json"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {row["operation"] for row in json.loads(done.stdout)} == set(registry.operations())


@pytest.mark.parametrize("operation", registry.operations())
def test_a_variant_says_what_it_is(operation):
    for variant in registry.variants(operation):
        file, _, line = variant.source.rpartition(":")
        assert "register(" in Path(file).read_text().splitlines()[int(line) - 1]
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
    contract = getattr(registry.contract(operation), operation)
    assert function.__name__ == operation
    assert function.__doc__ == contract.__doc__
    shown, own = inspect.signature(function), inspect.signature(contract)
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


def test_the_desks_own_cost_can_be_measured(monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("overhead", ROOT / "bench" / "overhead.py")
    overhead = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(overhead)
    monkeypatch.setattr(overhead, "ROUNDS", 1)
    monkeypatch.setattr(sys, "argv", ["overhead.py", "--json"])
    overhead.main()
    seconds = json.loads(capsys.readouterr().out)["seconds"]
    for operation in registry.operations():
        for variant in registry.variants(operation):
            if variant.available and variant.device == "cpu":
                assert f"{operation} {variant.name}, through the desk" in seconds


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


# Names, and what can run here


def test_unknown_names_are_answered_with_what_exists_and_the_nearest():
    with pytest.raises(UnknownOperation, match=r"no operation 'matmull'; did you mean 'matmul'\? \(there are: .*meanshift_step"):
        registry.get("matmull")
    with pytest.raises(UnknownVariant, match=r"matmul: no variant 'nunpy'; did you mean 'numpy'\? \(there are: loop"):
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


def test_the_real_system_finds_packages_and_misses_them(monkeypatch):
    assert System().missing("numpy") is None
    assert "pip install no_such_package" in System().missing("no_such_package")
    monkeypatch.setitem(sys.modules, "numba", None)
    assert "numba" in System().missing("numba")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES" in System().missing("cuda")


def test_asking_for_a_module_does_not_import_the_package_it_lies_in(tmp_path):
    (tmp_path / "stray" / "inner").mkdir(parents=True)
    (tmp_path / "stray" / "__init__.py").write_text("raise SystemExit('imported')")
    (tmp_path / "stray" / "inner" / "kernels.py").write_text(KERNEL.format(name="deep"))
    distribution(tmp_path, "stray", {"matmul": "stray.inner.kernels"})
    there, absent, listed = python(
        """
        import json, registry
        listed = "deep" in [v.name for v in registry.variants("matmul")]
        print(json.dumps([registry.missing("stray.inner.kernels"), registry.missing("stray.inner.nonesuch.deeper"), listed]))
        """,
        path=[tmp_path],
    )
    assert there is None
    assert "stray.inner.nonesuch.deeper, which is not installed (pip install stray)" in absent
    assert listed


def test_numba_alone_does_not_serve_a_device(monkeypatch):
    """Its CUDA target is a package of its own, which the catalogue knows of; on the CPU nobody asks for it."""
    zoo = Zoo(ROOT / "kernels", Machine("numba_cuda"))
    for operation in zoo.operations():
        for variant in zoo.variants(operation):
            assert variant.available is not ("numba" in variant.requires and variant.device == "cuda")
    monkeypatch.setitem(sys.modules, "numba_cuda", None)
    assert "pip install 'numba-cuda[cu13]'" in System().missing("numba_cuda")


# Dispatch


def test_dispatch_is_by_rank_then_by_the_callers_kind_among_what_can_serve():
    a = np.ones((3, 3), np.float32)
    explanation = registry.explain("matmul", a, a)
    assert explanation.chosen is explanation.considered[0][0]
    serving = [v for v, reason in explanation.considered if reason is None]
    best = [v for v in serving if v.rank == max(v.rank for v in serving)]
    assert explanation.chosen in best
    assert explanation.chosen.arrays == "numpy" or all(v.arrays != "numpy" for v in best)
    text = str(explanation)
    assert f"{explanation.chosen.name}: runs" in text
    assert len(text.splitlines()) == 1 + len(registry.variants("matmul"))


def test_dispatch_turns_to_another_variant_for_another_dtype():
    integers = np.arange(6).reshape(2, 3)
    chosen = registry.explain("matmul", integers, integers.T).chosen
    assert "int64" in chosen.dtypes
    assert (registry.get("matmul")(integers, integers.T) == [[5, 14], [14, 50]]).all()


def test_what_every_variant_refuses_is_said_once():
    step, x = registry.get("meanshift_step"), np.ones((3, 2))
    cases = [
        (x.astype(int), {}, TypeError, "meanshift_step: argument x: expected dtype float32 or float64, got int64; cast it"),
        (x, {"bach_size": 7}, TypeError, "meanshift_step: no variant has an argument 'bach_size'; their options are: batch_size"),
        (
            x,
            {"batch_size": "7"},
            TypeError,
            "meanshift_step: no variant for 'auto' can take this call: each takes batch_size as int; got '7'",
        ),
    ]
    for points, options, error, message in cases:
        with pytest.raises(error) as caught:
            step(points, 1.0, **options)
        assert str(caught.value) == message
    zoo = fresh_zoo()
    for name, most in (("one", 1), ("two", 2)):  # several reasons: a line each, of those that could run
        zoo.register("matmul", name, dtypes=("bfloat16",), limits={"flops": most})(np.matmul)
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match=r"no variant for 'auto' can take this call:\n  two: .*\n  one: .*has 54$"):
        zoo.get("matmul")(*[torch.ones(3, 3, dtype=torch.bfloat16)] * 2)
    for variant in registry.variants("matmul"):
        if variant.available:
            with pytest.raises(TypeError, match=r"matmul: .*too many positional arguments$"):
                registry.get("matmul", variant.name)(x.T, x, x)
    with pytest.raises(TypeError, match=r"^meanshift_step: missing a required argument: 'bandwidth'$"):
        registry.get("meanshift_step", "loop")(x)


def test_an_option_narrows_the_choice_and_is_checked():
    x = np.random.default_rng(0).standard_normal((20, 2))
    step = registry.get("meanshift_step")
    chosen = registry.explain("meanshift_step", x, 1.0, batch_size=7).chosen
    assert "batch_size" in chosen.options
    for integer in (7, np.int64(7), np.array(7)):
        assert step(x, 1.0, batch_size=integer).shape == x.shape
    for bad, error in ((0, ValueError), (-1, ValueError), ("7", TypeError), (2.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match=r"meanshift_step: .*batch_size"):
            registry.get("meanshift_step", chosen.name)(x, 1.0, batch_size=bad)
    with pytest.raises(TypeError, match=f"variant '{chosen.name}' has no argument 'bach_size'"):
        registry.get("meanshift_step", chosen.name)(x, 1.0, bach_size=7)


def fresh_zoo():
    return Zoo(ROOT / "kernels", Machine("cuda", "torch"))


def test_limits_are_a_variants_own_word_and_hold():
    zoo = fresh_zoo()
    zoo.register("matmul", "small", rank=1000, limits={"flops": 100})(lambda a, b: np.full((a.shape[0], b.shape[1]), 7.0))
    small, large = np.ones((2, 2)), np.ones((9, 9))
    assert (zoo.get("matmul")(small, small) == 7).all()
    assert (zoo.get("matmul")(large, large) == 9).all()
    assert "at most 100 flops" in {v.name: r for v, r in zoo.explain("matmul", large, large).considered}["small"]
    with pytest.raises(ValueError, match="variant 'small' takes at most 100 flops; this call has 1458"):
        zoo.get("matmul", "small")(large, large)
    zoo.register("meanshift_step", "one_kernel", rank=1000, limits={"kernel": ("flat",)})(
        lambda x, bandwidth, data, kernel: x + 1
    )
    assert (zoo.get("meanshift_step")(small, 1.0, kernel="flat") == 2).all()
    assert zoo.explain("meanshift_step", small, 1.0).chosen.name != "one_kernel"


PICKY = """
def unsuited(a, b):
    return None if a.shape[0] > 4 else f"{a.shape[0]} rows are too few"

def matmul(a, b):
    return np.full((a.shape[0], b.shape[1]), 7, a.dtype)
"""


def test_a_variant_that_says_it_would_lose_is_passed_over_until_it_would_not():
    zoo, file = fresh_zoo(), {"np": np}
    exec(PICKY, file)
    zoo.register("matmul", "picky", rank=1000)(np.errstate(all="ignore")(file["matmul"]))  # a decorator hides nothing
    small, large, product = np.ones((3, 3)), np.ones((9, 9)), zoo.get("matmul")
    for _ in range(2):  # what is remembered of one call must not decide the next
        assert (product(small, small) == 3).all()
        assert (product(large, large) == 7).all()
        assert (product(small.astype("float32"), small.astype("float32")) == 3).all()
    assert {v.name: r for v, r in zoo.explain("matmul", small, small).considered}["picky"] == "3 rows are too few"
    assert zoo.explain("matmul", large, large).chosen.name == "picky"
    assert (zoo.get("matmul", "picky")(small, small) == 7).all()  # whoever names it gets it


def test_slow_is_better_than_not_at_all():
    zoo, file = fresh_zoo(), {"np": np}
    exec(PICKY, file)
    zoo.register("matmul", "picky", rank=1000, dtypes=("int8",))(file["matmul"])
    for variant in zoo.variants("matmul"):
        if variant.name != "picky":
            object.__setattr__(variant, "dtypes", ("float64",))
    small = np.ones((3, 3), np.int8)
    explanation = zoo.explain("matmul", small, small)
    assert explanation.chosen.name == "picky"
    assert "picky: runs" in str(explanation)
    assert (zoo.get("matmul")(small, small) == 7).all()


# Register lines


BAD_DECLARATIONS = [
    ({"requires": "numba"}, TypeError, r"register\('matmul', 'x'\): requires is a tuple, got 'numba'"),
    ({"requires": (1,)}, TypeError, r"requires is a tuple of names, got \(1,\)"),
    ({"rank": "high"}, TypeError, "rank is a int, got 'high'"),
    ({"rank": True}, TypeError, "rank is a int, got True"),
    ({"options": [1]}, TypeError, r"options is a dict, got \[1\]"),
    ({"options": {1: 2}}, TypeError, r"options is a dict of names, got \{1: 2\}"),
    (
        {"limits": {"flops": "few"}},
        TypeError,
        "the limit of flops is a tuple of the allowed values or a largest number, got 'few'",
    ),
    ({"precision": 3}, TypeError, "precision is a str, got 3"),
    ({"dtypes": ("float33",)}, ValueError, "no dtype 'float33'; did you mean 'float32'"),
    ({"speed": 1}, TypeError, r"register\('matmul', 'x'\): no argument speed"),
]


@pytest.mark.parametrize(("bad", "error", "message"), BAD_DECLARATIONS)
def test_a_bad_declaration_makes_its_variant_unavailable_and_breaks_nothing_else(tmp_path, bad, error, message):
    words = ", ".join(f"{key}={value!r}" for key, value in bad.items())
    (tmp_path / "bad.py").write_text(KERNEL.format(name="x").replace("rank=1", words))
    distribution(tmp_path, "bad", {"matmul": "bad"})
    reason, others, product = python(
        """
        import json, registry, numpy as np
        listed = {v.name: v.available for v in registry.variants("matmul")}
        reason = next(v.reason for v in registry.variants("matmul") if v.name == "x")
        print(json.dumps([reason, listed["numpy"], registry.get("matmul")(np.eye(2), np.eye(2)).tolist()]))
        """,
        path=[tmp_path],
    )
    assert re.search(f"line 6 cannot be read: .*{message}", reason)
    assert others
    assert product == [[1, 0], [0, 1]]


def test_a_limit_of_nothing_and_an_unsuited_that_fails_keep_one_variant_away():
    zoo, file = fresh_zoo(), {"np": np, "__name__": "failing"}
    zoo.register("matmul", "limitless", rank=1001, limits={"foo": 3})(lambda a, b: a)
    exec("def unsuited(a, b):\n    return a.nonsense\n\ndef matmul(a, b):\n    return a", file)
    zoo.register("matmul", "failing", rank=1000)(file["matmul"])
    a = np.full((3, 3), 2.0)
    for _ in range(2):
        assert (zoo.get("matmul")(a, a) == 12).all()
    reasons = {v.name: reason for v, reason in zoo.explain("matmul", a, a).considered}
    assert re.match(r"limits 'foo' \(.*test_registry\.py:\d+\), which is neither an argument nor", reasons["limitless"])
    assert re.match(r"unsuited\(\.\.\.\) in .*test_registry\.py failed: AttributeError: .*nonsense", reasons["failing"])
    with pytest.raises(VariantUnavailable, match="variant 'limitless' limits 'foo'"):
        zoo.get("matmul", "limitless")(a, a)


def test_reserved_names_and_bad_declarations_are_refused():
    zoo = fresh_zoo()
    for name in ("auto", "cpu", "cuda", ""):
        with pytest.raises(ValueError, match="selectors"):
            zoo.register("matmul", name)
    with pytest.raises(ValueError, match="device is one of cpu, cuda, got 'tpu'"):
        zoo.register("matmul", "x", device="tpu")
    for bad, error, message in BAD_DECLARATIONS:
        with pytest.raises(error, match=message):
            zoo.register("matmul", "x", **bad)
    with pytest.raises(UnknownOperation):
        zoo.register("no_such_operation", "x")(len)


# Other distributions, and files that cannot be read


KERNEL = '''
"""A kernel."""
import numpy as np
from registry import register

@register("matmul", "{name}", rank=1)
def matmul(a, b):
    return np.matmul(a, b)
'''
OPERATION = '''
"""The contract of negate."""
import numpy as np
from kernels._examples import Example

ARRAYS, RATE, SIZES = ("x",), "flops", {"lecture": 3}

def negate(x):
    """Change the sign."""
    return (x,), {}

def work(x):
    return {"flops": x.size}

def example(size, *, dtype):
    return Example((np.ones(SIZES[size], dtype),), {}, size)

reference = bound = scale = rows = from_file = negate
'''


def distribution(folder, name, entry_points):
    """Lay out an installed distribution: its metadata alone, with entry points."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{key} = {value}" for key, value in entry_points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[kernel_zoo]", *lines]))


def test_an_installed_distribution_brings_variants_and_whole_operations(tmp_path):
    (tmp_path / "fast_kernels.py").write_text(KERNEL.format(name="outside"))
    package = tmp_path / "negation"
    package.mkdir()
    (package / "__init__.py").write_text(OPERATION)
    (package / "plain.py").write_text(
        'from registry import register\n@register("negate", "plain")\ndef negate(x):\n    return -x\n'
    )
    distribution(tmp_path, "outsider", {"matmul": "fast_kernels", "negate": "negation"})
    seen = python(
        """
        import json, registry, numpy as np
        names = [v.name for v in registry.variants("matmul")]
        before = "fast_kernels" in sys.modules
        product = registry.get("matmul", "outside")(np.eye(2), np.eye(2)).tolist()
        negative = registry.get("negate")(np.ones(2)).tolist()
        print(json.dumps([registry.operations(), names, before, product, negative]))
        """,
        path=[tmp_path],
    )
    operations, names, imported_by_listing, product, negative = seen
    assert operations == ["matmul", "meanshift_step", "negate"]
    assert "outside" in names
    assert not imported_by_listing
    assert product == [[1, 0], [0, 1]]
    assert negative == [-1, -1]


def test_a_broken_distribution_is_listed_with_its_error_and_breaks_nothing_else(tmp_path):
    (tmp_path / "wont_parse.py").write_text("def oops(:\n")
    (tmp_path / "wont_import.py").write_text(KERNEL.format(name="wont_import").replace("import numpy", "import nonesuch"))
    (tmp_path / "unliteral.py").write_text('NAME = "x"\n' + KERNEL.format(name="y").replace('"y"', "NAME"))
    (tmp_path / "disagrees.py").write_text(
        'from registry import register as r\nimport registry\nregister = lambda *a, **k: r(*a, **(k | {"rank": 9}))\n'
        '@register("matmul", "disagrees", rank=1)\ndef matmul(a, b):\n    return a\n'
    )
    for i, module in enumerate(("wont_parse", "wont_import", "absent_module", "unliteral", "disagrees")):
        distribution(tmp_path, f"broken{i}", {"matmul": module})
    seen = python(
        """
        import json, registry, numpy as np
        reasons = {}
        for name in ("wont_parse", "wont_import", "absent_module", "unliteral", "disagrees"):
            try:
                registry.get("matmul", name)
            except registry.VariantUnavailable as error:
                reasons[name] = str(error)
        listed = {v.name: v.reason for v in registry.variants("matmul")}
        print(json.dumps([reasons, listed, registry.get("matmul")(np.eye(2), np.eye(2)).tolist()]))
        """,
        path=[tmp_path],
    )
    reasons, listed, product = seen
    assert "SyntaxError" in reasons["wont_parse"]
    assert "No module named 'nonesuch'" in reasons["wont_import"]
    assert "No module named 'absent_module'" in reasons["absent_module"]
    assert "must be literals" in reasons["unliteral"]
    assert "was read with other rank" in reasons["disagrees"]
    assert all(listed[name] for name in reasons)
    assert listed["numpy"] is None
    assert product == [[1, 0], [0, 1]]


def command(*args, cwd, code=0):
    """Run `kernel-zoo` where the distributions laid out in a folder are installed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "300"}
    line = [sys.executable, "-m", "registry", *args]
    done = subprocess.run(line, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_an_operation_without_a_contract_is_named_with_the_reason(tmp_path):
    for name, contract in (("broken", "def broken(:\n"), ("nameless", "ARRAYS = ()\n"), ("foreign", "X = 1\n")):
        folder = tmp_path / "kernels" / name
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(contract)
        if name != "foreign":  # another distribution's
            (folder / "plain.py").write_text(KERNEL.format(name="plain").replace("matmul", name))
    (tmp_path / "halved.py").write_text("def halve(:\n")
    distribution(tmp_path, "halved", {"halve": "halved", "double": "doubled", "matmull": "kernels_of_matmul"})
    (tmp_path / "kernels_of_matmul.py").write_text(KERNEL.format(name="other"))
    zoo = Zoo(tmp_path / "kernels")
    assert zoo.operations() == ()
    assert set(zoo.broken_operations()) == {"broken", "nameless"}
    for name, reason in (("broken", r"__init__\.py cannot be read: SyntaxError"), ("nameless", "defines no function nameless")):
        with pytest.raises(UnknownOperation, match=f"no operation '{name}': .*{reason}"):
            zoo.get(name)
    with pytest.raises(UnknownOperation, match=r"no operation 'foreign' \(there are: none\)"):
        zoo.get("foreign")
    listed = command("list", cwd=tmp_path)
    assert "matmul" in listed
    assert re.search(r"halve: not an operation: .*halved.py cannot be read: SyntaxError", listed)
    assert "double: not an operation: entry point double = doubled failed: ModuleNotFoundError" in listed
    assert re.search(r"matmull: not an operation: .*kernels_of_matmul.py defines no function matmull", listed)
    assert re.search(r"no operation 'halve': .*halved.py cannot be read", command("list", "halve", cwd=tmp_path, code=1))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("def work", "def labour", "lacks work(...)"),
        ("RATE, SIZES", "SPEED, NUMBERS", "lacks RATE, SIZES"),
        ("import numpy", "import nonesuch", "failed to import: ModuleNotFoundError: No module named 'nonesuch'"),
        ('("x",)', '"x"', "is a tuple of arguments, of x; got 'x'"),
        ('("x",)', '("y",)', "is a tuple of arguments, of x; got ('y',)"),
    ],
)
def test_what_is_wrong_with_a_contract_is_one_line(tmp_path, old, new, reason):
    kernel = KERNEL.format(name="plain").replace('"matmul"', '"negate"')
    (tmp_path / "negation.py").write_text(OPERATION.replace(old, new, 1) + kernel)
    distribution(tmp_path, "negation", {"negate": "negation"})
    for line in (("explain", "negate"), ("check", "negate", "plain")):
        (said,) = command(*line, cwd=tmp_path, code=1).splitlines()
        assert re.match(r"kernel-zoo: negate: .* in .*negation\.py ", said)
        assert reason in said
    assert "plain" in command("list", "negate", cwd=tmp_path)


def test_the_command_has_one_line_for_what_no_one_foresaw(tmp_path):
    (tmp_path / "negation.py").write_text(OPERATION.replace("return Example", "return {}['key'], Example"))
    distribution(tmp_path, "negation", {"negate": "negation"})
    assert command("explain", "negate", cwd=tmp_path, code=1) == "kernel-zoo: KeyError: 'key'\n"


def test_a_precision_that_the_contract_does_not_know_is_refused():
    zoo = fresh_zoo()
    for operation in ("matmul", "meanshift_step"):
        zoo.register(operation, "sloppy", rank=1000, precision="sloppy")(lambda *args, **kwargs: 1 / 0)
        with pytest.raises(VariantUnavailable, match=rf"{operation} knows no precision 'sloppy' \(there are: working"):
            zoo.get(operation, "sloppy")
    assert zoo.get("matmul")(np.eye(2), np.eye(2)).tolist() == [[1, 0], [0, 1]]


def test_a_file_that_brings_nothing_is_listed_with_the_reason(tmp_path):
    folder = tmp_path / "kernels" / "negate"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(OPERATION)
    (folder / "misspelt.py").write_text(KERNEL.format(name="misspelt").replace("matmul", "negatte"))
    (folder / "idle.py").write_text("def negate(x):\n    return -x\n")
    (folder / "_shared.py").write_text("X = 1\n")
    reasons = {v.name: v.reason for v in Zoo(tmp_path / "kernels").variants("negate")}
    assert set(reasons) == {"misspelt", "idle"}
    assert "line 6 cannot be read: no operation 'negatte'; did you mean 'negate'?" in reasons["misspelt"]
    assert "registers no variant of negate" in reasons["idle"]


def test_what_may_be_several_variants_is_not_taken_for_one(tmp_path):
    for line in (("show", "matmul", "cuda"), ("show", "matmul", "auto"), ("check", "matmul", "auto"), ("check", "matmul", "cpu")):
        said = command(*line, cwd=tmp_path, code=1)
        assert re.fullmatch(rf"kernel-zoo: matmul: '{line[-1]}' may mean several variants; name one \(.*, .*\)\n", said)
    shown = command("show", "matmul", "numba_dot", cwd=tmp_path)
    assert re.search(r"^arrays: +numpy$", shown, re.MULTILINE)
    assert re.search(r"^layout: +C$", shown, re.MULTILINE)


def test_two_files_with_one_name_are_refused_with_both_places(tmp_path):
    (tmp_path / "twin.py").write_text(KERNEL.format(name="numpy"))
    distribution(tmp_path, "twins", {"matmul": "twin"})
    message = python(
        """
        import json, registry
        try:
            registry.variants("matmul")
        except registry.DuplicateVariant as error:
            print(json.dumps(str(error)))
        """,
        path=[tmp_path],
    )
    assert "numpy.py:" in message
    assert "twin.py:" in message


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
        assert chosen.rank == max(v.rank for v in can_serve)
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
