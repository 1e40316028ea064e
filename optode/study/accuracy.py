"""Choose the tolerance at which the outputs of a network are accurate enough.

Solvers hold the error of a step, and models differ in what that means for h at the end. Models are
compared at an equal error of what the network says, against a solve in double precision.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from optode.study.task import Examples

TOLERANCES = tuple(10 ** (-k / 2) for k in range(4, 13))
"""The tolerances tried: from 1e-2, by half a digit, to what single precision can hold."""

_REFERENCE = 1e-8
_SAMPLES = 32


class Accuracy:
    """The tolerance of a network's node: the loosest one whose error is within the goal."""

    def __init__(self, network: Any, examples: Examples, goal: float) -> None:
        self.network, self.goal, self.error = network, goal, float("nan")
        self.examples = examples.take(slice(_SAMPLES))
        self.take(0)

    def take(self, place: int) -> None:
        """Set one of the tolerances."""
        self.place, node = place, self.network.node
        node.rtol = node.atol = TOLERANCES[place]

    @property
    def tolerance(self) -> float:
        """The tolerance that is set."""
        return TOLERANCES[self.place]

    @torch.no_grad()
    def settle(self) -> None:
        """Measure the error from the loosest tolerance on, until it is small enough.

        A field as it is drawn may need a tighter one than after training, and the other way.
        """
        exact = self._exact()
        self.take(0)
        while True:
            found = self.network(self.examples).value
            self.error = float((found.double() - exact).abs().max() / exact.abs().max())
            if self.error <= self.goal or self.place + 1 == len(TOLERANCES):
                return
            self.take(self.place + 1)

    def _exact(self) -> torch.Tensor:
        network = copy.deepcopy(self.network).double()
        node = network.node
        node.method, node.rtol, node.atol = "dopri8", _REFERENCE, _REFERENCE
        x, times = self.examples.inputs, self.examples.times
        wide = replace(
            self.examples, inputs=x.double(), times=None if times is None else times.double()
        )
        value: torch.Tensor = network(wide).value
        return value


def parameters_of(node: nn.Module) -> dict[str, float]:
    """Return the values of a node's learned numbers; of those for each feature their mean."""
    names: tuple[str, ...] = node.learned_names  # type: ignore[assignment]
    return {f"learned.{name}": float(getattr(node, name).detach().mean()) for name in names}
