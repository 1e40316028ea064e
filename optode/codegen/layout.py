"""Lay code out on lines that ``ruff format`` leaves alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

LINE_LENGTH = 88
"""Of emitted modules, which land in repositories that follow ruff's own defaults."""

BODY = 8
"""The indentation of a method's statements."""


def unpacking(names: Sequence[object], source: str, indent: int = BODY) -> list[str]:
    """Return ``h, m = source``; an underscore takes the place of a name that is None."""
    shown = ["_" if name is None else str(name) for name in names]
    line = f"{', '.join(shown)} = {source}"
    if len(names) > 1 and len(line) <= LINE_LENGTH - indent:
        return [line]
    lines = tuple_lines("", shown, indent + len(f" = {source}"))
    return [*lines[:-1], f"{lines[-1]} = {source}"]


def tuple_lines(prefix: str, items: Sequence[str], indent: int, end: str = "") -> list[str]:
    """Return ``prefix (a, b)end``, on one line or one item a line."""
    start = f"{prefix} (" if prefix else "("
    line = f"{start}{', '.join(items)}{',' if len(items) == 1 else ''}){end}"
    if len(line) <= LINE_LENGTH - indent or not items:
        return [line]
    return [start, *(f"    {item}," for item in items), f"){end}"]


def call_lines(start: str, items: Sequence[str], end: str, indent: int) -> list[str]:
    """Return ``start a, b end`` on one line, else the items on a line of their own, else on one each."""
    inner = ", ".join(items)
    if len(f"{start}{inner}{end}") <= LINE_LENGTH - indent:
        return [f"{start}{inner}{end}"]
    if len(inner) <= LINE_LENGTH - indent - 4:
        return [start, f"    {inner}", end]
    return [start, *(f"    {item}," for item in items), end]


def import_lines(module: str, names: Iterable[str]) -> list[str]:
    """Return ``from module import A, b``, in the order of ruff: constants, classes, the rest."""
    ordered = sorted(names, key=lambda name: (not name[0].isupper(), name))
    line = f"from {module} import {', '.join(ordered)}"
    if len(line) <= LINE_LENGTH:
        return [line]
    return [f"from {module} import (", *(f"    {name}," for name in ordered), ")"]


def indented(lines: Iterable[str], indent: int = 4) -> list[str]:
    """Return lines moved to the right; an empty one stays empty."""
    return [f"{' ' * indent}{line}" if line else "" for line in lines]


def flat(lines: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """Return the lines of several blocks, one after the other."""
    return tuple(line for several in lines for line in several)
