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

ADAM = {"m m": "-alpha", "v v": "-beta"}

# The groups of followers, with f where one sees it; what is not 0 of L; the relative degree.
# Typed from the equations of the papers.
SHIPPED = {
    # linear, of first order: f moves the position, or reads what it moves
    "gradient_descent": ("", {}, 1),
    "normalized_descent": ("", {}, 1),
    "weight_decay": ("", {"h h": "-decay"}, 1),
    "tikhonov": ("", {"h h": "-c/(t + 1)"}, 1),
    "frank_wolfe": ("", {"h h": "-1"}, 1),
    "mirror_descent": ("", {}, 1),
    "polyak_average": ("", {"a h": "1/t", "a a": "-1/t"}, 1),
    "anchored_gradient": ("", {"h h": "-gamma/t", "h z_ref": "gamma/t"}, 1),
    "frank_wolfe_momentum": ("", {"h h": "-1", "m m": "-r"}, 1),
    "elastic_averaging": ("", {"h h": "-rho", "h c": "rho", "c h": "rho", "c c": "-rho"}, 1),
    "second_order": ("", {"x v": "1"}, 1),
    "momentum_sam": ("", {"h v": "1", "v v": "-gamma"}, 1),
    "hessian_damping": ("", {"h v": "1", "v v": "-gamma"}, 1),
    "storm": ("", {"h m": "-1", "m m": "-alpha"}, 1),
    "qhm": ("", {"h m": "-nu", "m m": "-alpha"}, 1),
    "pid": ("", {"h i": "1", "h w": "d", "i i": "-a", "w w": "-a"}, 1),
    "schedulefree_sgd": ("", {"h h": "-1/t", "h z": "1/t"}, 1),
    "muon": ("", {"m m": "-alpha"}, 1),
    "shampoo": ("", {}, 1),
    # linear, of second order
    "heavy_ball": ("", {"h m": "1", "m m": "-gamma"}, 2),
    "heavy_ball_undamped": ("", {"h m": "1"}, 2),
    "heavy_ball_strongly_convex": ("", {"h m": "1", "m m": "-2*sqrt(mu)"}, 2),
    "nesterov": ("", {"h m": "1", "m m": "-3/t"}, 2),
    "nesterov_generalized": ("", {"h m": "1", "m m": "-r/t"}, 2),
    "accelerated_cubic": ("", {"h h": "-3/t", "h z": "3/t"}, 2),
    "sgdw": ("", {"h h": "-c", "h v": "1", "v v": "-gamma"}, 2),
    "sgd": ("", {"h b": "-1", "b b": "-gamma", "b h": "decay*(1 - dampening)"}, 2),
    "aggmo": (
        "",
        {f"h v{i}": "1/3" for i in (1, 2, 3)} | {f"v{i} v{i}": f"-a{i}" for i in (1, 2, 3)},
        2,
    ),
    # whose position follows
    "generalized_heavy_ball": ("h", {"m m": "-gamma"}, 2),
    "hamiltonian_descent": ("h", {"p p": "-gamma"}, 2),
    "accelerated_mirror_descent": ("h", {"h h": "-r/t"}, 2),
    "adam": ("h", ADAM, 2),
    "adamw": ("h", {"h h": "-decay", **ADAM}, 2),
    "adamc": ("h", {"h h": "-decay/(c*t + 1)**2", **ADAM}, 2),
    "adam_l2": ("h", ADAM, 2),
    "sgdsai": ("h", {"m m": "-alpha"}, 2),
    "adagrad": ("h f", {}, 1),
    "rmsprop": ("h f", {"v v": "-b"}, 1),
    "lion_tanh": ("h f", {"h h": "-decay", "m m": "-b"}, 1),
    "nadam": ("h f", ADAM, 1),
    "soap": ("h f", {**ADAM, "left left": "-rho", "right right": "-rho"}, 1),
    # with several followers
    "adabelief": ("v > h f", ADAM, 2),
    "rmsprop_centered": ("w > h f", {"mean_g mean_g": "-a", "w w": "-a"}, 1),
    "laprop": ("m > h f", ADAM, 2),
    "adamod": ("r > h", {**ADAM, "r r": "-gamma"}, 2),
    "adamg": ("r > m > h f", {**ADAM, "r r": "-gamma"}, 2),
    "grokfast": ("v > h f", {**ADAM, "s s": "-gamma", "m s": "alpha*gain"}, 2),
    "amos": ("h, b f", {"v v": "-alpha"}, 1),
    # with a state that enters its own equation nonlinearly
    "yogi": ("h", {"m m": "-alpha"}, 1),
    "adamax": ("h", {"m m": "-alpha"}, 1),
    "adadelta": ("h f", {"v v": "-r"}, 1),
    "exponentiated_gradient": ("", {}, 1),
    "fromage": ("", {}, 1),
    "fista": ("", {"h m": "1"}, 1),
    "adai": ("", {"h m": "-1", "v v": "-beta"}, 1),
    "lamb": ("", ADAM, 1),
    "fadam": ("m f", ADAM, 1),
    # with a cycle of followers, or of what would be
    "lars_momentum": ("", {"h v": "1", "v v": "-gamma"}, 2),
    "tam": ("s f", {"h m": "-1", "m m": "-alpha", "s s": "-gamma"}, 1),
    "schedulefree_adamw": ("z f", {"h h": "-1/t", "z z": "-decay*(1 - beta)", "v v": "-b"}, 1),
}


def named(found):
    """The groups of followers as they are typed here."""
    groups = " > ".join(", ".join(map(str, group)) for group in found.followers)
    return groups + " f" * found.followers_see_f


def entries(states, found):
    """What is not 0 of L, by the names of row and column."""
    return {
        f"{z} {x}": entry
        for z, row in zip(states, found.linear_part, strict=True)
        for x, entry in zip(states, row, strict=True)
        if entry != 0
    }


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_models_by_hand(name):
    model = derive(name).model
    found = derive_following(model)
    followers, linear, degree = SHIPPED[name]
    assert (named(found), found.relative_degree) == (followers, degree)
    names = {s.name: s for e in model.equations for s in e.free_symbols} | {"t": TIME}
    entry = entries(model.states, found)
    assert entry.keys() == linear.keys()
    for place, text in linear.items():
        assert sp.simplify(entry[place] - sp.sympify(text, locals=names)) == 0, place


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
    ("equations", "followers", "linear", "degree"),
    [
        # linear chains, and cycles
        ({h: m, m: p, p: f}, "", {"h m": 1, "m p": 1}, 3),
        ({h: m, m: p - m, p: f - t * p}, "", {"h m": 1, "m p": 1, "m m": -1, "p p": -t}, 3),
        ({h: m, m: f - gamma * h - c * m}, "", {"h m": 1, "m h": -gamma, "m m": -c}, 2),
        ({h: m, m: p + f, p: f - h}, "", {"h m": 1, "m p": 1, "p h": -1}, 2),
        # chains of followers; one that is linear in another is one, too
        ({h: sp.tanh(m), m: sp.tanh(p), p: f - p}, "m > h", {"p p": -1}, 3),
        ({h: m - c * h, m: sp.tanh(p) - m, p: f}, "m > h", {"h h": -c, "m m": -1}, 3),
        ({h: m + sp.exp(q), m: p, p: f, q: p}, "h", {"m p": 1, "q p": 1}, 3),
        ({h: m, m: f * p, p: -p}, "m > h f", {"p p": -1}, 2),
        ({h: m, p: h * q, m: f, q: f}, "p f", {"h m": 1}, 2),
        # cycles: the position follows; of three, one state is driven
        ({h: sp.tanh(m), m: f - h}, "h", {}, 2),
        ({h: sp.tanh(m) - c * h, m: f - gamma * m - h}, "h", {"h h": -c, "m m": -gamma}, 2),
        ({h: sp.tanh(m), m: sp.tanh(p), p: f - sp.tanh(h)}, "m > h", {}, 3),
        ({h: m, m: f - p, p: sp.tanh(m)}, "p", {"h m": 1}, 2),
        # a norm of the position in the force: the position is driven with the momentum
        ({h: m, m: f - h * sp.sqrt(dot(h, h)) - m}, "", {"h m": 1, "m m": -1}, 2),
        # what enters its own equation
        ({h: p, p: v, v: f - v**3}, "", {"h p": 1, "p v": 1}, 1),
        ({h: sp.tanh(v), v: f - v**3}, "h", {}, 1),
        # what no oracle moves, and what no oracle reads
        ({h: -h}, "", {"h h": -1}, 1),
        ({h: m, m: -m}, "", {"h m": 1, "m m": -1}, 1),
        ({h: sp.tanh(m), m: -m}, "h", {"m m": -1}, 1),
        ({h: Field(t, m), m: sp.S.Zero}, "", {}, 1),
    ],
)
def test_chains_and_cycles(equations, followers, linear, degree):
    found = derive_following(model(equations))
    assert named(found).removesuffix(" f") == followers.removesuffix(" f")
    assert entries(tuple(equations), found) == linear
    assert found.relative_degree == degree


def test_a_follower_sees_f_where_its_own_rate_has_it():
    plain, seeing = ({h: sp.tanh(m) + x, m: f, p: f} for x in (p, f * p))
    assert not derive_following(model(plain)).followers_see_f
    assert derive_following(model(seeing)).followers_see_f


NUMBERS = [
    (-gamma * m + f, -gamma),
    (gamma * m + f, gamma),
    (-3 * m / t + f, -3 / t),
    (-(1 + sp.sin(t)) * m * sp.exp(-t) + f, -(1 + sp.sin(t)) * sp.exp(-t)),
    (-m * relu(t - gamma) + f, -relu(t - gamma)),
    (where(step(t - 1), -m, -2 * m) + f, where(step(t - 1), -1, -2)),
    (c * (gamma * (f - m) - m), -c * (gamma + 1)),
    ((f - m) / (1 + gamma * t) - m / t, -1 / (1 + gamma * t) - 1 / t),
    (((m + 1) ** 2 - (m - 1) ** 2) / 4 + f, 1),  # linear once it is multiplied out
    ((m + 1) ** 2 - m**2 - 2 * m + f, 0),
    (-m + Field(t, h + m), -1),  # f is given, whatever it reads
    (-m + Tangent(f, m) + dot(f, h), -1),
    (-gamma * m + Oracle("lmo", m), -gamma),
    (-m + MatrixFunction("polar", m), -1),
    (-m + mean(sp.tanh(h)) * h, -1),  # what is reduced is another state
]


@pytest.mark.parametrize(("equation", "number"), NUMBERS, ids=str)
def test_numbers_of_linear_states(equation, number):
    """Of a momentum that is read nonlinearly, of one that moves another, and of one that follows."""
    for equations, row in (
        ({h: sp.tanh(m), m: equation}, 1),
        ({p: m, m: equation, h: sp.S.Zero}, 1),
        ({p: m, m: equation + sp.exp(q), h: sp.S.Zero, q: f}, 1),
    ):
        found = derive_following(model(equations))
        assert sp.simplify(found.linear_part[row][1] - number) == 0


BENT = [
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


@pytest.mark.parametrize("equation", BENT, ids=str)
def test_what_bends_is_driven_by_itself_and_follows_another(equation):
    matrix = bool(equation.atoms(matmul, trace))
    alone = derive_following(model({h: f + q, m: equation, q: m}, is_matrix=matrix))
    assert m not in chain(*alone.followers)
    assert alone.linear_part[1] == (0, 0, 0)
    assert alone.relative_degree == 1
    other = equation.xreplace({m: p})
    along = derive_following(model({h: f, m: other, p: -p}, is_matrix=matrix))
    assert along.followers == ((m,),)
    assert along.linear_part == ((0, 0, 0), (0, 0, 0), (0, 0, -1))


def test_a_number_for_each_feature_is_none():
    equations = {h: m, m: -gamma * m + f}
    shared, own = (derive_following(model(equations, per_feature=x)) for x in (False, True))
    assert (shared.linear_part, shared.relative_degree) == (((0, 1), (0, -gamma)), 2)
    assert (own.linear_part, own.relative_degree) == (((0, 1), (0, 0)), 1)
    assert shared.followers == own.followers == ()


# Graphs drawn at random


class Graph:
    """What reads what: ``linear[i, j]``, ``bent[i, j]``; ``given[i]``: an oracle is in rate i."""

    def __init__(self, seed, n):
        random = np.random.default_rng(seed)
        dense = (0.2, 0.35, 0.5)[seed % 3]
        read = random.random((n, n)) < dense
        is_bent = random.random((n, n)) < 0.5
        self.linear, self.bent = read & ~is_bent, read & is_bent
        self.given = random.random(n) < 0.4
        self.states = [symbol(f"z{i}") for i in range(n)]

    def equations(self):
        """With a coefficient of its own for everything that is read."""
        numbers = range(len(self.states))
        return {
            self.states[i]: sum(
                (sp.sin((1 + j) * self.states[j]) for j in numbers if self.bent[i, j]), sp.S.Zero
            )
            + sum((2 + i + 7 * j) * self.states[j] for j in numbers if self.linear[i, j])
            + int(self.given[i]) * Field(t, self.states[0])
            for i in numbers
        }

    def cost(self, follows):
        """The relative degree with its sign turned, and so on; None where followers are a cycle."""
        n = len(follows)
        others = (self.linear | self.bent) & ~np.eye(n, dtype=bool)
        among = others & follows[:, None] & follows[None, :]
        if (np.diag(self.bent) & follows).any() or np.linalg.matrix_power(among, n).any():
            return None
        rests = (self.bent | (self.linear & follows[None, :])) & ~follows[:, None]
        moves = (others & follows[:, None]) | (self.linear & ~rests & ~follows[:, None])
        read = rests.any(axis=0)
        read[0] |= self.given.any()
        reached = self.given | rests.any(axis=1)
        paths = (np.linalg.matrix_power(moves.astype(int), k) @ reached for k in range(n))
        degree = next((k for k, path in enumerate(paths, 1) if path[read].any()), n + 1)
        is_driven = self.bent.any(axis=1) & ~follows
        return -degree, is_driven.sum(), rests.any(axis=1).sum(), follows.sum(), ~follows[0]


@pytest.mark.parametrize("seed", range(45))
def test_random_graphs_have_the_followers_that_cost_least(seed):
    graph, n = Graph(seed, 5), 5
    found = derive_following(model(graph.equations()))
    level = {graph.states.index(z): i for i, g in enumerate(found.followers) for z in g}
    follows = np.isin(range(n), list(level))
    sets = chain.from_iterable(combinations(range(n), k) for k in range(n + 1))
    costs = [graph.cost(np.isin(range(n), s)) for s in sets]
    cost = graph.cost(follows)
    assert cost == min(x for x in costs if x is not None)
    assert found.relative_degree == (-cost[0] if -cost[0] <= n else 1)
    assert found.followers_see_f == (graph.given & follows).any()
    for i in range(n):
        read = [level[j] for j in level if i != j and (graph.linear | graph.bent)[i, j]]
        assert i not in level or level[i] == 1 + max(read, default=-1)
        for j in range(n):
            kept = graph.linear[i, j] and (i == j or not follows[[i, j]].any())
            assert found.linear_part[i][j] == (2 + i + 7 * j if kept else 0)


def test_many_states_are_looked_at_in_little_time():
    """Each of fifteen needs all others: one alone may follow, and a chain of fifteen does."""
    states = [symbol(f"z{i}") for i in range(15)]
    everything = sp.Add(*map(sp.sin, states))
    found = derive_following(
        model({z: everything - sp.sin(z) + Field(t, states[0]) for z in states})
    )
    assert found.followers == ((states[0],),)
    rates = (*map(sp.tanh, states[1:]), Field(t, states[0]))
    found = derive_following(model(dict(zip(states, rates, strict=True))))
    assert found.followers == tuple((z,) for z in states[-2::-1])
    assert found.relative_degree == 15


# In words


ORDERS = {
    "gradient_descent": ("f", "h"),
    "weight_decay": ("f", "h relaxes at decay"),
    "heavy_ball": ("f", "m relaxes at gamma; h moves linearly with m"),
    "elastic_averaging": ("f", "h moves linearly with h and c; c moves linearly with h and c"),
    "adam": ("f", "m and v relax at alpha and beta, then h"),
    "adamw": ("f", "m and v relax at alpha and beta, then h relaxes at decay"),
    "adafactor_factored": ("f", "r and c relax at b, then h"),
    "generalized_heavy_ball": ("f and the rest of m'", "m relaxes at gamma, then h"),
    "yogi": ("f and the rest of v'", "m relaxes at alpha, beside v, then h"),
    "fista": ("f and the rest of m'", "h moves linearly with m, beside m and theta"),
    "kate": ("f", "b and w, then h"),
}


@pytest.mark.parametrize("name", ORDERS)
def test_the_order_in_words(name):
    given, order = ORDERS[name]
    derivation = derive(name)
    title = (
        f"How the states of {derivation.model.class_name} follow, given {given} along the solution"
    )
    assert derivation.show("following").splitlines()[-2:] == [title, f"  order = {order}"]
    for form in ("latex", "markdown"):
        assert rf"\text{{{order}}}" in derivation.show("following", form=form).replace("\\_", "_")


def test_the_order_as_json():
    document = as_json("ghb", derive("generalized_heavy_ball").stages("following"))
    assert document["following"] == {
        "followers": [["h"]],
        "followers_see_f": False,
        "rests": ["m"],
        "linear_part": {"h": {"h": "0", "m": "0"}, "m": {"h": "0", "m": "-gamma"}},
        "relative_degree": 2,
    }
    document = as_json("nesterov", derive("nesterov").stages("following"))
    assert document["following"]["linear_part"]["m"] == {"h": "0", "m": "-3/t"}
    document = as_json("rmsprop", derive("rmsprop").stages("following"))
    assert document["following"]["followers_see_f"]
