"""The committed results of the benchmarks, and the documents that show them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import compile_time
from benchmarks.generation import report as generation
from benchmarks.methods import tables as methods
from benchmarks.records import rounded, write_document
from benchmarks.speed import page, summary
from benchmarks.speed.store import documents

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
SPEED = [*documents(RESULTS / "speed")]
FILES = sorted(file for file in RESULTS.glob("*.json") if file.stem != "corpus")
"""The results of other timings; those of the corpus have tests of their own."""


def test_the_page_is_made_from_the_results():
    assert page.page_text(SPEED) == (RESULTS / "speed.txt").read_text()


@pytest.mark.parametrize("path", page.DOCUMENTS, ids=lambda path: path.name)
def test_documents_show_the_results(path):
    text = path.read_text(encoding="utf-8")
    assert page.TABLE.search(text)
    assert page.filled(text, summary.speed_tables(SPEED)) == text


def printed(document):
    """What the command that wrote a document printed."""
    texts = {"models": methods, "commands": generation, "compile_times": compile_time}
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


def test_every_table_is_of_one_machine():
    """Training steps and tasks are tables of their own; the page names the machine of each."""
    for tasks in (False, True):
        own = [d["environment"] for d in SPEED if ("task" in d["result"]) is tasks]
        assert len({x["cpu"] for x in own}) == 1
        assert len({x["torch"] for x in own}) == 1
