"""Write all tables from the results: a page of text, and those of the documents."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.provenance import ROOT
from benchmarks.speed import growth, plot, tables
from benchmarks.speed.store import by_device, documents, environment_lines, of_kind
from benchmarks.speed.summary import in_order, speed_tables

Record = dict[str, Any]
DOCUMENTS = (ROOT / "README.md", ROOT / "docs" / "speed" / "speed.md")
TABLE = re.compile(r"(<!-- table: (?P<name>[^>]+) -->\n).*?(<!-- end -->)", re.S)
"""What stands between two comments of a document is replaced by the table of that name."""

TEXTS: Mapping[str, Callable[[Record], str]] = {
    "problem": tables.problem_text,
    "task": tables.problem_text,
    "growth": growth.result_text,
}


def document_text(document: Record) -> str:
    """Return the tables of one result."""
    return TEXTS[document["kind"]](document["result"])


def page_text(every: Sequence[Record]) -> str:
    """Return the tables of all results, those of a GPU after those of a CPU."""
    parts = [part for found in by_device(every) if found for part in parts_of(found)]
    return "\n\n".join(parts) + "\n"


def parts_of(found: list[Record]) -> list[str]:
    """Return the tables of results, after the environments that they were measured in."""
    problems = sorted(in_order(of_kind(found, "problem")), key=lambda each: -each["goal"])
    parts = [*environment_lines(found), *map(tables.problem_text, problems)]
    if problems:
        parts.append(tables.comparison_text(problems))
    parts += map(tables.problem_text, of_kind(found, "task"))
    return parts + [growth.result_text(each) for each in of_kind(found, "growth")]


def filled(text: str, given: Mapping[str, str]) -> str:
    """Return a document with its tables replaced. Raises KeyError for one of an unknown name."""

    def replaced(found: re.Match[str]) -> str:
        return f"{found[1]}{given[found['name']]}\n{found[3]}"

    return TABLE.sub(replaced, text)


def write_pages(folder: Path) -> None:
    """Write the page of text beside a folder of results, and the tables of the documents."""
    every = [*documents(folder)]
    folder.with_suffix(".txt").write_text(page_text(every))
    given = speed_tables(every)
    for path in DOCUMENTS:
        path.write_text(filled(path.read_text(encoding="utf-8"), given), encoding="utf-8")


def plot_documents(every: Sequence[Record], path: Path) -> None:
    """Draw the errors against times of problems, or how the cost grows."""
    found = [*every]
    axes, problems = of_kind(found, "growth"), of_kind(found, "problem")
    if axes:
        plot.growth({each["axis"]: growth.curves_of(each) for each in axes}, path)
    elif problems:
        plot.work_precision({each["problem"]: each["points"] for each in problems}, path)
