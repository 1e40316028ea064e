"""The neural ODE: the limit with a network in the gradient's place and learned hyper-parameters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import sympy as sp

from optode.diagnostics import Located, Reporter, nearest
from optode.expression import FUNCTIONS, Scope, parse_expression
from optode.limit import ContinuousLimit, singular_times
from optode.notation import TIME, Field, Gradient, symbol
from optode.program import present
from optode.spec import InitialSpec, LearnedSpec, ModelSpec, Spec

InitialKind: TypeAlias = Literal["zero", "learned", "linear", "given", "expression"]

DERIVED = symbol("rhs")
"""In a rewriting of an equation, the right-hand side that was derived."""


@dataclass(frozen=True, slots=True)
class LearnedParameter:
    """A parameter of the ODE: ``transform(raw)`` with raw learned from ``init``, or a constant value."""

    symbol: sp.Symbol
    init: float | None = None
    value: float | None = None
    transform: Literal["none", "sigmoid", "softplus", "exp"] = "none"

    def __post_init__(self) -> None:
        if (self.init is None) == (self.value is None):
            raise ValueError(f"give {self.symbol} either an init (learned) or a value (fixed)")

    @property
    def is_learned(self) -> bool:
        """Whether training changes it."""
        return self.init is not None


@dataclass(frozen=True, slots=True)
class Initial:
    """How a state starts; an expression is in t, the states, f(t, h) and the parameters."""

    kind: InitialKind
    expression: sp.Expr | None = None


@dataclass(frozen=True, slots=True)
class Architecture:
    """What turns a limit into a network layer: the model part of a spec, as SymPy objects.

    ``field_sign`` is -1 where f takes the place of minus the gradient. ``rename`` maps the rule's states
    to the model's; ``rewrites`` maps a model state to an expression in ``rhs``; both may be partial.
    """

    class_name: str
    field_sign: int = -1
    rename: tuple[tuple[sp.Symbol, sp.Symbol], ...] = ()
    parameters: tuple[LearnedParameter, ...] = ()
    initial: tuple[tuple[sp.Symbol, Initial], ...] = ()
    rewrites: tuple[tuple[sp.Symbol, sp.Expr], ...] = ()
    span: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class NeuralODE:
    """``z' = F(z, t, f(t, ...), p)``: equations in ``Field(t, ...)``, the first state the position."""

    name: str
    class_name: str
    title: str
    references: tuple[str, ...]
    states: tuple[sp.Symbol, ...]
    parameters: tuple[LearnedParameter, ...]
    equations: tuple[sp.Expr, ...]
    initial: tuple[Initial, ...]
    span: tuple[float, float]
    singular_times: tuple[sp.Expr, ...]

    def __post_init__(self) -> None:
        if not len(self.states) == len(self.equations) == len(self.initial):
            raise ValueError("one equation and one initial value for each state")
        known = {TIME, *self.states, *(p.symbol for p in self.parameters)}
        for equation in self.equations:
            if unknown := sorted(map(str, equation.free_symbols - known)):
                raise ValueError(f"no value for {', '.join(unknown)} in {equation}")
        if len({len(c.args) for e in self.equations for c in e.atoms(Field)}) > 1:
            raise ValueError("the field is called with different numbers of arguments")

    @property
    def field_arguments(self) -> tuple[sp.Expr, ...]:
        """What the field is called with besides t, in its first call."""
        calls = [call for equation in self.equations for call in sorted(equation.atoms(Field), key=str)]
        return tuple(calls[0].args[1:]) if calls else ()


def neural_ode(
    limit: ContinuousLimit,
    architecture: Architecture,
    title: str = "",
    references: tuple[str, ...] = (),
) -> NeuralODE:
    """The limit with f for the gradient, states renamed, equations rewritten.

    Raises ValueError where a parameter of the limit has no value.
    """
    renaming = dict(architecture.rename)
    states = tuple(renaming.get(state, state) for state in limit.states)
    rewrites = dict(architecture.rewrites)
    equations = []
    for state, equation in zip(states, limit.equations, strict=True):
        derived = _with_field(equation, architecture.field_sign).xreplace(renaming)
        rewritten = rewrites.get(state, DERIVED).xreplace({DERIVED: derived})
        equations.append(present(rewritten))
    starts = dict(architecture.initial)
    derived_starts = zip(states, limit.initial, strict=True)
    initial = [starts.get(state) or _derived_start(value) for state, value in derived_starts]
    return NeuralODE(
        name=limit.name,
        class_name=architecture.class_name,
        title=title,
        references=references,
        states=states,
        parameters=architecture.parameters,
        equations=tuple(equations),
        initial=(Initial("given"), *initial[1:]),
        span=architecture.span,
        singular_times=singular_times(equations),
    )


def _with_field(equation: sp.Expr, sign: int) -> sp.Expr:
    return equation.replace(Gradient, lambda *at: sign * Field(TIME, *at))


def _derived_start(value: sp.Expr) -> Initial:
    """The start the rule implies; a start that depends on the objective is left to the caller."""
    if value == 0:
        return Initial("zero")
    return Initial("expression", value) if value.is_number else Initial("given")


def read_architecture(spec: Spec, limit: ContinuousLimit) -> Architecture:
    """The model part of a spec against the limit it applies to.

    Raises SpecError with all its errors: unknown states, missing or unused parameters, bad expressions.
    """
    if spec.model is None:
        reporter = Reporter()
        reporter.error("E501", "the spec has no `model` part", spec.name.span, "add `model: {class: ...}`")
        reporter.raise_if_any()
    return _ArchitectureReader(spec, spec.model, limit).read()


class _ArchitectureReader:
    def __init__(self, spec: Spec, model: ModelSpec, limit: ContinuousLimit) -> None:
        self.spec, self.model, self.limit = spec, model, limit
        self.reporter = Reporter()

    def read(self) -> Architecture:
        rename = self.read_rename()
        states = tuple(dict(rename).get(state, state) for state in self.limit.states)
        self.check_distinct(states)
        scope = self.scope(states)
        rewrites = [
            (symbol(e.state.text), parse_expression(e.expression, scope, self.reporter))
            for e in self.model.equations
            if self.is_state(e.state, states)
        ]
        starts = [self.read_initial(i, states, scope) for i in self.model.initial]
        architecture = Architecture(
            class_name=self.model.class_name.text,
            field_sign=-1 if self.model.field.text == "-grad" else 1,
            rename=rename,
            parameters=tuple(map(_learned, self.model.parameters)),
            initial=tuple(start for start in starts if start is not None),
            rewrites=tuple((state, value) for state, value in rewrites if value is not None),
            span=self.model.span,
        )
        self.check_parameters(architecture, states)
        self.reporter.raise_if_any()
        return architecture

    def read_rename(self) -> tuple[tuple[sp.Symbol, sp.Symbol], ...]:
        known = tuple(self.limit.states)
        return tuple(
            (symbol(old.text), symbol(new.text))
            for old, new in self.model.rename
            if self.is_state(old, known)
        )

    def is_state(self, name: Located, states: Iterable[sp.Symbol]) -> bool:
        names = [str(state) for state in states]
        if name.text in names:
            return True
        near = nearest(name.text, names)
        hint = f"did you mean `{near}`?" if near else f"the states are {', '.join(names)}"
        self.reporter.error("E502", f"`{name.text}` is not a state here", name.span, hint)
        return False

    def check_distinct(self, states: tuple[sp.Symbol, ...]) -> None:
        taken = [str(s) for s in states]
        for _, new in self.model.rename:
            if taken.count(new.text) > 1:
                self.reporter.error("E503", f"two states named `{new.text}`", new.span)
        for parameter in self.model.parameters:
            if parameter.name.text in taken:
                message = f"`{parameter.name.text}` is a state and a parameter"
                self.reporter.error("E503", message, parameter.name.span)

    def scope(self, states: tuple[sp.Symbol, ...]) -> Scope:
        names = {s.name: s for s in (TIME, DERIVED, *states)}
        names |= {p.name.text: symbol(p.name.text) for p in self.model.parameters}
        return Scope(names, {}, FUNCTIONS | {"f": (Field, None)}, None)

    def read_initial(
        self, initial: InitialSpec, states: tuple[sp.Symbol, ...], scope: Scope
    ) -> tuple[sp.Symbol, Initial] | None:
        if not self.is_state(initial.state, states[1:]):
            return None
        kind = initial.value.text.strip()
        if kind in get_args(InitialKind) and kind != "expression":
            return symbol(initial.state.text), Initial(kind)
        expression = parse_expression(initial.value, scope, self.reporter)
        return expression and (symbol(initial.state.text), Initial("expression", expression))

    def check_parameters(self, architecture: Architecture, states: tuple[sp.Symbol, ...]) -> None:
        expressions = [*self.limit.equations, *(e for _, e in architecture.rewrites)]
        expressions += [i.expression for _, i in architecture.initial if i.expression is not None]
        used = set().union(*(e.free_symbols for e in expressions))
        used -= {TIME, DERIVED, *states, *self.limit.states}
        given = {p.symbol for p in architecture.parameters}
        for missing in sorted(used - given, key=str):
            self.reporter.error(
                "E504",
                f"`{missing}` has no value in the model",
                self.model.class_name.span,
                f"add `{missing}: {{init: ..., transform: ...}}` (learned) or `{missing}: "
                "{value: ...}` (fixed) to the model's parameters",
            )
        for unused in (p for p in self.model.parameters if symbol(p.name.text) not in used):
            message = f"no equation of the model has the parameter `{unused.name.text}`"
            self.reporter.error("E505", message, unused.name.span, "remove it")


def _learned(parameter: LearnedSpec) -> LearnedParameter:
    return LearnedParameter(
        symbol(parameter.name.text), parameter.init, parameter.value, parameter.transform
    )
