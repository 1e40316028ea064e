"""How the states follow from f: against answers typed by hand, and against graphs by matrix powers."""

from __future__ import annotations

from itertools import chain, combinations

import numpy as np
import pytest
import sympy as sp

from optode.compiler import derive
from optode.language.conditions import where
from optode.language.elementwise import relu, step
from optode.language.matrices import MatrixFunction, matmul, trace
from optode.language.symbols import TIME, Field, Oracle, Tangent, dot, mean, symbol, total
from optode.model.following import derive_following
from optode.model.model import Initial, LearnedParameter, NeuralODE
from optode.show.as_json import as_json

h, m, p, q, v, gamma, c = map(symbol, ["h", "m", "p", "q", "v", "gamma", "c"])
t, f = TIME, Field(TIME, h)

# Groups, those of one step apart by commas; held states; rates; the relative degree.
# Typed from the equations of the papers.
SHIPPED = {
    # of first order: f moves the position itself
    "gradient_descent": ("h", "", {}, 1),
    "normalized_descent": ("h", "", {}, 1),
    "learning_rate_decay": ("h", "", {}, 1),
    "weight_decay": ("h", "", {"h": "decay"}, 1),
    "tikhonov": ("h", "", {"h": "c/(t + 1)"}, 1),
    "frank_wolfe": ("h", "", {"h": "1"}, 1),
    "mirror_descent": ("z", "", {}, 1),
    "polyak_average": ("h > a", "", {"a": "1/t"}, 1),
    "adagrad": ("v > h", "", {}, 1),
    "rmsprop": ("v > h", "", {"v": "b"}, 1),
    "rmsprop_centered": ("mean_g > w > h", "", {"mean_g": "a", "w": "a"}, 1),
    "anchored_gradient": ("z_ref > h", "", {"h": "gamma/t"}, 1),
    "frank_wolfe_momentum": ("h, m", "", {"h": "1", "m": "r"}, 1),
    # of first order: an oracle reads a state that f moves, or moves the position besides
    "second_order": ("v > x", "", {}, 1),
    "momentum_sam": ("v > h", "", {"v": "gamma"}, 1),
    "hessian_damping": ("v > h", "", {"v": "gamma"}, 1),
    "storm": ("m > h", "", {"m": "alpha"}, 1),
    "qhm": ("m > h", "", {"m": "alpha"}, 1),
    "schedulefree_sgd": ("z > h", "", {"h": "1/t"}, 1),
    "muon": ("h, m", "", {"m": "alpha"}, 1),
    "shampoo": ("h, left, right", "", {}, 1),
    # of second order
    "heavy_ball": ("m > h", "", {"m": "gamma"}, 2),
    "heavy_ball_undamped": ("m > h", "", {}, 2),
    "heavy_ball_strongly_convex": ("m > h", "", {"m": "2*sqrt(mu)"}, 2),
    "nesterov": ("m > h", "", {"m": "3/t"}, 2),
    "nesterov_generalized": ("m > h", "", {"m": "r/t"}, 2),
    "hamiltonian_descent": ("p > h", "", {"p": "gamma"}, 2),
    "sgdw": ("v > h", "", {"h": "c", "v": "gamma"}, 2),
    "aggmo": ("v1, v2, v3 > h", "", {"v1": "a1", "v2": "a2", "v3": "a3"}, 2),
    "adam": ("m, v > h", "", {"m": "alpha", "v": "beta"}, 2),
    "adamw": ("m, v > h", "", {"h": "decay", "m": "alpha", "v": "beta"}, 2),
    "adamc": ("m, v > h", "", {"h": "decay/(c*t + 1)**2", "m": "alpha", "v": "beta"}, 2),
    "adabelief": ("m > v > h", "", {"m": "alpha", "v": "beta"}, 2),
    "laprop": ("v > m > h", "", {"m": "alpha", "v": "beta"}, 2),
    "adamg": ("v > r > m > h", "", {"m": "alpha", "v": "beta", "r": "gamma"}, 2),
    # with a cycle of several states
    "generalized_heavy_ball": ("m > h", "h", {"m": "gamma"}, 2),
    "adam_l2": ("m, v > h", "h", {"m": "alpha", "v": "beta"}, 2),
    "sgd": ("b > h", "h", {"b": "gamma"}, 2),
    "elastic_averaging": ("c > h", "h", {"h": "rho", "c": "rho"}, 1),
    "schedulefree_adamw": ("v > z > h", "h", {"h": "1/t", "z": "decay*(1 - beta)", "v": "b"}, 1),
    # with a state that needs itself
    "yogi": ("m, v > h", "v", {"m": "alpha"}, 1),
    "adamax": ("m, u > h", "u", {"m": "alpha"}, 1),
    "exponentiated_gradient": ("h", "h", {}, 1),
    "fromage": ("h", "h", {}, 1),
    "fista": ("theta > m > h", "m", {}, 1),
    "adai": ("v > m > h", "m", {"v": "beta"}, 1),
    "adadelta": ("v > w > h", "w", {"v": "r"}, 1),
    "dog": ("x_ref, q > h > r", "r", {}, 1),
}


def named(found):
    """The groups and the held states as they are typed here."""
    groups = " > ".join(", ".join(map(str, layer)) for layer in found.layers)
    return groups, ", ".join(map(str, found.held))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_models_by_hand(name):
    model = derive(name).model
    found = derive_following(model)
    layers, held, rates, degree = SHIPPED[name]
    assert (*named(found), found.relative_degree) == (layers, held, degree)
    names = {s.name: s for e in model.equations for s in e.free_symbols} | {"t": TIME}
    for state, rate in zip(model.states, found.rates, strict=True):
        typed = sp.sympify(rates.get(state.name, "0"), locals=names)
        assert sp.simplify(rate - typed) == 0, (state, rate)


def model(equations, *, per_feature=False, is_matrix=False):
    """A model of these equations; what is in them besides the states and the time is learned."""
    others = set().union(*(sp.sympify(e).free_symbols for e in equations.values()))
    learned = sorted(others - {TIME, *equations}, key=str)
    return NeuralODE(
        "own", "Own", "", (), tuple(equations),
        tuple(LearnedParameter(x, init=0.5, per_feature=per_feature) for x in learned),
        tuple(map(sp.sympify, equations.values())),
        (Initial("given"), *[Initial("zero")] * (len(equations) - 1)),
        (1.0, 2.0), (), is_matrix=is_matrix,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("equations", "layers", "held", "degree"),
    [
        ({h: m, m: p, p: f}, "p > m > h", "", 3),
        ({h: m, m: p - m, p: f - t * p}, "p > m > h", "", 3),
        ({h: m, m: p, p: q, q: f}, "q > p > m > h", "", 4),
        ({h: m, m: p + f, p: f}, "p > m > h", "", 2),
        # cycles: of three, with the position; without it, the farther of two
        ({h: sp.tanh(m), m: sp.tanh(p), p: f - sp.tanh(h)}, "p > m > h", "h", 3),
        ({h: m, m: p**2, p: f - sp.sin(m)}, "p > m > h", "m", 2),
        # one state in two cycles is fewer than the position and another
        ({h: m, m: f - h - p, p: sp.tanh(m)}, "h, p > m", "m", 1),
        # f does not reach the cycle: the first state of it
        ({h: m + p, m: f, p: sp.sin(q), q: sp.cos(p)}, "m, q > p > h", "p", 2),
        # a held state that others outside of its cycle know by then
        ({h: p, p: v, v: f - v**3}, "v > p > h", "v", 1),
        # two cycles apart from each other
        ({h: m, m: f - h, p: q, q: p + m}, "m > h, q > p", "h, p", 2),
        # what no oracle drives, and what no oracle reads
        ({h: -h}, "h", "", 1),
        ({h: m, m: -m}, "m > h", "", 1),
        ({h: Field(t, m), m: sp.S.Zero}, "h, m", "", 1),
    ],
)  # fmt: skip
def test_chains_and_cycles(equations, layers, held, degree):
    found = derive_following(model(equations))
    groups, kept = named(found)
    typed = [sorted(layer.split(", ")) for layer in layers.split(" > ")]
    assert ([sorted(x.split(", ")) for x in groups.split(" > ")], kept) == (typed, held)
    assert found.relative_degree == degree


RELAXING = [
    (-gamma * m + f, gamma),
    (gamma * m + f, -gamma),  # it grows
    (-3 * m / t + f, 3 / t),
    (-(1 + sp.sin(t)) * m * sp.exp(-t) + f, (1 + sp.sin(t)) * sp.exp(-t)),
    (-m * relu(t - gamma) + f, relu(t - gamma)),
    (where(step(t - 1), -m, -2 * m) + f, -where(step(t - 1), -1, -2)),
    (c * (gamma * (f - m) - m), c * (gamma + 1)),
    ((f - m) / (1 + gamma * t) - m / t, 1 / (1 + gamma * t) + 1 / t),
    (((m + 1) ** 2 - (m - 1) ** 2) / 4 + f, -1),  # linear once it is multiplied out
    (-m + Field(t, h + m), 1),  # f is given, whatever it reads
    (-m + Tangent(f, m) + dot(f, h), 1),
    (-gamma * m + Oracle("lmo", m), gamma),
    (-m + MatrixFunction("polar", m), 1),
    (-m + mean(sp.tanh(h)) * h, 1),  # what is reduced is another state
]


@pytest.mark.parametrize(("equation", "rate"), RELAXING, ids=str)
def test_states_that_relax(equation, rate):
    found = derive_following(model({h: sp.tanh(m), m: equation}))
    assert found.rates[0] == 0
    assert sp.simplify(found.rates[1] - rate) == 0
    assert m not in found.held


def test_what_is_held_relaxes_all_the_same():
    found = derive_following(model({h: sp.tanh(m) - c * h, m: f - gamma * m - h}))
    assert named(found) == ("m > h", "h")
    assert found.rates == (c, gamma)


NEEDING_THEMSELVES = [
    f - m**3,
    f - m * h,
    f * m,
    -m / (1 + sp.Abs(h)) + f,
    -m + sp.tanh(m) + f,
    -sp.Abs(m) + f,
    -relu(m) + f,
    sp.sign(f - m),
    where(step(m), 1, 2) * f,
    -m * sp.sqrt(dot(f, f)),
    -m + mean(m) + f,
    -total(m) + f,
    f - m * total(sp.S.One),  # the number of features is not known before there are states
    f - m / sp.sqrt(dot(m, m)),
    f - matmul(m, m),
    f - matmul(h, m),
    f - trace(m),
]


@pytest.mark.parametrize("equation", NEEDING_THEMSELVES, ids=str)
def test_states_that_need_themselves_are_held(equation):
    matrix = bool(equation.atoms(matmul, trace))
    found = derive_following(model({h: f + q, m: equation, q: m}, is_matrix=matrix))
    assert m in found.held
    assert found.rates == (0, 0, 0)


def test_a_rate_of_each_feature_is_not_one_number():
    equations = {h: m, m: -gamma * m + f}
    shared, own = (derive_following(model(equations, per_feature=x)) for x in (False, True))
    assert (shared.rates, shared.held, shared.relative_degree) == ((0, gamma), (), 2)
    assert (own.rates, own.held, own.relative_degree) == ((0, 0), (m,), 1)


# Graphs drawn at random


def is_free_of_cycles(graph):
    """A power of the matrix of a graph without cycles is zero."""
    return not np.linalg.matrix_power(graph, len(graph)).any()


def cut(graph, chosen):
    """The graph without what is read of the chosen."""
    left = graph.copy()
    left[:, list(chosen)] = 0
    return left


def distances(graph, driven):
    """By powers: how many steps from what is driven, one more for each; n + 1 without a way."""
    n, found = len(graph), []
    for z in range(n):
        steps = (k for k in range(n) if (np.linalg.matrix_power(graph, k) @ driven)[z])
        found.append(1 + next(steps, n))
    return found


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs_are_cut_where_it_costs_least(seed):
    random, n = np.random.default_rng(seed), 5
    graph = (random.random((n, n)) < (0.2, 0.35, 0.5)[seed % 3]).astype(int)
    driven = (random.random(n) < 0.4).astype(int)
    states = [symbol(f"z{i}") for i in range(n)]
    equations = {
        z: sum((sp.sin((1 + j) * states[j]) for j in range(n) if graph[i, j]), sp.S.Zero)
        + driven[i] * Field(t, states[0])
        for i, z in enumerate(states)
    }
    found = derive_following(model(equations))
    held = {states.index(z) for z in found.held}
    sets = chain.from_iterable(combinations(range(n), k) for k in range(n + 1))
    opening = [set(s) for s in sets if is_free_of_cycles(cut(graph, s))]
    smallest = [s for s in opening if len(s) == min(map(len, opening))]
    assert held in smallest
    assert (0 in held) == any(0 in s for s in smallest)
    alike = [s for s in smallest if (0 in s) == (0 in held)]
    far = distances(graph, driven)
    assert sum(far[z] for z in held) == max(sum(far[z] for z in s) for s in alike)

    level = {states.index(z): i for i, layer in enumerate(found.layers) for z in layer}
    assert sorted(level) == list(range(n))
    reach = np.linalg.matrix_power(np.eye(n, dtype=int) + graph, n)
    for i, j in zip(*graph.nonzero(), strict=True):
        assert level[j] < level[i] or (j in held and reach[j, i])
    known = np.array([[graph[i, j] * (level[j] < level[i]) for j in range(n)] for i in range(n)])
    for i in range(n):
        before = [level[j] for j in range(n) if known[i, j]]
        assert level[i] == max(before, default=-1) + 1
    given = [i for i in range(n) if driven[i] or (graph - known)[i].any()]
    read = {0, *held} if driven.any() else held
    degrees = [distances(known, np.isin(range(n), given).astype(int))[z] for z in read]
    expected = min((d for d in degrees if d <= n), default=1)
    assert found.relative_degree == expected


def test_many_states_in_one_cycle_are_cut_in_little_time():
    """Each of fifteen needs all others: one alone may be left."""
    states = [symbol(f"z{i}") for i in range(15)]
    everything = sp.Add(*map(sp.sin, states))
    found = derive_following(
        model({z: everything - sp.sin(z) + Field(t, states[0]) for z in states})
    )
    assert len(found.held) == 14
    assert states[0] in found.held


# In words


ORDERS = {
    "gradient_descent": ("f", "h"),
    "weight_decay": ("f", "h relaxes at decay"),
    "adam": ("f", "m and v relax at alpha and beta, then h"),
    "adamw": ("f", "m and v relax at alpha and beta, then h relaxes at decay"),
    "adafactor_factored": ("f", "r and c relax at b, then h"),
    "aggmo": ("f", "v1, v2 and v3 relax at a1, a2 and a3, then h"),
    "generalized_heavy_ball": ("f and h", "m relaxes at gamma, then h"),
    "yogi": ("f and v", "m relaxes at alpha, beside v, then h"),
    "kate": ("f", "b and w, then h"),
}


@pytest.mark.parametrize("name", ORDERS)
def test_the_order_in_words(name):
    given, order = ORDERS[name]
    shown = derive(name).show("stepper").splitlines()
    assert shown[-4:-2] == [f"  given {given} along the solution", f"    order = {order}"]
    for form in ("latex", "markdown"):
        assert rf"\text{{{order}}}" in derive(name).show("stepper", form=form).replace("\\_", "_")


def test_the_order_as_json():
    document = as_json("ghb", derive("generalized_heavy_ball").stages("stepper"))["stepper"]
    assert document["following"] == {
        "layers": [["m"], ["h"]],
        "held": ["h"],
        "rates": {"h": "0", "m": "gamma"},
        "relative_degree": 2,
    }
    document = as_json("nesterov", derive("nesterov").stages("stepper"))["stepper"]
    assert document["following"]["rates"] == {"h": "0", "m": "3/t"}
