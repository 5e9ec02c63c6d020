"""Whatever happens to the catalogue, the machine and the measurements: who is chosen can run, or the error says why none can."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from neighbours import Machine

import registry
from kernels._costs import table as tables
from registry import VariantUnavailable, Zoo

NAMES = st.sampled_from(["first", "second", "third"])
PACKAGES = ("widget", "gadget")
SHAPES = st.sampled_from([1, 4, 30, 1100])
SECONDS = st.sampled_from([1e-7, 1e-6, 1.01e-6, 1e-3])


class Choices(RuleBasedStateMachine):
    """A catalogue with variants of matmul that answer with a number of their own."""

    @initialize()
    def start(self):
        self.machine = Machine("cuda", "torch", "numba", *PACKAGES)
        self.zoo = Zoo(registry.FOLDER, self.machine)
        self.answers = {"numpy": None, "loop": None}
        self.entries, self.forbidden, self.forced = [], [], None
        self.product = self.zoo.get("matmul")
        self.table = tables.Table((), "tuned")
        self.patch = mock.patch.object(tables, "current", side_effect=lambda: self.table)
        self.patch.start()

    def teardown(self):
        if hasattr(self, "patch"):
            self.patch.stop()

    @rule(name=NAMES, package=st.sampled_from([(), *((package,) for package in PACKAGES)]), rank=st.integers(0, 100),
          device=st.sampled_from(["cpu", "cuda"]), dtypes=st.sampled_from([("float32",), ("float32", "float64")]),
          most=st.sampled_from([{}, {"flops": 100}, {"flops": 2.5e9}]))  # fmt: skip
    def register(self, name, package, rank, device, dtypes, most):
        if name in self.answers:
            return
        answer = float(10_000 + len(self.answers))
        self.answers[name] = answer

        def kernel(a, b):
            return np.full((a.shape[0], b.shape[1]), answer, a.dtype)

        self.zoo.register("matmul", name, requires=package, rank=rank, device=device, dtypes=dtypes, limits=most)(kernel)

    @rule(name=st.one_of(NAMES, st.sampled_from(["numpy", "loop"])), n=SHAPES, seconds=SECONDS, abandoned=st.booleans())
    def tune(self, name, n, seconds, abandoned):
        extents = {"m": n, "k": n, "n": n}
        self.entries.append(tables.Entry("matmul", name, "float32", extents, {}, {}, {}, seconds, 0.0, "2026-01-02", abandoned))
        self.measured("tuned")

    @rule()
    def copy_from_another_machine(self):
        """Its file is not used: the choice is as if nothing had been measured, and the notes say why."""
        self.entries = []
        self.measured("tuned", notes=("measured-x.json is not used: it was measured with cores 64, here 2",))

    def measured(self, origin, notes=()):
        self.table = tables.Table(tuple(self.entries), origin, notes=notes)
        self.zoo.generation += 1

    @rule(package=st.sampled_from(PACKAGES))
    def install(self, package):
        self.machine.absent = tuple(each for each in self.machine.absent if each != package)
        self.zoo.generation += 1

    @rule(package=st.sampled_from([*PACKAGES, "cuda"]))
    def lose(self, package):
        self.machine.absent = (*self.machine.absent, package)
        self.zoo.generation += 1

    @rule()
    def gain_a_device(self):
        self.machine.absent = tuple(each for each in self.machine.absent if each != "cuda")
        self.zoo.generation += 1

    @rule(data=st.data())
    def forbid(self, data):
        name = data.draw(st.sampled_from(sorted(self.answers)))
        self.forbidden = [each for each in self.forbidden if each != name] + [name] * (name not in self.forbidden)

    @rule(data=st.data())
    def force(self, data):
        self.forced = data.draw(st.sampled_from([None, "cpu", "auto", *sorted(self.answers)]))

    @precondition(lambda self: hasattr(self, "zoo"))
    @rule(n=SHAPES, dtype=st.sampled_from(["float32", "float64"]), twice=st.booleans())
    def call(self, n, dtype, twice):
        a = np.ones((n, 3), dtype)
        with self.zoo.avoid("matmul", *self.forbidden), self.zoo.use("matmul", self.forced or "auto"):
            explanation = self.zoo.explain("matmul", a, a.T)
            for _ in range(1 + twice):  # the second call is remembered
                if explanation.chosen is None:
                    with pytest.raises((VariantUnavailable, ValueError, TypeError), match="matmul: "):
                        self.product(a, a.T)
                    assert all(reason for _, reason in explanation.considered)
                    return
                result = self.product(a, a.T)
                self.serves(explanation.chosen, dtype, n, result)

    def serves(self, chosen, dtype, n, result):
        """The chosen variant is here, takes the call, is allowed, and is the one that ran."""
        assert chosen.available
        assert chosen.device == "cpu"
        assert dtype in chosen.dtypes
        assert chosen.name not in self.forbidden
        assert self.forced in (None, "cpu", "auto", chosen.name)
        assert 2 * 3 * n * n <= chosen.limits.get("flops", np.inf)
        assert (result == (self.answers.get(chosen.name) or 3)).all()


TestChoices = Choices.TestCase
TestChoices.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
