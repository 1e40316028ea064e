"""The coefficients of the steppers: what their conditions refuse, and the orders they reach."""

from __future__ import annotations

import functools
import itertools
import random
import re
from dataclasses import fields, replace
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy as sp
from order_conditions import (
    NYSTROM,
    RUNGE_KUTTA,
    SPLITTINGS,
    Nystrom,
    Splitting,
    rooted_trees,
    trees,
)
from scipy.integrate import solve_ivp
from torchode.single_step_methods import Tsit5

SMALL = Fraction(1, 10**6)
VECTORS = ("nodes", "positions", "velocities", "position_errors", "velocity_errors")


def test_trees_by_hand():
    assert [[str(tree) for tree in trees(order)] for order in range(1, 7)] == [
        ["1"],
        ["c"],
        ["c^2", "(A 1)"],
        ["c^3", "(A c)", "c (A 1)"],
        ["c^4", "(A c^2)", "(A (A 1))", "c (A c)", "c^2 (A 1)", "(A 1) (A 1)"],
        [
            "c^5",
            "(A c^3)",
            "(A (A c))",
            "(A c (A 1))",
            "c (A c^2)",
            "c (A (A 1))",
            "c^2 (A c)",
            "(A c) (A 1)",
            "c^3 (A 1)",
            "c (A 1) (A 1)",
        ],
    ]


def test_number_of_trees():
    """By their generating function, ``T = x/(1 - x) prod_n (1 - x^(n+1))^(-T_n)``."""
    last = 9
    series = [0] + [1] * last
    for order in range(1, last - 1):
        for _ in range(series[order]):
            for power in range(order + 1, last + 1):
                series[power] += series[power - order - 1]
    assert series[1:] == [1, 1, 2, 3, 6, 10, 20, 36, 72]
    assert [len(trees(order)) for order in range(1, last + 1)] == series[1:]
    assert all(tree.order == order for order in range(1, last + 1) for tree in trees(order))


def test_densities_by_hand():
    """The order, and for a branch its density and one more than its order."""
    found = {str(tree): tree.density for order in range(1, 7) for tree in trees(order)}
    assert found["c^5"] == 6
    assert found["(A c)"] == 4 * 3 * 2
    assert found["(A 1) (A 1)"] == 5 * 2 * 2
    assert found["c^2 (A 1)"] == 5 * 2
    assert found["(A (A c))"] == 6 * 5 * 4 * 3 * 2


def test_methods():
    assert {m.name: (m.order, m.embedded_order, len(m.nodes)) for m in NYSTROM.values()} == {
        "nystrom4": (4, 3, 4),
        "nystrom5": (5, 3, 4),
        "nystrom6": (6, 4, 6),
    }
    assert {name for name, method in NYSTROM.items() if method.ends_as_next} == {
        "nystrom4",
        "nystrom6",
    }
    assert [len(method.kicks) for method in SPLITTINGS.values()] == [1, 6]


def coefficients():
    for name, method in NYSTROM.items():
        for vector in VECTORS:
            for index in range(len(method.nodes)):
                yield name, vector, (index,)
        for row, column in itertools.combinations(range(len(method.nodes)), 2):
            yield name, "rows", (column, row)


@pytest.mark.parametrize(("name", "vector", "place"), list(coefficients()))
def test_a_wrong_coefficient_is_refused(name, vector, place):
    changed = list(getattr(NYSTROM[name], vector))
    first, *rest = place
    if rest:
        changed[first] = tuple(
            a + SMALL if column == rest[0] else a for column, a in enumerate(changed[first])
        )
    else:
        changed[first] += SMALL
    said = {
        "nodes": f"the row of stage {first + 1} does not sum to c^2/2",
        "rows": f"the row of stage {first + 1} does not sum to c^2/2",
        "positions": "sum b 1 is not 1/2",
        "velocities": "sum b' 1 is not 1",
        "position_errors": "sum b^ 1 is not 1/2",
        "velocity_errors": "sum b'^ 1 is not 1",
    }
    with pytest.raises(ValueError, match=f"^{name}: {re.escape(said[vector])}$"):
        replace(NYSTROM[name], **{vector: tuple(changed)})


@pytest.mark.parametrize(
    ("name", "tree"),
    [
        ("nystrom4", r"sum b' \(A c\) is not 1/24"),
        ("nystrom5", r"sum b' \(A c\) is not 1/24"),
        ("nystrom6", r"sum b' \(A c\) is not 1/24"),
    ],
)
def test_a_row_with_the_right_sum_is_refused(name, tree):
    *rows, (first, second, *rest) = NYSTROM[name].rows
    with pytest.raises(ValueError, match=tree):
        replace(NYSTROM[name], rows=(*rows, (first - SMALL, second + SMALL, *rest)))


@functools.cache
def generic():
    """A method of order 6 of random stages, with weights that its conditions alone determine.

    Trees with (A 1) are left out: it is c^2/2 in rows with that sum. Also the inverse of the
    conditions.
    """
    draw = random.Random(5)
    kept = {o: [t for t in trees(o) if "(A 1)" not in str(t)] for o in range(1, 7)}
    number = sum(map(len, kept.values()))
    nodes = tuple(Fraction(i, number - 1) for i in range(number))
    rows = []
    for index, node in enumerate(nodes):
        row = [Fraction(draw.randint(-9, 9), 10) for _ in range(index)]
        rows.append((*row[:-1], node**2 / 2 - sum(row[:-1])) if row else ())
    conditions = [t for o in range(1, 7) for t in kept[o]]
    matrix = sp.Matrix([[sp.Rational(v) for v in t.stages(nodes, rows)] for t in conditions])
    return conditions, nodes, tuple(rows), matrix.inv()


def weights(values):
    found = generic()[-1] * sp.Matrix([sp.Rational(value) for value in values])
    return tuple(Fraction(int(w.p), int(w.q)) for w in found)


@functools.cache
def exact_weights():
    conditions = generic()[0]
    return (
        weights([Fraction(1, tree.density * (tree.order + 1)) for tree in conditions]),
        weights([Fraction(1, tree.density) for tree in conditions]),
    )


@pytest.mark.parametrize("index", range(13))
def test_every_condition_alone_is_checked(index):
    conditions, nodes, rows, _ = generic()
    positions, velocities = exact_weights()
    change = weights([SMALL if place == index else 0 for place in range(len(conditions))])
    tree = conditions[index]
    Nystrom("generic", 6, nodes, rows, positions, velocities)
    wrong = tuple(w + c for w, c in zip(velocities, change, strict=True))
    said = re.escape(f"sum b' {tree} is not {Fraction(1, tree.density)}")
    with pytest.raises(ValueError, match=f"^generic: {said}$"):
        Nystrom("generic", 6, nodes, rows, positions, wrong)
    wrong = tuple(w + c for w, c in zip(positions, change, strict=True))
    if tree.order == 6:
        Nystrom("generic", 6, nodes, rows, wrong, velocities)
        return
    said = re.escape(f"sum b {tree} is not {Fraction(1, tree.density * (tree.order + 1))}")
    with pytest.raises(ValueError, match=f"^generic: {said}$"):
        Nystrom("generic", 6, nodes, rows, wrong, velocities)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rows": NYSTROM["nystrom4"].rows[:-1]}, "rows are not strictly lower"),
        ({"positions": NYSTROM["nystrom4"].positions[:-1]}, "not one weight for each stage"),
        ({"velocity_errors": ()}, "not one error for each stage"),
        ({"position_errors": (Fraction(0),) * 4}, "or all are 0"),
        ({"embedded_order": 4}, "embedded pair is not of lower order"),
        ({"embedded_order": 0}, "embedded pair is not of lower order"),
    ],
)
def test_a_wrong_shape_is_refused(change, said):
    with pytest.raises(ValueError, match=f"^nystrom4: .*{said}"):
        replace(NYSTROM["nystrom4"], **change)


@pytest.mark.parametrize("name", NYSTROM)
def test_the_embedded_pair_sees_every_term_of_the_next_order(name):
    """No error of the next order hides from the estimate."""
    method = NYSTROM[name]
    for errors, order in (
        (method.velocity_errors, method.embedded_order + 1),
        (method.position_errors, method.embedded_order),
    ):
        for tree in trees(order):
            stages = tree.stages(method.nodes, method.rows)
            assert sum(e * value for e, value in zip(errors, stages, strict=True)), str(tree)


def solution(time):
    return np.array([mpmath.sin(time), mpmath.exp(-time / 2)])


def force(time, position):
    """Nonlinear in the position and dependent on time."""
    first, second = position
    return np.array([mpmath.sin(first + time) * second, mpmath.cos(second) - time * first**2])


def acceleration(time, position):
    """Has the solution above."""
    exact = solution(time)
    return np.array([-1, mpmath.mpf(1) / 4]) * exact + force(time, position) - force(time, exact)


def nystrom_error(method, number):
    """Of position and velocity at t = 1 after the steps."""
    length = mpmath.mpf(1) / number
    nodes, positions, velocities = (
        [mpmath.mpf(x.numerator) / x.denominator for x in getattr(method, vector)]
        for vector in ("nodes", "positions", "velocities")
    )
    rows = [[mpmath.mpf(x.numerator) / x.denominator for x in row] for row in method.rows]
    y, v = solution(0), np.array([mpmath.mpf(1), mpmath.mpf(-1) / 2])
    for step in range(number):
        slopes = []
        for node, row in zip(nodes, rows, strict=True):
            change = sum((a * k for a, k in zip(row, slopes, strict=True)), 0 * y)
            stage = y + node * length * v + length**2 * change
            slopes.append(acceleration((step + node) * length, stage))
        y = y + length * v + length**2 * sum(b * k for b, k in zip(positions, slopes, strict=True))
        v = v + length * sum(b * k for b, k in zip(velocities, slopes, strict=True))
    velocity = np.array([mpmath.cos(1), -mpmath.exp(mpmath.mpf(-1) / 2) / 2])
    return max(abs(y - solution(1))), max(abs(v - velocity))


def embedded(method):
    """The method that goes on with the embedded pair."""
    positions, velocities = (
        tuple(w - e for w, e in zip(weights, errors, strict=True))
        for weights, errors in (
            (method.positions, method.position_errors),
            (method.velocities, method.velocity_errors),
        )
    )
    return Nystrom(
        f"{method.name}, embedded",
        method.embedded_order,
        method.nodes,
        method.rows,
        positions,
        velocities,
    )


RUNS = [*NYSTROM.values(), *map(embedded, NYSTROM.values())]


@pytest.mark.parametrize("method", RUNS, ids=lambda method: method.name)
def test_order_of_a_nystrom_method(method):
    with mpmath.workdps(40):
        coarse, fine = (nystrom_error(method, number) for number in (64, 128))
        for kind, before, after in zip(("y", "y'"), coarse, fine, strict=True):
            observed = float(mpmath.log(before / after, 2))
            assert abs(observed - method.order) < 0.1, (kind, observed, float(after))


@pytest.mark.parametrize("method", RUNS, ids=lambda method: method.name)
def test_an_order_too_high_is_refused(method):
    with pytest.raises(ValueError, match=rf"^{method.name}: sum b'? .* is not 1/\d+$"):
        replace(method, order=method.order + 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({0: 1e-6}, "drifts do not sum to 1"),
        ({7: 1e-6}, "kicks do not sum to 1"),
        ({0: 1e-6, 1: -1e-6}, "drifts are not a palindrome"),
        ({7: 1e-6, 8: -1e-6}, "kicks are not a palindrome"),
        ({0: 1e-6, 1: -1e-6, 5: -1e-6, 6: 1e-6}, "coefficient of [XY]{3} is not 1/6"),
        ({7: 1e-6, 8: -1e-6, 11: -1e-6, 12: 1e-6}, "coefficient of [XY]{3} is not 1/6"),
    ],
)
def test_a_wrong_splitting_is_refused(change, said):
    method = SPLITTINGS["splitting4"]
    lengths = [
        length + change.get(place, 0.0)
        for place, length in enumerate((*method.drifts, *method.kicks))
    ]
    with pytest.raises(ValueError, match=f"^splitting4: the {said}$"):
        replace(method, drifts=tuple(lengths[:7]), kicks=tuple(lengths[7:]))


def test_a_splitting_of_too_high_an_order_is_refused():
    with pytest.raises(ValueError, match=r"coefficient of [XY]{3} is not 1/6"):
        replace(SPLITTINGS["splitting2"], order=3)
    with pytest.raises(ValueError, match=r"coefficient of [XY]{5} is not 1/120"):
        replace(SPLITTINGS["splitting4"], order=5)
    with pytest.raises(ValueError, match="not one drift more than kicks"):
        Splitting("short", 1, (1.0,), (1.0,))


def rates(time, state):
    """The position moves by a function of the momentum alone, the momentum relaxes."""
    position, momentum = state
    return np.array([np.sin(momentum) + 1, np.cos(2 * position + time) - 0.7 * momentum])


def splitting_error(method, number, exact):
    length = 2 / number
    time, position, momentum = 0.0, 0.3, -0.4
    for _ in range(number):
        for drift, kick in zip(method.drifts, (*method.kicks, 0.0), strict=True):
            position += drift * length * (np.sin(momentum) + 1)
            time += drift * length
            rest = np.cos(2 * position + time) / 0.7
            momentum = rest + (momentum - rest) * np.exp(-0.7 * kick * length)
    return np.linalg.norm([position - exact[0], momentum - exact[1]])


@pytest.mark.parametrize("name", SPLITTINGS)
def test_order_of_a_splitting(name):
    exact = solve_ivp(rates, (0, 2), [0.3, -0.4], method="DOP853", rtol=1e-13, atol=1e-14).y[:, -1]
    method = SPLITTINGS[name]
    coarse, fine = (splitting_error(method, number, exact) for number in (32, 64))
    assert abs(np.log2(coarse / fine) - method.order) < 0.1


def test_methods_compare_and_are_hashed_by_their_coefficients():
    assert len({*NYSTROM.values(), *SPLITTINGS.values()}) == 5
    assert {f.name for f in fields(Splitting)} == {"name", "order", "drifts", "kicks"}


# Runge-Kutta methods


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
