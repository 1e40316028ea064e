"""Collect what a report says of a spec: each section in words, equations, pictures and text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

from optode.claim import report as claim_report
from optode.claim.text import as_text
from optode.derivation import Derivation
from optode.diagnostics import SpecError
from optode.limit import regimes
from optode.page.mathematics import Groups, equations
from optode.picture.canvas import encoded
from optode.picture.plot import plot
from optode.spec.reader import Spec
from optode.time_limit import time_limit
from optode.trial.starts import NoSolution
from optode.verification.orders import plot as order_plot
from optode.verification.orders import report as order_report

Found = TypeVar("Found")


@dataclass(frozen=True)
class Section:
    """A heading with what stands below it.

    ``equations`` are in MathML, ``table`` has its heads as the first row, ``picture`` is SVG,
    ``folded`` are texts under headings that open on a click, ``code`` is a text with its language.
    """

    title: str
    words: str = ""
    equations: Groups = field(default_factory=list)
    table: tuple[tuple[str, ...], ...] = ()
    picture: str = ""
    folded: tuple[tuple[str, str], ...] = ()
    code: tuple[str, str] | None = None


def sections(derivation: Derivation, seconds: float | None) -> Iterator[Section]:
    """Yield the sections on a spec. Raises SpecError for a spec in error.

    A section that takes more than so many seconds, or that the spec has not, says why.
    """
    spec = derivation.spec
    if isinstance(spec, Spec):
        yield Section("Spec", code=(spec.source.text, "yaml"))
    if not spec.is_ode:
        yield Section("Update rule", equations=equations(derivation.rule))
        yield Section("Scalings with a limit", folded=(("list", _scalings(derivation)),))
    yield Section("Limit", equations=equations(derivation.limit))
    if not spec.is_ode:
        yield _attempted("Limit with the terms of next order", seconds, lambda: _next(derivation))
    if spec.has_model:
        yield Section("Neural ODE", equations=equations(derivation.model))
        yield Section("Adjoint system", equations=equations(derivation.adjoint))
        yield _attempted("Claims on the adjoint", seconds, lambda: _claims(derivation))
    if not spec.is_ode:
        yield _attempted("Orders of convergence", seconds, lambda: _orders(derivation, seconds))
    yield _attempted("A small example", seconds, lambda: _example(derivation))
    if spec.has_model:
        yield Section("Module", code=(derivation.module_text, "python"))


def _attempted(title: str, seconds: float | None, make: Callable[[], Section]) -> Section:
    """Return a section, or one that says why it is missing."""
    try:
        with time_limit(seconds):
            return replace(make(), title=title)
    except (SpecError, NoSolution) as error:
        errors = error.diagnostics if isinstance(error, SpecError) else (error,)
        reasons = (getattr(each, "message", str(each)) for each in errors)
        return Section(title, f"Not shown: {'; '.join(reasons)}.")


def _scalings(derivation: Derivation) -> str:
    return "\n".join(regimes.describe(derivation.rule))


def _next(derivation: Derivation) -> Section:
    return Section("", equations=equations(replace(derivation, order=1).limit))


def _claims(derivation: Derivation) -> Section:
    found = claim_report.claims(derivation.spec)
    first, *rest = as_text(found).strip().split("\n\n")
    folded = tuple((text.partition("\n")[0], text) for text in rest)
    return Section("", f"{first}. Each statement opens to its verdicts.", folded=folded)


def _orders(derivation: Derivation, seconds: float | None) -> Section:
    checks = order_report.verify(derivation.spec, 1, seconds)
    words = (
        "The optimizer runs at decreasing steps beside its equations: the error falls with the "
        "observed order. A line through the finest step has the expected one."
    )
    table = (order_report.COLUMNS, *order_report.rows(checks))
    return Section("", words, table=table, picture=_svg(order_plot.figure_of(checks)))


def _example(derivation: Derivation) -> Section:
    words = (
        "Paths on a convex function of two variables, at generic hyper-parameters. "
        "Dots are the optimizer at three step sizes, lines are the solutions of the limit."
    )
    return Section("", words, picture=_svg(plot(derivation)))


def _svg(figure: object) -> str:
    """Return a figure as an svg element, without the head of a file."""
    text = encoded(figure, "svg").decode()
    return text[text.index("<svg") :]
