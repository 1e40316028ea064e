"""The committed results of the speed benchmark, and the documents that show them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.speed import summary

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
SPEED = (ROOT / "docs" / "speed" / "speed.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", ["training", "forward", "steps", "environment"])
def test_speed_shows_the_results(table):
    assert summary.tables(RESULTS.glob("step_*.json"))[table] in SPEED


@pytest.mark.parametrize("goal", ["1e-6"])
def test_speed_shows_the_other_goals(goal):
    (file,) = RESULTS.glob(f"goal_{goal}.json")
    assert json.loads(file.read_text())["goal"] == float(goal)
    assert summary.tables([file])["steps"] in SPEED


def test_readme_shows_the_results():
    assert summary.tables(RESULTS.glob("step_*.json"), "HBNODE")["training"] in README


PRINTED = [*RESULTS.glob("bounds*.txt")]
PRINTED += [RESULTS / f"{name}.txt" for name in ("growth", "training_grid", "generation")]


@pytest.mark.parametrize("file", PRINTED, ids=lambda file: file.stem)
def test_what_commands_printed_is_shown(file):
    assert file.read_text().strip() in SPEED


def test_every_result_is_of_one_environment():
    documents = [json.loads(file.read_text()) for file in RESULTS.glob("*.json")]
    assert len({d["environment"]["cpu"] + d["environment"]["torch"] for d in documents}) == 1
