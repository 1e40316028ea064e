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
    """What moves what, in the draws.

    ``moves[a, b]``: b moves a. ``in_rest[a, b]``: b moves what is left of a without L.
    ``given[a]``: an oracle moves a. ``read[b]``: an oracle reads b.
    """

    moves: np.ndarray
    in_rest: np.ndarray
    given: np.ndarray
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
    found = Graph(*(np.zeros(size, bool) for size in ((n, n), (n, n), n, n)))
    for _ in range(DRAWS):
        t, given = torch.tensor(1.3), Given(shape)
        states, others = states_of(node, shape), states_of(node, shape)
        rates = node.equations(t, states, given)[0]
        called = given.arguments
        other_rates = node.equations(t, states, Given(shape))[0]
        found.given[:] |= [differs(x, y) for x, y in zip(rates, other_rates, strict=True)]
        for b in range(n):
            changed = (*states[:b], others[b], *states[b + 1 :])
            new_rates = node.equations(t, changed, given.again())[0]
            moved = [y - x for x, y in zip(rates, new_rates, strict=True)]
            by_itself = [row[b] * (others[b] - states[b]) for row in node.linear_part(t)]
            for a in range(n):
                small = 1e-12 * (1 + rates[a].abs() + new_rates[a].abs() + abs(by_itself[a]))
                found.moves[a, b] |= bool((moved[a].abs() > small).any())
                found.in_rest[a, b] |= bool(((moved[a] - by_itself[a]).abs() > small).any())
            found.read[b] |= any(
                differs(x, y)
                for old, new in zip(called, given.arguments, strict=True)
                for x, y in zip(old, new, strict=True)
            )
    return found


def follows(node):
    """Which states are followers."""
    return np.array([z in sum(node.followers, ()) for z in node.state_names])


def numbers_of(node):
    """Where L is not the number 0."""
    rows = node.linear_part(torch.tensor(1.3))
    return np.array([[not isinstance(x, float) or x != 0 for x in row] for row in rows])


@every_module
def test_followers_need_the_driven_states_and_those_of_earlier_groups(name):
    node = build(name, 5)
    places = {z: i for i, z in enumerate(node.state_names)}
    level = {places[z]: i for i, group in enumerate(node.followers) for z in group}
    assert sum(map(len, node.followers)) == len(level)
    moves, in_rest, given, _ = graph_of(name)
    for a, number in level.items():
        assert not in_rest[a, a]  # by itself it only relaxes
        before = [level[b] for b in level if b != a and moves[a, b]]
        assert number == 1 + max(before, default=-1)
    assert node.followers_see_f == given[list(level)].any()


@every_module
def test_rests_of_driven_states_do_not_move_by_what_is_in_the_linear_part(name):
    node = build(name, 5)
    numbers, (moves, in_rest, _, _) = numbers_of(node), graph_of(name)
    assert not (numbers & in_rest).any()
    assert not (numbers & ~moves).any()
    is_follower = follows(node)
    mixed = is_follower[:, None] | is_follower[None, :]
    assert not (numbers & mixed & ~np.eye(len(mixed), dtype=bool)).any()


@every_module
def test_rests_are_what_the_linear_part_leaves_of_the_rates(name):
    """And what gives f its values is called with the same, in the same order."""
    node, shape, t = build(name, 5), shape_of(name), torch.tensor(1.3)
    for _ in range(4):
        states, given = states_of(node, shape), Given(shape)
        rates = node.equations(t, states, given)[0]
        called = given.arguments
        rests = node.rests(t, states, given.again())
        assert len(called) == len(given.arguments)
        for old, new in zip(called, given.arguments, strict=True):
            torch.testing.assert_close(new, old, rtol=1e-13, atol=0)
        rows = zip(node.state_names, rates, rests, node.linear_part(t), strict=True)
        for z, rate, rest, row in rows:
            moved = [x * state for x, state in zip(row, states, strict=True)]
            size = 1 + rate.abs() + sum(abs(x) for x in moved)
            assert rest is not None or z in node.linear_only
            assert rest is None or z not in node.linear_only or not rest.any()
            assert ((rate - sum(moved) - (0 if rest is None else rest)) / size).abs().max() < 1e-12


@every_module
def test_the_linear_part_has_every_derivative_that_is_a_number(name):
    """By autograd, at several draws: no other derivative by a driven state is the same at all."""
    node, shape = build(name, 5), shape_of(name)
    t, is_follower, numbers = torch.tensor(1.3), follows(node), numbers_of(node)
    draws = [(states_of(node, shape), Given(shape)) for _ in range(6)]
    for a, b in np.ndindex(numbers.shape):
        if a != b and (is_follower[a] or is_follower[b]):
            continue
        found = [jacobian(node, t, states, given, a, b) for states, given in draws]
        if numbers[a, b]:
            number = torch.as_tensor(node.linear_part(t)[a][b]).detach()
            expected = number * torch.eye(len(found[0]))
            for each in found:
                torch.testing.assert_close(each, expected, rtol=1e-11, atol=1e-11)
        elif graph_of(name).moves[a, b]:
            first = found[0][0, 0] * torch.eye(len(found[0]))
            jumps = not any(each.any() for each in found)  # what moves a rate, but not by a slope
            assert jumps or any((each - first).abs().max() > 1e-9 for each in found)


def jacobian(node, t, states, given, a, b):
    """The derivative of the rate of state a by state b, oracles' values given."""
    node.equations(t, states, given.again())

    def rate(z):
        return node.equations(t, (*states[:b], z, *states[b + 1 :]), given.again())[0][a]

    found = torch.autograd.functional.jacobian(rate, states[b])
    return found.reshape(states[b].numel(), -1)


@every_module
def test_the_relative_degree_counts_integrations(name):
    node = build(name, 5)
    moves, in_rest, given, read = graph_of(name)
    is_follower = follows(node)
    rests = ~is_follower[:, None] & (in_rest | (moves & is_follower[None, :]))
    start, ends = given | rests.any(axis=1), read | rests.any(axis=0)
    known = (moves & ~rests).astype(int)
    paths = [np.linalg.matrix_power(known, k) @ start for k in range(len(known))]
    degrees = [1 + k for k, path in enumerate(paths) if path[ends].any()]
    assert node.relative_degree == min(degrees, default=1)


@every_module
def test_numbers_are_those_of_each_time(name):
    """One number, or one for each of the times, whatever their shape."""
    node = build(name, 5).float()
    times = 0.4 + torch.rand((2, 3), dtype=torch.float64)
    one_by_one = [node.linear_part(t) for t in times.flatten()]
    rows, n = node.linear_part(times), len(node.state_names)
    assert [len(row) for row in rows] == [n] * n
    for a, b in np.ndindex(n, n):
        number = rows[a][b]
        assert isinstance(number, float) or number.shape in ((), times.shape)
        expected = torch.stack([torch.as_tensor(each[a][b]).double() for each in one_by_one])
        found = torch.as_tensor(number).double().expand(times.shape).flatten()
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_there_are_numbers_that_depend_on_time_and_rests_with_states():
    """So that the tests above see each kind."""
    assert build("nesterov", 5).linear_part(torch.ones(7))[1][1].shape == (7,)
    assert numbers_of(build("elastic_averaging", 5)).all()
    assert build("adabelief", 5).followers == (("v",), ("h",))
    adam, other = graph_of("adam"), graph_of("generalized_heavy_ball")
    assert adam.moves.tolist() == [[0, 1, 1], [0, 1, 0], [0, 0, 1]]
    assert adam.in_rest.tolist() == [[0, 1, 1], [0, 0, 0], [0, 0, 0]]
    assert adam.given.tolist() == [0, 1, 1]
    assert adam.read.tolist() == [1, 0, 0]
    assert other.in_rest.tolist() == [[0, 1], [1, 0]]
