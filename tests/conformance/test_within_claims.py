"""A right function is never refused within what it claims, and what it does not claim it is asked."""

from pathlib import Path

import numpy as np
import pytest
from commands import several
from verdicts import flat_alone, refusal

import registry
from kernels import _conformance

ROOT = Path(registry.__file__).parent


def nearest_blurred(x, bandwidth):
    """A blurring step that needs neither `data` nor `kernel`."""
    q2 = np.minimum((((x - x[:, None]) / bandwidth) ** 2).sum(axis=2), np.finfo(x.dtype).max)
    w = np.exp(-q2 / 2)
    return x + np.stack([(w * (x[:, k] - x[:, k, None])).sum(axis=1) for k in range(x.shape[1])], axis=1) / w.sum(axis=1)[:, None]


def in_tf32(a, b):
    """Cut operands to TF32."""
    cut = ((array.copy().view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32) for array in (a, b))
    return np.matmul(*cut)


def takes_one_dtype(a, b):
    """Refuse all but float64, as a function with an explicit signature does."""
    if not a.dtype == b.dtype == np.float64:
        raise TypeError("no matching definition")
    return a @ b


RIGHT = [
    *(("matmul", np.matmul, {"dtypes": (dtype,)}) for dtype in ("float64", "float16", "int64", "complex64", "bool", "object")),
    ("matmul", in_tf32, {"dtypes": ("float32",), "precision": "tf32"}),
    ("meanshift_step", flat_alone, {"limits": {"kernel": ("flat",), "dimensions": tuple(range(1, 4))}}),
    ("meanshift_step", flat_alone, {"limits": {"kernel": ("flat",), "dimensions": (1,)}, "dtypes": ("float64",)}),
    ("meanshift_step", nearest_blurred, {"limits": {"kernel": ("gaussian",), "data": (None,), "dimensions": (1, 2, 3)}}),
]


def named(each):
    """A function by its name: its address is another in each process of pytest-xdist."""
    return getattr(each, "__name__", str(each))


@pytest.mark.parametrize(("operation", "function", "claims"), RIGHT, ids=named)
def test_a_right_function_is_not_asked_for_more_than_it_claims(operation, function, claims):
    registry.check(operation, function, max_examples=3, **claims)


def test_a_function_within_its_claims_may_still_be_wrong():
    assert "agrees" in refusal(lambda a, b: (a.astype("float32") @ b.astype("float32")).astype(a.dtype), dtypes=("float64",))
    wrong = refusal(
        lambda x, bandwidth, *, data, kernel: flat_alone(x, 2 * bandwidth, data=data, kernel=kernel),
        "meanshift_step",
        limits={"kernel": ("flat",), "dimensions": (1, 2, 3)},
    )
    assert "agrees" in wrong


def test_registered_variants_are_not_asked_for_more_than_they_claim():
    zoo = registry.Zoo(ROOT / "kernels")
    zoo.register("matmul", "double", dtypes=("float64",))(takes_one_dtype)
    zoo.register("meanshift_step", "flat", limits={"kernel": ("flat",), "dimensions": (1, 2, 3), "weights": (None,)})(
        lambda x, bandwidth, data, weights, kernel: flat_alone(x, bandwidth, data=data, kernel=kernel)
    )
    zoo.register("meanshift_step", "blurring", limits={"data": (None,)})(zoo.get("meanshift_step", "broadcast"))
    for operation, name in (("matmul", "double"), ("meanshift_step", "flat"), ("meanshift_step", "blurring")):
        implementation = _conformance.implementation_of(zoo, zoo.variant(operation, name))
        records = [
            _conformance.run(property_, implementation, 2) for property_ in _conformance.all_properties(implementation.contract)
        ]
        assert sum(record.examples > 0 for record in records) > len(records) / 2
    x = np.ones((2, 1))
    with pytest.raises(ValueError, match="meanshift_step: variant 'blurring' takes data None; got 'an array'"):
        zoo.get("meanshift_step", "blurring")(x, 1.0, data=x.copy())


def test_tensors_are_given_to_what_answers_with_tensors():
    torch = pytest.importorskip("torch")
    compiled = torch.compile(torch.matmul, dynamic=True, backend="eager")  # takes NumPy's arrays, and answers with a tensor
    registry.check("matmul", compiled, max_examples=2)
    registry.check("matmul", torch.matmul, max_examples=2, dtypes=("bfloat16",))
    assert "arrays='torch' gives it tensors" in refusal(torch.matmul, arrays="numpy")


def test_an_error_of_numpy_code_is_not_told_of_tensors():
    message = refusal(lambda a, b: a.astipe(a.dtype) @ b)
    assert "AttributeError: 'numpy.ndarray' object has no attribute 'astipe'" in message
    assert "Tensor" not in message


def test_a_parameter_that_a_function_lacks_is_named_with_the_claim_that_leaves_it_out():
    message = refusal(nearest_blurred, "meanshift_step")
    assert "it has no parameter 'data': one that needs none claims limits={'data': (None,)}" in message
    assert "it has no parameter 'kernel': one that needs none claims limits={'kernel': ('gaussian',)}" in message


def test_the_command_takes_the_claims_of_a_register_line(tmp_path):
    (tmp_path / "mine.py").write_text(
        "def ordered(a, b):\n    if not (a.flags.carray and a.dtype == 'float64'):\n        raise TypeError\n    return a @ b\n"
    )
    command = "check matmul mine:ordered --examples 2 --dtype float64"
    claims = "--claim layout=C --claim limits={'flops':1e6} --claim deterministic=False"
    within, bare = several(f"{command} {claims}", f"{command} --bare", cwd=tmp_path, codes=(0, 1))
    assert "mine:ordered: conforms" in within.stdout
    assert "mine:ordered: REFUSED" in bare.stdout  # nothing puts arrays in order for it
