"""Rules for whole matrices: Muon against the class of torch.optim, the others against NumPy's own steps.

The class rounds to bfloat16 inside its iteration; with that rounding put off, its iterates are the
rule's. Nothing else of it is touched.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import linalg

from optode.compiler import derive
from optode.trial.numerics import iterate

STEPS = 50
WIDE, HIGH = (
    np.array([[0.9, -0.4, 0.3], [0.2, 0.7, -0.8]]),
    np.array([[0.9, -0.4], [0.2, 0.7], [1.1, 0.1]]),
)


def gradient(x):
    """Of ``sum(log cosh(x) + x^4/10) + |M x|^2/2`` with an M that mixes rows."""
    mixing = 0.3 * np.arange(x.shape[-2] ** 2).reshape(x.shape[-2], -1) / x.shape[-2]
    return np.tanh(x) + 0.4 * x**3 + mixing.T @ mixing @ x


def of_torch(start, **options):
    x = torch.nn.Parameter(torch.tensor(start))
    optimizer, path = torch.optim.Muon([x], **options), [start]
    for _ in range(STEPS):
        x.grad = torch.tensor(gradient(x.detach().numpy()))
        optimizer.step()
        path.append(x.detach().numpy().copy())
    return np.stack(path)


@pytest.mark.parametrize("start", [WIDE, HIGH], ids=["wide", "high"])
def test_muon_is_that_of_torch(start, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    values = {"lr": 0.02, "beta": 0.9, "decay": 0.1}
    ours = iterate(derive("muon_nesterov").rule, gradient, values, {"x": start}, STEPS)["x"]
    theirs = of_torch(start, lr=0.02, momentum=0.9, weight_decay=0.1)
    assert np.abs(theirs[-1] - start).max() > 0.1
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


def shampoo(x, lr, eps):
    left, right = eps * np.eye(len(x)), eps * np.eye(x.shape[1])
    while True:
        g = gradient(x)
        left, right = left + lr * g @ g.T, right + lr * g.T @ g
        roots = (linalg.fractional_matrix_power(side, -0.25) for side in (left, right))
        x = x - lr * next(roots) @ g @ next(roots)
        yield x


def muon(x, lr, alpha):
    m = gradient(x)
    while True:
        m = m + alpha * lr * (gradient(x) - m)
        x = x - lr * linalg.polar(m)[0]
        yield x


def sm3(x, lr, eps):
    rows, columns = np.full((len(x), 1), 0.1), np.full((1, x.shape[1]), 0.1)
    while True:
        g = gradient(x)
        rows = rows + lr * (g**2).max(1, keepdims=True)
        columns = columns + lr * (g**2).max(0, keepdims=True)
        x = x - lr * g / (np.sqrt(np.minimum(rows, columns)) + eps)
        yield x


CASES = {
    "shampoo": (shampoo, {"eps": 0.1}),
    "muon": (muon, {"alpha": 0.7}),
    "sm3": (sm3, {"eps": 1e-3}),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("start", [WIDE, HIGH], ids=["wide", "high"])
def test_iterates_of_rectangular_matrices(name, start):
    steps, values = CASES[name]
    first = {
        "x": start,
        "m": gradient(start),
        "r": np.full_like(start, 0.1),
        "c": np.full_like(start, 0.1),
    }
    first |= {
        "left": values.get("eps", 0) * np.eye(len(start)),
        "right": values.get("eps", 0) * np.eye(start.shape[1]),
    }
    rule = derive(name).rule
    known = {state.name: first[state.name] for state in rule.states}
    ours = iterate(rule, gradient, {"lr": 0.05, **values}, known, STEPS)["x"]
    theirs = [
        start,
        *(x for _, x in zip(range(STEPS), steps(start, lr=0.05, **values), strict=False)),
    ]
    np.testing.assert_allclose(ours, np.stack(theirs), rtol=0, atol=1e-11)
