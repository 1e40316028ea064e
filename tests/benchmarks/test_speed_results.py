"""The committed results of the speed benchmark, and the documents that show them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import generation
from benchmarks.records import rounded, write_document
from benchmarks.speed import growth, summary, tables

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
FILES = sorted(file for file in RESULTS.glob("*.json") if file.stem != "corpus")
"""The results of timings; those of the corpus have tests of their own."""
SPEED = (ROOT / "docs" / "speed" / "speed.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", ["training", "forward", "steps", "goals", "environment"])
def test_speed_shows_the_results(table):
    assert summary.tables(RESULTS.glob("step_*.json"))[table] in SPEED


@pytest.mark.parametrize("goal", ["1e-6"])
def test_speed_shows_the_other_goals(goal):
    (file,) = RESULTS.glob(f"goal_{goal}.json")
    assert {p["goal"] for p in json.loads(file.read_text())["problems"]} == {float(goal)}
    assert summary.tables([file])["steps"] in SPEED


def test_readme_shows_the_results():
    assert summary.tables(RESULTS.glob("step_*.json"), "HBNODE")["training"] in README


def printed(document):
    """What the command that wrote a document printed."""
    texts = {"problems": tables, "growth": growth, "commands": generation}
    (module,) = (module for key, module in texts.items() if key in document)
    return module.document_text(document)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_text_of_a_result_is_printed_from_its_numbers(file):
    assert printed(json.loads(file.read_text())) == file.with_suffix(".txt").read_text()


def test_a_document_has_a_record_a_line(tmp_path):
    records = [{"name": "a", "times": {"quartiles": (1 / 3, 1.0)}}, {"name": "b", "times": None}]
    document = {"environment": {"cpu": "a cpu"}, "problems": [{"entries": records, "refused": []}]}
    write_document(tmp_path / "found.json", rounded(document))
    text = (tmp_path / "found.json").read_text()
    assert (
        '   "entries": [\n    {"name": "a", "times": {"quartiles": [0.3333333333, 1.0]}},' in text
    )
    assert json.loads(text) == rounded(document)
    assert rounded([float("nan"), float("inf"), 1, "x"]) == [None, None, 1, "x"]


def test_every_result_is_of_one_environment():
    documents = [json.loads(file.read_text()) for file in FILES]
    assert len({d["environment"]["cpu"] + d["environment"]["torch"] for d in documents}) == 1
