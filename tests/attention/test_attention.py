"""What attention alone states: why a mask is refused that is counted from the first key, and which calls have rows apart."""

import numpy as np
import pytest

import registry


def counted_from_the_first_key(q, k, v, *, causal):
    """Attention with the causal mask of torch's is_causal."""
    scores = q @ k.T / np.sqrt(max(1, q.shape[1]), dtype=q.dtype)
    if causal:
        scores[~np.tri(*scores.shape, dtype=bool)] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
    return weights @ v / weights.sum(axis=1, keepdims=True)


def test_a_mask_that_is_counted_from_the_first_key_is_refused_with_the_reason():
    with pytest.raises(registry.ConformanceError, match=r"row i sees keys j <= i; here it must see keys j <= i \+ m - n"):
        registry.check("attention", counted_from_the_first_key)


def test_rows_are_computed_apart_without_a_mask_alone():
    rng, contract = np.random.default_rng(0), registry.contract("attention")
    q, k, v = (rng.standard_normal(shape) for shape in ((3, 2), (4, 2), (4, 5)))
    assert contract.row_count(q, k, v) == 3
    assert contract.row_count(q, k, v, causal=True) == 1
    args, kwargs = contract.rows(np.array([2]), q, k, v)
    assert args[0].shape == (1, 2)
    assert kwargs == {"causal": False}


def test_a_row_that_sees_no_key_is_zero():
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal(shape) for shape in ((3, 2), (1, 2), (1, 5)))
    result = registry.get("attention")(q, k, v, causal=True)
    assert (result[:2] == 0).all()
    np.testing.assert_array_almost_equal_nulp(result[2], v[0], 8)
    assert (registry.get("attention")(q, k[:0], v[:0]) == 0).all()


@pytest.mark.parametrize("m", [1, 128])  # of so many whole numbers the mean is exact
def test_without_coordinates_all_keys_weigh_the_same(m):
    q, k, v = np.ones((3, 0)), np.ones((m, 0)), np.arange(2.0 * m).reshape(m, 2)
    for variant in registry.variants("attention"):
        if variant.available and variant.device == "cpu" and variant.arrays == "numpy":
            result = registry.get("attention", variant.name)(q, k, v)
            assert (result == v.mean(axis=0)).all(), variant.name
