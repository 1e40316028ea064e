"""Write verdicts as text, Markdown and JSON."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any, TypeAlias

import sympy as sp

from optode.claim.operators import TransposedRate
from optode.claim.verdicts import Claim, Findings, Verdict
from optode.language.symbols import FieldTransposed, velocity_symbol
from optode.language.text import to_text
from optode.show.dialect import markdown_words

Json: TypeAlias = dict[str, Any]
Line: TypeAlias = tuple[str, str]
"""The two sides of an equation."""
COMMAND = "optode claims --all --format markdown"


# Words


_STATEMENTS = {
    "forward": "The costates satisfy the forward equation, with JT in the place of f",
    "linearised": "The costates satisfy the linearised forward equation, with JT for J",
    "second order": "One costate satisfies an equation of second order by itself",
    "integrated": "The eigenvalues of the Jacobian, integrated from t to T, pair",
    "transition": "The eigenvalues of the transition matrix from t to T pair",
    "volume": "The flow changes volumes by a factor known beforehand",
}


def statement(claim: Claim) -> str:
    """Return the claim as a sentence."""
    words = _STATEMENTS[claim.kind]
    if not claim.held:
        return words
    held = ", ".join(map(str, claim.held))
    if claim.is_kept:
        return f"The same with {held} held, but no costate dropped"
    dropped = "its costate" if len(claim.held) == 1 else "their costates"
    return f"With {held} held and {dropped} dropped, t{words[1:]}"


def variables(verdict: Verdict) -> str:
    """Return the costate and the change of variables applied to it."""
    if verdict.costate is None:
        return ""
    name, change = str(verdict.costate), verdict.change
    if change.is_reversed:
        return f"{name} in reversed time, tau = T - t"
    if change.rate == 0:
        return name
    if change.factor is None:
        return f"{name}/P, P' = P*({to_text(change.rate)})"
    return f"{name}/P, P = {to_text(change.factor)}"


def error(verdict: Verdict) -> str:
    """Return the order of magnitude of the observed error; it does not depend on the machine."""
    if verdict.witness is None:
        return "" if verdict.status == "not applicable" else "none"
    if not verdict.agrees:
        return f"{verdict.witness:.0e} (!)"
    if verdict.status == "proven":
        return "< 1e-10"
    return f"> {10.0 ** math.floor(math.log10(verdict.witness)):g}"


class _Printer:
    """Writes expressions of one model as text, derivatives with a prime."""

    def __init__(self, claims: Findings) -> None:
        named = [name for claim in claims.claims for name, _ in claim.names]
        shown = [v.costate for claim in claims.claims for v in claim.verdicts if v.costate]
        self.primes = {velocity_symbol(s).name: f"{s}'" for s in (*named, *shown)}
        self.transposed: dict[str, FieldTransposed] = {}

    def __call__(self, expression: sp.Expr) -> str:
        for node in expression.atoms(FieldTransposed):
            self.transposed[to_text(node).partition("(")[0]] = node
        text = to_text(expression)
        return re.sub(r"\b\w+_dot\b", lambda m: self.primes.get(m[0], m[0]), text)

    def remarks(self) -> Iterator[Line]:
        """Return the definitions of the operators printed so far."""
        for name in sorted(self.transposed):
            node = self.transposed[name]
            of = f" with respect to {node.args[1]}" if len(node.args) > 1 else ""
            plain = name.removesuffix("'")
            meaning = f"the transposed Jacobian of f{of} along the trajectory, applied to c"
            if isinstance(node, TransposedRate):
                meaning = (
                    f"({plain}(c))' - {plain}(c'), the time derivative of {plain} applied to c"
                )
            yield f"{name}(c)", meaning


def _equations(claim: Claim, text: _Printer) -> list[Line]:
    """Return the claimed equations; names of pairs and of the determinant get no prime."""
    prime = "'" if claim.kind in ("forward", "linearised") else ""
    return [(f"{text(left)}{prime}", text(right)) for left, right in claim.equations]


def _images(claim: Claim, verdict: Verdict, text: _Printer) -> list[Line]:
    """Return the new variables, or the equation that holds."""
    primes = "''" if claim.kind == "second order" else ""
    return [(f"{text(image)}{primes}", text(value)) for image, value in verdict.images]


def _leftovers(claim: Claim, verdict: Verdict, text: _Printer) -> list[Line]:
    """Return the equations with terms left over, and these terms."""
    of_costates = claim.kind != "transition"
    return [(f"{text(b)}'" if of_costates else "", text(value)) for b, value in verdict.leftover]


# Text


def as_text(claims: Findings) -> str:
    """Return plain text, laid out as by `optode derive`."""
    text = _Printer(claims)
    parts = [[f"{claims.title}: the adjoint of {claims.class_name}"]]
    if claims.clocks:
        parts[0] += _aligned([(str(z), text(value)) for z, value in claims.clocks], "  ")
    parts += [list(_claim_lines(claim, text)) for claim in claims.claims]
    if remarks := list(text.remarks()):
        parts.append(["where", *_aligned(remarks, "  ")])
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _claim_lines(claim: Claim, text: _Printer) -> Iterator[str]:
    yield statement(claim)
    yield from _aligned(_equations(claim, text), "  ")
    if claim.names:
        yield "  with"
        yield from _aligned([(str(name), text(value)) for name, value in claim.names], "    ")
    for verdict in claim.verdicts:
        words = filter(None, (variables(verdict), verdict.remark))
        yield f"  {': '.join([verdict.status, *filter(None, ['; '.join(words)])])}"
        lines = _images(claim, verdict, text)
        for where, value in _leftovers(claim, verdict, text):
            lines.append((f"left over in {where}" if where else "left over", value))
        if observed := error(verdict):
            lines.append(("observed error", observed))
        yield from _aligned(lines, "    ")


def _aligned(lines: list[Line], indent: str) -> Iterator[str]:
    width = max((len(left) for left, _ in lines), default=0)
    for left, right in lines:
        sign = "" if right.startswith(("<", ">")) else "= "
        yield f"{indent}{left:{width}} {sign}{right}"


# Markdown


def as_markdown(claims: Findings) -> str:
    """Return a heading, and a part for each claim that opens to its verdicts."""
    text = _Printer(claims)
    clocks = [_code((str(z), text(value)) for z, value in claims.clocks)] if claims.clocks else []
    folded = (_folded(claim, text) for claim in claims.claims)
    return "\n\n".join([f"### {_heading(claims)}", *clocks, *folded]) + "\n"


def _folded(claim: Claim, text: _Printer) -> str:
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
    text = _Printer(claims)
    parts = [_code((str(z), text(value)) for z, value in claims.clocks)] if claims.clocks else []
    parts += [_claim_body(claim, text) for claim in claims.claims]
    return "\n\n".join(parts) + "\n"


def _claim_body(claim: Claim, text: _Printer) -> str:
    in_table = any(verdict.costate for verdict in claim.verdicts)
    return "\n".join((_table if in_table else _lines)(claim, text))


def _stated(claim: Claim, text: _Printer) -> str:
    parts = [f"**{markdown_words(statement(claim))}**"]
    if claim.equations:
        parts.append(_code(_equations(claim, text)))
    if claim.names:
        parts.append(f"with {_code((str(name), text(value)) for name, value in claim.names)}")
    return "<br>\n".join(parts)


def _table(claim: Claim, text: _Printer) -> Iterator[str]:
    yield _stated(claim, text)
    yield "\n| verdict | of | equations | left over | error |\n| --- | --- | --- | --- | --- |"
    for verdict in claim.verdicts:
        words = [f"`{variables(verdict)}`", markdown_words(verdict.remark)]
        left = "<br>".join(f"`{_left_over(line)}`" for line in _leftovers(claim, verdict, text))
        equations = _code(_images(claim, verdict, text))
        cells = (verdict.status, "; ".join(filter(None, words)), equations, left, error(verdict))
        yield f"| {' | '.join(cells)} |"


def _lines(claim: Claim, text: _Printer) -> Iterator[str]:
    yield _stated(claim, text) + "\n"
    for verdict in claim.verdicts:
        left = "; ".join(
            f"left over: `{_left_over(line)}`" for line in _leftovers(claim, verdict, text)
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
  claim that is not linear, the sum of two solutions is tested.
- The costates are linear in the loss. So no variables that are linear in the costates can satisfy a
  forward equation that is not linear.
"""


# JSON


def as_json(claims: Findings) -> Json:
    """Return nested dictionaries of texts for ``json.dumps``. Later versions may add keys and remove none."""
    text = _Printer(claims)
    return {
        "name": claims.name,
        "class": claims.class_name,
        "clocks": {str(z): text(value) for z, value in claims.clocks},
        "claims": [_claim_json(claim, text) for claim in claims.claims],
    }


def _claim_json(claim: Claim, text: _Printer) -> Json:
    return {
        "kind": claim.kind,
        "statement": statement(claim),
        "equations": dict(_equations(claim, text)),
        "names": {str(name): text(value) for name, value in claim.names},
        "held": list(map(str, claim.held)),
        "dropped": bool(claim.held) and not claim.is_kept,
        "verdicts": [_verdict_json(verdict, text) for verdict in claim.verdicts],
    }


def _verdict_json(verdict: Verdict, text: _Printer) -> Json:
    factor = verdict.change.factor
    return {
        "status": verdict.status,
        "costate": None if verdict.costate is None else str(verdict.costate),
        "reversed": verdict.change.is_reversed,
        "factor": None if factor is None else text(factor),
        "images": {text(image): text(value) for image, value in verdict.images},
        "leftover": {text(image): text(value) for image, value in verdict.leftover},
        "remark": verdict.remark,
        "error": error(verdict),
    }
