"""Say which code a result was measured on: the commit, and a hash of the files that matter."""

from __future__ import annotations

import ast
import hashlib
import subprocess
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = "benchmarks/results"
DIGITS = 12
"""Hexadecimal digits of a hash or a commit that results carry."""


def commit() -> dict[str, str | bool | None]:
    """Return the commit, and whether files differ from it; None for both outside of git.

    Results do not count: a run writes them as it goes on.
    """
    found = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--", ".", f":!{RESULTS}")
    return {
        "commit": found[:DIGITS] if found else None,
        "dirty": None if changed is None else bool(changed),
    }


def code_hash(*places: str, without: Collection[str] = ()) -> str:
    """Return a hash of Python files, by paths of files and folders from the project's root.

    Results are measured anew where it differs. Comments, docstrings and the layout of lines do not
    change it.
    """
    found = hashlib.sha256()
    for file in _files(places):
        name = file.relative_to(ROOT).as_posix()
        if name not in without:
            found.update(f"{name}\0{_program(file.read_text())}".encode())
    return found.hexdigest()[:DIGITS]


@cache
def _program(text: str) -> str:
    """Return the syntax tree of a file without the strings that stand as statements."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            node.body = [each for each in body if not _is_text(each)]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a string alone, as docstrings are."""
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _files(places: Iterable[str]) -> list[Path]:
    """Return the Python files at these places, in order."""
    every: list[Path] = []
    for place in places:
        path = ROOT / place
        if not path.exists():
            raise FileNotFoundError(f"no file or folder {place}")
        every += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return every


def _git(*arguments: str) -> str | None:
    """Return what git prints, None where there is no git, or no repository."""
    try:
        done = subprocess.run(
            ("git", *arguments), cwd=ROOT, capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
