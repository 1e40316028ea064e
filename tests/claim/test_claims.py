"""Claims on adjoints: the verdicts of the literature typed by hand, and witnesses that can fail."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
import torch
from modules import FOLDER, MATRICES
from shipped import THOROUGH_MODULES
from typer.testing import CliRunner

import optode
from optode.adjoint.volume import END
from optode.claim.costates import Costates, without_clocks
from optode.claim.markdown import page
from optode.claim.operators import NotLinear, Operators, TransposedRate
from optode.claim.text import as_json
from optode.claim.verdicts import CLOCK, Change
from optode.claim.witness.errors import decisive, observed_error
from optode.claim.witness.trajectory import Trajectory
from optode.cli.main import app
from optode.compiler import derive
from optode.language.symbols import TIME, FieldTransposed, dot, field_call, symbol, total
from optode.spec.reader import parse_spec

ROOT = Path(__file__).parents[2]
a_h, a_m, a_v, a_x = sp.symbols("a_h a_m a_v a_x", real=True)
b_h, b_m, b_v, b_x = sp.symbols("b_h b_m b_v b_x", real=True)
alpha, beta, gamma, eps = sp.symbols("alpha beta gamma eps", real=True)
h, m, p, v, D = sp.symbols("h m p v D", real=True)
t, T, tau = TIME, END, CLOCK
JT, JT_rate = FieldTransposed, TransposedRate
x_, v_ = symbol("x"), symbol("v")


@pytest.fixture(scope="session")
def every():
    return {name: optode.claims(name) for name in THOROUGH_MODULES}


def sections(text):
    """The introduction of the page, and what it says under each heading."""
    introduction, *parts = text.split("\n## ")
    pairs = (part.split("\n\n", 1) for part in parts)
    return introduction, {
        heading: body.strip()
        for line, body in pairs
        for heading in re.findall(r"`\w+`: [^;]+", line)
    }


def claim_of(claims, kind, *, held=(), kept=False):
    (found,) = (
        claim
        for claim in claims.claims
        if (claim.kind, tuple(map(str, claim.held)), claim.is_kept) == (kind, held, kept)
    )
    return found


def verdict_of(claim, costate, *, reversed=False, divided=False):
    (found,) = (
        verdict
        for verdict in claim.verdicts
        if verdict.costate == costate
        and (verdict.change.is_reversed, verdict.change.rate != 0) == (reversed, divided)
    )
    return found


def is_same(found, expected):
    """Two sums of operators on vectors; a factor differs from another form of it by 0."""
    difference = sp.expand(found - expected)
    nodes = {node: sp.Dummy() for node in difference.atoms(FieldTransposed)}
    return sp.simplify(difference.xreplace(nodes)) == 0


def assert_equations(found, expected):
    assert [left for left, _ in found] == list(expected)
    for left, right in found:
        assert is_same(right, expected[left]), f"{left}: {right}"


# The table of the literature, by hand


def test_heavy_ball(every):
    claim = claim_of(every["heavy_ball"], "forward")
    assert_equations(claim.equations, {b_h: b_m, b_m: -gamma * b_m + JT(b_h)})
    backwards = verdict_of(claim, a_m, reversed=True)
    assert backwards.status == "proven"
    assert_equations(backwards.images, {b_h: a_m, b_m: a_h - gamma * a_m})
    forwards = verdict_of(claim, a_m, divided=True)
    assert forwards.status == "proven"
    assert forwards.change.factor == sp.exp(gamma * t)
    assert_equations(forwards.images, {b_h: a_m / sp.exp(gamma * t), b_m: -a_h / sp.exp(gamma * t)})
    position = verdict_of(claim, a_h, reversed=True)
    assert position.status == "refuted"
    assert_equations(position.leftover, {b_m: -JT_rate(a_m)})
    assert "no scalar factor" in verdict_of(claim, a_h).remark
    assert_equations(verdict_of(claim, a_m).leftover, {b_m: 2 * gamma * b_m})


def test_nesterov(every):
    claim = claim_of(every["nesterov"], "forward")
    forwards = verdict_of(claim, a_m, divided=True)
    assert forwards.status == "proven"
    assert forwards.change.factor == t**3
    backwards = verdict_of(claim, a_m, reversed=True)
    assert backwards.status == "refuted"
    damping, extra = 3 / (T - tau), 3 / (T - tau) ** 2
    assert_equations(backwards.leftover, {b_m: (3 / tau - damping) * b_m - extra * b_h})


def test_generalised_heavy_ball(every):
    """The activation enters as the multiplier sigma'(m), not as sigma of the adjoint."""
    forward = claim_of(every["generalized_heavy_ball"], "forward")
    assert [v.status for v in forward.verdicts] == ["refuted"]
    assert_equations(forward.verdicts[0].leftover, {b_h: sp.tanh(2 * b_m) - 2 * sp.tanh(b_m)})
    claim = claim_of(every["generalized_heavy_ball"], "linearised")
    assert_equations(claim.names, {D: 1 - sp.tanh(m) ** 2})
    xi = symbol("xi")
    assert_equations(claim.equations, {b_h: D * b_m, b_m: -gamma * b_m + JT(b_h) - xi * b_h})
    assert verdict_of(claim, a_m, divided=True).status == "proven"
    assert verdict_of(claim, a_m, reversed=True).status == "refuted"


def test_adam(every):
    """``mu = b_h, q = -b_m``: mu' = D q, q' = alpha (JT mu - q) - 2 beta JT(f eta)."""
    forward = claim_of(every["adam"], "forward")
    assert [v.status for v in forward.verdicts] == ["refuted"]
    assert_equations(forward.verdicts[0].leftover, {b_v: 2 * beta * JT(b_h) ** 2})
    block = claim_of(every["adam"], "forward", held=("v",))
    assert_equations(block.names, {D: 1 / (sp.sqrt(v) + eps)})
    assert_equations(block.equations, {b_h: -D * b_m, b_m: -alpha * (JT(b_h) + b_m)})
    exact = verdict_of(block, a_m, divided=True)
    decay = sp.exp(-alpha * t)
    assert exact.status == "proven"
    assert_equations(exact.images, {b_h: decay * a_m, b_m: -decay * a_h})
    kept = verdict_of(claim_of(every["adam"], "forward", held=("v",), kept=True), a_m, divided=True)
    assert kept.status == "refuted"
    assert_equations(kept.leftover, {b_m: 2 * beta * decay * JT(field_call(t, h) * a_v)})


def test_second_order(every):
    """a_v'' = JT_x(a_v) - (JT_v(a_v))'; with J^T in the place of f it misses -(dJT_v/dt) a_v."""
    claim = claim_of(every["second_order"], "second order")
    velocity = symbol("a_v_dot")
    expected = JT(a_v, x_) - JT(velocity, v_) - JT_rate(a_v, v_)
    assert_equations(verdict_of(claim, a_v).images, {a_v: expected})
    assert verdict_of(claim, a_v).status == "proven"
    assert verdict_of(claim, a_x).status == "not applicable"
    forward = claim_of(every["second_order"], "forward")
    backwards = verdict_of(forward, a_v, reversed=True)
    assert_equations(backwards.leftover, {b_v: -JT_rate(b_x, v_)})


@pytest.mark.parametrize(
    ("name", "costate", "factor"),
    [
        ("nesterov_generalized", "a_m", t ** symbol("r")),
        ("nesterov_strongly_convex", "a_m", sp.exp(2 * sp.sqrt(symbol("mu")) * t)),
        ("accelerated_cubic", "a_z", t**3),
        ("fista", "a_m", t**3),
        ("ogm", "a_m", t**3),
    ],
)
def test_general_lemma(every, name, costate, factor):
    claim = claim_of(every[name], "forward")
    forwards = verdict_of(claim, symbol(costate), divided=True)
    assert forwards.status == "proven"
    assert sp.simplify(forwards.change.factor - factor) == 0


@pytest.mark.parametrize(
    "name", ["gradient_descent", "heavy_ball_overdamped", "heavy_ball_fixed", "weight_decay"]
)
def test_first_order(every, name):
    """a_h' = -JT(a_h): in reversed time the equation with J^T, in forward time never."""
    claim = claim_of(every[name], "forward")
    assert verdict_of(claim, a_h, reversed=True).status == "proven"
    assert verdict_of(claim, a_h).status == "refuted"
    assert "no scalar factor" in verdict_of(claim, a_h).remark


def test_undamped(every):
    claim = claim_of(every["heavy_ball_undamped"], "forward")
    assert verdict_of(claim, a_m).status == "proven"
    assert verdict_of(claim, a_m, reversed=True).status == "proven"


def test_coefficients_on_the_other_clock(every):
    c = symbol("c")
    claim = claim_of(every["learning_rate_decay"], "forward")
    verdict = verdict_of(claim, a_h, reversed=True)
    difference = sp.exp(-c * (T - tau)) - sp.exp(-c * tau)
    assert_equations(verdict.leftover, {b_h: difference * JT(b_h)})
    assert verdict.remark == "proven for the coefficients at T - tau in the place of tau"


def test_a_sum_over_the_features(every):
    """x' = p/sqrt(1 + |p|^2): its Jacobian is symmetric, and no elementwise factor."""
    claim = claim_of(every["hamiltonian_descent"], "linearised")
    forwards = verdict_of(claim, symbol("a_p"), divided=True)
    assert forwards.status == "proven"
    assert forwards.change.factor == sp.exp(gamma * t)
    ((_, right), _) = claim.equations
    opened = right.xreplace(dict(claim.names))
    norm, b_p = sp.sqrt(1 + dot(p, p)), symbol("b_p")
    assert sp.simplify(opened - (b_p / norm - p * total(p * b_p) / norm**3)) == 0


def test_elementwise_factors_do_not_commute(every):
    claim = claim_of(every["rmsprop"], "forward", held=("v",))
    c_h = symbol("c_h")  # b is a parameter
    verdict = verdict_of(claim, a_h, reversed=True)
    assert_equations(verdict.leftover, {c_h: JT(D * c_h) - D * JT(c_h)})


def test_eigenvalues(every):
    integrated = claim_of(every["heavy_ball"], "integrated")
    ((_, total_),) = integrated.equations
    assert sp.simplify(total_ + gamma * (T - t)) == 0
    transition = claim_of(every["heavy_ball"], "transition")
    ((_, product),) = transition.equations
    assert sp.simplify(product - sp.exp(-gamma * (T - t))) == 0
    assert [(v.status, v.jacobian) for v in transition.verdicts] == [
        ("proven", "symmetric"),
        ("proven", "constant"),
        ("refuted", "any"),
    ]
    assert not [c for c in every["adam"].claims if c.kind in ("integrated", "transition")]
    of_activation = claim_of(every["generalized_heavy_ball"], "transition").verdicts
    assert [v.jacobian for v in of_activation] == ["symmetric", "any"]


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("sam", "forward", "several points"),
        ("adamax", "forward", "Jacobian product"),
        ("adam", "linearised", "more than two states"),
        ("rmsprop", "linearised", "f stands in the equation of the position"),
        ("hamiltonian_descent", "second order", "operator would have to be inverted"),
    ],
)
def test_where_the_method_does_not_apply_it_says_why(every, name, kind, reason):
    verdict = claim_of(every[name], kind).verdicts[0]
    assert verdict.status == "not applicable"
    assert reason in verdict.remark


# Witnesses


def test_every_verdict_is_what_its_witness_shows(every):
    for name, claims in every.items():
        for claim in claims.claims:
            for verdict in claim.verdicts:
                where = f"{name}, {claim.kind}, {verdict.costate}: {verdict.witness}"
                assert (verdict.witness is None) == (verdict.status == "not applicable"), where
                assert verdict.agrees, where


@pytest.fixture(scope="module")
def trajectory():
    return Trajectory(Costates(derive("heavy_ball").model))


def test_a_wrong_equation_is_seen(every, trajectory):
    claim = claim_of(every["heavy_ball"], "forward")
    wrong = replace(claim, equations=((b_h, b_m), (b_m, -2 * gamma * b_m + JT(b_h))))
    for verdict in claim.verdicts[:2]:
        assert verdict.status == "proven"
        assert observed_error(trajectory, wrong, verdict) > 1e-2


def test_a_wrong_factor_is_seen(every, trajectory):
    claim = claim_of(every["heavy_ball"], "forward")
    verdict = verdict_of(claim, a_m, divided=True)
    wrong = replace(verdict, change=Change(rate=sp.Rational(11, 10) * gamma))
    found = replace(wrong, witness=observed_error(trajectory, claim, wrong))
    assert found.witness > 1e-2
    assert not found.agrees


def test_a_wrong_costate_is_seen(every, trajectory):
    claim = claim_of(every["heavy_ball"], "forward")
    wrong = replace(verdict_of(claim, a_m, reversed=True), costate=a_h)
    assert observed_error(trajectory, claim, wrong) > 1e-2


def test_a_wrong_second_order_is_seen(every, trajectory):
    claim = claim_of(every["heavy_ball"], "second order")
    verdict = verdict_of(claim, a_m)
    wrong = replace(verdict, images=((a_m, JT(a_m)),))
    assert observed_error(trajectory, claim, verdict) < 1e-10
    assert observed_error(trajectory, claim, wrong) > 1e-2


@pytest.mark.parametrize("kind", ["integrated", "transition", "volume"])
def test_wrong_eigenvalues_are_seen(every, kind):
    claim = claim_of(every["heavy_ball"], kind)
    ((left, right),) = claim.equations
    wrong = replace(claim, equations=((left, right.subs(gamma, 2 * gamma)),))
    trajectory = Trajectory(Costates(derive("heavy_ball").model), "symmetric")
    assert observed_error(trajectory, claim, claim.verdicts[0]) < 1e-10
    assert observed_error(trajectory, wrong, claim.verdicts[0]) > 1e-2


def test_a_linear_equation_superposes(every, trajectory):
    """What refutes equations that are not linear does not refute those that are."""
    claim = claim_of(every["heavy_ball"], "forward")
    verdict = replace(claim.verdicts[0], costate=None)
    assert observed_error(trajectory, claim, verdict) < 1e-10


def by_hand(name, q):
    """``t, states, f -> rates`` in PyTorch; q are the parameters by name."""
    if name == "adam_guarded":
        return lambda h, m, v, f: (
            -m / (torch.sqrt(torch.nn.functional.softplus(v)) + q["eps"]),
            -q["alpha"] * (m + f(h)),
            q["beta"] * (f(h) ** 2 - v),
        )
    if name == "hamiltonian_descent":
        return lambda h, p, f: (p / torch.sqrt(1 + p @ p), -q["gamma"] * p + f(h))
    if name == "generalized_heavy_ball_hardtanh":
        return lambda h, m, f: (
            torch.nn.functional.hardtanh(m, -5, 5),
            -q["gamma"] * m + f(h) - q["xi"] * h,
        )
    return lambda h, m, f: (-m / (f(h).abs() + q["eps"]), -q["alpha"] * (m + f(h)))


@pytest.mark.parametrize(
    "name",
    ["adam_guarded", "hamiltonian_descent", "generalized_heavy_ball_hardtanh", "adam_fixed_beta2"],
)
def test_the_witness_moves_costates_as_autograd_does(name):
    """Complex steps against equations typed by hand in PyTorch, differentiated by it."""
    trajectory = Trajectory(Costates(derive(name).model))
    network, time = trajectory.network, 0.3
    q = {symbol.name: float(value) for symbol, value in trajectory.values.items()}
    outer, inner, clock, bias = map(
        torch.tensor, (network.outer, network.inner[0], network.clock, network.bias)
    )

    def f(h):
        return outer @ torch.tanh(inner @ h + (clock * time + bias)[:, 0])

    states = [torch.tensor(z[:, 0], requires_grad=True) for z in trajectory.start]
    rates = torch.stack(by_hand(name, q)(*states, f))
    costates = np.random.RandomState(0).standard_normal(trajectory.start.shape)
    pulled = torch.autograd.grad(rates, states, torch.tensor(costates[:, :, 0]))
    found = trajectory.costate_rates(time, trajectory.start, costates)
    assert np.allclose(trajectory.field(time, *trajectory.start)[:, :, 0], rates.detach())
    assert np.allclose(found[:, :, 0], -torch.stack(pulled), rtol=1e-12, atol=1e-13)


# Operators


SPACE = Operators((h, m), (a_h, a_m, b_h, b_m))


def test_scalars_come_out_of_operators():
    terms = SPACE.terms(2 * JT(gamma * a_h + h * a_m) + gamma * JT(a_h))
    assert terms == {JT(a_h): 3 * gamma, JT(h * a_m): 2}
    assert SPACE.terms(JT(dot(m, m) * a_h)) == {JT(a_h): dot(m, m)}
    assert SPACE.terms(h * JT(a_h) - JT(h * a_h)) != {}


@pytest.mark.parametrize("expression", [a_h**2, a_h * a_m, sp.tanh(a_h), JT(a_h) ** 2, a_h + 1])
def test_what_is_not_linear(expression):
    with pytest.raises(NotLinear):
        SPACE.terms(expression)


def test_transposed_twice():
    expression = gamma * h * JT(m * total(h * a_h)) + total(m * JT(h * a_h)) * h
    once = SPACE.transposed(expression, b_h)
    again = SPACE.transposed(sp.Add(*(c * vector for vector, c in once.items())), a_h)
    assert again == SPACE.terms(expression)
    assert once != SPACE.terms(expression.xreplace({a_h: b_h}))


def test_rate_of_a_transposed_jacobian():
    rates = {t: sp.S.One, h: m, m: -h, a_h: a_m, a_m: -JT(a_h)}
    found = SPACE.rate(h * JT(a_h), rates)
    assert is_same(found, m * JT(a_h) + h * JT_rate(a_h) + h * JT(a_m))


def test_clocks_are_put_in():
    model, clocks = without_clocks(derive("fista").model)
    assert clocks == {symbol("theta"): t / 2}
    assert model.states == (h, m)
    assert without_clocks(derive("adam").model)[1] == {}


# Specs of one's own


def spec(equations, states, parameters=""):
    body = "".join(f"  {line}\n" for line in equations)
    head = f"name: own\nstate: [{states}]\node: |\n{body}"
    return parse_spec(f"{head}model: {{class: Own, parameters: {{{parameters}}}}}\n")


def test_names_that_the_derivation_uses_too():
    """A parameter T is not the end of time, rho not the rate of P, N no number of elements."""
    parameters = "rho: {init: 1}, T: {init: 1}, tau: {value: 1}, N: {init: 2}, b_h: {value: 2}"
    own = spec(["h' = T*D", "D' = -rho*D/(t + tau) + N*b_h*f(t, h)"], "h, D", parameters)
    found = optode.claims(own)
    assert found.agree
    verdict = verdict_of(claim_of(found, "forward"), symbol("a_D"), divided=True)
    assert verdict.status == "proven"
    assert verdict.change.factor == (t + symbol("tau")) ** symbol("rho")


def test_a_third_order_chain():
    """Constant coefficients and one input: reversed time is exact for the last costate."""
    own = spec(["h' = m", "m' = n - c*m", "n' = f(t, h) - n"], "h, m, n", "c: {init: 1}")
    found = optode.claims(own)
    assert found.agree
    claim = claim_of(found, "forward")
    assert verdict_of(claim, symbol("a_n"), reversed=True).status == "proven"
    verdict = verdict_of(claim, a_m, reversed=True)
    assert_equations(verdict.leftover, {symbol("b_n"): -JT_rate(symbol("a_n"))})


def test_every_equation_is_tested_in_whatever_order_the_states_stand():
    """An equation whose image a later one tells is a test, too: a slow average fed into a momentum."""
    lines = {"h": "h' = -m", "s": "s' = -c*s - f(t, h)", "m": "m' = s - c*m - f(t, h)"}
    for order in ("hsm", "hms"):
        own = spec([lines[state] for state in order], ", ".join(order), "c: {init: 1}")
        found = optode.claims(own)
        assert found.agree
        claim = claim_of(found, "forward")
        tested = [verdict for verdict in claim.verdicts if verdict.status != "not applicable"]
        assert {verdict.status for verdict in tested} == {"refuted"}
        assert any(symbol("b_s") in dict(verdict.leftover) for verdict in tested)


def test_a_step_of_length_one():
    """Its derivative by the momentum is singular: the rate of the position does not tell the image."""
    own = spec(["h' = -m/norm(m)", "m' = -c*m - f(t, h)"], "h, m", "c: {init: 1}")
    found = optode.claims(own)
    assert found.agree
    assert verdict_of(claim_of(found, "linearised"), a_m, divided=True).status == "proven"


def test_a_lookahead():
    b = symbol("b")
    own = spec(["h' = m", "m' = f(t, h + b*m) - c*m"], "h, m", "b: {init: 1}, c: {init: 1}")
    found = optode.claims(own)
    assert found.agree
    backwards = verdict_of(claim_of(found, "forward"), a_m, reversed=True)
    y_h, y_m = symbol("y_h"), symbol("y_m")  # b and c are parameters
    assert_equations(backwards.leftover, {y_m: -b * JT_rate(y_h)})


@pytest.mark.parametrize(
    ("equations", "states"),
    [
        (["h' = f(t, h) + f(t, v)", "v' = h*v - f(t, v)"], "h, v"),
        (["h' = m", "m' = -h"], "h, m"),
        (["h' = m", "m' = -relu(t - 0.3)*m + f(t, h)"], "h, m"),
        (["h' = m", "m' = -log(t + 1)/(t + sqrt(t + 1))*m + f(t, h)"], "h, m"),
        (["h' = sign(m)*m**2", "m' = abs(h)*f(t, h)"], "h, m"),
        (["h' = f(t, h - f(t, h))"], "h"),
        (["h' = log(v)*m", "m' = f(t, h)", "v' = -5*v"], "h, m, v"),
        (["h' = 1"], "h"),
        (["h' = m", "m' = f(t, tanh(h)) - m"], "h, m"),
    ],
)
def test_every_model_has_an_answer(equations, states):
    found = optode.claims(spec(equations, states))
    assert found.agree
    assert all(claim.verdicts for claim in found.claims)


def test_terms_of_next_order():
    found = optode.claims("heavy_ball", order=1, step=0.1)
    assert {v.status for claim in found.claims for v in claim.verdicts} == {"not applicable"}


# Text, page, command


HEAVY_BALL = """\
Heavy ball (Polyak 1964): the adjoint of HBNODE

The costates satisfy the forward equation, with JT in the place of f
  b_h' = b_m
  b_m' = -gamma*b_m + JT(b_h)
  proven: a_m/P, P = exp(gamma*t)
    b_h            = exp(-gamma*t)*a_m
    b_m            = -exp(-gamma*t)*a_h
    observed error < 1e-10
  proven: a_m in reversed time, tau = T - t
    b_h            = a_m
    b_m            = -gamma*a_m + a_h
    observed error < 1e-10
  refuted: a_h; no scalar factor P(t) removes it
    b_h               = a_h
    b_m               = -JT(a_m)
    left over in b_m' = -2*gamma*JT(a_m) - JT'(a_m)
    observed error    > 0.1
"""


def test_text(every):
    assert str(every["heavy_ball"]).startswith(HEAVY_BALL)
    assert repr(every["heavy_ball"]) == str(every["heavy_ball"]).rstrip()
    assert "(JT(c))' - JT(c')" in str(every["heavy_ball"])
    assert "  theta = t/2\n" in str(every["fista"])


def test_markdown(every):
    text = every["adam"]._repr_markdown_()
    assert text.startswith("### `adam`: Adam (Kingma and Ba 2015)\n")
    assert "| proven | `a_m/P, P = exp(alpha*t)` |" in text


@pytest.mark.parametrize("name", ["adams", "rmsprop_momentum"])
def test_an_equation_that_is_nearly_singular_is_tried_elsewhere(name):
    """The factor E comes near 0 on the first trajectory, and the equation has E'/E in it."""
    claim = claim_of(optode.claims(name), "second order")
    (verdict,) = (v for v in claim.verdicts if v.status == "proven")
    every = [Trajectory(Costates(derive(name).model), seed=seed) for seed in range(4)]
    assert verdict.witness < 1e-10 < observed_error(every[0], claim, verdict) < 1e-5
    ((costate, right),) = verdict.images
    wrong = replace(verdict, images=((costate, 1.001 * right),))
    assert not decisive(every, claim, wrong).agrees


def test_json(every):
    document = as_json(every["nesterov"])
    assert json.loads(json.dumps(document)) == document
    forward = document["claims"][0]
    assert forward["equations"] == {"b_h'": "b_m", "b_m'": "-3*b_m/t + JT(b_h)"}
    assert forward["verdicts"][0]["factor"] == "t**3"
    assert forward["verdicts"][0]["status"] == "proven"


def test_the_page_is_what_the_command_prints(every):
    shown = (ROOT / "docs" / "reference" / "claims.md").read_text(encoding="utf-8")
    (introduction, found), (expected, printed) = sections(shown), sections(page(every.values()))
    assert introduction == expected
    assert printed.items() <= found.items()
    modules = {path.stem for path in FOLDER.glob("*.py")}
    assert {heading.split("`")[1] for heading in found} == modules - {*MATRICES}
    assert "(!)" not in shown
    assert not re.search(r"_dot\b|Dummy", shown)


def invoke(*arguments, code=0):
    done = CliRunner().invoke(app, ["claims", *arguments])
    assert done.exit_code == code, done.output
    return done.output


def test_command(every):
    assert invoke("heavy_ball") == str(every["heavy_ball"])
    assert invoke("heavy_ball", "--format", "markdown") == every["heavy_ball"]._repr_markdown_()
    assert json.loads(invoke("heavy_ball", "--format", "json"))["name"] == "heavy_ball"


def test_misuse_and_errors():
    invoke(code=2)
    invoke("heavy_ball", "--all", code=2)
    assert "E501" in invoke("signum", code=1)
    assert "E101" in invoke("heavy_bal", code=1)
