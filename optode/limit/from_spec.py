"""From a spec that states an ODE to the limit it is."""

from __future__ import annotations

from optode.diagnostics import Diagnostic, Reporter, SpecError
from optode.language.symbols import TIME, Gradient, field_call, loss_call, symbol
from optode.limit.given import given_ode, put_in
from optode.limit.limit import ContinuousLimit
from optode.rule.from_spec import build_rule, parse_pairs
from optode.rule.rule import RuleError
from optode.spec.expression import FUNCTIONS, Function, Scope
from optode.spec.notation import name_of_prime, primed
from optode.spec.reader import Spec
from optode.spec.undeclared import offered, undeclared, with_assumed


def given_limit(spec: Spec) -> ContinuousLimit:
    """Return the limit that a spec states under ``ode:``, its equations as they stand.

    Raises SpecError with all errors of the expressions.
    """
    reporter = Reporter()
    learned = spec.model.parameters if spec.model else ()
    defined = [(a.target, a.expression) for a in spec.assignments if a.kind == "define"]
    constants = [*(p.name for p in learned), *(p.name for p in spec.parameters)]
    names = [*spec.states, *constants, *(name for name, _ in defined)]
    symbols = {name: symbol(name) for name in (str(TIME), *(name.text for name in names))}
    velocities = dict(spec.velocities)
    symbols |= {name_of_prime(x): symbol(v) for x, v in velocities.items()}
    calls: dict[str, Function] = {"f": (field_call, None), "grad": (Gradient, 1)}
    calls |= {} if "loss" in symbols else {"loss": (loss_call, None)}
    scope = Scope(symbols, {}, {**FUNCTIONS, **calls}, None)
    derivatives = [(a.target, a.expression) for a in spec.assignments if a.kind == "derivative"]
    definitions, equations = (
        dict(parse_pairs(((z, primed(e, velocities)) for z, e in pairs), scope, reporter))
        for pairs in (defined, derivatives)
    )
    if reporter.diagnostics:
        raise SpecError(offered(reporter.diagnostics, "the model's parameters", "{value: ...}"))
    states = [symbol(s.text) for s in spec.states]
    try:
        return given_ode(
            spec.name.text, states, put_in(definitions, equations), is_matrix=spec.is_matrix
        )
    except RuleError as error:
        where = {a.target.text: a.expression.span for a in spec.assignments}
        found = (Diagnostic(f.code, f.message, where[str(f.target)], f.hint) for f in error.flaws)
        raise SpecError(found) from error


def assuming_fixed(spec: Spec) -> Spec:
    """Return the spec with the constants that it uses and does not declare, as fixed ones."""
    try:
        _ = given_limit(spec) if spec.is_ode else build_rule(spec)
    except SpecError as error:
        return with_assumed(spec, undeclared(error.diagnostics))
    return spec
