"""No process outlives the test that started it.

A process inherits its parent's environment, and with it the mark of the run of pytest that started it, through whatever shells
and interpreters it was started. What carries the mark is ended after each test that started something, and, by a keeper, when
pytest itself goes, even if it is killed. A process that serves many tests carries a second mark, and is left to the keeper.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

MARK = "KERNEL_ZOO_TEST_RUN"
SERVES = "KERNEL_ZOO_TEST_SERVER"  # many tests
LOOK = 1.0  # seconds between two looks at a process
ASLEEP = 60  # looks at which it did nothing, one after the other, before it counts as stuck


def marked(run, servers=True):
    """Return the numbers of the living processes that a run of pytest started, directly or not. Elsewhere than on Linux: none."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment, command = (folder / "environ").read_bytes(), (folder / "cmdline").read_bytes()
        except OSError:  # it has ended, or is another user's
            continue
        # multiprocessing's tracker serves the whole run of pytest, and ends with it by itself.
        marks = environment.split(b"\0")
        spared = b"resource_tracker" in command or (not servers and f"{SERVES}=1".encode() in marks)
        if f"{MARK}={run}".encode() in marks and not spared:
            found.append(int(folder.name))
    return found


def end(run, servers=True):
    """Kill what a run of pytest started, until nothing is left: a process may start another while it is being killed."""
    while found := marked(run, servers):
        for number in found:
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.01)


def keep(run):
    """Start the keeper, which ends what a run started once its standard input closes: once the run is gone."""
    environment = {key: value for key, value in os.environ.items() if key != MARK}  # else it would end itself
    command = [sys.executable, "-I", "-S", __file__, str(run)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, start_new_session=True)


def _doings(number):
    """Return what a process is doing: for each thread whether it runs or sleeps, and the clock ticks that it has used."""
    found = []
    for file in sorted(Path(f"/proc/{number}/task").glob("*/stat")):
        fields = file.read_text().rpartition(")")[2].split()
        found.append((fields[0], fields[11], fields[12]))
    return found


def run_unless_stuck(command, **options):
    """Run a command to its end, unless all that the test started sleeps for good. A busy machine makes nothing sleep.

    Raises
    ------
    AssertionError
        If for so many looks in a row every thread slept and none used the processor.
    """
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    before, looks = None, 0
    while True:
        try:
            out, err = process.communicate(timeout=LOOK)
            return subprocess.CompletedProcess(command, process.returncode, out, err)
        except subprocess.TimeoutExpired:
            try:
                now = [_doings(number) for number in marked(os.environ[MARK])]
            except OSError:  # a thread or a process has just ended
                now = None
            asleep = now is not None and now == before and all(state == "S" for doings in now for state, *_ in doings)
            before, looks = now, looks + 1 if asleep else 0
            if looks == ASLEEP:
                end(os.environ[MARK])
                raise AssertionError(f"{command}: stuck, every thread sleeps\n{process.communicate()[1]}") from None


if __name__ == "__main__":
    sys.stdin.read()
    end(sys.argv[1])
