"""The contracts themselves: references against exact arithmetic, bounds that mean something, examples that are what they say."""

import inspect
import itertools
import types
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from catalogues import zoo_of
from hypothesis import given
from hypothesis import strategies as st
from numpy._core.tests.test_multiarray import MatmulCommon

import registry
from kernels._conformance import cases
from kernels._definition import contract as contract_module
from kernels._definition import numerics, results
from kernels._definition.signature import Signature

OPERATIONS = registry.operations()


def test_numpys_own_matmul_tests_accept_every_variant_that_declares_every_dtype():
    """NumPy ships its test class in its wheel; it is run as it is, its dtypes (bool and object too) and all."""
    every = {np.dtype(code).name for code in MatmulCommon.types if code not in "gG"} | {"longdouble", "clongdouble"}
    able = [v for v in registry.variants("matmul") if v.available and every <= set(v.dtypes)]
    assert len(able) >= 2
    tests = [name for name, _ in inspect.getmembers(MatmulCommon, inspect.isfunction) if name.startswith("test_")]
    assert len(tests) >= 8
    for variant, test in itertools.product(able, tests):
        suite = type("Suite", (MatmulCommon,), {"matmul": staticmethod(registry.get("matmul", variant.name))})()
        getattr(suite, test)()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_contract_has_what_an_operation_needs(operation):
    contract = registry.contract(operation)
    assert inspect.getdoc(contract.definition) == inspect.getdoc(registry.get(operation))
    assert set(contract.ARRAYS) <= set(inspect.signature(contract.validate).parameters)
    assert {"tiny", "lecture", "medium", "large"} <= set(contract.SIZES)
    for size in contract.SIZES:
        example = contract.example(size, dtype="float64", seed=3)
        again = contract.example(size, dtype="float64", seed=3)
        assert all(np.array_equal(x, y) for x, y in zip(example.args, again.args, strict=True))
        contract.validate(*example.args, **example.kwargs)
        assert contract.work(*example.args, **example.kwargs)[contract.RATE] > 0


def test_the_lectures_sizes_are_among_the_examples():
    matmul = registry.contract("matmul")
    shapes = {tuple(a.shape for a in matmul.example(size).args) for size in matmul.SIZES}
    assert {((5, 784), (784, 10)), ((50_000, 784), (784, 10))} <= shapes
    step = registry.contract("meanshift_step")
    for size, kernel, bandwidth in (("lecture", "gaussian", 2.5), ("lecture_triangular", "triangular", 8.0)):
        example = step.example(size, dtype="float64")
        assert example.args[0].shape == (1500, 2)
        assert (example.args[1], example.kwargs["kernel"], example.steps) == (bandwidth, kernel, 5)
        clusters = example.args[0].reshape(6, 250, 2)
        assert np.abs(clusters.mean(axis=1)).max() < 36
        covariances = [np.cov(cluster.T) for cluster in clusters]
        # The standard error of a variance from 250 samples is 5 sqrt(2/249) = 0.45; six of those allow for all 18 entries.
        assert all(np.abs(covariance - 5 * np.eye(2)).max() < 6 * 0.45 for covariance in covariances)


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if hasattr(registry.contract(each).module, "ROWS")])
def test_rows_of_the_reference_are_the_reference_of_the_rows(operation):
    contract = registry.contract(operation)
    example = contract.example("tiny", dtype="float32")
    index = np.array([3, 1])
    args, kwargs = contract.rows(index, *example.args, **example.kwargs)
    whole = contract.reference(*example.args, **example.kwargs, dtype="float32")
    rows = contract.rows_of(whole, index, *example.args, **example.kwargs)
    np.testing.assert_array_equal(contract.reference(*args, **kwargs, dtype="float32"), rows)
    whole = contract.bound(*example.args, **example.kwargs, dtype="float32")
    rows = contract.rows_of(whole, index, *example.args, **example.kwargs)
    np.testing.assert_array_equal(contract.bound(*args, **kwargs, dtype="float32"), rows)


WEIGHED = '''"""weighed: products of rows, less their sums."""

from __future__ import annotations

from array_api_compat import array_namespace


def weighed(x: Float[Array, "*batch n"], w: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """Multiply entry by entry, and subtract the sum of x."""
    return x * w - array_namespace(x).sum(x, axis=-1, keepdims=True)
'''


@pytest.mark.parametrize(
    ("of_x", "of_w"), [((6, 2, 3), (6, 2, 3)), ((6, 2, 3), (2, 3)), ((2, 3), (6, 1, 3)), ((6, 1, 3), (1, 2, 3)), ((3,), (6, 3))]
)
def test_a_batch_is_evaluated_and_judged_by_its_rows(of_x, of_w, tmp_path, monkeypatch):
    """Where an operation states no rows, the first axis of the batch has them, in those arrays that have it."""
    with zoo_of(tmp_path, {"weighed": WEIGHED}) as zoo:
        contract = zoo.contract("weighed")
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal(of_x), rng.standard_normal(of_w)
    whole = contract.evaluate(x, w)
    chosen = contract.evaluate(*contract.rows(np.array([4, 1]), x, w)[0])
    assert contract.row_count(x, w) == 6
    assert (chosen == whole[[4, 1]]).all()
    assert (contract.rows_of(whole, slice(4, None), x, w) == whole[4:]).all()
    monkeypatch.setattr(contract_module, "BLOCK", 7)
    assert (contract.evaluate(x, w) == whole).all()
    assert contract.verdict(whole, x, w, dtype="float64").failure is None
    whole[5, ..., 2] += 1
    assert "entry" in contract.verdict(whole, x, w, dtype="float64").failure


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
def test_the_matmul_reference_is_within_its_own_rounding_of_exact_fractions(dtype):
    contract = registry.contract("matmul")
    rng = np.random.default_rng(1)
    a, b = (rng.standard_normal(shape).astype(dtype) for shape in ((4, 9), (9, 3)))
    got = contract.reference(a, b, dtype=dtype)
    unit = float(np.finfo(got.dtype).eps) / 2
    for i, j in np.ndindex(got.shape):
        exact = map(sum, zip(*map(_exact_product, a[i], b[:, j]), strict=True))
        size = float(sum(abs(a[i]) * abs(b[:, j])))
        for part, expected in zip((got[i, j].real, got[i, j].imag), exact, strict=True):
            assert abs(Fraction(*part.as_integer_ratio()) - expected) <= 2 * 11 * unit * size


def _exact_product(x, y):
    """Return the real and the imaginary part of a product."""
    xr, xi, yr, yi = (Fraction(float(part)) for part in (x.real, x.imag, y.real, y.imag))
    return xr * yr - xi * yi, xr * yi + xi * yr


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64"])
def test_the_matmul_reference_wraps_integers_as_numpy_does(dtype):
    info = np.iinfo(dtype)
    rng = np.random.default_rng(2)
    a, b = (rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True) for shape in ((5, 40), (40, 4)))
    np.testing.assert_array_equal(registry.contract("matmul").reference(a, b, dtype=dtype), a @ b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kernel", registry.contract("meanshift_step").KERNELS)
def test_the_meanshift_reference_agrees_with_fifty_digits(kernel, dtype):
    contract = registry.contract("meanshift_step")
    rng = np.random.default_rng(4)
    x, data = (rng.standard_normal((n, 3)).astype(dtype) for n in (5, 12))
    h = 1.3
    got = contract.reference(x, h, data=data, kernel=kernel, dtype=dtype)
    bound = contract.bound(x, h, data=data, kernel=kernel, dtype=dtype)
    share = numerics.reference_share(dtype)
    with mpmath.workdps(50):
        weigh = {
            "gaussian": lambda q: mpmath.exp(-q * q / 2),
            "triangular": lambda q: max(mpmath.mpf(0), 1 - q),
            "epanechnikov": lambda q: max(mpmath.mpf(0), 1 - q * q),
            "flat": lambda q: mpmath.mpf(q <= 1),
        }[kernel]
        for i, point in enumerate(x):
            point = [mpmath.mpf(float(v)) for v in point]
            sites = [[mpmath.mpf(float(v)) for v in site] for site in data]
            weights = [
                weigh(mpmath.sqrt(sum((a - b) ** 2 for a, b in zip(point, s, strict=True))) / mpmath.mpf(h)) for s in sites
            ]
            for k in range(3):
                exact = sum(w * s[k] for w, s in zip(weights, sites, strict=True)) / sum(weights) if sum(weights) else point[k]
                numerator, denominator = got[i, k].as_integer_ratio()
                assert abs(mpmath.mpf(numerator) / denominator - exact) <= float(share * bound[i, k])


def test_a_gaussian_far_from_all_data_goes_to_the_nearest():
    contract = registry.contract("meanshift_step")
    x, data = np.zeros((1, 1)), np.array([[1e6], [1e6 + 1]])
    assert contract.reference(x, 1.0, data=data, dtype="float64")[0, 0] == 1e6


class TestCompare:
    """What holds results to references: NaN never passes, and the masks must be alike."""

    ones = np.ones(3)

    @pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
    def test_a_special_value_where_the_reference_is_finite_never_passes(self, special):
        for bound in (1.0, np.inf, np.nan):
            result = np.array([1, special, 1])
            assert not numerics.compare(result, self.ones, np.full(3, bound)).passes

    def test_masks_must_be_equal(self):
        nan, inf = np.array([1, np.nan, 1]), np.array([1, np.inf, 1])
        zero = np.zeros(3)
        assert numerics.compare(nan, nan, zero).passes
        assert numerics.compare(inf, inf, zero).passes
        for result, reference in ((self.ones, nan), (self.ones, inf), (nan, inf), (inf, nan), (-inf, inf)):
            assert not numerics.compare(result, reference, np.full(3, 1e9)).passes

    def test_a_nan_bound_passes_only_an_exact_result(self):
        assert not numerics.compare(self.ones + 1e-9, self.ones, np.full(3, np.nan)).passes

    def test_the_largest_share_and_its_place_are_told(self):
        agreement = numerics.compare(np.array([1, 1.5, 1.1]), self.ones, np.array([1, 1, 0.01]))
        assert agreement.worst == (2,)
        assert agreement.share == pytest.approx(10)

    def test_a_bound_wider_than_the_data_is_vacuous(self):
        assert numerics.compare(self.ones, self.ones, np.array([0.5, 2, np.inf]), scale=1.0).vacuous == pytest.approx(2 / 3)
        assert numerics.compare(self.ones, self.ones, np.array([0.5, np.nan, np.inf]), scale=np.inf).vacuous == pytest.approx(
            1 / 3
        )

    def test_shapes_must_be_equal(self):
        with pytest.raises(ValueError, match="shape"):
            numerics.compare(np.ones((1, 3)), self.ones, self.ones)


@pytest.mark.parametrize("batch", [(), (2,), (0,), (2, 3)])
def test_what_is_computed_core_by_core_keeps_its_dtype(batch):
    text = "def below(x: Shaped[Array, '*batch n'], y: Shaped[Array, '*batch n']) -> Shaped[Array, '*batch n']: ..."
    module = types.ModuleType("below")
    exec(f"from __future__ import annotations\n{text}", vars(module))
    x, y = np.random.default_rng(0).normal(size=(2, *batch, 4))
    made = results.over_batches(Signature(module.below, module), np.less, {"x": x, "y": y})
    assert made.dtype == (bool if x.size else float)  # whether it is a comparison, a call of a core says
    np.testing.assert_array_equal(made, x < y)


@pytest.mark.parametrize("operation", registry.operations())
@given(data=st.data())
def test_the_validator_passes_the_shapes_that_a_refusal_finds_nothing_wrong_with(operation, data):
    contract = registry.contract(operation)
    signature, shape = contract.signature, st.lists(st.integers(1, 3), max_size=4).map(tuple)
    arrays = {key: np.ones(data.draw(shape, label=key)) for key in signature.arrays if key not in signature.nullable}
    left_out = {key: None for key in signature.arrays if key not in arrays}
    parameters = {key: each.example({}) for key, each in signature.parameters.items() if each.needed}
    said = []
    for ask, more in ((signature.refuse, left_out), (signature.validator, parameters)):
        try:
            said.append(ask(**arrays, **more) and None)
        except ValueError as error:
            said.append(str(error))
    assert said[0] == said[1]


def test_bounds_are_tight_enough_to_see_a_wrong_dtype():
    """Rounding the inputs to half the digits must break the bound, or it would let such a kernel pass."""
    contract = registry.contract("meanshift_step")
    x = contract.example("tiny", dtype="float64").args[0]
    y = contract.reference(x.astype("float32"), 2.5, dtype="float32").astype(float)
    reference, bound = (f(x, 2.5, dtype="float64") for f in (contract.reference, contract.bound))
    assert not numerics.compare(y, reference, bound).passes


def test_the_referee_reads_nan_past_the_edge():
    """The bordered layout puts NaN round an array, where a kernel that reads too far finds it."""
    inside = cases.LAYOUTS["bordered"](np.ones((2, 2)))
    assert np.isnan(inside.base).sum() == 16 - 4
    assert np.isfinite(inside).all()


@pytest.mark.parametrize("small", [2.0**-64, 2.0**-130])
def test_a_product_of_bfloat16_may_lose_what_is_below_the_smallest_normal_number(small):
    """Processors' instructions for it flush such products, and such operands; those for float32 do not."""
    a, b = np.full((1, 3), small, np.float32), np.full((3, 1), 2.0**-64 if small > 2.0**-126 else 1.0, np.float32)
    contract = registry.contract("matmul")
    assert contract.bound(a, b, dtype="bfloat16") >= contract.reference(a, b, dtype="bfloat16")
    assert contract.bound(a, b, dtype="float32") < contract.reference(a, b, dtype="float32") / 10


def test_whole_numbers_wrap_in_products_and_not_in_comparisons():
    contract, a, b = registry.contract("outer"), np.array([100, -3], np.int8), np.array([100], np.int8)
    product = contract.reference(a, b, function="multiply", dtype="int8")
    assert (product.dtype, product.ravel().tolist()) == (np.int8, [16, -44])
    less = contract.reference(a, b, function="less", dtype="int8")
    assert (less.dtype, less.ravel().tolist()) == (bool, [False, True])
