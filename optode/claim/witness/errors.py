"""Check claims on adjoint systems numerically, on a random network.

A costate is integrated along a trajectory with the transposed Jacobian of the whole vector field,
taken by complex steps. Its image is compared with the solution of the claimed equations that starts
from the same position and velocity. Of what elimination found, only the factor P is used; nothing
of the derived adjoint system is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import sympy as sp
from scipy.integrate import quad

from optode.adjoint.volume import ELEMENTS, END, START
from optode.claim.costates import Costates
from optode.claim.verdicts import CLOCK, FACTOR, JACOBIANS, Change, Claim, Verdict
from optode.claim.witness.network import TINY, Array
from optode.claim.witness.trajectory import FEATURES, Trajectory
from optode.language.symbols import TIME, velocity_symbol

HORIZON = 1.0
"""From the start to T; reversed time is 0 there, perhaps at a pole, and nothing is compared."""

_TRAJECTORIES = 4
"""On so many trajectories an error is sought that decides."""


def witnessed(costates: Costates, claims: Iterable[Claim]) -> tuple[Claim, ...]:
    """Return the claims, each verdict with its observed relative error."""
    trajectories = {
        jacobian: tuple(Trajectory(costates, jacobian, seed) for seed in range(_TRAJECTORIES))
        for jacobian in JACOBIANS
    }
    found = []
    for claim in claims:
        verdicts = (decisive(trajectories[v.jacobian], claim, v) for v in claim.verdicts)
        found.append(replace(claim, verdicts=tuple(verdicts)))
    return tuple(found)


def decisive(trajectories: Iterable[Trajectory], claim: Claim, verdict: Verdict) -> Verdict:
    """Return a verdict with its observed error: of a proven one, on the first trajectory that agrees.

    Where an equation is nearly singular the error says nothing, and what is false does not hold on
    random numbers: one trajectory is enough. With none the error is that on the first. A refuted
    verdict has the first alone, since an error that is large elsewhere may be of that kind.
    """
    found = (replace(verdict, witness=observed_error(x, claim, verdict)) for x in trajectories)
    first = next(found)
    if verdict.status != "proven" or first.witness is None or first.agrees:
        return first
    return next((v for v in found if v.witness is not None and v.agrees), first)


def observed_error(trajectory: Trajectory, claim: Claim, verdict: Verdict) -> float | None:
    """Return the relative error of a claim; None if it cannot be observed.

    That is so where no verdict is given, where the network leads out of the equations' domain, and
    where what is left over appears after something has switched.
    """
    if verdict.status == "not applicable":
        return None
    try:
        with np.errstate(all="ignore"):
            error = _error(trajectory, claim, verdict)
    except (ArithmeticError, ValueError, np.linalg.LinAlgError):
        return None
    is_seen = verdict.status == "proven" or error > 1e-6 or not trajectory.switches
    return error if math.isfinite(error) and is_seen else None


def _error(trajectory: Trajectory, claim: Claim, verdict: Verdict) -> float:
    if claim.kind in ("integrated", "transition", "volume"):
        return _matrix_error(trajectory, claim)
    if claim.kind == "second order":
        return _second_order_error(trajectory, claim, verdict)
    if verdict.costate is None:
        return _superposition_error(trajectory, claim)
    return _image_error(trajectory, claim, verdict, verdict.costate)


def _image_error(
    trajectory: Trajectory, claim: Claim, verdict: Verdict, costate: sp.Symbol
) -> float:
    """Return the distance of a costate's image from the solution of the claimed equations."""
    images, right = zip(*claim.equations, strict=True)
    claimed = trajectory.along(images, right, claim.names)
    number, t0, z0 = len(trajectory.states), trajectory.start_time, trajectory.start
    dropped = [z in claim.held and not claim.is_kept for z in trajectory.states]
    sign, end = (-1 if verdict.change.is_reversed else 1), t0 + HORIZON

    def costate_rates(t: float, z: Array, a: Array) -> Array:
        rates = trajectory.costate_rates(t, z, a)
        rates[dropped] = 0
        return rates

    def image_rates(t: float, z: Array, b: Array) -> Array:
        return sign * claimed(end - t if sign < 0 else t, t, z, b)

    def rates(t: float, z: Array, y: Array) -> Array:
        return np.concatenate([costate_rates(t, z, y[:number]), image_rates(t, z, y[number:])])

    a = random_costates(trajectory)
    a[dropped] = 0
    index = list(trajectory.costates.of.values()).index(costate)
    factor = _factor(trajectory, verdict.change)
    value, growth = factor(t0)
    position = a[index] / value
    moved = costate_rates(t0, z0, a)[index] / value - growth * position
    b = _images(trajectory, claim, verdict, a, value)
    b[0] = position
    if len(images) == 2 and right[0].has(images[1]):
        b[1] = _matched(lambda b: image_rates(t0, z0, b)[0], position, moved, b[1])
    y = trajectory.solution(np.concatenate([a, b]), rates, trajectory.times)
    factors = np.array([factor(t)[0] for t in trajectory.times])
    return _distance(y[:, number], y[:, index] / factors[:, None, None])


def _images(
    trajectory: Trajectory, claim: Claim, verdict: Verdict, a: Array, factor: float
) -> Array:
    """Return the images at the start by elimination; 0 for images that the claim leaves free."""
    found, start = dict(verdict.images), trajectory.start_time
    known = {CLOCK: TIME, END: sp.Float(start + HORIZON), FACTOR: sp.Float(factor)}
    values = [found.get(image, sp.S.Zero).xreplace(known) for image, _ in claim.equations]
    images = trajectory.along(trajectory.costates.system.costates, values, claim.names)
    return images(HORIZON if verdict.change.is_reversed else start, start, trajectory.start, a)


def random_costates(trajectory: Trajectory) -> Array:
    """Return random costates at the start; the costates at the end are then random too."""
    return np.random.RandomState(3).standard_normal(trajectory.start.shape)


def _matched(
    rate: Callable[[Array], Array], position: Array, moved: Array, eliminated: Array
) -> Array:
    """Solve for the second image from the rate of the position, which is affine in it.

    Where that does not tell it whole, as in a step of length one, it is the image by elimination.
    """
    still = rate(np.stack([position, 0 * position]))
    unit = np.eye(FEATURES)
    matrix = rate(np.stack([position + 0 * unit, unit])) - still
    if np.linalg.matrix_rank(matrix, rtol=1e-9) < FEATURES:
        return eliminated
    return np.asarray(np.linalg.solve(matrix, moved - still))


def _factor(trajectory: Trajectory, change: Change) -> Callable[[float], tuple[float, float]]:
    """Return P and P'/P at a time."""
    if change.factor is None:
        rate = trajectory.compiled((TIME,), [change.rate])
        start = trajectory.start_time
        return lambda t: (math.exp(quad(lambda s: rate(s).item(), start, t)[0]), rate(t).item())
    factor = trajectory.compiled((TIME,), [change.factor])

    def evaluate(t: float) -> tuple[float, float]:
        value = complex(factor(t + 1j * TINY).item())
        return value.real, value.imag / TINY / value.real

    return evaluate


def _superposition_error(trajectory: Trajectory, claim: Claim) -> float:
    """Return how far the sum of two solutions is from a solution of the claimed equations."""
    images, right = zip(*claim.equations, strict=True)
    claimed = trajectory.along(images, right, claim.names)
    shape = (2, len(images), *trajectory.start.shape[1:])
    first, second = np.random.RandomState(13).uniform(0.5, 1.5, shape)

    def rates(t: float, z: Array, y: Array) -> Array:
        return np.concatenate([claimed(t, t, z, b) for b in np.split(y, 3)])

    def observed(scale: float) -> float:
        starts = scale * np.concatenate([first, second, first + second])
        one, other, both = np.split(trajectory.rough_solution(starts, rates), 3)
        return _distance(both, one + other)

    small = observed(1)
    return small if small > 1e-10 else observed(10)


def _second_order_error(trajectory: Trajectory, claim: Claim, verdict: Verdict) -> float:
    """Return the distance of a costate from the solution of its own equation."""
    ((costate, right),) = verdict.images
    claimed = trajectory.along([costate, velocity_symbol(costate)], [right], claim.names)
    number, index = len(trajectory.states), list(trajectory.costates.of.values()).index(costate)

    def rates(t: float, z: Array, y: Array) -> Array:
        of_costates = trajectory.costate_rates(t, z, y[:number])
        return np.concatenate([of_costates, y[-1:], claimed(t, t, z, y[number:])])

    a = random_costates(trajectory)
    moved = trajectory.costate_rates(trajectory.start_time, trajectory.start, a)
    y = trajectory.solution(np.stack([*a, a[index], moved[index]]), rates, trajectory.times)
    return _distance(y[:, number], y[:, index])


def _matrix_error(trajectory: Trajectory, claim: Claim) -> float:
    """Return the error of pairing, relative to the largest eigenvalue, or of a determinant.

    Of the transition matrix, or of the Jacobian's integral.
    """
    end, integrated, transition = trajectory.matrices
    matrix = integrated if claim.kind == "integrated" else transition
    ((_, value),) = claim.equations
    start = sp.Float(trajectory.start_time)
    known = {TIME: start, START: start, END: sp.Float(end), ELEMENTS: FEATURES}
    expected = float(value.xreplace({**trajectory.values, **known}))
    if claim.kind == "volume":
        return abs(float(np.linalg.det(matrix)) / expected - 1)
    eigenvalues = np.linalg.eigvals(matrix)
    is_sum = claim.kind == "integrated"
    partners = expected - eigenvalues if is_sum else expected / eigenvalues
    gaps = np.abs(partners[:, None] - eigenvalues).min(axis=1)
    return float(gaps.max() / np.abs(eigenvalues).max())


def _distance(found: Array, expected: Array) -> float:
    """Return the largest difference, relative to the largest value."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())
