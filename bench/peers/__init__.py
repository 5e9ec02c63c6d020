"""Peers: what other libraries make of the same operations, in a catalogue of their own.

`load()` returns that catalogue: it has the zoo's own variants too, so that a peer is called, checked and timed exactly as ours
are, and the zoo's catalogue never hears of it. Each operation's peers have a file of their own here, named after the operation.
"""

import importlib
from pathlib import Path

import registry

CATALOGUE = registry.Zoo(registry.FOLDER)


def load():
    """Import the files of peers; return the catalogue that they register in."""
    for file in sorted(Path(__file__).parent.glob("[!_]*.py")):
        importlib.import_module(f"{__name__}.{file.stem}")
    return CATALOGUE
