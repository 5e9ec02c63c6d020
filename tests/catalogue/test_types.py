"""The types that the stub gives a user's script, and that they are those of the operations."""

import ast
import inspect
import shutil

import pytest
from neighbours import ROOT
from signatures import require_signatures

import registry


def test_strict_mypy_sees_the_signature_of_an_operation(tmp_path):
    shutil.copy(ROOT / "registry-stubs" / "__init__.pyi", tmp_path / "registry.pyi")
    require_signatures(tmp_path, "registry.pyi")


@pytest.mark.parametrize("operation", registry.operations())
def test_the_stub_has_the_parameters_of_each_operation(operation):
    """The stub is written by hand: a new parameter or option must be added to it."""
    classes = {
        n.name: n for n in ast.parse((ROOT / "registry-stubs" / "__init__.pyi").read_text()).body if isinstance(n, ast.ClassDef)
    }
    (call,) = classes["_" + operation.title().replace("_", "")].body
    stated = [a.arg for a in (*call.args.args[1:], *call.args.kwonlyargs)]
    builtin = [v for v in registry.variants(operation) if v.module.startswith("kernels.")]
    options = dict.fromkeys(option for v in builtin for option in v.options)
    assert stated == [*inspect.signature(registry.get(operation)).parameters, *options]
