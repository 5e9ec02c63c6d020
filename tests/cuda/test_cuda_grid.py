"""The sorted grid on CUDA: its own cases without a GPU, and that nothing is read back from the device on the way."""

import itertools
from pathlib import Path

import pytest
from hypothesis import settings

import registry
from kernels.meanshift_step import KERNELS

CASES = Path(__file__).with_name("grid_cases.py")
STAND_INS = ("simulated", "compiled")[: 2 if settings.default.max_examples > 1000 else 1]  # the nightly profile takes both

pytest.importorskip("numba")
pytest.importorskip("numba_cuda")
torch = pytest.importorskip("torch")


@pytest.mark.parametrize("how", STAND_INS)
def test_its_own_cases_hold(how, do):
    """On Numba's simulator, or as compiled on the machine for PTX."""
    if how == "compiled" and (reason := registry.missing("triton")):
        pytest.skip(reason)
    # NumPy's scalars, which the simulator computes with, warn where a device is silent.
    done = do(how, "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore::RuntimeWarning", CASES)
    assert done.status == 0, done.said


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("d", [1, 2, 3, 20])
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_host_reads_nothing_back(kernel, d, dtype, monkeypatch):
    """On tensors without data looking at a value raises: sorting needs none, and the kernels get what they are built for."""
    from kernels.meanshift_step import numba_cuda_grid as grid

    launches = []
    monkeypatch.setattr(grid, "launch", lambda _, blocks, threads, *arguments: launches.append((blocks, threads, arguments)))
    x, data = torch.empty((1000, d), dtype=dtype, device="meta"), torch.empty((77, d), dtype=dtype, device="meta")
    for among, weighted in itertools.product((x, data), (False, True)):
        y = grid.meanshift_step(x, 2.5, among, kernel, among[:, 0] if weighted else None)
        assert (y.shape, y.dtype, y.device.type) == (x.shape, dtype, "meta")
    assert len(launches) == (8 if kernel == "gaussian" else 4)
    for blocks, threads, arguments in launches:
        tensors = [a for a in arguments if isinstance(a, torch.Tensor)]
        assert all(a.is_contiguous() and a.device.type == "meta" for a in tensors)
        assert {a.dtype for a in tensors} == {dtype, torch.int64, torch.uint8}
        assert blocks * threads >= 1000
