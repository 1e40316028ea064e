"""The vector fields of torch.optim's optimizers and of Adam's kin, typed by hand."""

from __future__ import annotations

import torch
from corpus_tools import along, enter, mean
from equations import norm


def rate_of(p, v):
    """Adam's rate of each element."""
    return 1 / (v.sqrt() + p.eps)


def averages(p, g, m, v):
    """Averages of the gradient and of its square."""
    return p.alpha * (g - m), p.beta * (g**2 - v)


# Of torch.optim


@enter("sgd")
def sgd(t, states, f, p):
    h, b = states
    return -b, (1 - p.dampening) * (-f(t, h) + p.decay * h) - p.gamma * b


@enter("sgd_fixed_momentum")
def sgd_fixed_momentum(t, states, f, p):
    (h,) = states
    return ((1 - p.dampening) * (f(t, h) - p.decay * h) / (1 - p.momentum),)


@enter("asgd")
def asgd(t, states, f, p):
    h, ax = states
    return (f(t, h) - p.lambd * h) * (1 + p.lambd * t) ** -p.alpha, (h - ax) / t


@enter("adadelta")
def adadelta(t, states, f, p):
    h, v, w = states
    u = ((w + p.eps) / (v + p.eps)).sqrt() * f(t, h)
    return u, p.r * (f(t, h) ** 2 - v), p.r * (u**2 - w)


@enter("nadam")
def nadam(t, states, f, p):
    h, m, v = states
    g, mu = -f(t, h), 1 - 0.96 ** (p.p * t) / 2
    root = (v / (1 - torch.exp(-p.beta * t))).sqrt()
    return -(mu * m + (1 - mu) * g) / (root + p.eps), *averages(p, g, m, v)


@enter("nadam_constant")
def nadam_constant(t, states, f, p):
    h, m, v = states
    root = (v / (1 - torch.exp(-p.beta * t))).sqrt()
    return -m / (1 - torch.exp(-p.alpha * t)) / (root + p.eps), *averages(p, -f(t, h), m, v)


@enter("radam")
def radam(t, states, f, p):
    h, m, v = states
    rectified = (1 - p.beta * t / torch.expm1(p.beta * t)).sqrt()
    root = (v / (1 - torch.exp(-p.beta * t))).sqrt()
    step = -rectified * m / (1 - torch.exp(-p.alpha * t)) / (root + p.eps)
    return step, *averages(p, -f(t, h), m, v)


@enter("rmsprop_momentum")
def rmsprop_momentum(t, states, f, p):
    h, v = states
    return f(t, h) * rate_of(p, v) / (1 - p.momentum), p.a * (f(t, h) ** 2 - v)


@enter("rmsprop_centered")
def rmsprop_centered(t, states, f, p):
    h, mean_g, w = states
    g = -f(t, h)
    return -g * rate_of(p, w) / (1 - p.momentum), p.a * (g - mean_g), p.a * ((g - mean_g) ** 2 - w)


# Adam and its kin


@enter("adabelief")
def adabelief(t, states, f, p):
    h, m, v = states
    g = -f(t, h)
    return -m * rate_of(p, v), p.alpha * (g - m), p.beta * ((g - m) ** 2 - v) + p.e


@enter("yogi")
def yogi(t, states, f, p):
    h, m, v = states
    g = -f(t, h)
    return -m * rate_of(p, v), p.alpha * (g - m), p.beta * torch.sign(g**2 - v) * g**2


@enter("ano")
def ano(t, states, f, p):
    h, m, v = states
    g = -f(t, h)
    step = -g.abs() * torch.sign(m) * rate_of(p, v)
    return step, p.alpha * (g - m), p.beta * torch.sign(g**2 - v) * g**2


@enter("laprop")
def laprop(t, states, f, p):
    h, m, v = states
    g = -f(t, h)
    return -m, p.alpha * (g * rate_of(p, v) - m), p.beta * (g**2 - v)


@enter("adan")
def adan(t, states, f, p):
    h, m, d, v = states
    dh = -m * rate_of(p, v) - p.decay * h
    g, dg = along(f, t, h, dh)
    return dh, p.alpha * (g - m), p.beta * (dg - d), p.gamma * (g**2 - v)


@enter("ademamix")
def ademamix(t, states, f, p):
    h, m, slow, v = states
    dm, dv = averages(p, -f(t, h), m, v)
    return -(m + p.mix * slow) * rate_of(p, v), dm, p.gamma * (-f(t, h) - slow), dv


@enter("mars")
def mars(t, states, f, p):
    h, m, v = states
    dh = -m * rate_of(p, v) - p.decay * h
    g, dg = along(f, t, h, dh)
    c = g + p.gamma / p.alpha * dg
    return dh, *averages(p, c, m, v)


@enter("adopt")
def adopt(t, states, f, p):
    h, m, v = states
    g = -f(t, h)
    return -m, p.alpha * (g / v.sqrt().clamp(min=p.eps) - m), p.beta * (g**2 - v)


@enter("cautious_adamw")
def cautious_adamw(t, states, f, p):
    h, m, v = states
    g = -f(t, h)
    agrees = (m * g > 0).to(h)
    share = mean(agrees).clamp(min=0.001)
    return -m * rate_of(p, v) * agrees / share - p.decay * h, *averages(p, g, m, v)


@enter("grams")
def grams(t, states, f, p):
    h, m, v = states
    g = -f(t, h)
    return -torch.sign(g) * m.abs() * rate_of(p, v), *averages(p, g, m, v)


@enter("adamod")
def adamod(t, states, f, p):
    h, m, v, r = states
    rate = rate_of(p, v)
    dm, dv = averages(p, -f(t, h), m, v)
    return -torch.minimum(rate, r) * m, dm, dv, p.gamma * (rate - r)


@enter("adabound")
def adabound(t, states, f, p):
    h, m, v = states
    rate = rate_of(p, v)
    low, high = p.final * (1 - 1 / (p.c * t + 1)), p.final * (1 + 1 / (p.c * t))
    bounded = torch.minimum(torch.maximum(rate, low), high)
    return -bounded * m, *averages(p, -f(t, h), m, v)


@enter("amsbound")
def amsbound(t, states, f, p):
    """The largest v moves with v where it is v and v grows."""
    h, m, v, v_max = states
    dm, dv = averages(p, -f(t, h), m, v)
    low, high = p.final * p.c * t / (p.c * t + 1), p.final * (1 + 1 / (p.c * t))
    bounded = torch.minimum(torch.maximum(rate_of(p, v_max), low), high)
    return -bounded * m, dm, dv, torch.where(v >= v_max, dv.clamp(min=0), 0)


@enter("amos")
def amos(t, states, f, p):
    """The decays of step and weights are of higher order in lr."""
    h, v, _ = states
    square = mean(f(t, h) ** 2)
    return p.eta * f(t, h) / v.sqrt(), p.alpha * (square - v), square / v


@enter("adamc")
def adamc(t, states, f, p):
    h, m, v = states
    fading = 1 / (1 + p.c * t)
    dh = -fading * (m * rate_of(p, v) + fading * p.decay * h)
    return dh, *averages(p, -f(t, h), m, v)


@enter("spam")
def spam(t, states, f, p):
    h, m, v = states
    bound = (p.theta * v).sqrt()
    g = torch.minimum(torch.maximum(-f(t, h), -bound), bound)
    return -m * rate_of(p, v), *averages(p, g, m, v)


@enter("avagrad")
def avagrad(t, states, f, p):
    h, m, v = states
    rate = rate_of(p, v)
    return -rate / mean(rate**2).sqrt() * m, *averages(p, -f(t, h), m, v)


@enter("stable_adamw")
def stable_adamw(t, states, f, p):
    h, m, v = states
    g = -f(t, h)
    rms = mean(g**2 / v.clamp(min=p.eps**2)).sqrt()
    return -(m * rate_of(p, v) + p.decay * h) / rms.clamp(min=1), *averages(p, g, m, v)


@enter("adam_atan2")
def adam_atan2(t, states, f, p):
    h, m, v = states
    return -torch.atan2(m, v.sqrt()), *averages(p, -f(t, h), m, v)


@enter("adams")
def adams(t, states, f, p):
    h, m = states
    g = -f(t, h)
    root = (p.beta2 * m**2 + (1 - p.beta2) * g**2).sqrt()
    return -m / (root + p.eps), p.alpha * (g - m)


@enter("grokfast")
def grokfast(t, states, f, p):
    h, s, m, v = states
    g = -f(t, h)
    return -m * rate_of(p, v), p.gamma * (g - s), *averages(p, g + p.gain * s, m, v)


@enter("diffgrad")
def diffgrad(t, states, f, p):
    """A change of zero gives the friction 1/2."""
    h, m, v = states
    return -m * rate_of(p, v) / 2, *averages(p, -f(t, h), m, v)


@enter("adai")
def adai(t, states, f, p):
    h, m, v = states
    g = -f(t, h)
    return -m, p.c * v / mean(v) * (g - m), p.beta * (g**2 - v)


@enter("padam")
def padam(t, states, f, p):
    h, m, v = states
    return -m / (v**p.power + p.eps), *averages(p, -f(t, h), m, v)


@enter("qhadam")
def qhadam(t, states, f, p):
    h, m, v = states
    g = -f(t, h)
    root = ((1 - p.nu2) * g**2 + p.nu2 * v).sqrt()
    return -((1 - p.nu1) * g + p.nu1 * m) / (root + p.eps), *averages(p, g, m, v)


@enter("adanorm")
def adanorm(t, states, f, p):
    h, m, v, e = states
    g = -f(t, h)
    stretched = (e / norm(g)).clamp(min=1) * g
    dm, dv = p.alpha * (stretched - m), p.beta * (g**2 - v)
    return -m * rate_of(p, v), dm, dv, p.gamma * (norm(g) - e)


@enter("fadam")
def fadam(t, states, f, p):
    h, m, v = states
    g, rate = -f(t, h), rate_of(p, v)
    natural = g * rate
    clipped = natural / (mean(natural**2).sqrt() / p.bound).clamp(min=1)
    return -m - p.decay * h * rate, p.alpha * (clipped - m), p.beta * (g**2 - v)


@enter("adafom")
def adafom(t, states, f, p):
    h, m, v = states
    g = -f(t, h)
    return -m * rate_of(p, v), p.alpha * (g - m), (g**2 - v) / t
