"""Evaluate a part of a node's equations at the solver's own time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..aliases import Pull, Tensors
from ..methods.combinations import joined
from ..methods.step import Evaluated, Part, PullJoined, Structure
from ..solution import Stats
from ..times import Clock
from ..torch_internals import age
from .field import BoundField
from .following import Following, Look
from .guards import Guard
from .sources import Sources
from .weight import Room, weighed

if TYPE_CHECKING:
    from ..node import Node


class Evaluation:
    """The parts of a node's equations within one solve.

    ``learned`` are the tensors of the field that the pulls reach. With ``drops``, the field is
    called with gradients enabled also where its graph is not kept. With ``counts``, the graph of
    each evaluation counts when it is gone back through.
    """

    def __init__(
        self,
        node: Node,
        clock: Clock,
        room: Room,
        stats: Stats,
        sources: Sources,
        learned: Tensors,
        guard: Guard | None,
        drops: bool = False,
        counts: bool = False,
    ) -> None:
        self.node, self.inputs, self.clock, self.room = node, sources.inputs, clock, room
        self.stats, self.sources, self.guard = stats, sources, guard
        self.learned, self.drops, self.counts = learned, drops, counts
        self.structure: Structure | None = None

    def within(self, interval: int, look: Look | None = None) -> Following:
        """Return the evaluations of one interval, by a way to look: plain ones unless given."""
        return Following(self, self.plain if look is None else look, interval)

    def plain(self, i: int, part: Part, s: float | Tensor, y: Tensor, *length: float) -> Evaluated:
        """Return a part's rates in the i-th interval for stacked states, by PyTorch's own graph."""
        time, speed = self.clock.at(i, s)
        guard, drops = self.guard, self.drops
        if guard is not None and guard.left and guard.sources is not None:
            drops = True
        drops = drops and not torch.is_grad_enabled()
        field = BoundField(self.node, time, self.inputs, None, guard, drops)
        rates = joined(self._evaluate(part, field, time, y, length)[0])
        if self.counts and part.calls_field and rates.requires_grad:
            rates.register_hook(self.stats.count_backward)  # type: ignore[no-untyped-call]
        return Evaluated(rates if speed is None else speed * rates, values=tuple(field.values))

    def recorded(
        self, i: int, part: Part, s: float | Tensor, y: Tensor, *length: float
    ) -> Evaluated:
        """Return a part's rates, with their pullback where there is room to keep it."""
        found = self.linearized(i, part, s, y, *length)
        return found if self.room.holds_another() else Evaluated(found.rates)

    def linearized(
        self, i: int, part: Part, s: float | Tensor, y: Tensor, *length: float
    ) -> Evaluated:
        """Return a part's rates with the map from costates to -J^T of them.

        To be called without grad mode, as autograd calls its functions.
        """
        time, speed = self.clock.at(i, s)
        field = BoundField(self.node, time, self.inputs, self.learned, self.guard)
        found, pull = self._evaluate(part, field, time, y, length)
        rates = joined(found)
        pulled = _joined_pull(part, field, pull, speed, self.stats)
        return Evaluated(rates if speed is None else speed * rates, pulled)

    def _evaluate(
        self, part: Part, field: BoundField, time: Tensor, y: Tensor, length: Sequence[float]
    ) -> tuple[Tensors, Pull]:
        """Return the rates and the pull."""
        evaluate: Callable[..., tuple[Tensors, Pull]] = getattr(self.node, part.method)
        if not part.calls_field:
            return evaluate(time, y.unbind(), *length)
        if self.guard is not None and self.guard.left:
            return self._looked_at(
                self.guard, lambda: evaluate(time, y.unbind(), field, *length), field, time, y
            )
        return evaluate(time, y.unbind(), field, *length)

    def _looked_at(
        self,
        guard: Guard,
        evaluate: Callable[[], tuple[Tensors, Pull]],
        field: BoundField,
        time: Tensor,
        y: Tensor,
    ) -> tuple[Tensors, Pull]:
        """Return the rates and the pull of one of the first evaluations, which are looked at."""
        since = age()
        look = partial(guard.over, evaluate)
        weighs = self.room.weight is None
        found, saved = weighed(look) if weighs else (look(), {})
        outputs = [*found[0], *(f for f, _ in field.calls)]
        known = [y, time, *(leaf for _, leaves in field.calls for leaf in leaves)]
        guard.check_sources(outputs, known, since)
        if weighs:
            self.room.learn(saved, (*known, *self.sources.parameters))
        return found


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
