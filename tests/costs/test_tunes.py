"""Simulated tunes: machines whose true costs are known, measured with the noise of a busy one."""

import itertools
import math

import numpy as np
import pytest

import registry
from kernels._costs import calls
from kernels._costs.model import Costs
from kernels._costs.table import Entry, Table
from kernels._dispatch.choice import Candidate, ordered
from kernels._measure.plan import plan

MATMUL = registry.contract("matmul")
VARIANTS = [registry.variant("matmul", name) for name in ("numpy", "numba", "torch", "einsum", "loop")]
TUNED, SHIPPED, HELD, MACHINES = 40, 90, 60, 6  # calls of a tune, of the shipped table, and of those that are asked about
SAME = 1.03  # a choice that is slower by less is the same for whoever waits


class Machine:
    """A machine: what each variant truly takes, and what a tune sees of that."""

    def __init__(self, seed, like=None):
        self.rng = np.random.default_rng(seed)
        base = like.laws if like else {"numpy": (1e-6, 2e-11, 6), "numba": (2e-6, 3e-11, 1), "torch": (2e-5, 1e-11, 9),
                                       "einsum": (3e-6, 4e-10, 2), "loop": (5e-6, 1e-8, 1)}  # fmt: skip
        self.laws = {name: law * np.exp(self.rng.normal(0, 0.4, 3)) for name, law in base.items()}

    def seconds(self, name, call):
        """An overhead, and work that goes slower where the product is thin."""
        overhead, rate, thin = self.laws[name]
        return overhead + rate * calls.count(MATMUL, name, call) * (1 + thin / min(call.extents[key] for key in "mkn"))

    def sample(self, name, call):
        """Most samples are off by a few percent, and some were held up."""
        held_up = self.rng.uniform(2, 10) if self.rng.random() < 0.2 else 1.0
        return self.seconds(name, call) * math.exp(abs(self.rng.normal(0, 0.05))) * held_up

    def tune(self, number, origin="tuned"):
        entries = []
        for call in planned(number):
            them = {each.name: self.seconds(each.name, call) for each in VARIANTS}
            for name, seconds in them.items():
                hopeless = bool(seconds > 20 * min(them.values()))
                least = 20 * min(them.values()) if hopeless else min(self.sample(name, call) for _ in range(5))
                more = {"options": {}, "spread": 0.0, "measured": "2026-01-02", "abandoned": hopeless}
                entries.append(Entry("matmul", name, **call._asdict(), seconds=least, **more))
        return Table(tuple(entries), origin)


def planned(number, seed=0):
    return [calls.Call(each.dtype, each.extents, each.parameters, {})
            for each in itertools.islice(plan(MATMUL, seed=seed, named=False, entries=2**22), number)]  # fmt: skip


def choose(costs, call):
    return ordered([Candidate(variant, None) for variant in VARIANTS], "numpy", {}, call, costs)[0].variant.name


@pytest.fixture(scope="module")
def simulated():
    """For each held call of each machine the true seconds of what two tunes choose, what is chosen as shipped, and the best."""
    found = []
    for seed in range(MACHINES):
        shipped = Machine(seed)
        here = Machine(seed + 100, like=shipped)
        came = shipped.tune(SHIPPED, "shipped")
        tables = [[here.tune(TUNED), came], [here.tune(TUNED), came], [came]]
        known = [Costs(MATMUL, each) for each in tables]
        for call in planned(HELD, seed=2**20):
            own = [here.seconds(choose(costs, call), call) for costs in known]
            found.append([*own, min(here.seconds(each.name, call) for each in VARIANTS)])
    return np.array(found).T


def test_two_tunes_choose_the_same_or_what_is_hardly_slower(simulated):
    first, second, *_ = simulated
    assert np.mean(np.maximum(first, second) <= SAME * np.minimum(first, second)) >= 0.95


def test_a_tune_is_never_far_wrong_and_better_than_what_another_machine_shipped(simulated):
    first, second, shipped, best = simulated
    regret = np.concatenate([first / best, second / best])
    assert np.median(regret) <= 1.03
    assert np.quantile(regret, 0.95) <= 1.25
    assert np.log(regret).mean() < np.log(shipped / best).mean()


def test_a_tuned_choice_is_no_slower_than_the_shipped_one_where_it_was_measured():
    """By what was measured there: the tie is as wide as the rule of the choice says."""
    came, here = Machine(1).tune(SHIPPED, "shipped"), Machine(2).tune(TUNED)
    tuned, shipped = Costs(MATMUL, [here, came]), Costs(MATMUL, [came])
    seconds = {(entry.call, entry.variant): entry.seconds for entry in here.entries}
    for entry in here.entries:
        call = calls.Call(entry.dtype, entry.extents, entry.parameters, entry.facts)
        assert seconds[entry.call, choose(tuned, call)] <= SAME * seconds[entry.call, choose(shipped, call)]
