"""The README's tables of variants are those of the registry. `python tests/project/test_readme.py` writes them anew."""

import os
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
BEGIN = (
    "<!-- The following comes from `kernel-zoo list --markdown`; `python tests/project/test_readme.py` writes it anew. -->\n\n"
)
END = "\n<!-- Here it ends. -->\n"


def written_anew(text):
    """Return the README with the tables of the registry, in a process where no test has registered anything."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, f"README.md has no line {BEGIN!r}"
    assert end, f"README.md has no line {END!r}"
    command = [sys.executable, "-m", "registry", "list", "--markdown"]
    environment = os.environ | {"PYTHONPATH": str(README.parent), "PYTHONUTF8": "1"}
    tables = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=True).stdout
    return f"{before}{BEGIN}{tables}{END}{after}"


def test_the_tables_of_the_readme_are_those_of_the_registry():
    text = README.read_text(encoding="utf-8")
    assert text == written_anew(text), "python tests/project/test_readme.py writes the tables anew"


if __name__ == "__main__":
    README.write_text(written_anew(README.read_text(encoding="utf-8")), encoding="utf-8")
