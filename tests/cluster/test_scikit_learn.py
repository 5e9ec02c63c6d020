"""The estimator MeanShift by scikit-learn's checks of any estimator, and by its tests of its own."""

import functools
import importlib.resources
import re
import types

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from kernels.cluster import MeanShift, estimate_bandwidth

pytestmark = pytest.mark.slow

ESTIMATORS = [
    MeanShift(),
    MeanShift(kernel="flat", labels="nearest", seeding="grid"),
    MeanShift(kernel="triangular"),
    MeanShift(blurring=True),
]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_accepts_the_estimator(estimator, check):
    check(estimator)


def theirs(*, seeds=None, bin_seeding=False, n_jobs=None, **parameters):
    """Make our estimator from the arguments of scikit-learn's."""
    seeding = seeds if seeds is not None else "grid" if bin_seeding else "points"
    return MeanShift(kernel="flat", labels="nearest", seeding=seeding, **parameters)


def their_function(X, **parameters):
    model = theirs(**parameters).fit(X)
    return model.cluster_centers_, model.labels_


# The two that ask for what ours has not got: get_bin_seeds, scikit-learn's function for the seeds of a grid. Of the second,
# all but the lines about that function is in test_cluster.py: test_a_bandwidth_estimated_as_0_leaves_every_value_its_own_cluster.
ABOUT_THEIR_FUNCTIONS = {"test_bin_seeds", "test_mean_shift_zero_bandwidth"}


def their_tests():
    """Load scikit-learn's tests of its estimator with ours in its place, and yield each call: an id, a function, arguments."""
    path = importlib.resources.files("sklearn.cluster.tests") / "test_mean_shift.py"
    module = types.ModuleType("their_test_mean_shift")
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), vars(module))
    module.MeanShift, module.mean_shift = theirs, their_function
    module.estimate_bandwidth = functools.partial(estimate_bandwidth, kernel="flat")
    fixtures = {"global_dtype": (np.float32, np.float64), "global_random_seed": (0,)}
    for name, test in vars(module).items():
        if not name.startswith("test_"):
            continue
        calls = [{}]
        wanted = test.__code__.co_varnames[: test.__code__.co_argcount]
        for fixture in (each for each in fixtures if each in wanted):  # in one order in every process
            calls = [call | {fixture: value} for call in calls for value in fixtures[fixture]]
        for mark in getattr(test, "pytestmark", ()):
            if mark.name == "parametrize":
                names = re.split(r",\s*", mark.args[0])
                rows = [row if len(names) > 1 else (row,) for row in mark.args[1]]
                calls = [call | dict(zip(names, row, strict=True)) for call in calls for row in rows]
        for call in calls:
            yield pytest.param(test, call, id=f"{name}{list(call.values()) or ''}")


THEIR_TESTS = list(their_tests())


@pytest.mark.parametrize(
    ("test", "arguments"), [case for case in THEIR_TESTS if case.values[0].__name__ not in ABOUT_THEIR_FUNCTIONS]
)
def test_scikit_learns_own_tests_pass(test, arguments):
    test(**arguments)


def test_those_left_out_are_the_ones_that_call_functions_of_theirs():
    private = {case.values[0].__name__ for case in THEIR_TESTS if "get_bin_seeds" in case.values[0].__code__.co_names}
    assert private == ABOUT_THEIR_FUNCTIONS
