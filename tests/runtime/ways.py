"""Ways to solve and to go back, each by name: what holds for one of them has to hold for all."""

from __future__ import annotations

import pytest

from generated.adam import AdamNODE
from generated.gradient_descent import NODE
from generated.heavy_ball import HBNODE

LOOSE = {"rtol": 1e-3, "atol": 1e-3}
NOTHING = {"keep": 0}
THREE = {"steps": 3}
WAYS = {
    "discrete": lambda f, **s: HBNODE(f, **LOOSE | s),
    "nothing kept": lambda f, **s: NODE(f, options=NOTHING, **LOOSE | s),
    "interpolation": lambda f, **s: HBNODE(f, method="interpolation3", **LOOSE | s),
    "equal interpolation": lambda f, **s: AdamNODE(f, method="interpolation4", options=THREE, **s),
    "automatic grid": lambda f, **s: HBNODE(f, method="auto", grid="auto", **s),
    "torchdiffeq": lambda f, **s: HBNODE(f, method="torchdiffeq:bosh3", **LOOSE | s),
    "adjoint": lambda f, **s: NODE(f, gradient="adjoint", **LOOSE | s),
    "adjoint of interpolation": lambda f, **s: HBNODE(
        f, method="interpolation3", gradient="adjoint", **LOOSE | s
    ),
    "autograd": lambda f, **s: HBNODE(f, gradient="autograd", **LOOSE | s),
}
"""Functions that make a node of a field; the gradient of the last is PyTorch's own."""

APART = [name for name in WAYS if name != "autograd"]
"""The ways whose gradient is this package's."""

every_way = pytest.mark.parametrize("way", WAYS)
every_way_apart = pytest.mark.parametrize("way", APART)
