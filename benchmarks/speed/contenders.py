"""List the contenders, one a line."""

from __future__ import annotations

from benchmarks.speed.contender import Contender
from benchmarks.speed.jax_contenders import Diffrax
from benchmarks.speed.torch_contenders import Optode, Torchdiffeq, Torchode
from optode.runtime.methods.catalogue import METHODS

# Methods in fitted steps, and in equal ones; those that the runtime does not have are passed over.
FITTED = ("dopri5", "tsit5", *(f"interpolation{n}" for n in range(3, 10)), "auto")
EQUAL = ("tsit5", *(f"interpolation{n}" for n in range(3, 10)))


def ours() -> list[Contender]:
    """Return optode's contenders, of the methods that there are."""
    fitted = [name for name in FITTED if name in METHODS or name == "auto"]
    equal = [name for name in EQUAL if name in METHODS]
    return [
        *(Optode("discrete", name) for name in fitted),
        Optode("discrete", "auto", grid="auto"),
        Optode("adjoint", "dopri5"),
        *(Optode("discrete", name, steps=True) for name in equal),
        *(Optode("autograd", name, steps=True) for name in ("dopri5", *equal)),
        *(Optode("autograd", name, steps=True, compiled=True) for name in equal),
        *(Optode("discrete", name, steps=True, compile=True) for name in equal),
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
