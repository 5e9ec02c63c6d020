"""matmul by NumPy: which of its two products serves makes no difference to what it gives."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import registry

DTYPES = ["float16", "float32", ">f4", "float64", "longdouble", "complex64", "complex128", "int8", "uint64", "bool", "object"]
EXTENT = st.sampled_from([0, 1, 1, 2, 3])
NUMBERS = st.sampled_from([0.0, 0.0, 1.0, 2.0])
SPECIAL = st.sampled_from([0.0, -0.0, 1.0, 2.0, np.inf, -np.inf, np.nan])


@given(
    batch=st.sampled_from([(), (), (2,)]),
    m=st.none() | EXTENT,
    k=EXTENT,
    n=st.none() | EXTENT,
    dtype=st.sampled_from(DTYPES),
    data=st.data(),
)
def test_every_product_is_that_of_numpys_matmul(batch, m, k, n, dtype, data):
    """Vectors, empty arrays, and single entries of 0 beside infinities, whose products are NaN, and not 0."""
    elements = SPECIAL if np.dtype(dtype).kind in "fc" else NUMBERS
    a, b = (
        data.draw(arrays.arrays(float, shape, elements=elements)).astype(dtype)
        for shape in ((k,) if m is None else (*batch, m, k), (k,) if n is None else (*batch, k, n))
    )
    with np.errstate(all="ignore"):
        expected = np.matmul(a, b)
        result = registry.zoo().function(registry.variant("matmul", "numpy"))(a, b)
    assert type(result) is type(expected)
    np.testing.assert_array_equal(result, expected)
    if isinstance(result, np.ndarray):
        assert result.shape == expected.shape
        assert result.dtype == expected.dtype
        assert not any(np.shares_memory(result, each) for each in (a, b))


@pytest.mark.parametrize("shapes", [((1, 1), (1, 3)), ((3, 1), (1, 1)), ((1,), (1, 3)), ((3, 1), (1,)), ((1, 1), (1, 5000))])
@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_a_single_zero_times_infinity_is_not_a_number(shapes, dtype):
    """The BLAS multiplies nothing by a factor of 0."""
    product = registry.get("matmul", "numpy")
    a, b = (np.full(shape, 0 if math.prod(shape) == 1 else np.inf, dtype) for shape in shapes)
    for _ in range(3):  # the third call is served by what is known of these shapes
        assert np.isnan(product(a, b)).all()
