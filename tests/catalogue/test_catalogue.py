"""Reading register lines: what is listed, what is refused, and what a file or a distribution that is broken costs."""

import os
import re
import shutil

import pytest
from commands import process, several
from neighbours import KERNEL, OPERATION, ROOT, distribution, fresh_zoo, python

import registry
from registry import DuplicateVariant, UnknownOperation, Zoo

BAD_DECLARATIONS = [
    ({"requires": "numba"}, TypeError, r"register\('matmul', 'x'\): requires is a tuple, got 'numba'"),
    ({"requires": (1,)}, TypeError, r"requires is a tuple of names, got \(1,\)"),
    ({"rank": "high"}, TypeError, "rank is an int, got 'high'"),
    ({"rank": True}, TypeError, "rank is an int, got True"),
    ({"options": [1]}, TypeError, r"options is a dict, got \[1\]"),
    ({"options": {1: 2}}, TypeError, r"options is a dict of names, got \{1: 2\}"),
    (
        {"limits": {"flops": "few"}},
        TypeError,
        "the limit of flops is a tuple of the allowed values or a largest number, got 'few'",
    ),
    ({"precision": 3}, TypeError, "precision is a str, got 3"),
    ({"dtypes": ("float33",)}, ValueError, "no dtype 'float33'; did you mean 'float32'"),
    ({"speed": 1}, TypeError, r"register\('matmul', 'x'\): no argument speed"),
]


def test_bad_declarations_make_their_variants_unavailable_and_break_nothing_else(tmp_path):
    for i, (bad, _, _) in enumerate(BAD_DECLARATIONS):
        words = ", ".join(f"{key}={value!r}" for key, value in bad.items())
        (tmp_path / f"bad{i}.py").write_text(KERNEL.format(name=f"x{i}").replace("rank=1", words))
        distribution(tmp_path, f"bad{i}", {"matmul": f"bad{i}"})
    reasons, product = python(
        """
        import json, registry, numpy as np
        reasons = {v.name: v.reason for v in registry.variants("matmul")}
        print(json.dumps([reasons, registry.get("matmul")(np.eye(2), np.eye(2)).tolist()]))
        """,
        path=[tmp_path],
    )
    assert reasons["numpy"] is None
    assert product == [[1, 0], [0, 1]]
    for i, (_, _, message) in enumerate(BAD_DECLARATIONS):
        own = message.replace("'x'", f"'x{i}'")
        assert re.search(f"line 6 cannot be read: .*{own}", reasons[f"x{i}"])


def test_reserved_names_and_bad_declarations_are_refused():
    zoo = fresh_zoo()
    for name in ("auto", "cpu", "cuda", ""):
        with pytest.raises(ValueError, match="selectors"):
            zoo.register("matmul", name)
    with pytest.raises(ValueError, match="device is one of cpu, cuda, got 'tpu'"):
        zoo.register("matmul", "x", device="tpu")
    for bad, error, message in BAD_DECLARATIONS:
        with pytest.raises(error, match=message):
            zoo.register("matmul", "x", **bad)
    with pytest.raises(UnknownOperation):
        zoo.register("no_such_operation", "x")(len)


def test_an_installed_distribution_brings_variants_and_whole_operations(tmp_path):
    (tmp_path / "fast_kernels.py").write_text(KERNEL.format(name="outside"))
    package = tmp_path / "negation"
    package.mkdir()
    (package / "__init__.py").write_text(OPERATION)
    (package / "plain.py").write_text(
        'from registry import register\n@register("negate", "plain")\ndef negate(x):\n    return -x\n'
    )
    distribution(tmp_path, "outsider", {"matmul": "fast_kernels", "negate": "negation"})
    seen = python(
        """
        import json, registry, numpy as np
        names = [v.name for v in registry.variants("matmul")]
        before = "fast_kernels" in sys.modules
        product = registry.get("matmul", "outside")(np.eye(2), np.eye(2)).tolist()
        negative = registry.get("negate")(np.ones(2)).tolist()
        print(json.dumps([registry.operations(), names, before, product, negative]))
        """,
        path=[tmp_path],
    )
    operations, names, imported_by_listing, product, negative = seen
    assert operations == sorted([*registry.operations(), "negate"])
    assert "outside" in names
    assert not imported_by_listing
    assert product == [[1, 0], [0, 1]]
    assert negative == [-1, -1]


def test_a_broken_distribution_is_listed_with_its_error_and_breaks_nothing_else(tmp_path):
    (tmp_path / "wont_parse.py").write_text("def oops(:\n")
    (tmp_path / "wont_import.py").write_text(KERNEL.format(name="wont_import").replace("import numpy", "import nonesuch"))
    (tmp_path / "unliteral.py").write_text('NAME = "x"\n' + KERNEL.format(name="y").replace('"y"', "NAME"))
    (tmp_path / "disagrees.py").write_text(
        'from registry import register as r\nimport registry\nregister = lambda *a, **k: r(*a, **(k | {"rank": 9}))\n'
        '@register("matmul", "disagrees", rank=1)\ndef matmul(a, b):\n    return a\n'
    )
    for i, module in enumerate(("wont_parse", "wont_import", "absent_module", "unliteral", "disagrees")):
        distribution(tmp_path, f"broken{i}", {"matmul": module})
    seen = python(
        """
        import json, registry, numpy as np
        reasons = {}
        for name in ("wont_parse", "wont_import", "absent_module", "unliteral", "disagrees"):
            try:
                registry.get("matmul", name)
            except registry.VariantUnavailable as error:
                reasons[name] = str(error)
        listed = {v.name: v.reason for v in registry.variants("matmul")}
        print(json.dumps([reasons, listed, registry.get("matmul")(np.eye(2), np.eye(2)).tolist()]))
        """,
        path=[tmp_path],
    )
    reasons, listed, product = seen
    assert "SyntaxError" in reasons["wont_parse"]
    assert "No module named 'nonesuch'" in reasons["wont_import"]
    assert "No module named 'absent_module'" in reasons["absent_module"]
    assert "must be literals" in reasons["unliteral"]
    assert "was read with other rank" in reasons["disagrees"]
    assert all(listed[name] for name in reasons)
    assert listed["numpy"] is None
    assert product == [[1, 0], [0, 1]]


def test_an_operation_without_a_contract_is_named_with_the_reason(tmp_path):
    for name, contract in (("broken", "def broken(:\n"), ("nameless", "ARRAYS = ()\n"), ("foreign", "X = 1\n")):
        folder = tmp_path / "kernels" / name
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(contract)
        if name != "foreign":  # another distribution's
            (folder / "plain.py").write_text(KERNEL.format(name="plain").replace("matmul", name))
    (tmp_path / "halved.py").write_text("def halve(:\n")
    distribution(tmp_path, "halved", {"halve": "halved", "double": "doubled", "matmull": "kernels_of_matmul"})
    (tmp_path / "kernels_of_matmul.py").write_text(KERNEL.format(name="other"))
    zoo = Zoo(tmp_path / "kernels")
    assert zoo.operations() == ()
    assert set(zoo.broken_operations()) == {"broken", "nameless"}
    for name, reason in (("broken", r"__init__\.py cannot be read: SyntaxError"), ("nameless", "defines no function nameless")):
        with pytest.raises(UnknownOperation, match=f"no operation '{name}': .*{reason}"):
            zoo.get(name)
    with pytest.raises(UnknownOperation, match=r"no operation 'foreign' \(there are: none\)"):
        zoo.get("foreign")
    done = process("list", cwd=tmp_path)
    listed = done.stdout + done.stderr
    assert "matmul" in listed
    assert re.search(r"halve: not an operation: .*halved.py cannot be read: SyntaxError", listed)
    assert "double: not an operation: entry point double = doubled failed: ModuleNotFoundError" in listed
    assert re.search(r"matmull: not an operation: .*kernels_of_matmul.py defines no function matmull", listed)
    assert re.search(r"no operation 'halve': .*halved.py cannot be read", process("list", "halve", cwd=tmp_path, code=1).stderr)


WRONG_CONTRACTS = [
    ("import numpy", "import nonesuch", "failed to import: ModuleNotFoundError: No module named 'nonesuch'"),
    ('x: Float[Array, "n"]', "x", "argument x: expected an annotation"),
    ("x: Float", "x: Flat", "argument x: Flat[Array, 'n']: NameError: name 'Flat' is not defined"),
    ('"n"]) ->', '"n-1"]) ->', "argument x: the extents in Float[Array, 'n-1'] are names"),
    (' -> Float[Array, "n"]', "", "a definition takes arrays and gives one"),
    ("import numpy", "FINITE = ('y',)\nimport numpy", "FINITE names y, which is no array of the definition (x)"),
]


def test_what_is_wrong_with_a_contract_is_one_line(tmp_path):
    lines = []
    for i, (old, new, _) in enumerate(WRONG_CONTRACTS):
        source = OPERATION.replace(old, new, 1) + KERNEL.format(name="plain").replace('"matmul"', '"negate"')
        (tmp_path / f"negation{i}.py").write_text(source.replace("negate", f"negate{i}"))
        distribution(tmp_path, f"negation{i}", {f"negate{i}": f"negation{i}"})
        lines += [f"explain negate{i}", f"check negate{i} plain", f"list negate{i}"]
    said = several(*lines, cwd=tmp_path, codes=(1, 1, 0) * len(WRONG_CONTRACTS))
    for i, (_, _, reason) in enumerate(WRONG_CONTRACTS):
        *refusals, listed = said[3 * i : 3 * i + 3]
        for each in refusals:
            (line,) = each.stderr.splitlines()
            assert re.match(rf"kernel-zoo: negate{i}: .* in .*negation{i}\.py ", line)
            assert reason in line
        assert "plain" in listed.stdout


def test_the_command_has_one_line_for_what_no_one_foresaw(tmp_path):
    (tmp_path / "negation.py").write_text(OPERATION + "def validate(x):\n    {}['key']\n")
    distribution(tmp_path, "negation", {"negate": "negation"})
    assert process("explain", "negate", cwd=tmp_path, code=1).stderr == "kernel-zoo: KeyError: 'key'\n"


def test_a_file_that_brings_nothing_is_listed_with_the_reason(tmp_path):
    folder = tmp_path / "kernels" / "negate"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(OPERATION)
    (folder / "misspelt.py").write_text(KERNEL.format(name="misspelt").replace("matmul", "negatte"))
    (folder / "idle.py").write_text("def negate(x):\n    return -x\n")
    (folder / "_shared.py").write_text("X = 1\n")
    reasons = {v.name: v.reason for v in Zoo(tmp_path / "kernels").variants("negate")}
    assert set(reasons) == {"misspelt", "idle", "definition", "definition_cuda"}
    assert "line 6 cannot be read: no operation 'negatte'; did you mean 'negate'?" in reasons["misspelt"]
    assert "registers no variant of negate" in reasons["idle"]


def test_what_may_be_several_variants_is_not_taken_for_one(tmp_path):
    lines = "show matmul cuda", "show matmul auto", "check matmul auto", "check matmul cpu"
    *refusals, shown = several(*lines, "show matmul numba_dot", cwd=tmp_path, codes=(1, 1, 1, 1, 0))
    for line, said in zip(lines, refusals, strict=True):
        name = line.split()[-1]
        assert re.fullmatch(rf"kernel-zoo: matmul: '{name}' may mean several variants; name one \(.*, .*\)\n", said.stderr)
    assert re.search(r"^arrays: +numpy$", shown.stdout, re.MULTILINE)
    assert re.search(r"^layout: +C$", shown.stdout, re.MULTILINE)


def test_two_files_with_one_name_are_refused_with_both_places(tmp_path):
    folder = tmp_path / "kernels" / "negate"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(OPERATION)
    for file in ("one.py", "two.py"):
        (folder / file).write_text(KERNEL.format(name="plain").replace("matmul", "negate"))
    with pytest.raises(DuplicateVariant, match=r"negate: variant 'plain' is registered twice: .*one\.py:6 and .*two\.py:6"):
        Zoo(tmp_path / "kernels").variants("negate")


def test_stray_files_cost_no_more_than_a_line_in_the_list(tmp_path):
    shutil.copy(ROOT / "registry.py", tmp_path)
    shutil.copytree(ROOT / "kernels", tmp_path / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    folder = tmp_path / "kernels" / "matmul"
    kernel = (folder / "numpy.py").read_text()
    (folder / "numpy copy.py").write_text(kernel)
    (folder / "numpy.orig.py").write_text(kernel)
    (folder / ".#numpy.py").symlink_to("me@here.1234:5678")  # Emacs locks the file it edits
    (folder / "._numpy.py").write_bytes(b"\x00\x05\x16\x07")  # macOS keeps attributes so on a foreign disk
    (folder / "gone.py").symlink_to("nowhere.py")
    (folder / "latin.py").write_bytes(b"# caf\xe9\n" + kernel.replace('"numpy"', '"latin"').encode())
    (folder / "old.py").mkdir()
    os.mkfifo(folder / "pipe.py")  # whoever reads it waits for a writer
    (folder / "cuda.py").write_text("def matmul(:")  # a selector's name
    (folder / "deep.py").write_text("x = " + "-" * 100_000 + "1")
    (folder / "exits.py").write_text("raise SystemExit(3)\n" + KERNEL.format(name="exits"))
    (tmp_path / "kernels" / "odd" / "__init__.py").mkdir(parents=True)
    reasons, said, product = python(
        """
        import json, registry, numpy as np
        try:
            registry.get("matmul", "exits")
        except registry.VariantUnavailable as error:
            said = str(error)
        reasons = {v.name: v.reason for v in registry.variants("matmul")}
        print(json.dumps([reasons, said, registry.get("matmul")(np.eye(2), np.eye(2)).tolist()]))
        """,
        path=[tmp_path],
    )
    assert product == [[1, 0], [0, 1]]
    assert said == "matmul: variant 'exits' cannot run here: its file failed to import: SystemExit: 3"
    for name, words in {
        "numpy copy": "Python cannot import a file of the name numpy copy.py",
        "numpy.orig": "Python cannot import a file of the name numpy.orig.py",
        "gone": "No such file",
        "latin": "latin.py is neither UTF-8 nor in an encoding that it declares",
        "old": "old.py is a folder",
        "pipe": "pipe.py is no regular file",
        "cuda (kernels.matmul.cuda)": "invalid syntax",
        "deep": "its source cannot be read",
        "exits": "SystemExit: 3",
    }.items():
        reason = reasons.pop(name)
        assert words in reason
        assert "\n" not in reason
    assert reasons == {v.name: v.reason for v in Zoo(ROOT / "kernels").variants("matmul")}


NEIGHBOURS = {
    "greedy": KERNEL.format(name="numpy") + KERNEL.format(name="generous"),  # a built-in's name
    "first": KERNEL.format(name="shared"),
    "second": KERNEL.format(name="shared"),
    "itself": KERNEL.format(name="twice") + KERNEL.format(name="twice"),
    "skips": "import pytest\npytest.skip('no GPU\\nhere', allow_module_level=True)\n" + KERNEL.format(name="skips"),
    "exits": "import sys\nsys.exit()\n" + KERNEL.format(name="exits"),
    "halts": OPERATION.replace("negate", "halve").replace("import numpy as np", "raise SystemExit"),
}


def test_a_bad_neighbour_costs_its_own_variant_alone(tmp_path):
    for module, source in NEIGHBOURS.items():
        (tmp_path / f"{module}.py").write_text(source)
        distribution(tmp_path, module, {"halve" if module == "halts" else "matmul": module})
    distribution(tmp_path, "again", {"matmul": "first"})  # the same file, declared twice
    distribution(tmp_path, "illegible", {})
    (tmp_path / "illegible-1.0.dist-info" / "entry_points.txt").write_bytes(b"\xff\xfe")
    listed, said, products = python(
        """
        import json, registry, numpy as np
        builtin = {v.name for v in registry.Zoo(registry.zoo().folder).variants("matmul") if "kernels" in v.module}
        before = [v.name for v in registry.variants("matmul")]
        said, products = {}, {}
        for name in ("numpy", *sorted({*before} - builtin)):
            try:
                products[name] = registry.get("matmul", name)(np.eye(2), np.eye(2)).tolist() == [[1, 0], [0, 1]]
            except registry.VariantUnavailable as error:
                said[name] = str(error)
        try:
            registry.contract("halve")
        except registry.VariantUnavailable as error:
            said["halve"] = str(error)
        listed = {v.name: v.reason for v in registry.variants("matmul")}
        print(json.dumps([listed, said, products]))
        """,
        path=[tmp_path],
    )
    assert products == dict.fromkeys(("numpy", "generous", "shared", "twice"), True)
    for name, words in {
        "numpy (greedy)": r"'numpy' is registered twice: .*numpy\.py:\d+ and .*greedy\.py:6",
        "shared (second)": r"'shared' is registered twice: .*first\.py:6 and .*second\.py:6",
        "twice (itself)": r"'twice' is registered twice: .*itself\.py:6 and .*itself\.py:14",
        "skips": "failed to import: Skipped: no GPU here",
        "exits": "failed to import: SystemExit$",
    }.items():
        assert re.search(words, listed[name])
        assert re.search(rf"variant '{re.escape(name)}' cannot run here: .*{words}", said[name])
    assert re.search(r"halve: the contract in .*halts\.py failed to import: SystemExit$", said["halve"])
