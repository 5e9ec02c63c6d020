"""A kernel file holds one technique: it imports no other file that registers kernels, at the top or within a function."""

import ast
from pathlib import Path

import pytest

import registry

KERNELS = Path(registry.__file__).parent / "kernels"
FILES = {
    ".".join(("kernels", *file.relative_to(KERNELS).with_suffix("").parts)): ast.parse(file.read_text(encoding="utf-8"))
    for operation in registry.operations()
    for file in sorted((KERNELS / operation).glob("*.py"))
    if file.name != "__init__.py"
}


def registers(tree):
    """Say whether a function in a file is registered."""
    decorators = [d for node in ast.walk(tree) for d in getattr(node, "decorator_list", ())]
    return any(isinstance(d, ast.Call) and getattr(d.func, "id", None) == "register" for d in decorators)


def imported(name, tree):
    """Return the modules that a file may import: also what is imported from a package, which may be a module."""
    package = name.rpartition(".")[0].split(".")
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            modules |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return modules


REGISTERED = {name for name, tree in FILES.items() if registers(tree)}


@pytest.mark.parametrize("name", FILES)
def test_no_file_of_an_operation_imports_one_that_registers_kernels(name):
    assert not imported(name, FILES[name]) & REGISTERED


def test_every_registered_file_was_looked_at():
    variants = [variant for operation in registry.operations() for variant in registry.variants(operation)]
    files = {Path(variant.file).resolve() for variant in variants if not variant.is_definition}
    ours = {file for file in files if KERNELS in file.parents}
    assert ours == {KERNELS.parent / f"{name.replace('.', '/')}.py" for name in REGISTERED}


@pytest.mark.parametrize(
    "line",
    ["import kernels.o.b", "from kernels.o import b", "from kernels.o.b import f", "from . import b", "from .b import f as g"],
)
def test_every_way_to_import_a_file_is_seen(line):
    assert "kernels.o.b" in imported("kernels.o.a", ast.parse(f"def f():\n    {line}\n"))
