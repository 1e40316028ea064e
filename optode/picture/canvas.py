"""Make figures of matplotlib and write them to files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from optode.codegen.files import file_problem, replace
from optode.diagnostics import Diagnostic, SpecError, quoted_path

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Colours that colour-blind readers tell apart (Okabe and Ito, Color Universal Design)."""


def check_installed() -> None:
    """Raise SpecError (E605) where matplotlib is missing."""
    try:
        import matplotlib.backend_bases  # noqa: F401
    except ImportError:
        message = "a plot needs matplotlib, which is not installed: `pip install 'optode[plot]'`"
        raise SpecError([Diagnostic("E605", message)]) from None


def check_picture(path: Path) -> None:
    """Raise SpecError where no picture can be drawn to a file: E603, E605 without matplotlib."""
    check_installed()
    from matplotlib.backend_bases import FigureCanvasBase

    problem = file_problem(path)
    known = FigureCanvasBase.get_supported_filetypes()
    if problem is None and path.suffix[1:].lower() not in known:
        message = f"{quoted_path(path)} is no picture: name it `.png`, `.pdf` or `.svg`"
        problem = Diagnostic("E603", message)
    if problem:
        raise SpecError([problem])


@contextmanager
def style() -> Iterator[None]:
    """Draw in the project's style; pictures are byte-equal from run to run."""
    import matplotlib as mpl

    settings: dict[Any, Any] = {"font.size": 9, "svg.hashsalt": "optode", "svg.fonttype": "path"}
    with mpl.rc_context(settings):
        yield


def encoded(figure: Any, form: str, dpi: float | None = None) -> bytes:
    """Return a figure as the bytes of a file: "png", "svg" or another of matplotlib's formats."""
    stream = BytesIO()
    metadata = {"Date": None} if form == "svg" else None
    with style():
        figure.savefig(stream, format=form, metadata=metadata, dpi=dpi or "figure")
    return stream.getvalue()


def write_picture(figure: Any, path: Path) -> None:
    """Write a figure to a file, in the format of its name. Raises SpecError (E603)."""
    replace({path: encoded(figure, path.suffix[1:].lower())})
