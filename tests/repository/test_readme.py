"""What the README shows runs, and prints what it says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from optode.cli.main import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODULES = (ROOT / "docs" / "guide" / "modules.md").read_text(encoding="utf-8")


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


def test_python_blocks_run() -> None:
    """Each with names of its own, all in one process: torch is slow to load."""
    shown = blocks("python") + blocks("python", MODULES)
    assert len(shown) == 7
    program = f"for block in {shown!r}:\n    exec(block, {{'__name__': '__main__'}})"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_shell_transcripts_are_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    transcripts = [block for block in blocks("sh") if block.startswith("$ ")]
    assert len(transcripts) == 2
    for part in [part for block in transcripts for part in block.split("$ ")[1:]]:
        command, _, expected = part.partition("\n")
        assert CliRunner().invoke(app, shlex.split(command)[1:]).stdout == expected


def test_the_spec_shown_is_the_one_that_ships() -> None:
    (shown,) = blocks("yaml")
    assert shown == (ROOT / "specs" / "heavy_ball.yaml").read_text(encoding="utf-8")


def test_the_equations_shown_are_those_generated() -> None:
    (shown,) = blocks("text")
    assert shown in (ROOT / "generated" / "heavy_ball.py").read_text(encoding="utf-8")


def test_every_model_in_the_table_ships() -> None:
    named = set(re.findall(r"^\| `(\w+)` \|", README, re.M))
    assert len(named) == 9
    assert named <= {path.stem for path in (ROOT / "specs").glob("*.yaml")}


def test_the_catalogue_is_what_the_command_prints() -> None:
    shown = (ROOT / "docs" / "reference" / "catalogue.md").read_text(encoding="utf-8")
    assert shown == CliRunner().invoke(app, ["list", "--format", "markdown"]).stdout
