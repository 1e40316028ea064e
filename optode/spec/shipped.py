"""Find templates and shipped specs: inside an installed wheel, else beside the package."""

from __future__ import annotations

from pathlib import Path

from optode.diagnostics import (
    Diagnostic,
    Span,
    SpecError,
    did_you_mean,
    kind_of_file,
    quoted,
    quoted_path,
)

STANDARD_INPUT = Path("<stdin>")
"""What ``-`` names; this object, not a file of that name."""

_OPEN_FILES = (Path("/dev/fd"), Path("/proc/self/fd"))
"""Where the shell puts what it has opened, as in ``optode derive <(command)``."""

_PACKAGE = Path(__file__).resolve().parents[1]


def templates_directory() -> Path:
    """Return the folder of the Jinja templates."""
    return _shipped("templates")


def specs_directory() -> Path:
    """Return the folder of the shipped specs."""
    return _shipped("specs")


def _shipped(name: str) -> Path:
    inside = _PACKAGE / f"_{name}"
    return inside if inside.is_dir() else _PACKAGE.parent / name


def shipped_specs() -> tuple[str, ...]:
    """Return the names of the shipped specs, in alphabetical order."""
    return tuple(sorted(path.stem for path in specs_directory().glob("*.yaml")))


def shipped_spec(name: str) -> Path | None:
    """Return the file of a shipped spec, named with or without ``.yaml``."""
    stem = name.removesuffix(".yaml")
    return specs_directory() / f"{stem}.yaml" if stem in shipped_specs() else None


def cited(path: Path) -> str:
    """Return how messages name a file: a shipped spec by its name, not by where it is installed."""
    return path.name if path.parent == specs_directory() else str(path)


def is_file(path: Path) -> bool:
    """Return whether a path can be read as a file.

    A path too long or with a null in it is none, and neither is a named pipe, which would wait for
    a writer; a pipe that the shell has opened is read.
    """
    try:
        kind = kind_of_file(path)
    except (OSError, ValueError):
        return False
    opened = path.parent in _OPEN_FILES or path == Path("/dev/stdin")
    return kind == "file" or (opened and kind in ("named pipe", "socket", "device"))


def find_spec(name_or_path: str) -> Path:
    """Return the file at a path, else the shipped spec of that name; STANDARD_INPUT for ``-``.

    Raises SpecError (E101) with the nearest name that there is.
    """
    if name_or_path == "-":
        return STANDARD_INPUT
    path = Path(name_or_path)
    if is_file(path):
        return path
    found = shipped_spec(name_or_path)
    if found is None:
        raise SpecError([no_such_spec(name_or_path)])
    return found


def no_such_spec(name: str, span: Span | None = None) -> Diagnostic:
    """Return the error for a name that is neither a file nor a shipped spec."""
    try:
        kind = kind_of_file(Path(name)) if name else None
    except (OSError, ValueError):
        kind = None
    if kind is not None:
        message = f"{quoted_path(name)} is a {kind}, not a file"
        hint = "send its text to standard input, and name `-`" if kind == "named pipe" else None
        return Diagnostic("E101", message, span, hint)
    hint = did_you_mean(name.removesuffix(".yaml"), shipped_specs())
    hint = hint or "`optode list` shows the shipped specs"
    return Diagnostic("E101", f"{quoted(name)} is neither a file nor a shipped spec", span, hint)
