"""What is kept of a measurement beside its time: the noise of an A/A run, the share of the bound, and who was wrong."""

import math

from hypothesis import given
from hypothesis import strategies as st

import registry
from kernels._costs.table import add, read
from kernels._measure import Measurement, tuning


def noise(samples):
    return Measurement(registry.variants("matmul")[0], samples=samples).noise


@given(st.lists(st.floats(1e-9, 1e3), min_size=4, max_size=15))
def test_noise_is_that_of_the_samples_among_themselves(samples):
    found = noise(samples)
    assert 0 <= found <= max(samples) / min(samples) - 1
    assert noise([2 * each for each in samples]) == found
    assert noise([samples[0]] * len(samples)) == 0
    assert noise(samples[:3]) is None


def test_a_difference_between_two_medians_of_one_variant_is_within_the_noise():
    samples = [1.0, 1.1] * 5
    assert 0.04 < noise(samples) <= 0.1 + 1e-9


def test_a_tune_keeps_who_was_wrong_apart_from_those_that_were_timed(tmp_path):
    def spoil(function):
        return (lambda *args, **kwargs: function(*args, **kwargs) * 2) if "ufunc" in repr(function) else function

    tuner = tuning.Tuner("outer", pace=tuning.QUICK, wrap=spoil)
    tuner.candidates = lambda dtype: [registry.variant("outer", name) for name in ("broadcast", "ufunc")]
    found = tuner.measure(registry.contract("outer").example("tiny"), "float32")
    (refused,) = found.refused
    assert (refused.variant, refused.seconds) == ("ufunc", math.inf)
    assert found.wrong[0].startswith("ufunc on ")
    assert "times its bound" in refused.wrong
    (right,) = found.entries
    assert (right.variant, right.wrong) == ("broadcast", "")
    assert 0 <= right.of_bound <= 1
    path = tmp_path / "table.json"
    table = add(path, {"processor": "made up"}, [*found.entries, *found.refused])
    assert table.refused == (refused,)
    assert table.entries == (right,)
    assert read(path).of("outer").refused == (refused,)
    mended = refused._replace(seconds=1.0, wrong="", of_bound=0.5, noise=0.0)
    table = add(path, {"processor": "made up"}, [mended])
    assert not table.refused
    assert mended in read(path).entries
