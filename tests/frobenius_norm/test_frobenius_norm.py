"""What frobenius_norm alone states: why a norm is refused whose squares leave the range."""

import numpy as np
import pytest

import registry


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_norm_whose_squares_leave_the_range_is_refused_with_the_reason(dtype):
    with pytest.raises(registry.ConformanceError, match=rf"in {dtype} squares (overflow|vanish)"):
        registry.check("frobenius_norm", np.linalg.norm, dtypes=(dtype,), max_examples=20)


def test_nothing_is_said_of_squares_that_stay_in_the_range():
    with pytest.raises(registry.ConformanceError) as refusal:
        registry.check("frobenius_norm", lambda x: x.dtype.type(0.5) * np.linalg.norm(x), max_examples=5)
    assert "squares" not in str(refusal.value)
