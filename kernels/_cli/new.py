"""`kernel-zoo new`: the files of a kernel, an operation or a package, ready to run and to be changed."""

from __future__ import annotations

import keyword
import re
import textwrap
from contextlib import ExitStack
from pathlib import Path
from string import Template
from typing import Any

import click

import registry
from kernels._cli.text import OPERATION

KERNEL = Template('''"""$operation by $name: the idea in one line.

The paper, and the section, that its formula comes from.
"""

from $definition import $operation as definition
from registry import register


@register("$operation", "$name"$claims)
def $operation($parameters):
    return definition($arguments)  # to begin with; the kernel goes here
''')

DEFINITION = Template('''"""$operation: the sum of the squares of each row."""

from __future__ import annotations

from array_api_compat import array_namespace

ROWS = "n"  # rows are computed apart, so that a large call may go block by block


def $operation(x: Float[Array, "n d"]) -> Float[Array, "n"]:
    """Sum the squares of each row of an array.

    Parameters
    ----------
    x : array, shape (n, d)

    Returns
    -------
    array, shape (n,)
    """
    xp = array_namespace(x)
    return xp.sum(x * x, axis=-1)
''')

FIRST_KERNEL = Template('''"""$operation by `einsum`: one pass over the entries."""

import numpy as np

from registry import register


@register("$operation", "einsum")
def $operation(x):
    return np.einsum("nd,nd->n", x, x)
''')

PYPROJECT = Template("""[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "$distribution"
version = "0.1.0"
description = "Kernels for kernel-zoo: $operation"
requires-python = ">=3.11"
dependencies = ["kernel-zoo"]

[project.optional-dependencies]
test = ["kernel-zoo[test]"]

[project.entry-points.kernel_zoo]
$operation = "$package.$operation"

[tool.setuptools.packages.find]
include = ["$package*"]
""")

TEST = Template('''"""Every property that $operation asks of a kernel is a test of its own."""

import registry
from $module import $operation

test_$operation = registry.conformance_test("$operation", $operation)
''')


@click.group()
def new() -> None:
    """Write the files of a new kernel, operation or package, ready to run, and say what to do next."""


@new.command("kernel")
@OPERATION
@click.argument("name")
@click.option("--arrays", type=click.Choice(["numpy", "torch"]), default="numpy", show_default=True, help="What it is given.")
@click.option("--device", type=click.Choice(list(registry.DEVICES)), default="cpu", show_default=True, help="Where it runs.")
def new_kernel(operation: str, name: str, arrays: str, device: str) -> None:
    """Write kernels/OP/NAME.py in a checkout: a variant that is the definition, to be replaced by the kernel."""
    contract: Any = registry.contract(operation)
    _require_name("NAME", name)
    if name in (*registry.DEVICES, "auto"):
        raise click.UsageError(f"NAME {name}: get() selects by this word; choose another name")
    if name in {variant.name for variant in registry.variants(operation)}:
        raise click.UsageError(f"NAME {name}: {operation} has this variant at {registry.variant(operation, name).source}")
    file = _checkout() / operation / f"{name}.py"
    if not file.parent.is_dir():
        raise click.UsageError(
            f"OP {operation}: it comes from another distribution ({contract.module.__name__}); add the file there"
        )
    _write({file: _kernel(operation, name, arrays, device)})
    _say_next(
        f"""put the kernel in the place of the definition, and its idea in the first line, which `kernel-zoo list` shows
kernel-zoo check {operation} {name}    is it right?
kernel-zoo compare {operation}    is it fast?
pytest -m quick    then pytest: the tests find it by themselves"""
    )


@new.command("operation")
@click.argument("name")
def new_operation(name: str) -> None:
    """Write kernels/NAME/ in a checkout: a definition, to be replaced by the operation's own, and a first kernel."""
    _require_operation(name)
    folder = _checkout() / name
    _write(
        {
            folder / "__init__.py": DEFINITION.substitute(operation=name),
            folder / "einsum.py": FIRST_KERNEL.substitute(operation=name),
        }
    )
    _say_next(
        f"""state the operation in {name}/__init__.py: its annotations say what may be passed, its body is the definition
put its first kernel into {name}/einsum.py, and rename the file and the variant
kernel-zoo check {name} einsum    reference, bound, calls and refusals all follow from the definition
kernel-zoo new kernel {name} NAME    adds the next
pytest -m quick    then pytest: the tests find it by themselves"""
    )


@new.command("package")
@click.argument("name")
@click.option(
    "--operation", default="matmul", show_default=True, help="What its kernel is of; one that the zoo lacks is stated there too."
)
@click.option(
    "--into", type=click.Path(file_okay=False, exists=True, path_type=Path), default=".", help="Where; here, if not given."
)
def new_package(name: str, operation: str, into: Path) -> None:
    """Write NAME/, a distribution of its own with an entry point, a kernel, and a test of three lines."""
    package = name.replace("-", "_")
    _require_name("NAME", package)
    folder = into / name
    inside = folder / package
    if operation in registry.operations():
        kernel, module = package, f"{package}.{operation}"
        code = {inside / f"{operation}.py": _kernel(operation, package, "numpy", "cpu")}
    else:
        _require_operation(operation, "--operation")
        kernel, module = "einsum", f"{package}.{operation}.einsum"
        code = {
            inside / operation / "__init__.py": DEFINITION.substitute(operation=operation),
            inside / operation / "einsum.py": FIRST_KERNEL.substitute(operation=operation),
        }
    words = {"operation": operation, "package": package, "distribution": name, "module": module}
    _write(
        {
            folder / "pyproject.toml": PYPROJECT.substitute(words),
            inside / "__init__.py": f'"""Kernels of {operation} for kernel-zoo."""\n',
            **code,
            folder / "tests" / f"test_{operation}.py": TEST.substitute(words),
        }
    )
    _say_next(
        f"""pip install -e {name}    the entry point makes its variants appear in the zoo
kernel-zoo check {operation} {kernel}
pytest {name}
put the kernel in the place of what stands there to begin with"""
    )


def _kernel(operation: str, name: str, arrays: str, device: str) -> str:
    """Return the source of a kernel that is the operation's definition."""
    contract: Any = registry.contract(operation)
    parameters = contract.signature.public.parameters.values()
    positional = [each.name for each in parameters if each.kind is not each.KEYWORD_ONLY]
    keyed = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
    claims = (', arrays="torch", requires=("torch",)' if arrays == "torch" or device == "cuda" else "") + (
        ', device="cuda"' if device == "cuda" else ""
    )
    return KERNEL.substitute(
        operation=operation,
        name=name,
        definition=contract.module.__name__,
        claims=claims,
        parameters=", ".join([*positional, *(["*"] if keyed else []), *keyed]),
        arguments=", ".join([*positional, *(f"{key}={key}" for key in keyed)]),
    )


def _checkout() -> Path:
    """Return the folder `kernels` of the checkout that this command runs from."""
    folder = Path(registry.__file__).parent
    if not (folder / "pyproject.toml").is_file():
        raise click.UsageError(
            f"{folder} is no checkout of kernel-zoo; `kernel-zoo new package NAME` writes a package of your own"
        )
    return folder / "kernels"


def _require_operation(name: str, argument: str = "NAME") -> None:
    _require_name(argument, name)
    if (registry.FOLDER / f"{name}.py").exists():  # which the operation's folder would take the place of
        raise click.UsageError(f"{argument} {name}: kernels/{name}.py is a module of the zoo; choose another name")
    if name in registry.operations():
        raise click.UsageError(
            f"{argument} {name}: there is an operation of this name; `kernel-zoo new kernel {name} NAME` adds to it"
        )


def _require_name(argument: str, name: str) -> None:
    if not re.fullmatch("[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise click.UsageError(f"{argument} {name}: expected a Python name in lower case, such as fast_product")


def _write(files: dict[Path, str]) -> None:
    """Write new files, all of them or none."""
    for file in files:
        if file.exists():
            raise click.UsageError(f"{file} exists already; nothing was written")
    with ExitStack() as undo:
        for file, text in files.items():
            for folder in reversed([each for each in file.parents if not each.exists()]):
                folder.mkdir()
                undo.callback(folder.rmdir)
            undo.callback(file.unlink, missing_ok=True)
            file.write_text(text, encoding="utf-8")
        undo.pop_all()
    for file in files:
        click.echo(f"wrote {file}")


def _say_next(steps: str) -> None:
    click.echo("next:\n" + textwrap.indent(steps, "  "))
