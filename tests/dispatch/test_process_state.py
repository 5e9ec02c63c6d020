"""What the caller set for the process or the thread: a kernel sees a neutral state, and leaves the caller's as it was."""

import functools
import os
import pickle
import subprocess
import sys
from decimal import Decimal, localcontext
from pathlib import Path

import numpy as np
import pytest
from neighbours import python

import registry
from kernels._dispatch import neutral

torch = pytest.importorskip("torch")


def cpu_variants():
    return [(o, v) for o in registry.operations() for v in registry.variants(o) if v.available and v.device == "cpu"]


def calls(operation, variant, as_kind):
    """Calls whose sums overflow, underflow and meet infinities, and an ordinary one; each with the bits it gives by itself."""
    contract = registry.contract(operation)
    limited = {key: limit[0] for key, limit in variant.limits.items() if key in contract.signature.parameters}
    example = contract.example("tiny")

    def scaled(value, factor):
        if not isinstance(value, np.ndarray):
            return value
        array = value * np.float32(factor)
        if factor > 1 and not contract.signature.finite:
            array[(0,) * array.ndim] = np.inf
        return as_kind(array)

    return [
        (
            tuple(scaled(value, factor) for value in example.args),
            {key: scaled(value, factor) for key, value in example.kwargs.items()} | limited,
        )
        for factor in (1, 1e-30, 1e17 if contract.signature.finite else 1e20)
    ]


def bits(result):
    return (result.numpy() if isinstance(result, torch.Tensor) else result).tobytes()


class setting:
    """A state of the caller's, and how to see it."""

    def __init__(self, enter, leave, read):
        self.enter, self.leave, self.read = enter, leave, read

    def __enter__(self):
        self.enter()

    def __exit__(self, *_):
        self.leave()


def entered(context, read):
    made = []
    return setting(lambda: made.append(context()) or made[-1].__enter__(), lambda: made.pop().__exit__(None, None, None), read)


def attentions():
    cuda = torch.backends.cuda
    return cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled(), cuda.math_sdp_enabled(), cuda.cudnn_sdp_enabled()


def flushes():
    return sys.float_info.min * float("0.5") == 0


STATES = {
    "autocast": entered(lambda: torch.autocast("cpu"), lambda: torch.is_autocast_enabled("cpu")),
    "attention": entered(lambda: torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.CUDNN_ATTENTION), attentions),
    "flush": setting(lambda: torch.set_flush_denormal(True), lambda: torch.set_flush_denormal(False), flushes),
    "cuda_autocast": setting(
        lambda: torch.set_autocast_enabled("cuda", True),
        lambda: torch.set_autocast_enabled("cuda", False),
        lambda: torch.is_autocast_enabled("cuda"),
    ),
    "seterr": entered(lambda: np.errstate(all="raise"), np.geterr),
    "errcall": entered(lambda: np.errstate(all="call", call=lambda *_: 1 / 0), lambda: (np.geterr(), np.geterrcall())),
    "dtype": setting(
        lambda: torch.set_default_dtype(torch.float64), lambda: torch.set_default_dtype(torch.float32), torch.get_default_dtype
    ),
    "device": setting(lambda: torch.set_default_device("meta"), lambda: torch.set_default_device(None), torch.get_default_device),
    "deterministic": setting(
        lambda: torch.use_deterministic_algorithms(True),
        lambda: torch.use_deterministic_algorithms(False),
        torch.are_deterministic_algorithms_enabled,
    ),
    "precision": setting(
        lambda: torch.set_float32_matmul_precision("medium"),
        lambda: torch.set_float32_matmul_precision("highest"),
        torch.get_float32_matmul_precision,
    ),
    "tf32": setting(
        lambda: setattr(torch.backends.cuda.matmul, "fp32_precision", "tf32"),
        lambda: setattr(torch.backends.cuda.matmul, "fp32_precision", "none"),
        lambda: torch.backends.cuda.matmul.fp32_precision,
    ),
    "mkldnn": setting(
        lambda: setattr(torch.backends.mkldnn.matmul, "fp32_precision", "bf16"),
        lambda: setattr(torch.backends.mkldnn.matmul, "fp32_precision", "none"),
        lambda: torch.backends.mkldnn.matmul.fp32_precision,
    ),
    "dual_level": entered(torch.autograd.forward_ad.dual_level, lambda: None),
    "inference": entered(torch.inference_mode, torch.is_inference_mode_enabled),
    "no_grad": entered(torch.no_grad, torch.is_grad_enabled),
}


@functools.cache
def calls_by_themselves():
    """Return calls of all variants, each with the bits that it gives where the state is as usual."""
    made = []
    for operation, variant in cpu_variants():
        function = registry.get(operation, variant.name)
        for as_kind in (np.asarray, torch.from_numpy):
            for args, kwargs in calls(operation, variant, as_kind):
                with np.errstate(all="ignore"):
                    made.append((variant.name, functools.partial(function, *args, **kwargs), bits(function(*args, **kwargs))))
    return made


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_the_callers_state_changes_no_result_and_is_left_as_it_was(state):
    for name, call, expected in calls_by_themselves():
        with state:
            before = state.read()
            results = [call() for _ in range(2)]
            after = state.read()
        assert after == before, name
        assert [bits(result) for result in results] == [expected] * 2, name


def test_a_call_from_inside_the_context_that_another_is_in_is_served_as_well():
    matmul, a = registry.get("matmul", "numpy"), np.full((2, 2), 1e200)
    with np.errstate(all="raise"):
        for _ in range(3):
            assert np.isinf(matmul(a, a)).all()
            assert np.isinf(neutral.IGNORING.run(matmul, a, a)).all()


def test_entries_that_are_objects_see_the_callers_context():
    matmul, a = registry.get("matmul", "numpy"), np.array([[Decimal(1) / 3]])
    for _ in range(3):
        with localcontext(prec=4):
            assert str(matmul(a, a)[0, 0]) == "0.1111"


def test_threads_that_a_first_call_starts_keep_subnormal_numbers():
    """A thread begins with the settings of the one that starts it, and lives on after the caller has changed them."""
    equal, kept, flushing = python("""
        import os; os.environ["NUMBA_NUM_THREADS"] = "4"
        import json, sys, numpy as np, torch, registry
        a, b = np.full((512, 512), 1e-30, np.float32), np.full((512, 512), 1e-10, np.float32)
        matmul = registry.get("matmul", "numba")
        torch.set_flush_denormal(True)
        first, flushing = matmul(a, b), sys.float_info.min * float("0.5") == 0
        torch.set_flush_denormal(False)
        print(json.dumps([bool((first == matmul(a, b)).all()), bool(first.all()), flushing]))
    """)
    assert equal
    assert kept
    assert flushing


def test_torch_compile_round_a_call_breaks_its_graph_there():
    traced, right, refused, warned = python("""
        import json, warnings, numpy as np, torch, registry
        caught = warnings.catch_warnings(record=True)
        warned = caught.__enter__()
        warnings.simplefilter("always")
        graphs, right, x = [], [], torch.arange(9.0).reshape(3, 3)
        def backend(graph, _):
            graphs.append(graph.code)
            return graph
        for name, array in (("auto", x), ("torch", x.numpy())):
            matmul = registry.get("matmul", name)
            function = lambda a: matmul(a + 1, a) * 2
            compiled = torch.compile(function, backend=backend)
            right += [bool((compiled(array) == function(array)).all()) for _ in range(2)]
            torch._dynamo.reset()  # what it keeps of arrays it takes for tensors too
        try:
            torch.compile(function, backend=backend, fullgraph=True)(x)
        except torch._dynamo.exc.Unsupported as error:
            refused = "marked as skipped" in str(error) or "disable" in str(error)
            print(json.dumps([graphs, right, refused, [str(each.message) for each in warned]]))
    """)
    assert traced
    assert not any("matmul" in graph or " mm" in graph for graph in traced)  # no kernel is looked into
    assert right == [True] * 4
    assert refused
    assert not warned


def test_cloudpickle_takes_public_functions_by_name():
    cloudpickle = pytest.importorskip("cloudpickle")
    for name in registry.__all__:
        public = getattr(registry, name)
        assert pickle.loads(cloudpickle.dumps(public)) == public
    assert pickle.loads(cloudpickle.dumps(lambda: registry.get("matmul").__name__))() == "matmul"


CHECKS = """
import os, sys, numpy as np, registry

def wrong(a, b):
    c = np.matmul(a, b)
    if c.size > 400:
        c.flat[-1] = 7
    return c

before = dict(os.environ), np.geterr()
registry.check("matmul", np.matmul, max_examples=1)
print(os.listdir("."), os.listdir(sys.argv[1]))
try:
    registry.check("matmul", wrong, max_examples=60)
except registry.ConformanceError as error:
    print(error)
assert before == (dict(os.environ), np.geterr())
"""


def test_a_check_in_a_process_of_the_users_own_leaves_nothing_but_the_arrays_that_a_failure_names(tmp_path):
    here, temporary = tmp_path / "here", tmp_path / "temporary"
    here.mkdir()
    temporary.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(Path(registry.__file__).parent), "TMPDIR": str(temporary)}
    line = [sys.executable, "-c", CHECKS, str(temporary)]
    done = subprocess.run(line, cwd=here, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[] []\n")
    assert not list(here.iterdir())
    (folder,) = temporary.iterdir()
    assert folder.name.startswith("kernel-zoo-")
    files = list(folder.iterdir())
    assert files
    assert all(f"np.load('{file}')" in done.stdout for file in files)
