"""The vector fields of the corpus beside Adam's kin, typed by hand, by the families of the catalogue."""

from __future__ import annotations

import torch
from corpus_adaptive import averages, rate_of
from corpus_tools import along, dot, enter, largest, mean, total
from equations import norm

# Gradient flows and momentum


@enter("qhm")
def qhm(t, states, f, p):
    h, m = states
    g = -f(t, h)
    return -(1 - p.nu) * g - p.nu * m, p.alpha * (g - m)


@enter("aggmo")
def aggmo(t, states, f, p):
    h, v1, v2, v3 = states
    force = f(t, h)
    return (v1 + v2 + v3) / 3, force - p.a1 * v1, force - p.a2 * v2, force - p.a3 * v3


@enter("pid")
def pid(t, states, f, p):
    h, i, w = states
    dh = i + p.d * w
    g, dg = along(f, t, h, dh)
    return dh, -p.a * i - g, -p.a * (w + dg)


@enter("accsgd")
def accsgd(t, states, f, p):
    """x and b relax to each other; (c + beta) x + (1 - beta) b is conserved while they do."""
    (h,) = states
    return (p.c * (1 + p.xi) / (1 + p.c) * f(t, h),)


@enter("sgdw")
def sgdw(t, states, f, p):
    h, v = states
    return v - p.c * h, f(t, h) - p.gamma * v


@enter("triple_momentum")
def triple_momentum(t, states, f, p):
    h, m = states
    return m, 2 * f(t, h) - 3 * p.mu.sqrt() * m


@enter("linear_coupling")
def linear_coupling(t, states, f, p):
    h, z = states
    return 2 / t * (z - h), t / 2 * f(t, h)


@enter("hessian_damping")
def hessian_damping(t, states, f, p):
    """Attouch et al. 2020, (DIN): x'' + gamma x' + beta J x' + g = 0."""
    h, v = states
    g, dg = along(f, t, h, v)
    return v, -p.gamma * v - p.beta * dg - g


@enter("relativistic")
def relativistic(t, states, f, p):
    h, v = states
    return v / (1 + p.d * norm(v) ** 2).sqrt(), f(t, h) - p.gamma * v


@enter("tikhonov")
def tikhonov(t, states, f, p):
    (h,) = states
    return (f(t, h) - p.c / (1 + t) * h,)


@enter("inverse_time_decay")
def inverse_time_decay(t, states, f, p):
    (h,) = states
    return (f(t, h) / (1 + p.c * t),)


@enter("cosine_annealing")
def cosine_annealing(t, states, f, p):
    (h,) = states
    return (torch.cos(p.omega * t / 2) ** 2 * f(t, h),)


@enter("gradient_centralization")
def gradient_centralization(t, states, f, p):
    (h,) = states
    return (f(t, h) - mean(f(t, h)),)


@enter("storm")
def storm(t, states, f, p):
    h, m = states
    g, dg = along(f, t, h, -m)
    return -m, dg + p.alpha * (g - m)


@enter("tam")
def tam(t, states, f, p):
    h, m, s = states
    g = -f(t, h)
    torque = dot(m, g) / (norm(m) * norm(g))
    return -m, ((1 + s) / 2 + p.eps) * g - p.alpha * m, p.gamma * (torque - s)


@enter("sgd_nesterov")
def sgd_nesterov(t, states, f, p):
    """The gradient that is added once more is a step long and vanishes."""
    h, b = states
    return -b, p.decay * h - f(t, h) - p.gamma * b


@enter("sgd_warmup")
def sgd_warmup(t, states, f, p):
    (h,) = states
    return ((t / p.warm).clamp(max=1) * f(t, h),)


# Normalised and clipped steps


@enter("lars_momentum")
def lars_momentum(t, states, f, p):
    h, v = states
    trust = norm(h) / (norm(f(t, h)) + p.decay * norm(h))
    return v, trust * (f(t, h) - p.decay * h) - p.gamma * v


@enter("normalized_momentum")
def normalized_momentum(t, states, f, p):
    h, m = states
    return -m / norm(m), p.alpha * (-f(t, h) - m)


@enter("nigt")
def nigt(t, states, f, p):
    """The gradient is taken 1/alpha of time ahead."""
    h, m = states
    dh = -m / norm(m)
    return dh, p.alpha * (-f(t, h + dh / p.alpha) - m)


@enter("clipped_momentum")
def clipped_momentum(t, states, f, p):
    h, m = states
    return -(p.c / norm(m)).clamp(max=1) * m, p.alpha * (-f(t, h) - m)


@enter("clipped_values")
def clipped_values(t, states, f, p):
    (h,) = states
    return (torch.minimum(torch.maximum(f(t, h), -p.c), p.c),)


@enter("adaptive_clipping")
def adaptive_clipping(t, states, f, p):
    (h,) = states
    return ((p.c * norm(h).clamp(min=p.eps) / norm(f(t, h))).clamp(max=1) * f(t, h),)


@enter("fromage")
def fromage(t, states, f, p):
    (h,) = states
    return (norm(h) / norm(f(t, h)) * f(t, h),)


@enter("gravity")
def gravity(t, states, f, p):
    (h,) = states
    g = -f(t, h)
    return (-g / (1 + (g * largest(g.abs())) ** 2),)


@enter("novograd")
def novograd(t, states, f, p):
    h, m, v = states
    g = -f(t, h)
    return -m, g * rate_of(p, v) - p.alpha * m, p.beta * (norm(g) ** 2 - v)


@enter("sgdp")
def sgdp(t, states, f, p):
    h, v = states
    return v - dot(h, v) / dot(h, h) * h, f(t, h) - p.gamma * v


@enter("adamp")
def adamp(t, states, f, p):
    h, m, v = states
    g, u = -f(t, h), m * rate_of(p, v)
    cosine = dot(h, g).abs() / (norm(h) * norm(g))
    nearly_orthogonal = cosine < p.delta / h[0].numel() ** 0.5
    projected = u - torch.where(nearly_orthogonal, dot(h, u) / dot(h, h) * h, 0)
    return -projected, *averages(p, g, m, v)


@enter("sgdsai")
def sgdsai(t, states, f, p):
    h, m, scale = states
    return -scale * m, p.alpha * (-f(t, h) - m), torch.zeros_like(h)


# Averages of the iterates


@enter("primal_averaging")
def primal_averaging(t, states, f, p):
    h, z = states
    return (z - h) / t, f(t, h)


@enter("stochastic_primal_averaging")
def stochastic_primal_averaging(t, states, f, p):
    h, z = states
    return p.gamma * (z - h), f(t, h)


@enter("schedulefree_sgd")
def schedulefree_sgd(t, states, f, p):
    h, z = states
    return (z - h) / t, f(t, z + p.beta * (h - z))


@enter("schedulefree_adamw")
def schedulefree_adamw(t, states, f, p):
    h, z, v = states
    y = z + p.beta * (h - z)
    dz = f(t, y) * rate_of(p, v) - p.decay * y
    return (z - h) / t, dz, p.b * (f(t, y) ** 2 - v)


@enter("elastic_averaging")
def elastic_averaging(t, states, f, p):
    h, c = states
    return f(t, h) - p.rho * (h - c), p.rho * (h - c)


# No step size to choose


@enter("hypergradient")
def hypergradient(t, states, f, p):
    h, e = states
    return e * f(t, h), p.rate * norm(f(t, h)) ** 2 * torch.ones_like(h)


def longest(h, x_ref, r, dh):
    """The rate of the largest distance from x_ref so far: it stands unless it is being passed."""
    away = h - x_ref
    rate = dot(away, dh) / norm(away)
    return torch.where(norm(away) >= r, rate.clamp(min=0), 0)


@enter("dog")
def dog(t, states, f, p):
    h, x_ref, r, q = states
    dh = r / q.sqrt() * f(t, h)
    still = torch.zeros_like(h)
    return dh, still, longest(h, x_ref, r, dh), norm(f(t, h)) ** 2 + still


@enter("dowg")
def dowg(t, states, f, p):
    h, x_ref, r, q = states
    dh = r**2 / q.sqrt() * f(t, h)
    return dh, torch.zeros_like(h), longest(h, x_ref, r, dh), (r * norm(f(t, h))) ** 2


@enter("adamg")
def adamg(t, states, f, p):
    h, m, v, r = states
    g = -f(t, h)
    dm, dv = p.alpha * (r * g - m), p.beta * (g**2 - v)
    return -m * rate_of(p, v), dm, dv, p.gamma * (p.p * v**p.q - r)


@enter("adagrad_norm")
def adagrad_norm(t, states, f, p):
    h, b = states
    return f(t, h) / b.sqrt(), norm(f(t, h)) ** 2 * torch.ones_like(h)


@enter("wngrad")
def wngrad(t, states, f, p):
    h, b = states
    return f(t, h) / b, norm(f(t, h)) ** 2 / b


# Adaptive steps of other kinds


@enter("sc_adagrad")
def sc_adagrad(t, states, f, p):
    h, v = states
    return p.alpha * f(t, h) / (v + p.d), f(t, h) ** 2


@enter("kate")
def kate(t, states, f, p):
    h, b, w = states
    g = -f(t, h)
    return -w.sqrt() / b * g, g**2, p.eta * g**2


@enter("expectigrad")
def expectigrad(t, states, f, p):
    h, m, v = states
    g = -f(t, h)
    return -m, p.alpha * (g * rate_of(p, v) - m), (g**2 - v) / t


@enter("madgrad")
def madgrad(t, states, f, p):
    """The derivative of x_ref - s/(v^(1/3) + eps), where s and v are sums with the weight sqrt(t)."""
    h, _, s, v = states
    g, weight = -f(t, h), t.sqrt()
    position = lambda s, v: -s / (v ** (1 / 3) + p.eps)  # noqa: E731
    _, dh = torch.func.jvp(position, (s, v), (weight * g, weight * g**2))
    return dh, torch.zeros_like(h), weight * g, weight * g**2


# Steps scaled by curvature


@enter("adahessian")
def adahessian(t, states, f, p):
    h, m, v = states
    rate = p.beta * (p.diagonal(h) ** 2 - v)
    return -m * rate_of(p, v), p.alpha * (-f(t, h) - m), rate


@enter("sophia")
def sophia(t, states, f, p):
    h, m, v = states
    newton = (m / (p.rho * v).clamp(min=p.eps)).clamp(-1, 1)
    return -newton - p.decay * h, p.alpha * (-f(t, h) - m), p.beta * (p.diagonal(h) - v)


@enter("natural_gradient")
def natural_gradient(t, states, f, p):
    (h,) = states
    return (-p.inverse(-f(t, h)),)


# Flat minima


@enter("asam")
def asam(t, states, f, p):
    (h,) = states
    g, size = -f(t, h), h.abs() + p.eta
    return (f(t, h + p.rho * size**2 * g / norm(size * g)),)


@enter("wsam")
def wsam(t, states, f, p):
    (h,) = states
    g, w = -f(t, h), p.gamma / (1 - p.gamma)
    return ((1 - w) * f(t, h) + w * f(t, h + p.rho * g / norm(g)),)


@enter("gsam")
def gsam(t, states, f, p):
    (h,) = states
    g = -f(t, h)
    ahead = -f(t, h + p.rho * g / norm(g))
    across = g - dot(g, ahead) / dot(ahead, ahead) * ahead
    return (-ahead + p.alpha * across,)


@enter("friendly_sam")
def friendly_sam(t, states, f, p):
    h, m = states
    g = -f(t, h)
    d = g - p.sigma * m
    return f(t, h + p.rho * d / norm(d)), p.a * (g - m)


@enter("momentum_sam")
def momentum_sam(t, states, f, p):
    h, v = states
    return v, f(t, h - p.rho * v / norm(v)) - p.gamma * v


# Mirror, proximal and projected steps


@enter("projected_gradient")
def projected_gradient(t, states, f, p):
    (h,) = states
    return (p.projection(h + p.lam * f(t, h)) - h,)


@enter("frank_wolfe_momentum")
def frank_wolfe_momentum(t, states, f, p):
    h, m = states
    return p.lmo(m) - h, p.r * (-f(t, h) - m)


@enter("multiplicative_weights")
def replicator(t, states, f, p):
    (h,) = states
    g = -f(t, h)
    return (h * (dot(h, g) / total(h) - g),)


@enter("hypentropy")
def hypentropy(t, states, f, p):
    (h,) = states
    return ((h**2 + p.b**2).sqrt() * f(t, h),)


# Games: f is the field F, not minus F


@enter("reflected_gradient")
def reflected_gradient(t, states, f, p):
    (h,) = states
    return (-f(t, h),)


@enter("anchored_gradient")
def anchored_gradient(t, states, f, p):
    h, z_ref = states
    return -f(t, h) + p.gamma / t * (z_ref - h), torch.zeros_like(h)


@enter("negative_momentum")
def negative_momentum(t, states, f, p):
    (h,) = states
    return (-f(t, h) / (1 + p.beta),)


@enter("optimistic_adam")
def optimistic_adam(t, states, f, p):
    h, m, v = states
    return -m * rate_of(p, v), *averages(p, f(t, h), m, v)


@enter("mirror_prox")
def mirror_prox(t, states, f, p):
    (h,) = states
    return (-h * f(t, h),)
