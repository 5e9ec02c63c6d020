"""The tools for a machine with a GPU, as far as they can be tried without: their arithmetic, their files, and what they call.

Times and ceilings here are made up, and what is "timed" runs on the CPU.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import registry

ROOT = Path(registry.__file__).parent
BENCH = ROOT / "bench"

# In a process of its own, since the kernels register in it.
MADE_UP = """
import collections, functools, json, sys, threading, types
from pathlib import Path
from click.testing import CliRunner
import gpu, peers, registry, torch, works
from kernels._measure import device
from rich.console import Console
from works.matmul import ON_DEVICE, product
from works.meanshift_step import clusters, step

folder = Path(sys.argv[1])
catalogue = peers.load()
register = functools.partial(catalogue.register, "matmul", arrays="torch", dtypes=("float32", "bfloat16"), precision="wide")
memory, calls, kept = {}, collections.Counter(), threading.Event()
kept.set()

def is_timed(name, dtype):
    # the first calls estimate and check
    calls[name, dtype] += 1
    return calls[name, dtype] > 6

def right(a, b):
    return a @ b

def remembers(a, b):
    return memory.setdefault((a.data_ptr(), b.data_ptr()), a @ b)

def wrong_later(a, b):
    return 0 * (a @ b) if is_timed("wrong_later", a.dtype) else a @ b

def fills_later(a, b):
    c = torch.zeros(len(a), b.shape[1], dtype=a.dtype)
    if is_timed("fills_later", a.dtype):
        threading.Thread(target=lambda: (kept.wait(), c.copy_(a @ b))).start()
        return c
    return c.copy_(a @ b)

register("by hand", requires=("torch", "numba"))(right)
register("twice", requires=("torch",))(lambda a, b: 2 * (a @ b))
for cheat in (remembers, wrong_later, fills_later):
    register(cheat.__name__, requires=("torch",))(cheat)
own = catalogue.variants
catalogue.variants = lambda operation: [v for v in own(operation) if "torch" in v.requires and v.available]

def made_up(run, keep):
    kept.clear()
    run()
    keep()
    kept.set()
    return 0.25

chosen = [product(90, 80, 70, dtype=dtype) for dtype in ("float32", "bfloat16")]
chosen.append(step(clusters, 60, 2, steps=2))
chosen.append(step(clusters, 30, 2, options={"batch_size": (1, 7)}))
records = [r for work in chosen for r in gpu.measure(work, 10.0, made_up, device="cpu")]
found = {"copy": 1e6, "matmul float32": 1e9, "matmul tf32": 2e9, "matmul bfloat16": 1e7, "exp2": 1e5}

def event(**_):
    return types.SimpleNamespace(
        record=lambda: done.append("record"), synchronize=lambda: done.append("wait"), elapsed_time=lambda _: 3.0
    )

done = []
torch.cuda.get_device_properties = lambda _: types.SimpleNamespace(L2_cache_size=4)
torch.cuda.Event, torch.cuda._sleep = event, lambda _: done.append("sleep")
seconds = device.EventClock("cpu")(lambda: done.append("run"), lambda: done.append("keep"))

gpu.__file__ = str(folder / "gpu.py")
works.every = lambda _: chosen
gpu.ceilings, device.EventClock = lambda _: found, lambda: made_up
gpu.measure = functools.partial(gpu.measure, device="cpu")
gpu.environment, registry.missing = lambda: {"gpu": {"name": "Made-up 9"}}, lambda _: None
command = CliRunner().invoke(gpu.main, ["--only", "matmul 90x80", "--limit", "10"], catch_exceptions=False)
first = gpu.save(folder / "results" / "made-up.json", {"ceilings": found, "records": records})
again = gpu.save(folder / "results" / "made-up.json", {"ceilings": found, "records": records[-1:]})
loops = gpu.naive(ON_DEVICE[0])
shown = [r | {"work": loops["work"]} if r["work"] == chosen[0].title else r for r in records]
Console(width=200, file=sys.stderr).print(gpu.summary(shown, found, loops))
print(json.dumps({
    "loops": loops,
    "records": records,
    "roofs": [gpu.roof(r, found) for r in records],
    "kept": [len(first), len(again)],
    "main": command.output,
    "clock": [done, seconds],
    "products": [gpu.products(made_up, *format, 64, "cpu") for format in (("float32", "working"), ("bfloat16", "wide"))],
}))
"""
CHEATS = ("remembers", "wrong_later", "fills_later")


def run(*command, **environment):
    path = os.pathsep.join([str(ROOT), str(BENCH), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path} | environment
    return subprocess.run([sys.executable, *map(str, command)], env=environment, capture_output=True, text=True, check=False)


def load(name):
    spec = importlib.util.spec_from_file_location(name, BENCH / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(BENCH))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(BENCH))
    return module


def needs(*packages):
    missing = [reason for package in packages if (reason := registry.missing(package))]
    if missing:
        pytest.skip("; ".join(missing))


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    needs("torch", "numba", "matplotlib")
    folder = tmp_path_factory.mktemp("made_up")
    done = run("-c", MADE_UP, folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) | {"folder": folder, "shown": done.stderr}


def test_what_passed_is_timed_and_nothing_else(made_up):
    for r in made_up["records"]:
        if r["name"] in ("twice", *CHEATS):
            assert (r["status"], r["seconds"]) == ("wrong", None), r
        else:
            assert (r["status"], r["seconds"], r["samples"]) == ("timed", 0.25, 4), r
            assert r["error_over_bound"] <= 1
    asked = {("matmul", "float32"), ("matmul", "bfloat16"), ("meanshift_step", "float32")}
    assert {(r["operation"], r["dtype"]) for r in made_up["records"] if r["seconds"]} == asked


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_is_right_only_when_it_is_asked_once_is_found_out_by_the_timed_runs(made_up, dtype):
    reasons = {r["name"]: r["reason"] for r in made_up["records"] if r["dtype"] == dtype and r["status"] == "wrong"}
    for cheat in CHEATS:
        assert reasons[cheat].startswith("in a timed run, off by "), reasons[cheat]


def test_results_are_kept_before_the_host_waits_for_the_device(made_up):
    assert made_up["clock"] == [["sleep", "record", "run", "record", "keep", "wait"], 3e-3]


def test_the_products_that_measure_a_ceiling_are_judged_too(made_up):
    assert made_up["products"] == [2 * 64**3 / 0.25] * 2


def test_work_and_ceilings_are_those_of_the_call(made_up):
    for r, roof in zip(made_up["records"], made_up["roofs"], strict=True):
        if r["operation"] == "matmul":
            entry, peak = (4, 1e9) if r["dtype"] == "float32" else (2, 1e7)
            assert (r["units"], r["bytes"]) == (2 * 90 * 80 * 70, entry * (90 * 80 + 80 * 70 + 90 * 70))
            assert roof == min(peak, 1e6 * r["units"] / r["bytes"])
        elif not r["options"]:
            assert (r["units"], r["bytes"]) == (2 * 60 * 60, 2 * 2 * 60 * 2 * 4)
            assert roof == 1e5


def test_a_later_run_replaces_the_works_it_measured_again(made_up):
    count = len(made_up["records"])
    again = sum(r["work"] == made_up["records"][-1]["work"] for r in made_up["records"])
    assert again > 1
    assert made_up["kept"] == [count, count - again + 1]
    runs = json.loads((made_up["folder"] / "results" / "made-up.json").read_text())["runs"]
    assert [len(each["records"]) for each in runs] == [count - again, 1]


def test_the_three_loops_are_timed_on_a_few_rows_and_scaled(made_up):
    loops = made_up["loops"]
    assert loops["scaled"] == pytest.approx(loops["seconds"] * 50_000 / loops["rows"])


def test_the_picture_and_the_table_show_all(made_up):
    picture = (made_up["folder"] / "plots" / "roofline_made-up-9.svg").read_text()
    assert picture.lstrip().startswith("<?xml")
    (saved,) = json.loads((made_up["folder"] / "results" / "made-up-9.json").read_text())["runs"]
    assert {r["work"] for r in saved["records"]} == {f"matmul 90x80 @ 80x70, {dtype}" for dtype in ("float32", "bfloat16")}
    assert "best of ours" in made_up["main"]
    for shown in (
        "matmul 90x80 @ 80x70, bfloat16",
        "by hand",
        "250 ms",
        "n = 60, d = 2, 2 steps",
        "by batch size",
        "20 rows took",
    ):
        assert shown in made_up["shown"]


def test_options_are_part_of_a_measurement_and_not_of_a_name(made_up):
    batches = [(r["name"], r["options"], r["label"]) for r in made_up["records"] if "by batch size" in r["work"]]
    for size in (1, 7):
        assert ("torch", {"batch_size": size}, f"torch, batch_size={size}") in batches
    assert {tuple(options) for _, options, _ in batches} == {("batch_size",)}


BESIDE_PEERS = """
import json
from dataclasses import replace
import cpu, peers, registry, works

catalogue = peers.load()
titles = [work.title for what in ("WORKS", "GROWTH", "ON_DEVICE") for work in works.every(what)]
for what in ("WORKS", "GROWTH"):
    for work in works.every(what):
        assert work.ours, work.title
        for name in (*work.ours, *work.peers):
            catalogue.variant(work.operation, name)
for operation in registry.operations():
    ours = {v.name for v in registry.variants(operation)}
    assert ours < {v.name for v in catalogue.variants(operation)}, operation

@catalogue.register("matmul", "wrong")
def wrong(a, b):
    return 2 * (a @ b)

small = [next(work for work in works.every("WORKS") if work.operation == name) for name in ("matmul", "meanshift_step")]
small[0] = replace(small[0], extents={"m": 4, "k": 5, "n": 6}, ours=("numpy",), peers=("wrong",))
small[1] = replace(small[1], extents={"n": 40, "d": 2}, ours=("broadcast",), peers=("torch tiles",))
print(json.dumps([[r for work in small for r in cpu.measure(work, 10.0)], titles]))
"""


def test_peers_are_measured_beside_ours_and_stand_in_a_catalogue_of_their_own():
    needs("torch")
    done = run("-c", BESIDE_PEERS)
    assert done.returncode == 0, done.stderr
    records, titles = json.loads(done.stdout)
    assert [(r["name"], r["ours"], r["status"]) for r in records] == [
        ("numpy", True, "timed"),
        ("wrong", False, "wrong"),
        ("broadcast", True, "timed"),
        ("torch tiles", False, "timed"),
    ]
    assert records[0]["work"] == "matmul 4x5 @ 5x6, float32"
    assert records[2]["work"] == "clusters, gaussian, float32, n = 40, d = 2"
    assert "matmul 50000x784 @ 784x10, float32" in titles
    assert "clusters, gaussian, float32, n = 1,500, d = 2, by batch size" in titles


@pytest.mark.parametrize("tool", ["gpu", "sanitize"])
def test_without_a_gpu_one_line_says_what_was_looked_for(tool):
    if not registry.missing("cuda"):
        pytest.skip("there is a GPU")
    done = run(BENCH / f"{tool}.py", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "needs a CUDA device" in done.stderr


@pytest.mark.parametrize(
    ("says", "code", "reported"),
    [
        ("========= ERROR SUMMARY: 0 errors", 0, False),
        ("========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)", 0, False),
        ("========= ERROR SUMMARY: 10 errors", 0, True),
        ("========= RACECHECK SUMMARY: 1 hazard displayed (0 errors, 1 warning)", 0, True),
        ("========= ERROR SUMMARY: 0 errors", 1, True),
        ("Device not supported", 0, True),
    ],
)
def test_whatever_the_sanitizer_says_but_nothing_is_a_report(tmp_path, says, code, reported):
    tool = tmp_path / "compute-sanitizer"
    tool.write_text(f"#!/bin/sh\necho '{says}'\nexit {code}\n")
    tool.chmod(0o755)
    sanitize = load("sanitize")
    assert (sanitize.sanitized(str(tool), "racecheck", sanitize.written_by_hand()[0]) is not None) is reported
