"""Which variant is chosen by what was measured, and what narrows the choice."""

import json
import logging
import pickle
import threading
from dataclasses import replace

import numpy as np
import pytest
from neighbours import Machine, fresh_zoo, python

import registry
from kernels._costs.table import Entry
from registry import UnknownOperation, UnknownVariant, VariantUnavailable, Zoo

SMALL, LARGE = np.ones((4, 4), np.float32), np.ones((64, 64), np.float32)


def entry(variant, n, seconds, *, operation="matmul", options=None, facts=None, as_tensors=None, **parameters):
    extents = {"m": n, "k": n, "n": n} if operation == "matmul" else {"n": n, "m": n, "d": 2}
    stated = operation, variant, "float32", extents, parameters, facts or {}, options or {}
    return Entry(*stated, seconds, 0.0, "2026-01-02", as_tensors=as_tensors)


def chosen(zoo, a, **how):
    return zoo.explain("matmul", a, a, **how).chosen.name


def zoo_of(**answers):
    """Return a catalogue with further variants of matmul, by rank, that answer with a number."""
    zoo = fresh_zoo()
    for name, (answer, rank) in answers.items():
        zoo.register("matmul", name, rank=rank)(lambda a, b, answer=answer: np.full((a.shape[0], b.shape[1]), answer, a.dtype))
    return zoo


def test_the_cheapest_runs_for_each_shape(measured):
    zoo = zoo_of(seven=(7, 1), eight=(8, 2))
    measured(
        *(entry("seven", n, s) for n, s in ((4, 1e-6), (64, 1e-3))),
        *(entry("eight", n, s) for n, s in ((4, 1e-5), (64, 1e-4))),
        *(entry(v.name, n, 1.0) for v in registry.variants("matmul") for n in (4, 64) if v.name != "loop"),
    )
    product = zoo.get("matmul")
    for _ in range(3):  # what is remembered of one shape must not decide the next
        assert (product(SMALL, SMALL) == 7).all()
        assert (product(LARGE, LARGE) == 8).all()
    assert (zoo.get("matmul", "numpy")(SMALL, SMALL) == 4).all()  # whoever names it gets it
    explanation = zoo.explain("matmul", SMALL, SMALL)
    costs = {v.name: cost for (v, _), cost in zip(explanation.considered, explanation.costs, strict=True)}
    assert costs["seven"].seconds == pytest.approx(1e-6)
    assert costs["seven"].origin == "measured"
    assert "1 µs (measured" in str(explanation)
    assert any("kernel-zoo tune matmul" in note for note in explanation.notes)
    assert costs["loop"] is None
    assert "<td>seven</td><td>cpu</td><td>runs</td>" in explanation._repr_html_()
    assert "<script" not in replace(explanation, notes=("<script>",))._repr_html_()
    assert "<caption>matmul</caption>" in registry.variants("matmul")._repr_html_()


def test_a_number_that_may_be_left_out_is_part_of_a_kind_of_call(measured):
    """With its default a kernel may have nothing to do, and another is the best."""
    zoo, seconds = fresh_zoo(), {"plain": (1e-6, 9e-6), "other": (3e-6, 3e-6)}
    for answer, name in enumerate(seconds):
        zoo.register("guidance", name)(lambda u, c, scale, rescale, answer=answer: np.full_like(c, answer))
    others = {v.name: (1.0, 1.0) for v in registry.variants("guidance")}
    measured(*(entry(name, 4, s, operation="guidance", **parameters)._replace(extents={"n": 4})
               for name, them in (seconds | others).items()
               for s, parameters in zip(them, ({"rescale": 0.0}, {}), strict=True)))  # fmt: skip
    guided, row = zoo.get("guidance"), np.ones(4, np.float32)
    for _ in range(3):  # what is remembered of the one must not serve the other
        assert (guided(row, row, 2.0) == 0).all()
        assert (guided(row, row, 2.0, rescale=0) == 0).all()
        assert (guided(row, row, 2.0, rescale=0.5) == 1).all()


def test_near_ties_are_settled_by_rank_then_by_the_callers_kind_then_by_name(measured):
    zoo = zoo_of(low=(1, 10), high=(2, 20), b=(3, 20))
    for low, high, b, winner in (
        (1.0, 1.008, 1.5, "high"),
        (1.008, 1.0, 1.5, "high"),
        (1.0, 1.2, 1.5, "low"),
        (1.0, 1.0, 1.0, "b"),
    ):
        measured(*(entry(name, 4, s * 1e-6) for name, s in (("low", low), ("high", high), ("b", b))),
                 *(entry(v.name, 4, 1.0) for v in registry.variants("matmul")))  # fmt: skip
        zoo.generation += 1
        assert chosen(zoo, SMALL) == winner


def test_a_variant_without_measurements_takes_its_place_by_rank(measured):
    zoo = zoo_of(fast=(1, 20), slow=(2, 30), new=(3, 25))
    everything = [entry(v.name, 4, 1.0) for v in registry.variants("matmul")]
    measured(entry("fast", 4, 1e-6), entry("slow", 4, 2e-6), *everything)
    assert chosen(zoo, SMALL) == "new"  # it ranks above the fastest
    measured(entry("slow", 4, 1e-6), entry("fast", 4, 2e-6), *everything)
    zoo.generation += 1
    assert chosen(zoo, SMALL) == "slow"  # the fastest ranks above it
    assert "new: could serve, by its rank 25" in str(zoo.explain("matmul", SMALL, SMALL))


def test_what_a_tune_found_wrong_runs_only_by_its_name(measured):
    zoo = zoo_of(wrong=(7, 1000))
    assert chosen(zoo, SMALL) == "wrong"
    measured(entry("wrong", 64, float("inf"))._replace(wrong="off by 3 where 1e-6 is allowed"))
    zoo.generation += 1
    assert chosen(zoo, SMALL) != "wrong"
    reasons = {v.name: why for v, why in zoo.explain("matmul", SMALL, SMALL).considered}
    assert "kernel-zoo tune found it wrong: off by 3" in reasons["wrong"]
    assert (zoo.get("matmul", "wrong")(SMALL, SMALL) == 7).all()


@pytest.fixture
def tiled(measured):
    """Return a catalogue with a variant that answers with its option, 8 where that is measured to be the fastest of all."""
    zoo = fresh_zoo()
    zoo.register("matmul", "tiled", options={"tile": 2})(lambda a, b, tile: np.full((a.shape[0], b.shape[1]), tile, a.dtype))
    measured(
        entry("tiled", 4, 9e-7),
        entry("tiled", 4, 5e-7, options={"tile": 8}),
        *(entry(v.name, 4, 1.0) for v in registry.variants("matmul")),
    )
    return zoo


def test_measured_options_are_passed_on(tiled):
    for _ in range(3):
        assert (tiled.get("matmul")(SMALL, SMALL) == 8).all()
        assert (tiled.get("matmul")(SMALL, SMALL, tile=3) == 3).all()
    assert "with tile=8" in str(tiled.explain("matmul", SMALL, SMALL))


@pytest.mark.parametrize(("conversion", "serves"), [(2e-6, "torch"), (1e-6, "numpy")])  # torch is slower by 3 microseconds
def test_tensors_take_the_conversion_that_was_measured_longer(measured, conversion, serves):
    torch = pytest.importorskip("torch")
    others = [entry(v.name, n, 1.0) for v in registry.variants("matmul") for n in (4, 64) if v.name not in ("numpy", "torch")]
    measured(
        entry("numpy", 4, 2e-6, as_tensors=2e-6 + conversion),
        entry("torch", 4, 5e-6, as_tensors=5e-6 - conversion),
        *(entry("numpy", 64, 9e-5), entry("torch", 64, 9.3e-5)),
        *others,
    )
    assert [chosen(registry, a) for a in (SMALL, LARGE)] == ["numpy", "numpy"]
    assert [chosen(registry, torch.from_numpy(a)) for a in (SMALL, LARGE)] == [serves, serves]


def test_a_limit_within_a_bucket_is_asked_at_each_call(measured):
    """Shapes of 1024 to 1151 are of one bucket."""
    zoo = zoo_of()
    zoo.register("matmul", "limited", rank=1000, limits={"flops": 2 * 1050})(lambda a, b: np.zeros((1, 1), a.dtype))
    a, b = np.ones((1, 1040), np.float32), np.ones((1, 1060), np.float32)
    for _ in range(3):
        assert zoo.get("matmul")(a, a.T) == 0
        assert zoo.get("matmul")(b, b.T) == 1060


# The contents of a call


def step_entries():
    """A grid that takes a thousandth of the time for sparse points, and twice the time for crowded ones."""
    n, common = 3000, {"operation": "meanshift_step", "kernel": "flat"}
    return [
        entry("numba", n, 1e-3, facts={"near": 1.0}, **common),
        entry("numba_grid", n, 1e-5, facts={"near": 1e-3}, **common),
        entry("numba_grid", n, 2e-3, facts={"near": 1.0}, **common),
        *(entry(v.name, n, 1.0, **common) for v in registry.variants("meanshift_step") if v.name not in ("numba", "numba_grid")),
    ]


def test_the_contents_decide_where_the_shape_does_not(measured, caplog):
    pytest.importorskip("numba")
    measured(*step_entries())
    rng = np.random.default_rng(0)
    crowded, sparse = rng.random((3000, 2)).astype("float32"), (300 * rng.random((3000, 2))).astype("float32")
    step = registry.get("meanshift_step")
    for x, name in ((crowded, "numba"), (sparse, "numba_grid"), (crowded, "numba")):
        explanation = registry.explain("meanshift_step", x, 1.0, kernel="flat")
        assert explanation.chosen.name == name
        for _ in range(2):  # the second call takes the fast path
            assert np.array_equal(step(x, 1.0, kernel="flat"), registry.get("meanshift_step", name)(x, 1.0, kernel="flat"))
        with caplog.at_level(logging.DEBUG, "kernel_zoo"):
            step(x, 1.0, kernel="flat")
        assert caplog.messages[-1].startswith(f"meanshift_step: {name} serves x (3000, 2), data (3000, 2), float32: ")
    few = crowded[:100]
    assert not any(cost and cost.at_most for cost in registry.explain("meanshift_step", few, 1.0, kernel="flat").costs)


def test_sparse_points_on_a_device_nobody_measured_go_to_the_grid(measured):
    for package in ("numba", "numba_cuda", "triton", "torch"):
        if reason := registry.missing(package):
            pytest.skip(reason)
    zoo = Zoo(registry.FOLDER, Machine())
    x = np.random.default_rng(0).uniform(0, 1e4, (10**6, 2)).astype("float32")
    explanation = zoo.explain("meanshift_step", x, 1.0, selector="cuda")
    assert explanation.chosen.name == "numba_cuda_grid"
    assert explanation.costs[0].origin == "estimated"
    assert "measured on no device" in str(explanation)
    assert zoo.explain("meanshift_step", x[:2000], 1.0, selector="cuda").chosen.name != "numba_cuda_grid"


# What narrows the choice


def test_a_block_forces_and_forbids_for_its_own_thread():
    product, there = registry.get("matmul"), []
    usual = chosen(registry, SMALL)
    with registry.use("matmul", "loop"):
        assert chosen(registry, SMALL) == "loop"
        product(SMALL, SMALL)
        other = threading.Thread(target=lambda: there.append(chosen(registry, SMALL)))
        other.start()
        other.join()
        with registry.use("matmul", "elementwise"), registry.avoid("matmul", "numpy"):
            assert chosen(registry, SMALL) == "elementwise"
        with registry.avoid("matmul", "loop"), pytest.raises(VariantUnavailable, match="'loop' is forbidden here: avoid"):
            product(SMALL, SMALL)
        assert "use('matmul', 'loop') takes 'loop' for matmul" in str(registry.explain("matmul", SMALL, SMALL))
    assert there == [chosen(registry, SMALL)] == [usual]
    with registry.avoid("matmul", usual):
        assert chosen(registry, SMALL) != usual
        assert chosen(registry, SMALL, selector=usual) == usual  # by its name it is no choice
    with pytest.raises(UnknownVariant, match="no variant 'lop'; did you mean 'loop'"), registry.use("matmul", "lop"):
        pass
    with pytest.raises(UnknownOperation, match="did you mean 'matmul'"), registry.avoid("matmull", "loop"):
        pass
    with registry.use("matmul", "cuda"), pytest.raises(VariantUnavailable, match="leaves no variant for 'cpu'"):
        registry.get("matmul", "cpu")(SMALL, SMALL)


def test_calls_within_a_block_are_served_by_the_forced_variant(caplog):
    with caplog.at_level(logging.DEBUG, "kernel_zoo"):
        for name in ("loop", "elementwise", "loop"):
            with registry.use("matmul", name):
                registry.get("matmul")(SMALL, SMALL)
    assert [message.split()[1] for message in caplog.messages] == ["loop", "elementwise", "loop"]
    registry.get("matmul")(SMALL, SMALL)
    assert len(caplog.messages) == 3  # silent as ever


def test_the_environment_forces_and_forbids_for_a_process():
    chosen, said = python("""
        import os, json, numpy as np
        os.environ["KERNEL_ZOO_USE"], os.environ["KERNEL_ZOO_AVOID"] = "matmul=loop, softmax=cpu", "softmax=numba"
        import registry
        a, said = np.ones((2, 2)), []
        chosen = [registry.explain("matmul", a, a).chosen.name, registry.explain("softmax", a).chosen.name]
        registry.get("matmul")(a, a)
        from kernels._dispatch import overrides
        for use in ("matmul=lop", "matmull=loop", "matmul"):
            os.environ["KERNEL_ZOO_USE"] = use
            overrides.of_environment.cache_clear()
            try:
                registry.get("matmul", "cpu")
            except (LookupError, ValueError) as error:
                said.append(str(error))
        print(json.dumps([chosen, said]))
    """)
    assert chosen[0] == "loop"
    assert chosen[1] != "numba"
    assert [line.partition(" (")[0] for line in said] == [
        "KERNEL_ZOO_USE: matmul: no variant 'lop'; did you mean 'loop'?",
        "KERNEL_ZOO_USE: no operation 'matmull'; did you mean 'matmul'?",
        "KERNEL_ZOO_USE: expected OPERATION=VARIANT, separated by commas, got 'matmul'",
    ]


def test_a_class_of_error_keeps_weaker_ones_away(measured):
    zoo = zoo_of()
    zoo.register("matmul", "rough", rank=1000, precision="normwise")(lambda a, b: a @ b * 0)
    assert chosen(zoo, SMALL) == "rough"
    strict = zoo.get("matmul", precision="working")
    assert (strict(SMALL, SMALL) == 4).all()
    assert strict is zoo.get("matmul", precision="working") is not zoo.get("matmul")
    reasons = {v.name: reason for v, reason in zoo.explain("matmul", SMALL, SMALL, precision="working").considered}
    assert reasons["rough"] == "promises the class 'normwise', weaker than 'working'"
    with pytest.raises(ValueError, match="variant 'rough' promises the class 'normwise', weaker"):
        zoo.get("matmul", "rough", precision="working")(SMALL, SMALL)
    with pytest.raises(ValueError, match="matmul: unknown precision 'sloppy'"):
        zoo.get("matmul", precision="sloppy")
    zoo.register("softmax", "wide", rank=1000, precision="wide")(lambda x: x)  # as good as "working", for float32
    assert zoo.explain("softmax", SMALL, precision="working").chosen.name == "wide"
    here = registry.get("matmul", precision="working")
    assert pickle.loads(pickle.dumps(here)) is here


# Frozen choices


def test_the_same_file_gives_the_same_choices(measured, tmp_path):
    zoo, path = zoo_of(seven=(7, 1), eight=(8, 2)), tmp_path / "choices.json"
    product = zoo.get("matmul")
    others = [entry(v.name, n, 1.0) for v in registry.variants("matmul") for n in (4, 64)]
    measured(entry("seven", 4, 1e-6), entry("eight", 4, 1e-5), *others)
    with (
        pytest.raises(FileNotFoundError, match=r"there is no file of choices; record one by a run in .*record=True"),
        zoo.frozen(path),
    ):
        pass
    with zoo.frozen(path, record=True):
        assert (product(SMALL, SMALL) == 7).all()
    measured(entry("seven", 4, 1e-5), entry("eight", 4, 1e-6), *others)
    zoo.generation += 1
    assert (product(SMALL, SMALL) == 8).all()
    with zoo.frozen(path):
        for _ in range(2):
            assert (product(SMALL, SMALL) == 7).all()
        with pytest.raises(LookupError, match=r"holds no choice for matmul: auto on cpu, float32, .*; record one by"):
            product(LARGE, LARGE)
        assert zoo.explain("matmul", SMALL, SMALL).chosen.name == "seven"
        results = []
        other = threading.Thread(target=lambda: results.append(product(SMALL, SMALL)[0, 0]))
        other.start()
        other.join()
        assert results == [7]
    assert (product(SMALL, SMALL) == 8).all()
    before = path.read_text()
    with zoo.frozen(path, record=True):
        assert (product(SMALL, SMALL) == 7).all()
    assert path.read_text() == before
    path.write_text(json.dumps(json.loads(before)).replace("seven", "nine"))
    with zoo.frozen(path), pytest.raises(VariantUnavailable, match="variant 'nine' cannot run here: there is no such variant"):
        product(SMALL, SMALL)
    path.write_text("{")
    with pytest.raises(ValueError, match="holds no choices of format 1; delete it"), zoo.frozen(path):
        pass
    for record in (False, True):
        with pytest.raises(ValueError, match="is a folder; name a file"), zoo.frozen(tmp_path, record=record):
            pass


def test_frozen_options_hold_where_nothing_is_measured(tiled, measured, tmp_path):
    with tiled.frozen(tmp_path / "choices.json", record=True):
        assert (tiled.get("matmul")(SMALL, SMALL) == 8).all()
    measured()
    tiled.generation += 1
    with tiled.frozen(tmp_path / "choices.json"):
        for _ in range(2):
            assert (tiled.get("matmul")(SMALL, SMALL) == 8).all()


def test_what_is_frozen_gives_the_same_bits_twice(measured, tmp_path):
    zoo = zoo_of()
    zoo.register("matmul", "fickle", rank=1000, deterministic=False)(lambda a, b: a @ b)
    assert chosen(zoo, SMALL) == "fickle"
    with zoo.frozen(tmp_path / "choices.json", record=True):
        assert chosen(zoo, SMALL) != "fickle"
