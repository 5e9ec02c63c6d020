"""Tables of measurements: nothing that was finished is lost, and nothing that is broken or foreign is used."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import filelock
import pytest
from hypothesis import given
from hypothesis import strategies as st

import registry
from kernels._costs import machine, table

HERE = machine.machine()
names = st.text("abc_", min_size=1, max_size=3)
seconds = st.floats(1e-9, 1e6)
entries = st.builds(
    table.Entry,
    operation=names,
    variant=names,
    dtype=st.sampled_from(["float32", "float64"]),
    extents=st.dictionaries(names, st.integers(0, 10**6), max_size=3),
    parameters=st.dictionaries(names, names | st.booleans(), max_size=2),
    facts=st.dictionaries(names, st.floats(0, 1e9), max_size=1),
    options=st.dictionaries(names, st.integers(1, 64), max_size=1),
    seconds=seconds,
    spread=st.just(0.0) | st.floats(0, 10),
    measured=st.dates().map(str),
    abandoned=st.booleans(),
    of_bound=st.none() | st.floats(0, 1),
    noise=st.none() | st.floats(0, 1),
    as_tensors=st.none() | seconds,
    wrong=st.just(""),
)
some = st.lists(entries, max_size=6)


def entry(**changes):
    made = table.Entry("matmul", "numpy", "float32", {"m": 4}, {}, {}, {}, 1e-6, 0.1, "2026-11-01")
    return made._replace(**changes)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A user's folder of tables, and a package without shipped measurements."""
    monkeypatch.setenv(table.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(table, "SHIPPED", tmp_path / "shipped" / "none.json")
    table.forget()
    yield tmp_path
    table.forget()


# What is written


@given(some)
def test_what_is_written_is_read_again(tmp_path_factory, them):
    path = tmp_path_factory.getbasetemp() / "round_trip.json"
    path.write_text(table.written(HERE, them))
    found = table.read(path)
    assert list(found.entries) == table.merged(them)
    assert found.machine == HERE
    assert found.dated == max((each.measured for each in them), default=None)


@given(some, some)
def test_of_two_measurements_of_the_same_thing_the_later_counts(first, second):
    merged = table.merged(first, second)
    latest = {each.key: each for each in [*first, *second]}
    assert {each.key: each for each in merged} == latest
    assert len(merged) == len(latest)
    assert table.merged(merged, second) == merged
    assert table.merged(second, merged) == merged


@given(some, st.data())
def test_a_file_that_ends_early_is_refused_in_one_line_and_left_as_it_is(tmp_path_factory, them, data):
    whole = table.written(HERE, them).rstrip().encode()
    path = tmp_path_factory.getbasetemp() / "early.json"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    before = path.read_bytes()
    for refused in (lambda: table.read(path), lambda: table.add(path, HERE, [entry()])):
        with pytest.raises(ValueError, match="is no table of measurements") as caught:
            refused()
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(entries, st.data(), anything)
def test_whatever_stands_in_a_file_it_is_a_table_or_refused(tmp_path_factory, one, data, other):
    """One value of a good file, at any depth, is replaced by anything."""
    written = json.loads(table.written(HERE, [one]))
    call = written["calls"][0]
    place = data.draw(st.sampled_from([written, call, call["extents"], call["runs"][0]]).filter(bool))
    place[data.draw(st.sampled_from(range(len(place)) if isinstance(place, list) else sorted(place)))] = other
    path = tmp_path_factory.getbasetemp() / "anything.json"
    path.write_text(json.dumps(written))
    try:
        found = table.read(path).entries
    except ValueError:
        return
    for each in found:
        assert each.seconds > 0
        assert all(value >= 0 for value in each.extents.values())
        json.dumps(each, allow_nan=False)


# Several at once

TUNER = """
import sys
from pathlib import Path
from kernels._costs import machine, table
heavy = sorted({"numpy", "torch", "numba"} & set(sys.modules))
assert not heavy, heavy
path, name = Path(sys.argv[1]), sys.argv[2]
for i in range(10_000):
    table.add(path, machine.machine(), [table.Entry(name, "v", "float32", {"n": i}, {}, {}, {}, 1.0, 0.0, "2026-11-01")])
    print(i, flush=True)
"""


def test_eight_tuners_that_are_killed_lose_nothing_that_they_finished(tmp_path):
    path, chance = tmp_path / "measured.json", random.Random(0)
    environment = {**os.environ, "PYTHONPATH": str(Path(registry.__file__).parent)}
    command = [sys.executable, "-c", TUNER, str(path)]
    tuners = [subprocess.Popen([*command, f"t{i}"], stdout=subprocess.PIPE, text=True, env=environment) for i in range(8)]
    first = [tuner.stdout.readline() for tuner in tuners]
    finished = {}
    for i in chance.sample(range(8), 8):
        time.sleep(chance.uniform(0, 0.1))
        tuners[i].send_signal(signal.SIGKILL)
    for i, tuner in enumerate(tuners):
        rest, _ = tuner.communicate()
        assert tuner.returncode == -signal.SIGKILL
        finished[f"t{i}"] = len((first[i] + rest).split())
    table.add(path, HERE, [entry()])  # nobody that was killed holds the lock
    kept = {name: {each.extents["n"] for each in table.read(path).of(name).entries} for name in finished}
    assert all(kept[name] >= set(range(count)) for name, count in finished.items())
    assert min(finished.values()) >= 1


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_will_do(tmp_path, monkeypatch, caplog, error):
    def refuse(*_, **__):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    table.add(tmp_path / "measured.json", HERE, [entry()])
    assert table.add(tmp_path / "measured.json", HERE, [entry(variant="torch")]).of("matmul").entries[0].variant == "numpy"
    assert "without" in caplog.text


def test_what_another_put_over_it_is_put_back(tmp_path, monkeypatch):
    """Where there are no locks, another may replace the file with one that lacks the entries."""
    path, replace, rivals = tmp_path / "measured.json", table._replace, [entry(variant="rival")]

    def overtaken(path, text):
        replace(path, text)
        if rivals:
            replace(path, table.written(HERE, [rivals.pop()]))

    monkeypatch.setattr(table, "_replace", overtaken)
    table.add(path, HERE, [entry()])
    assert {each.variant for each in table.read(path).entries} == {"numpy", "rival"}


def test_an_interrupted_write_leaves_the_file_and_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "measured.json"
    table.add(path, HERE, [entry()])
    before = path.read_bytes()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        table.add(path, HERE, [entry(variant="torch")])
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("*.part"))


def test_what_killed_tuners_left_is_removed(tmp_path):
    old, young = (tmp_path / f".measured.json.{name}.part" for name in ("old", "young"))
    for part in (old, young):
        part.write_text("")
    os.utime(old, (0, 0))
    table.add(tmp_path / "measured.json", HERE, [])
    assert (old.exists(), young.exists()) == (False, True)


def test_where_nothing_can_be_written_one_line_says_where_it_can(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="--output") as caught:
        table.add(tmp_path / "file" / "measured.json", HERE, [entry()])
    assert "\n" not in str(caught.value)


def test_a_file_system_that_turns_read_only_keeps_the_file(tmp_path, monkeypatch):
    path = tmp_path / "measured.json"
    table.add(path, HERE, [entry()])

    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(table.tempfile, "mkstemp", refuse)
    with pytest.raises(OSError, match=r"Read-only file system; .*--output"):
        table.add(path, HERE, [entry(variant="torch")])
    assert [each.variant for each in table.read(path).entries] == ["numpy"]


# Which table counts


def test_this_machines_table_counts_over_the_shipped_one(folder):
    assert table.current().entries == ()
    shipped = table.SHIPPED
    shipped.parent.mkdir()
    shipped.write_text(table.written({"processor": "another"}, [entry(), entry(operation="slerp")]))
    table.forget()
    assert table.current().of("matmul").origin == "shipped"
    table.add(table.path_here(), HERE, [entry(seconds=2.0)])
    assert table.current().of("matmul").origin == "shipped"  # read once
    table.forget()
    assert table.current().of("matmul").entries[0].seconds == 2
    assert [table.current().of(name).origin for name in ("matmul", "slerp")] == ["tuned", "shipped"]


@pytest.mark.parametrize("name", ["here", "measured-elsewhere.json"])
def test_a_file_of_another_machine_is_not_used_and_a_note_says_why(folder, name):
    path = table.path_here() if name == "here" else folder / name
    theirs = {**HERE, "cores": 96, "versions": {**HERE["versions"], "numpy": "1.0"}}
    path.write_text(table.written(theirs, [entry()]))
    found = table.current()
    assert found.entries == ()
    (note,) = found.notes
    assert str(path) in note
    assert f"cores 96, here {HERE['cores']}" in note
    assert "numpy 1.0, here" in note
    with pytest.raises(ValueError, match="cores 96"):
        table.add(path, HERE, [entry()])
    assert table.read(path).machine == theirs


def test_a_broken_file_is_a_warning_and_the_shipped_table_serves(folder, caplog):
    table.path_here().write_text('{"format": 1')
    table.SHIPPED.parent.mkdir()
    table.SHIPPED.write_text(table.written({}, [entry()]))
    found = table.current()
    assert found.of("matmul").origin == "shipped"
    assert found.notes == tuple(caplog.messages)
    assert "is no table of measurements" in caplog.messages[0]


def test_the_threads_of_torch_count_where_both_are_known():
    one, two = ({**HERE, "torch threads": threads} for threads in (1, 2))
    unknown = {**HERE, "torch threads": None}
    assert machine.differences(one, two) == ["torch threads 1, here 2"]
    assert machine.differences(one, unknown) == machine.differences(unknown, two) == []
    assert machine.key(one) == machine.key(two) == machine.key(unknown)


def test_the_threads_allowed_are_part_of_the_machine(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    machine._lasting.cache_clear()
    other = machine.machine()
    monkeypatch.undo()
    machine._lasting.cache_clear()
    assert machine.key(other) != machine.key(machine.machine())
