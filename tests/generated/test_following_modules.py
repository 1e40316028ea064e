"""How the states of every committed module follow from f, by what moves what, in numbers.

What oracles give is drawn at random and given again, whatever they are called with: then a state
is needed by another if a new draw of it changes the other's derivative.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
import torch
from modules import FOLDER, MATRICES, build, is_of_velocity

pytestmark = pytest.mark.usefixtures("float64")
every_module = pytest.mark.parametrize("name", sorted(p.stem for p in FOLDER.glob("*.py")))
POSITIVE = ("v", "v_max", "u", "w", "r", "q", "b", "c", "e", "theta", "left", "right")
DRAWS = 24


class Given:
    """In the place of the network at one time: gives the same values at every evaluation."""

    def __init__(self, shape):
        self.values, self.arguments, self.shape = [], [], shape

    def again(self):
        self.arguments = []
        return self

    def _next(self, *arguments):
        self.arguments.append(arguments)
        if len(self.arguments) > len(self.values):
            size = 10 ** torch.empty(()).uniform_(-1, 3)  # beyond the bounds of every clipping, too
            self.values.append(size * torch.randn(self.shape))
        return self.values[len(self.arguments) - 1]

    def __call__(self, *states):
        return self._next(*states)

    def apply(self, name, *states):
        return self._next(*states)

    def tangent(self, states, directions, name="field"):
        return self._next(*states, *directions)


class Graph(NamedTuple):
    """``moves[a, b]``: b moves a; ``driven[a]``: an oracle does; ``read[b]``: an oracle reads b."""

    moves: np.ndarray
    driven: np.ndarray
    read: np.ndarray


def states_of(node, shape):
    """Random states, of sizes from small to large, those that are averages of squares positive."""

    def draw(name):
        size = 10 ** torch.empty(()).uniform_(-1, 0.5)
        positive = name in POSITIVE and not is_of_velocity(node)
        return size * (0.2 + torch.rand(shape) if positive else torch.randn(shape))

    return tuple(map(draw, node.state_names))


def shape_of(name):
    return (2, 3, 3) if name in MATRICES else (2, 4)


def differs(one, other):
    assert one.isfinite().all() and other.isfinite().all()
    return bool(((one - other).abs() > 1e-12 * (1 + one.abs())).any())


@cache
def graph_of(name):
    """By many draws: switches and bounds hide some of what moves a state."""
    node, shape = build(name, 5), shape_of(name)
    n = len(node.state_names)
    moves, driven, read = np.zeros((n, n), int), np.zeros(n, int), np.zeros(n, int)
    for _ in range(DRAWS):
        t, given = torch.tensor(1.3), Given(shape)
        states, others = states_of(node, shape), states_of(node, shape)
        rates = node.equations(t, states, given)[0]
        called = given.arguments
        other_rates = node.equations(t, states, Given(shape))[0]
        driven |= [differs(x, y) for x, y in zip(rates, other_rates, strict=True)]
        for b in range(n):
            changed = (*states[:b], others[b], *states[b + 1 :])
            new_rates = node.equations(t, changed, given.again())[0]
            moves[:, b] |= [differs(x, y) for x, y in zip(rates, new_rates, strict=True)]
            read[b] |= any(
                differs(x, y)
                for old, new in zip(called, given.arguments, strict=True)
                for x, y in zip(old, new, strict=True)
            )
    return Graph(moves, driven, read)


def relaxes(node):
    """Whether each state has a rate."""
    rates = node.relaxation(torch.tensor(1.3))
    return [not isinstance(rate, float) or rate != 0 for rate in rates]


def needs_of(name, node):
    """What moves what, without the relaxation of each state by itself."""
    needs = graph_of(name).moves.copy()
    for a, own in enumerate(relaxes(node)):
        needs[a, a] &= not own
    return needs


def levels_of(node):
    found = {z: i for i, layer in enumerate(node.layers) for z in layer}
    assert sum(map(len, node.layers)) == len(found) == len(node.state_names)
    return [found[z] for z in node.state_names]


@every_module
def test_groups_need_only_those_before_them_and_what_is_held(name):
    node = build(name, 5)
    needs, level = needs_of(name, node), levels_of(node)
    held = [z in node.held for z in node.state_names]
    for a, b in zip(*needs.nonzero(), strict=True):
        assert level[b] < level[a] or held[b], (node.state_names[a], node.state_names[b])
    for a, number in enumerate(level):  # no state could be in an earlier group
        assert number == 1 + max(
            (level[b] for b in needs[a].nonzero()[0] if level[b] < number), default=-1
        )
    for b in np.nonzero(held)[0]:  # and none is held for nothing
        assert any(needs[a, b] and level[a] <= level[b] for a in range(len(level)))


@every_module
def test_the_relative_degree_counts_integrations(name):
    node = build(name, 5)
    needs, level, (_, driven, read) = needs_of(name, node), levels_of(node), graph_of(name)
    held = np.array([z in node.held for z in node.state_names])
    known = needs * (np.array(level)[None, :] < np.array(level)[:, None])
    start = driven | (needs - known).any(axis=1)
    paths = [np.linalg.matrix_power(known, k) @ start for k in range(len(level))]
    degrees = [1 + k for k, path in enumerate(paths) if path[held | (read > 0)].any()]
    assert node.relative_degree == min(degrees, default=1)


@every_module
def test_rates_are_minus_the_derivatives_of_states_by_themselves(name):
    node, shape = build(name, 5), shape_of(name)
    states, t = states_of(node, shape), torch.tensor(1.3)
    given = Given(shape)
    for a, (z, rate, own) in enumerate(zip(states, node.relaxation(t), relaxes(node), strict=True)):
        if node.state_names[a] in node.held and not own:
            continue

        def derivative(z, a=a):
            return node.equations(t, (*states[:a], z, *states[a + 1 :]), given.again())[0][a]

        found = torch.autograd.functional.jacobian(derivative, z).reshape(z.numel(), -1)
        expected = -torch.as_tensor(rate) * torch.eye(z.numel())
        torch.testing.assert_close(found, expected.detach(), rtol=1e-11, atol=1e-11)


@every_module
def test_rates_are_those_of_each_time(name):
    """One number, or one for each of the times, whatever their shape."""
    node = build(name, 5).float()
    times = 0.4 + torch.rand((2, 3), dtype=torch.float64)
    one_by_one = [node.relaxation(t) for t in times.flatten()]
    rates = node.relaxation(times)
    assert len(rates) == len(node.state_names)
    for a, rate in enumerate(rates):
        assert isinstance(rate, float) or rate.shape in ((), times.shape)
        expected = torch.stack([torch.as_tensor(each[a]).double() for each in one_by_one])
        found = torch.as_tensor(rate).double().expand(times.shape).flatten()
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_there_are_rates_that_depend_on_time_and_states_that_are_held():
    """So that the tests above see each kind."""
    nodes = {name: build(name, 5) for name in ("nesterov", "adam", "generalized_heavy_ball")}
    assert nodes["nesterov"].relaxation(torch.ones(7))[1].shape == (7,)
    assert nodes["adam"].layers == (("m", "v"), ("h",))
    assert nodes["generalized_heavy_ball"].held == ("h",)
    assert graph_of("adam").moves.tolist() == [[0, 1, 1], [0, 1, 0], [0, 0, 1]]
    assert graph_of("adam").driven.tolist() == [0, 1, 1]
    assert graph_of("adam").read.tolist() == [1, 0, 0]
