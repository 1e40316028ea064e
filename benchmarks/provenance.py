"""Say which code a result was measured on: the commit, and a hash of the files that matter."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Collection, Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIGITS = 12
"""Hexadecimal digits of a hash or a commit that results carry."""


def commit() -> dict[str, str | bool | None]:
    """Return the commit, and whether files differ from it; None for both outside of git."""
    found, changed = _git("rev-parse", "HEAD"), _git("status", "--porcelain")
    return {
        "commit": found[:DIGITS] if found else None,
        "dirty": None if changed is None else bool(changed),
    }


def code_hash(*places: str, without: Collection[str] = ()) -> str:
    """Return a hash of Python files, by paths of files and folders from the project's root.

    Results are measured anew where it differs. A commit that changes a page leaves it as it is.
    """
    found = hashlib.sha256()
    for file in _files(places):
        name = file.relative_to(ROOT).as_posix()
        if name not in without:
            found.update(name.encode() + b"\0" + file.read_bytes())
    return found.hexdigest()[:DIGITS]


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
