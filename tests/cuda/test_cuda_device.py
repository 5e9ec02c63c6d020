"""What only a device can show of a CUDA variant: streams, waiting, captured graphs, sizes past 2^31, memory, and other devices.

Every variant in the registry is asked; none is named here. Without a GPU each is skipped, with the registry's reason.
"""

import functools
import importlib
import inspect
from typing import Any, NamedTuple

import numpy as np
import pytest

import registry
from kernels._definition.numerics import compare

pytestmark = pytest.mark.cuda

LONG = 400_000_000  # clock cycles: 0.2 s at least
OVER_16, OVER_15 = 65_600, 32_800  # a little over 2^16 and 2^15: their product is past 2^31, and the first past 65,535 blocks
PAST_29 = 2**29 + 11  # points of four coordinates: past 2^31 of those


def each_variant(*operations):
    """Ask every CUDA variant of these operations, of all by default."""
    asked = {
        f"{operation}-{variant.name}": variant
        for operation in operations or registry.operations()
        for variant in registry.variants(operation)
        if variant.device == "cuda"
    }
    return pytest.mark.parametrize("variant", asked.values(), ids=asked)


@pytest.fixture
def torch(variant):
    """Return torch, once there is a device and all that a variant needs."""
    if not variant.available:
        pytest.skip(str(variant.reason))
    return importlib.import_module("torch")


class Call(NamedTuple):
    """A variant on a float32 example of its operation, whose arrays are on a device."""

    function: Any
    args: list
    kwargs: dict

    def __call__(self, *leading):
        return self.function(*leading, *self.args[len(leading) :], **self.kwargs)

    @property
    def tensors(self):
        return [value for value in self.args if hasattr(value, "is_cuda")]


def quietly(variant):
    """Return a variant's callable and the arguments by which it looks at no value, since that would wait for the device."""
    function = registry.get(variant.operation, variant.name)
    return function, {"check_finite": False} if "check_finite" in inspect.signature(function).parameters else {}


def on_device(variant, size="lecture", seed=0, device="cuda"):
    import torch

    function, quiet = quietly(variant)
    example = registry.contract(variant.operation).example(size, seed=seed)
    args = [torch.from_numpy(value).to(device) if isinstance(value, np.ndarray) else value for value in example.args]
    return Call(function, args, example.kwargs | quiet)


@functools.cache
def judgement(operation, precision, size, seed):
    contract = registry.contract(operation)
    example = contract.example(size, seed=seed)
    reference = contract.reference(*example.args, **example.kwargs, dtype="float32")
    return reference, contract.bound(*example.args, **example.kwargs, dtype="float32", precision=precision)


def judge(variant, result, size="lecture", seed=0):
    """Hold a result of an example to the reference, within the variant's bound."""
    agreement = compare(np.asarray(result.cpu()), *judgement(variant.operation, variant.precision, size, seed))
    assert agreement.passes, f"off by {agreement.share:.3g} times its bound at {agreement.worst}"


def bits(tensor):
    return tensor.cpu().numpy().tobytes()


def served(variant, function, *args, **kwargs):
    """Return a result, or skip where the variant does not take such a call, or memory is short."""
    import torch

    try:
        return function(*args, **kwargs)
    except torch.OutOfMemoryError as error:
        pytest.skip(f"memory is short: {str(error).partition('. ')[0]}")
    except (TypeError, ValueError) as refusal:
        if not str(refusal).startswith(f"{variant.operation}:"):
            raise
        pytest.skip(str(refusal))


def need(torch, entries):
    """Skip where that many float32 numbers do not fit three times over: arguments, results, and what torch forms between."""
    torch.cuda.empty_cache()
    free, wanted = torch.cuda.mem_get_info()[0], 3 * 4 * entries
    if free < wanted:
        pytest.skip(f"needs {wanted / 2**30:.0f} GiB of device memory, and {free / 2**30:.0f} are free")


# torch warns of its own mode, once, when it is switched on; it is only used here.
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
@each_variant()
def test_a_call_keeps_to_its_stream_and_waits_for_nothing(variant, torch):
    """The current stream sleeps, then writes the arguments; the result is read there. The default stream sleeps for longer.

    torch sees the waiting of its own code alone: that the call returns while the stream sleeps shows that nobody waited.
    """
    call, fresh, side = on_device(variant), on_device(variant, seed=1), torch.cuda.Stream()
    stale = [tensor.clone() for tensor in call.tensors]

    def attempt(cycles, waiting):
        for tensor, values in zip(call.tensors, stale, strict=True):
            tensor.copy_(values)
        torch.cuda.synchronize()
        torch.cuda._sleep(2 * cycles)
        elsewhere = torch.cuda.current_stream().record_event()
        with torch.cuda.stream(side):
            torch.cuda._sleep(cycles)
            awake = side.record_event()
            for tensor, values in zip(call.tensors, fresh.tensors, strict=True):
                tensor.copy_(values)
            torch.cuda.set_sync_debug_mode(waiting)
            try:
                result = call()
            finally:
                torch.cuda.set_sync_debug_mode("default")
            waited = awake.query()
            taken = result.clone()
        side.synchronize()
        return waited, elsewhere.query(), taken.cpu()

    attempt(1, "default")  # compiles, tunes and loads the kernels, and leaves the stream memory to take
    waited, overtaken, taken = attempt(LONG, "error")
    assert not waited, "the call returned only once the work before it on its stream was done"
    assert not overtaken, "its work waited for the default stream"
    judge(variant, taken, seed=1)


@each_variant()
def test_a_call_can_be_captured_and_replayed(variant, torch):
    """A CUDA graph holds what is launched on the capturing stream, and refuses all that waits: launches by Numba as well."""
    call, fresh = on_device(variant), on_device(variant, seed=1)
    call()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = call()
    for tensor, values in zip(call.tensors, fresh.tensors, strict=True):
        tensor.copy_(values)
    graph.replay()
    judge(variant, result, seed=1)


@each_variant()
def test_an_empty_result_launches_nothing(variant, torch):
    call = on_device(variant)
    expected = (0, *call().shape[1:])
    with pytest.warns(UserWarning, match="CUDA Graph is empty"), torch.cuda.graph(torch.cuda.CUDAGraph()):
        result = call(call.args[0][:0])
    assert (tuple(result.shape), result.dtype, result.device.type) == (expected, torch.float32, "cuda")


@each_variant()
def test_ten_calls_on_streams_of_their_own_give_the_same_bits(variant, torch):
    if not variant.deterministic:
        pytest.skip("it promises no such thing")
    call, noise = on_device(variant, "medium"), torch.randn(2048, 2048, device="cuda")
    first, results = bits(call()), []
    for _ in range(10):
        noise @ noise  # work beside it, on the default stream
        with torch.cuda.stream(torch.cuda.Stream()):
            results.append(call())
    torch.cuda.synchronize()
    assert {bits(result) for result in results} == {first}


@each_variant()
def test_numpy_arrays_come_back_as_numpy_arrays(variant, torch):
    call = on_device(variant)
    result = call(*[tensor.cpu().numpy() for tensor in call.tensors])
    assert type(result) is np.ndarray
    assert not variant.deterministic or result.tobytes() == bits(call())


@each_variant()
def test_a_call_runs_where_its_arrays_are(variant, torch):
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    result = on_device(variant, device="cuda:1")()
    assert (torch.cuda.current_device(), result.device.index) == (0, 1)
    judge(variant, result)


@each_variant()
def test_memory_beyond_arguments_and_result_grows_at_most_with_them(variant, torch):
    """Four times the bytes take four times the memory where it grows with them, and sixteen where with their square."""
    function, quiet = quietly(variant)

    def beyond(times):
        if variant.operation == "matmul":
            args = [torch.randn(1024 * times, 1024 * times, device="cuda") for _ in range(2)]
        else:
            args = [10 * torch.randn(2**14 * times**2, 2, device="cuda"), 1.0]
        served(variant, function, *args, **quiet)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        result = function(*args, **quiet)
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before - result.nbytes, result.nbytes

    (few, size), (many, _) = beyond(1), beyond(2)
    assert many <= 8 * max(few, size), f"{few:,} bytes, and {many:,} for arrays four times as large"


@each_variant()
def test_memory_that_runs_out_raises_and_the_next_call_is_right(variant, torch):
    call = on_device(variant)
    width = call().shape[1]
    rows = 2**25 // (4 * width)  # a result for which no segment that torch holds has room
    many = call.args[0][torch.arange(rows, device="cuda") % len(call.args[0])]
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-6)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            call(many)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    judge(variant, call())


@each_variant("matmul")
@pytest.mark.parametrize(
    "shape",
    [(OVER_16, 1, OVER_15), (OVER_16, OVER_15, 1), (3, OVER_15, OVER_16)],
    ids="{0[0]}x{0[1]} @ {0[1]}x{0[2]}".format,
)
def test_products_past_2_31_entries(variant, torch, shape):
    """Of integers, whose sums are exact in any order, and in TF32 too."""
    m, k, n = shape
    need(torch, OVER_16 * OVER_15)
    function, quiet = quietly(variant)
    a, b = (torch.randint(-8, 9, extents, dtype=torch.float32, device="cuda") for extents in ((m, k), (k, n)))
    c = served(variant, function, a, b, **quiet)
    i, j = (torch.cat([torch.randint(extent, (64,)), torch.tensor([0, extent - 1])]).cuda() for extent in (m, n))
    assert torch.equal(c[i][:, j].double(), a[i].double() @ b[:, j].double())


@each_variant("meanshift_step")
def test_points_past_2_31_coordinates(variant, torch):
    need(torch, 4 * PAST_29)
    contract, (function, quiet) = registry.contract("meanshift_step"), quietly(variant)
    options = {"batch_size": 2**20} if "batch_size" in variant.options else {}
    x, data = torch.randn(PAST_29, 4, device="cuda"), torch.randn(5, 4, device="cuda")
    y = served(variant, function, x, 1.0, data=data, **options, **quiet)
    rows = torch.cat([torch.randint(PAST_29, (64,)), torch.tensor([0, PAST_29 - 1])]).cuda()
    arguments = {"x": x[rows].cpu().numpy(), "bandwidth": 1.0, "data": data.cpu().numpy(), "dtype": "float32"}
    bound = contract.bound(**arguments, precision=variant.precision)
    assert compare(y[rows].cpu().numpy(), contract.reference(**arguments), bound).passes


@each_variant("meanshift_step")
def test_data_past_2_31_coordinates(variant, torch):
    """All data are out of reach, but for the last few."""
    need(torch, 4 * PAST_29)
    contract, (function, quiet) = registry.contract("meanshift_step"), quietly(variant)
    x, data = torch.zeros(1, 4, device="cuda"), torch.full((PAST_29, 4), 1e3, device="cuda")
    data[-5:] = torch.rand(5, 4, device="cuda") / 4
    y = served(variant, function, x, 1.0, data=data, kernel="flat", **quiet)
    arguments = {"x": x.cpu().numpy(), "bandwidth": 1.0, "data": data[-5:].cpu().numpy(), "kernel": "flat", "dtype": "float32"}
    bound = contract.bound(**arguments, precision=variant.precision)
    assert compare(y.cpu().numpy(), contract.reference(**arguments), bound).passes
