"""The wheel works on its own: outside the repository, with the templates and specs that ship inside it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from optode.version import __version__

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = (
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "MANIFEST.in",
    "CHANGELOG.md",
    "docs",
    "examples",
    "optode",
    "templates",
    "specs",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel by way of the source distribution, built from a copy so that the tree stays clean."""
    tree = tmp_path_factory.mktemp("tree")
    for name in SHIPPED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tree)
    folder = tmp_path_factory.mktemp("dist")
    # No isolation: an isolated build would fetch setuptools.
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, tree, folder=tree)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the programs of an environment that has the wheel, and the dependencies of this one."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False)
    scheme = "venv" if "venv" in sysconfig.get_scheme_names() else "posix_prefix"  # Python 3.10
    paths = sysconfig.get_paths(scheme, {"base": str(home), "platbase": str(home)})
    programs, packages = Path(paths["scripts"]), Path(paths["purelib"])
    # A folder named in a .pth file is searched; its own .pth files, an editable optode's, are not run.
    here = dict.fromkeys(sysconfig.get_paths()[kind] for kind in ("purelib", "platlib"))
    (packages / "dependencies.pth").write_text("".join(f"{path}\n" for path in here))
    pip = (sys.executable, "-m", "pip", "--python", programs / "python")
    run(*pip, "install", "--no-index", "--no-deps", "--ignore-installed", wheel, folder=home)
    return programs


def test_lists_the_shipped_specs(programs: Path, tmp_path: Path) -> None:
    listing = run(programs / "optode", "list", folder=tmp_path)
    for spec in (ROOT / "specs").glob("*.yaml"):
        assert re.search(rf"\b{spec.stem}\b", listing), f"{spec.stem} is missing in\n{listing}"


def test_generates_the_same_module_as_the_tree(programs: Path, tmp_path: Path) -> None:
    run(programs / "optode", "generate", "adam.yaml", folder=tmp_path)
    (module,) = tmp_path.rglob("adam.py")
    assert module.read_bytes() == (ROOT / "generated" / "adam.py").read_bytes()


def test_templates_and_specs_lie_inside_the_package(programs: Path, tmp_path: Path) -> None:
    report = "import optode; print(optode.__file__)"
    package = Path(run(programs / "python", "-c", report, folder=tmp_path).strip()).parent
    assert package.is_relative_to(programs.parent), f"imported from {package}, not from the wheel"
    for inside, outside in (("_templates", "templates"), ("_specs", "specs")):
        shipped = {path.name for path in (package / inside).iterdir() if path.suffix != ".py"}
        expected = {path.name for path in (ROOT / outside).iterdir() if path.suffix != ".py"}
        assert shipped - {"__pycache__"} == expected - {"__pycache__"}
    assert (package / "py.typed").is_file()


def test_every_module_is_in_the_wheel(wheel: Path) -> None:
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "optode").rglob("*.py")}
    with zipfile.ZipFile(wheel) as archive:
        assert modules - {*archive.namelist()} == set()


def test_wheel_is_named_by_the_version(wheel: Path) -> None:
    assert wheel.name == f"optode-{__version__}-py3-none-any.whl"


@pytest.mark.parametrize(
    ("file", "pattern"),
    [("CITATION.cff", r"^version: (\S+)$"), ("CHANGELOG.md", r"^## \[(\S+)\]")],
)
def test_documents_name_the_same_version(file: str, pattern: str) -> None:
    found = re.search(pattern, (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    assert found[1] == __version__


def run(*command: str | Path, folder: Path) -> str:
    """Standard output of a command that must succeed, run in a folder without this tree on the path."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


USER = """\
from pathlib import Path

import optode
from optode.runtime import Node

derivation: optode.Derivation = optode.derive("adam")
paths: list[Path] = optode.generate("adam", directory="models")
text: str = derivation.show("limit", form="latex")
errors: tuple[optode.Diagnostic, ...] = optode.check("adam")


def evaluations(node: Node) -> int:
    return node.integrate(node.initial_states(node.span[0])).stats.forward_nfe  # type: ignore
"""


def test_types_hold_in_the_code_of_users(programs: Path, tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(USER)
    command = (sys.executable, "-m", "mypy", "--strict", "--python-executable", programs / "python")
    (tmp_path / "wrong.py").write_text('import optode\n\nn: int = optode.derive("adam").name\n')
    done = subprocess.run(
        [*map(str, command), "user.py", "wrong.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "wrong.py:3: error: Incompatible types in assignment" in done.stdout
    assert "Found 1 error in 1 file (checked 2 source files)" in done.stdout


def test_the_source_distribution_has_what_readers_need(wheel: Path) -> None:

    (source,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("CHANGELOG.md", "docs/guide/writing-specs.md", "examples/own_optimizer.ipynb"):
        assert name in names
    assert "specs/optode.schema.json" in names


def test_the_text_on_a_package_index_has_no_links_into_the_repository() -> None:
    text = (ROOT / "docs" / "package.md").read_text(encoding="utf-8")
    assert not re.search(r"\]\((?!https?://)", text)
    count = len([*(ROOT / "specs").glob("*.yaml")])
    assert f"{count} optimizers" in text


def test_the_oldest_packages_are_those_that_are_asked_for() -> None:
    """`make lowest` pins every package that an optode user may have, extras and all."""
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "lowest.py"], capture_output=True, text=True, check=True
    )
    pinned = {each.name: each for each in map(Requirement, done.stdout.splitlines())}
    tools = {"build", "import-linter", "mypy", "ruff", "setuptools", "types-PyYAML"}
    for asked in map(Requirement, requires("optode") or []):
        lower = next((s.version for s in asked.specifier if s.operator == ">="), None)
        if asked.name in tools or lower is None:  # what is pinned needs no other pin
            continue
        (pin,) = pinned[asked.name].specifier
        assert pin.operator == "==" and Version(pin.version) >= Version(lower), asked
