"""The whole way of a spec on one screen.

spec -> update rule -> continuous limit -> neural ODE -> adjoint system -> programs -> module text
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import TypeAlias

import sympy as sp

from optode.adjoint.adjoint import AdjointSystem, adjoint_system
from optode.codegen.files import sealed
from optode.codegen.module import RUNTIME, render
from optode.diagnostics import Diagnostic, Span, SpecError
from optode.formulation import Formulation
from optode.language.numbers import number_problem
from optode.language.program import Assign, NoProgram, Total
from optode.limit.choices import only_scaling
from optode.limit.from_spec import given_limit
from optode.limit.limit import ContinuousLimit, continuous_limit
from optode.limit.scaling import Scaling
from optode.model.fitting import fitted
from optode.model.following import Following, derive_following
from optode.model.from_spec import no_model, read_architecture
from optode.model.model import Architecture, NeuralODE, neural_ode
from optode.rule.from_spec import build_rule
from optode.rule.rule import UpdateRule
from optode.show.equations import Form, Stage, show
from optode.spec.reader import Spec
from optode.unexpected import staged
from optode.version import __version__


@dataclass(frozen=True, repr=False)
class Derivation:
    """A spec and the result of every stage, each computed when it is first read.

    Each attribute raises SpecError with all errors of its stage.
    """

    spec: Spec | Formulation
    order: int = 0
    step: float | None = None

    def __post_init__(self) -> None:
        if type(self.order) is not int or self.order not in (0, 1, 2):
            raise ValueError(f"order: 0, 1 or 2, not {self.order!r}")
        is_number = isinstance(self.step, Real) and not isinstance(self.step, bool)
        if self.step is not None and not (is_number and 0 < self.step < math.inf):
            raise ValueError(f"step: a positive number, not {self.step!r}")

    @property
    def name(self) -> str:
        """The name of the rule, and of the module's file."""
        return self.spec.rule.name if isinstance(self.spec, Formulation) else self.spec.name.text

    @property
    def place(self) -> Span | None:
        """Where errors of the whole point: at the name of the spec, of Python nowhere."""
        return self.spec.name.span if isinstance(self.spec, Spec) else None

    @property
    def file_name(self) -> str:
        """The name of the module's file, without its ending."""
        return f"{self.name}_order{self.order}" if self.order else self.name

    @cached_property
    @staged("rule")
    def given(self) -> UpdateRule | ContinuousLimit:
        """What the author states: an optimizer's step in normal form, or an ODE."""
        if isinstance(self.spec, Formulation):
            return self.spec.rule
        return given_limit(self.spec) if self.spec.is_ode else build_rule(self.spec)

    @cached_property
    def rule(self) -> UpdateRule:
        """One step of the optimizer, in normal form."""
        if isinstance(self.given, UpdateRule):
            return self.given
        raise SpecError([Diagnostic("E405", "no rule: an ODE is given", self.place)])

    @cached_property
    @staged("limit")
    def scaling(self) -> Scaling:
        """The powers of the step size: declared, or the only distinguished limit there is."""
        return only_scaling(self.rule)

    @cached_property
    @staged("limit")
    def limit(self) -> ContinuousLimit:
        """The continuous limit of the rule, or the ODE as it was given."""
        if isinstance(self.given, UpdateRule):
            return continuous_limit(self.given, self.scaling, self.order)
        if self.order:
            message = "no next order: an ODE is given, not a rule"
            raise SpecError([Diagnostic("E405", message, self.place)])
        return self.given

    @staged("limit")
    def check_limit(self) -> str:
        """Run the rule as it is written beside its limit; return why that was not possible, or "".

        Raises SpecError (E407), with the numbers, where shorter steps do not come closer.
        """
        from optode.trial.self_check import check_limit

        if self.spec.is_ode:
            return ""
        declared = self.spec.verify if isinstance(self.spec, Spec) else ()
        given = tuple((entry.name.text, entry.numbers[0]) for entry in declared)
        _ = self.limit
        return check_limit(self.rule, self.scaling, given)

    @cached_property
    @staged("model")
    def architecture(self) -> Architecture:
        """The model section of the spec, or of the formulation."""
        rule = None if self.spec.is_ode else self.rule
        if isinstance(self.spec, Spec):
            return read_architecture(self.spec, self.limit, self.step, rule)
        if self.spec.architecture is None:
            raise no_model(self.place)
        return fitted(self.spec.architecture, self.limit, rule, self.step)

    @cached_property
    @staged("model")
    def model(self) -> NeuralODE:
        """The limit with the network in the gradient's place."""
        model = neural_ode(self.limit, self.architecture, self.spec.title, self.spec.references)
        known = (p for p in model.parameters if p.value is not None)
        fixed = {p.symbol: sp.Rational(repr(p.value)) for p in known}
        self._check_numbers(zip(model.states, model.equations, strict=True), fixed)
        return model

    @cached_property
    @staged("adjoint")
    def adjoint(self) -> AdjointSystem:
        """The costate equations and the programs of the module."""
        try:
            adjoint = adjoint_system(self.model)
        except NoProgram as error:
            hint = "the stages before the adjoint are there, and the orders below"
            message = f"no adjoint of order {self.order}: {error}"
            raise SpecError([Diagnostic("E405", message, self.place, hint)]) from error
        made = (s for s in adjoint.backward.statements if isinstance(s, (Assign, Total)))
        self._check_numbers(((s.name, s.value) for s in made), {})
        return adjoint

    def _check_numbers(
        self, rates: Iterable[tuple[sp.Symbol, sp.Expr]], values: dict[sp.Symbol, sp.Expr]
    ) -> None:
        """Raise SpecError (E507) for equations with constants that are no floats."""
        found = [
            Diagnostic("E507", f"the equation of `{name}` {problem}", self.place)
            for name, rate in rates
            if (problem := number_problem(rate, values))
        ]
        if found:
            raise SpecError(found)

    @cached_property
    @staged("following")
    def following(self) -> Following:
        """How the states of the model follow, once f is given along the solution."""
        return derive_following(self.model)

    @cached_property
    def module_text(self) -> str:
        """The PyTorch module, byte-equal on every machine."""
        return self.text_importing(RUNTIME)

    @staged("module")
    def text_importing(self, runtime: str) -> str:
        """Return the PyTorch module, with its base class imported from ``runtime``."""
        origin = self.spec.origin
        if self.order:
            origin += f" with --order {self.order}" + (f" --step {self.step}" if self.step else "")
        sha256 = self.spec.sha256
        text = render(
            self.adjoint,
            self.following,
            spec_name=origin,
            sha256=sha256,
            version=__version__,
            runtime=runtime,
        )
        return sealed(text)

    def stages(self, *names: str) -> tuple[Stage, ...]:
        """Return the results of the named stages.

        Without names, of all but the last, and from order 2 on the adjoint, which has no program.
        """
        rule = [] if self.spec.is_ode else ["rule"]
        model = ["model", *(["adjoint"] if self.order < 2 else [])] if self.spec.has_model else []
        return tuple(getattr(self, name) for name in names or (*rule, "limit", *model))

    @staged("show")
    def show(self, *names: str, form: Form = "text") -> str:
        """Return the equations of the named stages (default: all) as ``text``, ``latex`` or ``markdown``."""
        return show(self.stages(*names), form, self.spec.title)

    def __str__(self) -> str:
        return self.show()

    def __repr__(self) -> str:
        try:
            return self.show().rstrip()
        except SpecError as error:
            return f"<Derivation of {self.name}: {error.diagnostics[0].message}>"

    def _repr_markdown_(self) -> str:
        try:
            return self.show(form="markdown")
        except SpecError as error:
            return f"~~~\n{error}\n~~~\n"


AnySpec: TypeAlias = str | Path | Spec | Formulation | Derivation
"""A path, the name of a shipped spec, a spec that has been read or made in Python, or what was derived
from one.
"""
