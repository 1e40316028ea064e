"""Links of the documents resolve, and the specs that they show are read as they say."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
from packaging.version import Version

import optode
from docs import commands, functions, transcripts
from optode.cli.main import app
from optode.language.function_names import FUNCTION_NAMES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
DOCUMENTS = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
GUIDE = (DOCS / "guide" / "writing-specs.md").read_text(encoding="utf-8")
RESULTS = ROOT / "benchmarks" / "results"

_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.S)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.S)


def links(path: Path) -> list[str]:
    """The targets of a document's links to files of the repository."""
    text = _CODE.sub("", path.read_text(encoding="utf-8"))
    return [target for target in _LINK.findall(text) if "://" not in target]


def anchors(path: Path) -> set[str]:
    """The names of a document's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_resolve(path: Path) -> None:
    for target in links(path):
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), f"{path.relative_to(ROOT)} links to {target}"
        assert file.is_relative_to(ROOT)
        if anchor:
            assert anchor in anchors(file), f"{path.relative_to(ROOT)} links to {target}"


def test_the_front_page_links_every_page() -> None:
    front = DOCS / "README.md"
    linked = {(DOCS / target).resolve() for target in links(front)}
    assert {*DOCS.rglob("*.md")} - {front, DOCS / "package.md"} <= linked


def test_the_speed_page_links_every_text() -> None:
    page = DOCS / "speed" / "speed.md"
    linked = {(page.parent / target).resolve() for target in links(page)}
    assert {*RESULTS.glob("*.txt")} <= linked


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_show_what_optode_says(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limits and errors of the specs shown, and what the commands shown print."""
    monkeypatch.chdir(tmp_path)
    page = path.read_text(encoding="utf-8")
    assert transcripts.current(page) == page, "python docs/transcripts.py"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_python_of_pages_runs(path: Path, tmp_path: Path) -> None:
    """The blocks of a page, one after another: a later one may use the names of those before."""
    blocks = [
        text for language, text in _BLOCK.findall(path.read_text("utf-8")) if language == "python"
    ]
    if not blocks:
        return
    file = tmp_path / "page.py"
    file.write_text("\n\n".join(blocks), encoding="utf-8")
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); exec(open({str(file)!r}).read())"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_of_pages_exist(path: Path) -> None:
    """Every `optode ...` in a block of shell is a command with options that it has."""
    known = typer_commands()
    for language, text in _BLOCK.findall(path.read_text("utf-8")):
        if language != "sh":
            continue
        for line in text.splitlines():
            line = line.removeprefix("$ ")
            if not line.startswith("optode "):
                continue
            words = shlex.split(line, comments=True)
            assert words[1] in known or words[1].startswith("--"), line
            options = [
                word.partition("=")[0] for word in words[2:] if word.startswith("-") and word != "-"
            ]
            assert {*options} <= known.get(words[1], {*options}), line


def typer_commands() -> dict[str, set[str]]:
    """Every command with its options."""
    commands: Any = typer.main.get_command(app)
    return {
        name: {option for parameter in command.params for option in parameter.opts} | {"--help"}
        for name, command in commands.commands.items()
    }


@pytest.mark.skipif(
    Version(version("typer")) < Version("0.29"), reason="the page is made with a newer typer"
)
def test_the_page_of_commands_is_their_help() -> None:
    shown = (DOCS / "reference" / "commands.md").read_text(encoding="utf-8")
    assert shown == commands.page(), "python docs/commands.py > docs/reference/commands.md"


SPECS = [text for language, text in _BLOCK.findall(GUIDE) if language == "yaml"]


def test_every_function_is_shown_in_a_rule() -> None:
    assert {*functions.EXAMPLES} == {*FUNCTION_NAMES}
    assert "\n".join(functions.rows()) in GUIDE, "python docs/functions.py"


def test_the_grammar_is_what_is_read() -> None:
    """What the grammar allows is read, and what it does not is refused."""
    good = ["-x**2", "2**-x", "x @ x.T @ x", "(x + 1).T", "1e-3*x", ".5*x"]
    bad = ["x % 2", "x // 2", "x if x else x", "x > 0", "+", "x x", "[x]", "x.y", "lambda: x"]
    rule = "name: g\nstep_size: s\nshape: matrix\nstate: [x]\nupdate: |\n  x[k+1] = x[k] - s*({})\n"
    for text in good:
        optode.parse(rule.format(text))
        assert not {e.code for e in optode.check(optode.parse(rule.format(text)))} & {
            "E201",
            "E202",
        }
    for text in bad:
        try:
            found = {e.code for e in optode.check(optode.parse(rule.format(text)))}
        except optode.SpecError as error:
            found = {e.code for e in error.diagnostics}
        assert found & {"E201", "E202", "E208", "E212", "E214"}, text


def known_keys(tmp_path: Path) -> list[list[str]]:
    """The keys of a spec, of its model and of a parameter, from the hints on an unknown key."""
    file = tmp_path / "unknown.yaml"
    file.write_text(
        "zzzz: 1\nname: unknown\nstep_size: s\nstate: [x]\nupdate: x[k+1] = x[k] - s*grad(x[k])\n"
        "model: {zzzz: 1, class: Unknown, parameters: {c: {zzzz: 1, value: 1}}}\n"
    )
    hints = [error.hint or "" for error in optode.check(file) if error.code == "E107"]
    return [hint.removeprefix("known keys: ").split(", ") for hint in hints]


def test_the_guide_has_every_key(tmp_path: Path) -> None:
    of_spec, of_model, of_parameter = known_keys(tmp_path)
    assert "update" in of_spec and "rename" in of_model and "transform" in of_parameter
    examples = "\n".join(SPECS)
    for key in (*of_spec, *of_model):
        assert f"| `{key}` |" in GUIDE
    for key in (*of_spec, *of_model, *of_parameter):
        assert re.search(rf"\b{key}:", examples), f"no example has `{key}`"
