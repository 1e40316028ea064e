"""The limits of optimizers of the literature, typed by hand: more of them, in the form of catalogue.py.

Each was worked out on paper from the rule in its spec: the decays of averages move with the step,
``beta1 = 1 - alpha lr``, so an average m of g goes by ``m' = alpha (g - m)``. The specs name the
papers.
"""

from __future__ import annotations

import sympy as sp
from catalogue import J, R, alpha, b, beta, c, decay, eps, g, gamma, m, t, v, x
from catalogue import mean as averages

from optode.language.conditions import compared, where
from optode.language.elementwise import atan2, hardtanh, maximum, minimum, relu
from optode.language.symbols import mean, norm, symbol

sqrt, exp, sign, log, tanh, Abs = sp.sqrt, sp.exp, sp.sign, sp.log, sp.tanh, sp.Abs
momentum, dampening, lambd, ax, r, d, w, p, q, a, mean_g = map(
    symbol, ("momentum", "dampening", "lambd", "ax", "r", "d", "w", "p", "q", "a", "mean_g")
)
e, slow, mix, final, s, gain, power, nu1, nu2, bound, beta2 = map(
    symbol, ("e", "slow", "mix", "final", "s", "gain", "power", "nu1", "nu2", "bound", "beta2")
)

m_hat, v_hat = m / (1 - exp(-alpha * t)), v / (1 - exp(-beta * t))
lookahead = 1 - exp(log(sp.Rational(24, 25)) * p * t) / 2  # 0.96**(p t)
u = -m / R  # the step of Adam
rate = 1 / R
mars = g + gamma / alpha * J(-m / R - decay * x)
agrees = where(compared(m * g, ">", 0), sp.S.One, sp.S.Zero)
natural = g / R
bounded = natural / maximum(sp.S.One, sqrt(mean(natural**2)) / bound)
yogi = {v: -beta * sign(v - g**2) * g**2}
with_gain = g + gain * s

LIMITS = {
    # of torch.optim
    "sgd": {x: -b, b: (1 - dampening) * (g + decay * x) - gamma * b},
    "sgd_fixed_momentum": {x: -(1 - dampening) / (1 - momentum) * (g + decay * x)},
    "asgd": {x: -(lambd * x + g) / (1 + lambd * t) ** alpha, ax: (x - ax) / t},
    "adadelta": {
        x: -sqrt(w + eps) / sqrt(v + eps) * g,
        v: r * (g**2 - v),
        w: r * ((w + eps) / (v + eps) * g**2 - w),
    },
    "nadam": {
        x: -(lookahead * m + (1 - lookahead) * g) / (sqrt(v_hat) + eps),
        **averages,
    },
    "nadam_constant": {x: -m_hat / (sqrt(v_hat) + eps), **averages},
    "radam": {
        x: -sqrt(relu(1 - beta * t * exp(-beta * t) / (1 - exp(-beta * t))))
        * m_hat
        / (sqrt(v_hat) + eps),
        **averages,
    },
    "rmsprop_momentum": {x: -g / R / (1 - momentum), v: a * (g**2 - v)},
    "rmsprop_centered": {
        x: -g / (sqrt(v - mean_g**2) + eps) / (1 - momentum),
        v: a * (g**2 - v),
        mean_g: a * (g - mean_g),
    },
    "rprop": {x: -sign(g) * d, d: p * d},
    # Adam and its kin
    "adabelief": {x: u, m: averages[m], v: beta * ((g - m) ** 2 - v) + e},
    "yogi": {x: u, m: averages[m], **yogi},
    "laprop": {x: -m, m: alpha * (g / R - m), v: averages[v]},
    "adan": {
        x: u - decay * x,
        m: averages[m],
        d: beta * (J(u - decay * x) - d),
        v: gamma * (g**2 - v),
    },
    "ademamix": {
        x: -(m + mix * slow) / R,
        m: averages[m],
        slow: gamma * (g - slow),
        v: averages[v],
    },
    "mars": {
        x: u - decay * x,
        m: alpha * (mars - m),
        v: beta * (mars**2 - v),
    },
    "adopt": {x: -m, m: alpha * (g / maximum(sqrt(v), eps) - m), v: averages[v]},
    "cautious_adamw": {
        x: u * agrees / maximum(mean(agrees), sp.Rational(1, 1000)) - decay * x,
        **averages,
    },
    "grams": {x: -sign(g) * Abs(m) / R, **averages},
    "adamod": {x: -minimum(rate, r) * m, **averages, r: gamma * (rate - r)},
    "adabound": {
        x: -hardtanh(rate, final * (1 - 1 / (c * t + 1)), final * (1 + 1 / (c * t))) * m,
        **averages,
    },
    "avagrad": {x: -rate / sqrt(mean(rate**2)) * m, **averages},
    "stable_adamw": {
        x: (u - decay * x) / maximum(sp.S.One, sqrt(mean(g**2 / maximum(v, eps**2)))),
        **averages,
    },
    "adam_atan2": {x: -atan2(m, sqrt(v)), **averages},
    "adams": {x: -m / (sqrt(beta2 * m**2 + (1 - beta2) * g**2) + eps), m: averages[m]},
    "grokfast": {
        x: u,
        s: gamma * (g - s),
        m: alpha * (with_gain - m),
        v: beta * (with_gain**2 - v),
    },
    "diffgrad": {x: u / 2, **averages},
    "adai": {x: -m, m: c * v / mean(v) * (g - m), v: averages[v]},
    "padam": {x: -m / (v**power + eps), **averages},
    "qhadam": {
        x: -((1 - nu1) * g + nu1 * m) / (sqrt((1 - nu2) * g**2 + nu2 * v) + eps),
        **averages,
    },
    "adanorm": {
        x: u,
        m: alpha * (maximum(sp.S.One, e / norm(g)) * g - m),
        v: averages[v],
        e: gamma * (norm(g) - e),
    },
    "ano": {x: -Abs(g) * sign(m) / R, m: averages[m], **yogi},
    "fadam": {x: -m - decay * x / R, m: alpha * (bounded - m), v: averages[v]},
    "adafom": {x: u, m: averages[m], v: (g**2 - v) / t},
}
