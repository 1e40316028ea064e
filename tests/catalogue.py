"""The published continuous limits, typed by hand: what the derivations have to reproduce.

``LIMITS`` are the limits, fast states eliminated; ``NEXT`` the terms at the next order, the
coefficient of the continuous step Delta; ``SECOND_ORDER`` the high-resolution equations ``x''`` in
x and x'; ``UNITS`` Delta and the time offset kappa. Each entry names its source: where a paper has
no formula for the scaling at hand, the modified equation ``F2 - (d_t F1 + (D F1)[F1])/2`` was
worked out on paper ("by hand"). ``J(u)`` is the Jacobian of the gradient at x applied to u.
"""

from __future__ import annotations

import sympy as sp

from optode.language.elementwise import minimum, reaches, relu
from optode.language.symbols import TIME, Gradient, Oracle, Tangent, dot, norm, symbol

t = TIME
x, v, m, u, a, z, p, dx, x_y, theta, x_dot, v_max = map(
    symbol, ("x", "v", "m", "u", "a", "z", "p", "dx", "x_y", "theta", "x_dot", "v_max")
)
alpha, beta, gamma, mu, eps, decay, b, c, r, rho, P, C = map(
    symbol, ("alpha", "beta", "gamma", "mu", "eps", "decay", "b", "c", "r", "rho", "P", "C")
)
beta1, beta2, epsilon = map(symbol, ("beta1", "beta2", "epsilon"))
s, lr = sp.Symbol("s", positive=True), sp.Symbol("lr", positive=True)
sqrt, exp, sign, tanh, half = sp.sqrt, sp.exp, sp.sign, sp.tanh, sp.Rational(1, 2)
g, G = Gradient(x), Gradient(z)


def J(direction: sp.Expr, call: sp.Expr = g) -> sp.Expr:
    """The Jacobian of the gradient applied to a direction."""
    return Tangent(call, direction)


R = sqrt(v) + eps
R_adagrad = sqrt(v) + epsilon
R_sign = sp.Abs(g) + eps  # sqrt(v) + eps where v is slaved to g^2
R_root = sqrt(g**2 + eps)
touches = reaches(v - v_max)
mean = {m: alpha * (g - m), v: beta * (g**2 - v)}

LIMITS = {
    # Polyak 1964; Su, Boyd, Candes 2014; da Silva and Gazeau 2020
    "gradient_descent": {x: -g},
    "heavy_ball": {x: v, v: -gamma * v - g},
    "nesterov": {x: dx, dx: -3 / t * dx - g},
    "adam": {x: -m / (sqrt(v) + eps), m: alpha * (g - m), v: beta * (g**2 - v)},
    "adam_bias_corrected": {
        x: -m / (1 - exp(-alpha * t)) / (sqrt(v / (1 - exp(-beta * t))) + eps),
        m: alpha * (g - m),
        v: beta * (g**2 - v),
    },
    # Polyak 1964; Kovachki and Stuart 2021
    "heavy_ball_strongly_convex": {x: v, v: -2 * sqrt(mu) * v - g},
    "heavy_ball_fixed": {x: -g / (1 - beta)},
    "heavy_ball_overdamped": {x: -g / c},
    "heavy_ball_undamped": {x: v, v: -g},
    # Su, Boyd, Candes 2014; Shi, Du, Jordan, Su 2018
    "nesterov_fixed": {x: -g / (1 - beta)},
    "nesterov_generalized": {x: x_y, x_y: -r / t * x_y - g},
    "nesterov_strongly_convex": {x: x_y, x_y: -2 * sqrt(mu) * x_y - g},
    "fista": {x: x_y, x_y: -3 / (2 * theta) * x_y - g, theta: half},
    "ogm": {x: x_y, x_y: -3 / (2 * theta) * x_y - 2 * g, theta: half},
    # Da Silva and Gazeau 2020; Ma, Wu, E 2020
    "adagrad": {x: -g / R_adagrad, v: g**2},
    "rmsprop": {x: -g / R, v: b * (g**2 - v)},
    "rmsprop_fixed_decay": {x: -g / R_sign},
    "adam_fixed_beta1": {x: -g / R, v: beta * (g**2 - v)},
    "adam_fixed_beta2": {x: -m / R_sign, m: alpha * (g - m)},
    "adam_fixed_betas": {x: -g / R_root},
    "adamw": {x: -m / R - decay * x, **mean},
    "adam_l2": {
        x: -m / R,
        m: alpha * (g + decay * x - m),
        v: beta * ((g + decay * x) ** 2 - v),
    },
    # Ma, Wu, E 2020; Chen, Liu, Liang, Liu 2023
    "sign_descent": {x: -sign(g)},
    "signum": {x: -sign(m), m: alpha * (g - m)},
    "lion": {x: -sign(beta1 * m + (1 - beta1) * g) - decay * x, m: b * (g - m)},
    "lion_tanh": {x: -tanh(beta1 * m + (1 - beta1) * g) - decay * x, m: b * (g - m)},
    # Reddi, Kale, Kumar 2018 and Kingma, Ba 2015: running suprema, in complementarity form
    "amsgrad": {x: -m / (sqrt(v_max) + eps), **mean, v_max: touches * relu(mean[v])},
    "adamax": {
        x: -m / (u + eps),
        m: alpha * (g - m),
        u: -beta * u + reaches(sp.Abs(g) - u) * relu(beta * u - sign(g) * J(m / (u + eps))),
    },
    # Compagnoni et al. 2023
    "sam": {x: -Gradient(x + rho * g / norm(g))},
    "sam_root_radius": {x: -g},
    "sam_small_radius": {x: -g},
    "usam": {x: -g},
    # Lu 2022; Zhang et al. 2019
    "extragradient": {z: -G},
    "optimistic_gradient": {z: -G},
    "gradient_descent_ascent": {z: -G},
    "alternating_descent_ascent": {z: -G},
    "primal_dual": {z: -G},
    "coordinate_descent": {x: -g},
    "lookahead": {x: -alpha * g},
    "proximal_point": {x: -g},
    # Nemirovski and Yudin 1983; Krichene, Bayen, Bartlett 2015; Maddison et al. 2018
    "exponentiated_gradient": {x: -x * g},
    "accelerated_mirror_descent": {x: r / t * (exp(z) - x), z: -t / r * g},
    "accelerated_cubic": {x: 3 / t * (z - x), z: -3 * C * t**2 * g},  # Wibisono et al. 2016, p = 3
    "hamiltonian_descent": {x: p / sqrt(1 + dot(p, p)), p: -gamma * p - g},
    # Polyak and Juditsky 1992
    "exponential_average": {x: -g, a: b * (x - a)},
    "polyak_average": {x: -g, a: (x - a) / t},
    "weight_decay": {x: -g - decay * x},
    "learning_rate_decay": {x: -exp(-c * t) * g},
    # Chen, Lee, Sun 2021; You, Gitman, Ginsburg 2017; Wilson, Mackey, Wibisono 2019
    "clipped_descent": {x: -g * minimum(sp.S.One, c / norm(g))},
    "normalized_descent": {x: -g / norm(g)},
    "rescaled_gradient": {x: -g / sqrt(norm(g))},
    # Jaggi 2013: x' = LMO(g) - x
    "frank_wolfe": {x: Oracle(symbol("lmo"), g) - x},
    # Krichene et al. 2015, in the dual variable: z' = -g(grad phi*(z))
    "mirror_descent": {z: -Gradient(Oracle(symbol("mirror"), z))},
    "frank_wolfe_ball": {x: 2 / (2 + t) * (-c * g / norm(g) - x)},
    "lars": {x: -norm(x) * g / norm(g)},
    "lamb": {x: -norm(x) / norm(m / R + decay * x) * (m / R + decay * x), **mean},
    # by hand: 1 - beta2 = k^(-0.8) vanishes, but slower than the step
    "adafactor": {x: -g / R_root},
}

flow = {name: equations[next(iter(equations))] for name, equations in LIMITS.items()}
W = tanh(beta1 * m + (1 - beta1) * g)
E = sqrt(1 + dot(p, p))
at_ball = Gradient(x + rho * g / norm(g))


def direction_of_norm(w: sp.Expr, along: sp.Expr) -> sp.Expr:
    """The derivative of w/|w| where w moves along a direction."""
    return along / norm(w) - w * dot(w, along) / norm(w) ** 3


def direction_along_speed(along: sp.Expr) -> sp.Expr:
    """The derivative of p/sqrt(1 + |p|^2) where p moves along a direction."""
    return along / E - p * dot(p, along) / E**3


NEXT = {
    # Barrett and Dherin 2021
    "gradient_descent": {x: -J(g) / 2},
    # Kovachki and Stuart 2021
    "heavy_ball_fixed": {x: -(1 + beta) / (2 * (1 - beta) ** 3) * J(g)},
    "nesterov_fixed": {x: -(1 - beta + 2 * beta**2) / (2 * (1 - beta) ** 3) * J(g)},
    # by hand, with theta a state
    "fista": {
        x: -3 * half * g - 3 * x_y / (4 * theta),
        x_y: 3 * g / (4 * theta) - 7 * x_y / (8 * theta**2) + J(x_y) / 2,
        theta: 1 / (8 * theta),
    },
    "ogm": {
        x: -2 * g - 3 * x_y / (4 * theta),
        x_y: g / (2 * theta) - 7 * x_y / (8 * theta**2) + J(x_y),
        theta: 1 / (8 * theta),
    },
    # by hand: x' half a step ahead, the average of squares likewise
    "adagrad": {
        x: g**3 / (4 * sqrt(v) * R_adagrad**2) - J(g / R_adagrad) / (2 * R_adagrad),
        v: g * J(g / R_adagrad),
    },
    "rmsprop": {
        x: b * g * (g**2 - v) / (4 * sqrt(v) * R**2) - J(g / R) / (2 * R),
        v: b**2 * (g**2 - v) / 2 + b * g * J(g / R),
    },
    "adam": {
        x: -alpha * (g - m) / (2 * R) + beta * m * (g**2 - v) / (4 * sqrt(v) * R**2),
        m: alpha**2 * (g - m) / 2 + alpha * J(m / R) / 2,
        v: beta**2 * (g**2 - v) / 2 + beta * g * J(m / R),
    },
    "rmsprop_fixed_decay": {
        x: (beta / (1 - beta) * sp.Abs(g) - eps / 2) * J(g / R_sign) / R_sign**2
    },
    "adam_fixed_beta1": {
        x: -(1 + beta1) / (2 * (1 - beta1)) * J(g / R) / R
        + beta * g * (g**2 - v) / (4 * sqrt(v) * R**2),
        v: beta**2 * (g**2 - v) / 2 + beta * g * J(g / R),
    },
    "adam_fixed_beta2": {
        x: -alpha * (g - m) / (2 * R_sign)
        + (1 + beta2) / (2 * (1 - beta2)) * m * sign(g) * J(m / R_sign) / R_sign**2,
        m: alpha**2 * (g - m) / 2 + alpha * J(m / R_sign) / 2,
    },
    # Cattaneo, Klusowski, Shigida 2024
    "adam_fixed_betas": {
        x: -J(g / R_root)
        / (2 * R_root)
        * (
            (1 + beta1) / (1 - beta1)
            - (1 + beta2) / (1 - beta2)
            + (1 + beta2) / (1 - beta2) * eps / R_root**2
        )
    },
    "adamw": {
        x: -alpha * (g - m) / (2 * R)
        + beta * m * (g**2 - v) / (4 * sqrt(v) * R**2)
        - decay * (m / R + decay * x) / 2,
        m: alpha**2 * (g - m) / 2 - alpha * J(flow["adamw"]) / 2,
        v: beta**2 * (g**2 - v) / 2 - beta * g * J(flow["adamw"]),
    },
    "adam_l2": {
        x: -alpha * (g + decay * x - m) / (2 * R)
        + beta * m * ((g + decay * x) ** 2 - v) / (4 * sqrt(v) * R**2),
        m: alpha**2 * (g + decay * x - m) / 2 + alpha * (J(m / R) + decay * m / R) / 2,
        v: beta**2 * ((g + decay * x) ** 2 - v) / 2
        + beta * (g + decay * x) * (J(m / R) + decay * m / R),
    },
    # by hand, between switches: the sign has no derivative there
    "signum": {x: 0, m: alpha**2 * (g - m) / 2 + alpha * J(sign(m)) / 2},
    "lion_tanh": {
        x: (1 - W**2) * (beta1 * b * (g - m) + (1 - beta1) * J(flow["lion_tanh"])) / 2
        + decay * flow["lion_tanh"] / 2,
        m: b**2 * (g - m) / 2 - b * J(flow["lion_tanh"]) / 2,
    },
    # Compagnoni et al. 2023; Lu 2022; Chavdarova, Jordan, Zampetakis 2021
    "sam": {x: -J(at_ball + rho * direction_of_norm(g, J(at_ball)), at_ball) / 2},
    "sam_small_radius": {x: -(half + r / norm(g)) * J(g)},
    "usam": {x: -(half + r) * J(g)},
    "gradient_descent_ascent": {z: -J(G, G) / 2},
    "alternating_descent_ascent": {z: -J(G, G) / 2 + (1 - P) * J(P * G, G)},
    # L is J from the first block to the second
    "coordinate_descent": {x: -J(g) / 2 + (1 - P) * J(P * g)},
    "primal_dual": {z: -J(G, G) / 2 + 2 * (1 - P) * J(P * G, G)},
    "extragradient": {z: J(G, G) / 2},
    "optimistic_gradient": {z: J(G, G) / 2},
    "proximal_point": {x: J(g) / 2},
    "lookahead": {x: (alpha * 4 / 10 - alpha**2 / 2) * J(g)},  # k = 5 inner steps
    # by hand: mirror descent is Euler's method for log(x)
    "exponentiated_gradient": {x: -x * J(x * g) / 2},
    "accelerated_cubic": {
        x: 9 * half * C * t * g,
        z: 9 * C * t * g - 9 * half * C * t * J(z - x),
    },
    "hamiltonian_descent": {
        x: direction_along_speed(-gamma * p - g) / 2,
        p: (gamma**2 * p + gamma * g + J(p / E)) / 2,
    },
    "normalized_descent": {
        x: -(J(g) - g * dot(g, J(g)) / norm(g) ** 2) / (2 * norm(g) ** 2),
    },
    "rescaled_gradient": {x: -J(g) / (2 * norm(g)) + g * dot(g, J(g)) / (4 * norm(g) ** 3)},
    "lars": {
        x: -dot(x, g) * g / (2 * norm(g) ** 2)
        - norm(x) ** 2 * direction_of_norm(g, J(g)) / (2 * norm(g))
    },
    "exponential_average": {x: -J(g) / 2, a: b**2 * (x - a) / 2 - b * g / 2},
    "polyak_average": {x: -J(g) / 2, a: -g / (2 * t)},
    "weight_decay": {x: -(J(g) + decay * J(x) + decay * g + decay**2 * x) / 2},
    "learning_rate_decay": {x: -c * (1 - c * t) * exp(-c * t) * g / 2 - exp(-2 * c * t) * J(g) / 2},
}

SECOND_ORDER = {
    # Shi, Du, Jordan, Su 2018, the equations of the heavy ball and of NAG-SC
    "heavy_ball_strongly_convex": -2 * sqrt(mu) * x_dot - (1 + sqrt(mu * s)) * g,
    "nesterov_strongly_convex": -2 * sqrt(mu) * x_dot - sqrt(s) * J(x_dot) - (1 + sqrt(mu * s)) * g,
    # the same with 1 - beta = gamma sqrt(s)
    "heavy_ball": -gamma * (1 + gamma * sqrt(s) / 2) * x_dot - (1 + gamma * sqrt(s) / 2) * g,
    # Shi et al. 2018 (1.12) with r for 3; both sequences of the method follow it
    "nesterov_generalized": -r / t * x_dot - sqrt(s) * J(x_dot) - (1 + r * sqrt(s) / (2 * t)) * g,
    "nesterov": -3 / t * x_dot - sqrt(s) * J(x_dot) - (1 + 3 * sqrt(s) / (2 * t)) * g,
}

OFFSETS = {"nesterov_generalized": r / 2, "nesterov": half, "accelerated_cubic": 1}

x0, z0 = symbol("x0"), symbol("z0")
STARTS = {
    # Kovachki and Stuart 2021: the layer conserves (x[k] - beta x[k-1])/(1 - beta)
    "heavy_ball_fixed": x0 + s * beta / (1 - beta) ** 2 * Gradient(x0),
    "nesterov_fixed": x0 + s * beta / (1 - beta) ** 2 * Gradient(x0),
    # by hand: the layer conserves z[k] + s F(z[k-1])
    "optimistic_gradient": z0,
}

# x'(0) from x[0] = y[0]; the -2 sqrt(s) g of Shi et al. is this one to leading order only
MATCHED_VELOCITY = {
    "nesterov_strongly_convex": -3 * half * sqrt(s) * Gradient(x0),
    "heavy_ball": -half * sqrt(s) * Gradient(x0),
}

UNITS = {
    "heavy_ball_strongly_convex": sqrt(s),
    "heavy_ball_overdamped": s ** sp.Rational(3, 4),
    "heavy_ball_undamped": sqrt(s),
    "nesterov_generalized": sqrt(s),
    "nesterov_strongly_convex": sqrt(s),
    "fista": sqrt(s),
    "ogm": sqrt(s),
    "adagrad": lr**2,
    "accelerated_mirror_descent": sqrt(s),
    "accelerated_cubic": s ** sp.Rational(1, 3),
}
"""Delta where it is not the step size."""
