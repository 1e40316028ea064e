"""Which shipped specs the slow tests run over.

The specs of ``corpus_catalogue.py`` are made of the same parts as the others: averages, roots, norms,
choices, lags. Each has the cheap tests: its limit and its vector field equal those typed by hand,
its adjoint is the transposed derivative, its module is current. What is slow for each spec, orders
of convergence, gradients at tight tolerances, displays in every form, runs over all others and over
one spec of each structure that only the corpus has.
"""

from __future__ import annotations

from corpus_catalogue import LIMITS
from modules import FOLDER, MATRICES

from optode.spec.shipped import shipped_specs

OF_A_STRUCTURE_OF_THEIR_OWN = (
    "adan",  # a Jacobian product in a state of its own scale
    "asgd",  # a power of time with a learned number in its base
    "cautious_adamw",  # a choice, and the share of the elements that it takes
    "dog",  # a running maximum of a norm
    "gravity",  # the largest element
    "hypergradient",  # a state that is one number for each sample
    "madgrad",  # the position is a function of sums, with weights that grow with time
    "nigt",  # the gradient a finite time ahead
    "schedulefree_sgd",  # the gradient between two states, singular at t = 0
    "sophia",  # an operator of the caller's in an average
)
_QUICK = set(LIMITS) - set(OF_A_STRUCTURE_OF_THEIR_OWN)

THOROUGH = [name for name in shipped_specs() if name not in _QUICK]
"""The specs of the slow tests."""

_APART = {*LIMITS, *MATRICES}
THOROUGH_MODULES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in _APART)
"""The modules of the slow tests; those of the corpus and of matrices have tests of their own."""
