"""Bring what pages show of optode up to date: python docs/transcripts.py [PAGE ...]

A block of text after a spec is what optode says of it: its errors, or its limit. What stands below
``$ optode ...`` in a block is what the command prints.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from pathlib import Path

from typer.testing import CliRunner

import optode
from optode.cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_SPEC = re.compile(r"(```yaml\n((?:(?!```).)*)```\n\n```text\n)(?:(?!```).)*(```)", re.S)
_SHELL = re.compile(r"(```sh\n)(\$ (?:(?!```).)*)(```)", re.S)


def current(page: str) -> str:
    """Return the text of a page with what optode says now. Files are made in the working folder."""
    page = _SPEC.sub(lambda m: m[1] + said(m[2]) + m[3], page)
    return _SHELL.sub(lambda m: m[1] + transcript(m[2]) + m[3], page)


def said(spec: str) -> str:
    """Return what optode says of a spec."""
    name = re.search(r"^name: (\w+)", spec, re.M)
    if name is None:  # a part of a spec, shown for itself
        return ""
    file = Path(f"{name[1]}.yaml")
    file.write_text(spec, encoding="utf-8")
    errors = optode.check(str(file))
    return f"{optode.SpecError(errors)}\n" if errors else optode.derive(str(file)).show("limit")


def transcript(block: str) -> str:
    """Return a block of commands, each with what it prints."""
    found = []
    for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
        command = part.partition("\n")[0]
        words = shlex.split(command, comments=True)
        found.append(
            f"$ {command}\n{CliRunner(env={'COLUMNS': None}).invoke(app, words[1:]).output}"
        )
    return "".join(found)


def main() -> None:
    pages = [Path(name).resolve() for name in sys.argv[1:]] or PAGES
    for page in pages:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            text = page.read_text(encoding="utf-8")
            if (new := current(text)) != text:
                page.write_text(new, encoding="utf-8")
                print(page)


if __name__ == "__main__":
    main()
