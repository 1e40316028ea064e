"""What the README shows runs, and prints what it says."""

from __future__ import annotations

import re
from pathlib import Path

from typer.testing import CliRunner

from optode.cli.main import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


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
