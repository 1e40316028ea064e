"""What the typed vector fields of the corpus are made of, and the table that they are entered in."""

from __future__ import annotations

import torch
from equations import typed

EQUATIONS = {}


def enter(*names):
    """Enter an equation under the names of its specs."""
    return typed(*names, table=EQUATIONS)


def mean(x):
    """The mean over the values of each sample."""
    return x.flatten(1).mean(1).view(-1, *[1] * (x.ndim - 1))


def dot(x, y):
    """The inner product of each sample."""
    return (x * y).flatten(1).sum(1).view(-1, *[1] * (x.ndim - 1))


def along(f, t, h, rate):
    """The gradient at h, and its change along a rate: the Jacobian of g applied to it."""
    return torch.func.jvp(lambda h: -f(t, h), (h,), (rate,))


def total(x):
    """The sum over the values of each sample."""
    return dot(x, torch.ones_like(x))


def largest(x):
    """The largest value of each sample."""
    return x.flatten(1).amax(1).view(-1, *[1] * (x.ndim - 1))
