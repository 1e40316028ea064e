"""Steps that are spread by a density: each has as much of it, whatever the times are."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from optode.runtime.equidistribution import CELLS, EVEN, SHARE, density_of, parts_of

KNOTS = {"one": (0.0, 2.0), "three": (1.0, 1.25, 1.3, 3.0), "whole cells": (0.0, 0.25, 1.0)}


def mass(density, a, b):
    """The integral of a density, by what each cell has in common with an interval."""
    total = 0.0
    for k, value in enumerate(density):
        low, high = max(a, k / CELLS), min(b, (k + 1) / CELLS)
        total += value * max(0.0, high - low)
    return total


@pytest.mark.parametrize("count", [2, 3, 16])
@pytest.mark.parametrize("name", KNOTS)
def test_steps_of_an_interval_have_equal_parts(name, count):
    density = density_of((0.0, 0.1, 0.4, 0.9, 1.0), (5.0, 1.0, 0.2, 3.0))
    knots = KNOTS[name]
    length = knots[-1] - knots[0]
    for (a, b), parts in zip(pairwise(knots), parts_of(density, knots, count), strict=True):
        assert len(parts) == count + 1
        ends = [(a - knots[0] + (b - a) * x) / length for x in parts]
        each = [mass(density, x, y) for x, y in pairwise(ends)]
        assert each == pytest.approx([mass(density, ends[0], ends[-1]) / count] * count, rel=1e-9)


def test_an_even_density_has_equal_steps():
    (parts,) = parts_of(EVEN, (0.0, 5.0), 8)
    assert parts == pytest.approx([k / 8 for k in range(9)], abs=1e-15)
    assert density_of((0.0, 0.5, 1.0), (0.0, 0.0)) == EVEN
    assert density_of((0.0, 0.5, 1.0), (2.0, 2.0)) == pytest.approx(EVEN)


def test_a_density_has_mean_one_and_is_never_small():
    density = density_of((0.0, 0.01, 1.0), (1.0, 0.0))
    assert sum(density) / CELLS == pytest.approx(1.0)
    assert min(density) == pytest.approx(SHARE / (1 + SHARE))


def test_spread_steps_are_those_of_a_known_error():
    """An error (w(s) H)^5, w(s) = exp(-3 s): equal shares of the integral of w, in few solves."""
    w = lambda a, b: (math.exp(-3 * a) - math.exp(-3 * b)) / 3  # noqa: E731
    count, density = 16, EVEN
    for _ in range(6):
        (ends,) = parts_of(density, (0.0, 1.0), count)
        density = density_of(ends, [w(a, b) for a, b in pairwise(ends)])
    # the density found is w over its mean, with SHARE added
    reached = [(w(0, x) / w(0, 1) + SHARE * x) / (1 + SHARE) for x in ends]
    assert reached == pytest.approx([k / count for k in range(count + 1)], abs=2e-3)
    shares = [w(a, b) for a, b in pairwise(ends)]
    even = [w(k / count, (k + 1) / count) for k in range(count)]
    assert max(shares) / (sum(shares) / count) < 1.15
    assert max(even) / (sum(even) / count) > 2.5


def test_times_that_stand_still_have_steps_all_the_same():
    assert parts_of(EVEN, (0.0, 0.0), 2) == [[0.0, 0.0, 1.0]]
    assert parts_of(EVEN, (0.0, 0.0, 1.0), 2) == [[0.0, 0.0, 1.0], pytest.approx([0.0, 0.5, 1.0])]
