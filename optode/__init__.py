"""A compiler from optimizer update rules to neural ODEs.

`optode.derive("adam")` shows what follows from a spec, `optode.generate("adam")` writes its PyTorch
module, `optode.compile("adam")` gives the class at once, `optode.check("adam")` lists its errors,
`optode.claims("adam")` says what is true of its adjoint, `optode.verify("adam")` compares the
optimizer with its ODE, `optode.plot("adam")` draws it, `optode.report("adam", "adam.html")` writes
one page of all this, `optode.compare(["adam", "heavy_ball"])` trains the models of rules under equal
conditions. In a notebook, `%load_ext optode` brings the cell magic `%%optode`.

Nothing is loaded before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from optode.version import __version__

if TYPE_CHECKING:
    from optode.claim.report import Claims, claims
    from optode.compiler import check, compile, derive, generate, parse
    from optode.derivation import Derivation
    from optode.diagnostics import Diagnostic, SpecError
    from optode.formulation import Formulation
    from optode.language.symbols import COUNTER, TIME, At, Field, Gradient, Loss, Oracle
    from optode.limit.given import given_ode
    from optode.model.model import Architecture, Initial, LearnedParameter
    from optode.notebook import load_ipython_extension
    from optode.page.report import report
    from optode.picture.plot import plot
    from optode.rule.rule import UpdateRule
    from optode.rule.update_rule import update_rule
    from optode.study.compare import Comparison, compare
    from optode.study.task import Task
    from optode.verification.gradients.checks import check_gradients
    from optode.verification.orders.report import verify

__all__ = [
    "COUNTER",
    "TIME",
    "Architecture",
    "At",
    "Claims",
    "Comparison",
    "Derivation",
    "Diagnostic",
    "Field",
    "Formulation",
    "Gradient",
    "Initial",
    "LearnedParameter",
    "Loss",
    "Oracle",
    "SpecError",
    "Task",
    "UpdateRule",
    "__version__",
    "check",
    "check_gradients",
    "claims",
    "compare",
    "compile",
    "derive",
    "generate",
    "given_ode",
    "load_ipython_extension",
    "parse",
    "plot",
    "report",
    "update_rule",
    "verify",
]

_HOMES = {
    "Claims": "claim.report",
    "claims": "claim.report",
    "Derivation": "derivation",
    "check": "compiler",
    "compile": "compiler",
    "derive": "compiler",
    "generate": "compiler",
    "parse": "compiler",
    "Diagnostic": "diagnostics",
    "SpecError": "diagnostics",
    "Formulation": "formulation",
    "Architecture": "model.model",
    "Initial": "model.model",
    "LearnedParameter": "model.model",
    "At": "language.symbols",
    "given_ode": "limit.given",
    "TIME": "language.symbols",
    "COUNTER": "language.symbols",
    "Oracle": "language.symbols",
    "Field": "language.symbols",
    "Gradient": "language.symbols",
    "Loss": "language.symbols",
    "UpdateRule": "rule.rule",
    "update_rule": "rule.update_rule",
    "Comparison": "study.compare",
    "compare": "study.compare",
    "Task": "study.task",
    "plot": "picture.plot",
    "report": "page.report",
    "verify": "verification.orders.report",
    "check_gradients": "verification.gradients.checks",
    "load_ipython_extension": "notebook",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"optode.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
