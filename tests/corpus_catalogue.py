"""The limits of optimizers of the literature, typed by hand: more of them, in the form of catalogue.py.

Each was worked out on paper from the rule in its spec: the decays of averages move with the step,
``beta1 = 1 - alpha lr``, so an average m of g goes by ``m' = alpha (g - m)``. The specs name the
papers.
"""

from __future__ import annotations

import sympy as sp
from catalogue import (
    G,
    J,
    R,
    alpha,
    b,
    beta,
    beta1,
    beta2,
    c,
    decay,
    dx,
    eps,
    g,
    gamma,
    m,
    mu,
    p,
    r,
    rho,
    t,
    v,
    v_max,
    x,
    z,
)
from catalogue import mean as averages

from optode.language.conditions import compared, where
from optode.language.elementwise import atan2, hardtanh, maximum, minimum, reaches, relu, step
from optode.language.symbols import Gradient, Oracle, dot, highest, mean, norm, symbol, total

sqrt, exp, sign, log, Abs = sp.sqrt, sp.exp, sp.sign, sp.log, sp.Abs
one, zero, least = sp.S.One, sp.S.Zero, sp.Rational(1, 1000)


def named(names: str) -> map[sp.Symbol]:
    """The symbols of these names."""
    return map(symbol, names.split())


momentum, dampening, lambd, mean_g, slow, mix, final, gain, power, bound = named(
    "momentum dampening lambd mean_g slow mix final gain power bound"
)
ax, nu, nu1, nu2, v1, v2, v3, a1, a2, a3, xi, omega, rate, scale, delta = named(
    "ax nu nu1 nu2 v1 v2 v3 a1 a2 a3 xi omega rate scale delta"
)
a, d, e, i, q, s, w, pull, g0, x_ref, z_ref, lam, eta, sigma, theta, warm = named(
    "a d e i q s w l g0 x_ref z_ref lam eta sigma theta warm"
)


def follows(size: sp.Expr, bound: sp.Expr, rate: sp.Expr) -> sp.Expr:
    """The rate of a running maximum ``bound`` of a size that changes at a rate."""
    return reaches(size - bound) * relu(rate)


u = -m / R  # the step of Adam
m_hat, v_hat = m / (1 - exp(-alpha * t)), v / (1 - exp(-beta * t))
lookahead = 1 - exp(log(sp.Rational(24, 25)) * p * t) / 2  # 0.96**(p t)
mars = g + gamma / alpha * J(-m / R - decay * x)
agrees = where(compared(m * g, ">", 0), one, zero)
lion = sign(beta1 * m + (1 - beta1) * g)
lion_agrees = where(compared(lion * g, ">", 0), one, zero)
natural = g / R
bounded = natural / maximum(one, sqrt(mean(natural**2)) / bound)
yogi = {v: -beta * sign(v - g**2) * g**2}
with_gain = g + gain * s
speed = v / sqrt(1 + d * norm(v) ** 2)
cosine = Abs(dot(x, g)) / (norm(x) * norm(g))
along_x = dot(x, m / R) / dot(x, x) * x
between = Gradient((1 - beta) * z + beta * x)
away = x - x_ref
dog, dowg = -r / sqrt(q) * g, -(r**2) / sqrt(q) * g
s1 = total(Abs(s))
dr, ds = d**2 * dot(g, x_ref - x) - gamma * r, d**2 * g - gamma * s
eta0 = d / g0  # of D-adaptation
length_rate = eta0 * dot(g, s) / norm(s) - r * dot(s, eta0 * g) / norm(s) ** 3  # of r/|s|
root = v ** sp.Rational(1, 3) + eps
root_d = sqrt(v) + d
diagonal = Oracle(symbol("diagonal"), x)
ahead = Gradient(x + rho * g / norm(g))
size = Abs(x) + eta
friendly = g - sigma * m
touches = reaches(v - v_max)
fading = 1 / (1 + c * t)  # a schedule
spikeless = hardtanh(g, -sqrt(theta * v), sqrt(theta * v))
wall = lam * t
cut = (1 - step(wall - z) * step(wall + z)) * g - lam * (step(z - wall) - step(-z - wall))
da_s, da_r = beta / 2 * (d * g - s), beta / 2 * (d * dot(g, s / R) - r)
da_length = 2 / beta * (da_r / s1 - r * total(sign(s) * da_s) / s1**2)

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
        x: -g / (sqrt(w) + eps) / (1 - momentum),
        mean_g: a * (g - mean_g),
        w: a * ((g - mean_g) ** 2 - w),
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
        x: u * agrees / maximum(mean(agrees), least) - decay * x,
        **averages,
    },
    "grams": {x: -sign(g) * Abs(m) / R, **averages},
    "adamod": {x: -minimum(1 / R, r) * m, **averages, r: gamma * (1 / R - r)},
    "adabound": {
        x: -hardtanh(1 / R, final * (1 - 1 / (c * t + 1)), final * (1 + 1 / (c * t))) * m,
        **averages,
    },
    "avagrad": {x: -m / R / sqrt(mean(1 / R**2)), **averages},
    "stable_adamw": {
        x: (u - decay * x) / maximum(one, sqrt(mean(g**2 / maximum(v, eps**2)))),
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
        m: alpha * (maximum(one, e / norm(g)) * g - m),
        v: averages[v],
        e: gamma * (norm(g) - e),
    },
    "ano": {x: -Abs(g) * sign(m) / R, m: averages[m], **yogi},
    "fadam": {x: -m - decay * x / R, m: alpha * (bounded - m), v: averages[v]},
    "adafom": {x: u, m: averages[m], v: (g**2 - v) / t},
    "qhm": {x: -((1 - nu) * g + nu * m), m: alpha * (g - m)},
    "aggmo": {x: (v1 + v2 + v3) / 3, v1: -a1 * v1 - g, v2: -a2 * v2 - g, v3: -a3 * v3 - g},
    # t = k sqrt(lr): i ~ 1/sqrt(lr), w ~ sqrt(lr)
    "pid": {x: i + d * w, i: -a * i - g, w: -a * w - a * J(i + d * w)},
    "sgdw": {x: v - c * x, v: -gamma * v - g},
    # rho = 1 - e: beta = 1 - 3 e, 1 + rho = 2
    "triple_momentum": {x: dx, dx: -3 * sqrt(mu) * dx - 2 * g},
    "linear_coupling": {x: 2 / t * (z - x), z: -t / 2 * g},
    "hessian_damping": {x: v, v: -gamma * v - beta * J(v) - g},
    "relativistic": {x: speed, v: -gamma * v - g},
    "tikhonov": {x: -g - c / (1 + t) * x},
    "inverse_time_decay": {x: -g / (1 + c * t)},
    "cosine_annealing": {x: -(1 + sp.cos(omega * t)) / 2 * g},
    "gradient_centralization": {x: -(g - mean(g))},
    "storm": {x: -m, m: -J(m) + alpha * (g - m)},
    "hypergradient": {x: -e * g, e: rate * dot(g, g)},
    "tiger": {x: -sign(m) - decay * x, m: alpha * (g - m)},
    "cautious_lion": {
        x: -lion * lion_agrees / maximum(mean(lion_agrees), least) - decay * x,
        m: b * (g - m),
    },
    "focus": {
        x: -sign(m) - gamma * sign(x - p / (1 - exp(-beta * t))),
        m: alpha * (g - m),
        p: beta * (x - p),
    },
    "normalized_momentum": {x: -m / norm(m), m: alpha * (g - m)},
    # ahead of x by x'/alpha
    "nigt": {x: -m / norm(m), m: alpha * (Gradient(x - m / norm(m) / alpha) - m)},
    "clipped_momentum": {x: -minimum(one, c / norm(m)) * m, m: alpha * (g - m)},
    "clipped_values": {x: -hardtanh(g, -c, c)},
    "adaptive_clipping": {x: -minimum(one, c * maximum(norm(x), eps) / norm(g)) * g},
    "fromage": {x: -norm(x) / norm(g) * g},
    "novograd": {
        x: -m,
        m: g / R - alpha * m,
        v: beta * (norm(g) ** 2 - v),
    },
    "sgdp": {x: v - dot(x, v) / dot(x, x) * x, v: -gamma * v - g},
    "sgdsai": {x: -scale * m, m: alpha * (g - m), scale: 0},
    "swats_scale": {
        x: u,
        **averages,
        w: beta * (dot(m / R, m / R) / dot(m / R, g) - w),
    },
    "tam": {
        x: -m,
        m: ((1 + s) / 2 + eps) * g - alpha * m,
        s: gamma * (dot(m, g) / (norm(m) * norm(g)) - s),
    },
    # the pair (x, b) relaxes to x = b; conserved is (c + beta) x + (1 - beta) b
    "accsgd": {x: -c * (1 + xi) / (1 + c) * g},
    "gravity": {x: -g / (1 + (g * highest(Abs(g))) ** 2)},
    "adamp": {
        x: u + where(compared(cosine, "<", delta / sqrt(total(one))), one, zero) * along_x,
        **averages,
    },
    "primal_averaging": {x: (z - x) / t, z: -g},
    "stochastic_primal_averaging": {x: gamma * (z - x), z: -g},
    "schedulefree_sgd": {x: (z - x) / t, z: -between},
    "schedulefree_adamw": {
        x: (z - x) / t,
        z: -between / R - decay * ((1 - beta) * z + beta * x),
        v: b * (between**2 - v),
    },
    "elastic_averaging": {x: -g - rho * (x - c), c: rho * (x - c)},
    "srmm": {x: -g},  # the weight vanishes, but slower than the step
    # Q = lr^2 q, t = k lr^2
    "dog": {
        x: dog,
        x_ref: 0,
        r: follows(norm(away), r, dot(away, dog) / norm(away)),
        q: dot(g, g),
    },
    "dowg": {
        x: dowg,
        x_ref: 0,
        r: follows(norm(away), r, dot(away, dowg) / norm(away)),
        q: r**2 * dot(g, g),
    },
    "prodigy": {
        x: -d * m / (sqrt(v) + d * eps),
        x_ref: 0,
        m: alpha * (d * g - m),
        v: beta * (d**2 * g**2 - v),
        r: dr,
        s: ds,
        d: follows(r / s1, d, dr / s1 - r * total(sign(s) * ds) / s1**2),
    },
    "dadapt_sgd": {
        x: -eta0 * g,
        r: eta0 * dot(g, s),
        s: eta0 * g,
        d: follows(2 * r / norm(s), d, 2 * length_rate),
    },
    "adamg": {x: u, m: alpha * (r * g - m), v: averages[v], r: gamma * (p * v**q - r)},
    "adagrad_norm": {x: -g / sqrt(b), b: dot(g, g)},
    "wngrad": {x: -g / b, b: dot(g, g) / b},
    "sc_adagrad": {x: -alpha * g / (v + d), v: g**2},
    "kate": {x: -sqrt(w) / b * g, b: g**2, w: eta * g**2},
    "a2grad": {
        x: 2 / t * (z - x),
        z: -g / (2 * pull / t + b * sqrt(v)),
        mean_g: (g - mean_g) / t,
        v: dot(g - mean_g, g - mean_g),
    },
    "expectigrad": {x: -m, m: alpha * (g / R - m), v: (g**2 - v) / t},
    "madgrad": {
        x: -sqrt(t) * (g / root - s * g**2 / (3 * v ** sp.Rational(2, 3) * root**2)),
        x_ref: 0,
        s: sqrt(t) * g,
        v: sqrt(t) * g**2,
    },
    "dual_averaging": {
        x: -g / root_d + z * g**2 / (2 * sqrt(v) * root_d**2),
        x_ref: 0,
        z: g,
        v: g**2,
    },
    "adahessian": {x: u, m: averages[m], v: beta * (diagonal**2 - v)},
    "sophia": {
        x: -hardtanh(m / maximum(rho * v, eps), -1, 1) - decay * x,
        m: averages[m],
        v: beta * (diagonal - v),
    },
    "natural_gradient": {x: -Oracle(symbol("inverse"), g)},
    "asam": {x: -Gradient(x + rho * size**2 * g / norm(size * g))},
    "wsam": {x: -(1 - gamma / (1 - gamma)) * g - gamma / (1 - gamma) * ahead},
    "gsam": {x: -ahead + alpha * (g - dot(g, ahead) / dot(ahead, ahead) * ahead)},
    "friendly_sam": {x: -Gradient(x + rho * friendly / norm(friendly)), m: a * (g - m)},
    "momentum_sam": {x: v, v: -gamma * v - Gradient(x - rho * v / norm(v))},
    "ista": {x: -g - lam * sign(x)},
    "projected_gradient": {x: Oracle(symbol("projection"), x - lam * g) - x},
    "krasnoselskii_mann": {x: Oracle(symbol("T"), x) - x},
    "frank_wolfe_momentum": {x: Oracle(symbol("lmo"), m) - x, m: r * (g - m)},
    "multiplicative_weights": {x: -x * g + x * total(x * g) / total(x)},
    "hypentropy": {x: -sqrt(x**2 + b**2) * g},
    "reflected_gradient": {z: -G},
    "anchored_gradient": {z: -G + gamma / t * (z_ref - z), z_ref: 0},
    "negative_momentum": {z: -G / (1 + beta)},
    "optimistic_adam": {z: -m / R, m: alpha * (G - m), v: beta * (G**2 - v)},
    "amsbound": {
        x: -hardtanh(
            1 / (sqrt(v_max) + eps), final * c * t / (c * t + 1), final * (1 + 1 / (c * t))
        )
        * m,
        **averages,
        v_max: touches * relu(averages[v]),
    },
    "amos": {x: -eta * g / sqrt(v), v: alpha * (mean(g**2) - v), b: mean(g**2) / v},
    "mirror_prox": {z: -z * G},
    "sgd_nesterov": {x: -b, b: g + decay * x - gamma * b},
    "lars_momentum": {
        x: v,
        v: -gamma * v - norm(x) / (norm(g) + decay * norm(x)) * (g + decay * x),
    },
    "adamc": {x: fading * u - fading**2 * decay * x, **averages},
    "spam": {x: u, m: alpha * (spikeless - m), v: beta * (spikeless**2 - v)},
    "sgd_warmup": {x: -minimum(one, t / warm) * g},
    "regularized_dual_averaging": {x: -cut / gamma, x_ref: 0, z: g},
    "dadapt_adam": {
        x: u,
        m: alpha * (d * g - m),
        v: averages[v],
        s: da_s,
        r: da_r,
        d: follows(2 / beta * r / s1, d, da_length),
    },
}
