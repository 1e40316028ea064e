"""Options that do not fit are refused before any work: exit code 2, the option's name, what fits."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from optode import compiler
from optode.cli.main import app
from optode.limit.regimes import described_at
from optode.spec.shipped import specs_directory

BAD = "name: bad\nstep_size: s\nstate: [x]\nupdate: |\n  x[k+1] = x[k] - q*grad(y)\n"


def invoke(*arguments, code=0, **options):
    """Standard output and error output of a command within this process."""
    done = CliRunner().invoke(app, list(map(str, arguments)), **options)
    assert done.exit_code == code, f"{done.exit_code}\n{done.output}\n{done.exception!r}"
    return done.stdout, done.stderr


@pytest.fixture
def idle(monkeypatch):
    """A compiler that must not be asked."""

    def asked(*_, **__):
        raise AssertionError("work before the options were looked at")

    for name in ("derive", "modules"):
        monkeypatch.setattr(compiler, name, asked)


@pytest.mark.parametrize("command", ["generate", "derive", "claims"])
@pytest.mark.parametrize("step", ["nan", "inf", "-inf", "0", "-0.1", "1e999", "much"])
def test_a_step_size_is_a_positive_number(idle, command, step):
    message = invoke(command, "heavy_ball", "--order", 1, "--step", step, code=2)[1]
    assert "'--step'" in message
    wanted = ("a positive number", "a valid number", "a valid float")
    assert any(words in message for words in wanted)


@pytest.mark.parametrize("command", ["generate", "derive", "claims"])
def test_a_step_size_goes_with_an_order(idle, command):
    message = invoke(command, "heavy_ball", "--step", 0.1, code=2)[1]
    assert "--step: it goes with --order 1" in message


@pytest.mark.parametrize(("order", "step"), [(3, None), (-1, None), (1, float("nan")), (1, 0)])
def test_python_refuses_them_too(order, step):
    with pytest.raises(ValueError, match="not"):
        compiler.derive("heavy_ball", order, step)


HEAVY_BALL = compiler.derive("heavy_ball").rule


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        ("s=0,beta=0.9", "s is a positive number, not 0"),
        ("s=-1,beta=0.9", "s is a positive number, not -1"),
        ("s=nan,beta=0.9", "'nan' is no finite number for s"),
        ("s=0.1,beta=inf", "'inf' is no finite number for beta"),
        ("s=0.1,beta=1/0", "'1/0' is no finite number for beta"),
        ("s=0.1,beta=0.9.1", "'0.9.1' is no finite number for beta"),
        ("s=0.1,beta=", "'' is no finite number for beta"),
        ("s=0.1,beta=0", "beta is a decay: a number in (0, 1), not 0"),
        ("s=0.1,beta=-0.9", "beta is a decay: a number in (0, 1), not -0.9"),
        ("s=0.1,beta=1.5", "beta is a decay: a number in (0, 1), not 1.5"),
        ("s=0.1,beta=0.9,horizon=0", "horizon is a positive number, not 0"),
        ("s=0.1,bet=0.9", "unknown name bet, did you mean beta?"),
        ("s=0.1,beta=0.9,v=1", "unknown name v"),
        ("s=0.1,s=0.2,beta=0.9", "s is given twice"),
        ("s=0.1", "no value for beta"),
        ("beta=0.9", "no value for s"),
        ("s=0.1;beta=0.9", "'0.1;beta=0.9' is no finite number for s"),
        ("s", "'s' is not NAME=NUMBER"),
        ("", "'' is not NAME=NUMBER"),
        ("s=0.1,beta=0.9,", "'' is not NAME=NUMBER"),
        ("s=-1,bet=0.9", "s is a positive number, not -1; unknown name bet"),
    ],
)
def test_numbers_that_do_not_fit_a_rule(numbers, reason):
    with pytest.raises(ValueError, match=r"; known names: s, beta, horizon$") as error:
        [*described_at(HEAVY_BALL, numbers)]
    assert reason in str(error.value)


def test_numbers_that_fit():
    shown = [*described_at(HEAVY_BALL, "s = 1/100, beta=9/10")]
    assert shown[0].startswith("v: decay rate 1, 1 time constants")


@pytest.mark.parametrize(
    ("spec", "numbers", "reason"),
    [
        ("heavy_ball_fixed", "s=0.1,beta=1.5", "v grows at these numbers"),
        ("optimistic_gradient", "s=0.1", "has no constant decay rate: it depends on the states"),
        ("frank_wolfe", "s=0.1,lmo=1", "unknown name lmo"),
    ],
)
def test_numbers_of_other_rules(spec, numbers, reason):
    message = invoke("derive", spec, "--at", numbers, code=2)[1]
    assert "--at" in message and reason in message


@pytest.mark.parametrize("option", [("--scalings",), ("--at", "s=1"), ("--stage", "rule")])
def test_an_ode_has_no_scalings(option):
    out, message = invoke("derive", "second_order", *option, code=2)
    assert f"{option[0]}: second_order states an ODE" in message
    assert str(specs_directory()) not in out + message


@pytest.mark.parametrize("more", [("--stage", "limit"), ("--format", "json"), ("--at", "s=1")])
def test_scalings_go_alone(more):
    assert "go alone" in invoke("derive", "heavy_ball", "--scalings", *more, code=2)[1]


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        ("missing/x.png", "there is no folder `missing`"),
        ("folder", "it is a directory"),
        ("folder/file/x.png", "Not a directory"),
        ("pipe.png", "it is a named pipe"),
        ("x.yaml", "is no picture"),
        ("x", "is no picture"),
    ],
)
def test_a_picture_is_refused_before_the_work(idle, tmp_path, monkeypatch, picture, reason):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("folder/file").touch()
    os.mkfifo("pipe.png")
    out, message = invoke("verify", "--all", "--plot", picture, code=1)
    assert out == ""
    assert message.startswith("error E603: ") and message.count("\n") == 1
    assert reason in message


def test_a_picture_without_permission(idle, tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)
    message = invoke("verify", "--all", "--plot", tmp_path / "x.png", code=1)[1]
    assert "no permission to write in" in message and message.count("\n") == 1


def test_a_picture_needs_matplotlib(idle, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.backend_bases", None)
    message = invoke("verify", "--all", "--plot", tmp_path / "x.png", code=1)[1]
    assert message.startswith("error E605: a plot needs matplotlib") and message.count("\n") == 1


@pytest.mark.parametrize("folder", ["file", "pipe"])
def test_an_output_folder_is_refused_before_the_work(idle, tmp_path, folder):
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    message = invoke("generate", "--all", "-o", tmp_path / folder / "below", code=1)[1]
    assert message.startswith("error E603: ") and message.count("\n") == 1


def test_modules_are_not_written_to_standard_output(idle):
    assert "--output" in invoke("generate", "adam", "-o", "-", code=2)[1]


@pytest.mark.parametrize(
    ("command", "meant"), [("dervie", "derive"), ("chek", "check"), ("generat", "generate")]
)
def test_unknown_commands_have_a_hint(command, meant):
    assert f"Did you mean '{meant}'" in invoke(command, code=2)[1]


@pytest.mark.parametrize(
    "arguments",
    [
        ("derive",),
        ("check",),
        ("claims",),
        ("verify", "--gradients"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_errors_in_json(tmp_path, arguments):
    path = tmp_path / "bad.yaml"
    path.write_text(BAD)
    out, err = invoke(*arguments, path, "--format", "json", code=1)
    assert err == ""
    first, second = json.loads(out)
    assert first == {
        "code": "E203",
        "file": str(path),
        "line": 5,
        "column": 19,
        "message": "unknown name `q`",
        "hint": "add to parameters: q: fixed, y: fixed",
    }
    assert (second["line"], second["column"]) == (5, 26)


def test_errors_in_json_of_several_specs(tmp_path):
    assert json.loads(invoke("check", "adam", "--format", "json")[0]) == []
    found = json.loads(invoke("check", "adm", "adam", "--format", "json", code=1)[0])
    assert [(error["code"], error["file"], error["hint"]) for error in found] == [
        ("E101", None, "did you mean `adam`?")
    ]


def test_a_field_that_is_missing_in_json():
    arguments = ("verify", "heavy_ball", "--gradients", "--field", "no.py:F", "--format", "json")
    (error,) = json.loads(invoke(*arguments, code=1)[0])
    assert error["code"] == "E606"
