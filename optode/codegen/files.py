"""Writing generated modules: whole or not at all, and never over somebody else's work.

A generated module carries the SHA-256 of its own text in its header, by which a later run knows the
file for one of optode's and sees whether it has been edited since.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path

from optode.diagnostics import Diagnostic, SpecError

_SEAL = re.compile(r"^# Module SHA-256: ([0-9a-f]{64})\n", re.MULTILINE)


def sealed(text: str) -> str:
    """A module's text with the digest of all the rest of it as the last comment of its header."""
    lines = text.splitlines(keepends=True)
    end = sum(len(line) for line in takewhile(lambda line: line.startswith("#"), lines))
    return f"{text[:end]}# Module SHA-256: {_digest(text)}\n{text[end:]}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def write_modules(modules: Mapping[Path, str], *, force: bool = False) -> tuple[Path, ...]:
    """Write every text to its path, or none of them; returns the paths whose content changed.

    A file that holds its text already is left alone. Raises SpecError with all that stands in the
    way: a file that optode did not write (E601) or that was edited since (E602), unless ``force``;
    a path that cannot be read or written (E603).
    """
    current, problems = _read_all(modules)
    changed = {path: text for path, text in modules.items() if current.get(path) != text}
    if not force:
        problems += [p for path in changed if (p := _not_ours(path, current.get(path)))]
    if problems:
        raise SpecError(problems)
    _replace_all(changed)
    return tuple(changed)


def write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet; raises SpecError (E601 where it is, E603)."""
    if os.path.lexists(path):
        raise SpecError([Diagnostic("E601", f"`{path}` exists already")])
    _replace_all({path: text})


def differences(modules: Mapping[Path, str]) -> str:
    """A unified diff from the files as they are to what would be written; empty where they agree.

    Raises SpecError (E603) where a file cannot be read.
    """
    current, problems = _read_all(modules)
    if problems:
        raise SpecError(problems)
    diffs = (_difference(path, current.get(path), text) for path, text in modules.items())
    return "\n".join(diff for diff in diffs if diff)


def _difference(path: Path, old: str | None, new: str) -> str:
    before = f"{path} (missing)" if old is None else f"{path}"
    pair = ((old or "").splitlines(), new.splitlines())
    return "\n".join(difflib.unified_diff(*pair, before, f"{path} (generated)", lineterm=""))


def _read_all(paths: Mapping[Path, str]) -> tuple[dict[Path, str], list[Diagnostic]]:
    """The texts of the files that exist, and an error for each that cannot be read.

    Line ends are normalised: a check-out with CRLF is no edit.
    """
    texts: dict[Path, str] = {}
    problems: list[Diagnostic] = []
    for path in paths:
        try:
            texts[path] = path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            continue
        except OSError as error:
            problems.append(_unwritable(path, error))
    return texts, problems


def _not_ours(path: Path, text: str | None) -> Diagnostic | None:
    """Why a file is not to be overwritten, None where it may be."""
    if text is None:
        return None
    seal, name = _SEAL.search(text), f"`{path}`"
    if seal is None:
        hint = "move it away, choose another directory, or overwrite it with `--force`"
        return Diagnostic("E601", f"{name} exists, and optode did not write it", None, hint)
    if seal[1] == _digest(text[: seal.start()] + text[seal.end() :]):
        return None
    hint = "move the edits elsewhere, or overwrite them with `--force`"
    return Diagnostic("E602", f"{name} has been edited since optode wrote it", None, hint)


def _unwritable(path: Path, error: OSError) -> Diagnostic:
    reason = error.strerror or type(error).__name__
    return Diagnostic("E603", f"cannot write `{path}`: {reason}")


def _replace_all(texts: Mapping[Path, str]) -> None:
    """Prepare every text beside its destination, then move all into place."""
    prepared: dict[Path, Path] = {}
    path = Path()
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            destination = Path(os.path.realpath(path))  # a link stays, what it points to changes
            temporary = destination.with_name(f".optode-{secrets.token_hex(4)}")
            with temporary.open("x", encoding="utf-8", newline="\n") as stream:
                prepared[destination] = temporary
                stream.write(text)
            if destination.exists():
                shutil.copymode(destination, temporary)
        for path, temporary in prepared.items():
            temporary.replace(path)
    except OSError as error:
        raise SpecError([_unwritable(path, error)]) from error
    finally:
        for temporary in prepared.values():
            temporary.unlink(missing_ok=True)
