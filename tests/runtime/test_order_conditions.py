"""The coefficients of Runge-Kutta methods: what the conditions of their orders refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from order_conditions import RUNGE_KUTTA, rooted_trees
from torchode.single_step_methods import Tsit5


def test_rooted_trees():
    """Cayley's numbers, and those of order 4 by hand: their branches."""
    assert [len(rooted_trees(n)) for n in range(1, 8)] == [1, 1, 2, 4, 9, 20, 48]
    leaf = ()
    chain = (leaf,)
    by_hand = {((chain,),), ((leaf, leaf),), (chain, leaf), (leaf, leaf, leaf)}
    assert set(rooted_trees(4)) == by_hand


def test_tsit5_is_torchodes():
    table, theirs = RUNGE_KUTTA["tsit5"], Tsit5.TABLEAU
    rows = [list(row) + [0.0] * (7 - len(row)) for row in table.rows]
    np.testing.assert_allclose(rows, theirs.a.numpy(), rtol=1e-15, atol=0)
    np.testing.assert_allclose(table.nodes, theirs.c.numpy(), rtol=1e-15, atol=0)
    np.testing.assert_allclose(table.weights, theirs.b.numpy(), rtol=1e-15, atol=0)
    # an error has no sign
    np.testing.assert_allclose(np.abs(table.errors), np.abs(theirs.b_err.numpy()), rtol=1e-15)


TSIT5 = RUNGE_KUTTA["tsit5"]
NUDGED = [("nodes", i) for i in range(7)] + [("errors", i) for i in range(7)]


@pytest.mark.parametrize(("part", "index"), NUDGED)
def test_every_number_of_tsit5_is_checked(part, index):
    values = list(getattr(TSIT5, part))
    values[index] += 1e-9
    with pytest.raises(ValueError, match=r"^tsit5: the (row of stage|sum of b\^)"):
        replace(TSIT5, **{part: tuple(values)})


@pytest.mark.parametrize(("row", "column"), [(i, j) for i in range(1, 7) for j in range(i)])
def test_every_row_of_tsit5_is_checked(row, column):
    """Also where two of its numbers change so that their sum does not."""
    rows = [list(each) for each in TSIT5.rows]
    rows[row][column] += 1e-9
    with pytest.raises(ValueError, match=r"^tsit5: the (row of stage|last stage)"):
        replace(TSIT5, rows=tuple(map(tuple, rows)))
    if row > 1:
        rows[row][(column + 1) % row] -= 1e-9
        weights = (*rows[-1], 0.0)
        with pytest.raises(ValueError, match=r"^tsit5: the sum of b over"):
            replace(TSIT5, rows=tuple(map(tuple, rows)), weights=weights)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": TSIT5.rows[:-1]}, "not strictly lower triangular"),
        ({"errors": TSIT5.errors[1:]}, "not one weight and error"),
        ({"weights": (*TSIT5.weights[:-1], 0.1)}, "the sum of b over"),
        ({"order": 6}, "the sum of b over"),
        ({"embedded_order": 5}, r"the sum of b\^ over"),
    ],
    ids=str,
)
def test_tables_that_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(TSIT5, **changes)
