"""Parsed rules against torch.optim: the same iterates, with its options.

The shipped specs tie the decays to the step size; where torch.optim has more options than they, the
lines of its documentation stand here, decays as plain numbers.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from objective import X0, gradient, torch_iterates

from optode.compiler import derive
from optode.rule.from_spec import build_rule
from optode.spec.reader import parse_spec
from optode.trial.numerics import iterate

LR, BETA1, BETA2, EPS, DECAY = 0.05, 0.9, 0.99, 1e-3, 0.1


def parsed(update, states, parameters):
    """The rule of an ``update`` block."""
    lines = "\n".join(f"  {line.strip()}" for line in update.strip().splitlines())
    declared = ", ".join(f"{name}: fixed" for name in parameters)
    text = f"name: written\nstep_size: lr\nparameters: {{{declared}}}\n"
    return build_rule(parse_spec(f"{text}state: [{states}]\nupdate: |\n{lines}\n"))


def assert_same_iterates(rule, values, start, make_optimizer):
    ours = iterate(rule, gradient, {"lr": LR, **values}, {"x": X0, **start}, 50)
    theirs, _ = torch_iterates(make_optimizer, 50)
    np.testing.assert_allclose(ours["x"], theirs, rtol=0, atol=1e-12)


SHIPPED = {
    "adagrad": (
        {"epsilon": EPS * LR},
        {"v": np.full(2, 0.1)},
        lambda p: torch.optim.Adagrad(p, LR, initial_accumulator_value=0.1, eps=EPS),
    ),
    "rmsprop": (
        {"b": (1 - BETA2) / LR, "eps": EPS},
        {},
        lambda p: torch.optim.RMSprop(p, LR, alpha=BETA2, eps=EPS),
    ),
    "rmsprop_fixed_decay": (
        {"beta": 0.6, "eps": EPS},
        {},
        lambda p: torch.optim.RMSprop(p, LR, alpha=0.6, eps=EPS),
    ),
    "weight_decay": (
        {"decay": DECAY},
        {},
        lambda p: torch.optim.SGD(p, LR, weight_decay=DECAY),
    ),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_rule_is_that_of_torch(name):
    values, start, make_optimizer = SHIPPED[name]
    rule = derive(name).rule
    assert_same_iterates(rule, {rule.step_size.name: LR, **values}, start, make_optimizer)


@pytest.mark.parametrize("decay", [0.0, DECAY])
@pytest.mark.parametrize(("dampening", "nesterov"), [(0.0, False), (0.4, False), (0.0, True)])
def test_sgd(dampening, nesterov, decay):
    rule = parsed(
        f"""
        g = grad(x[k]) + decay*x[k]
        v[k+1] = mu*v[k] + (1 - tau)*g
        x[k+1] = x[k] - lr*({"g + mu*v[k+1]" if nesterov else "v[k+1]"})
        """,
        "x, v",
        ("mu", "tau", "decay"),
    )
    values = {"mu": BETA1, "tau": dampening, "decay": decay}
    # torch does not dampen the first gradient: the velocity starts with what dampening takes
    start = {"v": dampening / BETA1 * (gradient(X0) + decay * X0)}
    assert_same_iterates(
        rule,
        values,
        start,
        lambda p: torch.optim.SGD(p, LR, BETA1, dampening, decay, nesterov),
    )


def test_adagrad_with_a_falling_step():
    rule = parsed(
        """
        g = grad(x[k]) + decay*x[k]
        v[k+1] = v[k] + g**2
        x[k+1] = x[k] - lr/(1 + q*k)*g/(sqrt(v[k+1]) + eps)
        """,
        "x, v",
        ("q", "eps", "decay"),
    )
    values = {"q": 0.2, "eps": EPS, "decay": DECAY}
    assert_same_iterates(
        rule,
        values,
        {},
        lambda p: torch.optim.Adagrad(p, LR, lr_decay=0.2, weight_decay=DECAY, eps=EPS),
    )


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_rmsprop(momentum, centered):
    rule = parsed(
        f"""
        g = grad(x[k]) + decay*x[k]
        v[k+1] = beta*v[k] + (1 - beta)*g**2
        a[k+1] = beta*a[k] + (1 - beta)*g
        b[k+1] = mu*b[k] + g/(sqrt({"v[k+1] - a[k+1]**2" if centered else "v[k+1]"}) + eps)
        x[k+1] = x[k] - lr*b[k+1]
        """,
        "x, v, a, b",
        ("beta", "mu", "eps", "decay"),
    )
    values = {"beta": BETA2, "mu": momentum, "eps": EPS, "decay": DECAY}
    assert_same_iterates(
        rule,
        values,
        {},
        lambda p: torch.optim.RMSprop(p, LR, BETA2, EPS, DECAY, momentum, centered),
    )


ADAM = """
    m[k+1] = beta1*m[k] + (1 - beta1)*({gradient})
    v[k+1] = beta2*v[k] + (1 - beta2)*({gradient})**2
    m_hat = m[k+1]/(1 - beta1**(k+1))
    v_hat = {second}/(1 - beta2**(k+1))
    x[k+1] = {position} - lr*m_hat/(sqrt(v_hat) + eps)
"""
LOSS, PENALISED = "grad(x[k])", "grad(x[k]) + decay*x[k]"
DECAYED = "(1 - lr*decay)*x[k]"


@pytest.mark.parametrize(
    ("optimizer", "force", "position"),
    [(torch.optim.Adam, PENALISED, "x[k]"), (torch.optim.AdamW, LOSS, DECAYED)],
)
@pytest.mark.parametrize("amsgrad", [False, True])
def test_adam(optimizer, force, position, amsgrad):
    second = "w[k+1]" if amsgrad else "v[k+1]"
    update = ADAM.format(gradient=force, second=second, position=position)
    update += "    w[k+1] = max(w[k], v[k+1])" if amsgrad else ""
    rule = parsed(
        update, "x, m, v, w" if amsgrad else "x, m, v", ("beta1", "beta2", "eps", "decay")
    )
    values = {"beta1": BETA1, "beta2": 0.6, "eps": EPS, "decay": DECAY}
    assert_same_iterates(
        rule,
        values,
        {},
        lambda p: optimizer(p, LR, (BETA1, 0.6), EPS, DECAY, amsgrad=amsgrad),
    )


@pytest.mark.parametrize("decay", [0.0, DECAY])
def test_adamax(decay):
    rule = parsed(
        """
        g = grad(x[k]) + decay*x[k]
        m[k+1] = beta1*m[k] + (1 - beta1)*g
        u[k+1] = max(beta2*u[k], abs(g) + eps)
        x[k+1] = x[k] - lr*m[k+1]/((1 - beta1**(k+1))*u[k+1])
        """,
        "x, m, u",
        ("beta1", "beta2", "eps", "decay"),
    )
    values = {"beta1": BETA1, "beta2": 0.6, "eps": EPS, "decay": decay}
    assert_same_iterates(
        rule, values, {}, lambda p: torch.optim.Adamax(p, LR, (BETA1, 0.6), EPS, decay)
    )


def test_adadelta():
    rule = parsed(
        """
        v[k+1] = rho*v[k] + (1 - rho)*grad(x[k])**2
        u = sqrt(d[k] + eps)/sqrt(v[k+1] + eps)*grad(x[k])
        d[k+1] = rho*d[k] + (1 - rho)*u**2
        x[k+1] = x[k] - lr*u
        """,
        "x, v, d",
        ("rho", "eps"),
    )
    values = {"rho": BETA1, "eps": EPS}
    assert_same_iterates(rule, values, {}, lambda p: torch.optim.Adadelta(p, LR, BETA1, EPS))


def test_nadam(float64):
    rule = parsed(
        """
        m[k+1] = beta1*m[k] + (1 - beta1)*grad(x[k])
        v[k+1] = beta2*v[k] + (1 - beta2)*grad(x[k])**2
        mu[k] = beta1*(1 - 0.96**((k + 1)*psi)/2)
        c[k+1] = c[k]*mu[k]
        ahead = mu[k+1]*m[k+1]/(1 - c[k+1]*mu[k+1]) + (1 - mu[k])*grad(x[k])/(1 - c[k+1])
        x[k+1] = x[k] - lr*ahead/(sqrt(v[k+1]/(1 - beta2**(k+1))) + eps)
        """,
        "x, m, v, c",
        ("beta1", "beta2", "psi", "eps"),
    )
    values = {"beta1": BETA1, "beta2": BETA2, "psi": 4e-3, "eps": EPS}
    assert_same_iterates(
        rule,
        values,
        {"c": np.ones(2)},
        lambda p: torch.optim.NAdam(p, LR, (BETA1, BETA2), EPS),
    )
