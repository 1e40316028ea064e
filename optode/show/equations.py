"""Write the results of the stages as plain text, LaTeX and Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial, singledispatch
from typing import Literal, TypeAlias

import sympy as sp

from optode.adjoint.adjoint import AdjointSystem
from optode.adjoint.volume import volume
from optode.language.symbols import COUNTER, TIME, At
from optode.limit.limit import ContinuousLimit
from optode.model.following import Following
from optode.model.model import NeuralODE
from optode.rule.rule import UpdateRule
from optode.show.dialect import Dialect, Latex, PlainText, latex_words, markdown_words
from optode.show.legend import legend
from optode.show.words import (
    Line,
    given_along,
    noted,
    order_text,
    parameter_line,
    remarks,
    start_text,
)

Stage: TypeAlias = UpdateRule | ContinuousLimit | NeuralODE | AdjointSystem | Following
Form: TypeAlias = Literal["text", "latex", "markdown"]


@dataclass(frozen=True, slots=True)
class Group:
    """Equations under a heading in plain words. ``notes`` are lines that are none, as prose."""

    words: str
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()


def show(stages: Iterable[Stage], form: Form = "text", title: str = "") -> str:
    """Return the stages' equations, one part for each stage, below a title where there is one.

    Text ends with what the operators in it mean.

    ``latex`` is a run of ``align*`` environments (amsmath) for a paper; ``markdown`` has its
    mathematics in ``$$``, as notebooks read it.
    """
    dialect: Dialect = PlainText() if form == "text" else Latex()
    parts = [[g for g in describe(stage, dialect) if g.lines] for stage in stages]
    layout = {"text": _text, "latex": _latex, "markdown": _markdown}[form]
    heads = {"text": title, "latex": f"% {title}", "markdown": f"### {markdown_words(title)}"}
    texts = [*([heads[form]] if title else []), *map(layout, parts)]
    operators = tuple(legend("\n".join(texts))) if form == "text" else ()
    if operators:
        texts.append(_text([Group("Operators", operators)]))
    return "\n\n".join(texts) + "\n"


def _text(groups: list[Group]) -> str:
    """Return the system indented by two, further groups by four, aligned at the equals signs."""
    lines = []
    for depth, group in enumerate(groups):
        indent = "  " if depth else ""
        width = max(len(left) for left, _ in group.lines)
        lines.append(indent + group.words)
        lines += (f"{indent}  {left:{width}} = {right}" for left, right in group.lines)
    return "\n".join(lines)


def _aligned(group: Group) -> str:
    return " \\\\\n".join(f"  {left} &= {right}" for left, right in group.lines)


def _latex(groups: list[Group]) -> str:
    return "\n".join(f"{latex_words(g.words)}\n{_latex_body(g)}" for g in groups)


def _latex_body(group: Group) -> str:
    if group.notes:
        items = "\n".join(rf"  \item {latex_words(note)}" for note in group.notes)
        return f"\\begin{{itemize}}\n{items}\n\\end{{itemize}}"
    return f"\\begin{{align*}}\n{_aligned(group)}\n\\end{{align*}}"


def _markdown(groups: list[Group]) -> str:
    return "\n\n".join(
        f"{'' if depth else '**'}{markdown_words(group.words)}{'' if depth else '**'}\n\n"
        f"{_markdown_body(group)}"
        for depth, group in enumerate(groups)
    )


def _markdown_body(group: Group) -> str:
    if group.notes:
        return "\n".join(f"- {markdown_words(note)}" for note in group.notes)
    return f"$$\n\\begin{{aligned}}\n{_aligned(group)}\n\\end{{aligned}}\n$$"


@singledispatch
def describe(stage: Stage, dialect: Dialect) -> Iterator[Group]:
    """Yield a stage's equations in a dialect: the system first, then its start, parameters and so on."""
    raise TypeError(f"{type(stage).__name__} is not the result of a stage")


@describe.register
def describe_rule(rule: UpdateRule, dialect: Dialect) -> Iterator[Group]:
    yield Group(f"Update rule {rule.name}, step size {rule.step_size}", step_lines(rule, dialect))
    formulas = ((dialect.expression(p), dialect.expression(e)) for p, e in rule.formulas)
    yield Group("where", tuple(formulas))
    starts = ((dialect.first(z), dialect.expression(e)) for z, e in rule.start)
    yield Group("starting at", tuple(starts))


def step_lines(rule: UpdateRule, dialect: Dialect) -> tuple[Line, ...]:
    """Return the assignments of one step, every state as a sequence: ``v[k+1] = beta*v[k] - s*g(x[k])``."""
    lines = []
    for target, value in rule.step:
        kept = {node: node for node in value.atoms(At)}
        value = value.xreplace(kept | {state: At(state, 0) for state in rule.states})
        lines.append((dialect.expression(target), _next_value(target, value, dialect)))
    return tuple(lines)


def _next_value(target: sp.Expr, value: sp.Expr, dialect: Dialect) -> str:
    """Return a right-hand side as optimizers are written: ``x[k]`` first, other sequences, the increment."""
    terms = [term for term in sp.Add.make_args(value) if isinstance(term, At)]
    terms.sort(key=lambda term: (term.args[0] not in target.args, str(term)))
    text = " + ".join(map(dialect.expression, terms))
    increment = value - sp.Add(*terms)
    if not text or increment == 0:
        return text or dialect.expression(increment)
    rest = dialect.expression(increment)
    return f"{text} - {rest[1:].lstrip()}" if rest[0] == "-" else f"{text} + {rest}"


@describe.register
def describe_limit(limit: ContinuousLimit, dialect: Dialect) -> Iterator[Group]:
    words = "Continuous limit" if limit.step is not None else "Ordinary differential equation"
    yield Group(words, _system(limit.states, limit.equations, dialect))
    if limit.second_order is not None:
        position = limit.states[0]
        right = dialect.expression(limit.second_order).replace(f"{position}_dot", f"{position}'")
        yield Group("as one equation", ((dialect.second_derivative(position), right),))
    fast = ((dialect.expression(z), dialect.expression(e)) for z, e in limit.manifold)
    yield Group("with the fast states", tuple(fast))
    if limit.step is not None:
        yield Group("in the scaling", tuple(_scaling(limit, dialect)))
    pairs = zip(limit.states, limit.initial, strict=True)
    starts = ((dialect.value_at(z, "0"), dialect.expression(e)) for z, e in pairs)
    yield Group("starting at", tuple(starts))
    yield _singular(limit.singular_times, dialect)
    yield Group("to be noted", noted(limit.notes, dialect), limit.notes)


def _system(
    states: tuple[sp.Symbol, ...], equations: tuple[sp.Expr, ...], dialect: Dialect
) -> tuple[Line, ...]:
    pairs = zip(states, equations, strict=True)
    return tuple((dialect.derivative(z), dialect.expression(e)) for z, e in pairs)


def _scaling(limit: ContinuousLimit, dialect: Dialect) -> Iterator[Line]:
    yield dialect.expression(TIME), dialect.expression((COUNTER + limit.offset) * limit.step)
    for state, scale in zip(limit.states, limit.scales or (), strict=True):
        if scale != 1:
            of_time = sp.Function(state.name)(TIME)
            name, text = map(dialect.expression, (of_time, scale * of_time))
            yield dialect.expression(At(state, 0)), text.replace(name, dialect.value_at(state, "t"))


def _singular(times: tuple[sp.Expr, ...], dialect: Dialect) -> Group:
    time = dialect.expression(TIME)
    return Group("singular at", tuple((time, dialect.expression(pole)) for pole in times))


@describe.register
def describe_model(model: NeuralODE, dialect: Dialect) -> Iterator[Group]:
    start, end = (f"{time:g}" for time in model.span)
    yield Group(
        f"Neural ODE {model.class_name}, f a network, t from {start} to {end}",
        _system(model.states, model.equations, dialect),
    )
    yield Group("with parameters", tuple(parameter_line(p, dialect) for p in model.parameters))
    pairs = zip(model.states, model.initial, strict=True)
    starts = ((dialect.value_at(z, start), start_text(i, dialect)) for z, i in pairs)
    yield Group("starting at", tuple(starts))
    yield _singular(model.singular_times, dialect)
    yield Group("to be noted", noted(model.notes, dialect), model.notes)


@describe.register
def describe_adjoint(system: AdjointSystem, dialect: Dialect) -> Iterator[Group]:
    yield Group(
        f"Adjoint system of {system.model.class_name}, backwards in time, L the loss",
        _system(system.costates, system.equations, dialect),
    )
    at_end = partial(dialect.value_at, time="T")
    ends = zip(map(at_end, system.costates), map(at_end, system.model.states), strict=True)
    yield Group("ending at", tuple((a, dialect.loss_gradient(z)) for a, z in ends))
    gradients = (
        (dialect.loss_gradient(dialect.expression(p)), dialect.quadrature(e))
        for p, e in system.quadratures
    )
    yield Group("giving the gradients of the parameters", tuple(gradients))
    if (flow := volume(system.model)) is not None:
        lines = ((dialect.expression(a), dialect.expression(b)) for a, b in flow.lines)
        yield Group("volume, z all states of N elements each", tuple(lines))
    yield Group("where", tuple(remarks(system, dialect)))


@describe.register
def describe_following(following: Following, dialect: Dialect) -> Iterator[Group]:
    order = dialect.words(order_text(following.model.states, following))
    words = f"How the states of {following.model.class_name} follow, {given_along(following)}"
    yield Group(words, ((dialect.words("order"), order),))
