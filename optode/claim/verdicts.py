"""The verdicts on claims about an adjoint system: proven, refuted or not applicable.

Claims tried, for every model: with the transposed Jacobian ``J^T`` in the place of f, the costates
satisfy the forward equation; they satisfy the linearised one; one costate alone satisfies an
equation of second order; the eigenvalues of the flow's Jacobian pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import sympy as sp

from optode.calculus.integrals import antiderivative, exponential
from optode.language.presentation import present

CLOCK = sp.Symbol("tau", real=True, nonzero=True)
"""Reversed time, ``tau = T - t``."""
FACTOR = sp.Symbol("P", real=True, nonzero=True)
"""The factor of a change of variables, where it has no closed form."""
Status: TypeAlias = Literal["proven", "refuted", "not applicable"]
STATUSES: tuple[Status, ...] = ("proven", "refuted", "not applicable")
Kind: TypeAlias = Literal[
    "forward", "linearised", "second order", "integrated", "transition", "volume"
]
Jacobian: TypeAlias = Literal["any", "symmetric", "constant"]
JACOBIANS: tuple[Jacobian, ...] = ("any", "symmetric", "constant")
"""The fields that a verdict is on: all, gradients of a function, affine ones."""
Equation: TypeAlias = tuple[sp.Expr, sp.Expr]
"""The two sides."""


@dataclass(frozen=True, slots=True)
class Change:
    """New variables: the position's image is the costate over P, with ``P' = rate*P``.

    In reversed time ``tau = T - t`` is the time of the equations.
    """

    is_reversed: bool = False
    rate: sp.Expr = sp.S.Zero

    @property
    def factor(self) -> sp.Expr | None:
        """P as a function of t, or None where the integral of its rate has no closed form."""
        exponent = antiderivative(self.rate)
        return None if exponent is None else exponential(present(exponent))


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on a claim for one costate in one set of variables.

    ``costate`` is None where the verdict is on all of them. ``images`` says what takes the place of
    each state; ``leftover`` what is to be added to the right-hand sides that were claimed, in the
    images where they determine the costates. ``witness`` is a relative error observed on a random
    network: round-off where proven, of order 1 where refuted.
    """

    status: Status
    costate: sp.Symbol | None = None
    change: Change = Change()
    images: tuple[Equation, ...] = ()
    leftover: tuple[Equation, ...] = ()
    remark: str = ""
    jacobian: Jacobian = "any"
    witness: float | None = None

    @property
    def agrees(self) -> bool:
        """Whether the observed error, if there is one, agrees with the status."""
        if self.witness is None or self.status == "not applicable":
            return True
        return self.witness < 1e-10 if self.status == "proven" else self.witness > 1e-6


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement about the adjoint system of a model and the verdicts on it, proven ones first.

    ``equations`` are claimed of the images; ``names`` are short names in them. ``held`` states are
    given along the trajectory, and their costates dropped, unless ``is_kept`` says otherwise.
    """

    kind: Kind
    equations: tuple[Equation, ...]
    verdicts: tuple[Verdict, ...]
    names: tuple[Equation, ...] = ()
    held: tuple[sp.Symbol, ...] = ()
    is_kept: bool = False
    is_linear: bool = True


@dataclass(frozen=True)
class Findings:
    """The claims on one model's adjoint.

    ``clocks`` are the states that are functions of time alone, as they were put in.
    """

    name: str
    class_name: str
    title: str
    clocks: tuple[Equation, ...]
    claims: tuple[Claim, ...]

    @property
    def agree(self) -> bool:
        """Whether every verdict agrees with its numerical check."""
        return all(verdict.agrees for claim in self.claims for verdict in claim.verdicts)


def with_names(claim: Claim, names: Mapping[sp.Symbol, sp.Expr]) -> Claim:
    """Return the claim with the names that occur in it, directly or by their rates."""
    shown = [claim.equations, *(v.images for v in claim.verdicts)]
    shown += [v.leftover for v in claim.verdicts]
    used = {s for equations in shown for _, right in equations for s in right.free_symbols}
    used_names = {s.name.removesuffix("_dot") for s in used}
    kept = ((name, factor) for name, factor in names.items() if name.name in used_names)
    return replace(claim, names=tuple(kept))
