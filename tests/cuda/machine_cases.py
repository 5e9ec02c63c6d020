"""The machine for PTX, and what only it can show of the kernels; test_cuda_executed.py runs this in a process of its own."""

from collections import Counter
from fractions import Fraction

import compiled
import numpy as np
import ptx
import ptx_arithmetic
import ptx_memory
import pytest
import torch
from grids import judge
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import cuda, float32

from kernels.matmul import numba_cuda as elements
from kernels.matmul import numba_cuda_blocked as blocked
from kernels.matmul import numba_cuda_tiled as tiled
from kernels.matmul import triton as tiles
from kernels.meanshift_step import KERNELS
from kernels.meanshift_step import numba_cuda as fused
from kernels.meanshift_step import triton as programs

# The machine


@cuda.jit
def _reads_early(x):
    tile, i = cuda.shared.array(64, float32), cuda.threadIdx.x
    tile[i] = x[i]
    x[i] = tile[63 - i]


@cuda.jit
def _writes_early(x):
    tile, i = cuda.shared.array(64, float32), cuda.threadIdx.x
    tile[i] = x[i]
    cuda.syncthreads()
    x[i] = tile[63 - i]
    tile[i] = float32(0)


@cuda.jit
def _reads_what_is_not_there(x):
    tile, i = cuda.shared.array(64, float32), cuda.threadIdx.x
    if i > 0:
        tile[i] = x[i]
    x[i] = tile[i]


@cuda.jit
def _writes_in_one_place(x):
    x[0] = float32(cuda.threadIdx.x)


@cuda.jit
def _blocks_in_one_place(x):
    x[0] = float32(cuda.blockIdx.x)


@cuda.jit
def _goes_on(x):
    x[cuda.threadIdx.x + 1] = float32(0)


@cuda.jit
def _goes_back(x):
    x[np.uint64(cuda.threadIdx.x) - np.uint64(1)] = float32(0)


@cuda.jit
def _parts(x):
    if cuda.threadIdx.x < 32:
        cuda.syncthreads()
    x[cuda.threadIdx.x] = float32(0)


FAULTS = [
    (_reads_early, "reads what another wrote, with no barrier"),
    (_writes_early, "writes what another read, with no barrier"),
    (_reads_what_is_not_there, "thread 0 .* reads what nobody wrote"),
    (_writes_in_one_place, "writes what another writes"),
    (_goes_on, "thread 63 .* outside the 256"),
    (_goes_back, "outside"),
    (_parts, "32 of the 64 threads of a block wait at a barrier"),
]


@pytest.mark.parametrize(("kernel", "message"), FAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_fault_is_found(kernel, message):
    with pytest.raises(ptx_memory.Fault, match=message):
        compiled.launch(kernel, 1, 64, torch.zeros(64))


def test_reads_that_are_no_longer_remembered_one_by_one_are_known(monkeypatch):
    monkeypatch.setattr(ptx_memory, "MOST_READS", 0)
    test_a_fault_is_found(_writes_early, "writes what another read, with no barrier")


def test_two_blocks_may_not_write_in_one_place():
    with pytest.raises(ptx_memory.Fault, match="writes what another"):
        compiled.launch(_blocks_in_one_place, 2, 1, torch.zeros(1))


@cuda.jit
def _adds_up(x):
    cuda.atomic.add(x, 0, float32(1))


def test_what_the_machine_does_not_know_it_refuses():
    with pytest.raises(ptx.Unknown, match="atom"):
        compiled.launch(_adds_up, 1, 64, torch.zeros(64))


@cuda.jit
def _turns(x):
    tile, i = cuda.shared.array(64, float32), cuda.threadIdx.x
    tile[i] = x[i]
    cuda.syncthreads()
    total = float32(0)
    for k in range(i):  # threads part here
        total += tile[k] if k % 2 else -tile[k]
    x[i] = total


def test_threads_that_part_meet_again():
    x = torch.arange(64.0)
    compiled.launch(_turns, 1, 64, x)
    assert x.tolist() == [sum(k if k % 2 else -k for k in range(i)) for i in range(64)]


@cuda.jit
def _trades_places(x):
    i = cuda.threadIdx.x
    a, b = x[i], x[i + 32]
    for k in range(i):
        a, b = (b, a + b) if k % 3 else (b, a)
    x[i] = a


def test_registers_that_trade_places_keep_their_contents():
    def expected(i, a=1, b=2):
        for k in range(i):
            a, b = (b, a + b) if k % 3 else (b, a)
        return a

    x = torch.tensor([1.0] * 32 + [2.0] * 32)
    compiled.launch(_trades_places, 1, 32, x)
    assert x[:32].tolist() == [expected(i) for i in range(32)]


WORDS = {np.int32: (-(2**31), 2**31 - 1), np.int64: (-(2**63), 2**63 - 1), np.uint32: (0, 2**32 - 1), np.uint64: (0, 2**64 - 1)}


@given(st.data(), st.sampled_from(list(WORDS)))
def test_whole_numbers_are_those_of_the_manual(data, dtype):
    least, most = WORDS[dtype]
    a, b = (data.draw(st.integers(least, most) | st.integers(max(least, -9), 9)) for _ in range(2))
    start, shift = data.draw(st.integers(0, 70)), 8 * np.dtype(dtype).itemsize
    x, y = dtype([a]), dtype([b])
    assert ptx_arithmetic.upper_half(x, y)[0] == a * b >> shift
    assert ptx_arithmetic.shift_right(x, np.uint32([start]))[0] == a >> start
    assert int(ptx_arithmetic.shift_left(x, np.uint32([start]))[0]) % 2**shift == (a << start) % 2**shift
    if b and (a, b) != (least, -1):
        assert ptx_arithmetic.divide(x, y)[0] == abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    if dtype is np.uint32 and start < 32:
        assert ptx_arithmetic.field(x, dtype(start), dtype(32 - start))[0] == a >> start


@given(st.floats(-126, 127, width=32))
def test_exponentials_are_off_by_what_the_manual_allows(x):
    error = float(ptx_arithmetic.exp2(np.float32([x]))[0]) / 2.0**x - 1
    assert 0.7 * 2.0**-22 < abs(error) < 1.3 * 2.0**-22  # and the rounding


@given(*[st.floats(-(2.0**30), 2.0**30, width=32)] * 3)
def test_a_product_and_a_sum_are_rounded_downwards(a, b, c):
    got, exact = ptx_arithmetic.fma_down(*map(np.float32, ([a], [b], [c])))[0], Fraction(a) * Fraction(b) + Fraction(c)
    assert Fraction(float(got)) <= exact < Fraction(float(np.nextafter(got, np.float32(np.inf))))


def test_conversions_are_those_of_the_manual():
    assert ptx_arithmetic.saturated(np.float32([-2, -np.inf, np.nan, 0.25, 1, 3, np.inf])).tolist() == [0, 0, 0, 0.25, 1, 1, 1]
    brains = torch.tensor([1.5, -0.0, -np.inf, 3e38], dtype=torch.bfloat16)
    words = brains.view(torch.int16).numpy().astype(np.uint16).astype(np.uint32).view(np.float32)
    assert ptx_arithmetic.convert([words], np.dtype("f4"), ("bf16",)).tolist() == brains.float().tolist()
    assert (ptx_arithmetic.convert([brains.float().numpy()], np.dtype("f4"), ("rn", "bf16")) == words.view(np.uint32)).all()
    a, c = (torch.randn(1000, generator=torch.Generator().manual_seed(i)).to(torch.bfloat16) for i in (0, 1))
    a_bits, minus_one, c_bits = (each.view(torch.int16).numpy().view(np.uint16) for each in (a, -torch.ones_like(a), c))
    assert (ptx_arithmetic.fma_of_brains(a_bits, minus_one, c_bits) == (c - a).view(torch.int16).numpy().view(np.uint16)).all()


# The kernels

# A compact kernel is compiled without the gaussian's passes for what is far away, and one like another but for its weights,
# which test_cuda_executed.py meets: the nightly profile takes them all.
EVERY = settings.default.max_examples > 1000
PASSES = KERNELS if EVERY else KERNELS[:2]
BUDGETS = {1: 10, 2: 15, 3: 20, 4: 26, 8: 52}  # instructions for a pair of points of so many coordinates
WEIGHING = 2  # further ones where the data have weights
PAIRS = {(2, False), (8, False), (2, True)}  # and that; the nightly profile takes all


@pytest.mark.parametrize(
    ("d", "weighted"), [(d, weighted) for d in BUDGETS for weighted in (False, True) if EVERY or (d, weighted) in PAIRS]
)
@pytest.mark.parametrize("module", [fused, programs], ids=["numba_cuda", "triton"])
def test_a_pair_takes_one_exponential_and_few_instructions(module, d, weighted, monkeypatch):
    """A device starts eight instructions of a warp in the time of an exponential: what is more than that is the step's time."""
    monkeypatch.setattr(module, "CROWD", 1)  # as many points for each thread as there are for a million of them
    most = BUDGETS[d] + WEIGHING * weighted
    rng = np.random.default_rng(0)
    x, data = (torch.from_numpy(rng.standard_normal((n, d)).astype("float32")) for n in (128, 4096))
    for code in compiled.loaded:
        code.forget()
    weights = torch.from_numpy(rng.random(len(data), "float32")) if weighted else None
    module.meanshift_step(x, 1.0, data, "gaussian", weights)
    executed = sum((code.executed() for code in compiled.loaded), Counter())
    pairs = len(x) * len(data)
    assert executed["ex2"] < 1.1 * pairs
    assert executed.total() < most * pairs, {name: round(count / pairs, 2) for name, count in executed.items()}


@pytest.mark.parametrize("kernel", PASSES)
@pytest.mark.parametrize("d", [2, 8])
@pytest.mark.parametrize("module", [fused, programs], ids=["numba_cuda", "triton"])
def test_a_thread_moves_several_points(module, d, kernel, monkeypatch):
    """As it does from so many points on as no case of the suite has; a few of them far from all data."""
    monkeypatch.setattr(module, "CROWD", 1)
    rng = np.random.default_rng(0)
    x, data = (rng.standard_normal((n, d)).astype("float32") for n in (300, 600))
    x[:5] += 100

    def step(*arrays):
        return module.meanshift_step(*(torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in arrays)).numpy()

    judge(step, x, 1.5, data, kernel, precision="working")


@pytest.mark.parametrize("module", [fused, programs], ids=["numba_cuda", "triton"])
def test_several_points_meet_data_of_different_weights(module, monkeypatch):
    """Half of the data have none, among them those of the last tile and those nearest to the points far from all others."""
    monkeypatch.setattr(module, "CROWD", 1)
    rng = np.random.default_rng(0)
    x, data = (rng.standard_normal((n, 8)).astype("float32") for n in (300, 600))
    x[:5] += 100
    data[:3] += 100
    weights = rng.integers(1, 5, len(data)) * (np.arange(len(data)) % 2)
    weights[[*range(3), *range(-80, 0)]] = 0

    def step(*arrays):
        return module.meanshift_step(*(torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in arrays)).numpy()

    judge(step, x, 1.5, data, "gaussian", weights.astype("float32"), precision="working")


@pytest.fixture
def the_last_blocks(monkeypatch):
    monkeypatch.setattr(compiled, "only", lambda blocks: range(max(0, blocks - 2), blocks))


@pytest.mark.usefixtures("the_last_blocks")
@pytest.mark.parametrize("module", [elements, tiled, blocked, tiles], ids=["numba_cuda", "tiled", "blocked", "triton"])
def test_a_product_has_entries_past_2_to_the_31(module):
    a, b = torch.arange(65_600.0)[:, None], torch.arange(32_800.0)[None, :]
    assert module.matmul(a, b)[-8:, -8:].equal(a[-8:] * b[:, -8:])


@pytest.mark.usefixtures("the_last_blocks")
@pytest.mark.parametrize("kernel", PASSES)
@pytest.mark.parametrize("d", [2, 16])
@pytest.mark.parametrize("module", [fused, programs], ids=["numba_cuda", "triton"])
def test_points_have_coordinates_past_2_to_the_31(module, d, kernel):
    x = torch.empty((2**31 + 64) // d, d)
    x[-4:] = torch.from_numpy(np.random.default_rng(0).standard_normal((4, d)).astype("float32"))
    data = x[-2:].clone()
    assert module.meanshift_step(x, 2.0, data, kernel)[-4:].equal(module.meanshift_step(x[-4:].clone(), 2.0, data, kernel))
