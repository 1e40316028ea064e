"""Find when a rule switches: where the argument of a sign changes its own."""

from __future__ import annotations

import numpy as np
import sympy as sp

from optode.language.functions import borders
from optode.language.matrices import MatrixFunction, matmul, operator_of, trace
from optode.trial.trial import Trial

_SAMPLES = 512


def horizon(trial: Trial, functions: tuple[type[sp.Function], ...]) -> float:
    """Return the final time: 1, or less if the argument of such a function changes sign earlier.

    At a switch the rule is late by up to a step: the error is of order 1 with a factor that jumps;
    and where the gradient itself stands in the sign, the limit slides from there on. The terms of
    next order hold between kinks. A polar factor jumps where its matrix loses rank.
    """
    limit = trial.limit(0)
    arguments = borders(call for e in limit.equations for call in e.atoms(*functions))
    arguments += [d for e in limit.equations for d in _determinants(e)]
    if not arguments:
        return 1.0
    along = trial.evaluated(arguments, trial.iterates(1 / _SAMPLES, _SAMPLES)[1:], 1 / _SAMPLES)
    signs = np.sign(along).reshape(_SAMPLES, -1)
    switches = np.flatnonzero((signs != signs[0]).any(axis=1))
    if not len(switches):
        return 1.0
    return float(2.0 ** np.floor(np.log2(0.9 * switches[0] / _SAMPLES)))


def _determinants(expression: sp.Expr) -> list[sp.Expr]:
    """Return the determinants of the matrices, of 2 rows and columns, whose polar factors are taken."""
    calls = expression.atoms(MatrixFunction)
    matrices = (c.args[1] for c in calls if (operator := operator_of(c)) and operator.is_odd)
    return [(trace(a) ** 2 - trace(matmul(a, a))) / 2 for a in matrices]
