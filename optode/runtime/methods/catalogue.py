"""Find methods by name: one record each, with its coefficients.

To add a method: its coefficients go to ``coefficients.py``; a new kind of step is a subclass of
``Method``, in a file of its own, with an entry here.
"""

from __future__ import annotations

from .coefficients import ADAPTIVE, FIXED, LEFT_OUT, NODES
from .interpolation import Interpolation
from .runge_kutta import RungeKutta
from .step import Method

METHODS: dict[str, Method] = {
    **{name: RungeKutta(tableau) for name, tableau in (FIXED | ADAPTIVE).items()},
    **{
        f"interpolation{len(nodes)}": Interpolation(nodes, without)
        for nodes, without in zip(NODES, LEFT_OUT)
    },
}
"""Every method of this package. All of them fit all equations."""

DOPRI5 = RungeKutta(ADAPTIVE["dopri5"])
"""What takes the place of a method that the adjoint system, or this package, does not have."""

MULTISTEP = ("explicit_adams", "implicit_adams", "fixed_adams")
"""Methods of torchdiffeq that use values of earlier steps."""

LATE_STAGES = ("adaptive_heun", "fehlberg2")
"""Methods that begin with the last stage of the step before, as torchdiffeq steps them."""

TORCHODE = ("dopri5", "tsit5", "heun")
"""Methods of torchode."""


def solver_of(method: str) -> tuple[str, str]:
    """Return whose solver takes the steps, "" for this package, and the method's name there."""
    solver, _, name = method.rpartition(":")
    return solver or ("" if name in (*METHODS, "auto") else "torchdiffeq"), name


def interpolation_for(rtol: float, equal: bool) -> str:
    """Return the interpolation of f that needs the fewest evaluations, in equal steps or fitted."""
    if equal:
        return "interpolation5"
    return next(name for least, name in _BY_TOLERANCE if rtol >= least)


_BY_TOLERANCE = (
    (1e-5, "interpolation5"),
    (1e-6, "interpolation6"),
    (0.0, "interpolation8"),
)
"""From which relative tolerance on which method is taken: by the table of ``benchmarks.methods``."""
