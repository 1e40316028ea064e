"""Report the events of a solve to callbacks, and to the record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from .aliases import Tensors
from .solution import Costates, Stats
from .times import Clock

if TYPE_CHECKING:
    from .node import Node


class Notices:
    """The callbacks of a node during one solve, in the times of the equations."""

    def __init__(self, node: Node, clock: Clock, stats: Stats) -> None:
        self.node, self.clock, self.stats = node, clock, stats
        self.on_costates = getattr(node, "callback_costates", None)
        self.of_costates = node.record or self.on_costates is not None

    def step(
        self, event: str, i: int, s: float | Tensor, states: Tensor | Tensors, dt: float | Tensor
    ) -> None:
        """Count a rejected step of the i-th interval, and call the callback for the event."""
        self.stats.rejected += event == "callback_reject_step"
        callback = getattr(self.node, event, None)
        if callback is not None:
            t, length = self.clock.told(i, s, dt)
            callback(t, tuple(states), length)

    def costates(self, i: int, s: float, costates: Tensor) -> None:
        """Keep the stacked costates at a time of the i-th interval, and call the callback."""
        if not self.of_costates:
            return
        time = self.clock.told(i, s, 0.0)[0]
        found = Costates(time, self.node.States(*costates.detach().clone()))
        if self.node.record:
            self.stats.costates.append(found)
        if self.on_costates is not None:
            self.on_costates(*found)
