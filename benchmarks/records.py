"""Write benchmark results as compact JSON, one record a line.

A record is a dictionary in a list: the numbers of one contender, of one curve, of one stage. Single
timings are not written: a record has their median and quartiles.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DIGITS = 10
"""Significant digits of a number in a record; tables show at most six."""


def rounded(value: Any) -> Any:
    """Round floats to ten significant digits; those that are not finite become None."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(each) for each in value]
    return value


class Report:
    """Prints, and writes what it prints into a file if there is one."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        if path:
            path.write_text("")

    def __call__(self, text: str) -> None:
        print(text, flush=True)
        if self.path:
            with self.path.open("a") as file:
                file.write(text + "\n")


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document to a JSON file, with a line for each record in it."""
    path.write_text(_laid_out(document) + "\n")


def _laid_out(value: Any, indent: str = "") -> str:
    """Return JSON in which only what holds lists of records is broken into lines."""
    if not _has_records(value):
        return json.dumps(value, allow_nan=False)
    inner = indent + " "
    if isinstance(value, Mapping):
        parts = [f"{json.dumps(key)}: {_laid_out(each, inner)}" for key, each in value.items()]
        left, right = "{}"
    else:
        parts = [_laid_out(each, inner) for each in value]
        left, right = "[]"
    lines = ",\n".join(inner + part for part in parts)
    return f"{left}\n{lines}\n{indent}{right}"


def _has_records(value: Any) -> bool:
    """Return whether a list of records is in the value, or is the value."""
    if isinstance(value, Mapping):
        return any(map(_has_records, value.values()))
    return isinstance(value, (list, tuple)) and any(
        isinstance(each, Mapping) or _has_records(each) for each in value
    )
