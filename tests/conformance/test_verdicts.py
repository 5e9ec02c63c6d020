"""What a verdict covers: states set once, results' memory, every claim, and whole functions without dispatch."""

import contextlib
import decimal
import gc
import importlib
import os
import random
import sys
import threading
import warnings

import numpy as np
import pytest
from verdicts import torch, verdict, without_shrinking  # noqa: F401 (a fixture for all)

import registry
from kernels._conformance.state import SHARED
from registry import ConformanceError


def more_threads_of_the_blas():
    for library in threadpoolctl().ThreadpoolController().lib_controllers:
        if library.user_api == "blas":
            library.set_num_threads(library.num_threads + 1)


def threadpoolctl():
    return pytest.importorskip("threadpoolctl")


# A kernel's usual values, and those that would do harm, for what a process shares.
SETS = {
    "np.seterr": [lambda: np.seterr(all="ignore"), lambda: np.seterr(all="raise")],
    "np.random": [lambda: np.random.seed(0), lambda: np.random.random()],
    "random": [lambda: random.seed(0)],
    "np.printoptions": [lambda: np.set_printoptions(precision=8), lambda: np.set_printoptions(suppress=True)],
    "np.setbufsize": [lambda: np.setbufsize(16384)],
    "gc.disable": [lambda: gc.disable()],
    "gc.set_threshold": [lambda: gc.set_threshold(700, 10, 10)],
    "the filters of warnings": [lambda: warnings.simplefilter("ignore"), lambda: warnings.resetwarnings()],
    "os.environ": [lambda: os.environ.update(OMP_NUM_THREADS="7"), lambda: os.environ.pop("PATH", None)],
    "sys.setswitchinterval": [lambda: sys.setswitchinterval(0.005)],
    "sys.setrecursionlimit": [lambda: sys.setrecursionlimit(10_000)],
    "the working directory": [lambda: os.chdir("/")],
    "the threads of the BLAS": [more_threads_of_the_blas],
    "the decimal context": [lambda: setattr(decimal.getcontext(), "prec", 28)],
    "torch's default dtype": [lambda: torch().set_default_dtype(torch().float64)],
    "torch's threads": [lambda: torch().set_num_threads(torch().get_num_threads() + 1)],
    "torch's random generator": [lambda: torch().manual_seed(0)],
    "torch's gradients": [lambda: torch().set_grad_enabled(False)],
    "torch's precision of float32 products": [lambda: torch().set_float32_matmul_precision("high")],
    "how subnormal numbers are kept": [lambda: torch().set_flush_denormal(True)],
}
CHANGES = [pytest.param(name, change, id=f"{name}-{i}") for name, changes in SETS.items() for i, change in enumerate(changes)]
LEAVES = "leaves_the_process_as_it_was"


@pytest.fixture
def afterwards_all_is_as_it_was():
    with contextlib.suppress(ImportError):
        importlib.import_module("threadpoolctl")  # which sets a variable of the environment when it is first imported
    shared = [each for each in SHARED if each.module in sys.modules and each.name not in ("np.random", "random")]

    def values():
        found = {each.name: each.read() for each in shared}
        found["os.environ"].pop("PYTEST_CURRENT_TEST")  # says whether this is before or after
        return {name: str(sorted(value.items()) if isinstance(value, dict) else value) for name, value in found.items()}

    before = values()
    yield
    assert values() == before


def sets(change, once):
    """A right product that also sets what a process shares: at its first call alone, or at each."""
    calls = []

    def product(a, b):
        if not (once and calls):
            change()
        calls.append(1)
        return np.matmul(a, b)

    return product


@pytest.mark.usefixtures("afterwards_all_is_as_it_was")
@pytest.mark.parametrize(("name", "change"), CHANGES)
@pytest.mark.parametrize("once", [True, False], ids=["once", "always"])
def test_what_sets_a_shared_state_is_refused_whichever_property_makes_the_first_call(name, change, once):
    if "torch" in name or "subnormal" in name:
        torch()
    if "BLAS" in name:
        threadpoolctl()
    for first in ([], ["agrees_with_reference"]) if once else ([],):
        message = verdict([*first, LEAVES], sets(change, once), examples=3, arrays="numpy")
        assert LEAVES in message
        assert name in message.partition(" for the whole process")[0]


@pytest.mark.usefixtures("afterwards_all_is_as_it_was")
@pytest.mark.parametrize("claims", [{}, {"bare": True, "arrays": "numpy"}], ids=["found by a call", "bare"])
def test_a_state_that_the_first_call_sets_is_found_in_every_door(claims):
    change = lambda: np.seterr(all="ignore")  # noqa: E731 (as those above)
    assert "its first call changed np.seterr" in verdict(["agrees_with_reference", LEAVES], sets(change, True), **claims)


def test_threads_of_a_blas_and_of_numba_are_looked_at():
    names = {each.name: each.module for each in SHARED}
    assert names["the threads of the BLAS"] == "threadpoolctl"
    assert names["Numba's threads"] == "numba.np.ufunc.parallel"


def test_what_a_kernel_puts_back_and_what_an_import_sets_is_no_change(tmp_path, monkeypatch):
    """A library that a first call imports may add filters of warnings and variables, as torch and Numba do."""
    (tmp_path / "brings_filters.py").write_text(  # the library: its filter is what must not count as a change
        "import os, warnings\nwarnings.filterwarnings('ignore', 'brought')\nos.environ['BROUGHT'] = '1'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(os.environ, "BROUGHT", "")
    monkeypatch.delitem(os.environ, "BROUGHT")

    def careful(a, b):
        import brings_filters  # noqa: F401

        with np.errstate(all="raise"), np.printoptions(precision=2), decimal.localcontext() as context:
            context.prec = 50
            return np.matmul(a.copy(), b) if np.isfinite(a).all() and not a.size else wider(a, b)

    def wider(a, b):
        with np.errstate(all="ignore"):
            return np.matmul(a, b)

    with warnings.catch_warnings():
        assert verdict(["agrees_with_reference", LEAVES], careful) == ""
        assert any("brought" in str(each[1]) for each in warnings.filters)
    assert os.environ["BROUGHT"] == "1"


# What a result lies in


def in_another_byte_order(a, b):
    """Store the result as another machine would."""
    c = np.matmul(a, b)
    return c.astype(c.dtype.newbyteorder())


def with_rows_in_one_place(a, b):
    """Give equal rows out as one, which can be written to: a write to one entry changes others."""
    c = np.matmul(a, b)
    if c.ndim == 2 and len(c) > 1 and (c == c[:1]).all():
        return np.lib.stride_tricks.as_strided(c, strides=(0, c.itemsize), writeable=True)
    return c


def misaligned(a, b):
    """Give the result out at an odd address, as a part of a message that was read."""
    c = np.matmul(a, b)
    memory = np.empty(c.nbytes + 1, np.uint8)
    memory[1:] = np.frombuffer(c.tobytes(), np.uint8)
    return memory[1:].view(c.dtype).reshape(c.shape)


_rings = threading.local()


def from_a_ring_of_a_hundred(a, b):
    """Take turns with a hundred buffers of each shape."""
    c = np.matmul(a, b)
    ring = _rings.__dict__.setdefault((c.shape, c.dtype), [])
    if len(ring) < 100:
        return ring.append(c) or c
    ring.append(ring.pop(0))
    ring[-1][...] = c
    return ring[-1]


_chance = np.random.default_rng(0)


def by_chance_for_long_sums(a, b):
    """Add long sums up in another order each time."""
    if a.shape[1] < 1500:
        return np.matmul(a, b)
    order = _chance.permutation(a.shape[1])
    return np.matmul(a[:, order], b[order])


MEMORY = [
    (in_another_byte_order, "agrees_with_reference", ">f"),
    (with_rows_in_one_place, "agrees_with_reference", "share memory"),
    (misaligned, "agrees_with_reference", "the result is misaligned"),
    (from_a_ring_of_a_hundred, "leaves_its_arguments_alone", "two results share memory"),
    (by_chance_for_long_sums, "long", "other bits"),
]


@pytest.mark.parametrize("bare", [False, True], ids=["dispatched", "bare"])
@pytest.mark.parametrize(("function", "property_", "words"), MEMORY, ids=lambda each: getattr(each, "__name__", ""))
def test_a_result_whose_memory_or_digits_are_not_its_own_is_refused(function, property_, words, bare):
    message = verdict([property_], function, examples=60, arrays="numpy", bare=bare)
    assert property_ in message
    assert words in message or "returned a NumPy array" in message


def test_a_tensor_whose_rows_lie_in_one_place_is_refused():
    def expanded(a, b):
        c = torch().matmul(a, b)
        return c if a.shape[1] else c.new_zeros(()).expand(c.shape)

    assert "share memory" in verdict(["empty"], expanded, examples=60, arrays="torch")


def test_a_result_in_fortran_order_or_a_view_of_fresh_memory_is_sound():
    def view(a, b):
        return np.stack([np.matmul(a, b)] * 3, axis=-1)[::1, ::-1, 1][:, ::-1]

    def fortran(a, b):
        return np.asfortranarray(np.matmul(a, b))

    for function in (view, fortran):
        assert verdict(["agrees_with_reference", "leaves_its_arguments_alone"], function) == ""


def test_a_call_that_a_kernel_has_spoilt_is_shown_all_the_same():
    """What it has written into an argument need not be valid any more."""

    def spoils(x, bandwidth, *, data, kernel):
        x[...] = np.inf
        return x.copy()

    with pytest.raises(ConformanceError, match="smallest failing example:\n    import numpy as np\n"):
        registry.check("meanshift_step", spoils, max_examples=5)


def single_column_backwards(a, b):
    """A single column of b is taken for a vector, whose step backwards is overlooked."""
    return a @ (b[::-1] if b.shape[1] == 1 and b.strides[0] < 0 else b)


def batch_of_one_for_all(a, b):
    """A batch of one in a has b's first for all its results."""
    c = np.matmul(a, b)
    if a.shape[:-2] == (1,) and c.ndim == 3:
        c[...] = c[:1]
    return c


def test_extents_of_one_are_asked_in_layouts_and_in_batches():
    assert verdict(["reads_every_layout"], single_column_backwards, examples=30)
    assert verdict(["reads_every_layout"], batch_of_one_for_all, examples=30, batches=True)
