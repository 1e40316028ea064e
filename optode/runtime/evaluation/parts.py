"""Evaluate a node's equations at the solver's own time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

import torch
from torch import Tensor

from ..aliases import Pull, Rests, Tensors
from ..methods.combinations import joined
from ..methods.step import Evaluated, Rested, Structure
from ..solution import Stats
from ..times import Clock
from ..torch_internals import age
from .field import BoundField
from .following import Following
from .guards import Guard
from .replay import Replayed
from .sources import Sources
from .weight import Room, weighed

if TYPE_CHECKING:
    from ..node import Node

Found = TypeVar("Found", bound=Rests)
Other = TypeVar("Other")


class Evaluation:
    """Evaluate a node's equations within one solve.

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

    def within(self, interval: int) -> Following:
        """Return the evaluations of one interval."""
        return Following(self, interval)

    def plain(self, i: int, s: float | Tensor, y: Tensor) -> Evaluated:
        """Return the rates of stacked states in the i-th interval, by PyTorch's own graph."""
        time, speed = self.clock.at(i, s)
        field = self._plain_field(time)
        rates = joined(self._rates(field, time, y)[0])
        if self.counts and rates.requires_grad:
            rates.register_hook(self.stats.count_backward)  # type: ignore[no-untyped-call]
        return Evaluated(rates if speed is None else speed * rates, values=tuple(field.values))

    def rests(
        self, i: int, s: float | Tensor, states: Tensors, values: Tensors | None = None
    ) -> Rested:
        """Return the rests of the rates, by PyTorch's own graph; values are those of f, if known."""
        time, speed = self.clock.at(i, s)
        if values is None:
            field = self._plain_field(time)
            rests, _ = self._looked_at(
                lambda: (self.node.rests(time, states, field), None), field, (*states, time)
            )
            values = tuple(field.values)
            if self.counts and values and values[0].requires_grad:
                values[0].register_hook(self.stats.count_backward)  # type: ignore[no-untyped-call]
        else:
            rests = self.node.rests(time, states, cast("BoundField", Replayed(values)))
        if speed is not None:
            rests = tuple(None if x is None else speed * x for x in rests)
        return Rested(rests, values)

    def _plain_field(self, time: Tensor) -> BoundField:
        guard, drops = self.guard, self.drops
        if guard is not None and guard.left and guard.sources is not None:
            drops = True
        drops = drops and not torch.is_grad_enabled()
        return BoundField(self.node, time, self.inputs, None, guard, drops)

    def with_costates(self, i: int, s: float, states: Tensor, costates: Tensor) -> Evaluated:
        """Return the rates of states and of their costates, -J^T c, one after the other.

        To be called without grad mode, as autograd calls its functions.
        """
        time, speed = self.clock.at(i, s)
        field = BoundField(self.node, time, self.inputs, self.learned, self.guard)
        found, pull = self._rates(field, time, states)
        self.stats.count_backward()
        # the pull is linear in the costates, so that they may carry the speed
        pulled, bars = pull((costates if speed is None else speed * costates).unbind())
        rates = torch.stack(found)
        rates = torch.cat([rates if speed is None else speed * rates, torch.stack(pulled)])
        return Evaluated(rates, (*bars, *field.bars))

    def _rates(self, field: BoundField, time: Tensor, y: Tensor) -> tuple[Tensors, Pull]:
        """Return the rates and the pull."""
        return self._looked_at(
            lambda: self.node.equations(time, y.unbind(), field), field, (y, time)
        )

    def _looked_at(
        self, evaluate: Callable[[], tuple[Found, Other]], field: BoundField, known: Tensors
    ) -> tuple[Found, Other]:
        """Evaluate at known tensors; the guard watches the first evaluations."""
        guard, weighs = self.guard, self.room.weight is None
        if guard is None or not guard.left:
            return evaluate()
        since = age()
        look = partial(guard.over, evaluate)
        found, saved = weighed(look) if weighs else (look(), {})
        outputs = [*(x for x in found[0] if x is not None), *(f for f, _ in field.calls)]
        every = [*known, *(leaf for _, leaves in field.calls for leaf in leaves)]
        guard.check_sources(outputs, every, since)
        if weighs:
            self.room.learn(saved, (*every, *self.sources.parameters()))
        return found
