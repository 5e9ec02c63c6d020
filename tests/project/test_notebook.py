"""The notebook of the lecture runs from its first cell to its last."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import registry

ROOT = Path(registry.__file__).parent


def test_the_lecture_s_notebook_runs_and_is_kept_without_results(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("numba")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # pictures come back in the cells
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))  # no file of the person's own is read or written
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # threads that wait for each other cost the processor as much as work
    notebook = nbformat.read(ROOT / "examples" / "lecture.ipynb", as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output.text for output in outputs if output.get("name") == "stderr"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 5
