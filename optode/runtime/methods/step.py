"""Say what a step is, and what every method of taking one has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

from torch import Tensor

from ..aliases import Rests, Tensors


class Evaluated(NamedTuple):
    """The rates of stacked states.

    ``bars`` are the gradients by the parameters where the costates are states of the step too.
    ``values`` are what f, and whatever else the equations call, has given.
    """

    rates: Tensor
    bars: Sequence[Tensor | None] = ()
    values: Tensors = ()


class Rested(NamedTuple):
    """The rests of the rates of all states, and what f, and whatever else is called, has given."""

    rests: Rests
    values: Tensors


class Evaluate(Protocol):
    """Evaluate the equations at the solver's own time s, for stacked states y."""

    def __call__(self, s: Any, y: Tensor) -> Evaluated: ...


class Structure(NamedTuple):
    """How the states of a node follow from f, by their places.

    ``groups`` are driven states that move each other linearly, after those that move them,
    ``driven`` all of them, and ``resting`` those with a rest to interpolate. The ``steady`` ones
    move themselves at a rate that does not change. ``layers`` are the groups of states that follow.
    """

    groups: tuple[tuple[int, ...], ...]
    driven: tuple[int, ...]
    steady: tuple[int, ...]
    resting: tuple[int, ...]
    layers: tuple[tuple[int, ...], ...]
    sees_f: bool


class Follow(Evaluate, Protocol):
    """Evaluate the equations also for given values of f, in one interval.

    ``exact`` is a tensor like the times.
    """

    @property
    def structure(self) -> Structure: ...

    @property
    def exact(self) -> Tensor: ...

    def rests(self, s: Any, states: Tensors, known: Evaluated | Rested | None = None) -> Rested:
        """Return the rests in ``z' = L z + rest`` at s, from known values of f or by evaluating f."""
        ...

    def replayed(self, s: Tensor, states: Tensors, values: Tensors | Tensor) -> Rests:
        """Return the rests of folded states at the times s, with folded values in the place of f."""
        ...

    def linear(self, s: Tensor) -> list[list[Tensor | None]]:
        """Return L of ``z' = L z + rest`` at the times s, its first dimension; None for what is 0."""
        ...


class Step(NamedTuple):
    """An accepted step: its start and length, the stacked states there, and its interval.

    ``row`` is that of the trajectory which is at the start of the step or the last before it.
    ``whole`` asks for the states within the step.
    """

    start: Any  # a number; of torchode's steps a tensor with one for each sample
    length: Any
    states: Tensor
    interval: int = 0
    row: int = 0
    whole: bool = False


class Stages(NamedTuple):
    """What the stages of a step evaluated, and the tensors that its rows weigh.

    ``moved`` is how far the states go in the step, where its error is estimated from that.
    """

    found: list[Any]
    basis: list[Tensor]
    moved: Tensor | None = None


class Taken(NamedTuple):
    """The stacked states at the end of a step, and its stages.

    ``within`` are those at the method's places in the step, one after another, if asked for.
    """

    states: Tensor
    stages: Stages
    within: Tensor | None = None


class Method(ABC):
    """A one-step method, whose first stage is at the start of the step.

    ``order`` is the order of convergence. ``estimates`` says whether a step has an error, which
    shrinks with ``error_order`` powers of its length. With ``ends_as_next`` the last stage is the
    first of the next step, and has a weight in the error alone. ``reach`` is how many times longer
    than a Runge-Kutta method's the first step is tried. ``within`` are the places in a step, as
    parts of it, where its states are known as exactly as at its end; none where the ends of steps
    are close enough for Hermite interpolation. ``follows`` says whether steps ask how the states
    follow from f.
    """

    order: int
    error_order: int = 0
    estimates: bool = False
    ends_as_next: bool = False
    reach: ClassVar[float] = 1.0
    within: Sequence[float] = ()
    follows: ClassVar[bool] = False

    @abstractmethod
    def evaluations(self, known: bool, whole: bool) -> int:
        """Return how many times a step evaluates the field.

        ``known``: the first stage is; ``whole``: with the error.
        """

    @abstractmethod
    def step(self, evaluate: Evaluate, step: Step, first: Evaluated | None = None) -> Taken:
        """Take one step; ``first`` is what its first stage evaluates, where known."""

    def errors(self, evaluate: Evaluate, step: Step, stages: Stages, ends: Tensor) -> Tensor | None:
        """Return the errors of all states at the end of a step, None where none is estimated.

        With ``ends_as_next``, this evaluates the last stage and adds it to the others.
        """
        return None
