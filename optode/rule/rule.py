"""The update rule: one step of an optimizer as a map of its states, in normal form.

Normal form: every state is read at iteration k only. A lag ``x[k-1]`` becomes a difference state
``dx[k] = x[k] - x[k-1]`` (``ddx`` for a second lag), an intermediate quantity a definition.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from typing import TypeAlias

import sympy as sp

from optode.diagnostics import Span
from optode.language.program import Program, lower
from optode.language.symbols import COUNTER, At, Oracle, relu, step_symbol, symbol

Step: TypeAlias = dict[sp.Expr, sp.Expr]

IMPLICIT_ITERATIONS = 4
"""How far an implicit step is unrolled."""


@dataclass(frozen=True, slots=True)
class UpdateRule:
    """``z[k+1] = Phi(z[k], k; parameters, step size)``, the gradient an opaque call.

    ``step`` lists the assignments of one step in an order in which they can be carried out: the
    names ``z[k+1]`` stand as ``At(z, 1)``; intermediate quantities under their own names.
    ``formulas`` says how hyper-parameters move with the step size; ``start`` gives the states at k
    = 0 (the position is free and absent). ``declared_powers`` are powers of the step size the
    author has fixed, by the state's index, 0 for time. ``vectors`` are hyper-parameters with a value
    for each feature, which a Jacobian does not commute with. All expressions are elementwise.
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
    spans: tuple[Span | None, ...] = field(default=(), compare=False)

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
        """Where the author wrote the assignment of a state, None for a rule made in Python."""
        return self.spans[state] if state < len(self.spans) else None

    @property
    def position(self) -> sp.Symbol:
        """The state at which the gradient's minimum is sought: the author's first."""
        return self.states[0]

    @property
    def has_counter(self) -> bool:
        """Whether a coefficient depends on the iteration."""
        return any(value.has(COUNTER) for _, value in self.step)

    @property
    def step_map(self) -> tuple[sp.Expr, ...]:
        """Phi: the new value of each state in terms of the old ones, everything substituted."""
        values: dict[sp.Expr, sp.Expr] = {}
        for target, value in self.step:
            values[target] = value.xreplace(values)
        return tuple(values[At(state, 1)] for state in self.states)

    @property
    def floors(self) -> dict[sp.Symbol, sp.Expr]:
        """The states that are kept above another quantity, ``w+ = max(A, B)``, and their B."""
        found = {}
        for state, value in zip(self.states, self.step_map, strict=True):
            clipped = [term for term in sp.Add.make_args(value) if isinstance(term, relu)]
            if len(clipped) == 1:
                floor = sp.expand(clipped[0].args[0] + value - clipped[0])
                if not floor.has(state):
                    found[state] = floor
        return found

    @property
    def program(self) -> Program:
        """One step as a program; inputs k, step size, states, free hyper-parameters by name."""
        named = {target: _next_name(target) for target, _ in self.step}
        equations: dict[sp.Symbol, sp.Expr] = dict(self.formulas)
        equations |= {named[target]: value.xreplace(named) for target, value in self.step}
        outputs = tuple(named[At(state, 1)] for state in self.states)
        inputs = (COUNTER, self.step_size, *self.states, *self.free_parameters)
        return replace(lower(inputs, equations), outputs=outputs)

    @property
    def free_parameters(self) -> tuple[sp.Symbol, ...]:
        """The hyper-parameters that no formula gives."""
        free: set[sp.Symbol] = set()
        for _, value in (*self.formulas, *self.step):
            free |= value.free_symbols - {node.args[0] for node in value.atoms(Oracle)}
        bound = {COUNTER, self.step_size, *self.states, *(p for p, _ in self.formulas)}
        bound |= {target for target, _ in self.step if isinstance(target, sp.Symbol)}
        return tuple(sorted(free - bound, key=str))


def _next_name(target: sp.Expr) -> sp.Symbol:
    return symbol(f"{target.args[0]}_next") if isinstance(target, At) else target


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with a rule: a code, the assignment it concerns, what to say and to advise."""

    code: str
    target: sp.Symbol
    message: str
    hint: str


class RuleError(ValueError):
    """A rule that is not a one-step map; ``flaws`` holds every reason."""

    def __init__(self, flaws: Iterable[Flaw]) -> None:
        self.flaws = tuple(flaws)
        super().__init__("; ".join(f"{flaw.message} ({flaw.hint})" for flaw in self.flaws))


def update_rule(
    name: str,
    step_size: sp.Symbol,
    states: Iterable[sp.Symbol],
    update: Mapping[sp.Expr, sp.Expr],
    parameters: Mapping[sp.Symbol, sp.Expr] | None = None,
    start: Mapping[sp.Symbol, sp.Expr] | None = None,
) -> UpdateRule:
    """A rule from SymPy expressions, as a spec would write it.

    ``update`` maps a state to its next value and an intermediate quantity to its definition;
    expressions use ``grad(x)``, ``at(x, -1)`` for x[k-1], ``at(v, 1)`` for v[k+1] and ``COUNTER``
    for k. ``parameters`` gives hyper-parameters as formulas of the step size, ``start`` the states
    at k = 0 (the others start at zero). Symbols are taken by name, whatever their assumptions.

    Raises RuleError for an implicit step that has no iteration, a value beyond the step, or a
    difference state whose name is taken.
    """
    named = _Names(step_size)
    own_states = tuple(named(state) for state in states)
    step = {}
    for target, value in update.items():
        symbol_ = named(target)
        step[At(symbol_, 1) if symbol_ in own_states else symbol_] = named(value)
    flaws: list[Flaw] = []
    step = _inline_shifted_definitions(step, own_states)
    flaws += _beyond_the_step(step)
    if flaws:
        raise RuleError(flaws)
    step = _in_evaluation_order(step, named(step_size), flaws)
    all_states, step = _with_difference_states(own_states, step, flaws)
    if flaws:
        raise RuleError(flaws)
    return UpdateRule(
        name=name,
        step_size=named(step_size),
        states=all_states,
        step=tuple(step.items()),
        formulas=tuple((named(p), named(value)) for p, value in (parameters or {}).items()),
        start=tuple((named(state), named(value)) for state, value in (start or {}).items()),
    )


class _Names:
    """Symbols by name, with the language's assumptions: step size positive, the rest real."""

    def __init__(self, step_size: sp.Symbol) -> None:
        self.step_size = step_size.name

    def __call__(self, expression: sp.Expr) -> sp.Expr:
        symbols = sp.sympify(expression).free_symbols
        own = {
            s: step_symbol(s.name) if s.name == self.step_size else symbol(s.name) for s in symbols
        }
        return sp.sympify(expression).xreplace(own)


def shift(expression: sp.Expr, offset: int, sequences: Iterable[sp.Symbol]) -> sp.Expr:
    """The expression at iteration k + offset: every sequence and the counter moved."""
    moves: dict[sp.Expr, sp.Expr] = {s: At(s, offset) for s in sequences}
    moves[COUNTER] = COUNTER + offset
    for node in expression.atoms(At):
        at = node.args[1] + offset
        moves[node] = At(node.args[0], at) if at else node.args[0]
    return expression.xreplace(moves)


def _beyond_the_step(step: Step) -> list[Flaw]:
    """Values at k + 2 and later, which one step does not make."""
    return [
        Flaw(
            "E305",
            target.args[0] if isinstance(target, At) else target,
            f"`{node.args[0]}[k+{node.args[1]}]` lies beyond the step",
            "one step makes the values at k+1 from those at k and before",
        )
        for target, value in step.items()
        for node in sorted(value.atoms(At), key=sp.default_sort_key)
        if node.args[1] > 1
    ]


def _inline_shifted_definitions(step: Step, states: tuple[sp.Symbol, ...]) -> Step:
    """``y[k-1]`` of an intermediate y becomes y's definition, every index moved by -1."""
    definitions = [target for target in step if isinstance(target, sp.Symbol)]
    result = dict(step)
    for target in result:
        for _ in definitions:
            shifted = [a for a in result[target].atoms(At) if a.args[0] in definitions]
            moved = {a: shift(step[a.args[0]], a.args[1], (*states, *definitions)) for a in shifted}
            result[target] = result[target].xreplace(moved)
    return result


def _in_evaluation_order(step: Step, step_size: sp.Symbol, flaws: list[Flaw]) -> Step:
    """The assignments, each after those it reads, else in the author's order; those that read each
    other are unrolled."""
    waiting = list(step)
    ordered: Step = {}
    while waiting:
        ready = [target for target in waiting if not _reads(step[target]) & set(waiting)]
        if not ready:
            step, ready = _unrolled(step, waiting, step_size, flaws), list(waiting)
            if flaws:
                return step
        ordered[ready[0]] = step[ready[0]]
        waiting.remove(ready[0])
    return ordered


def _reads(value: sp.Expr) -> set[sp.Expr]:
    return {a for a in value.atoms(At) if a.args[1] == 1} | set(value.free_symbols)


def _unrolled(step: Step, targets: list[sp.Expr], step_size: sp.Symbol, flaws: list[Flaw]) -> Step:
    """Assignments that read each other's results, as fixed-point iterations from the old values.

    Each iteration gains a power of the step size, so the result agrees with the implicit step to
    O(s^IMPLICIT_ITERATIONS), which is beyond every order a limit is taken to. An assignment whose
    own result does not come multiplied by the step size has no such iteration.
    """
    for target in targets:
        if step[target].subs(step_size, 0).has(*targets):
            name = target.args[0] if isinstance(target, At) else target
            hint = "its new value must come multiplied by the step size: s*grad(x[k+1])"
            flaws.append(Flaw("E301", name, f"`{name}` is defined through itself", hint))
    old = {t: t.args[0] if isinstance(t, At) else step[t].subs(step_size, 0) for t in targets}
    for _ in range(IMPLICIT_ITERATIONS):
        old = {target: step[target].xreplace(old) for target in targets}
    return step | old


def _with_difference_states(
    states: tuple[sp.Symbol, ...], step: Step, flaws: list[Flaw]
) -> tuple[tuple[sp.Symbol, ...], Step]:
    """Lags become difference states: z[k-j] = (1 - difference)^j z[k], a binomial sum."""
    lags: dict[sp.Expr, sp.Expr] = {}
    added: Step = {}
    for state in states:
        depth = max(
            (-_offset(a) for v in step.values() for a in v.atoms(At) if a.args[0] == state),
            default=0,
        )
        differences = [state, *(symbol("d" * i + state.name) for i in range(1, depth + 1))]
        for order in range(1, depth + 1):
            terms = (sp.binomial(order, i) * (-1) ** i * differences[i] for i in range(order + 1))
            lags[At(state, -order)] = sp.Add(*terms)
        for lower_one, difference in pairwise(differences):
            if difference in states or difference in step:
                hint = "rename the state or quantity of that name"
                message = f"the lag of `{state}` needs the name `{difference}` for its difference"
                flaws.append(Flaw("E302", state, message, hint))
            added[At(difference, 1)] = At(lower_one, 1) - lower_one
    lagless = {target: value.xreplace(lags) for target, value in step.items()} | added
    return (*states, *(target.args[0] for target in added)), lagless


def _offset(node: sp.Expr) -> int:
    return int(node.args[1])
