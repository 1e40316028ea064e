"""Evaluate the equations in one interval of time, with f and with given values in its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from ..aliases import Rates, Rests, Tensors
from ..methods.folding import spread_times
from ..methods.step import Evaluated, Rested, Structure
from .replay import Replayed

if TYPE_CHECKING:
    from ..node import Node
    from .field import BoundField
    from .parts import Evaluation


def structure_of(node: Node) -> Structure:
    """Return how the states of a node follow from f."""
    place = {name: i for i, name in enumerate(node.state_names)}
    layers = tuple(tuple(place[name] for name in layer) for layer in node.followers)
    following = {i for layer in layers for i in layer}
    driven = tuple(i for i in place.values() if i not in following)
    linear = node.linear_part(torch.ones(_TIMES, device="cpu"))
    alone = {place[name] for name in node.linear_only}
    resting = tuple(i for i in driven if i not in alone)
    steady = tuple(i for i in place.values() if not _changes(linear[i][i]))
    groups = _groups(driven, linear)
    return Structure(groups, driven, steady, resting, layers, node.followers_see_f)


_TIMES = 2
"""The entries of L are compared at this many times, to see which of them change."""


class Following:
    """The evaluations of one interval."""

    __slots__ = ("evaluation", "interval")

    def __init__(self, evaluation: Evaluation, interval: int) -> None:
        self.evaluation, self.interval = evaluation, interval

    @property
    def structure(self) -> Structure:
        """How the states follow from f."""
        found = self.evaluation.structure
        assert found is not None  # a solve by such a method has found it before its first step
        return found

    @property
    def exact(self) -> Tensor:
        """The times: what is as exact as they are has their dtype."""
        return self.evaluation.clock.times.detach()

    def __call__(self, s: Any, y: Tensor) -> Evaluated:
        """Return what the equations give at the solver's own time s."""
        return self.evaluation.plain(self.interval, s, y)

    def rests(self, s: Any, states: Tensors, known: Evaluated | Rested | None = None) -> Rested:
        """Return the rests in ``z' = L z + rest`` at s, from known values of f or by evaluating f."""
        if isinstance(known, Rested):
            return known
        return self.evaluation.rests(self.interval, s, states, known and known.values)

    def replayed(self, s: Tensor, states: Tensors, values: Tensors | Tensor) -> Rests:
        """Return the rests of folded states at the times s, with folded values in the place of f."""
        node, clock = self.evaluation.node, self.evaluation.clock
        time, speed = clock.over(self.interval, s)
        field = cast("BoundField", Replayed(values))
        rests = node.rests(spread_times(time, states[0], len(s)), states, field)
        if speed is None:
            return rests
        faster = spread_times(speed.expand(len(s), *speed.shape), states[0], len(s))
        return tuple(None if rest is None else faster * rest for rest in rests)

    def linear(self, s: Tensor) -> list[list[Tensor | None]]:
        """Return L of ``z' = L z + rest`` at the times s, its first dimension; None for what is 0."""
        node, clock = self.evaluation.node, self.evaluation.clock
        time, speed = clock.over(self.interval, s)
        return [[_at(x, time, speed) for x in row] for row in node.linear_part(time)]


def rests_of(rates: Tensors, states: Tensors, linear: Sequence[Rates]) -> Tensors:
    """Return what L leaves of rates, where these are ``L z + rest``."""
    found = []
    for rate, row in zip(rates, linear):
        for x, z in zip(row, states):
            if isinstance(x, Tensor) or x != 0:
                rate = rate - x * z
        found.append(rate)
    return tuple(found)


def _at(x: float | Tensor, time: Tensor, speed: Tensor | None) -> Tensor | None:
    if not isinstance(x, Tensor) and x == 0:
        return None
    every = torch.as_tensor(x, dtype=time.dtype, device=time.device).expand_as(time)
    return every if speed is None else speed * every


def _changes(x: float | Tensor) -> bool:
    """Return whether an entry of L differs between the times."""
    return isinstance(x, Tensor) and x.ndim > 0


def _groups(driven: tuple[int, ...], linear: Sequence[Rates]) -> tuple[tuple[int, ...], ...]:
    """Return the driven states that move each other, as L says, after those that move them."""
    moved_by = {i: {j for j in driven if _moves(linear[i][j])} | {i} for i in driven}
    for k in driven:  # through any others (Warshall)
        for i in driven:
            if k in moved_by[i]:
                moved_by[i] |= moved_by[k]
    groups = {tuple(j for j in driven if i in moved_by[j] and j in moved_by[i]) for i in driven}
    return tuple(sorted(groups, key=lambda group: (len(moved_by[group[0]]), group)))


def _moves(x: float | Tensor) -> bool:
    return isinstance(x, Tensor) or x != 0
