"""A machine without the frameworks: on the path of a new interpreter, this folder hides packages that take seconds to import."""

import sys


class Hidden:
    """Finds none of them, as where they are not installed."""

    names = frozenset({"torch", "numba", "dask", "array_api_strict"})

    def find_spec(self, name, path=None, target=None):
        if name in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Hidden())
