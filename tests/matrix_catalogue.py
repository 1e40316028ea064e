"""The rules for whole matrices, typed by hand: published limits, and vector fields in PyTorch.

``LIMITS`` are as in ``catalogue``. ``FIELDS`` map a spec's name to a function of the states, the value f
of the network and the parameters by name; they use torch.linalg alone.
"""

from __future__ import annotations

import sympy as sp
import torch
from catalogue import R, alpha, beta, decay, eps, g, m, v, x

from optode.language.elementwise import maximum, minimum
from optode.language.matrices import (
    column_highest,
    column_mean,
    columns,
    eigenvectors,
    inv_root,
    matmul,
    newton_schulz,
    polar,
    row_highest,
    row_mean,
    rows,
    transposed,
)
from optode.language.symbols import mean, symbol

left, right, r, c, b, rho = map(symbol, ("left", "right", "r", "c", "b", "rho"))
left_gram, right_gram = matmul(g, transposed(g)), matmul(transposed(g), g)
p, q = eigenvectors(left), eigenvectors(right)


def product(a, middle, z):
    return matmul(matmul(a, middle), z)


def rotated(u):
    return product(transposed(p), u, q)


LIMITS = {
    # Jordan et al. 2024, with the polar factor itself
    "muon": {x: -polar(m), m: alpha * (g - m)},
    # by hand: at a fixed momentum the average is the gradient
    "muon_nesterov": {
        x: -decay * x - sp.sqrt(maximum(1, rows(x) / columns(x))) * newton_schulz(g),
    },
    # Gupta, Koren and Singer 2018, algorithm 1, its sums in units of the step size
    "shampoo": {
        x: -product(inv_root(left, 4), g, inv_root(right, 4)),
        left: left_gram,
        right: right_gram,
    },
    # Vyas et al. 2024, algorithm 3, with the eigenbasis of each step
    "soap": {
        x: -product(p, rotated(m) / R, transposed(q)),
        m: alpha * (g - m),
        v: beta * (rotated(g) ** 2 - v),
        left: rho * (left_gram - left),
        right: rho * (right_gram - right),
    },
    # Shazeer and Stern 2018, algorithm 4 without clipping: V = R C/(1^T R), here with means
    "adafactor_factored": {
        x: -sp.sqrt(mean(r) / (r * c)) * g,
        r: b * (row_mean(g**2 + eps) - r),
        c: b * (column_mean(g**2 + eps) - c),
    },
    # Anil et al. 2019, SM3-I with the cover by rows and columns
    "sm3": {
        x: -g / (sp.sqrt(minimum(r, c)) + eps),
        r: row_highest(g**2),
        c: column_highest(g**2),
    },
}


def orthogonal(a):
    """U V^T."""
    u, _, v = torch.linalg.svd(a, full_matrices=False)
    return u @ v


def fourth_root_of_inverse(a):
    values, vectors = torch.linalg.eigh(a)
    return vectors @ torch.diag_embed(values**-0.25) @ vectors.mT


def quintic(a, steps=5):
    """Jordan et al. 2024: X <- 3.4445 X - 4.7750 (X X^T) X + 2.0315 (X X^T)^2 X from X/|X|."""
    a = a / torch.linalg.matrix_norm(a)[..., None, None]
    for _ in range(steps):
        square = a @ a.mT
        a = 3.4445 * a - 4.7750 * square @ a + 2.0315 * square @ square @ a
    return a


def muon(states, f, p):
    _, m = states
    return -orthogonal(m), p.alpha * (-f - m)


def muon_nesterov(states, f, p):
    (h,) = states
    factor = max(1.0, h.shape[-2] / h.shape[-1]) ** 0.5
    return (factor * quintic(f) - p.decay * h,)


def shampoo(states, f, p):
    _, left, right = states
    step = fourth_root_of_inverse(left) @ f @ fourth_root_of_inverse(right)
    return step, f @ f.mT, f.mT @ f


def soap(states, f, p):
    _, m, v, left, right = states
    g, basis, other = -f, torch.linalg.eigh(left)[1], torch.linalg.eigh(right)[1]
    step = basis.mT @ m @ other / (v.sqrt() + p.eps)
    return (
        -basis @ step @ other.mT,
        p.alpha * (g - m),
        p.beta * ((basis.mT @ g @ other) ** 2 - v),
        p.rho * (g @ g.mT - left),
        p.rho * (g.mT @ g - right),
    )


def adafactor_factored(states, f, p):
    _, r, c = states
    square = f**2 + p.eps
    over_rows, over_columns = square.mean(-1, keepdim=True), square.mean(-2, keepdim=True)
    root = (r * c / r.mean((-2, -1), keepdim=True)).sqrt()
    return f / root, p.b * (over_rows - r), p.b * (over_columns - c)


def sm3(states, f, p):
    _, r, c = states
    square = f**2
    tops = square.amax(-1, keepdim=True), square.amax(-2, keepdim=True)
    return f / (torch.minimum(r, c).sqrt() + p.eps), *(top.expand_as(f) for top in tops)


FIELDS = {
    "muon": muon,
    "muon_nesterov": muon_nesterov,
    "shampoo": shampoo,
    "soap": soap,
    "adafactor_factored": adafactor_factored,
    "sm3": sm3,
}
