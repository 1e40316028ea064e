"""Vector fields typed by hand as PyTorch: the rates of each model's states.

Each takes the learned parameters by name, the network, the time and the states. The papers are named
in limit/test_derivations.py.
"""

from __future__ import annotations

import torch
from torch.nn.functional import hardtanh, softplus


def heavy_ball(p, f, t, h, m):
    return m, -torch.sigmoid(p["raw_gamma"]) * m + f(t, h)


def generalized_heavy_ball(p, f, t, h, m):
    force = f(t, h) - softplus(p["raw_xi"]) * h
    return torch.tanh(m), -torch.sigmoid(p["raw_gamma"]) * m + force


def hardtanh_heavy_ball(p, f, t, h, m):
    force = f(t, h) - softplus(p["raw_xi"]) * h
    return hardtanh(m, -5, 5), -torch.sigmoid(p["raw_gamma"]) * m + force


def nesterov(p, f, t, h, m):
    return m, -3 / t * m + f(t, h)


def adam(p, f, t, h, m, v):
    alpha, beta = torch.sigmoid(p["raw_alpha"]), torch.sigmoid(p["raw_beta"])
    g = -f(t, h)
    return -m / (v.sqrt() + 1e-8), alpha * (g - m), beta * (g**2 - v)


def adam_guarded(p, f, t, h, m, v):
    alpha, beta = torch.sigmoid(p["raw_alpha"]), torch.sigmoid(p["raw_beta"])
    g = -f(t, h)
    return -m / (softplus(v).sqrt() + 1e-8), alpha * (g - m), beta * (g**2 - v)


def adam_bias_corrected(p, f, t, h, m, v):
    alpha, beta = torch.sigmoid(p["raw_alpha"]), torch.sigmoid(p["raw_beta"])
    g = -f(t, h)
    m_hat, v_hat = m / (1 - torch.exp(-alpha * t)), v / (1 - torch.exp(-beta * t))
    return -m_hat / (v_hat.sqrt() + 1e-8), alpha * (g - m), beta * (g**2 - v)


def second_order(p, f, t, x, v):
    return v, f(t, x, v)


def gradient_descent(p, f, t, h):
    return (f(t, h),)


def undamped_heavy_ball(p, f, t, h, m):
    return m, f(t, h)


def strongly_convex(p, f, t, h, m):
    """Polyak's as Nesterov's, with 2 sqrt(mu) (Shi, Du, Jordan and Su 2018, low resolution)."""
    return m, f(t, h) - 2 * softplus(p["raw_mu"]).sqrt() * m


def generalized_nesterov(p, f, t, h, m):
    """Su, Boyd and Candes 2014, section 4: r/t in the place of 3/t."""
    return m, f(t, h) - softplus(p["raw_r"]) / t * m


def adam_l2(p, f, t, h, m, v):
    """The penalty is part of the gradient that Adam sees (Loshchilov and Hutter 2019)."""
    return adam(p, lambda t, h: f(t, h) - softplus(p["raw_decay"]) * h, t, h, m, v)


def adamw(p, f, t, h, m, v):
    """The decay is beside Adam."""
    rates = adam(p, f, t, h, m, v)
    return rates[0] - softplus(p["raw_decay"]) * h, *rates[1:]


def hamiltonian_descent(p, f, t, h, m):
    """Maddison et al. 2018, the relativistic kinetic energy sqrt(1 + |m|^2) of each sample."""
    return m / (1 + (m * m).sum(-1, True)).sqrt(), f(t, h) - softplus(p["raw_gamma"]) * m
