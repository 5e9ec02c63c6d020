"""The referee as a product: the same verdict twice, examples that reproduce, and a way in for other projects' tests."""

import ast
import itertools
import os
import re
import subprocess
import sys
import textwrap
import traceback
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from commands import BARE
from verdicts import flat_alone, refusal

import registry
from kernels import _arrays, _conformance
from kernels._conformance import answers, asking, cases, general
from kernels._conformance.state import watched
from kernels._definition import numerics
from registry import ConformanceError

ROOT = Path(registry.__file__).parent


def assumes_c_order(a, b):
    """Read a as if it lay in C order: right for contiguous arrays alone."""
    flat = np.lib.stride_tricks.as_strided(a, strides=(a.itemsize * a.shape[1], a.itemsize)) if a.flags.f_contiguous else a
    return flat @ b


def drops_tails(a, b):
    """Lose the columns past the last whole tile of sixteen."""
    c = a @ b
    if c.shape[1] > 16:
        c[:, c.shape[1] // 16 * 16 :] = 0
    return c


def pasted(message):
    """Run the code of a failure as its author would; return its names and what the call, its last line, returns."""
    code = textwrap.dedent(message.partition("smallest failing example:\n")[2])
    *before, call = code.rstrip().splitlines()
    names = {}
    exec("\n".join(before), names)
    return names, eval(call, names)


@pytest.mark.parametrize("function", [assumes_c_order, drops_tails])
def test_two_runs_give_the_same_verdict_and_the_same_example(function):
    assert refusal(function) == refusal(function)


@pytest.mark.parametrize("function", [assumes_c_order, drops_tails])
def test_the_smallest_example_reproduces_and_names_property_error_and_bound(function):
    message = refusal(function)
    assert re.match(r"matmul: \w+ failed: entry \(.*\) is .*, expected .*: off by .* times the bound of ", message)
    names, result = pasted(message)
    assert names[function.__name__] is function
    given, contract = {"a": names["a"], "b": names["b"]}, registry.contract("matmul")
    dtype = given["a"].dtype.name
    reference, bound = contract.reference(**given, dtype=dtype), contract.bound(**given, dtype=dtype)
    assert not numerics.compare(result, reference, bound).passes
    assert numerics.compare(given["a"] @ given["b"], reference, bound).passes


def spoils_the_corner(a, b):
    """Wrong for results of more than 400 entries alone, so that no failing example is small."""
    c = a @ b
    if c.nbytes > 400 * c.itemsize:
        c[-1, -1] = 7
    return c


@pytest.mark.parametrize("dtype", ["float32", "float64", "longdouble", "complex64", "int64", "object", "bfloat16"])
def test_a_large_example_is_short_and_reproduces(dtype):
    """Arrays that would fill the screen are in a file, from which they come back bit for bit."""
    if dtype == "bfloat16":
        pytest.importorskip("torch")
    implementation = _conformance.implementation_from(registry.zoo(), "matmul", spoils_the_corner, dtypes=(dtype,))
    with pytest.raises(ConformanceError) as caught:
        _conformance.run(general.agrees_with_reference, implementation, 100)
    message = str(caught.value)
    assert len(message) < 1000
    assert "np.load(" in message
    given, _ = pasted(message)
    frames = (frame for frame, _ in traceback.walk_tb(caught.tb))
    case = next(frame.f_locals["implementation"].record.trial.case for frame in frames if frame.f_code.co_name == "run")
    for name, array in case.arrays.items():
        assert _arrays.dtype_name(given[name].dtype) == dtype
        brought = cases.values(given[name])
        assert brought.shape == array.shape
        assert brought.strides == array.strides or dtype == "bfloat16"
        assert (brought == array).all()


def test_a_long_error_is_cut_and_kept_as_the_cause():
    def complains(a, b):
        raise ValueError("no " * 10_000)

    with pytest.raises(ConformanceError) as caught:
        registry.check("matmul", complains)
    assert len(str(caught.value)) < 1000
    assert str(caught.value.__cause__) == "no " * 10_000
    assert len("".join(traceback.format_exception(caught.value.__cause__, limit=0))) < 31_000  # no notes of Hypothesis's


def test_three_lines_run_the_suite_in_another_project(tmp_path):
    """Each property is a test of its own there, which a wrong function fails."""
    (tmp_path / "mypackage.py").write_text(
        "def matmul(a, b):\n    return a @ b\n\n"
        "def wrong(a, b):\n    return (a.astype('float16') @ b.astype('float16')).astype(a.dtype)\n"
    )
    lines = """
        import registry
        from mypackage import matmul
        test_matmul = registry.conformance_test("matmul", matmul, max_examples=5)
    """
    (tmp_path / "test_right.py").write_text(textwrap.dedent(lines))
    (tmp_path / "test_wrong.py").write_text(textwrap.dedent(lines).replace("import matmul", "import wrong as matmul"))
    asked = "test_right or agrees_with_reference"  # to make an example of each property small takes long
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "test_right.py", "test_wrong.py", "-k", asked]
    environment = {**os.environ, "PYTHONPATH": BARE}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    properties = _conformance.all_properties(registry.contract("matmul"))
    assert len(re.findall(r"test_right.py::test_matmul\[\w+\] PASSED", done.stdout)) == len(properties), done.stdout
    assert done.returncode == 1
    assert "FAILED test_wrong.py::test_matmul[agrees_with_reference]" in done.stdout


def test_check_refuses_what_raises_or_returns_something_else():
    def raises(a, b):
        raise RuntimeError("out of luck")

    assert "RuntimeError: out of luck" in refusal(raises)
    assert "returned a NumPy array of float16" in refusal(lambda a, b: (a @ b).astype("float16"))
    assert "shape" in refusal(lambda a, b: (a @ b)[..., None])
    for nothing in (lambda a, b: None, lambda a, b: [[1.0]]):
        refusal(nothing)


def test_check_refuses_what_ends_the_process():
    assert "it ends the process with SystemExit(0)" in refusal(lambda a, b: sys.exit(0))
    calls = itertools.count()

    def now_and_then(a, b):
        return a @ b if next(calls) % 10 else sys.exit(0)

    assert "it ends the process with SystemExit(0)" in refusal(now_and_then)


@pytest.mark.parametrize("door", [registry.check, registry.conformance_test])
@pytest.mark.parametrize(
    ("claims", "error", "message"),
    [
        ({"max_examples": 0}, ValueError, "argument max_examples: expected at least 1, got 0"),
        ({"dtypes": "float32"}, TypeError, "matmul: the claims of matmul: dtypes is a tuple, got 'float32'"),
        ({"dtypes": ()}, ValueError, "matmul: the claims of matmul: expected dtypes among float32, .*, got none"),
        ({"dtypes": ("float31",)}, ValueError, "no dtype 'float31'; did you mean 'float32'"),
        ({"device": "gpu"}, ValueError, "device is one of cpu, cuda, got 'gpu'"),
        ({"arrays": "jax"}, ValueError, "arrays is one of numpy, torch, dask, any, got 'jax'"),
        ({"layout": "F"}, ValueError, "layout is one of any, C, got 'F'"),
        ({"precision": "loose"}, ValueError, "expected precision among working, wide, tf32, 3xtf32, normwise, got 'loose'"),
        ({"deterministic": 1}, TypeError, "deterministic is a bool, got 1"),
        ({"limits": {"k": 3}}, ValueError, "expected limits of flops, bytes, scratch, got one of 'k'"),
        ({"limits": {"a": 3}}, ValueError, "expected limits of flops, bytes, scratch, got one of 'a'"),
        (
            {"operation": "meanshift_step", "limits": {"data": 3}},
            ValueError,
            r"expected \(None,\) as the limit of data, .* got 3",
        ),
        ({"limits": {"flops": -1}}, ValueError, "no call is within the limits flops -1"),
        ({"function": 3}, TypeError, "argument function: expected a callable, got int"),
        ({"foo": 3}, TypeError, "foo"),
    ],
    ids=str,
)
def test_claims_that_mean_nothing_are_refused_in_one_line(door, claims, error, message):
    with pytest.raises(error, match=message) as caught:
        door(**{"operation": "matmul", "function": np.matmul, **claims})
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not registry.missing("cuda"), reason="there is a CUDA device")
def test_a_device_that_is_not_here_is_said_so():
    with pytest.raises(registry.VariantUnavailable, match="matmul: matmul cannot be checked here: it needs a CUDA device"):
        registry.check("matmul", np.matmul, device="cuda")


@pytest.mark.parametrize("package", ["hypothesis", "pytest"])
def test_what_the_referee_needs_is_named(package):
    code = (
        f"import sys; sys.modules['{package}'] = None; import registry\n"
        "try:\n    registry.conformance_test('matmul', max)\nexcept ModuleNotFoundError as error:\n    print(error)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert f"needs the package {package}, which is not installed (pip install {package})" in done.stdout


def test_check_takes_functions_on_tensors():
    torch = pytest.importorskip("torch")
    registry.check("matmul", torch.matmul, max_examples=10)
    assert "agrees_with_reference" in refusal(lambda a, b: torch.matmul(a, b) * 1.001)


def forgets_an_entry(a, b):
    """Leave NaN in the last entry of anything larger than a tile."""
    c = a @ b
    if c.size > 256:
        c[-1, -1] = np.nan
    return c


def lets_nan_pass(result, reference, bound, scale=np.inf):
    """Compare as `err > bound` does: false for NaN."""
    with np.errstate(all="ignore"):
        share = float(np.nan_to_num(np.abs(result - reference) / bound, nan=0.0).max(initial=0))
    return numerics.Agreement(share, (0,) * result.ndim, 0.0)


SLIPS = [
    pytest.param(
        "kernels._conformance.implementation.compare", lets_nan_pass, forgets_an_entry, id="a comparison that NaN passes"
    ),
    pytest.param(
        "kernels._conformance.cases.EXTENTS", (1, 2, 3, 0, 5, 8, 15, 16), drops_tails, id="shapes that stay within a tile"
    ),
    pytest.param(
        "kernels._conformance.calls.LAYOUTS", {"contiguous": np.copy}, assumes_c_order, id="arrays that are all contiguous"
    ),
]


@pytest.mark.parametrize(("name", "slip", "wrong"), SLIPS)
def test_one_plausible_slip_in_the_suite_lets_a_wrong_kernel_through(monkeypatch, name, slip, wrong):
    """With the slip the wrong kernel passes, without it it is refused: so this test turns red if the suite ever slips so."""
    registered = {property_.__name__: property_ for property_ in _conformance.all_properties(registry.contract("matmul"))}
    property_ = registered["reads_every_layout" if "LAYOUTS" in name else "agrees_with_reference"]
    implementation = _conformance.implementation_from(registry.zoo(), "matmul", wrong)
    with pytest.raises(ConformanceError):
        _conformance.run(property_, implementation, 100)
    module, _, attribute = name.rpartition(".")
    monkeypatch.setattr(sys.modules[module], attribute, slip)
    monkeypatch.setattr(asking, "_remembered", {})  # what was drawn without the slip, and after this what was with it
    _conformance.run(property_, implementation, 100)


def test_a_verdict_is_a_verdict_where_python_leaves_assertions_out(tmp_path):
    """`python -O` drops every `assert`: the command, the function and the pytest form must refuse all the same."""
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n\n"
        "def doubles(a, b):\n    return 2 * (a @ b)\n\n"
        "def nan(a, b):\n    return np.full((a.shape[0], b.shape[1]), np.nan, a.dtype)\n"
    )
    (tmp_path / "asks.py").write_text(
        "import mine, registry\n"
        "from kernels import _conformance\n"
        "passed = []\n"
        "for function in (mine.doubles, mine.nan):\n"
        "    try:\n        registry.check('matmul', function, max_examples=5)\n"
        "    except registry.ConformanceError:\n        continue\n"
        "    passed.append(function.__name__)\n"
        "test = registry.conformance_test('matmul', mine.nan, max_examples=5)\n"
        "for property_ in _conformance.all_properties(registry.contract('matmul')):\n"
        "    if property_.__name__.startswith('agrees_with'):\n"
        "        try:\n            test(property_)\n"
        "        except registry.ConformanceError:\n            continue\n"
        "        passed.append(property_.__name__)\n"
        "print('passed:', passed)\n"
    )
    environment = {**os.environ, "PYTHONPATH": BARE, "PYTHONOPTIMIZE": "2"}
    asked = subprocess.run(
        [sys.executable, "asks.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert "passed: []" in asked.stdout, asked.stdout + asked.stderr
    del environment["PYTHONOPTIMIZE"]
    command = [sys.executable, "-O", "-m", "registry", "check", "matmul", "mine:doubles", "--examples", "2"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "mine:doubles: REFUSED" in done.stdout


def test_no_assert_statement_holds_up_the_zoo():
    """What must be true is said with `raise`: an `assert` is gone under `python -O`."""
    files = [ROOT / "registry.py", *(ROOT / "kernels").rglob("*.py")]
    lines = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in files
        for node in ast.walk(ast.parse(file.read_bytes()))
        if isinstance(node, ast.Assert)
    ]
    assert not lines


def loses_the_last_entry_without_data(x, bandwidth, data=None, kernel="flat"):
    """A right step but where its data is left out."""
    y = flat_alone(x, bandwidth, data=x if data is None else data, kernel=kernel)
    return y if data is not None or not y.size else np.where(np.arange(y.size).reshape(y.shape) < y.size - 1, y, y + 1)


def test_what_has_a_default_is_left_out_and_the_code_of_a_failure_shows_the_call_as_it_was():
    claims = {"limits": {"kernel": ("flat",), "dimensions": (1, 2, 3)}}
    message = refusal(loses_the_last_entry_without_data, "meanshift_step", **claims)
    assert re.search(r"\n    loses_the_last_entry_without_data\(x, [\d.]+\)$", message)
    names, result = pasted(message)
    assert not np.array_equal(result, flat_alone(names["x"], 1e-9, data=names["x"], kernel="flat"))


def test_the_code_of_a_failure_shows_the_example_that_its_text_is_about():
    calls = itertools.count()

    def now_and_then(a, b):
        if a.size and next(calls) % 7 == 3:
            raise RuntimeError(f"entry {float(a[0, 0])!r}")
        return a @ b

    for _ in range(3):
        message = refusal(now_and_then)
        entry = float(re.search(r"RuntimeError: entry (.*)", message)[1])
        code, _, call = message.partition("smallest failing example:\n")[2].rstrip().rpartition("\n")
        names = {}
        exec(textwrap.dedent(code), names)
        assert "now_and_then" in call
        assert entry in names["a"]


_seen = {}


def remembers_where_b_lay(a, b):
    """Keep a copy of B for the address of B."""
    return a @ _seen.setdefault((b.__array_interface__["data"], b.shape, b.strides, b.dtype), b.copy())


def doubles_by_default_dtype(a, b):
    """Lean on what torch makes of numbers."""
    import torch

    return a @ b * (1 if torch.get_default_dtype() == torch.float32 else 2)


def test_the_code_of_a_failure_has_the_circumstances_that_matter():
    pytest.importorskip("torch")
    properties = {property_.__name__: property_ for property_ in _conformance.all_properties(registry.contract("matmul"))}

    def message(name, function):
        implementation = _conformance.implementation_from(registry.zoo(), "matmul", function)
        with pytest.raises(ConformanceError) as caught:
            _conformance.run(properties[name], implementation, 50)
        return str(caught.value)

    stale = message("sees_fresh_contents", remembers_where_b_lay)
    _seen.clear()
    names, result = pasted(stale)
    assert not np.array_equal(result, names["a"] @ names["b"])
    leaning = message("leaves_the_process_as_it_was", doubles_by_default_dtype)
    with watched(unusual=False):  # the code of a failure sets what a process shares, and leaves it so
        names, result = pasted(leaning)
    assert not np.array_equal(result, names["a"] @ names["b"])


def test_an_answer_is_remembered_by_the_contents_of_a_call():
    """The reference is computed once for all kernels, and anew where an entry, a parameter or which arrays are one is another."""
    computed = itertools.count()
    contract = SimpleNamespace(expected=lambda **_: (next(computed), None), scale=lambda *_, **__: None)
    answers._remembered.clear()
    x = np.arange(6.0).reshape(3, 2)

    def ask(arrays, bandwidth=1.0, precision="working"):
        return answers.expected(contract, cases.Case(arrays, {"bandwidth": bandwidth, "kernel": "flat"}, "float64"), precision)

    first = ask({"x": x})
    assert ask({"x": x.copy("F")}) == first
    assert len({first, ask({"x": x, "data": x}), ask({"x": x, "data": x.copy()}), ask({"x": x}, 2.0)}) == 4
    assert ask({"x": x}, precision="expansion") != first
    x[1, 1] += 1
    assert ask({"x": x}) != first
    answers._remembered.clear()
