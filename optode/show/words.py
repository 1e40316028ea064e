"""Say in words what stands beside equations: parameters, starts, remarks and notes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

import sympy as sp

from optode.adjoint.adjoint import AdjointSystem
from optode.adjoint.volume import volume
from optode.language.functions import transformed
from optode.language.matrices import operator_named
from optode.language.symbols import FieldTransposed, Oracle, Tangent, symbol
from optode.language.text import operator_text, to_text
from optode.model.following import Following
from optode.model.model import Initial, LearnedParameter
from optode.show.dialect import Dialect

Line: TypeAlias = tuple[str, str]
"""The two sides of an equation."""


def noted(notes: tuple[str, ...], dialect: Dialect) -> tuple[Line, ...]:
    """Return notes as lines."""
    return tuple((dialect.words("note"), dialect.words(note)) for note in notes)


def parameter_line(parameter: LearnedParameter, dialect: Dialect) -> Line:
    """Return a parameter as ``gamma = sigmoid(raw_gamma), learned from raw_gamma = -3.0``."""
    left = dialect.expression(parameter.symbol)
    if parameter.required:
        return left, dialect.words("a number that the caller gives")
    if parameter.value is not None:
        return left, dialect.expression(_number(parameter.value)) + dialect.words(", fixed")
    each = dialect.words(", a value for each feature" if parameter.per_feature else "")
    if parameter.transform == "none":
        start = dialect.expression(_number(parameter.init))
        return left, start + dialect.words(" at first, learned") + each
    raw = symbol(f"raw_{parameter.symbol}")
    start = f"{dialect.expression(raw)} = {dialect.expression(_number(parameter.init))}"
    value = dialect.expression(transformed(raw, parameter.transform))
    return left, value + dialect.words(", learned from ") + start + each


def _number(value: float | None) -> sp.Rational:
    return sp.Rational(repr(value))


_STARTS = {
    "given": "given",
    "learned": "learned, one value for each feature",
    "linear": "a learned linear map of the position's start",
}


def start_text(initial: Initial, dialect: Dialect) -> str:
    """Return where a state starts."""
    if initial.kind == "zero" or initial.expression is not None:
        return dialect.expression(initial.expression or sp.S.Zero)
    return dialect.words(_STARTS[initial.kind])


def remarks(system: AdjointSystem, dialect: Dialect) -> Iterator[Line]:
    """Yield the meaning of ``JT(c)``, or of ``JT_x(c)`` if the field has several arguments."""
    nodes = [node for e in system.equations for node in e.atoms(FieldTransposed)]
    flow = volume(system.model)
    for jacobian in flow.jacobians if flow else ():
        of = jacobian.name.removeprefix("J").replace("_", " with respect to ", 1)
        yield dialect.expression(jacobian), dialect.words(f"the Jacobian of f{of}")
    partials = sorted({node.args[1:] for node in nodes}, key=sp.default_sort_key)
    named = {dialect.expression(FieldTransposed(symbol("c"), *p)): p for p in partials}
    for name, partial in named.items():
        yield name, dialect.words(f"the transposed Jacobian of {_function(partial)}, applied to c")


def _function(partial: tuple[sp.Expr, ...]) -> str:
    """Return the words for what a transposed Jacobian is of, and with respect to what."""
    calls = (str(a.args[0]) for a in partial if isinstance(a, Oracle))
    of = next((operator_text(name, "M") if operator_named(name) else name for name in calls), "f")
    if partial and isinstance(partial[0], Tangent):
        return f"{of}: that of J(u) for u = {to_text(partial[0].args[1])}"
    return f"{of} with respect to {to_text(partial[-1])}" if partial and of == "f" else of


def given_along(following: Following) -> str:
    """Return what is given along the solution: ``given f and the rest of m'``."""
    rests = [f"the rest of {z}'" for z in following.rests]
    return f"given {_listed(['f', *rests])} along the solution"


def order_text(states: tuple[sp.Symbol, ...], following: Following) -> str:
    """Return the order in which the states follow: ``m and v relax at alpha and beta, then h``."""
    rows = dict(zip(states, following.linear_part, strict=True))
    linear = {z: {x: n for x, n in zip(states, rows[z], strict=True) if n} for z in states}
    followers = following.followers
    driven = tuple(z for z in states if all(z not in group for group in followers))
    return ", then ".join(_group_text(group, linear) for group in (driven, *followers) if group)


def _group_text(
    group: tuple[sp.Symbol, ...], linear: Mapping[sp.Symbol, Mapping[sp.Symbol, sp.Expr]]
) -> str:
    relaxing = {z: to_text(-linear[z][z]) for z in group if [*linear[z]] == [z]}
    others = [str(z) for z in group if not linear[z]]
    clauses = []
    if relaxing:
        distinct = dict.fromkeys(relaxing.values())
        at = distinct if len(distinct) == 1 else relaxing.values()
        verb = "relaxes" if len(relaxing) == 1 else "relax"
        clauses = [f"{_listed(map(str, relaxing))} {verb} at {_listed(at)}"]
    for z in group:
        if linear[z] and z not in relaxing:
            clauses.append(f"{z} moves linearly with {_listed(map(str, linear[z]))}")
    if not clauses:
        return _listed(others)
    text = "; ".join(clauses)
    return f"{text}, beside {_listed(others)}" if others else text


def _listed(names: Iterable[str]) -> str:
    """Return ``a, b and c``."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
