"""Write verdicts as text and JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, TypeAlias

import sympy as sp

from optode.claim.operators import TransposedRate
from optode.claim.verdicts import Claim, Findings, Verdict
from optode.language.symbols import FieldTransposed, velocity_symbol
from optode.language.text import to_text

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
        return f"With {held} held, and no costate dropped, t{words[1:]}"
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


class Printer:
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


def equations_of(claim: Claim, text: Printer) -> list[Line]:
    """Return the claimed equations; names of pairs and of the determinant get no prime."""
    prime = "'" if claim.kind in ("forward", "linearised") else ""
    return [(f"{text(left)}{prime}", text(right)) for left, right in claim.equations]


def images_of(claim: Claim, verdict: Verdict, text: Printer) -> list[Line]:
    """Return the new variables, or the equation that holds."""
    primes = "''" if claim.kind == "second order" else ""
    return [(f"{text(image)}{primes}", text(value)) for image, value in verdict.images]


def leftovers_of(claim: Claim, verdict: Verdict, text: Printer) -> list[Line]:
    """Return the equations with terms left over, and these terms."""
    of_costates = claim.kind != "transition"
    return [(f"{text(b)}'" if of_costates else "", text(value)) for b, value in verdict.leftover]


# Text


def as_text(claims: Findings) -> str:
    """Return plain text, laid out as by `optode derive`."""
    text = Printer(claims)
    parts = [[f"{claims.title}: the adjoint of {claims.class_name}"]]
    if claims.clocks:
        parts[0] += _aligned([(str(z), text(value)) for z, value in claims.clocks], "  ")
    parts += [list(_claim_lines(claim, text)) for claim in claims.claims]
    if remarks := list(text.remarks()):
        parts.append(["where", *_aligned(remarks, "  ")])
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _claim_lines(claim: Claim, text: Printer) -> Iterator[str]:
    yield statement(claim)
    yield from _aligned(equations_of(claim, text), "  ")
    if claim.names:
        yield "  with"
        yield from _aligned([(str(name), text(value)) for name, value in claim.names], "    ")
    for verdict in claim.verdicts:
        words = filter(None, (variables(verdict), verdict.remark))
        yield f"  {': '.join([verdict.status, *filter(None, ['; '.join(words)])])}"
        lines = images_of(claim, verdict, text)
        for where, value in leftovers_of(claim, verdict, text):
            lines.append((f"left over in {where}" if where else "left over", value))
        if observed := error(verdict):
            lines.append(("observed error", observed))
        yield from _aligned(lines, "    ")


def _aligned(lines: list[Line], indent: str) -> Iterator[str]:
    width = max((len(left) for left, _ in lines), default=0)
    for left, right in lines:
        sign = "" if right.startswith(("<", ">")) else "= "
        yield f"{indent}{left:{width}} {sign}{right}"


# JSON


def as_json(claims: Findings) -> Json:
    """Return nested dictionaries of texts for ``json.dumps``. Later versions may add keys and remove none."""
    text = Printer(claims)
    return {
        "name": claims.name,
        "class": claims.class_name,
        "clocks": {str(z): text(value) for z, value in claims.clocks},
        "claims": [_claim_json(claim, text) for claim in claims.claims],
    }


def _claim_json(claim: Claim, text: Printer) -> Json:
    return {
        "kind": claim.kind,
        "statement": statement(claim),
        "equations": dict(equations_of(claim, text)),
        "names": {str(name): text(value) for name, value in claim.names},
        "held": list(map(str, claim.held)),
        "dropped": bool(claim.held) and not claim.is_kept,
        "verdicts": [_verdict_json(verdict, text) for verdict in claim.verdicts],
    }


def _verdict_json(verdict: Verdict, text: Printer) -> Json:
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
