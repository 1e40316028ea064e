"""The rules that read the loss, typed by hand: published limits, and vector fields in PyTorch.

``LIMITS`` and ``NEXT`` are as in ``catalogue``, the functions as in ``equations``. The next order is
worked out on paper: ``-(D F)[F]/2`` of the limit F, since no rule has terms of its own there, with
``D loss[u] = g . u``.
"""

from __future__ import annotations

from catalogue import J, g, gamma, half, x
from equations import ADJOINTS, norm, typed

from optode.language.elementwise import minimum
from optode.language.symbols import Loss, dot, symbol

eta, delta, f_star = map(symbol, ("eta", "delta", "f_star"))
loss, size = Loss(x), dot(g, g)

LIMITS = {
    # Polyak 1987, 5.3: the step (f - f*)/|g|^2, of which the part lr is gone
    "polyak_step": {x: -(loss - f_star) / size * g},
    # Loizou et al. 2021 with c = 1/s and the bound gamma*s
    "sps_max": {x: -minimum(gamma, (loss - f_star) / size) * g},
    # Berrada et al. 2020, algorithm 1: the step min(eta, loss/(|g|^2 + delta))
    "alig": {x: -minimum(eta, loss / (size + delta)) * g},
}

_gap, _Jg = loss - f_star, J(g)
NEXT = {
    # by hand, with F = -q g and q = (loss - f*)/|g|^2: D q[g] = 1 - 2 q g.Jg/|g|^2, and
    # (D F)[F] = q D q[g] g + q^2 J g
    "polyak_step": {
        x: -half
        * (_gap / size * (1 - 2 * _gap * dot(g, _Jg) / size**2) * g + (_gap / size) ** 2 * _Jg)
    },
}


def each(number, h):
    """A number for each sample, in the shape that broadcasts to its features."""
    return number.view(-1, *[1] * (h.ndim - 1))


@typed("polyak_step")
def polyak_step(t, states, f, p):
    """Polyak 1987: the step is (loss - f*)/|g|^2."""
    (h,) = states
    v = f(t, h)
    return (each(p.loss(t, h) - p.f_star, h) / norm(v) ** 2 * v,)


@typed("sps_max")
def stochastic_polyak_step(t, states, f, p):
    """Loizou et al. 2021: no longer than gamma."""
    (h,) = states
    v = f(t, h)
    return ((each(p.loss(t, h) - p.f_star, h) / norm(v) ** 2).minimum(p.gamma) * v,)


@typed("alig")
def alig(t, states, f, p):
    """Berrada et al. 2020: no longer than eta, with delta in the denominator."""
    (h,) = states
    v = f(t, h)
    return ((each(p.loss(t, h), h) / (norm(v) ** 2 + p.delta)).minimum(p.eta) * v,)


@typed("polyak_step", table=ADJOINTS)
def polyak_step_adjoint(t, states, costates, f, transposed, p):
    """By hand: the transpose of ``J u q + f (D q)``, q = (loss - f*)/|f|^2, by a formula of the loss."""
    (h,), (a,) = states, costates
    v, gap = f(t, h), each(p.loss(t, h) - p.f_star, h)
    size = norm(v) ** 2
    along = (v * a).sum(-1, keepdim=True)
    force = gap / size * a - 2 * gap * along / size**2 * v
    return (-transposed(force)[0] - p.loss.slope(t, h) * along / size,)
