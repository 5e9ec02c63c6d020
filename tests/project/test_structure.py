"""The structure: which file uses which, by an import at the top or within a function, or by a module's name as a string."""

import ast
import graphlib
from pathlib import Path

import pytest

import registry
from kernels._catalogue import ENTRY_POINTS

ROOT = Path(registry.__file__).parent
KERNELS = ROOT / "kernels"
TREES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): ast.parse(file.read_text("utf-8"))
    for file in sorted([*ROOT.glob("*.py"), *KERNELS.rglob("*.py")])
}
PACKAGES = {".".join(file.relative_to(ROOT).parts[:-1]) for file in KERNELS.rglob("__init__.py")}
KERNEL_FILES = [name for name in TREES if name.split(".")[1:2] and name.split(".")[1] in registry.operations()]
# One estimator stands in several files, which share its state.
ESTIMATOR = {"kernels.cluster", "kernels._walks", "kernels._walks_dask"}


def used(name, tree, known):
    """Return the modules among those known that a file uses; what runs if it is a script belongs to the module `__main__`."""
    package = name if name in PACKAGES else name.rpartition(".")[0]
    found = set()
    for node in within(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = parts[: len(parts) + 1 - node.level] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            inner = {f"{module}.{alias.name}" for alias in node.names}
            found |= inner & known or {module}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value != ENTRY_POINTS:
            found.add(node.value)
    return found & known - {name}


def within(tree):
    """Yield the nodes of a file but those that run only if it is a script."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"):
            yield node
            yield from within(node)


def room(name):
    """Return the folder that a module stands in; a module that stands in none of the rooms is one of its own."""
    if name in ESTIMATOR:
        return "kernels.cluster"
    return ".".join(name.split(".")[:2])


USED = {name: used(name, tree, TREES.keys()) for name, tree in TREES.items()}


def require_no_circle(graph):
    graphlib.TopologicalSorter(graph).prepare()  # a CycleError names the circle


def test_no_file_uses_itself_through_others():
    require_no_circle(USED)


def test_no_room_uses_itself_through_others():
    rooms = {room(name): set() for name in USED}
    for name, others in USED.items():
        rooms[room(name)] |= {room(other) for other in others} - {room(name)}
    require_no_circle(rooms)


OF_NAMED_TUPLES = ("_replace", "_asdict")


def private(name):
    return name.startswith("_") and not name.startswith("__") and name not in OF_NAMED_TUPLES


def made(tree):
    """Return the names that a file gives to something."""
    names = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    names |= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)}
    return names | {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


MADE = {}
for _name, _tree in TREES.items():
    MADE.setdefault(room(_name), set()).update(filter(private, made(_tree)))


def reached_for(name, tree):
    """Return the private names that a file takes from other rooms."""
    others = set().union(*(names for each, names in MADE.items() if each != room(name)))
    attributes = [n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and ast.unparse(n.value) not in ("self", "cls")]
    found = {n.attr for n in attributes if n.attr in others - MADE[room(name)]}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in TREES and room(node.module) != room(name):
            found |= {alias.name for alias in node.names if private(alias.name)} & others
    return found


def test_no_file_reaches_for_private_names_of_another_room():
    assert {name: found for name, tree in TREES.items() if (found := reached_for(name, tree))} == {}


@pytest.mark.parametrize("line", ["zoo._functions", "from kernels._catalogue import _tree"])
def test_a_private_name_of_another_room_is_seen(line):
    assert reached_for("kernels._cli.show", ast.parse(line))


# A kernel file holds one technique


def registers(tree):
    """Say whether a function in a file is registered."""
    decorators = [d for node in ast.walk(tree) for d in getattr(node, "decorator_list", ())]
    return any(isinstance(d, ast.Call) and getattr(d.func, "id", None) == "register" for d in decorators)


REGISTERED = {name for name in KERNEL_FILES if registers(TREES[name])}


@pytest.mark.parametrize("name", KERNEL_FILES)
def test_no_file_of_an_operation_uses_one_that_registers_kernels(name):
    assert not USED[name] & REGISTERED


def test_every_registered_file_was_looked_at():
    variants = [variant for operation in registry.operations() for variant in registry.variants(operation)]
    files = {Path(variant.file).resolve() for variant in variants if not variant.is_definition}
    ours = {file for file in files if KERNELS in file.parents}
    assert ours == {ROOT / f"{name.replace('.', '/')}.py" for name in REGISTERED}


@pytest.mark.parametrize(
    "line",
    [
        "import kernels.o.b",
        "from kernels.o import b",
        "from kernels.o.b import f",
        "from . import b",
        "from .b import f as g",
        "import_module('kernels.o.b')",
    ],
)
def test_every_way_to_use_a_file_is_seen(line):
    tree = ast.parse(f"def f():\n    {line}\nif __name__ == '__main__':\n    import kernels.o.c\n")
    assert used("kernels.o.a", tree, {"kernels.o.b", "kernels.o.c"}) == {"kernels.o.b"}
