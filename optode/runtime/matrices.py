"""Define nodes whose states are matrices."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from .aliases import Inputs, Tensors, Times
from .node import Node
from .solution import Solution


class MatrixNode(Node):
    """A node whose states are matrices: tensors of shape (batch, rows, columns).

    With ``square_only`` a state has other sides than the position, which has to be square, since all
    states of a node have one shape.
    """

    square_only: ClassVar[bool] = False

    def integrate(
        self, states: Tensor | Tensors, t: Times = None, inputs: Inputs = None
    ) -> Solution:
        """Return all states at the times t; see ``Node.integrate``. ValueError: no matrices."""
        position = states if isinstance(states, Tensor) else states[0]
        if isinstance(position, Tensor):
            shape = tuple(position.shape)
            if len(shape) != 3:
                raise ValueError(f"states have the shape (batch, rows, columns), got {shape}")
            if self.square_only and shape[1] != shape[2]:
                raise ValueError(
                    f"a state has the sides of a Gram matrix, so that {self.state_names[0]} has to "
                    f"be square, got {shape}"
                )
        return super().integrate(states, t, inputs)
