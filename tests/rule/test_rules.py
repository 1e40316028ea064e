"""The rule is the rule: parsed rules against torch.optim, and their iterates against the derived limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from objective import X0, gradient, torch_iterates
from scipy.integrate import solve_ivp

from optode.compiler import derive
from optode.trial.numerics import iterate, observed_order, right_hand_side


def test_heavy_ball_is_torch_sgd_with_momentum():
    lr, beta = 0.05, 0.9
    gamma = (1 - beta) / np.sqrt(lr)
    rule = derive("heavy_ball").rule
    ours = iterate(rule, gradient, {"s": lr, "gamma": gamma}, {"x": X0}, 50)
    theirs, state = torch_iterates(lambda p: torch.optim.SGD(p, lr=lr, momentum=beta), 50)
    np.testing.assert_allclose(ours["x"], theirs, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        ours["v"][-1], -lr * state["momentum_buffer"].numpy(), rtol=0, atol=1e-12
    )


def test_gradient_descent_is_torch_sgd():
    ours = iterate(derive("gradient_descent").rule, gradient, {"s": 0.1}, {"x": X0}, 50)
    theirs, _ = torch_iterates(lambda p: torch.optim.SGD(p, lr=0.1), 50)
    np.testing.assert_allclose(ours["x"], theirs, rtol=0, atol=1e-12)


def test_bias_corrected_adam_is_torch_adam():
    lr, beta1, beta2, eps = 0.01, 0.9, 0.999, 1e-8
    values = {"lr": lr, "alpha": (1 - beta1) / lr, "beta": (1 - beta2) / lr, "eps": eps}
    ours = iterate(derive("adam_bias_corrected").rule, gradient, values, {"x": X0}, 50)
    theirs, _ = torch_iterates(lambda p: torch.optim.Adam(p, lr, (beta1, beta2), eps), 50)
    np.testing.assert_allclose(ours["x"], theirs, rtol=0, atol=1e-12)


def test_nesterov_is_the_loop_of_the_paper():
    """Su, Boyd, Candes 2014, equation (1), written out."""
    s, previous, current = 0.05, X0, X0
    history = [X0]
    for k in range(50):
        y = current + (k - 1) / (k + 2) * (current - previous)
        previous, current = current, y - s * gradient(y)
        history.append(current)
    ours = iterate(derive("nesterov").rule, gradient, {"s": s}, {"x": X0}, 50)
    np.testing.assert_allclose(ours["x"], np.stack(history), rtol=0, atol=1e-12)


ORDERS = {
    "gradient_descent": ({}, {}),
    "heavy_ball": ({"gamma": 1.5}, {}),
    "nesterov": ({}, {}),
    "adam": ({"alpha": 1.5, "beta": 0.8, "eps": 0.1}, {"v": np.array([0.5, 1.0])}),
    "adam_bias_corrected": ({"alpha": 1.5, "beta": 0.8, "eps": 0.1}, {}),
}


def limit_at(limit, values, start, end):
    """The limit's states at a time, by DOP853; a singular start is left along its regular branch.

    At t0 = 1e-5 the regular branches start within 1e-9: nesterov m = -t g/4 (Su, Boyd, Candes 2014), the
    corrected averages m = (1 - e^{-at}) g, v = (1 - e^{-bt}) g^2 (limits of the weighted means).
    """
    t0 = 1e-5 if limit.singular_times else 0.0
    states = {s.name: np.array(start.get(s.name, np.zeros(2))) for s in limit.states}
    if limit.name == "nesterov":
        states["dx"] = -t0 * gradient(X0) / 4
    if limit.name == "adam_bias_corrected":
        states["m"] = -np.expm1(-values["alpha"] * t0) * gradient(X0)
        states["v"] = -np.expm1(-values["beta"] * t0) * gradient(X0) ** 2
        states["x"] = X0 - t0 * np.sign(gradient(X0)) * abs(gradient(X0)) / (
            abs(gradient(X0)) + values["eps"]
        )
    rates = right_hand_side(limit, gradient, values)
    shape = (len(states), 2)
    solution = solve_ivp(
        lambda t, z: np.concatenate(rates(t, z.reshape(shape))),
        (t0, end),
        np.concatenate(list(states.values())),
        method="DOP853",
        rtol=1e-11,
        atol=1e-12,
    )
    return dict(zip(states, solution.y[:, -1].reshape(shape), strict=True))


@pytest.mark.parametrize("name", ORDERS)
def test_iterates_approach_the_limit_with_order_one(name):
    derivation = derive(name)
    rule, limit = derivation.rule, derivation.limit
    values, auxiliary = ORDERS[name]
    start = {"x": X0, **auxiliary}
    exact = limit_at(limit, values, start, end=1.0)
    steps, errors = [1 / n for n in (40, 80, 160, 320)], []
    for delta in steps:
        power = {"s": 1, "sqrt(s)": 2, "lr": 1}[str(limit.step)]
        size = {rule.step_size.name: delta**power}
        history = iterate(rule, gradient, values | size, start, round(1 / delta))
        errors.append(np.abs(history["x"][-1] - exact["x"]).max())
    assert observed_order(steps, errors) == pytest.approx(1.0, abs=0.1), errors
