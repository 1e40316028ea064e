"""Every function that takes a spec takes what was derived from one, with its order and step."""

from __future__ import annotations

from pathlib import Path

import pytest

import optode
from optode.claim.report import every_claim
from optode.compiler import derive

HIGH = "nesterov_strongly_convex"


def test_a_derivation_is_not_derived_again() -> None:
    found = optode.derive(HIGH, order=1, step=0.1)
    assert derive(found) is found
    assert derive(found, 2).order == 2
    assert derive(found, step=0.2).step == 0.2
    assert derive(found, 2).spec is found.spec


def test_no_stage_of_a_text_is_worked_out_twice(tmp_path: Path) -> None:
    rule = tmp_path / "rule.yaml"
    text = "name: rule\nstep_size: s\nstate: [x]\nupdate: |\n  x[k+1] = x - s*grad(x)\n"
    rule.write_text(text)
    found = optode.derive(rule)
    assert optode.derive(rule).limit is found.limit
    assert optode.derive(rule, 1).limit is not found.limit
    rule.write_text(text.replace("s*grad", "2*s*grad"))
    assert optode.derive(rule).limit.equations != found.limit.equations


def test_its_order_and_step_are_kept(tmp_path: Path) -> None:
    found = optode.derive(HIGH, order=1, step=0.1)
    assert optode.compile(found).__doc__ != optode.compile(HIGH).__doc__
    (path,) = optode.generate(found, directory=tmp_path, check=False)
    assert path.name == f"{HIGH}_order1.py"
    assert path.read_text(encoding="utf-8") == found.module_text
    assert optode.check(found) == ()


def test_functions_take_it() -> None:
    found = optode.derive("heavy_ball")
    assert str(optode.claims(found)) == str(optode.claims("heavy_ball"))
    assert [c.name for c in optode.verify(found, order=0)] == ["heavy_ball"]
    assert next(every_claim()).name == "accelerated_cubic"


@pytest.mark.parametrize("wrong", [5, None, ["adam"], {"name": "adam"}])
def test_what_is_no_spec_is_refused_by_its_type(wrong: object) -> None:
    for function in (optode.derive, optode.compile, optode.claims, optode.verify, optode.check):
        with pytest.raises(TypeError, match="a spec is a path, a name, or what optode made of one"):
            function(wrong)


@pytest.mark.parametrize("order", [3, -1, "1", 1.0, True, None])
def test_an_order_is_0_1_or_2(order: object) -> None:
    for function in (optode.derive, optode.verify):
        with pytest.raises(ValueError, match=r"^order: 0, 1 or 2, not "):
            function("heavy_ball", order)


@pytest.mark.parametrize("step", [0, -0.1, "x", True, float("inf"), float("nan")])
def test_a_step_is_a_positive_number(step: object) -> None:
    with pytest.raises(ValueError, match=r"^step: a positive number, not "):
        optode.derive("heavy_ball", 1, step)


@pytest.mark.parametrize("text", [5, None, b"name: x"])
def test_a_text_is_a_str(text: object) -> None:
    with pytest.raises(TypeError, match=r"^the text of a spec is a str, not "):
        optode.parse(text)
