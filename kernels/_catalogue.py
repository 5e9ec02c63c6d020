"""The catalogue as the source of the kernel files states it, read with `ast`: no kernel file is imported.

Loads the standard library alone.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.util import decode_source
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeGuard

from kernels._machine import find_spec
from kernels._variant import FIRST, OF_DEFINITION, SELECTORS, STATED, DuplicateVariant, Variant, declare, unknown

ENTRY_POINTS = "kernel_zoo"


class Provider:
    """A module or package whose source may hold an operation's contract and variants.

    `contract` is the function that carries the operation's name in the first file; where it is None, `failure` says why.
    """

    def __init__(
        self, operation: str, module: str, files: tuple[Path, ...], *, failure: str = "", built_in: bool = False
    ) -> None:
        self.operation, self.module, self.files, self.failure, self.built_in = operation, module, files, failure, built_in
        self.contract: ast.FunctionDef | None = None
        self.stated: ast.expr | None = None  # what the file says of its definition as a variant
        if files:
            try:
                body = _tree(files[0]).body
            except Exception as error:
                self.failure = f"{files[0]} cannot be read: {one_line(error)}"
                return
            named = [node for node in body if isinstance(node, ast.FunctionDef) and node.name == operation]
            self.contract = next((node for node in named if not any(map(_registers, node.decorator_list))), None)
            self.failure = "" if self.contract else f"{files[0]} defines no function {operation}"
            for node in body:
                if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == [STATED]:
                    self.stated = node.value


class Claim(NamedTuple):
    """What one register line says, or a file that brings no variant; `failure` says why it cannot run."""

    name: str
    module: str
    file: str
    line: int = 0
    doc: str = ""
    declared: Mapping[str, Any] = MappingProxyType({})
    failure: str = ""


def providers(folder: Path) -> dict[str, list[Provider]]:
    """Return who provides each operation: a folder of ours, then what installed distributions declare as entry points."""
    found: dict[str, list[Provider]] = {}
    for path in sorted(folder.glob("[!_.]*/__init__.py")):
        name = path.parent.name
        ours = Provider(name, f"kernels.{name}", _python_files(path.parent), built_in=True)
        # Another distribution may keep folders of its own in `kernels`.
        if ours.contract or any(map(_mentions_register, ours.files)):
            found[name] = [ours]
    for operation, value in sorted({(point.name, point.value) for point in _entry_points()}):
        found.setdefault(operation, []).append(_installed(operation, value))
    return found


def _entry_points() -> Iterator[Any]:
    from importlib import metadata

    try:
        yield from metadata.entry_points(group=ENTRY_POINTS)
    except Exception:  # a distribution's own file of entry points cannot be read: look for ours in the others
        for distribution in metadata.distributions():
            try:
                yield from distribution.entry_points.select(group=ENTRY_POINTS)
            except Exception:  # what it would have brought cannot be told
                continue


def _installed(operation: str, module: str) -> Provider:
    try:
        spec = find_spec(module)
        if spec is None or not spec.origin:
            raise ModuleNotFoundError(f"No module named {module!r}")
        folders = list(spec.submodule_search_locations or ())
    except Exception as error:
        return Provider(operation, module, (), failure=f"entry point {operation} = {module} failed: {one_line(error)}")
    return Provider(operation, module, _python_files(Path(folders[0])) if folders else (Path(spec.origin),))


def first_claims(provider: Provider) -> Iterator[Claim]:
    """Yield what an operation's definition is as a variant, on each device."""
    operation, contract = provider.operation, provider.contract
    if contract is None:
        return
    idea = f"{operation} by its definition as it is, on the caller's own arrays.\n\n{ast.get_docstring(contract) or ''}"
    place = Claim("", provider.module, os.path.realpath(provider.files[0]), contract.lineno, idea.rstrip())
    for name, kind in FIRST.items():
        try:
            stated = ast.literal_eval(provider.stated) if provider.stated else {}
            declared = declare(operation, name, **{**OF_DEFINITION, **kind, **stated})
        except Exception as error:
            failure = f"{STATED} in {place.file} cannot be read: {one_line(error, bare=True)}"
            yield place._replace(name=name, failure=failure)
            continue
        yield place._replace(name=name, declared=declared)


def claims(provider: Provider, operations: Iterable[str]) -> Iterator[Claim]:
    """Yield what the files of a provider claim for its operation; a file that brings none, where it should, as a failure."""
    if not provider.files:
        yield Claim(provider.module, provider.module, provider.module, failure=provider.failure)
    for path in provider.files:
        module = provider.module
        if path.stem != "__init__" and len(provider.files) > 1:
            module += f".{path.stem}"
        blank = Claim(path.stem, module, os.path.realpath(path))
        try:
            tree = _tree(path)
        except Exception as error:
            yield blank._replace(failure=f"its source cannot be read: {one_line(error)}")
            continue
        lines = list(_register_lines(tree))
        made = [claim for line in lines if (claim := _claim(*line, blank, provider.operation, tuple(operations)))]
        yield from made
        # A contract registers nothing, and a package of another distribution may hold modules of any kind.
        needed = path.stem != "__init__" if provider.built_in else len(provider.files) == 1 and not provider.contract
        if needed and not made:
            failure = f"registers no variant of {provider.operation} (shared code has a name with a leading underscore)"
            yield blank._replace(failure=failure)


class Reading(NamedTuple):
    """What was read of one operation.

    Attributes
    ----------
    variants : dict
        By name.
    broken : dict
        Files that cannot be used, with the reason.
    refused : dict
        Listed names of variants that cannot be had under their name, or whose statement cannot be read, with the reason.
    skipped : set
        The same variants, by their file and the name in their register line.
    """

    variants: dict[str, Variant]
    broken: dict[str, str]
    refused: dict[str, str]
    skipped: set[tuple[str, str]]


def read(operation: str, by: list[Provider], operations: Iterable[str], why_not: Callable[[Variant], str | None]) -> Reading:
    """Decide which variant gets which name: built-in before installed; what cannot run comes last, under a name that is left.

    `by` are the providers of the operation.
    """
    author = next(provider for provider in by if provider.contract)
    stated = [(author, claim) for claim in first_claims(author)]
    stated += [(provider, claim) for provider in by for claim in claims(provider, operations)]
    reading = Reading({}, {}, {}, set())
    for provider, claim in sorted(stated, key=lambda each: bool(each[1].failure)):
        taken, name = reading.variants.get(claim.name), claim.name
        if taken is not None or name in SELECTORS:
            alternatives = (f"{name} ({claim.module})", f"{name} ({claim.file}:{claim.line})")
            name = next(other for other in alternatives if other not in reading.variants)
        if claim.failure and claim.name in FIRST:
            reading.refused[name] = claim.failure  # the file's other variants serve
        elif claim.failure:
            reading.broken.setdefault(claim.file, claim.failure)
        elif taken is not None:
            twice = f"variant {claim.name!r} is registered twice: {taken.source} and {claim.file}:{claim.line}"
            if provider.built_in:
                raise DuplicateVariant(f"{operation}: {twice}")
            reading.refused[name] = twice
            reading.skipped.add((claim.file, claim.name))
        stated_there: dict[str, Any] = {"operation": operation, **claim.declared, "name": name}
        place: dict[str, Any] = {"module": claim.module, "file": claim.file, "line": claim.line, "doc": claim.doc}
        reading.variants[name] = Variant(**stated_there, **place, _why_not=why_not)
    return reading


def _claim(call: ast.Call, doc: str, blank: Claim, operation: str, operations: tuple[str, ...]) -> Claim | None:
    """Return what a register line claims for an operation; None if it speaks of another operation."""
    here = blank._replace(line=call.lineno, doc=doc)
    try:
        declared = _declare_line(call)
        other = declared["operation"]
        if other not in operations:
            raise ValueError(unknown(f"no operation {other!r}", other, operations))
    except Exception as error:  # importing the file will fail of it, and take its other variants along
        failure = f"line {call.lineno} cannot be read: {one_line(error, bare=True)}"
        return here._replace(name=_name_in(call) or here.name, failure=failure)
    return here._replace(name=declared["name"], declared=declared) if other == operation else None


def one_line(error: BaseException, *, bare: bool = False) -> str:
    """Return an error's name and message in one line; the message alone if `bare` and there is one."""
    message = " ".join(str(error).split())
    return message if bare and message else ": ".join(filter(None, (type(error).__name__, message)))


def _python_files(folder: Path) -> tuple[Path, ...]:
    """The contract first, then the kernel files.

    A name with a leading underscore is shared machinery, one with a leading dot an editor's or a file system's own.
    """
    return (folder / "__init__.py", *(p for p in sorted(folder.glob("*.py")) if not p.name.startswith(("_", "."))))


def _mentions_register(path: Path) -> bool:
    try:
        return path.is_file() and b"from registry import register" in path.read_bytes()
    except OSError:
        return False


def _tree(path: Path) -> ast.Module:
    if path.suffix != ".py":
        raise ValueError(f"{path.name} is not Python source")
    if not path.stem.isidentifier():
        raise ValueError(f"Python cannot import a file of the name {path.name}")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path.name} is {'a folder' if path.is_dir() else 'no regular file'}")
    source = path.read_bytes()
    try:
        text = decode_source(source)  # as an import does: ast takes some bytes that an import refuses
    except (SyntaxError, UnicodeError) as error:
        raise ValueError(f"{path.name} is neither UTF-8 nor in an encoding that it declares ({error})") from error
    return ast.parse(text, filename=str(path))


def _registers(node: ast.expr) -> TypeGuard[ast.Call]:
    """Whether a decorator reads `register(...)` or `registry.register(...)`."""
    return isinstance(node, ast.Call) and "register" in (getattr(node.func, "id", None), getattr(node.func, "attr", None))


def _register_lines(tree: ast.Module) -> Iterator[tuple[ast.Call, str]]:
    """Yield each register line of a module, with the docstring of its function or of the module."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            for call in filter(_registers, node.decorator_list):
                yield call, ast.get_docstring(node) or ast.get_docstring(tree) or ""


def _declare_line(call: ast.Call) -> dict[str, Any]:
    """Read what a register line declares."""
    try:
        arguments = [ast.literal_eval(value) for value in call.args]
        keywords = {keyword.arg or "**": ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (TypeError, ValueError):
        keywords = {"**": None}
    if "**" in keywords:
        raise ValueError("the arguments of register must be literals")
    keywords |= dict(zip(("operation", "name"), arguments, strict=False))
    if len(arguments) > 2 or not {"operation", "name"} <= keywords.keys():
        raise TypeError("register takes the operation's name, the variant's name, and keyword arguments")
    return declare(**keywords)


def _name_in(call: ast.Call) -> str | None:
    """The variant's name in a register line that may say anything else."""
    name = call.args[1].value if len(call.args) > 1 and isinstance(call.args[1], ast.Constant) else None
    return name if isinstance(name, str) and name not in ("", *SELECTORS) else None
