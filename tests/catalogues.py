"""Catalogues of operations that the tests state themselves."""

import sys
from contextlib import contextmanager

from registry import Zoo


@contextmanager
def zoo_of(folder, files):
    """Yield a catalogue whose folder has these files: text by the operation, or by the operation and a file beside its own."""
    paths = [path if "/" in path else f"{path}/__init__" for path in files]
    for path, text in zip(paths, files.values(), strict=True):
        file = folder / "kernels" / f"{path}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    try:
        yield Zoo(folder / "kernels")
    finally:
        for path in paths:
            sys.modules.pop(f"kernels.{path.removesuffix('/__init__').replace('/', '.')}", None)
