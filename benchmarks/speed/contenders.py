"""List the contenders, one a line."""

from __future__ import annotations

from benchmarks.speed.contender import Contender
from benchmarks.speed.jax_contenders import Diffrax
from benchmarks.speed.torch_contenders import Optode, Torchdiffeq, Torchode

# Methods in fitted steps, and in equal ones. All interpolations are in benchmarks.methods.
FITTED = ("dopri5", "tsit5", "interpolation5", "interpolation8", "auto")
EQUAL = ("tsit5", "interpolation5", "interpolation6", "interpolation8")


def ours() -> list[Contender]:
    """Return optode's contenders."""
    return [
        *(Optode("discrete", name) for name in FITTED),
        Optode("discrete", "auto", grid="auto"),
        Optode("adjoint", "dopri5"),
        *(Optode("discrete", name, steps=True) for name in EQUAL),
        *(Optode("autograd", name, steps=True) for name in ("dopri5", *EQUAL)),
        *(Optode("autograd", name, steps=True, compiled=True) for name in EQUAL),
        *(Optode("discrete", name, steps=True, compile=True) for name in EQUAL),
    ]


PEERS: tuple[Contender, ...] = (
    Torchdiffeq("odeint_adjoint", "dopri5"),
    Torchdiffeq("odeint_adjoint", "dopri5", seminorm=True),
    Torchdiffeq("odeint_adjoint", "rk4", steps=True),
    Torchdiffeq("odeint", "dopri5"),
    Torchdiffeq("odeint", "rk4", steps=True),
    Torchode("Dopri5"),
    Torchode("Tsit5"),
    Torchode("Tsit5", steps=True),
    Torchode("Tsit5", compiled=True),
    Diffrax("RecursiveCheckpointAdjoint", "Dopri5"),
    Diffrax("RecursiveCheckpointAdjoint", "Tsit5"),
    Diffrax("RecursiveCheckpointAdjoint", "Tsit5", steps=True),
    Diffrax("BacksolveAdjoint", "Tsit5"),
)

# For --quick: one of each peer, and nothing that compiles for long.
QUICK = (
    "optode discrete, dopri5",
    "optode discrete, auto",
    "optode autograd, tsit5, fixed",
    "optode autograd, interpolation6, fixed",
    "odeint_adjoint, dopri5",
    "odeint, dopri5",
    "torchode Tsit5",
    "diffrax RecursiveCheckpoint, Tsit5",
)


def contenders() -> list[Contender]:
    """Return all contenders."""
    return [*ours(), *PEERS]
