"""The update rule: one step of an optimizer as a map of its states, in normal form.

Normal form: every state is read at iteration k only. A lag ``x[k-1]`` becomes a difference state
``dx[k] = x[k] - x[k-1]`` (``ddx`` for a second lag), an intermediate quantity a definition.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal

import sympy as sp

from optode.diagnostics import Span
from optode.language.effort import MOST_NESTED, MOST_WRITTEN_OUT
from optode.language.program import Program, lower
from optode.language.symbols import COUNTER, At, symbol
from optode.rule.bound import Bound, bound_of


@dataclass(frozen=True, slots=True)
class UpdateRule:
    """``z[k+1] = Phi(z[k], k; parameters, step size)``, the gradient an opaque call.

    ``step`` lists the assignments of one step in an order in which they can be carried out: the
    names ``z[k+1]`` stand as ``At(z, 1)``; intermediate quantities under their own names.
    ``formulas`` says how hyper-parameters move with the step size; ``start`` gives the states at k
    = 0 (the position is free and absent). ``declared_powers`` are powers of the step size the
    author has fixed, by the state's index, 0 for time. ``vectors`` are hyper-parameters with a
    value for each feature, which a Jacobian does not commute with. ``potential`` is the function of
    other states that the position moves with, where it does. ``declared`` holds the declarations of
    hyper-parameters in the author's words, where there are any. ``written`` and ``written_start`` are
    the assignments and starts as the author has them, before they were brought into normal form.
    With ``is_matrix`` the position has rows and columns. All expressions are elementwise but for
    reductions and products of matrices.
    """

    name: str
    step_size: sp.Symbol
    states: tuple[sp.Symbol, ...]
    step: tuple[tuple[sp.Expr, sp.Expr], ...]
    formulas: tuple[tuple[sp.Symbol, sp.Expr], ...] = ()
    start: tuple[tuple[sp.Symbol, sp.Expr], ...] = ()
    decays: tuple[sp.Symbol, ...] = ()
    vectors: tuple[sp.Symbol, ...] = ()
    declared_powers: tuple[tuple[int, Fraction], ...] = ()
    potential: sp.Expr | None = None
    spans: tuple[Span | None, ...] = field(default=(), compare=False)
    declared: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    is_matrix: bool = False
    written: tuple[tuple[sp.Expr, sp.Expr], ...] = field(default=(), compare=False)
    written_start: tuple[tuple[sp.Symbol, sp.Expr], ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        assigned = [target.args[0] for target, _ in self.step if isinstance(target, At)]
        if sorted(map(str, assigned)) != sorted(map(str, self.states)):
            raise ValueError(f"one assignment for each state of {self.states}, not {assigned}")
        known: set[sp.Expr] = set()
        for target, value in self.step:
            unknown = [node for node in value.atoms(At) if node not in known]
            if unknown:
                raise ValueError(f"{unknown[0]} is used before it is assigned")
            known.add(target)

    def span_of(self, state: int) -> Span | None:
        """Return where a spec assigns a state; None for a rule made in Python."""
        return self.spans[state] if state < len(self.spans) else None

    @property
    def position(self) -> sp.Symbol:
        """The first state: the one whose objective is minimized."""
        return self.states[0]

    @property
    def has_counter(self) -> bool:
        """Whether a coefficient depends on the iteration."""
        return any(value.has(COUNTER) for _, value in self.step)

    @property
    def step_map(self) -> tuple[sp.Expr, ...]:
        """Phi: the value of each state at k + 1 in the states at k, definitions put in."""
        values: dict[sp.Expr, sp.Expr] = {}
        for target, value in self.step:
            values[target] = value.xreplace(values)
        return tuple(values[At(state, 1)] for state in self.states)

    @property
    def bounds(self) -> dict[sp.Symbol, Bound]:
        """The bound of each state that is kept above or below one, or between two."""
        pairs = zip(self.states, self.step_map, strict=True)
        found = {z: bound_of(z, value, self._at_rest) for z, value in pairs}
        return {z: bound for z, bound in found.items() if bound is not None}

    def _at_rest(self, value: sp.Expr) -> sp.Expr:
        return value.xreplace(dict(self.formulas)).subs(self.step_size, 0)

    @property
    def program(self) -> Program:
        """One step as a program of the counter, step size, states and free hyper-parameters."""
        named = {target: _next_name(target) for target, _ in self.step}
        equations: dict[sp.Symbol, sp.Expr] = dict(self.formulas)
        equations |= {named[target]: value.xreplace(named) for target, value in self.step}
        outputs = tuple(named[At(state, 1)] for state in self.states)
        inputs = (COUNTER, self.step_size, *self.states, *self.free_parameters)
        return replace(lower(inputs, equations), outputs=outputs)

    @property
    def free_parameters(self) -> tuple[sp.Symbol, ...]:
        """The hyper-parameters that no formula gives: in a step, or in where a state starts."""
        free: set[sp.Symbol] = set()
        for _, value in (*self.formulas, *self.step, *self.start):
            free |= value.free_symbols
        bound = {COUNTER, self.step_size, *self.states, *(p for p, _ in self.formulas)}
        bound |= {target for target, _ in self.step if isinstance(target, sp.Symbol)}
        return tuple(sorted(free - bound, key=str))


def _next_name(target: sp.Expr) -> sp.Symbol:
    return symbol(f"{target.args[0]}_next") if isinstance(target, At) else target


@dataclass(frozen=True, slots=True)
class Flaw:
    """One error in a rule: its code, the name it concerns, what to say and what to advise.

    ``place`` tells which text of a spec is at fault: the expression assigned to the name in
    ``update``, the name itself in ``start`` or in ``scaling``, or its power in ``scaling``.
    """

    code: str
    target: sp.Symbol
    message: str
    hint: str | None
    place: Literal["update", "start", "scaling", "power"] = "update"


class RuleError(ValueError):
    """A rule or an ODE with errors; ``flaws`` holds them all."""

    def __init__(self, flaws: Iterable[Flaw]) -> None:
        self.flaws = tuple(flaws)
        super().__init__("; ".join(map(_sentence, self.flaws)))


def _sentence(flaw: Flaw) -> str:
    return f"{flaw.message} ({flaw.hint})" if flaw.hint else flaw.message


def too_long(name: sp.Symbol) -> Flaw:
    """Return the flaw of an expression that is too long with all definitions put in."""
    message = f"`{name}` is too long with all definitions put in"
    most = f"at most {MOST_WRITTEN_OUT} operations, nested {MOST_NESTED} deep"
    return Flaw("E306", name, message, most)
