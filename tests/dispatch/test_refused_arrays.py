"""Arrays that no kernel is given, and results that no caller is: each is refused by one line that says what to pass instead."""

import warnings

import array_api_strict
import numpy as np
import pytest

import registry
from kernels import _arrays
from registry import ConformanceError, System, Zoo

torch = pytest.importorskip("torch")

# Arrays whose meaning a kernel would lose, and transformations


class Named(torch.Tensor):
    """A subclass that adds nothing to the meaning of operations."""


class Masked(torch.Tensor):
    """A subclass that does."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return super().__torch_function__(function, types, args, kwargs or {})


class Quantity(np.ndarray):
    """Values with a unit, as astropy has them."""

    def __array_ufunc__(self, *args, **kwargs):
        return NotImplemented


class Traced(np.ndarray):
    """Values that remember what was done to them."""

    def __array_function__(self, *args, **kwargs):
        return NotImplemented


def without_values(name, **methods):
    """Return an object of a class that knows an array, or forwards to one, but is none."""
    forwarded = {"__getattr__": lambda self, attribute: getattr(np.eye(2), attribute)}
    return type(name, (), forwarded | dict.fromkeys(methods, lambda self: None) | methods)()


def test_an_array_whose_meaning_a_kernel_would_lose_is_refused_with_the_remedy():
    a, tensor = np.eye(2), torch.eye(2)
    lacks = "expected a NumPy array, a torch tensor or another array that speaks DLPack, got"
    own = "which gives operations a meaning of its own; pass a plain tensor of its values"
    cases = [
        (a.view(Quantity), r"expected a plain array, got Quantity; its values alone: numpy.asarray(...)"),
        (a.view(Traced), r"expected a plain array, got Traced; its values alone: numpy.asarray(...)"),
        (tensor.as_subclass(Masked), f"expected a plain tensor, got Masked, {own}"),
        (without_values("DataFrame", to_numpy=a.copy, compute=a.copy), f"{lacks} DataFrame; pass a.to_numpy()"),
        (without_values("csr_array", toarray=a.copy), f"{lacks} csr_array; pass a.toarray()"),
        (without_values("DaskArray", compute=a.copy), f"{lacks} DaskArray; pass a.compute()"),
        (without_values("Quantity", magnitude=3.0, compute=a.copy), f"{lacks} Quantity; pass a.magnitude"),
        (without_values("EagerTensor", numpy=a.copy), f"{lacks} EagerTensor; pass a.numpy()"),
        (
            without_values("BatchTracer"),
            f"{lacks} BatchTracer; it has no values while a function is traced: call the operation outside",
        ),
        (without_values("Anything"), f"{lacks} Anything; numpy.asarray(...) makes one of numbers and lists"),
    ]
    for array, message in cases:
        for name in ("auto", "numpy", "torch"):
            for _ in range(2):
                with pytest.raises(TypeError) as caught:
                    registry.get("matmul", name)(array, array)
                assert str(caught.value) == f"matmul: argument a: {message}"
        with pytest.raises(TypeError) as caught:
            registry.get("meanshift_step")(tensor if isinstance(array, torch.Tensor) else a, 1.0, data=array)
        assert str(caught.value) == f"meanshift_step: argument data: {message.replace('pass a.', 'pass data.')}"
    for served in (tensor.as_subclass(Named), torch.nn.Parameter(tensor, requires_grad=False), torch.nn.Buffer(tensor)):
        for name in ("auto", "loop", "torch"):
            result = registry.get("matmul", name)(served, tensor)
            assert type(result) is torch.Tensor
            assert torch.equal(result, tensor)


def test_transformations_of_torch_are_refused_at_the_first_call_and_at_the_next(monkeypatch):
    monkeypatch.setenv("PYTORCH_JIT", "0")  # a dual tensor loads the compiler otherwise, for seconds
    x, forward = torch.eye(2), torch.autograd.forward_ad
    transformed = {
        "vmap": lambda f: torch.func.vmap(f)(torch.stack([x, x])),
        "grad": lambda f: torch.func.grad(lambda t: f(t).sum())(x),
        "functionalize": lambda f: torch.func.functionalize(f)(x),
    }
    for name in ("auto", "numpy", "torch"):
        matmul = registry.get("matmul", name)
        for transform in transformed.values():
            for _ in range(2):
                with pytest.raises(
                    ValueError, match=r"^matmul: argument a: expected a plain tensor, got one inside a transf.*call"
                ):
                    transform(lambda t, matmul=matmul: matmul(t, t))
            outside = torch.func.vmap(lambda t, matmul=matmul: matmul(x, x) + t)(torch.zeros(3, 2, 2))
            assert torch.equal(outside, x.expand(3, 2, 2))  # what is not transformed is served
        with forward.dual_level():
            dual = forward.make_dual(x, x)
            for args in ((dual, x), (x, dual)):
                for _ in range(2):
                    with pytest.raises(ValueError, match=r"carries a forward-mode tangent, .*unpack_dual\([ab]\)\.primal$"):
                        matmul(*args)
            assert torch.equal(matmul(x, x), x)


@pytest.mark.parametrize("name", ["auto", "numpy", "torch"])
def test_traces_are_refused_where_they_would_keep_a_result_as_a_constant(name):
    from torch.fx.experimental.proxy_tensor import make_fx

    x, matmul = torch.eye(2), registry.get("matmul", name)
    matmul(x, x)  # what is known from before is not served either
    refusal = r"^matmul: argument a: expected a tensor outside of torch\.jit\.trace and make_fx"
    for trace in (lambda f: torch.jit.trace(f, (x,)), lambda f: make_fx(f)(x)):
        with warnings.catch_warnings(action="ignore"), pytest.raises(ValueError, match=refusal):
            trace(lambda t: matmul(t, t))


# What is refused, of callers and of kernels


class OnlyDLPack:
    """Speaks DLPack, from a package that has no from_dlpack to hand results back."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.ndim = array, array.shape, array.dtype, array.ndim

    def __dlpack__(self, **kwargs):
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def nested(rank):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its interface is a prototype
        return torch.nested.nested_tensor([torch.ones([2] * rank)] * 2)


def test_the_points_of_a_step_are_refused_before_they_are_looked_at():
    x = np.ones((3, 2), np.float32)
    for name in ("auto", *[v.name for v in registry.variants("meanshift_step") if v.available]):
        step = registry.get("meanshift_step", name)
        for strange in (x + 1j, x.astype(str), x.astype(object)):
            with pytest.raises(TypeError, match=rf"meanshift_step: .*float32.*got {_arrays.dtype_name(strange.dtype)}"):
                step(strange, 1.0)
        with pytest.raises(ValueError, match="argument bandwidth: expected a finite number above 0, got inf"):
            step(x, 10**400)
        with pytest.raises(ValueError, match="expected a dense tensor"):
            step(nested(1), 1.0)


def test_a_kernel_that_returns_what_it_must_not_is_named():
    zoo = Zoo(registry.zoo().folder, System())
    wrong = {
        "lists": ("torch", lambda a, b: (a @ b).tolist(), r"a list, expected a tensor on cpu of float32, shape \(2, 2\)"),
        "wider": (
            "numpy",
            lambda a, b: (a @ b).astype("float64"),
            "a NumPy array of float64, .* expected a NumPy array of float32",
        ),
        "longer": ("numpy", lambda a, b: np.vstack([a @ b] * 2), r"shape \(4, 2\), expected .*shape \(2, 2\)"),
        "elsewhere": ("torch", lambda a, b: (a @ b).numpy(), "a ndarray, expected a tensor"),
    }
    a = np.eye(2, dtype=np.float32)
    for name, (arrays, function, message) in wrong.items():
        zoo.register("matmul", name, arrays=arrays)(function)
        for array in (a, torch.asarray(a), a[None]):
            for _ in range(2):
                where = r".*test_refused_arrays\.py:\d+\)"
                with pytest.raises(ConformanceError, match=f"^matmul: variant '{name}' returned .*{message}{where}"):
                    zoo.get("matmul", name)(array, array)


def test_what_is_not_an_array_that_a_kernel_can_read_is_refused_by_name():
    matmul = registry.get("matmul")
    a = np.eye(2)
    tensor, graded = torch.eye(2), torch.eye(2).requires_grad_()
    single, integers = (array_api_strict.ones((2, 2), dtype=getattr(array_api_strict, name)) for name in ("float32", "int32"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated
        quantized = torch.quantize_per_tensor(tensor, 0.1, 0, torch.quint8)
    cases = [
        ((a, [[1, 2], [3, 4]]), TypeError, r"argument b: expected a NumPy array.*got list; numpy\.asarray"),
        ((3.0, a), TypeError, r"argument a: .*got float"),
        ((a, "x"), TypeError, r"argument b: .*got str"),
        ((a, tensor), TypeError, r"argument b: expected an array of numpy like a, got one of torch; convert"),
        ((np.ma.masked_array(a), a), TypeError, r"argument a: expected a plain array, got MaskedArray"),
        ((a.view(np.matrix), a), TypeError, r"argument a: expected a plain array, got matrix"),
        ((graded, tensor), ValueError, r"argument a: requires grad.*pass a\.detach\(\)"),
        ((torch.eye(2).to_sparse(), torch.eye(2)), ValueError, r"argument a: expected a dense tensor.*sparse"),
        ((torch.eye(2, device="meta"), torch.eye(2, device="meta")), ValueError, r"argument a: .*meta"),
        ((torch.eye(2), torch.eye(2, device="meta")), ValueError, r"argument b: .*meta"),
        ((nested(2), tensor), ValueError, r"argument a: expected a dense tensor .*got nested on cpu"),
        ((nested(1), tensor), ValueError, r"argument a: expected a dense tensor .*got nested on cpu"),
        ((quantized, tensor), ValueError, r"argument a: expected a dense tensor .*got quantized on cpu"),
        ((np.array([["a"]]), a), TypeError, r"argument a: expected dtype .*, got str32; cast it"),
        ((single, integers), TypeError, r"^matmul: arguments a, b: .*float32.*int32"),
        ((OnlyDLPack(a), OnlyDLPack(a)), TypeError, r"OnlyDLPack speaks DLPack, but test_refused_arrays has no from_dlpack"),
    ]
    for args, error, message in cases:
        with pytest.raises(error, match=message):
            matmul(*args)
    with torch.no_grad():
        assert torch.equal(matmul(graded, graded), torch.eye(2))
