"""A file of choices: what was chosen for each kind of call, so that a program can be run again with the same variants."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

FORMAT = 1


class Choices:
    """The choices of a file.

    Parameters
    ----------
    path : Path
    record : bool
        Whether choices that the file lacks are made, and added to it by `save`.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it holds no choices; the one line says how to record them.
    """

    def __init__(self, path: Path, record: bool) -> None:
        self.path, self.record = path, record
        self._lock = threading.Lock()
        self._made: dict[str, dict[str, Any]] = {}
        if record and not path.exists():
            return
        try:
            held = json.loads(path.read_bytes())
            if held["format"] != FORMAT or not all(isinstance(each["variant"], str) for each in held["choices"].values()):
                raise ValueError
            self._made = {
                key: {"variant": each["variant"], "options": each.get("options", {})} for key, each in held["choices"].items()
            }
        except FileNotFoundError:
            raise FileNotFoundError(f"{path}: there is no file of choices; {self._remedy}") from None
        except IsADirectoryError:
            raise ValueError(f"{path}: is a folder; name a file of choices") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(f"{path}: holds no choices of format {FORMAT}; delete it, and {self._remedy}") from None

    @property
    def _remedy(self) -> str:
        return f"record one by a run in `with registry.frozen({str(self.path)!r}, record=True):`"

    def of(self, key: str) -> dict[str, Any] | None:
        """Return what was chosen for a kind of call: the variant's name, and its options; None if it is to be chosen and added.

        Raises
        ------
        LookupError
            If the file lacks it, and nothing is recorded.
        """
        made = self._made.get(key)
        if made is None and not self.record:
            raise LookupError(f"{self.path}: holds no choice for {key}; {self._remedy}")
        return made

    def add(self, key: str, variant: str, options: dict[str, Any]) -> dict[str, Any]:
        """Keep what was chosen for a kind of call, unless another thread was first; return what is kept."""
        with self._lock:
            return self._made.setdefault(key, {"variant": variant, "options": options})

    def save(self) -> None:
        """Replace the file, all at once."""
        text = json.dumps({"format": FORMAT, "choices": dict(sorted(self._made.items()))}, indent=1)
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text + "\n")
            os.replace(name, self.path)
        except BaseException:
            os.unlink(name)
            raise
