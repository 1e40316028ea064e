"""A function of two variables to minimise, and the iterates of PyTorch's optimizers on it."""

from __future__ import annotations

import numpy as np
import torch

X0 = np.array([0.8, -0.5])


def objective(z):
    """A coupled, convex, non-quadratic function of two variables; works on torch tensors."""
    x, y = z[..., 0], z[..., 1]
    return (x + y / 2).cosh().log() + x**4 / 10 + x**2 / 10 + y**2 / 2 + x * y / 5


def gradient(z):
    z = torch.tensor(z, dtype=torch.float64, requires_grad=True)
    (g,) = torch.autograd.grad(objective(z), z)
    return g.numpy()


def torch_iterates(make_optimizer, steps):
    z = torch.nn.Parameter(torch.tensor(X0))
    optimizer = make_optimizer([z])
    history = [z.detach().clone()]
    for _ in range(steps):
        optimizer.zero_grad()
        objective(z).backward()
        optimizer.step()
        history.append(z.detach().clone())
    return torch.stack(history).numpy(), optimizer.state[z]
