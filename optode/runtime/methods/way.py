"""Go through a step from node to node: driven states first, then their followers."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..aliases import Tensors
from .combinations import joined, picked
from .driven import by_parts, integrated, leg_rows, resolvents
from .folding import fold, unfold
from .legs import Leg, Legs, mixed_rows, scaled_rows, tables
from .step import Follow, Rested, Stages, Step


class Relaxing(NamedTuple):
    """How far a follower that relaxes by itself has gone at the nodes of every leg.

    ``starts`` (legs, nodes) weigh its start, ``rests`` (legs, nodes, nodes) the rest of its rate
    there; dimensions of the samples come last where samples have times of their own.
    """

    starts: Tensor
    rests: Tensor


class Way:
    """The way through one step: what was found at its nodes, and the numbers of its legs.

    ``basis`` has the tensors that the rows of driven states weigh: their starts, and the rests of
    their rates at the nodes so far.
    """

    def __init__(self, follow: Follow, step: Step, legs: Legs) -> None:
        self.follow, self.step, self.legs = follow, step, legs
        self.structure, exact = follow.structure, follow.exact
        self.tables = tables(legs, exact.dtype, exact.device)
        self.times = step.start + step.length * self.tables.nodes
        self.whole = step.whole or bool(self.structure.layers)
        linear, like = follow.linear(self.times.flatten()), step.states[0]
        self.rows = leg_rows(
            self.structure, legs, self.tables, step.length, linear, like, self.whole
        )
        self.relaxing: dict[int, Relaxing] = {}
        for i in (i for layer in self.structure.layers for i in layer):
            if (rate := linear[i][i]) is not None:
                self.relaxing[i] = self._relaxing(rate, i in self.structure.steady)
        self.found: list[Rested] = []
        self.basis = picked(step.states, self.structure.driven)
        self.paths: dict[int, Tensor] = {}

    def _relaxing(self, rate: Tensor, steady: bool) -> Relaxing:
        """Return the numbers of a follower that relaxes: ``z_a = z_0 + sum_b A_ab (L_b z_b + g_b)``."""
        table = self.step.length * self.tables.integrals
        rate = rate.reshape(*self.times.shape, *rate.shape[1:])
        if by_parts(rate, steady):
            inverse = resolvents(self.legs, self.tables, self.step.length * rate[:, 0])
            rests = integrated(table.mT, inverse.transpose(1, 2)).transpose(1, 2)
        else:
            samples = rate.movedim((0, 1), (-2, -1))
            inverse = torch.linalg.inv_ex(self.tables.unit - table * samples[..., None, :])[0]
            rests = (inverse @ table).movedim((-3, -2, -1), (0, 1, 2))
            inverse = inverse.movedim((-3, -2, -1), (0, 1, 2))
        dtype = self.step.states.dtype
        return Relaxing((inverse.sum(2) - 1).to(dtype), rests.to(dtype))

    def pass_by(self, found: Rested) -> None:
        """Keep what was evaluated at the next node."""
        self.found.append(found)
        rests = [x for i in self.structure.resting if (x := found.rests[i]) is not None]
        if rests:
            self.basis = torch.cat([self.basis, joined(rests)])

    def resume(self, stages: Stages) -> None:
        """Take what another way through the whole step has found."""
        self.found, (self.basis,) = stages.found, stages.basis

    def moved(self, k: int) -> Tensor:
        """Return how far the states go from their starts to the end of the k-th leg."""
        driven = self.structure.driven
        moved = mixed_rows(self.rows[k], self.basis)
        if not self.whole:
            return moved
        starts, n = self.step.states, len(self.legs[k].nodes)
        ends: list[Tensor] = [*starts]
        paths: dict[int, Tensor] = {}
        for i, x in zip(driven, moved.view(len(driven), n, *moved.shape[1:])):
            ends[i], paths[i] = x[-1], starts[i] + x
        if self.structure.layers:
            self._follow_on(k, paths, ends)
        self.paths = paths
        return torch.stack(ends)

    def within(self) -> Tensor | None:
        """Return the states at the nodes of the last leg before its end, if they are asked for."""
        if not self.step.whole:
            return None
        return torch.stack([self.paths[i][:-1] for i in range(len(self.paths))], 1)

    def _follow_on(self, k: int, paths: dict[int, Tensor], ends: list[Tensor]) -> None:
        """Add the followers to the paths, and how far they go to the ends, one layer after another."""
        one, like, layers = self.legs[k], self.step.states[0], self.structure.layers
        n = len(one.nodes)
        values = self._values(k, one, like)
        absent = like.new_zeros(()).expand(fold(like.expand(n, *like.shape)).shape)
        table = (self.step.length * self.tables.own_integrals[k]).to(like.dtype)
        for layer in layers:
            states = tuple(fold(paths[i]) if i in paths else absent for i in range(len(ends)))
            rests = self.follow.replayed(self.times[k, :n], states, values or absent)
            last = slice(-1, None) if layer is layers[-1] and not self.step.whole else slice(None)
            for i in layer:
                given = rests[i]
                assert given is not None  # a follower has a rate
                rest, start = unfold(given, n, like), self.step.states[i]
                if i in self.relaxing:
                    weights, table_of = self.relaxing[i]
                    moved = mixed_rows(table_of[k, :n, :n][last], rest)
                    moved = scaled_rows(weights[k, :n][last], start[None]) + moved
                else:
                    moved = mixed_rows(table[last], rest)
                paths[i], ends[i] = start + moved, moved[-1]

    def _values(self, k: int, one: Leg, like: Tensor) -> Tensors:
        """Return the values of f, and whatever else is called, at the nodes of a leg."""
        if not self.structure.sees_f:
            return ()
        weights = self.tables.own_weights[k].to(like.dtype)
        found = zip(*(f.values for f in self.found))
        return tuple(fold(mixed_rows(weights, torch.stack(x))) for x in found)
