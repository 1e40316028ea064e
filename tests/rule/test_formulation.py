"""Whatever a spec says can be said in Python, with equal results at every stage."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from typing import get_args

import pytest
import sympy as sp
from shipped import THOROUGH

from optode import (
    COUNTER,
    TIME,
    Architecture,
    At,
    Derivation,
    Field,
    Formulation,
    Gradient,
    Initial,
    LearnedParameter,
    Loss,
    Oracle,
    SpecError,
    derive,
    given_ode,
    update_rule,
)
from optode.diagnostics import Located, Reporter
from optode.model.model import InitialKind
from optode.rule.rule import RuleError
from optode.show.as_json import as_json
from optode.spec.declarations import ModelSpec, Spec
from optode.spec.expression import FUNCTIONS, Scope, parse_expression

# Symbols without assumptions, as a user makes them.
s, lr, x, y, v, m, h, theta, z = sp.symbols("s lr x y v m h theta z")
beta, beta1, beta2, gamma, mu, eps = sp.symbols("beta beta1 beta2 gamma mu eps")
alpha, epsilon, lmo, x_y = sp.symbols("alpha epsilon lmo x_y")


def typed(text: Located, operators: Iterable[str] = ()) -> sp.Expr:
    """The expression as a user of SymPy types it: plain symbols, decimal numbers as floats."""
    functions = {**FUNCTIONS, "grad": (Gradient, 1), "f": (Field, None), "loss": (Loss, 1)}
    functions |= {name: (partial(Oracle, sp.Symbol(name)), 1) for name in operators}
    names = set(re.findall(r"[^\W\d]\w*", text.text)) - {*functions, "k"}
    symbols = {name: TIME if name == "t" else sp.Symbol(name) for name in names}
    reporter = Reporter()
    value = parse_expression(text, Scope({}, symbols, functions, COUNTER), reporter)
    assert value is not None, reporter.diagnostics
    decimals = (n for n in value.atoms(sp.Rational) if sp.Rational(repr(float(n))) == n)
    return value.xreplace({n: sp.Float(float(n)) for n in decimals if not n.is_Integer})


def typed_pairs(pairs, operators: Iterable[str] = ()) -> dict[sp.Symbol, sp.Expr]:
    return {sp.Symbol(name.text): typed(value, operators) for name, value in pairs}


def rule_in_python(spec: Spec):
    operators = [p.name.text for p in spec.parameters if p.is_oracle]
    states = [sp.Symbol(state.text) for state in spec.states]
    update = typed_pairs(((a.target, a.expression) for a in spec.assignments), operators)
    if spec.is_ode:
        return given_ode(spec.name.text, states, update)
    formulas = ((p.name, p.formula) for p in spec.parameters if p.formula is not None)
    return update_rule(
        spec.name.text,
        sp.Symbol(spec.step_size.text),
        states,
        update,
        parameters=typed_pairs(formulas),
        start=typed_pairs(spec.start),
        decays=[sp.Symbol(p.name.text) for p in spec.parameters if p.is_decay],
        vectors=[sp.Symbol(p.name.text) for p in spec.parameters if p.is_vector],
        scaling=typed_pairs(spec.scaling),
        is_matrix=spec.is_matrix,
    )


def model_in_python(model: ModelSpec) -> Architecture:
    kinds = {*get_args(InitialKind)} - {"expression"}
    initial = (
        (
            i,
            Initial(i.value.text)
            if i.value.text in kinds
            else Initial("expression", typed(i.value)),
        )
        for i in model.initial
    )
    return Architecture(
        model.class_name.text,
        field_sign=1 if model.field.text == "grad" else -1,
        rename=tuple((sp.Symbol(old.text), sp.Symbol(new.text)) for old, new in model.rename),
        parameters=tuple(
            LearnedParameter(sp.Symbol(p.name.text), p.init, p.value, p.transform, p.per_feature)
            for p in model.parameters
        ),
        initial=tuple((sp.Symbol(i.state.text), start) for i, start in initial),
        rewrites=tuple((sp.Symbol(e.state.text), typed(e.expression)) for e in model.equations),
        span=model.span,
    )


def in_python(spec: Spec) -> Formulation:
    model = model_in_python(spec.model) if spec.model else None
    return Formulation(rule_in_python(spec), model, spec.title, spec.references)


def body(derivation: Derivation) -> list[str]:
    """The lines of a module but for those that name the spec and the digests."""
    return [line for line in derivation.module_text.splitlines() if not line.startswith("#")]


def assert_equal_at_every_stage(ours: Derivation, theirs: Derivation) -> None:
    if not theirs.spec.is_ode:
        assert ours.rule == theirs.rule
        assert ours.scaling == theirs.scaling
    assert ours.limit == theirs.limit
    assert as_json(ours.name, ours.stages()) == as_json(theirs.name, theirs.stages())
    if theirs.spec.has_model:
        assert (ours.model, ours.adjoint) == (theirs.model, theirs.adjoint)
        assert body(ours) == body(theirs)


@pytest.mark.parametrize("name", THOROUGH)
def test_every_shipped_spec_in_python(name: str) -> None:
    theirs = derive(name)
    assert_equal_at_every_stage(derive(in_python(theirs.spec)), theirs)


@pytest.mark.parametrize("name", ["heavy_ball", "adam_fixed_betas", "nesterov"])
def test_next_order_in_python(name: str) -> None:
    theirs = derive(name, 1, 0.1)
    assert_equal_at_every_stage(derive(in_python(theirs.spec), 1, 0.1), theirs)


def heavy_ball() -> Formulation:
    rule = update_rule(
        "heavy_ball",
        s,
        [x, v],
        {v: beta * v - s * Gradient(x), x: x + At(v, 1)},
        parameters={beta: 1 - gamma * sp.sqrt(s)},
    )
    learned = LearnedParameter(gamma, init=-3.0, transform="sigmoid")
    return Formulation(rule, Architecture("HBNODE", rename=((x, h), (v, m)), parameters=(learned,)))


def strongly_convex() -> Formulation:
    rule = update_rule(
        "nesterov_strongly_convex",
        s,
        [x, y],
        {y: x - s * Gradient(x), x: At(y, 1) + beta * (At(y, 1) - y)},
        parameters={beta: (1 - sp.sqrt(mu * s)) / (1 + sp.sqrt(mu * s))},
        start={y: x},
    )
    learned = LearnedParameter(mu, init=0.5, transform="softplus")
    rename = ((x, h), (x_y, m))
    return Formulation(rule, Architecture("StronglyConvexNesterovNODE", -1, rename, (learned,)))


def averages(update, **settings):
    step = {
        m: beta1 * m + (1 - beta1) * Gradient(x),
        v: beta2 * v + (1 - beta2) * Gradient(x) ** 2,
    }
    return update_rule(settings.pop("name"), lr, [x, m, v], {**step, x: update}, **settings)


def adam() -> Formulation:
    rule = averages(
        x - lr * At(m, 1) / (sp.sqrt(At(v, 1)) + eps),
        name="adam",
        parameters={beta1: 1 - alpha * lr, beta2: 1 - beta * lr},
    )
    parameters = (
        LearnedParameter(alpha, init=3.0, transform="sigmoid"),
        LearnedParameter(beta, init=3.0, transform="sigmoid"),
        LearnedParameter(eps, value=1e-8),
    )
    initial = ((m, Initial("zero")), (v, Initial("expression", sp.Integer(1))))
    return Formulation(rule, Architecture("AdamNODE", -1, ((x, h),), parameters, initial))


def adam_fixed_betas() -> Formulation:
    rule = averages(x - lr * At(m, 1) / sp.sqrt(At(v, 1) + eps), name="adam_fixed_betas")
    parameters = (
        LearnedParameter(beta1, value=0.9),
        LearnedParameter(beta2, value=0.999),
        LearnedParameter(eps, init=0.5, transform="softplus"),
    )
    return Formulation(rule, Architecture("FixedDecaysAdamNODE", -1, ((x, h),), parameters))


def fista() -> Formulation:
    rule = update_rule(
        "fista",
        s,
        [x, y, theta],
        {
            theta: (1 + sp.sqrt(1 + 4 * theta**2)) / 2,
            y: x - s * Gradient(x),
            x: At(y, 1) + (theta - 1) / At(theta, 1) * (At(y, 1) - y),
        },
        start={y: x, theta: 1},
    )
    initial = ((theta, Initial("expression", 0.5)),)
    rename = ((x, h), (x_y, m))
    return Formulation(rule, Architecture("FISTANODE", -1, rename, (), initial, span=(1.0, 2.0)))


def adagrad() -> Formulation:
    rule = update_rule(
        "adagrad",
        lr,
        [x, v],
        {v: v + Gradient(x) ** 2, x: x - lr * Gradient(x) / (sp.sqrt(At(v, 1)) + eps)},
        parameters={eps: epsilon / lr},
    )
    initial = ((v, Initial("expression", sp.Integer(1))),)
    parameters = (LearnedParameter(epsilon, value=1e-8),)
    return Formulation(rule, Architecture("AdaGradNODE", -1, ((x, h),), parameters, initial))


def frank_wolfe() -> Formulation:
    return Formulation(
        update_rule("frank_wolfe", s, [x], {x: x + s * (Oracle(lmo, Gradient(x)) - x)}),
        Architecture("ConditionalGradientNODE", rename=((x, h),)),
    )


def second_order() -> Formulation:
    ode = given_ode("second_order", [x, v], {x: v, v: Field(TIME, x, v)})
    return Formulation(ode, Architecture("SONODE", initial=((v, Initial("linear")),)))


TYPED = (
    heavy_ball,
    strongly_convex,
    adam,
    adam_fixed_betas,
    fista,
    adagrad,
    frank_wolfe,
    second_order,
)


@pytest.mark.parametrize("written", TYPED, ids=lambda written: written.__name__)
def test_typed_by_hand(written) -> None:
    """Titles and references, which are no mathematics, are taken from the spec."""
    ours = written()
    theirs = derive(ours.rule.name)
    spec = theirs.spec
    ours = Formulation(ours.rule, ours.architecture, spec.title, spec.references)
    assert_equal_at_every_stage(derive(ours), theirs)


def test_a_decay_that_may_move_has_several_scalings() -> None:
    update = {v: beta * v - s * Gradient(x), x: x + At(v, 1)}
    with pytest.raises(SpecError, match="E402: 4 scalings have a limit"):
        _ = derive(Formulation(update_rule("hb", s, [x, v], update, decays=[beta]))).scaling
    assert derive(Formulation(update_rule("hb", s, [x, v], update))).scaling.step_power == 1


def test_a_declared_power_chooses_the_unit_of_time() -> None:
    update = {x: x - s * Gradient(x)}
    rule = update_rule("flow", s, [x], update, scaling={"time": s})
    assert rule.declared_powers == ((0, 1),)


def bad_rule(**changes):
    said = {"name": "rule", "step_size": s, "states": [x, v], "update": {x: x - s * v, v: v}}
    return lambda: update_rule(**(said | changes))


BAD_RULES = {
    "the name `torch` is taken": bad_rule(name="torch"),
    "the name `t` is taken": bad_rule(step_size=sp.Symbol("t")),
    "`lambda` is a keyword": bad_rule(update={x: x - s * sp.Symbol("lambda") * v, v: v}),
    "`v` is declared twice": bad_rule(parameters={v: 1 - s}),
    "the name `raw_` is taken": bad_rule(update={x: x - s * Oracle("raw_", v), v: v}),
    "`v` is declared twice()": bad_rule(update={x: x - s * Oracle(v, v), v: v}),
    "`y` is not a state": bad_rule(start={y: 0}),
    "not a scaling of the rule": bad_rule(scaling={y: s}),
    "not a power of the step size": bad_rule(scaling={v: 1 + s}),
    "the time step must vanish": bad_rule(scaling={"time": 1}),
    "`x` is never assigned": lambda: given_ode("ode", [x], {}),
    "different numbers of arguments": lambda: given_ode(
        "ode", [x, v], {x: Field(TIME, v), v: Field(TIME, x, v)}
    ),
}


@pytest.mark.parametrize("message", BAD_RULES)
def test_errors_of_rules(message: str) -> None:
    with pytest.raises(RuleError, match=message):
        BAD_RULES[message]()


BALL = heavy_ball().rule
GAMMA = LearnedParameter(gamma, init=0.0)
BAD_MODELS = {
    "E110": Architecture("list", parameters=(GAMMA,)),
    "E117": Architecture("Ball", parameters=(GAMMA, GAMMA)),
    "E205": Architecture(
        "Ball", parameters=(GAMMA,), initial=((v, Initial("expression", Field(TIME, x, x))),)
    ),
    "E502": Architecture("Ball", parameters=(GAMMA,), rename=((y, h),)),
    "E503": Architecture("Ball", parameters=(GAMMA,), rename=((x, v),)),
    "E504": Architecture("Ball"),
    "E505": Architecture("Ball", parameters=(GAMMA, LearnedParameter(mu, value=1.0))),
}


@pytest.mark.parametrize("code", BAD_MODELS)
def test_errors_of_models(code: str) -> None:
    with pytest.raises(SpecError) as caught:
        _ = derive(Formulation(BALL, BAD_MODELS[code])).model
    assert {d.code for d in caught.value.diagnostics} == {code}


def test_a_formulation_without_an_architecture_has_no_module() -> None:
    derivation = derive(Formulation(BALL))
    assert derivation.stages() == (derivation.rule, derivation.limit)
    with pytest.raises(SpecError, match="E501"):
        _ = derivation.module_text


def test_an_ode_has_no_rule_and_no_next_order() -> None:
    derivation = derive(second_order(), 1, 0.1)
    for stage in ("rule", "limit"):
        with pytest.raises(SpecError, match="E405"):
            getattr(derivation, stage)
