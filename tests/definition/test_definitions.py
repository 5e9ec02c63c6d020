"""An operation is its definition: what follows from one that is stated in a few lines, and the arithmetic that bounds errors."""

import ast
import inspect

import ml_dtypes
import mpmath
import numpy as np
import pytest
from array_api_compat import array_namespace
from catalogues import zoo_of
from hypothesis import given, settings
from hypothesis import strategies as st
from logsumexp import LOGSUMEXP, by_rows

import registry
from kernels import _conformance
from kernels._definition.numerics import precision_of
from kernels._definition.rounding import Rounded, norm, normalized, off_by, pivot, settled, sinc, weighted_mean
from registry import ConformanceError


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """A catalogue whose one operation is stated in its definition alone."""
    with zoo_of(tmp_path_factory.mktemp("zoo"), {"logsumexp": LOGSUMEXP}) as made:
        yield made


def online(x):
    """One pass, which scales the sum so far to each new largest entry."""
    most, total = x[..., 0].copy(), np.ones(x.shape[:-1], x.dtype)
    for column in np.moveaxis(x[..., 1:], -1, 0):
        larger = np.maximum(most, column)
        total = total * np.exp(most - larger) + np.exp(column - larger)
        most = larger
    return np.asarray(most + np.log(total), x.dtype)


def without_shift(x):
    return np.asarray(np.log(np.exp(x).sum(axis=-1)), x.dtype)


def global_maximum(x):
    most = x.max() if x.size else 0
    return np.asarray(most + np.log(np.exp(x - most).sum(axis=-1)), x.dtype)


def half_inside(x):
    most = x.max(axis=-1, keepdims=True)
    return np.asarray(most[..., 0] + np.log(np.exp((x - most).astype(np.float16)).sum(axis=-1)), x.dtype)


def last_tile_lost(x):
    return by_rows(x[..., : max(1, x.shape[-1] // 16 * 16)])


def epsilon_in_the_logarithm(x):
    most = x.max(axis=-1, keepdims=True)
    return np.asarray(most[..., 0] + np.log(np.exp(x - most).sum(axis=-1) + 1e-8), x.dtype)


def batch_axes_swapped(x):
    result = by_rows(x)
    square = result.ndim == 2 and result.shape[0] == result.shape[1]
    return np.ascontiguousarray(result.T) if square else result


@pytest.mark.parametrize("function", [by_rows, online])
def test_a_definition_of_25_lines_accepts_right_kernels(zoo, function):
    assert len(LOGSUMEXP.splitlines()) <= 25
    with np.errstate(all="ignore"):
        zoo.check("logsumexp", function, batches=True, max_examples=20)


@pytest.mark.parametrize(
    "function", [without_shift, global_maximum, half_inside, last_tile_lost, epsilon_in_the_logarithm, batch_axes_swapped]
)
def test_a_definition_of_25_lines_refuses_wrong_kernels(zoo, function, monkeypatch):
    # Most of the time on a wrong kernel would go into making its example small.
    monkeypatch.setattr(_conformance, "SHRINKS", False)
    with np.errstate(all="ignore"), pytest.raises(ConformanceError, match=r"logsumexp: \w+ failed: "):
        zoo.check("logsumexp", function, batches=True, max_examples=100)


def test_a_definition_is_validated_by_its_signature(zoo):
    zoo.register("logsumexp", "by_rows", batches=True)(by_rows)
    function = zoo.get("logsumexp")
    assert function(np.zeros((2, 3, 4))).shape == (2, 3)
    with pytest.raises(
        ValueError, match=r"^logsumexp: argument x: expected shape \(\.\.\., n\), got \(\); x\[None\] has one more$"
    ):
        function(np.zeros(()))
    with pytest.raises(TypeError, match=r"^logsumexp: argument x: expected a NumPy array"):
        function([1.0])
    contract = zoo.contract("logsumexp")
    assert contract.work(np.zeros((2, 3), np.float32)) == {"flops": 3 * 6 + 6 + 2 * 2, "bytes": 4 * (6 + 2), "scratch": 0}
    assert contract.evaluate(np.zeros((2, 3))) == pytest.approx(np.log(3))


# The arithmetic by itself: an expression is evaluated in a narrow format, each operation rounded once, and in fifty digits.

NARROW = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "float32": np.float32}


@st.composite
def expressions(draw, depth=3):
    """Draw an expression in the variables a, b and c."""
    if not depth or draw(st.integers(0, 4)) == 0:
        return draw(st.sampled_from("abc"))
    inner = [draw(expressions(depth - 1)) for _ in range(2)]
    form = draw(
        st.sampled_from(
            ["({0} + {1})", "({0} - {1})", "({0} * {1})", "({0} / ({1} * {1} + 1.0))", "xp.sqrt({0} * {0})", "xp.abs({0})",
             "xp.exp(-({0} * {0}))", "xp.log({0} * {0} + 1.0)", "xp.maximum({0}, {1})", "xp.where({0} < {1}, {0}, {1} + 1.0)",
             "({0} * 0.3)", "({0} / 3.0)", "({0} - 0.1)", "xp.atan2({0}, {1})", "sinc({0})", "xp.sin({0})", "xp.cos({0})",
             "xp.tanh({0})", "xp.atan({0})", "xp.acos({0} / ({0} * {0} + 1.0))", "xp.expm1(-({0} * {0}))", "xp.log1p({0} * {0})"]
        )
    )  # fmt: skip
    return form.format(*inner)


class Fifty:
    """The functions of expressions on numbers of fifty digits."""

    sqrt, exp, log, maximum, abs, sinc = mpmath.sqrt, mpmath.exp, mpmath.log, max, abs, mpmath.sinc
    sin, cos, tanh, atan, acos, expm1, log1p = (
        getattr(mpmath, name) for name in ("sin", "cos", "tanh", "atan", "acos", "expm1", "log1p")
    )

    @staticmethod
    def atan2(y, x):
        return mpmath.atan2(y, x) if y or x else mpmath.mpf(0)  # mpmath has no sign of zero

    @staticmethod
    def where(condition, a, b):
        return a if condition else b


class Narrow:
    """The same functions on NumPy's scalars, each result rounded to their format."""

    def __init__(self, dtype):
        self.dtype = dtype

    def __getattr__(self, name):
        function, library = getattr(np, name), name not in ("maximum", "where", "abs")
        return lambda *args: self.dtype(function(*(np.float64(arg) if library else arg for arg in args)))

    def sinc(self, x):
        return self.dtype(np.sinc(np.float64(x) / np.pi))


def _in_format(source):
    """Compile an expression with its constants as scalars of `dtype`, so that NumPy widens nothing."""
    tree = ast.parse(source, mode="eval")

    class Scalars(ast.NodeTransformer):
        def visit_Constant(self, node):
            return ast.Call(ast.Name("dtype", ast.Load()), [node], [])

    return compile(ast.fix_missing_locations(Scalars().visit(tree)), source, "eval")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_rounding_leaves_the_bound(data):
    """Whatever a narrow format makes of an expression is within the bound of what fifty digits make of it."""
    name = data.draw(st.sampled_from(list(NARROW)), label="format")
    dtype, format = NARROW[name], precision_of(name)
    source = data.draw(expressions(), label="expression")
    drawn = st.floats(-8, 8, width=16).map(lambda value: float(dtype(value)))
    values = {key: data.draw(drawn, label=key) for key in "abc"}
    with np.errstate(all="ignore"):
        narrow = {key: dtype(value) for key, value in values.items()}
        got = float(eval(_in_format(source), {"xp": Narrow(dtype), "sinc": Narrow(dtype).sinc, "dtype": dtype, **narrow}))
        rounded = {key: Rounded(np.array(value), format=format) for key, value in values.items()}
        xp = rounded["a"].__array_namespace__()
        bound = eval(source, {"xp": xp, "sinc": sinc, **rounded})
    with mpmath.workdps(50):
        exact = eval(source, {"xp": Fifty, "sinc": Fifty.sinc, **{key: mpmath.mpf(value) for key, value in values.items()}})
        own = 64 * np.finfo(float).eps * (1 + abs(float(exact)))  # the values' own rounding, in float64
        # The value itself may be on the other side of a comparison that is not certain.
        assert abs(mpmath.mpf(float(bound.value)) - exact) <= float(bound.error) + own
        if np.isfinite(got):
            assert abs(mpmath.mpf(got) - exact) <= 2 * float(bound.error) + own


@pytest.mark.parametrize("name", NARROW)
@pytest.mark.parametrize("order", ["forward", "backward", "pairs"])
def test_sums_in_any_order_stay_within_the_bound(name, order):
    dtype, format = NARROW[name], precision_of(name)
    rng = np.random.default_rng(3)
    worst = 0.0
    for _ in range(200):
        terms = rng.standard_normal(rng.integers(1, 60)).astype(dtype)
        parts = list(terms if order == "forward" else terms[::-1])
        while len(parts) > 1:
            if order == "pairs":
                parts = [dtype(parts[i] + parts[i + 1]) if i + 1 < len(parts) else parts[i] for i in range(0, len(parts), 2)]
            else:
                parts = [dtype(parts[0] + parts[1]), *parts[2:]]
        total = Rounded(terms.astype(float), format=format).__array_namespace__().sum(Rounded(terms.astype(float), format=format))
        error = abs(float(parts[0]) - float(total.value))
        assert error <= total.error
        worst = max(worst, error / float(total.error) if total.error else 0.0)
    assert worst > 0.02  # a bound that is never approached proves little


@pytest.mark.parametrize("name", NARROW)
def test_norms_stay_within_the_bound_wherever_the_squares_are(name):
    """Rows are scaled by a power of two or by another number than the largest entry, and arguments have errors of their own."""
    dtype, format = NARROW[name], precision_of(name)
    rng = np.random.default_rng(4)
    reach, worst = (3 if name == "float16" else 100), 0.0
    for _ in range(200):
        exact = rng.standard_normal(rng.integers(1, 40)) * 2.0 ** rng.integers(-reach, reach)
        given = exact.astype(dtype)
        row = Rounded(exact, np.abs(given.astype(float) - exact), format=format)
        factor = dtype(rng.choice([1.0, 1.3]) * 2.0 ** -np.floor(np.log2(np.abs(exact).max())))
        scaled = [dtype(factor * entry) for entry in given]
        total = dtype(0)
        for entry in scaled:
            total = dtype(total + dtype(entry * entry))
        size = dtype(np.sqrt(np.float64(total)))
        for bound, got in ((norm(row), dtype(size / factor)), (normalized(row), [dtype(entry / size) for entry in scaled])):
            error = np.abs(np.asarray(got, float) - bound.value)
            assert (error <= bound.error).all()
            worst = max(worst, np.max(error / bound.error))
    assert worst > 0.1
    with mpmath.workdps(50):
        assert abs(norm(row).value - mpmath.sqrt(sum(mpmath.mpf(entry) ** 2 for entry in exact))) < 1e-12 * norm(row).value
    assert normalized(np.zeros((2, 3))).tolist() == np.zeros((2, 3)).tolist()
    with np.errstate(invalid="ignore"):
        rows = np.array([[3e200, -4e200], [3e-200, 4e-200], [np.inf, 1.0]])
        assert norm(rows) == pytest.approx([5e200, 5e-200, np.inf])
        assert np.isnan(normalized(rows)).any(axis=1).tolist() == [False, False, True]
    assert norm(np.zeros((2, 0))).tolist() == [0, 0]


def test_an_angle_past_the_negative_half_of_the_axis_may_go_round():
    format = precision_of("float32")
    y, x = (Rounded(np.array([value] * 2), np.array([0.0, 1e-3]), format=format) for value in (5e-4, -1.0))
    errors = y.__array_namespace__().atan2(y, x).error
    assert errors[0] < 1e-5
    assert errors[1] > 6


def test_what_is_certain_costs_one_side_alone():
    format = precision_of("float32")
    a, b = (Rounded(np.array(value), np.array(error), format=format) for value, error in ((1.0, 1e-3), (2.0, 1e-6)))
    xp = a.__array_namespace__()
    assert xp.maximum(a, b).error == 1e-6
    assert xp.maximum(a, Rounded(np.array(1.0005), np.array(1e-6), format=format)).error == 1e-3
    assert xp.where(a < b, a, b).error == 1e-3
    assert xp.where(a < 1.0005, a, b).error >= 1.0  # it may be either
    assert (a + 0.0).error == 1e-3
    assert (a * 4.0).error == 4e-3
    assert (Rounded(np.array([1.0, 2.0**-126, 0.0]), format=format) * 0.5).error.tolist() == [0, 2.0**-149, 0]


def test_a_pivot_may_be_any_number_and_a_weight_moves_a_mean_by_a_distance():
    format = precision_of("float32")
    x = Rounded(np.array([[1e4, 1e4 + 1, 1e4 + 2]]), format=format)
    xp = x.__array_namespace__()
    centred = x - pivot(xp.mean(x, axis=-1, keepdims=True))
    assert (centred.error < 1e-3).all()
    assert (centred.error > 0).all()
    weights = Rounded(np.ones((1, 3)), np.full((1, 3), 1e-3), format=format)
    mean = weighted_mean(weights, centred[0][:, None])
    assert float(mean.error[0, 0]) < 2e-3  # not 1e-3 times ten thousand
    assert np.isinf(
        weighted_mean(Rounded(np.full((1, 3), 1e-4), np.full((1, 3), 1e-3), format=format), centred[0][:, None]).error
    )


def test_the_size_of_a_pivot_is_forgotten_where_it_has_cancelled_and_its_rounding_is_not():
    """Whatever number of the column's range is subtracted first, the differences from the mean are within the bound."""
    format, unit = precision_of("float32"), 2.0**-24
    entries = np.random.default_rng(0).uniform(1e4, 1e4 + 3, (50, 1)).astype("float32")
    x = Rounded(entries.astype(float), format=format)
    xp = x.__array_namespace__()
    apart = x - pivot(off_by(xp.min(x, axis=0), 3.0))
    apart = apart - xp.mean(apart, axis=0)
    assert (settled(apart).error == apart.error).all()
    assert (apart**2).error.max() > (settled(apart) ** 2).error.max() > 2 * unit
    for centre in (*entries[:, 0], np.float32(1e4), np.float32(1e4 + 3)):
        shifted = entries - centre
        assert (np.abs(shifted - shifted.mean(axis=0) - apart.value) <= apart.error).all()
    largest = Rounded(np.array([0.75 * format.largest]), format=format)
    assert np.isfinite((largest - pivot(off_by(largest, 0.75 * format.largest))).error).all()  # a kernel takes no such pivot
    assert np.isinf((largest + largest).error).all()


def test_a_function_without_error_arithmetic_is_named():
    x = Rounded(np.ones(3), format=precision_of("float32"))
    with pytest.raises(AttributeError, match="no error arithmetic is known for the array API's function 'cumulative_sum'"):
        array_namespace(x).cumulative_sum(x)


@pytest.mark.parametrize("operation", registry.operations())
def test_a_definition_is_short(operation):
    contract = registry.contract(operation)
    most = {"matmul": 120, "meanshift_step": 200}.get(operation, 150)
    assert len(inspect.getsource(contract.module).splitlines()) <= most
