"""Every variant on every example size: checked against the bound first, then timed by pytest-benchmark.

    pytest bench                               all sizes
    pytest bench -k "meanshift_step and lecture"
    pytest bench --limit 60 --benchmark-json results.json

`extra_info` of each record holds the error over the bound, the rate, the machine, the versions and the commit.
"""

import functools

import pytest

import registry
from kernels import _measure

DTYPE = "float32"
ENVIRONMENT = _measure.environment()


@functools.cache
def trial(operation, size):
    """Make one trial for all variants, so that they share the references too."""
    contract = registry.contract(operation)
    return _measure.Trial(contract, contract.example(size, dtype=DTYPE), DTYPE)


def runs():
    for operation in registry.operations():
        for size in registry.contract(operation).SIZES:
            for variant in registry.variants(operation):
                yield pytest.param(operation, size, variant, id=f"{operation}-{size}-{variant.name}")


@pytest.mark.parametrize(("operation", "size", "variant"), list(runs()))
def test_speed(benchmark, request, operation, size, variant):
    on_trial = trial(operation, size)
    benchmark.group = f"{operation} {size}: {on_trial.example.title}"
    measurement, function = _measure.qualify(on_trial, variant, request.config.getoption("--limit"))
    if measurement.status in ("unavailable", "skipped"):
        pytest.skip(measurement.reason)
    assert measurement.status == "timed", measurement.reason
    number, rounds = _measure.repetitions(on_trial, function)
    runs = _measure.Runs(on_trial, function)
    left = number * rounds

    def keep():
        """Judge one of so many runs, and the last of all; a benchmark that fails here shows no time."""
        nonlocal left
        left -= 1
        runs.last = left < number
        runs.keep()
        if left % number == 0:
            measurement.judge(runs.judge(variant.precision))
            assert measurement.status == "timed", f"in a timed run, {measurement.reason}"

    # Each round is one run, since each run gets contents of its own.
    benchmark.pedantic(runs, setup=runs.fill, teardown=keep, rounds=left)
    benchmark.extra_info.update(ENVIRONMENT, error_over_bound=measurement.agreement.share, work=on_trial.work)
    if benchmark.stats:  # not with --benchmark-disable
        per_second = on_trial.work / benchmark.stats.stats.median
        benchmark.extra_info.update(rate=per_second, rate_text=_measure.rate(per_second, on_trial.unit))
