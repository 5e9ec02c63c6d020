"""The script for a GPU that is only borrowed leaves a lane's log where it is told to, and names the lanes."""

import subprocess
import sys

from commands import BARE, ROOT, environment


def lane(*arguments, out):
    command = ["bash", str(ROOT / "bench" / "on_a_device.sh"), *arguments]
    said = environment(BARE, PYTHON=sys.executable, OUT=str(out), WHEELS=str(out / "no wheels"))
    return subprocess.run(command, env=said, capture_output=True, text=True, check=False)


def test_a_lane_leaves_its_log_and_its_code(tmp_path):
    done = lane("list", "--json", out=tmp_path)
    assert done.returncode == 0, done.stderr
    assert '"numba_cuda_tiled"' in (tmp_path / "list.log").read_text()
    done = lane("list", "no_such_operation", out=tmp_path)
    assert done.returncode not in (0, 124)
    assert "no_such_operation" in (tmp_path / "list.log").read_text()


def test_an_unknown_lane_is_refused_with_all_their_names(tmp_path):
    done = lane("racechecks", out=tmp_path)
    assert done.returncode == 2
    assert "no lane is called racechecks" in done.stderr
    assert "list, device, conformance, memcheck, racecheck" in done.stderr
