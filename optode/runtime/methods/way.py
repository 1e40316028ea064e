"""Go through a step from node to node: driven states first, then those that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from ..aliases import Tensors
from .driven import Linear, groups
from .folding import fold, unfold
from .legs import Leg, Row, mixed_rows, row_tensor, scaled_rows, tables
from .step import Evaluated, Follow, Stages, Step

AtNodes = Sequence[Sequence[tuple[int, Sequence[Tensor]]]]
"""For each state the places in its row of L that are not 0, with their numbers at each node."""


class Relaxing(NamedTuple):
    """How far a follower that relaxes by itself has gone at the nodes of every leg.

    ``starts`` (legs, nodes) weigh its start, ``rests`` (legs, nodes, nodes) the rest of its rate
    there; dimensions of the samples come before these where samples have times of their own.
    """

    starts: Tensor
    rests: Tensor


class Way:
    """The way through one step: what was found at its nodes, and the numbers of its legs.

    ``basis`` are the tensors that the rows of each group of driven states weigh: their starts,
    and the rests of their rates at the nodes so far.
    """

    def __init__(self, follow: Follow, step: Step, legs: tuple[Leg, ...], nodes: Row) -> None:
        self.follow, self.step, self.legs = follow, step, legs
        self.structure = follow.structure
        self.exact = follow.exact
        self.tables = tables(legs, self.exact)
        self.times = step.start + step.length * self.tables.nodes
        self.linear, self.at_nodes = self._linear(nodes)
        self.groups = groups(follow, step, legs, self.linear)
        self.relaxing = self._relaxing()
        self.found: list[Evaluated] = []
        self.basis = [[step.states[i] for i in group.states] for group in self.groups]

    def _linear(self, nodes: Row) -> tuple[Linear, AtNodes]:
        """Return L at the nodes of all legs, and at those where f is evaluated, one by one."""
        step, times = self.step, self.times.flatten()
        if nodes:
            times = torch.cat([times, step.start + step.length * row_tensor(nodes, self.exact)])
        found = self.follow.linear(times)
        n = self.times.numel()
        legs = [[None if x is None else x[..., :n] for x in row] for row in found]
        dtype = step.states.dtype
        at_nodes = [
            [(j, x[..., n:].to(dtype).unbind(-1)) for j, x in enumerate(row) if x is not None]
            for row in found
        ]
        return legs, at_nodes

    def _relaxing(self) -> dict[int, Relaxing]:
        """Return the numbers of followers that relax: ``z_a = z_0 + sum_b A_ab (L_b z_b + g_b)``."""
        table, found = self.step.length * self.tables.integrals, {}
        for i in (i for layer in self.structure.layers for i in layer):
            rate = self.linear[i][i]
            if rate is not None:
                rate = rate.reshape(*rate.shape[:-1], *self.times.shape)
                unit = torch.eye(table.shape[-1], dtype=table.dtype, device=table.device)
                inverse = torch.linalg.inv_ex(unit - table * rate[..., None, :])[0]
                dtype = self.step.states.dtype
                starts, rests = inverse.sum(-1) - 1, inverse @ table
                found[i] = Relaxing(starts.to(dtype), rests.to(dtype))
        return found

    def pass_by(self, k: int, states: Tensor, found: Evaluated) -> None:
        """Note what was found at the k-th node, where the states are these."""
        self.found.append(found)
        for group, basis in zip(self.groups, self.basis):
            for i in group.rests:
                rest = found.rates[i]
                for j, numbers in self.at_nodes[i]:
                    rest = rest - numbers[k] * states[j]
                basis.append(rest)

    def resume(self, stages: Stages) -> None:
        """Take what another way through the whole step has found."""
        self.found, left = stages.found, iter(stages.basis)
        counts = (len(g.states) + len(stages.found) * len(g.rests) for g in self.groups)
        self.basis = [[*islice(left, count)] for count in counts]

    def moved(self, k: int) -> Tensor:
        """Return how far the states go from their starts to the end of the k-th leg."""
        layers, nodes, values = self.structure.layers, len(self.legs[k].nodes), len(self.found)
        ends: list[Tensor] = [*self.step.states]
        paths: dict[int, Tensor] = {}
        for group, basis in zip(self.groups, self.basis):
            rows = group.of(k, nodes, values, whole=bool(layers))
            moved = group.moved(rows, basis)
            if len(moved) == len(ends) and not layers:
                return moved[:, -1]
            for i, x in zip(group.states, moved):
                ends[i] = x[-1]
                paths[i] = self.step.states[i] + x if layers else x
        if layers:
            self._follow_on(k, paths, ends)
        return torch.stack(ends)

    def _follow_on(self, k: int, paths: dict[int, Tensor], ends: list[Tensor]) -> None:
        """Add the followers to the paths, and how far they go to the ends, one layer after another."""
        one, like, layers = self.legs[k], self.step.states[0], self.structure.layers
        n = len(one.nodes)
        values = self._values(k, one, like)
        absent = like.new_zeros(()).expand(fold(like.expand(n, *like.shape)).shape)
        table = (self.step.length * self.tables.integrals[k, :n, :n]).to(like.dtype)
        for layer in layers:
            states = tuple(fold(paths[i]) if i in paths else absent for i in range(len(ends)))
            rates = self.follow.replayed(self.times[k, :n], states, values or absent)
            last = slice(-1, None) if layer is layers[-1] else slice(None)
            for i in layer:
                rest, start = unfold(rates[i], n, like), self.step.states[i]
                if i in self.relaxing:
                    starts, rests = self.relaxing[i]
                    moved = mixed_rows(rests[..., k, :n, :n][..., last, :], rest)
                    moved = scaled_rows(starts[..., k, :n][..., last], start[None]) + moved
                else:
                    moved = mixed_rows(table[last], rest)
                paths[i], ends[i] = start + moved, moved[-1]

    def _values(self, k: int, one: Leg, like: Tensor) -> Tensors:
        """Return the values of f, and whatever else is called, at the nodes of a leg."""
        if not self.structure.sees_f:
            return ()
        n, values = len(one.nodes), len(self.found)
        weights = self.tables.weights[k, :n, :values].to(like.dtype)
        found = zip(*(f.values for f in self.found))
        return tuple(fold(mixed_rows(weights, torch.stack(x))) for x in found)
