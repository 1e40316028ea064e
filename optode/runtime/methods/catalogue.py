"""Find methods by name: one record each, with its coefficients and its reversed step.

To add a method: its coefficients go to ``coefficients.py``; a new kind of step is a subclass of
``Method``, in a file of its own, with an entry here.
"""

from __future__ import annotations

from .coefficients import ADAPTIVE, FIXED, NODES, NYSTROM, SPLITTING
from .interpolation import Interpolation
from .nystrom import Nystrom
from .runge_kutta import RungeKutta
from .splitting import Splitting
from .step import AnyMethod

METHODS: dict[str, AnyMethod] = {
    **{name: RungeKutta(tableau) for name, tableau in (FIXED | ADAPTIVE).items()},
    **{name: Nystrom(tableau) for name, tableau in NYSTROM.items()},
    **{name: Splitting(tableau) for name, tableau in SPLITTING.items()},
    **{f"interpolation{len(nodes)}": Interpolation(nodes) for nodes in NODES},
}
"""Every method of this package. Each needs the base class that its ``needs`` names."""

DOPRI5 = RungeKutta(ADAPTIVE["dopri5"])
"""What takes the place of a method that the adjoint system, or this package, does not have."""

REASONS = {
    "DampedNode": "it needs equations h' = m, m' = -c(t) m + F(t, h)",
    "SeparableNode": "it needs equations that separate into exact flows",
}
"""What the equations of a node lack that is not of a base class."""

MULTISTEP = ("explicit_adams", "implicit_adams", "fixed_adams")
"""Methods of torchdiffeq that use values of earlier steps."""

LATE_STAGES = ("adaptive_heun", "fehlberg2")
"""Methods that begin with the last stage of the step before, as torchdiffeq steps them."""

TORCHODE = ("dopri5", "tsit5", "heun")
"""Methods of torchode."""


def methods_of(kinds: frozenset[str]) -> list[str]:
    """Return the names of the methods that a node with these base classes can take."""
    return [name for name, method in METHODS.items() if method.needs in kinds]


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
    (1e-2, "interpolation5"),
    (0.0, "interpolation8"),
)
"""From which relative tolerance on which method is taken."""
