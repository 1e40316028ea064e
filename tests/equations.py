"""The vector fields of the shipped models in PyTorch, typed by hand: none of this comes out of optode.

``EQUATIONS`` maps a spec's name to a function of the time, the states, the network f and a
namespace of the hyper-parameters, which returns the states' derivatives. f stands for minus the
gradient (``g = -f(t, h)``), in games for the field F itself. The docstrings say whose equation it
is; "by hand" means that a rule's limit was worked out on paper, from the rule in its spec.
``ADJOINTS`` are adjoint fields in the same way, with JT(c) the transposed Jacobian applied to c.
"""

from __future__ import annotations

import torch

EQUATIONS, ADJOINTS = {}, {}


def typed(*names, table=EQUATIONS):
    """Enter an equation under the names of its specs."""

    def enter(function):
        assert not table.keys() & set(names)
        table.update(dict.fromkeys(names, function))
        return function

    return enter


def norm(x):
    """The Euclidean norm of each sample."""
    return x.square().flatten(1).sum(1).sqrt().view(-1, *[1] * (x.ndim - 1))


# Operators of the caller's


@typed("frank_wolfe")
def conditional_gradient_of_an_operator(t, states, f, p):
    """Chen, Lee and Sun 2021: ``x' = s - x`` with s of the set, the least in the direction of g."""
    (h,) = states
    return (p.lmo(-f(t, h)) - h,)


@typed("mirror_descent")
def mirror_flow(t, states, f, p):
    """Krichene, Bayen and Bartlett 2015: ``z' = -g(x)``, ``x = grad psi*(z)``."""
    (z,) = states
    return (f(t, p.mirror(z)),)


@typed("frank_wolfe", table=ADJOINTS)
def conditional_gradient_of_an_operator_adjoint(t, states, costates, f, transposed, p):
    """By hand: the transpose of ``-lmo'(-f) J - I``, with the slope of ``tanh(scale u)``."""
    (h,), (a,) = states, costates
    slope = p.lmo.scale * (1 - p.lmo(-f(t, h)) ** 2)
    return (a + transposed(slope * a)[0],)


# Gradient flow, and the rules whose leading order it is


@typed("gradient_descent", "proximal_point")
def gradient_flow(t, states, f, p):
    """Cauchy 1847, ``x' = -g(x)``; Chen et al. 2018. An implicit step has the same limit."""
    (h,) = states
    return (f(t, h),)


@typed("sam_root_radius", "sam_small_radius", "usam")
def vanishing_radius(t, states, f, p):
    """Compagnoni et al. 2023: a radius that goes to zero with the step leaves ``x' = -g(x)``."""
    (h,) = states
    return (f(t, h),)


@typed("gradient_descent_ascent", "extragradient", "optimistic_gradient")
def game(t, states, f, p):
    """Lu 2022: ``z' = -F(z)``; f is F, not minus F."""
    (h,) = states
    return (-f(t, h),)


@typed("sam")
def sharpness_aware(t, states, f, p):
    """Compagnoni et al. 2023, fixed radius: ``x' = -g(x + rho g/|g|)``."""
    (h,) = states
    g = -f(t, h)
    return (f(t, h + p.rho * g / norm(g)),)


@typed("heavy_ball_fixed", "nesterov_fixed")
def fixed_momentum(t, states, f, p):
    """Kovachki and Stuart 2021: ``x' = -g/(1 - beta)``, of Polyak's and of Nesterov's momentum."""
    (h,) = states
    return (f(t, h) / (1 - p.beta),)


@typed("heavy_ball_overdamped")
def overdamped(t, states, f, p):
    """By hand: v is -s g/(1 - beta) = -s^(3/4) g/c, and s^(3/4) is the step of time."""
    (h,) = states
    return (f(t, h) / p.c,)


@typed("lookahead")
def lookahead(t, states, f, p):
    """By hand, as in Zhang et al. 2019: five steps of s/5 lead -s g, of which alpha is gone."""
    (h,) = states
    return (p.alpha * f(t, h),)


@typed("weight_decay")
def weight_decay(t, states, f, p):
    """Krogh and Hertz 1991: ``w' = -g - lambda w``."""
    (h,) = states
    return (f(t, h) - p.decay * h,)


@typed("learning_rate_decay")
def learning_rate_decay(t, states, f, p):
    """By hand: (1 - c s)^k at k = t/s tends to exp(-c t)."""
    (h,) = states
    return (torch.exp(-p.c * t) * f(t, h),)


@typed("exponential_average")
def exponential_average(t, states, f, p):
    """By hand: a moves by b s (x - a) in a step of s."""
    h, a = states
    return f(t, h), p.b * (h - a)


@typed("polyak_average")
def polyak_average(t, states, f, p):
    """Polyak and Juditsky 1992: a is the mean of x over [0, t], so ``(t a)' = x``."""
    h, a = states
    return f(t, h), (h - a) / t


# Steps of a given length


@typed("clipped_descent")
def clipped(t, states, f, p):
    """Pascanu, Mikolov and Bengio 2013, algorithm 1: longer gradients are scaled to the length c."""
    (h,) = states
    f = f(t, h)
    return (torch.where(norm(f) > p.c, p.c * f / norm(f), f),)


@typed("normalized_descent")
def normalized(t, states, f, p):
    """Nesterov 1984: ``x' = -g/|g|``."""
    (h,) = states
    f = f(t, h)
    return (f / norm(f),)


@typed("rescaled_gradient")
def rescaled(t, states, f, p):
    """Wibisono, Wilson and Jordan 2016: ``x' = -g/|g|^((p - 2)/(p - 1))`` at p = 3."""
    (h,) = states
    f = f(t, h)
    return (f / norm(f).sqrt(),)


@typed("lars")
def layer_wise(t, states, f, p):
    """You, Gitman and Ginsburg 2017: the local rate is |w|/|g|."""
    (h,) = states
    f = f(t, h)
    return (norm(h) / norm(f) * f,)


@typed("frank_wolfe_ball")
def conditional_gradient(t, states, f, p):
    """Jaggi 2013 with the step 2/(t + 2): on a ball -c g/|g| minimises the linear model."""
    (h,) = states
    f = f(t, h)
    return (2 / (t + 2) * (p.c * f / norm(f) - h),)


# Momentum


@typed("heavy_ball")
def heavy_ball(t, states, f, p):
    """Xia et al. 2021, HBNODE: ``h' = m``, ``m' = -gamma m + f(t, h)``."""
    h, m = states
    return m, -p.gamma * m + f(t, h)


@typed("generalized_heavy_ball")
def generalized_heavy_ball(t, states, f, p):
    """Xia et al. 2021, GHBNODE: ``h' = sigma(m)``, ``m' = -gamma m + f(t, h) - xi h``, by tanh."""
    h, m = states
    return torch.tanh(m), -p.gamma * m + f(t, h) - p.xi * h


@typed("generalized_heavy_ball_hardtanh")
def generalized_heavy_ball_hardtanh(t, states, f, p):
    """The same with the activation of its silverbox and nested spheres, hardtanh on [-5, 5]."""
    h, m = states
    return m.clamp(-5, 5), -p.gamma * m + f(t, h) - p.xi * h


@typed("heavy_ball_strongly_convex", "nesterov_strongly_convex")
def strongly_convex(t, states, f, p):
    """Shi, Du, Jordan and Su 2018, the low-resolution ODE ``x'' + 2 sqrt(mu) x' + g(x) = 0``."""
    h, m = states
    return m, -2 * p.mu.sqrt() * m + f(t, h)


@typed("heavy_ball_undamped")
def undamped(t, states, f, p):
    """By hand: 1 - beta vanishes faster than sqrt(s), the unit of time: ``x'' + g(x) = 0``."""
    h, m = states
    return m, f(t, h)


@typed("nesterov")
def nesterov(t, states, f, p):
    """Su, Boyd and Candès 2014 (3): ``x'' + (3/t) x' + g(x) = 0``."""
    h, m = states
    return m, -3 / t * m + f(t, h)


@typed("nesterov_generalized")
def nesterov_generalized(t, states, f, p):
    """Su, Boyd and Candès 2014, on the magic constant 3: ``x'' + (r/t) x' + g(x) = 0``."""
    h, m = states
    return m, -p.r / t * m + f(t, h)


@typed("fista")
def fista(t, states, f, p):
    """By hand: theta grows by 1/2 a step, the momentum is 1 - 3/(2 theta); theta = t/2 gives 3/t."""
    h, m, theta = states
    return m, -3 * m / (2 * theta) + f(t, h), torch.full_like(theta, 0.5)


@typed("ogm")
def ogm(t, states, f, p):
    """By hand: the last term of the rule adds -s g once more, with a coefficient that tends to 1."""
    h, m, theta = states
    return m, -3 * m / (2 * theta) + 2 * f(t, h), torch.full_like(theta, 0.5)


@typed("second_order")
def second_order(t, states, f, p):
    """Norcliffe et al. 2020, SONODE: ``x'' = f(t, x, x')``."""
    x, v = states
    return v, f(t, x, v)


@typed("hamiltonian_descent")
def hamiltonian_descent(t, states, f, p):
    """Maddison et al. 2018 with the relativistic energy k(p) = sqrt(1 + |p|^2)."""
    h, momentum = states
    speed = momentum / (1 + norm(momentum) ** 2).sqrt()
    return speed, f(t, h) - p.gamma * momentum


@typed("accelerated_mirror_descent")
def accelerated_mirror_descent(t, states, f, p):
    """Krichene, Bayen and Bartlett 2015, whose mirror map is exp for the entropy."""
    h, z = states
    return p.r / t * (torch.exp(z) - h), t / p.r * f(t, h)


@typed("accelerated_cubic")
def accelerated_cubic(t, states, f, p):
    """Wibisono, Wilson and Jordan 2016: ``X' = (p/t)(Z - X)``, ``Z' = -C p t^(p-1) g``, p = 3."""
    h, z = states
    return 3 / t * (z - h), 3 * p.C * t**2 * f(t, h)


@typed("exponentiated_gradient")
def exponentiated_gradient(t, states, f, p):
    """Mirror flow ``(log x)' = -g(x)`` of the entropy (Nemirovski and Yudin 1983)."""
    (h,) = states
    return (h * f(t, h),)


# Adaptive steps


@typed("adagrad")
def adagrad(t, states, f, p):
    """Da Silva and Gazeau 2020 with p = 1, q = 0: ``v' = g^2``, the small number outside the root."""
    h, v = states
    g = -f(t, h)
    return -g / (v.sqrt() + p.epsilon), g**2


@typed("rmsprop")
def rmsprop(t, states, f, p):
    """Da Silva and Gazeau 2020 without momentum, p = q = b."""
    h, v = states
    g = -f(t, h)
    return -g / (v.sqrt() + p.eps), p.b * (g**2 - v)


@typed("rmsprop_fixed_decay")
def rmsprop_fixed_decay(t, states, f, p):
    """Ma, Wu and E 2020: of a fixed decay the root of v is |g|."""
    (h,) = states
    g = -f(t, h)
    return (-g / (g.abs() + p.eps),)


@typed("adam")
def adam(t, states, f, p):
    """Cho et al. 2022, AdamNODE, in the direction of f."""
    h, m, v = states
    f = f(t, h)
    return -m / (v.sqrt() + p.eps), p.alpha * (-f - m), p.beta * (f**2 - v)


@typed("adam_guarded")
def adam_guarded(t, states, f, p):
    """AdamNODE as released: softplus under the root."""
    h, m, v = states
    f = f(t, h)
    root = torch.log1p(torch.exp(v)).sqrt()
    return -m / (root + p.eps), p.alpha * (-f - m), p.beta * (f**2 - v)


@typed("adam_bias_corrected")
def adam_bias_corrected(t, states, f, p):
    """Da Silva and Gazeau 2020: 1 - beta1^k at k = t/lr tends to 1 - exp(-alpha t)."""
    h, m, v = states
    f = f(t, h)
    m_hat = m / (1 - torch.exp(-p.alpha * t))
    v_hat = v / (1 - torch.exp(-p.beta * t))
    return -m_hat / (v_hat.sqrt() + p.eps), p.alpha * (-f - m), p.beta * (f**2 - v)


@typed("adam_fixed_beta1")
def adam_fixed_beta1(t, states, f, p):
    """By hand: with a fixed beta1, m is g, and Adam is RMSProp."""
    h, v = states
    g = -f(t, h)
    return -g / (v.sqrt() + p.eps), p.beta * (g**2 - v)


@typed("adam_fixed_beta2")
def adam_fixed_beta2(t, states, f, p):
    """By hand: with a fixed beta2 the root of v is |g|."""
    h, m = states
    g = -f(t, h)
    return -m / (g.abs() + p.eps), p.alpha * (g - m)


@typed("adam_fixed_betas")
def adam_fixed_betas(t, states, f, p):
    """Cattaneo, Klusowski and Shigida 2024, leading order: ``x' = -g/sqrt(g^2 + eps)``."""
    (h,) = states
    g = -f(t, h)
    return (-g / (g**2 + p.eps).sqrt(),)


@typed("adafactor")
def adafactor(t, states, f, p):
    """By hand: v averages g^2 + eps over k^0.8 steps, few beside the k that have been."""
    (h,) = states
    g = -f(t, h)
    return (-g / (g**2 + p.eps).sqrt(),)


@typed("adam_l2")
def adam_l2(t, states, f, p):
    """Loshchilov and Hutter 2019, algorithm 2 with the penalty: it is part of the gradient."""
    return adam(t, states, lambda t, h: f(t, h) - p.decay * h, p)


@typed("adamw")
def adamw(t, states, f, p):
    """Loshchilov and Hutter 2019, algorithm 2 with decoupled decay: it is beside the step."""
    rates = adam(t, states, f, p)
    return rates[0] - p.decay * states[0], *rates[1:]


@typed("lamb")
def lamb(t, states, f, p):
    """By hand from You et al. 2020, algorithm 2: AdamW's step at the length of the weights."""
    step, *rest = adamw(t, states, f, p)
    return norm(states[0]) / norm(step) * step, *rest


@typed("amsgrad")
def amsgrad(t, states, f, p):
    """By hand from Reddi, Kale and Kumar 2018: the largest v so far grows where v is it, with v."""
    h, m, v, v_max = states
    _, dm, dv = adam(t, (h, m, v), f, p)
    growth = torch.where(v >= v_max, dv.clamp(min=0), 0.0)
    return -m / (v_max.sqrt() + p.eps), dm, dv, growth


@typed("adamax")
def adamax(t, states, f, p):
    """By hand from Kingma and Ba 2015, algorithm 2: u decays, but never below |g|.

    On that floor it follows |g| where this decays slower; g moves with x alone, as in the rule.
    """
    h, m, u = states
    dh = -m / (u + p.eps)
    g, dg = torch.func.jvp(lambda h: -f(t, h), (h,), (dh,))
    on_floor = torch.maximum(torch.sign(g) * dg, -p.beta * u)
    return dh, p.alpha * (g - m), torch.where(g.abs() >= u, on_floor, -p.beta * u)


@typed("lion_tanh")
def lion(t, states, f, p):
    """Chen, Liu, Liang and Liu 2023, Lion-K with K(u) = log cosh u, whose gradient is tanh."""
    h, m = states
    g = -f(t, h)
    return -torch.tanh(p.beta1 * m + (1 - p.beta1) * g) - p.decay * h, p.b * (g - m)


# Adjoint fields: of (t, states, costates, f, JT, p), JT(c) with a part for each argument of f


@typed("gradient_descent", table=ADJOINTS)
def adjoint_gradient_flow(t, states, costates, f, JT, p):
    """Pontryagin et al. 1962; Chen et al. 2018 (4)."""
    return (-JT(costates[0])[0],)


@typed("heavy_ball", table=ADJOINTS)
def adjoint_heavy_ball(t, states, costates, f, JT, p):
    """Xia et al. 2021, as a system of first order."""
    a_h, a_m = costates
    return -JT(a_m)[0], -a_h + p.gamma * a_m


@typed("generalized_heavy_ball", table=ADJOINTS)
def adjoint_generalized_heavy_ball(t, states, costates, f, JT, p):
    """By hand, for Xia et al. 2021: sigma'(m) = 1 - tanh(m)^2 multiplies a_h."""
    a_h, a_m = costates
    slope = 1 - torch.tanh(states[1]) ** 2
    return -(JT(a_m)[0] - p.xi * a_m), -slope * a_h + p.gamma * a_m


@typed("generalized_heavy_ball_hardtanh", table=ADJOINTS)
def adjoint_generalized_heavy_ball_hardtanh(t, states, costates, f, JT, p):
    """The same, where sigma' is 1 between the bounds and 0 beyond."""
    a_h, a_m = costates
    slope = (states[1].abs() < 5).to(a_h.dtype)
    return -(JT(a_m)[0] - p.xi * a_m), -slope * a_h + p.gamma * a_m


@typed("nesterov", table=ADJOINTS)
def adjoint_nesterov(t, states, costates, f, JT, p):
    """By hand, for Nguyen et al. 2022: the damping 3/t is where gamma was."""
    a_h, a_m = costates
    return -JT(a_m)[0], -a_h + 3 / t * a_m


@typed("adam", table=ADJOINTS)
def adjoint_adam(t, states, costates, f, JT, p):
    """By hand, for Cho et al. 2022: D(v) = 1/(sqrt(v) + eps), D' = -D^2/(2 sqrt(v))."""
    (h, m, v), (a_h, a_m, a_v) = states, costates
    D = 1 / (v.sqrt() + p.eps)
    force = JT(p.alpha * a_m - 2 * p.beta * f(t, h) * a_v)[0]
    return force, D * a_h + p.alpha * a_m, -(D**2) / (2 * v.sqrt()) * m * a_h + p.beta * a_v


@typed("adam_guarded", table=ADJOINTS)
def adjoint_adam_guarded(t, states, costates, f, JT, p):
    """By hand: the guard's slope, the logistic function, multiplies D'."""
    (h, m, v), (a_h, a_m, a_v) = states, costates
    root = torch.log1p(torch.exp(v)).sqrt()
    D, slope = 1 / (root + p.eps), 1 / (1 + torch.exp(-v))
    force = JT(p.alpha * a_m - 2 * p.beta * f(t, h) * a_v)[0]
    return force, D * a_h + p.alpha * a_m, -(D**2) / (2 * root) * slope * m * a_h + p.beta * a_v


@typed("second_order", table=ADJOINTS)
def adjoint_second_order(t, states, costates, f, JT, p):
    """Norcliffe et al. 2020, as a system of first order."""
    a_x, a_v = costates
    by_x, by_v = JT(a_v)
    return -by_x, -a_x - by_v
