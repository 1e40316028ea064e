"""The house rules: formatting, types, layers, sizes, and generated/ being what the specs give."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from optode.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "optode"
RUNTIME = PACKAGE / "runtime"
COMMANDS = (
    "ruff check .",
    "ruff format --check .",
    "mypy",
    "lint-imports",
)

LINES_OF_A_RUNTIME_FILE = 250
LINES_OF_A_RUNTIME_FUNCTION = 40
METHODS_OF_A_RUNTIME_CLASS = 12
FUNCTIONS_FOR_EACH_ANY = 10
LINES_OF_A_FILE = 300
LINES_OF_A_FUNCTION = 50
LINES_OF_A_MODULE = 300
LINES_OF_THE_MEDIAN_MODULE = 150
RUNTIME_IMPORTS = {"torch", "torchdiffeq", "torchode", *sys.stdlib_module_names}
COMPILER_LIBRARIES = ("sympy", "jinja2", "typer", "rich", "yaml")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@pytest.mark.parametrize("command", COMMANDS)
def test_passes(command: str) -> None:
    program, *options = command.split()
    done = subprocess.run(
        (Path(sys.executable).parent / program, *options),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_generated_is_what_the_specs_give() -> None:
    """In this process, where other tests have derived many of the specs."""
    options = ["generate", "--all", "--check", "-o", str(ROOT / "generated")]
    result = CliRunner().invoke(app, options)
    assert result.exit_code == 0, result.output


def files(in_runtime: bool) -> list[Path]:
    """The package's files in the runtime, or those outside it."""
    return [p for p in sorted(PACKAGE.rglob("*.py")) if p.is_relative_to(RUNTIME) is in_runtime]


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def nodes(paths: list[Path]) -> Iterator[tuple[str, ast.AST]]:
    """Every node of the files' syntax trees, with the name of its file."""
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        yield from ((str(path.relative_to(ROOT)), node) for node in ast.walk(tree))


def functions(paths: list[Path]) -> Iterator[tuple[str, Function]]:
    """Every function with ``file:name`` in front."""
    for file, node in nodes(paths):
        if isinstance(node, Function):
            yield f"{file}:{node.name}", node


def annotations(function: Function) -> Iterator[ast.expr]:
    """The annotations of a signature."""
    given = function.args
    arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    found = [a.annotation for a in arguments if a is not None]
    yield from (annotation for annotation in [*found, function.returns] if annotation is not None)


def says_any(function: Function) -> bool:
    """Whether the name Any stands in a signature."""
    inner = (node for annotation in annotations(function) for node in ast.walk(annotation))
    return any(
        (isinstance(node, ast.Name) and node.id == "Any")
        or (isinstance(node, ast.Attribute) and node.attr == "Any")
        or (isinstance(node, ast.Constant) and node.value == "Any")
        for node in inner
    )


@pytest.mark.parametrize(
    ("in_runtime", "file_limit", "function_limit"),
    [
        (True, LINES_OF_A_RUNTIME_FILE, LINES_OF_A_RUNTIME_FUNCTION),
        (False, LINES_OF_A_FILE, LINES_OF_A_FUNCTION),
    ],
    ids=["runtime", "compiler"],
)
def test_files_and_functions_are_short(
    in_runtime: bool, file_limit: int, function_limit: int
) -> None:
    paths = files(in_runtime)
    long_files = {str(p.relative_to(ROOT)): n for p in paths if (n := lines_of(p)) > file_limit}
    sizes = {name: (f.end_lineno or 0) - f.lineno + 1 for name, f in functions(paths)}
    long_functions = {name: n for name, n in sizes.items() if n > function_limit}
    assert (long_files, long_functions) == ({}, {})


def test_classes_of_the_runtime_are_small() -> None:
    classes = [(f, node) for f, node in nodes(files(True)) if isinstance(node, ast.ClassDef)]
    counted = {
        f"{file}:{node.name}": sum(isinstance(child, Function) for child in node.body)
        for file, node in classes
    }
    assert {c: n for c, n in counted.items() if n > METHODS_OF_A_RUNTIME_CLASS} == {}


def test_signatures_of_the_runtime_have_types() -> None:
    found = [*functions(files(True))]
    vague = [name for name, function in found if says_any(function)]
    assert len(vague) * FUNCTIONS_FOR_EACH_ANY <= len(found), "\n".join(vague)


def test_the_runtime_imports_only_torch_and_its_solvers() -> None:
    """Its own files relatively, so that the folder can be copied under any name."""
    outside = []
    for file, node in nodes(files(True)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        outside += [f"{file}: {n}" for n in names if n.split(".")[0] not in RUNTIME_IMPORTS]
    assert outside == []


def test_the_runtime_loads_nothing_of_the_compiler() -> None:
    program = f"import sys, optode.runtime; print({{*sys.modules}} & {set(COMPILER_LIBRARIES)})"
    done = subprocess.run(
        (sys.executable, "-c", program), cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_generated_modules_are_short() -> None:
    sizes = {path.name: lines_of(path) for path in (ROOT / "generated").glob("*.py")}
    assert {name: n for name, n in sizes.items() if n > LINES_OF_A_MODULE} == {}
    assert statistics.median(sizes.values()) <= LINES_OF_THE_MEDIAN_MODULE
