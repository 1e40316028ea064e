"""The whole compiler on one screen: a spec goes in, a PyTorch module comes out.

spec -> update rule -> continuous limit -> neural ODE -> adjoint system -> programs -> module text
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from optode.adjoint import AdjointSystem, adjoint_system
from optode.diagnostics import Diagnostic, SpecError
from optode.limit import ContinuousLimit, continuous_limit
from optode.model import NeuralODE, neural_ode
from optode.model_text import read_architecture
from optode.render import render
from optode.resources import find_spec
from optode.rule import UpdateRule
from optode.rule_text import build_rule, given_limit
from optode.scaling import Scaling, distinguished_limits
from optode.spec import Spec, read_spec
from optode.version import __version__


@dataclass(frozen=True)
class Derivation:
    """A spec and all that follows from it; every stage is computed when it is first looked at.

    Each attribute raises SpecError with all errors of its stage.
    """

    spec: Spec

    @cached_property
    def rule(self) -> UpdateRule:
        """One step of the optimizer, in normal form."""
        return build_rule(self.spec)

    @cached_property
    def scaling(self) -> Scaling:
        """The powers of the step size: declared, or the only distinguished limit there is."""
        return the_scaling(self.rule)

    @cached_property
    def limit(self) -> ContinuousLimit:
        """The continuous limit of the rule, or the ODE as it was given."""
        if self.spec.is_ode:
            return given_limit(self.spec)
        return continuous_limit(self.rule, self.scaling)

    @cached_property
    def model(self) -> NeuralODE:
        """The limit with the network in the gradient's place."""
        architecture = read_architecture(self.spec, self.limit)
        return neural_ode(self.limit, architecture, self.spec.title, self.spec.references)

    @cached_property
    def adjoint(self) -> AdjointSystem:
        """The costate equations and the programs of the module."""
        return adjoint_system(self.model)

    @cached_property
    def module_text(self) -> str:
        """The PyTorch module, byte-equal on every machine."""
        name = Path(self.spec.source.path).name
        return render(self.adjoint, spec_name=name, sha256=self.spec.sha256, version=__version__)


def the_scaling(rule: UpdateRule) -> Scaling:
    """The one distinguished limit of a rule.

    Raises SpecError (E402) where there are several: the author chooses, nothing is chosen silently.
    """
    scalings = distinguished_limits(rule)
    if len(scalings) == 1:
        return scalings[0]
    lines = "\n".join(f"  {scaling.as_declaration(rule)}" for scaling in scalings)
    raise SpecError(
        (
            Diagnostic(
                "E402",
                f"{len(scalings)} scalings have a limit; choose one",
                rule.span_of(0),
                f"add one of these lines to the spec:\n{lines}",
            ),
        )
    )


def derive(spec: str | Path | Spec) -> Derivation:
    """The derivation of a spec: a path, the name of a shipped spec, or a Spec.

    Raises SpecError where the spec cannot be found or read.
    """
    return Derivation(spec if isinstance(spec, Spec) else read_spec(find_spec(str(spec))))
