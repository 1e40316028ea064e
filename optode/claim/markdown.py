"""Write verdicts as Markdown: for notebooks, and as a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from html import escape

from optode.claim.text import (
    COMMAND,
    Line,
    Printer,
    equations_of,
    error,
    images_of,
    leftovers_of,
    statement,
    variables,
)
from optode.claim.verdicts import Claim, Findings
from optode.show.dialect import markdown_words


def as_markdown(claims: Findings) -> str:
    """Return a heading, and a part for each claim that opens to its verdicts."""
    text = Printer(claims)
    clocks = [_code((str(z), text(value)) for z, value in claims.clocks)] if claims.clocks else []
    folded = (_folded(claim, text) for claim in claims.claims)
    return "\n\n".join([f"### {_heading(claims)}", *clocks, *folded]) + "\n"


def _folded(claim: Claim, text: Printer) -> str:
    counts = Counter(verdict.status for verdict in claim.verdicts)
    words = ", ".join(f"{count} {status}" for status, count in counts.items())
    summary = f"<summary>{escape(statement(claim))}: {words}</summary>"
    return f"<details>\n{summary}\n\n{_claim_body(claim, text)}\n\n</details>"


def page(every: Iterable[Findings]) -> str:
    """Return docs/reference/claims.md: the claims on all models, one section for models with equal claims."""
    sections: dict[str, list[str]] = {}
    for claims in every:
        sections.setdefault(_body(claims), []).append(_heading(claims))
    parts = (f"## {'; '.join(headings)}\n\n{body}" for body, headings in sections.items())
    return "\n".join([_INTRODUCTION, *parts])


def _heading(claims: Findings) -> str:
    return f"`{claims.name}`: {markdown_words(claims.title)}"


def _body(claims: Findings) -> str:
    text = Printer(claims)
    parts = [_code((str(z), text(value)) for z, value in claims.clocks)] if claims.clocks else []
    parts += [_claim_body(claim, text) for claim in claims.claims]
    return "\n\n".join(parts) + "\n"


def _claim_body(claim: Claim, text: Printer) -> str:
    in_table = any(verdict.costate for verdict in claim.verdicts)
    return "\n".join((_table if in_table else _lines)(claim, text))


def _stated(claim: Claim, text: Printer) -> str:
    parts = [f"**{markdown_words(statement(claim))}**"]
    if claim.equations:
        parts.append(_code(equations_of(claim, text)))
    if claim.names:
        parts.append(f"with {_code((str(name), text(value)) for name, value in claim.names)}")
    return "<br>\n".join(parts)


def _table(claim: Claim, text: Printer) -> Iterator[str]:
    yield _stated(claim, text)
    yield "\n| verdict | of | equations | left over | error |\n| --- | --- | --- | --- | --- |"
    for verdict in claim.verdicts:
        words = [f"`{variables(verdict)}`", markdown_words(verdict.remark)]
        left = "<br>".join(f"`{_left_over(line)}`" for line in leftovers_of(claim, verdict, text))
        equations = _code(images_of(claim, verdict, text))
        cells = (verdict.status, "; ".join(filter(None, words)), equations, left, error(verdict))
        yield f"| {' | '.join(cells)} |"


def _lines(claim: Claim, text: Printer) -> Iterator[str]:
    yield _stated(claim, text) + "\n"
    for verdict in claim.verdicts:
        left = "; ".join(
            f"left over: `{_left_over(line)}`" for line in leftovers_of(claim, verdict, text)
        )
        observed = f"error {error(verdict)}" if error(verdict) else ""
        words = "; ".join(filter(None, (markdown_words(verdict.remark), left, observed)))
        yield f"- {verdict.status}: {words}"


def _left_over(line: Line) -> str:
    where, value = line
    return f"{where}: {value}" if where else value


def _code(lines: Iterable[Line]) -> str:
    return ", ".join(f"`{left} = {right}`" for left, right in lines)


_INTRODUCTION = f"""\
# Claims on adjoints

This page tests claims on the adjoint systems of all shipped models. It is made by
`{COMMAND}`. `optode claims SPEC` tests one model, also a spec of your own.

- `b_h` is the image of the state h: the variable that replaces h in the claimed equations. The
  position's image is a costate: unchanged, in reversed time, or divided by a scalar P(t) that
  elimination finds. The other images follow from the equations.
- `JT(c)` is the transposed Jacobian of f along the trajectory, applied to c. `JT'` is its time
  derivative. Neither commutes with factors that differ between elements; such factors have names
  like `D`.
- *proven*: elimination leaves no terms over. *refuted*: terms are left over that do not vanish; the
  table lists them, to be added to the right-hand sides.
- *error* is measured with a random network in float64. The costate is integrated with the
  transposed Jacobian of the vector field (by complex steps). Its image is compared with the
  solution of the claimed equations from the same start, relative to the size of the image. For a
  claim that is not linear, the sum of two solutions is tested. Where a proven claim shows an error,
  up to three other sets of random numbers are tried: its equation may be nearly singular.
- The costates are linear in the loss. So no variables that are linear in the costates can satisfy a
  forward equation that is not linear.
"""
