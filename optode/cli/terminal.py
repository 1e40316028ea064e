"""Print results and errors: on a terminal, into a pipe, into a file, or nowhere."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, TextIO

import typer

from optode.cli.boundary import DEBUG, print_cause

if TYPE_CHECKING:
    from optode.derivation import AnySpec
    from optode.diagnostics import Diagnostic, SpecError


@contextmanager
def errors_reported(*, as_json: bool = False) -> Iterator[None]:
    """Print a SpecError without a traceback, and exit with code 1.

    The text goes to stderr, JSON to stdout, as a program that asked for JSON reads it there.
    """
    from optode.diagnostics import SpecError

    try:
        yield
    except SpecError as error:
        if as_json:
            print_json(error.diagnostics)
        else:
            print_error(error)
        if DEBUG in sys.argv:
            print_cause(error)
        raise typer.Exit(1) from None


def assuming(specs: Iterable[str], assume_fixed: bool) -> list[AnySpec]:
    """Return specs; with ``assume_fixed`` they are read, and what they do not declare is told."""
    from optode import compiler

    if not assume_fixed:
        return [*specs]
    found: list[AnySpec] = []
    for spec in specs:
        read = compiler.derive(spec, assume_fixed=True).spec
        if names := getattr(read, "assumed", ()):
            typer.echo(f"{spec}: assumed to be fixed: {', '.join(names)}", err=True)
        found.append(read)
    return found


def print_json(errors: tuple[Diagnostic, ...]) -> None:
    """Print errors as a JSON array of objects, to stdout."""
    import json

    typer.echo(json.dumps([error.as_json() for error in errors], indent=2))


def print_error(error: SpecError) -> None:
    """Print an error in colour on a terminal (unless NO_COLOR is set), as plain text elsewhere."""
    from rich.console import Console
    from rich.text import Text

    text = Text(str(error))
    text.highlight_regex(r"(?m)^.*error E\d+:", "bold")
    text.highlight_regex(r"error E\d+:", "red")
    text.highlight_regex(r"(?m)^ +\| +\^+$", "red")
    text.highlight_regex(r"(?m)^  hint:", "cyan")
    Console(stderr=True, highlight=False).print(text, soft_wrap=True)


def print_fitted(text: str) -> None:
    """Print equations so that they fit the terminal; a pipe and a file get them in whole lines.

    COLUMNS says how wide the lines may be, wherever they go.
    """
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit():
        from optode.show.wrapping import wrapped

        text = wrapped(text, shutil.get_terminal_size().columns)
    typer.echo(text, nl=not text.endswith("\n"))


def print_columns(heads: Sequence[str], rows: Iterable[Sequence[str]], text: str) -> None:
    """Print a table whose cells fold to the terminal; a pipe and a file get ``text`` in its place."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal or max(map(len, text.splitlines())) <= console.width:
        typer.echo(text, nl=False)
        return
    table = Table(*heads, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*row)
    console.print(table)


def print_difference(text: str) -> None:
    """Print lines that begin with - and +, in colour on a terminal (unless NO_COLOR is set)."""
    colours = {"+": "green", "-": "red", "@": "cyan"}
    coloured = False if os.environ.get("NO_COLOR") else None  # None: on a terminal
    for line in text.splitlines():
        typer.secho(line, fg=colours.get(line[:1]), color=coloured)


@contextmanager
def standard_streams() -> Iterator[None]:
    """Run a command so that its streams may be closed or full, and SIGTERM lets it tidy up.

    A reader that has gone, as in ``optode list | head -1``, ends the command without a word, and
    output that cannot be written in one line; both with exit code 1.
    """
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without Greek letters is no error
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _terminated)
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _discard(sys.stdout)
        sys.exit(1)
    except OSError as error:
        if error.filename is not None:  # a file, not a stream
            raise
        _discard(sys.stdout)
        with suppress(OSError):  # stderr may be the stream that is full
            typer.echo(f"error: cannot write to standard output: {error.strerror}", err=True)
        sys.exit(1)


def _open_what_is_closed() -> None:
    """Put a stream whose writing fails in the place of a closed stdout, one to nowhere for stderr."""
    if sys.stdout is None:
        sys.stdout = open(os.open(os.devnull, os.O_RDONLY), "w")  # noqa: PTH123, SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115


def _terminated(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _discard(stream: TextIO) -> None:
    """Send the rest of a stream nowhere: Python writes it out when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
