"""From a spec that states an ODE to the limit it is."""

from __future__ import annotations

from optode.diagnostics import Diagnostic, Reporter, SpecError
from optode.language.symbols import TIME, Gradient, field_call, symbol
from optode.limit.given import given_ode, put_in
from optode.limit.limit import ContinuousLimit
from optode.rule.from_spec import parse_pairs
from optode.rule.rule import RuleError
from optode.spec.expression import FUNCTIONS, Scope
from optode.spec.reader import Spec


def given_limit(spec: Spec) -> ContinuousLimit:
    """Return the limit that a spec states under ``ode:``, its equations as they stand.

    Raises SpecError with all errors of the expressions.
    """
    reporter = Reporter()
    learned = spec.model.parameters if spec.model else ()
    defined = [(a.target, a.expression) for a in spec.assignments if a.kind == "define"]
    names = [*spec.states, *(p.name for p in learned), *(name for name, _ in defined)]
    symbols = {name: symbol(name) for name in (str(TIME), *(name.text for name in names))}
    scope = Scope(symbols, {}, {**FUNCTIONS, "f": (field_call, None), "grad": (Gradient, 1)}, None)
    derivatives = [(a.target, a.expression) for a in spec.assignments if a.kind == "derivative"]
    definitions = dict(parse_pairs(defined, scope, reporter))
    equations = dict(parse_pairs(derivatives, scope, reporter))
    reporter.raise_if_any()
    states = [symbol(s.text) for s in spec.states]
    try:
        return given_ode(spec.name.text, states, put_in(definitions, equations))
    except RuleError as error:
        where = {a.target.text: a.expression.span for a in spec.assignments}
        found = (Diagnostic(f.code, f.message, where[str(f.target)], f.hint) for f in error.flaws)
        raise SpecError(found) from error
