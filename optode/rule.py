"""The update rule: one step of an optimizer as a map of its states, in normal form.

Normal form: every state is read at iteration k only. A lag ``x[k-1]`` becomes a difference state
``dx[k] = x[k] - x[k-1]`` (``ddx`` for a second lag), an intermediate quantity a definition.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from typing import TypeAlias

import sympy as sp

from optode.diagnostics import Located, Reporter, Span
from optode.expression import FUNCTIONS, Scope, parse_expression
from optode.notation import COUNTER, At, Gradient, step_symbol, symbol
from optode.program import Program, lower
from optode.spec import Assignment, Spec

Step: TypeAlias = dict[sp.Expr, sp.Expr]


@dataclass(frozen=True, slots=True)
class UpdateRule:
    """``z[k+1] = Phi(z[k], k; parameters, step size)``, the gradient an opaque call.

    ``step`` lists the assignments of one step in an order in which they can be carried out: the names
    ``z[k+1]`` stand as ``At(z, 1)``; intermediate quantities under their own names. ``formulas`` says
    how hyper-parameters move with the step size; ``start`` gives the states at k = 0 (the position
    is free and absent). ``declared_powers`` are powers of the step size the author has fixed, by the
    state's index, 0 for time. All expressions are elementwise.
    """

    name: str
    step_size: sp.Symbol
    states: tuple[sp.Symbol, ...]
    step: tuple[tuple[sp.Expr, sp.Expr], ...]
    formulas: tuple[tuple[sp.Symbol, sp.Expr], ...] = ()
    start: tuple[tuple[sp.Symbol, sp.Expr], ...] = ()
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
    def step_map(self) -> tuple[sp.Expr, ...]:
        """Phi: the new value of each state in terms of the old ones, everything substituted."""
        values: dict[sp.Expr, sp.Expr] = {}
        for target, value in self.step:
            values[target] = value.xreplace(values)
        return tuple(values[At(state, 1)] for state in self.states)

    @property
    def program(self) -> Program:
        """One step as a program; inputs k, step size, states, then free hyper-parameters by name."""
        named = {target: _next_name(target) for target, _ in self.step}
        equations = {symbol: value for symbol, value in self.formulas}
        equations |= {named[target]: value.xreplace(named) for target, value in self.step}
        outputs = tuple(named[At(state, 1)] for state in self.states)
        inputs = (COUNTER, self.step_size, *self.states, *self.free_parameters)
        return replace(lower(inputs, equations), outputs=outputs)

    @property
    def free_parameters(self) -> tuple[sp.Symbol, ...]:
        """The hyper-parameters that no formula gives."""
        free: set[sp.Symbol] = set()
        for _, value in (*self.formulas, *self.step):
            free |= value.free_symbols
        bound = {COUNTER, self.step_size, *self.states, *(p for p, _ in self.formulas)}
        bound |= {target for target, _ in self.step if isinstance(target, sp.Symbol)}
        return tuple(sorted(free - bound, key=str))


def _next_name(target: sp.Expr) -> sp.Symbol:
    return symbol(f"{target.args[0]}_next") if isinstance(target, At) else target


def build_rule(spec: Spec) -> UpdateRule:
    """The update rule a spec writes down.

    Raises SpecError with all errors of the rule: unknown names, an implicit step, a difference state
    whose name is taken.
    """
    reporter = Reporter()
    scope = _scope(spec)
    states = tuple(symbol(s.text) for s in spec.states)
    formulas = _parse_pairs(
        [(p.name, p.formula) for p in spec.parameters if p.formula is not None], scope, reporter
    )
    start = _parse_pairs(spec.start, scope, reporter)
    values = [parse_expression(a.expression, scope, reporter) for a in spec.assignments]
    reporter.raise_if_any()
    targets = [_target(a) for a in spec.assignments]
    step = dict(zip(targets, (v for v in values if v is not None), strict=True))
    step = _inline_shifted_definitions(step, states)
    step = _in_evaluation_order(step, spec, reporter)
    states, step = _with_difference_states(states, step, spec, reporter)
    powers = _declared_powers(spec, states, scope, reporter)
    reporter.raise_if_any()
    return UpdateRule(
        name=spec.name.text,
        step_size=_step_size(spec),
        states=states,
        step=tuple(step.items()),
        formulas=formulas,
        start=start,
        declared_powers=powers,
        spans=_spans(spec, states),
    )


def _step_size(spec: Spec) -> sp.Symbol:
    return step_symbol(spec.step_size.text if spec.step_size else "s")


def _scope(spec: Spec) -> Scope:
    """What an expression of the rule may name."""
    sequences = [*spec.states, *(a.target for a in spec.assignments if a.kind == "define")]
    learned = spec.model.parameters if spec.model else ()
    symbols: dict[str, sp.Expr] = {p.name.text: symbol(p.name.text) for p in spec.parameters}
    symbols |= {p.name.text: symbol(p.name.text) for p in learned}
    if spec.step_size:
        symbols[spec.step_size.text] = _step_size(spec)
    indexed = {s.text: symbol(s.text) for s in sequences}
    return Scope(symbols, indexed, FUNCTIONS | {"grad": (Gradient, 1)}, COUNTER)


def _parse_pairs(
    pairs: Iterable[tuple[Located, Located]], scope: Scope, reporter: Reporter
) -> tuple[tuple[sp.Symbol, sp.Expr], ...]:
    parsed = [(symbol(n.text), parse_expression(value, scope, reporter)) for n, value in pairs]
    return tuple((name, value) for name, value in parsed if value is not None)


def _target(assignment: Assignment) -> sp.Expr:
    name = symbol(assignment.target.text)
    return At(name, 1) if assignment.kind == "next" else name


def shift(expression: sp.Expr, offset: int, sequences: Iterable[sp.Symbol]) -> sp.Expr:
    """The expression at iteration k + offset: every sequence and the counter moved."""
    moves: dict[sp.Expr, sp.Expr] = {s: At(s, offset) for s in sequences}
    moves[COUNTER] = COUNTER + offset
    for node in expression.atoms(At):
        at = node.args[1] + offset
        moves[node] = At(node.args[0], at) if at else node.args[0]
    return expression.xreplace(moves)


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


def _in_evaluation_order(step: Step, spec: Spec, reporter: Reporter) -> Step:
    """The assignments, each after those it reads, else in the author's order."""
    waiting = dict(zip(step, spec.assignments, strict=True))
    ordered: Step = {}
    while waiting:
        ready = [t for t in waiting if not _reads(step[t]) & set(waiting)]
        if not ready:
            _report_implicit_step(next(iter(waiting.values())), reporter)
            return ordered
        ordered[ready[0]] = step[ready[0]]
        del waiting[ready[0]]
    return ordered


def _reads(value: sp.Expr) -> set[sp.Expr]:
    return {a for a in value.atoms(At) if a.args[1] == 1} | value.free_symbols


def _report_implicit_step(assignment: Assignment, reporter: Reporter) -> None:
    reporter.error(
        "E301",
        f"`{assignment.target.text}` is defined through itself",
        assignment.expression.span,
        "implicit steps are not supported: write each new value in terms of known ones",
    )


def _with_difference_states(
    states: tuple[sp.Symbol, ...], step: Step, spec: Spec, reporter: Reporter
) -> tuple[tuple[sp.Symbol, ...], Step]:
    """Lags become difference states: z[k-j] = (1 - difference)^j z[k], a binomial sum."""
    located = dict(zip(states, spec.states, strict=True))
    lags: dict[sp.Expr, sp.Expr] = {}
    added: Step = {}
    for state in states:
        nodes = [a for value in step.values() for a in value.atoms(At) if a.args == (state, a.args[1])]
        depth = max((-int(a.args[1]) for a in nodes), default=0)
        differences = [state, *(symbol("d" * i + state.name) for i in range(1, depth + 1))]
        for node in nodes:
            order = -int(node.args[1])
            if order > 0:
                terms = (sp.binomial(order, i) * (-1) ** i * differences[i] for i in range(order + 1))
                lags[node] = sp.Add(*terms)
        for lower_one, difference in pairwise(differences):
            if difference in located or difference in step:
                reporter.error(
                    "E302",
                    f"the lag of `{state}` needs the name `{difference}` for its difference",
                    located.get(difference, located[state]).span,
                    "rename the state or quantity of that name",
                )
            added[At(difference, 1)] = At(lower_one, 1) - lower_one
    step = {target: value.xreplace(lags) for target, value in step.items()} | added
    return (*states, *(target.args[0] for target in added)), step


def _declared_powers(
    spec: Spec, states: tuple[sp.Symbol, ...], scope: Scope, reporter: Reporter
) -> tuple[tuple[int, Fraction], ...]:
    """The entries of ``scaling``, each a power of the step size."""
    names = {"time": 0} | {str(state): index for index, state in enumerate(states) if index}
    powers: list[tuple[int, Fraction]] = []
    for name, value in spec.scaling:
        expression = parse_expression(value, scope, reporter)
        if expression is None:
            continue
        _, exponent = expression.as_base_exp()
        if name.text not in names or not exponent.is_Rational:
            reporter.error("E303", "not a scaling of the rule", name.span, _SCALING_HINT)
        elif expression != _step_size(spec) ** exponent and expression != 1:
            reporter.error("E303", "not a power of the step size", value.span, _SCALING_HINT)
        else:
            power = exponent if expression != 1 else sp.S.Zero
            powers.append((names[name.text], Fraction(int(power.p), int(power.q))))
    return tuple(powers)


_SCALING_HINT = "write `time` or an auxiliary state, and a power of the step size: `v: sqrt(s)`"


def _spans(spec: Spec, states: tuple[sp.Symbol, ...]) -> tuple[Span | None, ...]:
    written = {a.target.text: a.expression.span for a in spec.assignments if a.kind == "next"}
    first = next(iter(written.values()), None)
    return tuple(written.get(str(state), first) for state in states)
