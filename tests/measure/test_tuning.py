"""Tuning: which calls are measured, what becomes of each variant, and that nothing measured is lost or measured twice."""

import functools
import importlib
import itertools
import math
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from commands import InThisProcess

import registry
from kernels._cli.child import Died
from kernels._costs import machine, table
from kernels._measure import plan, tuning
from registry import Zoo

command = importlib.import_module("kernels._cli.tune")
POWER = '''
"""power: each entry's first or second power."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from jaxtyping import Float

    from kernels._arrays import Array


DEFINITION = {"dtypes": ("float64",)}


def power(x: Float[Array, "n d"], *, exponent: Literal["one", "two"] = "one") -> Float[Array, "n d"]:
    """Each entry's first or second power."""
    return +x if exponent == "one" else x * x
'''
PACE = tuning.Pace(limit=0.05, samples=2, entries=2**12)


def raised(x, exponent):
    return x.copy() if exponent == "one" else x * x


@pytest.fixture
def zoo(tmp_path):
    """A catalogue of one operation, and how often each of its variants ran."""
    folder = tmp_path / "kernels"
    (folder / "power").mkdir(parents=True)
    (folder / "power" / "__init__.py").write_text(POWER)
    zoo, zoo.runs = Zoo(folder), dict.fromkeys(("right", "slow", "wrong", "raises", "in_batches"), 0)

    def register(name, **declared):
        def decorate(function):
            @functools.wraps(function)
            def counted(*args, **kwargs):
                zoo.runs[name] += 1
                return function(*args, **kwargs)

            return zoo.register("power", name, **declared)(counted)

        return decorate

    @register("right")
    def right(x, exponent):
        time.sleep(1e-3)
        return raised(x, exponent)

    @register("slow")
    def slow(x, exponent):
        time.sleep(2e-3 * len(x))
        return raised(x, exponent)

    @register("wrong", rank=5)
    def wrong(x, exponent):
        return raised(x, exponent) * 1.5

    @register("raises", rank=6)
    def raises(x, exponent):
        raise RuntimeError("out of luck")

    @register("in_batches", options={"batch_size": 4})
    def in_batches(x, exponent, batch_size=4):
        time.sleep(4e-3 / batch_size)
        return raised(x, exponent)

    yield zoo
    sys.modules.pop("kernels.power", None)


def call(extents, **more):
    return plan.Planned("float32", {"batch": 1, **extents}, {"exponent": "two"}, **more)


def measured(tuner, planned):
    return tuner.measure(planned.example(tuner.contract), planned.dtype)


# What is measured


@pytest.mark.parametrize("operation", registry.operations())
def test_the_calls_of_a_plan_are_valid_and_the_same_each_time(operation):
    contract = registry.contract(operation)
    calls = list(itertools.islice(plan.plan(contract, named=False, entries=2**12), 24))
    assert calls == list(itertools.islice(plan.plan(contract, named=False, entries=2**12), 24))
    others = itertools.islice(plan.plan(contract, seed=1, named=False, entries=2**12), 24)
    assert len(set(map(str, calls)) & set(map(str, others))) < 12  # the tiny ones
    for planned in calls:
        example = planned.example(contract)
        args, kwargs = contract.validate(*example.args, **example.kwargs)
        found = tuning.described(contract, example, planned.dtype, looks=False)
        assert {key: planned.extents[key] for key in found.extents} == found.extents
        assert (found.dtype, found.parameters) == (planned.dtype, planned.parameters)
        assert all(math.prod(shape) <= 2**13 for shape in contract.shapes(*args, **kwargs))


@pytest.mark.parametrize("operation", ["matmul", "softmax", "meanshift_step"])
def test_every_first_part_of_a_plan_has_calls_of_all_sizes(operation):
    contract = registry.contract(operation)
    sizes = [math.log(math.prod(each.extents.values())) for each in itertools.islice(plan.plan(contract, named=False), 32)]
    for some in (sizes[:16], sizes):
        assert min(some) < 0.25 * max(sizes)
        assert sum(size < 0.5 * max(sizes) for size in some) > len(some) / 5
        assert sum(size > 0.5 * max(sizes) for size in some) > len(some) / 5


# What becomes of each variant


def test_short_calls_are_made_with_tensors_too_until_some_were(zoo):
    pytest.importorskip("torch")
    zoo.register("power", "arrays")(raised)
    zoo.register("power", "tensors", arrays="torch")(lambda x, exponent: x.clone() if exponent == "one" else x * x)
    pace, example = PACE._replace(paired=1), call({"n": 4, "d": 2})
    tuner = tuning.Tuner("power", zoo=zoo, pace=pace)
    first, second = measured(tuner, example), measured(tuner, example)
    taken = {entry.variant: entry.as_tensors for entry in first.entries if entry.as_tensors is not None}
    assert taken.keys() == {"arrays", "tensors"}
    assert all(0 < seconds < tuning.SHORT_SECONDS for seconds in taken.values())
    known = tuning.Tuner("power", zoo=zoo, pace=pace, known=first.entries)
    assert not any(entry.as_tensors for found in (second, measured(known, example)) for entry in found.entries)


@pytest.mark.parametrize("held_up", [slice(0, 2), slice(0, 6), slice(3, 5)])
def test_a_race_ends_with_the_right_order_though_the_machine_is_held_up_for_some_samples(monkeypatch, held_up):
    taken = {name: [seconds] * 20 for name, seconds in {"fast": 1e-5, "slower": 1.2e-5, "slow": 1e-4}.items()}
    taken["fast"][held_up] = [1.9e-5] * (held_up.stop - held_up.start)
    taken["slower"][held_up] = [2.3e-5] * (held_up.stop - held_up.start)
    taken["slower"][held_up.start] = 1.2e-5  # luck
    race = [(SimpleNamespace(name=name, samples=times[:1], least=times[0]), None) for name, times in taken.items()]

    def sample(trial, measurement, *_, **__):
        measurement.samples.append(taken[measurement.name][len(measurement.samples)])
        measurement.least = min(measurement.samples)

    monkeypatch.setattr(tuning, "sample", sample)
    tuning.race(SimpleNamespace(sample_seconds=5e-4), race, 5)
    assert [measurement.least for measurement, _ in race[:2]] == [1e-5, 1.2e-5]
    assert len(race[2][0].samples) == 2


def test_what_is_wrong_gets_no_time_and_what_is_hopeless_is_given_up(zoo):
    found = measured(tuning.Tuner("power", zoo=zoo, pace=PACE), call({"n": 60, "d": 2}))
    of = {(each.variant, *each.options.values()): each for each in found.entries}
    assert {line.split()[0] for line in found.wrong} == {"wrong", "raises"}
    assert not {"wrong", "raises"} & {each.variant for each in found.entries}
    assert of["slow",].abandoned
    assert of["slow",].seconds > 0.99 * tuning.HOPELESS * of["right",].seconds  # as rounded
    assert not of["right",].abandoned
    assert of["right",].seconds > 1e-3
    assert found.best == min((each for each in found.entries if not each.abandoned), key=lambda each: each.seconds)
    assert all(each.extents == {"batch": 1, "n": 60, "d": 2} for each in found.entries)
    assert all(each.parameters == {"exponent": "two"} for each in found.entries)


def test_what_ends_the_process_in_a_timed_run_is_wrong_and_the_others_are_timed(zoo, monkeypatch):
    tired, race = [], tuning.race
    monkeypatch.setattr(tuning, "race", lambda *args: tired.append(True) or race(*args))

    @zoo.register("power", "tires")
    def tires(x, exponent):
        if tired:
            raise SystemExit("tired")
        return raised(x, exponent)

    found = measured(tuning.Tuner("power", zoo=zoo, pace=PACE), call({"n": 8, "d": 1}))
    assert any(line.startswith("tires on ") and "in a timed run, SystemExit: tired" in line for line in found.wrong)
    assert "tires" in {each.variant for each in found.refused}
    assert {each.variant for each in found.entries} >= {"right", "in_batches"}
    assert "tires" not in {each.variant for each in found.entries}


def test_options_of_what_comes_near_the_best_are_tried(zoo):
    found = measured(tuning.Tuner("power", zoo=zoo, pace=PACE), call({"n": 8, "d": 1}))
    seconds = {each.options.get("batch_size", 4): each.seconds for each in found.entries if each.variant == "in_batches"}
    assert seconds.keys() == {1, 4, 16}
    assert seconds[16] < seconds[4] < seconds[1]


def test_what_was_hopeless_on_long_calls_is_not_run_again(zoo):
    tuner = tuning.Tuner("power", zoo=zoo, pace=PACE)
    known = [each for n in (60, 70, 80) for each in measured(tuner, call({"n": n, "d": 2})).entries]
    for again in (tuner, tuning.Tuner("power", zoo=zoo, pace=PACE, known=known)):
        before = zoo.runs["slow"]
        (slow,) = [each for each in measured(again, call({"n": 90, "d": 2})).entries if each.variant == "slow"]
        assert zoo.runs["slow"] == before
        assert slow.abandoned


def test_a_call_that_takes_all_too_long_is_left_out(zoo):
    tuner = tuning.Tuner("power", zoo=zoo, pace=PACE._replace(limit=1e-5))
    assert measured(tuner, call({"n": 60, "d": 2})).entries == []


# The command


class Interrupted(InThisProcess):
    """What asks of it dies, or is interrupted, at a call of the plan; three variants of frobenius_norm need NumPy alone."""

    dies_at, interrupted_at = None, None
    asked = 0

    def ask(self, method, *args, **options):
        if method == "measure":
            type(self).asked += 1
            if args[0] == self.dies_at:
                raise Died("it ended its process with the signal SIGSEGV", None)
            if args[0] == self.interrupted_at:
                raise KeyboardInterrupt
        return super().ask(method, *args, **options)


@pytest.fixture
def tune(monkeypatch, tmp_path):
    """Return a function that runs `kernel-zoo tune frobenius_norm` for a while, and returns what it said and its entries."""
    monkeypatch.setattr(command, "Child", Interrupted)
    monkeypatch.setenv(table.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(tuning, "QUICK", PACE)
    three = [registry.variant("frobenius_norm", name) for name in ("loop", "broadcast", "einsum")]
    monkeypatch.setattr(tuning.Tuner, "candidates", lambda self, dtype: three)
    table.forget()

    def run(*options, **behaviour):
        monkeypatch.setattr(Interrupted, "asked", 0)
        for key, value in behaviour.items():
            monkeypatch.setattr(Interrupted, key, value)
        budget = "60" if "interrupted_at" in behaviour else "0.5"
        done = CliRunner().invoke(command.tune, ["frobenius_norm", "--quick", "--budget", budget, *options])
        return done, table.read(table.path_here()).entries if table.path_here().exists() else ()

    yield run
    table.forget()


def test_an_interrupted_tune_keeps_what_is_done_and_the_next_goes_on(tune):
    done, first = tune(interrupted_at=3)
    assert done.exit_code == 1  # click's own, for `main` to make 130 of
    assert str(table.path_here()) in done.output
    assert {each.variant for each in first} == {"loop", "broadcast", "einsum"}
    done, second = tune(interrupted_at=6)
    assert {each.key: each for each in first}.items() <= {each.key: each for each in second}.items()
    assert len(second) > len(first)
    assert Interrupted.asked > 3


def test_a_kernel_that_ends_its_process_costs_one_call(tune):
    done, entries = tune(dies_at=1, interrupted_at=4)
    assert done.exit_code == 1
    assert "WRONG, call 1 of the plan: it ended its process with the signal SIGSEGV" in done.output
    assert Interrupted.asked == 5
    assert len(entries) > 3


def test_a_broken_table_is_refused_before_anything_is_measured(tune):
    table.path_here().write_text('{"format": 1,')
    done = CliRunner().invoke(command.tune, ["frobenius_norm", "--quick"])
    assert isinstance(done.exception, ValueError)
    assert "is no table of measurements" in str(done.exception)
    assert Interrupted.asked == 0
    assert table.path_here().read_text() == '{"format": 1,'


def test_another_machines_table_is_named_and_left_alone(tune, tmp_path):
    other = tmp_path / "measured-elsewhere.json"
    other.write_text(table.written({**machine.machine(), "cores": 96}, []))
    before = other.read_bytes()
    done, entries = tune()
    assert f"{other} is not used: it was measured with cores 96" in done.output
    assert other.read_bytes() == before
    assert entries


def test_json_says_what_won_and_where_the_file_lies(tune, tmp_path):
    import json

    done, _ = tune("--json", "--output", str(tmp_path / "mine.json"))
    said = json.loads(done.stdout)
    assert said["path"] == str(tmp_path / "mine.json")
    assert said["entries"] == len(table.read(tmp_path / "mine.json").entries)
    found = said["operations"]["frobenius_norm"]
    assert sum(found["fastest"].values()) == found["calls"] > 0
    assert not found["wrong"]


def test_a_device_that_is_not_there_is_refused(tune):
    if not registry.missing("cuda"):
        pytest.skip("there is a CUDA device")
    done = CliRunner().invoke(command.tune, ["--device", "cuda"])
    assert done.exit_code == 2
    assert "--device cuda needs" in done.output


def test_numbers_are_stored_with_four_digits():
    assert tuning.rounded(np.pi * 1e-6) == 3.142e-6
