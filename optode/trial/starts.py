"""Solve a limit to high accuracy, from regular and from singular starts.

At a singular start (a pole at t = 0, the root of a state that starts at 0) the solution meant is
the one with a power series in sqrt(t). It is found by collocation in tau = sqrt(t) at Radau nodes,
none of which is the start itself: a polynomial in tau cannot be on a singular branch, and Newton's
method on all nodes at once converges to round-off (de Hoog and Weiss 1977 for poles).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev

from optode.trial.numerics import Array, Rates

_NODES = 10
REACH = 0.01
_MAX_EVALUATIONS = 40_000


class NoSolution(ArithmeticError):
    """The equations could not be solved to the accuracy wanted; the message says why."""


def solve(rates: Rates, times: tuple[float, float], start: Array, rtol: float = 1e-11) -> Array:
    """Return the states at the second time, by DOP853; ``start`` of shape (states, 2) holds the first's.

    Raises NoSolution where the vector field is not defined or too rough, as on a sliding mode.
    """
    from scipy.integrate import solve_ivp  # half a second, which the check of a limit goes without

    if not np.isfinite(start).all():
        raise NoSolution(f"at t = {times[0]:.3g} a state is not a number: the rule divides 0 by 0")
    left = _MAX_EVALUATIONS

    def flat(t: float, z: Array) -> Array:
        nonlocal left
        left -= 1
        if left < 0:
            raise NoSolution(f"no solution to an accuracy of {rtol}: the vector field is too rough")
        return rates(t, z.reshape(start.shape)).ravel()

    with np.errstate(all="ignore"):
        solution = solve_ivp(flat, times, start.ravel(), "DOP853", rtol=rtol, atol=rtol / 10)
    if not solution.success or not np.isfinite(solution.y[:, -1]).all():
        raise NoSolution(f"no solution beyond t = {solution.t[-1]:.3g}")
    end: Array = solution.y[:, -1].reshape(start.shape)
    return end


def is_regular(rates: Rates, start: Array) -> bool:
    """Return whether the vector field at t = 0 is finite at the start, and smooth there: no root of a 0.

    A jump, as of a state that comes down on its floor, is left to the solver.
    """
    directions = np.eye(start.size).reshape(-1, *start.shape)
    with np.errstate(all="ignore"):
        here = rates(0.0, start)
        beside = [rates(0.0, start + h * d) for d in directions for h in (_NEAR, -_NEAR)]
        changes = [float(np.abs(there - here).max()) for there in beside]
    finite = bool(np.isfinite(here).all() and np.isfinite(changes).all())
    return finite and not any(_LIPSCHITZ < change < _JUMP for change in changes)


_NEAR, _LIPSCHITZ, _JUMP = 1e-9, 1e-6, 1e-2  # the root of _NEAR is 3e-5


@dataclass(frozen=True, slots=True)
class RegularBranch:
    """The regular solution on [0, reach] as a Chebyshev series in sqrt(t / reach)."""

    coefficients: Array
    reach: float

    def __call__(self, t: float) -> Array:
        """Return the states at a time within reach, shape (states, 2)."""
        return chebyshev.chebval(2 * np.sqrt(t / self.reach) - 1, self.coefficients)


def regular_branch(rates: Rates, start: Array, samples: tuple[Array, Array]) -> RegularBranch:
    """Return the solution of a singular start that has a power series in sqrt(t).

    ``samples`` are rough states at a quarter of the reach and at the reach, from which the
    iteration starts. Raises NoSolution where it does not converge.
    """
    from scipy.optimize import root
    from scipy.special import roots_jacobi

    nodes = np.append((1 + roots_jacobi(_NODES - 1, 1, 0)[0]) / 2, 1.0)
    taus = np.sqrt(REACH) * nodes
    integral = np.sqrt(REACH) * _integration_matrix(nodes)

    def defect(flat: Array) -> Array:
        z = flat.reshape(_NODES, *start.shape)
        slopes = [2 * tau * rates(tau**2, row) for tau, row in zip(taus, z, strict=True)]
        return np.asarray(z - start - np.tensordot(integral, np.stack(slopes), 1)).ravel()

    guess = np.stack([_between(start, samples, node) for node in nodes])
    with np.errstate(all="ignore"):
        found = root(defect, guess.ravel(), method="hybr", options={"xtol": 1e-14})
        size = np.abs(defect(found.x)).max()
    if not size < 1e-11:
        raise NoSolution(f"no regular branch from the singular start (defect {size:.1g})")
    values = np.concatenate([start[None], found.x.reshape(_NODES, *start.shape)])
    points = chebyshev.chebvander(2 * np.append(0.0, nodes) - 1, _NODES)
    flat = np.linalg.solve(points, values.reshape(_NODES + 1, -1))
    return RegularBranch(flat.reshape(_NODES + 1, *start.shape), REACH)


def _integration_matrix(nodes: Array) -> Array:
    """Return the integrals from 0 to each node (rows) of the polynomials that are 1 at one node."""
    number = len(nodes)
    points = chebyshev.chebvander(2 * nodes - 1, number - 1)
    columns = [chebyshev.chebint(unit, lbnd=-1) for unit in np.eye(number)]
    integrals = np.stack([chebyshev.chebval(2 * nodes - 1, c) for c in columns], axis=1) / 2
    return np.asarray(integrals @ np.linalg.inv(points))


def _between(start: Array, samples: tuple[Array, Array], node: float) -> Array:
    """Return the start plus a power of t, its exponent (a multiple of 1/2) as in the two samples."""
    with np.errstate(all="ignore"):
        ratio = (samples[1] - start) / (samples[0] - start)
        powers = np.nan_to_num(np.round(np.log2(ratio)), nan=2.0, posinf=2.0, neginf=2.0)
    exponent = np.clip(powers, 1, 6)  # of tau; the samples are a factor 2 apart in it
    return np.asarray(start + (samples[1] - start) * node**exponent)
