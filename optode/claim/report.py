"""The claims on the adjoint of a spec's model: derived, proven or refuted, and observed."""

from __future__ import annotations

from collections.abc import Iterator

from optode.claim.costates import Costates, without_clocks
from optode.claim.markdown import as_markdown
from optode.claim.prove import adjoint_claims
from optode.claim.text import as_text
from optode.claim.verdicts import Findings
from optode.claim.witness.errors import witnessed
from optode.compiler import derive, shipped_models
from optode.derivation import AnySpec
from optode.diagnostics import Diagnostic, SpecError
from optode.time_limit import time_limit
from optode.unexpected import stage


class Claims(Findings):
    """The verdicts on the adjoint of a model; they print as text, in notebooks as tables."""

    def __str__(self) -> str:
        return as_text(self)

    def __repr__(self) -> str:
        return as_text(self).rstrip()

    def _repr_markdown_(self) -> str:
        return as_markdown(self)


def claims(
    spec: AnySpec, order: int = 0, step: float | None = None, seconds: float | None = None
) -> Claims:
    """Prove or refute the claims on the adjoint of a spec's model, and check them numerically.

    ``order`` and ``step`` are those of ``derive``. Raises SpecError for a spec in error, for one
    without a model or of matrices, and for one that takes more than so many seconds.
    """
    with time_limit(seconds):
        derivation = derive(spec, order, step)
        if derivation.model.is_matrix:
            message = "no claims: they are made of vectors, and the position is a matrix"
            raise SpecError([Diagnostic("E405", message, derivation.place)])
        model, clocks = without_clocks(derivation.model)
        with stage("claims", derivation.place):
            costates = Costates(model)
            found = witnessed(costates, adjoint_claims(costates))
    return Claims(derivation.name, model.class_name, model.title, tuple(clocks.items()), found)


def every_claim(seconds: float | None = None) -> Iterator[Claims]:
    """Yield the claims on every shipped model of vectors, each within so many seconds."""
    derived = map(derive, shipped_models())
    return (claims(each, seconds=seconds) for each in derived if not each.model.is_matrix)
