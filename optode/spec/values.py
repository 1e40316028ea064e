"""Read one value of a section: a text, a line, a word of a list, a number, the entries of a mapping.

Each function returns None (or nothing) for a value of another kind, after it has reported the error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from optode.diagnostics import Located, Reporter, did_you_mean, quoted
from optode.spec.yaml_source import Mapping, Node, Scalar

_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)


def entries_of(
    node: Node | None, what: str, reporter: Reporter
) -> tuple[tuple[Located, Node], ...]:
    """Return the entries of a mapping, none where the section is absent."""
    if node is None:
        return ()
    if not isinstance(node, Mapping):
        reporter.error("E109", f"`{what}` must be a mapping: `{{name: value}}`", node.span)
        return ()
    return node.entries


def text_of(node: Node, what: str, reporter: Reporter) -> Located | None:
    """Return a text, or report that it is empty or no text."""
    if not isinstance(node, Scalar):
        reporter.error("E109", f"{what} must be a text, not a list or a mapping", node.span)
        return None
    if not node.located.text:
        hint = "quote an expression that has a comma in it" if re.search(r"[()]", what) else None
        reporter.error("E109", f"{what} has no value", node.span, hint)
        return None
    return node.located


def pairs_of(node: Node | None, what: str, reporter: Reporter) -> Iterator[tuple[Located, Located]]:
    for key, value in entries_of(node, what, reporter):
        text = text_of(value, quoted(key.text), reporter)
        if text is not None:
            yield key, text


def line_of(node: Node | None, what: str, reporter: Reporter) -> str | None:
    """Return a text of one line, for the emitted file."""
    text = text_of(node, f"`{what}`", reporter) if node is not None else None
    if text is None:
        return None
    line = text.text.strip()
    if "\n" in line:
        reporter.error("E109", f"`{what}` must be one line", text.span, "fold it with `>-`")
    return line.replace("\t", " ")


def choice_of(
    node: Node | None, what: str, known: tuple[str, ...], reporter: Reporter
) -> Located | None:
    word = text_of(node, f"`{what}`", reporter) if node is not None else None
    if word is None or word.text in known:
        return word
    hint = did_you_mean(word.text, known) or f"one of {', '.join(known)}"
    reporter.error("E111", f"there is no {what} {quoted(word.text)}", word.span, hint)
    return None


def number_of(node: Node | None, what: str, reporter: Reporter) -> float | None:
    text = text_of(node, what, reporter) if node is not None else None
    if text is None:
        return None
    number = float(text.text) if _NUMBER.fullmatch(text.text) else math.nan
    if not math.isfinite(number):
        reporter.error(
            "E112", f"{quoted(text.text)} is not a finite number", text.span, "like 0.9, -3 or 1e-8"
        )
        return None
    return number


def year_of(node: Node | None, reporter: Reporter) -> int | None:
    """Return a year of four digits."""
    text = text_of(node, "`year`", reporter) if node is not None else None
    if text is None or re.fullmatch(r"[12]\d{3}", text.text, re.ASCII):
        return int(text.text) if text is not None else None
    message = f"{quoted(text.text)} is no year of four digits"
    reporter.error("E112", message, text.span, "the year of publication: `year: 2015`")
    return None
