"""Hold what a solve returns: times, trajectories and the work done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor


class Costates(NamedTuple):
    """The gradient dL/dz of a loss by the states at one time, each of the shape of a state."""

    time: Tensor
    costates: Any  # the States of the node's class


@dataclass
class Stats:
    """Count the work of one solve: evaluations of the field, and steps.

    ``backward_nfe`` counts vector-Jacobian products of the field; None in a compiled solve, whose
    backward pass nobody can count. ``repeated`` counts solves that
    ``grid="auto"`` repeated on a finer grid. ``compile_seconds`` is 0 unless this call compiled.
    ``observed`` is "steps" where steps end at the times, and "interpolate" where the times are read
    off between the ends of steps. ``costates`` are those that the backward pass of a node with
    ``record=True`` found, from the last time to the first. ``next_length`` is how long a further
    fitted step would be.
    """

    method: str = ""
    compile_seconds: float = 0.0
    forward_nfe: int = 0
    backward_nfe: int | None = 0
    accepted: int = 0
    rejected: int = 0
    repeated: int = 0
    observed: str = "steps"
    next_length: float | None = field(default=None, repr=False, compare=False)
    costates: list[Costates] = field(default_factory=list)

    def count_backward(self, *_: object, products: int = 1) -> None:
        """Count vector-Jacobian products; also a hook of autograd."""
        if self.backward_nfe is not None:
            self.backward_nfe += products


class Solution(NamedTuple):
    """The times, every state's trajectory of shape ``(len(times), *shape)``, and the work.

    ``running`` is the integral of the node's running cost from the start to each time, None where
    the node has no such cost.
    """

    times: Tensor
    states: Any  # the States of the node's class: a named tuple of tensors
    stats: Stats
    running: Tensor | None = None


@dataclass
class SequenceStats:
    """Count the work of all intervals: evaluations, vector-Jacobian products, and steps.

    A backward pass adds its products.
    """

    solves: list[Stats] = field(default_factory=list)

    @property
    def forward_nfe(self) -> int:
        """The evaluations of the field."""
        return sum(solve.forward_nfe for solve in self.solves)

    @property
    def backward_nfe(self) -> int | None:
        """The vector-Jacobian products of the field, None where one solve does not know."""
        counts = [solve.backward_nfe for solve in self.solves]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    @property
    def costates(self) -> list[Costates]:
        """The costates of a backward pass, from the last time to the first."""
        return [found for solve in reversed(self.solves) for found in solve.costates]

    @property
    def accepted(self) -> int:
        """The steps that were accepted."""
        return sum(solve.accepted for solve in self.solves)

    @property
    def rejected(self) -> int:
        """The steps that were rejected."""
        return sum(solve.rejected for solve in self.solves)


class SequenceSolution(NamedTuple):
    """Hold the times, and the states after the observations, of shape (batch, times, ...).

    ``before`` holds h before the observation at each time: what the model foretold.
    """

    times: Tensor
    states: Any
    before: Tensor
    stats: SequenceStats
