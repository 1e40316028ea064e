"""List the contenders, one a line."""

from __future__ import annotations

from benchmarks.speed.contender import Contender
from benchmarks.speed.jax_contenders import Diffrax
from benchmarks.speed.torch_contenders import Optode, Torchdiffeq, Torchode

CONTENDERS: tuple[Contender, ...] = (
    Optode("discrete", "dopri5"),
    Optode("discrete", "tsit5"),
    Optode("discrete", "nystrom6"),
    Optode("discrete", "nystrom6", grid="auto"),
    Optode("discrete", "nystrom5", steps=True),
    Optode("discrete", "splitting4", steps=True),
    Optode("adjoint", "dopri5"),
    Optode("autograd", "dopri5", steps=True),
    Optode("autograd", "tsit5", steps=True),
    Optode("autograd", "nystrom4", steps=True),
    Optode("autograd", "nystrom5", steps=True),
    Optode("autograd", "nystrom6", steps=True),
    Optode("autograd", "splitting4", steps=True),
    Optode("autograd", "tsit5", steps=True, compiled=True),
    Optode("autograd", "nystrom4", steps=True, compiled=True),
    Optode("autograd", "nystrom5", steps=True, compiled=True),
    Optode("autograd", "nystrom6", steps=True, compiled=True),
    Optode("autograd", "splitting4", steps=True, compiled=True),
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
    "optode discrete, nystrom5, fixed",
    "optode autograd, nystrom5, fixed",
    "odeint_adjoint, dopri5",
    "odeint, dopri5",
    "torchode Tsit5",
    "diffrax RecursiveCheckpoint, Tsit5",
)
