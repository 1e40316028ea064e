"""The equations in which two specs differ, as `optode diff` shows them."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from optode.cli.main import app
from optode.compiler import derive
from optode.show.difference import differences
from optode.spec.reader import parse_spec
from optode.spec.shipped import shipped_specs

BALL = """\
name: ball
step_size: s
parameters: {beta: 1 - gamma*sqrt(s), gamma: fixed}
state: [x, v]
update: |
  v[k+1] = beta*v[k] - s*grad(x[k])
  x[k+1] = x[k] + v[k+1]
"""
DECAYED = BALL.replace("- s*grad(x[k])", "- s*(grad(x[k]) + w*x[k])").replace(
    "gamma: fixed}", "gamma: fixed, w: fixed}"
)


def difference(first: str, second: str) -> list[str]:
    sides = (derive(parse_spec(text)).stages() for text in (first, second))
    return [*differences(*sides)]


def run(*arguments: object, code: int) -> str:
    done = CliRunner().invoke(app, ["diff", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.output


def test_equal_specs_have_no_difference() -> None:
    assert difference(BALL, BALL) == []
    assert difference(BALL, "# another text\n" + BALL.replace("beta", "b")) != []


def test_a_changed_equation_stands_below_its_old_form() -> None:
    assert difference(BALL, DECAYED) == [
        "Update rule",
        "-   v[k+1] = beta*v[k] - s*g(x[k])",
        "+   v[k+1] = beta*v[k] - s*(w*x[k] + g(x[k]))",
        "Continuous limit",
        "-   v' = -gamma*v - g(x)",
        "+   v' = -gamma*v - w*x - g(x)",
        "  as one equation",
        "-     x'' = -gamma*x' - g(x)",
        "+     x'' = -gamma*x' - w*x - g(x)",
    ]


def test_the_other_way_round_the_signs_change() -> None:
    there, back = difference(BALL, DECAYED), difference(DECAYED, BALL)
    swapped = [line[:1].translate(str.maketrans("+-", "-+")) + line[1:] for line in back]
    assert there != back and sorted(swapped) == sorted(there)


def test_a_stage_that_one_side_lacks_is_shown_whole() -> None:
    model = "model: {class: BallNODE, parameters: {gamma: {value: 1}}}\n"
    lines = difference(BALL, BALL + model)
    assert lines[0] == "Neural ODE" and "Adjoint system" in lines
    assert not [line for line in lines if line.startswith("-")]


@pytest.mark.parametrize("name", shipped_specs()[::20])
def test_no_spec_differs_from_itself(name: str) -> None:
    assert [*differences(derive(name).stages(), derive(name).stages())] == []


def test_the_command_exits_with_1_where_they_differ(tmp_path: Path) -> None:
    paths = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    for path, text in zip(paths, (BALL, DECAYED), strict=True):
        path.write_text(text)
    assert "+   v' = -gamma*v - w*x - g(x)" in run(*paths, code=1)
    assert run(paths[0], paths[0], code=0) == ""
    assert run(*paths, "--stage", "limit", code=1).startswith("Continuous limit")


def test_errors_of_both_specs_come_at_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(BALL.replace("grad(x[k])", "grad(y[k])"))
    shown = run(tmp_path / "a.yaml", tmp_path / "b.yaml", code=1)
    assert shown.count("error E203") == 2
