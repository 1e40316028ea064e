"""Evaluate a part of a node's equations at the solver's own time, and count the work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..aliases import Inputs, Pull, Tensors
from ..methods.combinations import joined
from ..methods.step import Evaluated, Part, PullJoined
from ..solution import Stats
from ..times import Clock
from .field import BoundField
from .guards import check_sources, pure
from .weight import Room, saved_tensors

if TYPE_CHECKING:
    from ..node import Node


class Evaluation:
    """The parts of a node's equations within one solve."""

    def __init__(self, node: Node, inputs: Inputs, clock: Clock, room: Room, stats: Stats) -> None:
        self.node, self.inputs, self.clock, self.room = node, inputs, clock, room
        self.stats = stats
        self.parameters: Tensors = ()

    def plain(self, i: int, part: Part, s: float | Tensor, y: Tensor, *length: float) -> Evaluated:
        """Return a part's rates in the i-th interval for stacked states, by PyTorch's own graph."""
        time, speed = self.clock.at(i, s)
        if not part.calls_field:
            rates = joined(getattr(self.node, part.method)(time, y.unbind(), *length)[0])
            return Evaluated(rates if speed is None else speed * rates)
        if self.room.weight is None:
            rates = self._weighed(part, time, y, length)
        else:
            field = BoundField(self.node, time, self.inputs)
            rates = joined(getattr(self.node, part.method)(time, y.unbind(), field, *length)[0])
        if rates.requires_grad and not torch.compiler.is_compiling():
            rates.register_hook(self.stats.count_backward)  # type: ignore[no-untyped-call]
        return Evaluated(rates if speed is None else speed * rates)

    def recorded(
        self, i: int, part: Part, s: float | Tensor, y: Tensor, *length: float
    ) -> Evaluated:
        """Return a part's rates, with their pullback where there is room to keep it."""
        fits = self.room.weight is not None and self.room.holds_another()
        evaluate = self.linearized if fits else self.plain
        return evaluate(i, part, s, y, *length)

    def linearized(
        self, i: int, part: Part, s: float | Tensor, y: Tensor, *length: float
    ) -> Evaluated:
        """Return a part's rates with the map from costates to -J^T of them.

        To be called without grad mode, as autograd calls its functions.
        """
        time, speed = self.clock.at(i, s)
        field = BoundField(self.node, time, self.inputs, self.parameters)
        given = (field, *length) if part.calls_field else length
        found, pull = getattr(self.node, part.method)(time, y.unbind(), *given)
        rates = joined(found)
        pulled = _joined_pull(part, field, pull, speed, self.stats)
        return Evaluated(rates if speed is None else speed * rates, pulled)

    def _weighed(self, part: Part, time: Tensor, y: Tensor, length: Sequence[float]) -> Tensor:
        """Return a part's rates, refused where their gradient would be wrong, and weigh them."""
        node = self.node
        with (
            pure(node.field, self.clock.times.device),
            torch.enable_grad(),
            saved_tensors() as saved,
        ):
            leaf = y.detach().requires_grad_()
            field = BoundField(node, time, self.inputs)
            rates = getattr(node, part.method)(time, leaf.unbind(), field, *length)[0]
        known = (leaf, *node.parameters(), *self.parameters)
        check_sources(rates, known)
        self.room.learn(saved, known)
        return joined(tuple(x.detach() for x in rates))


def _joined_pull(
    part: Part, field: BoundField, pull: Pull, speed: Tensor | None, stats: Stats
) -> PullJoined:
    """Return a pull for stacked costates that counts, and adds the network's gradients."""

    def pull_joined(costates: Tensor) -> tuple[Tensor, Sequence[Tensor | None]]:
        if part.calls_field:
            stats.count_backward()
        # the pull is linear in the costates, so that they may carry the speed
        costates = costates if speed is None else speed * costates
        pulled, bars = pull(costates.unbind())
        return joined(pulled), (*bars, *field.bars)

    return pull_joined
