"""Judges from other projects: scikit-learn's estimators, array-api-tests, torch's samples; NumPy's are in test_contracts."""

import array_api_strict
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies
from hypothesis.extra.array_api import make_strategies_namespace
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, validate_data

import registry
from kernels import _conformance
from kernels._conformance import cases

# One variant for each kind of array that kernels take, and the one that is chosen: what they do with data their contract asks.
KINDS = {v.arrays: v.name for v in registry.variants("meanshift_step") if v.available and not v.limits and len(v.dtypes) > 1}
STEPS = ["auto", *KINDS.values()]
PRODUCTS = [v for v in registry.variants("matmul") if v.available]


class MeanShiftStep(TransformerMixin, BaseEstimator):
    """Move points one mean-shift step towards those it was fitted to."""

    def __init__(self, variant="auto", bandwidth=1.0):
        self.variant = variant
        self.bandwidth = bandwidth

    def fit(self, X, y=None):
        self.data_ = validate_data(self, X, dtype=[np.float64, np.float32])
        return self

    def transform(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        step = registry.get("meanshift_step", self.variant)
        return step(X, self.bandwidth, data=self.data_.astype(X.dtype, copy=False))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


@parametrize_with_checks([MeanShiftStep(name) for name in STEPS])
def test_scikit_learn_accepts_a_transformer_made_of_one_step(estimator, check):
    check(estimator)


def torch_samples(dtype):
    """Yield torch's own sample inputs of matmul, (a, b)."""
    torch = pytest.importorskip("torch")
    invocations = pytest.importorskip("torch.testing._internal.common_methods_invocations")
    (info,) = [op for op in invocations.op_db if op.name == "matmul"]
    for sample in info.sample_inputs("cpu", getattr(torch, dtype)):
        yield sample.input, sample.args[0]


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "int64", "bfloat16"])
def test_every_product_is_within_its_bound_on_torchs_own_samples(dtype):
    samples = list(torch_samples(dtype))
    assert len(samples) >= 10
    for variant in PRODUCTS:
        if dtype not in variant.dtypes:
            continue
        implementation = _conformance.implementation_of(registry.zoo(), variant)
        for a, b in samples:
            arrays = {"a": cases.values(a), "b": cases.values(b)}
            case = cases.Case(arrays, {}, dtype)
            implementation.judge(case, implementation.call(case, "torch"))


# The cases of matmul in data-apis/array-api-tests (test_linalg.py; not on PyPI): any two real dtypes that promote, any two
# shapes, of which those that do not fit must be refused. Theirs leave values of floating dtypes open; ours do not.
STANDARD = make_strategies_namespace(array_api_strict)
WRONG_SHAPES = [
    ((), (2, 2)),
    ((2, 2), ()),
    ((2,), (3,)),
    ((2,), (3, 2)),
    ((2, 3), (2,)),
    ((2, 3), (2, 3)),
    ((2, 2, 3), (3, 3, 1)),
]


@st.composite
def two_arrays(draw, shapes):
    dtypes = draw(st.tuples(*[STANDARD.real_dtypes()] * 2))
    try:
        promoted = array_api_strict.result_type(*dtypes)
    except TypeError:
        assume(False)
    limits = {"min_value": 0, "max_value": 100}
    a, b = (draw(STANDARD.arrays(dtype, shape, elements=limits)) for dtype, shape in zip(dtypes, shapes, strict=True))
    return a, b, promoted


@pytest.mark.parametrize("variant", PRODUCTS, ids=lambda variant: variant.name)
@settings(max_examples=min(100, settings.default.max_examples), suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_product_passes_the_cases_of_the_array_api(variant, data):
    product = registry.get("matmul", variant.name)
    shapes = data.draw(
        numpy_strategies.mutually_broadcastable_shapes(signature=np.matmul.signature, max_dims=2, min_side=0, max_side=4)
    )
    a, b, promoted = data.draw(two_arrays(shapes.input_shapes))
    dtype = str(promoted).rpartition(".")[2]
    if dtype not in variant.dtypes:
        with pytest.raises(TypeError, match=rf"takes dtype .*; got {dtype}"):
            product(a, b)
        return
    result = product(a, b)
    assert type(result) is type(a)
    assert (result.shape, result.dtype) == (shapes.result_shape, promoted)
    case = cases.Case({name: np.asarray(array).astype(dtype) for name, array in (("a", a), ("b", b))}, {}, dtype)
    _conformance.implementation_of(registry.zoo(), variant).judge(case, np.asarray(result))


@pytest.mark.parametrize("shapes", WRONG_SHAPES)
def test_every_product_refuses_the_wrong_shapes_of_the_array_api(shapes):
    a, b = (array_api_strict.ones(shape) for shape in shapes)
    for variant in PRODUCTS:
        with pytest.raises(ValueError, match=r"matmul: argument [ab]: expected"):
            registry.get("matmul", variant.name)(a, b)
