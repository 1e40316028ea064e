"""The neural ODE: the limit with a network in the gradient's place and learned hyper-parameters."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Literal, TypeAlias, get_args

import sympy as sp

from optode.calculus.tangent import substituted
from optode.language.matrices import MatrixFunction
from optode.language.presentation import present
from optode.language.symbols import (
    TIME,
    Field,
    Gradient,
    Loss,
    Oracle,
    Tangent,
    by_name,
    operators_in,
    symbol,
)
from optode.limit.initial_values import singular_times
from optode.limit.limit import ContinuousLimit
from optode.model.jumps import on_jumps, smoothed
from optode.model.regular_start import regular_start
from optode.model.remarks import on_time
from optode.rule.shapes import Shape, shapes_of

Transform: TypeAlias = Literal["none", "sigmoid", "softplus", "exp"]
InitialKind: TypeAlias = Literal["zero", "learned", "linear", "given", "expression"]


DERIVED = symbol("rhs")
"""In a rewriting of an equation, the right-hand side that was derived."""


@dataclass(frozen=True, slots=True)
class LearnedParameter:
    """A parameter of the ODE: ``transform(raw)`` with raw learned from ``init``, or a constant.

    A constant has a ``value``, or is ``required``: the caller of the module gives it. With
    ``per_feature`` every feature (channel of an image) of the states has a value of its own.
    """

    symbol: sp.Symbol
    init: float | None = None
    value: float | None = None
    transform: Transform = "none"
    per_feature: bool = False
    required: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "symbol", by_name(self.symbol))
        if [self.init is not None, self.value is not None, self.required].count(True) != 1:
            raise ValueError(f"give {self.symbol} either an init (learned) or a value (fixed)")
        if self.init is None and (self.per_feature or self.transform != "none"):
            raise ValueError(f"{self.symbol} is a constant: one for all features, untransformed")
        if self.transform not in get_args(Transform):
            raise ValueError(f"there is no transform {self.transform!r}")
        if not all(isfinite(number) for number in (self.init, self.value) if number is not None):
            raise ValueError(f"{self.symbol} has no finite value")

    @property
    def is_learned(self) -> bool:
        """Whether training changes it."""
        return self.init is not None


@dataclass(frozen=True, slots=True)
class Initial:
    """How a state starts; an expression is in t, the states, f(t, h) and the parameters."""

    kind: InitialKind
    expression: sp.Expr | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(InitialKind):
            raise ValueError(f"no state starts as {self.kind!r}")
        if (self.kind == "expression") != (self.expression is not None):
            raise ValueError(f"an expression goes with the kind `expression`, not {self.kind}")
        if self.expression is not None:
            object.__setattr__(self, "expression", by_name(self.expression))


@dataclass(frozen=True, slots=True)
class Architecture:
    """What turns a limit into a network layer: the model part of a spec, as SymPy objects.

    ``field_sign`` is -1 where f takes the place of minus the gradient. ``rename`` maps the rule's
    states to the model's; ``rewrites`` maps a model state to an expression in ``rhs``; both may be
    partial. ``smooth`` takes the place of ``sign(x)`` in the equations, as ``tanh(x/0.01)`` does.
    ``notes`` say in words what of it has no effect.
    """

    class_name: str
    field_sign: int = -1
    rename: tuple[tuple[sp.Symbol, sp.Symbol], ...] = ()
    parameters: tuple[LearnedParameter, ...] = ()
    initial: tuple[tuple[sp.Symbol, Initial], ...] = ()
    rewrites: tuple[tuple[sp.Symbol, sp.Expr], ...] = ()
    span: tuple[float, float] = (0.0, 1.0)
    smooth: sp.Expr | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Take symbols by name."""
        if self.field_sign not in (-1, 1):
            raise ValueError(f"the sign of the field is 1 or -1, not {self.field_sign}")
        if not self.span[0] < self.span[1]:
            raise ValueError(f"the span {self.span} does not end after its start")
        for name in ("rename", "rewrites"):
            pairs = tuple((by_name(a), by_name(b)) for a, b in getattr(self, name))
            object.__setattr__(self, name, pairs)
        initial = tuple((by_name(state), start) for state, start in self.initial)
        object.__setattr__(self, "initial", initial)
        if self.smooth is not None:
            object.__setattr__(self, "smooth", by_name(self.smooth))


@dataclass(frozen=True, slots=True)
class NeuralODE:
    """``z' = F(z, t, f(t, ...), p)``: equations in ``Field(t, ...)``, the position first.

    Where the equations are singular at t = 0, ``branch`` holds the states shortly after it, on the
    solution that is regular there, in t, the position at 0 and f(t, position). ``remarks`` say in
    words what of the author's model part has no effect. With ``is_matrix`` the position has rows and
    columns.
    """

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
    branch: tuple[sp.Expr, ...] = ()
    remarks: tuple[str, ...] = ()
    is_matrix: bool = False

    def __post_init__(self) -> None:
        if not len(self.states) == len(self.equations) == len(self.initial):
            raise ValueError("one equation and one initial value for each state")
        known = {TIME, *self.states, *(p.symbol for p in self.parameters)}
        for equation in self.equations:
            if unknown := sorted(map(str, equation.free_symbols - known)):
                raise ValueError(f"no value for {', '.join(unknown)} in {equation}")
        kinds = {initial.kind for initial in self.initial}
        if self.is_matrix and (
            kinds & {"linear", "learned"} or any(p.per_feature for p in self.parameters)
        ):
            raise ValueError("matrices have no values for each feature")
        if len({len(c.args) for e in self.equations for c in e.atoms(Field)}) > 1:
            raise ValueError("the field is called with different numbers of arguments")

    @property
    def operators(self) -> tuple[str, ...]:
        """The names of the operators that the caller gives, the loss among them, sorted."""
        return operators_in(self._expressions)

    @property
    def has_loss(self) -> bool:
        """Whether the caller gives a loss: a scalar field, called as the network is."""
        return any(call.has_time for e in self._expressions for call in e.atoms(Oracle))

    @property
    def _expressions(self) -> list[sp.Expr]:
        starts = [initial.expression for initial in self.initial if initial.expression is not None]
        return [*self.equations, *starts]

    @property
    def sides(self) -> tuple[Shape, ...]:
        """How high and how wide each state is, in sides of the position."""
        rates = dict(zip(self.states, self.equations, strict=True))
        return shapes_of(self.states, rates)

    @property
    def matrix_functions(self) -> tuple[str, ...]:
        """The names of the matrix functions in the equations and the starts, sorted."""
        calls = (c for e in self._expressions for c in e.atoms(MatrixFunction))
        return tuple(sorted({str(call.args[0]) for call in calls}))

    @property
    def notes(self) -> tuple[str, ...]:
        """What the equations do not say: what of the model has no effect, signs without a derivative."""
        return (*self.remarks, *on_jumps(self.equations), *on_time(self.equations))

    @property
    def field_arguments(self) -> tuple[sp.Expr, ...]:
        """What the field is called with besides t, in its first call."""
        calls = [
            call for equation in self.equations for call in sorted(equation.atoms(Field), key=str)
        ]
        return tuple(calls[0].args[1:]) if calls else ()


def neural_ode(
    limit: ContinuousLimit,
    architecture: Architecture,
    title: str = "",
    references: tuple[str, ...] = (),
) -> NeuralODE:
    """Make a model from a limit: f for the gradient, states renamed, equations rewritten.

    Raises ValueError where a parameter of the limit has no value.
    """
    renaming = dict(architecture.rename)
    states = tuple(renaming.get(state, state) for state in limit.states)
    rewrites = dict(architecture.rewrites)
    equations = []
    for state, equation in zip(states, limit.equations, strict=True):
        derived = with_field(by_name(equation), architecture.field_sign)
        derived = substituted(derived, renaming, states)
        rewritten = rewrites.get(state, DERIVED).xreplace({DERIVED: derived})
        equations.append(present(smoothed(rewritten, architecture.smooth)))
    starts = dict(architecture.initial)
    derived_starts = zip(states, limit.initial, strict=True)
    sign, position = architecture.field_sign, states[0]
    initial = [
        starts.get(state) or _derived_start(value, limit, position, sign)
        for state, value in derived_starts
    ]
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
        singular_times=(times := singular_times(equations)),
        branch=regular_start(states, equations, [i.expression for i in initial])
        if sp.S.Zero in times
        else (),
        remarks=architecture.notes,
        is_matrix=limit.is_matrix,
    )


def with_field(expression: sp.Expr, sign: int) -> sp.Expr:
    """Replace the gradient by ``sign * f(t, .)``, and its Jacobian products by those of f.

    The loss becomes ``loss(t, .)``, which the caller gives beside f.
    """
    if not expression.args:
        return expression
    inner = [with_field(argument, sign) for argument in expression.args]
    if isinstance(expression, Gradient):
        return sign * Field(TIME, *inner)
    if isinstance(expression, Loss):
        return Oracle("loss", TIME, *inner)
    if isinstance(expression, Tangent):
        factor, call = inner[0].as_coeff_Mul()
        return factor * Tangent(call, *inner[1:])
    return expression.func(*inner)


def _derived_start(
    value: sp.Expr, limit: ContinuousLimit, position: sp.Symbol, sign: int
) -> Initial:
    """Return the start of a state that the rule implies, in terms of the position's."""
    if value == 0:
        return Initial("zero")
    at_start = symbol(f"{limit.states[0]}0")
    return Initial("expression", with_field(value.xreplace({at_start: position}), sign))
