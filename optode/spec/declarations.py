"""The declarations of a spec: pieces of the author's text with their places, not evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal, TypeAlias

from optode.diagnostics import Located, Source

Kind: TypeAlias = Literal["next", "current", "define", "derivative", "second"]
Transform: TypeAlias = Literal["none", "sigmoid", "softplus", "exp"]


@dataclass(frozen=True, slots=True)
class Assignment:
    """One line of a rule; ``target`` is the bare name.

    ``x[k+1] = ...`` is "next", ``y = ...`` "define" and ``x' = ...`` "derivative". ``y[k] = ...``,
    "current", and ``x'' = ...``, "second", are turned into these (``notation.py``).
    """

    target: Located
    kind: Kind
    expression: Located


@dataclass(frozen=True, slots=True)
class ParameterSpec:
    """A hyper-parameter of the rule, given by a formula or by its kind.

    Without a formula it is ``fixed``; a ``decay``, a number in (0, 1) that may move with the step
    size; a ``vector``, one constant for each feature; or an ``oracle``, an operator of the caller's.
    One that is assumed is fixed, and the author has not declared it.
    """

    name: Located
    formula: Located | None
    is_decay: bool = False
    is_vector: bool = False
    is_oracle: bool = False
    is_assumed: bool = False

    @property
    def declaration(self) -> str:
        """What stands after its name."""
        if self.formula is not None:
            return self.formula.text
        kinds = (("decay", self.is_decay), ("vector", self.is_vector), ("oracle", self.is_oracle))
        return next((kind for kind, holds in kinds if holds), "fixed")


@dataclass(frozen=True, slots=True)
class VerifySpec:
    """The numbers that ``optode verify`` puts in for a hyper-parameter.

    The first is used throughout; each further one is tried where the start is singular.
    """

    name: Located
    numbers: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class LearnedSpec:
    """A parameter of the model: learned from the raw value ``init``, or the constant ``value``."""

    name: Located
    init: float | None
    value: float | None
    transform: Transform
    per_feature: bool = False

    def __post_init__(self) -> None:
        if (self.init is None) == (self.value is None):
            raise ValueError(f"{self.name.text}: exactly one of init and value")


@dataclass(frozen=True, slots=True)
class InitialSpec:
    """Where a state of the model starts: zero, learned, linear, given, or an expression."""

    state: Located
    value: Located


@dataclass(frozen=True, slots=True)
class EquationSpec:
    """A derived equation rewritten; ``rhs`` in the expression is what was derived."""

    state: Located
    expression: Located


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """How the limit becomes a neural ODE; ``span`` is its default interval of time.

    ``smooth`` is an expression in x that takes the place of sign(x).
    """

    class_name: Located
    field: Located
    rename: tuple[tuple[Located, Located], ...] = ()
    parameters: tuple[LearnedSpec, ...] = ()
    initial: tuple[InitialSpec, ...] = ()
    equations: tuple[EquationSpec, ...] = ()
    span: tuple[float, float] = (0.0, 1.0)
    smooth: Located | None = None


@dataclass(frozen=True, slots=True)
class Spec:
    """An update rule (or an ODE) and the model to be made of it, as the author wrote them.

    With ``ends_at_k`` a step makes ``x[k]`` from ``x[k-1]``. ``velocities`` are pairs of a state x
    with a line ``x'' = ...`` and the state that its velocity is. ``family`` and ``year`` place it in
    the catalogue. With ``is_matrix`` the position has rows and columns.
    """

    name: Located
    title: str
    references: tuple[str, ...]
    step_size: Located | None
    parameters: tuple[ParameterSpec, ...]
    states: tuple[Located, ...]
    assignments: tuple[Assignment, ...]
    scaling: tuple[tuple[Located, Located], ...]
    start: tuple[tuple[Located, Located], ...]
    verify: tuple[VerifySpec, ...]
    model: ModelSpec | None
    source: Source
    sha256: str
    ends_at_k: bool = False
    velocities: tuple[tuple[str, str], ...] = ()
    family: str | None = None
    year: int | None = None
    is_matrix: bool = False

    @property
    def assumed(self) -> tuple[str, ...]:
        """The constants that are assumed to be fixed, and not declared."""
        return tuple(p.name.text for p in self.parameters if p.is_assumed)

    @property
    def has_model(self) -> bool:
        """Whether a module can be made of it."""
        return self.model is not None

    @property
    def origin(self) -> str:
        """What the header of a module names as its source."""
        name = PurePath(self.source.path).name
        return f"{name} with --assume-fixed" if self.assumed else name

    @property
    def is_ode(self) -> bool:
        """Whether the spec states an ODE instead of an update rule."""
        return any(assignment.kind == "derivative" for assignment in self.assignments)
