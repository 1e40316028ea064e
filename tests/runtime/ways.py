"""Ways to solve and to go back, each by name: what holds for one of them has to hold for all."""

from __future__ import annotations

import pytest

from generated.adam import AdamNODE
from generated.gradient_descent import NODE
from generated.heavy_ball import HBNODE

NOTHING = {"keep": 0}
WAYS = {
    "discrete": HBNODE,
    "one state": NODE,
    "nothing kept": lambda f, **s: HBNODE(f, options=NOTHING, **s),
    "equal steps": lambda f, **s: HBNODE(f, method="rk4", options={"steps": 3}, **s),
    "nystrom": lambda f, **s: HBNODE(f, method="nystrom6", **s),
    "nystrom, nothing kept": lambda f, **s: HBNODE(f, method="nystrom4", options=NOTHING, **s),
    "splitting": lambda f, **s: AdamNODE(f, method="splitting4", options={"steps": 3}, **s),
    "automatic grid": lambda f, **s: HBNODE(f, method="auto", grid="auto", **s),
    "torchdiffeq": lambda f, **s: HBNODE(f, method="torchdiffeq:dopri5", **s),
    "torchode": lambda f, **s: HBNODE(f, method="torchode:tsit5", **s),
    "adjoint": lambda f, **s: HBNODE(f, gradient="adjoint", **s),
    "adjoint by nystrom": lambda f, **s: HBNODE(f, method="nystrom6", gradient="adjoint", **s),
    "autograd": lambda f, **s: HBNODE(f, gradient="autograd", **s),
    "autograd, checkpoints": lambda f, **s: HBNODE(f, gradient="autograd", options=NOTHING, **s),
}
"""Functions that make a node of a field; the gradient of the last two is PyTorch's own."""

APART = [name for name in WAYS if not name.startswith("autograd")]
"""The ways whose gradient is this package's."""

every_way = pytest.mark.parametrize("way", WAYS)
every_way_apart = pytest.mark.parametrize("way", APART)
