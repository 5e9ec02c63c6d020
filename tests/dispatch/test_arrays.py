"""Arrays of any library: the caller's kind, device and dtype come back, and nothing is copied that need not be."""

import sys
import types

import array_api_strict
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import registry
from kernels import _arrays
from registry import System, Zoo

torch = pytest.importorskip("torch")


def probe(arrays, layout="any", operation="matmul"):
    """Return a callable whose kernel records the arrays it is given."""
    zoo = Zoo(registry.zoo().folder, System())
    seen = []

    @zoo.register(operation, "probe", arrays=arrays, layout=layout, dtypes=("numeric", "bfloat16"))
    def matmul(a, b):
        seen[:] = [a, b]
        return np.asarray(a @ b, a.dtype) if arrays == "numpy" else a @ b  # NumPy multiplies bfloat16 into float32

    return zoo.get(operation, "probe"), seen


def address(array):
    if isinstance(array, torch.Tensor):
        return array.data_ptr()
    return np.from_dlpack(array).ctypes.data if not isinstance(array, np.ndarray) else array.ctypes.data


KINDS = {"numpy": np.asarray, "torch": torch.asarray, "array_api_strict": array_api_strict.asarray}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("arrays", ["numpy", "torch"])
def test_the_kernel_sees_the_callers_memory_and_the_caller_gets_its_kind_back(kind, arrays, dtype):
    function, seen = probe(arrays)
    a, b = (KINDS[kind](np.arange(6, dtype=dtype).reshape(shape)) for shape in ((2, 3), (3, 2)))
    result = function(a, b)
    assert [address(array) for array in seen] == [address(a), address(b)]
    assert isinstance(seen[0], np.ndarray if arrays == "numpy" else torch.Tensor)
    assert type(result) is type(a)
    assert _arrays.dtype_name(result.dtype) == dtype
    assert result.device == getattr(a, "device", "cpu")
    np.testing.assert_array_equal(_arrays.to_numpy(result), [[10, 13], [28, 40]])


@pytest.mark.parametrize("arrays", ["numpy", "torch"])
def test_a_foreign_array_comes_back_to_its_own_device(arrays):
    function, _ = probe(arrays)
    elsewhere = array_api_strict.Device("device1")
    a = array_api_strict.ones((2, 2), device=elsewhere)
    assert function(a, a).device == elsewhere


@pytest.mark.parametrize("arrays", ["numpy", "torch"])
@pytest.mark.parametrize("kind", KINDS)
def test_strides_travel_without_a_copy_where_they_can(kind, arrays):
    function, seen = probe(arrays)
    base = np.arange(64.0).reshape(8, 8)
    for view in (base.T, base[::2, ::2], base[:, 1:3], np.broadcast_to(base[0], (8, 8))):
        a = KINDS[kind](view) if kind != "torch" else torch.from_dlpack(view)
        function(a, KINDS[kind](np.ones((a.shape[1], 2))))
        assert address(seen[0]) == address(a)
    a = KINDS[kind](base[::-1, ::-1]) if kind != "torch" else torch.asarray(base)
    result = function(a, a)  # a negative stride, which ends the process in torch's own from_dlpack
    np.testing.assert_array_equal(_arrays.to_numpy(result), _arrays.to_numpy(a) @ _arrays.to_numpy(a))


def test_one_array_given_twice_stays_one_array():
    zoo = Zoo(registry.zoo().folder, System())
    seen = []

    @zoo.register("meanshift_step", "probe", arrays="torch")
    def meanshift_step(x, bandwidth, data, weights, kernel):
        seen[:] = [x, data]
        return x + 0

    x = np.ones((3, 2))
    zoo.get("meanshift_step", "probe")(x, 1.0)
    assert seen[0] is seen[1]


def test_a_read_only_array_is_read_without_a_copy_or_a_warning():
    a = np.eye(3)
    a.flags.writeable = False
    for arrays in ("numpy", "torch"):
        function, seen = probe(arrays)
        function(a, a)
        assert address(seen[0]) == a.ctypes.data


def test_a_compiled_layout_is_copied_only_where_it_differs():
    function, seen = probe("numpy", layout="C")
    a = np.arange(9.0).reshape(3, 3)
    function(a, a)
    assert seen[0] is a
    for other in (a.T, a[::-1], np.broadcast_to(a[0], (3, 3))):
        function(other, a)
        assert seen[0].flags.carray
        np.testing.assert_array_equal(seen[0], other)


@pytest.mark.parametrize("arrays", ["numpy", "torch"])
def test_unusual_numpy_arrays(arrays, tmp_path):
    function, seen = probe(arrays)
    a = np.arange(9.0).reshape(3, 3)
    expected = a @ a
    swapped = a.astype(a.dtype.newbyteorder())
    raw = np.zeros(a.nbytes + 1, np.uint8)[1:].view()
    unaligned = np.frombuffer(raw.data, dtype=a.dtype).reshape(3, 3)
    unaligned[...] = a
    mapped = np.memmap(tmp_path / "a.bin", dtype=a.dtype, mode="w+", shape=(3, 3))
    mapped[...] = a
    for unusual in (swapped, unaligned, mapped, a.view(np.recarray)):
        result = function(unusual, unusual)
        assert type(result) is np.ndarray
        assert result.dtype == np.dtype("float64")
        assert result.dtype.isnative
        np.testing.assert_array_equal(result, expected)
    assert seen[0] is not mapped


# Dtypes, bfloat16 among them


def test_mixed_dtypes_promote_as_the_callers_library_says():
    function, _ = probe("numpy")
    for left, right in (("float32", "float64"), ("int8", "int32"), ("int16", "uint8"), ("complex64", "float64")):
        a, b = np.ones((2, 2), left), np.ones((2, 2), right)
        assert function(a, b).dtype == np.result_type(a, b)
    function, _ = probe("torch")
    for left, right in ((torch.bfloat16, torch.float32), (torch.int8, torch.int32), (torch.float32, torch.float64)):
        a, b = torch.ones(2, 2, dtype=left), torch.ones(2, 2, dtype=right)
        assert function(a, b).dtype == torch.result_type(a, b)
    a, b = array_api_strict.ones((2, 2), dtype=array_api_strict.float32), array_api_strict.ones((2, 2))
    assert function(a, b).dtype == array_api_strict.float64


def test_bfloat16_goes_where_it_can():
    a = torch.ones(3, 3, dtype=torch.bfloat16)
    result = registry.get("matmul")(a, a)
    assert result.dtype == torch.bfloat16
    assert (result == 3).all()
    numpy_only = next(v for v in registry.variants("matmul") if v.arrays == "numpy" and v.available)
    with pytest.raises(TypeError, match=f"matmul: variant '{numpy_only.name}' takes dtype .*; got bfloat16"):
        registry.get("matmul", numpy_only.name)(a, a)


BFLOAT16 = {
    "numpy": lambda values: np.asarray(values).astype(ml_dtypes.bfloat16),
    "foreign": lambda values: Foreign(torch.asarray(np.array(values)).to(torch.bfloat16)),
}


class Foreign:
    """An array of a library that has bfloat16 and speaks DLPack, as JAX's."""

    __module__ = "foreign"

    def __init__(self, tensor):
        self.tensor, self.shape, self.ndim = tensor, tuple(tensor.shape), tensor.ndim
        self.dtype, self.device = str(tensor.dtype).removeprefix("torch."), tensor.device

    def __dlpack__(self, **kwargs):
        return self.tensor.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self.tensor.__dlpack_device__()

    def __array__(self, dtype=None, copy=None):
        return self.tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)


@pytest.fixture
def _foreign_library(monkeypatch):
    library = types.ModuleType("foreign")
    library.asarray = lambda array, device: Foreign(_arrays.to_torch(array, str(device)))
    library.from_dlpack = lambda array: Foreign(torch.from_dlpack(array))
    monkeypatch.setitem(sys.modules, "foreign", library)


@pytest.mark.usefixtures("_foreign_library")
@pytest.mark.parametrize("arrays", ["numpy", "torch"])
@pytest.mark.parametrize("kind", BFLOAT16)
def test_bfloat16_of_any_library_is_served_as_torchs_is(kind, arrays):
    values = np.arange(24.0).reshape(4, 6)
    function, seen = probe(arrays)
    for left, right in ((values, values.T), (values[::2, 1:4], values[:3, ::-2]), (values[0], values[1])):
        a, b = BFLOAT16[kind](left), BFLOAT16[kind](right)
        result = function(a, b)
        assert [_arrays.dtype_name(array.dtype) for array in (*seen, result)] == ["bfloat16"] * 3
        assert type(result) is type(a if result.ndim else np.asarray(a)[0] if kind == "numpy" else a)
        expected = torch.asarray(left.copy()).bfloat16() @ torch.asarray(right.copy()).bfloat16()
        np.testing.assert_array_equal(np.asarray(_arrays.to_numpy(result), float), expected.double().numpy())
    if kind == "numpy":
        assert registry.get("matmul")(a, b) == result
        assert function(a, b.astype(np.float32)).dtype == np.float32
        assert registry.get("matmul")(np.stack([BFLOAT16[kind](values)] * 2), values.T).dtype == np.float64


@pytest.mark.parametrize(("arrays", "layout"), [("numpy", "any"), ("numpy", "C"), ("torch", "any")])
def test_a_field_of_a_structured_array_is_read_as_any_array_is(arrays, layout):
    """Its strides are no multiple of its item size, and its entries are not aligned; so too of another byte order."""
    function, _ = probe(arrays, layout=layout)
    for dtype in ("<f4", ">f4"):
        records = np.zeros((5, 5), dtype=[("tag", "u1"), ("value", dtype)])
        records["value"] = np.arange(25).reshape(5, 5)
        field, plain = records["value"], records["value"].astype(np.float32)
        for view, same in ((field, plain), (field.T, plain.T), (field[::-1], plain[::-1])):
            np.testing.assert_array_equal(function(view, field), same @ plain)


# Values that a view has, and memory has not


def test_conjugate_and_negative_views_of_torch_are_resolved():
    a = torch.tensor([[1 + 2j, 3j], [4, 5 - 1j]])
    for arrays in ("numpy", "torch"):
        function, _ = probe(arrays)
        assert torch.equal(function(a.conj(), a.mH), a.conj().resolve_conj() @ a.mH.resolve_conj())
        assert torch.equal(function(a.conj().imag, a.imag), (-a.imag) @ a.imag)


def test_a_kernel_that_reads_memory_is_given_the_values_that_are_there():
    """A real tensor may be the imaginary part of a conjugate, whose sign torch alone knows of."""
    zoo, pending = Zoo(registry.zoo().folder, System()), []

    @zoo.register("matmul", "raw", arrays="torch", requires=("torch", "numpy"), rank=1000)
    def matmul(a, b):
        pending.extend(array.is_neg() or array.is_conj() for array in (a, b))
        return a @ b

    view = torch.tensor([[1 + 2j, 3j], [4, 5 - 1j]]).conj().imag
    for function in (zoo.get("matmul", "raw"), zoo.get("matmul")):
        for _ in range(2):
            assert torch.equal(function(view, view), view @ view)
            function(view.clone(), view)
    assert pending == [False] * 16


EXTENT = st.integers(0, 3)

# Batches, and the scan for finite numbers


@given(batch=st.lists(EXTENT, max_size=3), m=EXTENT, k=EXTENT, n=EXTENT, data=st.data())
def test_batches_and_vectors_have_numpys_shapes(batch, m, k, n, data):
    """Whatever NumPy's own matmul does with shapes, every kernel's core is made to do."""
    shapes = []
    for core in ((m, k), (k, n)):
        own = [data.draw(st.sampled_from([extent, 1])) for extent in batch][data.draw(st.integers(0, len(batch))) :]
        vector = not own and data.draw(st.booleans())
        shapes.append((k,) if vector else (*own, *core))
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-8, 9, shape).astype(float) for shape in shapes)
    expected = np.matmul(a, b)
    for arrays in ("numpy", "torch"):
        function, _ = probe(arrays)
        result = function(a, b)
        assert type(result) is type(expected)
        assert np.shape(result) == np.shape(expected)
        np.testing.assert_array_equal(result, expected)
        tensor = function(torch.asarray(a), torch.asarray(b))
        assert tuple(tensor.shape) == np.shape(expected)


def test_the_finite_scan_is_exact_about_overflow():
    huge = np.full((4, 4), 1e38, np.float32)  # finite, though neither its sum nor its sum of squares is
    assert _arrays.all_finite(huge)
    assert _arrays.all_finite(torch.asarray(huge))
    for special in (np.nan, np.inf, -np.inf):
        bad = np.zeros((4, 4))
        bad[2, 3] = special
        for array in (bad, bad.T, bad[::-1], torch.asarray(bad), array_api_strict.asarray(bad)):
            assert not _arrays.all_finite(array)
    both = np.array([[np.inf, -np.inf]])
    assert not _arrays.all_finite(both)
    assert _arrays.all_finite(np.empty((0, 2)))
