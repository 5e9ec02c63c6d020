"""The compiled matmul where the suite's sizes do not reach: several blocks along every extent, and chunks for several cores."""

import itertools

import numpy as np
import pytest

import registry
from kernels._conformance.claims import implementation_from

pytest.importorskip("numba")
matmul = registry.zoo().function(registry.variant("matmul", "numba"))  # itself: dispatch would remember what serves a shape
SHAPES = [
    (333, 1030, 301), (1030, 700, 50), (20, 1400, 800), (5, 600, 301), (2, 8000, 700), (1, 4001, 6003), (6003, 4001, 1),
    (17, 50_000, 30),
]  # fmt: skip


@pytest.fixture
def chunks(monkeypatch):
    """Return a function that makes a parallel loop cut its range as on a machine of so many cores."""
    module = pytest.importorskip("kernels.matmul.numba")

    def on(cores):
        def parallel_for(work, extent, grain):
            assert grain > 0
            edges = [extent * i // cores for i in range(cores + 1)]
            for start, stop in itertools.pairwise(edges):
                work(start, stop)

        monkeypatch.setattr(module, "parallel_for", parallel_for)
        monkeypatch.setattr(module, "GRAIN", 0)

    return on


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_integers_multiply_exactly_across_blocks(shape, dtype):
    m, k, n = shape
    rng = np.random.default_rng(m)
    a, b = (rng.integers(-8, 9, extents).astype(dtype) for extents in ((m, k), (k, n)))
    assert (matmul(a, b) == a.astype(float) @ b.astype(float)).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_bits_do_not_depend_on_the_cores(shape, chunks):
    m, k, n = shape
    rng = np.random.default_rng(m)
    a, b = (rng.standard_normal(extents).astype("float32") for extents in ((m, k), (k, n)))
    results = []
    for cores in (1, 2, 7):
        chunks(cores)
        results.append(matmul(a, b).tobytes())
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("grain", [1, 10**4, 10**9], ids=["one by one", "several", "all at once"])
@pytest.mark.parametrize(
    "shapes",
    [
        ((5, 40, 30), (5, 30, 20)), ((2, 1, 40, 30), (3, 30, 20)), ((40, 30), (5, 30, 20)), ((5, 40, 30), (30, 20)),
        ((5, 1, 30), (5, 30, 50)), ((5, 40, 30), (5, 30, 1)), ((5, 40, 1), (1, 1, 20)), ((30,), (5, 30, 7)), ((5, 40, 30), (30,)),
    ],
)  # fmt: skip
def test_a_batch_is_made_of_its_members(shapes, grain, chunks, monkeypatch):
    chunks(7)
    monkeypatch.setattr("kernels.matmul.numba.GRAIN", grain)
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-8, 9, shape).astype("float32") for shape in shapes)
    result = matmul(a, b)
    assert result.dtype == a.dtype
    assert result.shape == np.matmul(a, b).shape
    assert (result == np.matmul(a.astype(float), b.astype(float))).all()


def test_a_row_or_column_that_is_not_finite_leaves_the_others_alone():
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(extents).astype("float32") for extents in ((333, 1030), (1030, 301)))
    clean = matmul(a, b)
    for special in (np.nan, np.inf):
        for i, j in ((0, 0), (332, 300), (95, 287), (96, 288)):
            poisoned = a.copy(), b.copy()
            poisoned[0][i, 700], poisoned[1][20, j] = special, special
            result = matmul(*poisoned)
            assert not np.isfinite(result[i]).any()
            assert not np.isfinite(result[:, j]).any()
            others = np.delete(np.delete(result, i, axis=0), j, axis=1)
            assert (others == np.delete(np.delete(clean, i, axis=0), j, axis=1)).all()


def test_an_explicit_signature_takes_no_read_only_arrays_and_conforms_with_a_note():
    """Numba compiles such a function for writable arrays alone; those of any strides it takes."""
    numba = pytest.importorskip("numba")

    @numba.njit("float64[:,:](float64[:,:], float64[:,:])")
    def product(a, b):
        c = np.zeros((a.shape[0], b.shape[1]))
        for i in range(a.shape[0]):
            for k in range(a.shape[1]):
                for j in range(b.shape[1]):
                    c[i, j] += a[i, k] * b[k, j]
        return c

    registry.check("matmul", product, dtypes=("float64",), max_examples=8)
    (note,) = implementation_from(registry.zoo(), "matmul", product, dtypes=("float64",)).notes
    assert "it takes no arrays that are read-only, and was given writable copies" in note
    with pytest.raises(registry.ConformanceError, match="No matching definition"):
        registry.check("matmul", product, dtypes=("float64",), arrays="numpy", bare=True, max_examples=50)
