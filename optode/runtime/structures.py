"""Base classes of nodes whose equations have a structure that methods can use."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from torch import Tensor

from .aliases import Pull, Tensors
from .evaluation.field import BoundField
from .node import Node


class Damping(NamedTuple):
    """What takes the damping c out, from a time t0 to t: numbers, or tensors of them.

    ``root`` is R = exp(int c/2), ``curvature`` q = c**2/4 + c'/2, and ``rate`` c.
    """

    root: Any
    curvature: Any
    rate: Any


class DampedNode(Node):
    """States h and m with h' = m, m' = -c(t)*m + F(t, h).

    Nyström methods take the damping c out: with R = exp(int c/2), w = R*h obeys
    w'' = R*F + (c**2/4 + c'/2)*w (Liouville's normal form).
    """

    kinds: ClassVar[frozenset[str]] = Node.kinds | {"DampedNode"}

    def force(self, t: Tensor, states: Tensors, field: BoundField) -> tuple[Tensors, Pull]:
        """Return F, from the position alone, and its pull; the network unless overridden."""
        f = field(*states)

        def pull(costates: Tensors) -> tuple[Tensors, tuple[None, ...]]:
            return (-field.pull(f, costates[0]),), (None,) * len(self.learned_names)

        return (f,), pull

    def damping(self, t0: Any, t: Any, *learned: Any) -> Damping:
        """Return the damping from t0 to t, for given values of the learned parameters.

        A subclass has to define this, in operators alone: it is called with numbers and tensors.
        """
        raise NotImplementedError(f"{type(self).__name__} has no damping")

    def damping_slopes(self, t0: float, t: float, *learned: float) -> tuple[Damping, ...]:
        """Return the derivatives of the damping by each learned parameter, in plain numbers."""
        return (Damping(0.0, 0.0, 0.0),) * len(learned)

    @property
    def damping_is_learned(self) -> bool:
        """Whether a subclass says how the damping depends on learned parameters."""
        return type(self).damping_slopes is not DampedNode.damping_slopes


class SeparableNode(Node):
    """States of which the first moves with the others held, and they with it held.

    Both motions have exact flows, which splitting methods compose. Each flow is a step of Euler's
    method with its mean rates over a sub-step of some length.
    """

    kinds: ClassVar[frozenset[str]] = Node.kinds | {"SeparableNode"}

    def drift(self, t: Tensor, states: Tensors, length: float) -> tuple[Tensors, Pull]:
        """Return the mean rates while all states but the first are held, and their pull."""
        raise NotImplementedError(f"{type(self).__name__} has no drift")

    def kick(
        self, t: Tensor, states: Tensors, field: BoundField, length: float
    ) -> tuple[Tensors, Pull]:
        """Return the mean rates while the first state is held, and their pull."""
        raise NotImplementedError(f"{type(self).__name__} has no kick")
