"""What a test starts ends with it, however the test or pytest ends; and what is slow is not taken for stuck."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import children
import pytest

# A child that starts a grandchild, each in a session of its own; both would go on for ten minutes.
SLEEPS = "import subprocess, sys, time; print('up', flush=True); time.sleep(600)"
FAMILY = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {SLEEPS!r}], start_new_session=True)"
TESTS = f"""
import children, os, subprocess, sys
from pathlib import Path

def start(**marks):
    command, environment = [sys.executable, "-c", {FAMILY!r}], os.environ | marks
    family = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, start_new_session=True)
    assert family.stdout.readline() == b"up\\n"

def test_leaves_children_behind():
    start()
    assert len(children.marked(os.environ[children.MARK])) == 2
    assert False, "and fails"

def test_its_neighbour_finds_none_and_starts_what_serves():
    run = os.environ[children.MARK]
    Path("found").write_text(run + " " + repr(children.marked(run)))
    start(**{{children.SERVES: "1"}})

def test_what_serves_outlives_a_test():
    assert len(children.marked(os.environ[children.MARK])) == 2
    assert children.marked(os.environ[children.MARK], servers=False) == []
    Path("served").touch()

def test_starts_more_and_pytest_is_killed():
    start()
    os.kill(os.getpid(), 9)
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="only Linux tells the environment of a process")


def test_children_end_with_their_test_and_when_pytest_is_killed(tmp_path):
    (tmp_path / "test_family.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text(Path(__file__).parents[1].joinpath("conftest.py").read_text())
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, Path(__file__).parents[1:3]))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_family.py"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said, _ = process.communicate()  # until its keeper is gone too, which holds standard output open
    assert process.returncode == -signal.SIGKILL, said.decode()
    run, _, found = (tmp_path / "found").read_text().partition(" ")
    assert found == "[]"
    assert (tmp_path / "served").exists()
    assert children.marked(run) == []


def test_what_sleeps_for_good_is_stuck_and_what_works_is_not(monkeypatch):
    monkeypatch.setattr(children, "ASLEEP", 3)
    monkeypatch.setattr(children, "LOOK", 0.2)
    with pytest.raises(AssertionError, match="stuck, every thread sleeps"):
        children.run_unless_stuck([sys.executable, "-c", SLEEPS])
    works = "import time\nwhile time.process_time() < 1: pass\nprint('done')"
    assert children.run_unless_stuck([sys.executable, "-c", works]).stdout == "done\n"
