"""What the two commands of the README, and each extra of pyproject.toml, install."""

import ast
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

import registry

ROOT = Path(registry.__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
COMMANDS = re.search(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1].splitlines()


def distributions(*extras):
    """Return what pip is asked for: the project's dependencies, and those of some extras."""
    found, waiting = set(), [*PROJECT["dependencies"], f"kernel-zoo[{','.join(extras)}]"]
    while waiting:
        requirement = Requirement(waiting.pop())
        if requirement.name == "kernel-zoo":
            waiting += [line for extra in requirement.extras for line in PROJECT["optional-dependencies"][extra]]
        else:
            found.add(requirement.name)
    return found


def extras(command):
    """Return the extras in a line of the README, .[a,b]."""
    return re.search(r"'\.\[(.*)\]'", command)[1].split(",")


def imports(path):
    """Return the modules that a file imports as it is imported itself."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


def test_the_extra_for_tests_is_enough_to_collect_them():
    files = [*ROOT.glob("tests/**/test_*.py"), ROOT / "tests/conftest.py", *ROOT.glob("tests/conformance/wrong_kernels/*.py")]
    ours = {"registry", "kernels", *(part for file in ROOT.glob("tests/**/*.py") for part in (file.stem, file.parent.name))}
    known = metadata.packages_distributions()
    wanted = {
        module: known[module][0] for file in files for module in imports(file) if module not in sys.stdlib_module_names | ours
    }
    assert {"pytest", "numpy"} <= wanted.keys()
    asked_for = distributions("test") | {"packaging"}  # which pytest itself needs
    assert {module for module, name in wanted.items() if name.lower().replace("_", "-") not in asked_for} == set()


def test_the_extra_for_tests_brings_the_plugins_that_are_always_asked_for():
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["addopts"]
    for option, plugin in {"--benchmark": "pytest-benchmark", "-n": "pytest-xdist"}.items():
        if option in options + COMMANDS[1]:
            assert plugin in distributions("test")


def test_the_readme_installs_what_compare_uses_and_then_everything():
    first, second = (distributions(*extras(command)) for command in COMMANDS)
    variants = [v for operation in registry.operations() for v in registry.variants(operation) if v.device == "cpu"]
    variants = [v for v in variants if v.arrays != "dask"]  # what is compared lies in memory
    used = {package for v in variants for package in v.requires} | {"polars", "pillow", "matplotlib"}
    assert used <= first
    assert not first & {"triton", "numba-cuda", "cuda-toolkit", "pytest", "hypothesis", "scikit-learn"}
    everything = set(PROJECT["optional-dependencies"]) - {"all", "dev", "peers"}
    assert second == distributions(*everything)
