"""Write a report: one HTML page that needs no other file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from optode.codegen.files import file_problem, replace
from optode.compiler import derive
from optode.derivation import AnySpec
from optode.diagnostics import SpecError
from optode.page import mathematics
from optode.page.sections import Section, sections
from optode.picture import canvas
from optode.spec.shipped import templates_directory
from optode.time_limit import time_limit
from optode.version import __version__


def report(spec: AnySpec, path: str | Path | None = None, seconds: float | None = None) -> str:
    """Return a page of HTML on a spec: rule, limit, model, adjoint, claims, checks and module.

    The page is self-contained: equations are MathML, pictures SVG. With ``path`` it is written
    there. A part that takes more than so many seconds is left out, and the page says so. Raises
    SpecError for a spec in error, a file that cannot be written (E603), and where matplotlib or
    latex2mathml is missing (E605).
    """
    check_report(None if path is None else Path(path))
    derivation = derive(spec)
    with time_limit(seconds):
        derivation.stages()
    text = _page(derivation.spec.title, derivation.spec.references, sections(derivation, seconds))
    if path is not None:
        replace({Path(path): text})
    return text


def fragment(spec: AnySpec, seconds: float | None = None) -> tuple[str, str]:
    """Return the title of a report and its sections as HTML, to stand in another page.

    Raises SpecError as ``report`` does.
    """
    check_report(None)
    derivation = derive(spec)
    return derivation.spec.title, _rendered("sections.html.jinja", sections(derivation, seconds))


def check_report(path: Path | None) -> None:
    """Raise SpecError where no report can be made, or none be written to a file."""
    canvas.check_installed()
    mathematics.check_installed()
    if path is not None and (problem := file_problem(path)):
        raise SpecError([problem])


def _page(title: str, references: Iterable[str], found: Iterable[Section]) -> str:
    style = _code_style()
    return _rendered("report.html.jinja", found, title, references=list(references), style=style)


def _rendered(template: str, found: Iterable[Section], title: str = "", **values: Any) -> str:
    return str(
        _environment()
        .get_template(template)
        .render(
            title=title,
            sections=list(found),
            version=__version__,
            anchor=_anchor,
            highlighted=_highlighted,
            **values,
        )
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(templates_directory()),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _anchor(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower())


def _highlighted(text: str, language: str) -> str:
    """Return a program or a spec as HTML, its words marked by their kinds."""
    from pygments import highlight
    from pygments.lexers import get_lexer_by_name

    return str(highlight(text, get_lexer_by_name(language), _formatter()))


def _formatter(style: str = "default") -> Any:
    from pygments.formatters import HtmlFormatter

    return HtmlFormatter(style=style, nowrap=True)


def _code_style() -> str:
    """Return the colours of code, for light and for dark pages."""
    light = _formatter().get_style_defs(".code")
    dark = _formatter("github-dark").get_style_defs(".code")
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}"
