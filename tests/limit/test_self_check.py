"""The check of a limit by numbers: on the rule as it is written, not on its normal form."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from shipped import THOROUGH
from typer.testing import CliRunner

from optode.cli.main import app
from optode.compiler import derive
from optode.diagnostics import SpecError
from optode.language.symbols import Gradient, step_symbol, symbol
from optode.limit.balance import scalings
from optode.rule.update_rule import update_rule
from optode.spec.reader import parse_spec
from optode.trial.operators import with_operators
from optode.trial.self_check import check_limit
from optode.trial.smooth_field import field_for, optimizer_field
from optode.trial.trial import POSITIVE_START, Trial
from optode.trial.written import WrittenRule

lr, x = step_symbol("lr"), symbol("x")


@pytest.mark.parametrize("name", [n for n in THOROUGH if not derive(n).spec.is_ode])
def test_a_rule_as_written_has_the_iterates_of_its_normal_form(name):
    derivation = derive(name)
    rule = with_operators(derivation.rule)
    for scaling in scalings(rule)[:1]:
        trial = Trial(rule, scaling, field_for(rule), POSITIVE_START)
        written = WrittenRule(rule, trial.field)
        # the normal form of an implicit step is right to the fourth power of the step
        step = 1e-3 if name == "proximal_point" else 0.02
        with np.errstate(all="ignore"):
            own = written.iterates(trial.values(step), trial.position, 12)
            first = trial.iterates(step, 12)[:, 0]
        np.testing.assert_allclose(own[rule.position.name], first, rtol=1e-9)


def test_an_implicit_step_is_carried_out():
    spec = parse_spec(
        "name: implicit\nstep_size: lr\nstate: [x]\nupdate: |\n  x[k+1] = x[k] - lr*grad(x[k+1])\n",
        "implicit.yaml",
    )
    field = optimizer_field()
    (path,) = (
        WrittenRule(derive(spec).rule, field)
        .iterates({"lr": 0.1}, np.array([0.8, -0.9]), 3)
        .values()
    )
    for before, after in pairwise(path):
        np.testing.assert_allclose(after, before - 0.1 * field(after), atol=1e-12)


def test_a_limit_that_the_written_rule_does_not_approach_is_refused():
    """The normal form is spoilt, as a fault of the compiler would."""
    rule = update_rule("descent", lr, [x], {x: x - lr * Gradient(x)})
    spoilt = replace(rule, step=tuple((z, v.xreplace({lr: 2 * lr})) for z, v in rule.step))
    (scaling,) = scalings(spoilt)
    assert check_limit(rule, scaling) == ""
    with pytest.raises(
        SpecError, match=r"does not approach .* apart with 32 steps, and 0\.\d+ with 512"
    ):
        check_limit(spoilt, scaling)


def test_the_check_is_part_of_the_commands(monkeypatch):
    calls = []
    monkeypatch.setattr("optode.trial.self_check.check_limit", lambda *_: calls.append(1) or "why")
    run = CliRunner().invoke(app, ["derive", "heavy_ball"])
    assert run.exit_code == 0
    assert "note: the limit was not checked by numbers: why" in run.output
    CliRunner().invoke(app, ["derive", "heavy_ball", "--no-check"])
    assert calls == [1]


def test_the_check_imports_no_more_than_it_needs():
    """``from numpy import *``, which lambdify would do, takes longer than the whole check."""
    code = (
        "import sys; from optode.compiler import derive; derive('adam').check_limit(); "
        "print([m for m in ('numpy.f2py', 'numpy.ctypeslib', 'scipy') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
