"""Scalings: the powers of the step size under which an update rule has a continuous limit.

With ``Delta = s^p`` and states ``z_j = s^(b_j) Z_j`` every term of the increment of Z_j has an
exponent in s that is piecewise linear in the unknowns (p, b). A scaling is admissible when no
exponent lies below p. The set of terms of exponent exactly p (the tight ones, which survive in the
limit) is maximal at the **distinguished limits**. The pieces change on finitely many hyperplanes,
so the maxima lie at vertices of their arrangement, which are enumerated exactly, in rational
arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, product
from typing import TypeAlias

import sympy as sp

from optode.diagnostics import Diagnostic, SpecError
from optode.notation import COUNTER, At, Field, Gradient
from optode.rule import UpdateRule
from optode.text_printer import to_text

_ORACLES = (Gradient, Field)

Form: TypeAlias = tuple[Fraction, ...]
"""A linear form in (1, p, b_1, b_2, ...): a possible exponent of s."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """``Delta = s^time_power`` and ``z_j = s^powers[j] Z_j``, powers in the order of the states."""

    time_power: Fraction
    powers: tuple[Fraction, ...]

    def __post_init__(self) -> None:
        if self.time_power <= 0:
            raise ValueError("the continuous step must vanish with the step size")

    def as_declaration(self, rule: UpdateRule) -> str:
        """The line of a spec that declares it: ``scaling: {time: sqrt(s), v: sqrt(s)}``."""
        names = ("time", *(str(state) for state in rule.states[1:]))
        powers = (rule.step_size ** sp.Rational(*p.as_integer_ratio()) for p in self._declared)
        entries = (f"{n}: {to_text(power)}" for n, power in zip(names, powers, strict=True))
        return f"scaling: {{{', '.join(entries)}}}"

    @property
    def _declared(self) -> tuple[Fraction, ...]:
        return (self.time_power, *self.powers[1:])


def step_map_in_step_size(rule: UpdateRule) -> tuple[sp.Expr, ...]:
    """The one-step map with every hyper-parameter's formula put in."""
    formulas: dict[sp.Expr, sp.Expr] = {}
    for name, formula in rule.formulas:
        formulas[name] = formula.xreplace(formulas)
    return tuple(value.xreplace(formulas) for value in rule.step_map)


@dataclass(frozen=True, slots=True)
class _Term:
    """One term of the increment of a state and the forms its exponent can take."""

    state: int
    expression: sp.Expr
    forms: tuple[Form, ...]


def distinguished_limits(rule: UpdateRule) -> tuple[Scaling, ...]:
    """All scalings under which the rule has a limit with a maximal set of surviving terms.

    Raises SpecError (E401) naming the terms that do not vanish where there is none.
    """
    problem = _Problem(rule)
    admissible = [v for v in problem.vertices() if problem.is_admissible(v)]
    limits = [v for v in admissible if v[1] > 0]
    if not limits:
        raise SpecError(_no_limit(rule, problem, admissible))
    tight = {v: problem.tight_terms(v) for v in limits}
    maximal = [v for v in limits if not any(tight[v] < tight[w] for w in limits)]
    simplest: dict[frozenset[int], Form] = {}
    for vertex in sorted(maximal, key=lambda v: sum(abs(b) for b in v[2:])):
        simplest.setdefault(tight[vertex], vertex)
    return tuple(Scaling(v[1], (Fraction(0), *v[2:])) for v in simplest.values())


class _Problem:
    """The exponents of one rule as linear forms in the unknowns."""

    def __init__(self, rule: UpdateRule) -> None:
        self.rule = rule
        self.unknowns = 1 + len(rule.states) - 1
        self.walls: list[Form] = []
        self.known_exponents: dict[tuple[sp.Expr, Form], Fraction] = {}
        self.terms: list[_Term] = []
        for index, value in enumerate(step_map_in_step_size(rule)):
            for term in _grouped_terms(value - rule.states[index], rule):
                self.terms.append(_Term(index, term, tuple(self.forms(term))))

    def unit(self, index: int, factor: int = 1) -> Form:
        return tuple(Fraction(factor * (i == index)) for i in range(self.unknowns + 1))

    def leaf(self, expression: sp.Expr) -> Form | None:
        """The exponent of a symbol; None for anything compound."""
        if expression == self.rule.step_size:
            return self.unit(0)
        if expression == COUNTER:
            return self.unit(1, -1)
        if expression in self.rule.states[1:]:
            return self.unit(self.rule.states.index(expression) + 1)
        return self.unit(0, 0) if expression.is_Atom or expression.func in _ORACLES else None

    def forms(self, expression: sp.Expr) -> set[Form]:
        """Every exponent the leading behaviour of the expression can have; collects the walls."""
        leaf = self.leaf(expression)
        inner = [self.forms(a) for a in expression.args]
        if leaf is not None:
            return {leaf}
        if isinstance(expression, sp.Mul):
            return {_sum(forms) for forms in product(*inner)}
        if isinstance(expression, sp.Add):
            forms = set().union(*inner)
            self.walls += [_difference(a, b) for a, b in combinations(sorted(forms), 2)]
            return forms
        if isinstance(expression, sp.Pow) and expression.exp.is_Rational:
            return {_scaled(form, expression.exp) for form in inner[0]}
        if isinstance(expression, sp.Abs):
            return inner[0]
        if isinstance(expression, sp.Pow):
            self.walls += [_sum(pair) for pair in product(*inner)]
        return {self.unit(0, 0)}

    def exponent(self, expression: sp.Expr, point: Form) -> Fraction:
        """The exponent of s in the leading behaviour at a point of the unknowns."""
        key = expression, point
        if key not in self.known_exponents:
            self.known_exponents[key] = self._exponent(expression, point)
        return self.known_exponents[key]

    def _exponent(self, expression: sp.Expr, point: Form) -> Fraction:
        leaf = self.leaf(expression)
        if leaf is not None:
            return _value(leaf, point)
        if isinstance(expression, sp.Mul):
            return sum((self.exponent(a, point) for a in expression.args), Fraction(0))
        if isinstance(expression, sp.Add):
            return min(self.exponent(a, point) for a in expression.args)
        if isinstance(expression, sp.Pow) and expression.exp.is_Rational:
            return _fraction(expression.exp) * self.exponent(expression.base, point)
        if isinstance(expression, sp.Abs):
            return self.exponent(expression.args[0], point)
        return Fraction(0)

    def vertices(self) -> Iterator[Form]:
        """Points (1, p, b...) where as many hyperplanes meet as there are unknowns."""
        declared = self.declared()
        gauge = [self.unit(i) for i in range(2, self.unknowns + 1)]
        tight = [self.tightness(t, f) for t in self.terms for f in t.forms]
        walls = sorted({_normalised(w) for w in (*tight, *self.walls, *gauge) if any(w[1:])})
        seen: set[Form] = set()
        for chosen in combinations(walls, self.unknowns - len(declared)):
            point = _intersection((*declared, *chosen), self.unknowns)
            if point is not None and point not in seen:
                seen.add(point)
                yield point

    def declared(self) -> list[Form]:
        """``unknown - power = 0`` for each power the author has fixed; index 0 is the time."""
        return [
            _difference(self.unit(index + 1), tuple(power * c for c in self.unit(0)))
            for index, power in self.rule.declared_powers
        ]

    def tightness(self, term: _Term, form: Form) -> Form:
        """``form - b_state - p``, zero where the term survives in the limit."""
        return _difference(_difference(form, self.own(term)), self.unit(1))

    def own(self, term: _Term) -> Form:
        return self.unit(term.state + 1) if term.state else self.unit(0, 0)

    def excess(self, term: _Term, point: Form) -> Fraction:
        """How much faster than the continuous step the term vanishes."""
        own = _value(self.own(term), point)
        return self.exponent(term.expression, point) - own - point[1]

    def is_admissible(self, point: Form) -> bool:
        return all(self.excess(term, point) >= 0 for term in self.terms)

    def tight_terms(self, point: Form) -> frozenset[int]:
        return frozenset(i for i, t in enumerate(self.terms) if self.excess(t, point) == 0)


def _grouped_terms(increment: sp.Expr, rule: UpdateRule) -> list[sp.Expr]:
    """The terms of an increment, one for each product of states and calls, coefficients combined.

    Combining matters: ``(k-1)/(k+2) - 1`` is of order 1/k only as ``-3/(k+2)``.
    """
    groups: dict[sp.Expr, sp.Expr] = {}
    for term in sp.Add.make_args(sp.expand(increment)):
        coefficient, rest = term.as_independent(*rule.states, Gradient, Field, At, as_Add=False)
        groups[rest] = groups.get(rest, sp.S.Zero) + coefficient
    terms: list[sp.Expr] = []
    for rest, total in groups.items():
        fraction = any(power.exp.could_extract_minus_sign() for power in total.atoms(sp.Pow))
        coefficient = sp.cancel(sp.together(total)) if fraction else sp.expand(total)
        terms += [part * rest for part in sp.Add.make_args(coefficient) if part != 0]
    return terms


def _no_limit(
    rule: UpdateRule, problem: _Problem, admissible: list[Form]
) -> tuple[Diagnostic, ...]:
    """One diagnostic for each term that stands in the way at the best scaling there is."""
    best = max(admissible, key=lambda v: v[1], default=problem.unit(0))
    tight = [t for t in problem.terms if problem.excess(t, best) <= 0] or problem.terms
    hint = "every increment must vanish with the step size; let a hyper-parameter depend on it"
    return tuple(
        Diagnostic("E401", _grows(rule, term, problem, best), rule.span_of(term.state), hint)
        for term in tight
    )


def _grows(rule: UpdateRule, term: _Term, problem: _Problem, point: Form) -> str:
    power = _power_text(rule, problem.exponent(term.expression, point))
    return (
        f"no continuous limit: the increment of `{rule.states[term.state]}` has the term "
        f"{to_text(term.expression)} of order {power}"
    )


def _power_text(rule: UpdateRule, power: Fraction) -> str:
    return f"{rule.step_size}**({power})" if power.denominator > 1 else f"{rule.step_size}**{power}"


def _value(form: Form, point: Form) -> Fraction:
    return sum((f * p for f, p in zip(form, point, strict=True)), Fraction(0))


def _normalised(wall: Form) -> Form:
    """The same hyperplane with the first unknown's coefficient 1."""
    pivot = next(c for c in wall[1:] if c)
    return tuple(c / pivot for c in wall)


def _fraction(number: sp.Rational) -> Fraction:
    return Fraction(int(number.p), int(number.q))


def _scaled(form: Form, factor: sp.Rational) -> Form:
    return tuple(_fraction(factor) * c for c in form)


def _sum(forms: Iterable[Form]) -> Form:
    return tuple(sum(column, Fraction(0)) for column in zip(*forms, strict=True))


def _difference(a: Form, b: Form) -> Form:
    return tuple(x - y for x, y in zip(a, b, strict=True))


def _intersection(walls: Iterable[Form], unknowns: int) -> Form | None:
    """The one point (1, p, b...) on all walls, or None where they do not meet in one point."""
    rows = [list(wall) for wall in walls]
    for column in range(1, unknowns + 1):
        pivot = next((r for r in rows[column - 1 :] if r[column] != 0), None)
        if pivot is None:
            return None
        rows.remove(pivot)
        rows.insert(column - 1, [c / pivot[column] for c in pivot])
        for i, row in enumerate(rows):
            if i != column - 1 and row[column] != 0:
                rows[i] = [c - row[column] * d for c, d in zip(row, rows[column - 1], strict=True)]
    if any(row[0] != 0 for row in rows[unknowns:]):
        return None
    return (Fraction(1), *(-row[0] for row in rows[:unknowns]))
