"""Hold a CUDA variant to the conformance suite where there is no GPU: `python stand_in.py HOW OPERATION VARIANT MAX_EXAMPLES`.

HOW "simulated", Numba's simulator or Triton's interpreter stands in for the device; HOW "compiled", the machine for PTX, which
runs what a device would be given. Tensors in the host's memory stand in for those on it. All is chosen before numba or triton
is imported, so this is a process of its own. Dispatch refuses a CUDA variant without a device; the kernel is
called behind it. Two further arguments, OLD and NEW, damage the kernel's source first.

With HOW alone the process serves: it does each job that a line of standard input names in a fork of itself, so that torch and
the compilers are imported once for all of them (`serve`).
"""

import functools
import gc
import importlib.util
import json
import os
import sys
import tempfile
import traceback
import warnings
from dataclasses import replace
from pathlib import Path

os.environ["NUMBA_ENABLE_CUDASIM"] = os.environ["TRITON_INTERPRET"] = {"simulated": "1", "compiled": "0"}[sys.argv[1]]

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import registry
from kernels import _conformance, _dispatch
from kernels._conformance import general, sizes

MOST = {"simulated": 600, "compiled": 300_000}[sys.argv[1]]  # the work of a case: a simulated thread costs some 100 microseconds
MANY, SHARE = 10, 4  # with fewer examples of a property than so many, one in so many of Numba's kernels is compiled
SECONDS = 0.2  # of a processor that a large call may take
# The same call over and over, until a ring of buffers comes round. The host alone may have one, and is the same when simulated.
OVER_AND_OVER = {"simulated": 130, "compiled": 20}[sys.argv[1]]
# Hypothesis was imported, and drew, before pytest came to its plugin.
LATE = ("-W", "ignore::pytest.PytestAssertRewriteWarning", "-W", "ignore::hypothesis.errors.HypothesisWarning")
SEEDS = 8  # for properties whose calls are large, with so many examples: each seed asks for a few of the calls
# Asked first of a damaged kernel: points far from all data, data without weight, numbers near the ends of the range, and those
# that are not finite.
SOONEST = (
    "stays_where_nothing_is_in_reach",
    "passes_over_data_without_weight",
    "neither_overflows_nor_vanishes",
    "propagates_special_values_as_ieee",
)
BORDER = 256  # entries before and after each allocation
INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
CANARY = {1: 0x5A, 2: 0x7FA5, 4: 0x7FA5A5A5, 8: 0x7FF5A5A5A5A5A5A5}  # each a NaN, so that what is read there shows too

aten = torch.ops.aten
ALLOCATIONS = {aten.empty.memory_format, aten.new_empty.default, aten.empty_like.default, aten.clone.default, aten.zeros.default,
               aten.div.Tensor}  # fmt: skip


class Borders(TorchDispatchMode):
    """Puts what is allocated between canaries: Triton's interpreter writes past a tensor's end without a word."""

    def __init__(self):
        super().__init__()
        self.allocations = []

    def __torch_dispatch__(self, function, _, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        return self.around(result) if function in ALLOCATIONS else result

    def around(self, tensor):
        """Return a contiguous copy of a tensor inside a larger one of canaries."""
        size = tensor.element_size()
        whole = torch.full((tensor.numel() + 2 * BORDER,), CANARY[size], dtype=INTEGERS[size])
        inside = whole[BORDER : BORDER + tensor.numel()].view(tensor.dtype).view(tensor.shape)
        self.allocations.append(whole)
        return inside.copy_(tensor)

    def check(self):
        for whole in self.allocations:
            canary = CANARY[whole.element_size()]
            assert (whole[:BORDER] == canary).all(), "something was written before the start of a tensor"
            assert (whole[-BORDER:] == canary).all(), "something was written past the end of a tensor"


def bordered(kernel):
    """Call a kernel on copies of its tensors between canaries, and see that nothing but the result was written."""

    def call(*args, **kwargs):
        borders, copies = Borders(), {}

        def copy(value):
            if not isinstance(value, torch.Tensor) or not value.is_contiguous():
                return value  # a kernel makes its own copy of others, which is bordered too
            return copies.setdefault(id(value), (borders.around(value), value))[0]

        args, kwargs = [copy(value) for value in args], {key: copy(value) for key, value in kwargs.items()}
        with borders:
            result = kernel(*args, **kwargs)
        borders.check()
        for inside, original in copies.values():
            integers = INTEGERS[original.element_size()]
            assert torch.equal(inside.view(integers), original.view(integers)), "the kernel wrote to an argument"
        return result

    return call


def replace_language_once():
    """Let Triton's interpreter replace its language's functions once in a launch, not at each call of a kernel's function."""
    import triton.language as tl
    from triton.runtime import interpreter

    @functools.cache
    def languages(function):
        return [value for value in function.__globals__.values() if value is tl or value is tl.core]

    def replace(function):
        own = any(tl.core.is_builtin(language.load) for language in languages(function))
        return replace_all(function) if own else interpreter._LangPatchScope()

    replace_all, interpreter._patch_lang = interpreter._patch_lang, replace


def kernel_of(variant, folder, *damage):
    """Return a variant's function, from its own file or from a damaged copy in a folder."""
    if not damage:
        return registry.zoo().load(variant)
    source, (old, new) = Path(variant.file).read_text(encoding="utf-8"), damage
    assert source.count(old) == 1, f"{variant.file} has {old!r} {source.count(old)} times, expected once"
    path = Path(folder, "damaged.py")
    path.write_text(source.replace(old, new), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("damaged", path)
    module = importlib.util.module_from_spec(spec)
    _conformance.SHRINKS = False
    registry.register = lambda *_, **__: lambda function: function
    spec.loader.exec_module(module)
    return getattr(module, variant.operation)


def with_few_kernels(ask, max_examples):
    """Ask a property of those kernels whose turn it is to be compiled; or of all, for many examples or where it met no other."""
    if sys.argv[1] == "simulated" or int(max_examples) >= MANY:
        return ask()
    compiled.share = SHARE
    record = ask()
    compiled.share = 1
    return record if record.examples else ask()


def hold(operation, name, max_examples, *damage):
    """Hold a variant to every property, and say how close each came."""
    (variant,) = registry.candidates(operation, name)
    with tempfile.TemporaryDirectory() as folder:  # to the end: a compiler looks for the source as late as the first call
        function = bordered(kernel_of(variant, folder, *damage))
        here = replace(variant, device="cpu", _why_not=lambda _: None)
        op = _dispatch.Operation(registry.zoo(), operation)
        implementation = replace(
            _conformance.Implementation(operation, op.contract, _dispatch.fixed(op, here, function)),
            dtypes=variant.dtypes,
            precision=variant.precision,
            deterministic=variant.deterministic,
            limits=variant.limits,
            most=MOST,
        )
        warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's scalars warn where a device is silent
        sizes.SECONDS = SECONDS
        general.CALLS = tuple((min(calls, OVER_AND_OVER), most) for calls, most in general.CALLS)
        properties = _conformance.all_properties(op.contract)
        for property_ in sorted(properties, key=lambda property_: not (damage and property_.__name__ in SOONEST)):
            large = property_ in _conformance.WITH_LARGE_CALLS
            ask = functools.partial(
                _conformance.run, property_, implementation, _conformance.LEAST_FOR_LARGE if large else int(max_examples)
            )
            # The one example of a property whose calls are large must not be given up halfway.
            for seed in range(SEEDS if large and int(max_examples) >= MANY else 1):
                record = ask(seed) if large else with_few_kernels(ask, max_examples)
            print(f"{property_.__name__}: {record.examples} examples, {record.worst:.3f} of the bound, {record.seconds:.1f} s")


def do(job):
    """Do one job, a variant for `hold`, arguments for pytest or code of Python, and return an exit status."""
    try:
        if job[0] == "pytest":
            return int(pytest.main([*LATE, *job[1:]]))
        if job[0] == "python":
            exec(job[1], {})
        else:
            hold(*job)
    except SystemExit as ended:
        return int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def prepare():
    """Import what a first call would, and let Hypothesis collect the constants in it: then it draws the same for each job."""
    for name in ("torch._dynamo", "numba.cuda", "triton"):
        if not registry.missing(name.partition(".")[0]):
            importlib.import_module(name)
    for operation in registry.operations():
        _conformance.all_properties(registry.zoo().contract(operation))
    implementation = _conformance.implementation_of(registry.zoo(), registry.candidates("matmul", "numpy")[0])
    _conformance.run(general.agrees_with_reference, implementation, 100)


def serve():
    """Do the jobs that standard input names, a line of JSON each, in a fork; answer with the exit status and what was said."""
    gc.freeze()
    for line in sys.stdin:
        with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
            child = os.fork()
            if not child:
                gc.disable()  # it takes a quarter of a compiler's time, and the process ends soon
                os.dup2(said.fileno(), 1)
                os.dup2(said.fileno(), 2)
                status = do(json.loads(line))
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            said.seek(0)
            print(json.dumps([status, said.read()]), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "compiled":
        import compiled  # puts the machine in a device's place
    else:
        if not registry.missing("numba_cuda"):
            import simulator  # noqa: F401 (lets the threads of a block take turns)
        if not registry.missing("triton"):
            replace_language_once()
    prepare()
    if len(sys.argv) == 2:
        serve()
    else:
        sys.exit(do(sys.argv[2:]))
