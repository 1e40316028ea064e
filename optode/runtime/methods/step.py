"""Say what a step is, and what every method of taking one has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from torch import Tensor

from ..aliases import Tensors

if TYPE_CHECKING:
    from ..node import Node

G = TypeVar("G")
"""What a method needs for a step besides its coefficients: None, or a transform."""

Interval: TypeAlias = tuple[float, float]
"""The start and the signed length of a step."""


class Part(NamedTuple):
    """A part of a node's equations that steps evaluate, by the name of its method.

    A part with exact flows takes the length of the sub-step, over which it gives mean rates.
    """

    method: str
    calls_field: bool = True


EQUATIONS = Part("equations")
FORCE = Part("force")
DRIFT = Part("drift", calls_field=False)
KICK = Part("kick")


PullJoined: TypeAlias = Callable[[Tensor], tuple[Tensor, Sequence[Tensor | None]]]
"""From stacked costates to their stacked rates -J^T c, and the gradients by the parameters."""


class Evaluated(NamedTuple):
    """A part's rates for stacked states, with what the way back needs of the evaluation.

    ``bars`` are the gradients by the parameters where the costates are states of the step too.
    ``values`` are what f, and whatever else the equations call, has given.
    """

    rates: Tensor
    pull: PullJoined | None = None
    bars: Sequence[Tensor | None] = ()
    values: Tensors = ()


class Evaluate(Protocol):
    """Evaluates a part at the solver's own time s, for stacked states y."""

    def __call__(self, part: Part, s: Any, y: Tensor, *length: float) -> Evaluated: ...


class Structure(NamedTuple):
    """How the states of a node follow from f, by their places.

    ``groups`` are driven states that move each other linearly, ``resting`` those of them with a
    rest to interpolate. ``layers`` are the groups of states that follow.
    """

    groups: list[list[int]]
    resting: list[int]
    layers: list[list[int]]
    sees_f: bool


class Follow(Evaluate, Protocol):
    """Evaluates also what follows from given values of f, in one interval.

    ``exact`` is a tensor like the times.
    """

    @property
    def structure(self) -> Structure: ...

    @property
    def exact(self) -> Tensor: ...

    def replayed(self, s: Tensor, states: Tensors, values: Tensors | Tensor) -> Tensors:
        """Return the rates of folded states at the times s, with folded values in the place of f."""
        ...

    def linear(self, s: Tensor) -> list[list[Tensor | None]]:
        """Return L of ``z' = L z + rest`` at the times s, its last dimension; None for what is 0."""
        ...


class Step(NamedTuple):
    """An accepted step: its start and length, the stacked states there, and its interval.

    ``row`` is that of the trajectory which is at the start of the step or the last before it.

    ``given`` is its entry of the method's ``numbers``. ``first`` is what its first stage evaluates,
    where the step before has evaluated it.
    """

    start: Any  # a number; of torchode's steps a tensor with one for each sample
    length: Any
    states: Tensor
    given: Any = None
    first: Tensor | None = None
    interval: int = 0
    row: int = 0


class Stages(NamedTuple):
    """What the stages of a step evaluated, and the tensors that its rows weigh.

    ``positions`` are those of the transformed position at each stage, in methods that take the
    damping out; of an interpolation how far the states go in the step.
    """

    found: list[Evaluated]
    basis: list[Tensor]
    positions: list[Tensor]


class Taken(NamedTuple):
    """The stacked states at the end of a step, and its stages."""

    states: Tensor
    stages: Stages


class Problem(Protocol):
    """What a method may ask of a solve for the numbers that its steps need."""

    node: Node
    learned: Tensors
    plain: bool
    like: Tensor

    @property
    def values(self) -> list[float]: ...


class Method(ABC, Generic[G]):
    """A one-step method.

    ``order`` is the order of convergence. ``estimates`` says whether a step has an error, which
    shrinks with ``error_order`` powers of its length. ``weights`` are those of the stages in an
    integral over the step, ``error_weights`` those of its error. With
    ``ends_as_next`` the last stage is the first of the next step; with ``ends_alone`` that stage
    has a weight in the error alone. ``takes_first`` says whether a step begins with an evaluation of
    ``part``, which may be known. ``needs`` names the base class that a node must have. ``reach`` is
    how many times longer than a Runge-Kutta method's the first step is tried. ``reads_between`` says
    whether steps are short enough for Hermite interpolation between their ends, ``follows`` whether
    they ask how the states follow from f.
    """

    needs: ClassVar[str] = "Node"
    part: ClassVar[Part] = EQUATIONS
    takes_first: ClassVar[bool] = True
    order: int
    error_order: int = 0
    estimates: bool = False
    weights: Sequence[float] = ()
    error_weights: Sequence[float] = ()
    ends_as_next: bool = False
    ends_alone: bool = False
    reach: ClassVar[float] = 1.0
    reads_between: ClassVar[bool] = True
    follows: ClassVar[bool] = False

    @abstractmethod
    def numbers(self, problem: Problem, steps: Sequence[Interval]) -> Sequence[G]:
        """Return what each step needs besides the coefficients of the method."""

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

        With ``ends_alone``, this evaluates the last stage and adds it to the others.
        """
        return None

    def seen(self, states: Tensor) -> Tensor:
        """Return those of the stacked states that the stages are evaluated at."""
        return states

    def rates(self, problem: Problem, s: float, states: Tensor, found: Evaluated) -> Tensor:
        """Return the derivatives of all states where the first stage was evaluated."""
        return found.rates


AnyMethod: TypeAlias = Method[Any]
