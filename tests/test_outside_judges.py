"""Judges from other projects: scikit-learn's estimator checks and torch's own sample inputs; NumPy's are in test_contracts."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, validate_data

import registry
from kernels import _conformance

STEPS = [v.name for v in registry.variants("meanshift_step") if v.available]
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
        subject = _conformance.subject_of(registry._zoo, variant)
        for a, b in samples:
            arrays = {"a": _conformance.values(a), "b": _conformance.values(b)}
            case = _conformance.Case(arrays, {}, dtype)
            subject.judge(case, subject.call(case, "torch"))
