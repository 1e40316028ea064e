"""Plots of specs: what they draw is the rule and the solution of its limit."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from typer.testing import CliRunner

import optode
from optode.cli.main import app
from optode.compiler import derive
from optode.diagnostics import SpecError
from optode.picture.example import Example, example_of, forgetting_rates
from optode.picture.panels import END, PANELS, STEPS, panels_of

PNG = b"\x89PNG"


def gradient(x):
    """The gradient of log cosh(x + y/2) + x^4/10 + x^2/10 + y^2/2 + xy/5, by hand."""
    a, b = x
    bend = np.tanh(a + b / 2)
    return np.array([bend + 0.4 * a**3 + 0.2 * a + 0.2 * b, bend / 2 + b + 0.2 * a])


def example(name: str) -> Example:
    return example_of(derive(name))


def run(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["plot", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.output


def test_the_path_of_heavy_ball_solves_its_equation() -> None:
    shown = example("heavy_ball")
    gamma = shown.values["gamma"]

    def rate(t, z):
        return np.concatenate([z[2:], -gamma * z[2:] - gradient(z[:2])])

    path = shown.path(END, 7)
    start = np.concatenate([shown.start[0], np.zeros(2)])
    exact = solve_ivp(rate, (0, END), start, "Radau", t_eval=path.times, rtol=1e-9, atol=1e-11)
    assert np.abs(path.states.reshape(7, 4) - exact.y.T).max() < 1e-5
    assert path.solved == END


def test_the_path_of_nesterov_solves_its_equation_from_the_pole() -> None:
    shown = example("nesterov")
    path = shown.path(END, 13)

    def rate(t, z):
        return np.concatenate([z[2:], -3 / t * z[2:] - gradient(z[:2])])

    # near the pole x = x0 - t^2 g(x0)/8
    slope = gradient(shown.start[0])
    begin = 1e-3
    first = np.concatenate([shown.start[0] - begin**2 * slope / 8, -begin * slope / 4])
    exact = solve_ivp(rate, (begin, END), first, "Radau", t_eval=path.times, rtol=1e-9, atol=1e-12)
    assert np.abs(path.states[:, 0] - exact.y[:2].T).max() < 1e-5


def test_the_dots_of_the_rule_come_closer_at_smaller_steps() -> None:
    figure = optode.plot("heavy_ball", panels=["steps"])
    (axes,) = figure.axes
    lines = {line.get_label(): line.get_xydata() for line in axes.lines}
    ode = lines["ODE"]
    errors = []
    for steps in STEPS:
        dots = lines[rf"rule, $\Delta$ = {END / steps:g}"]
        assert len(dots) == steps + 1
        errors.append(np.abs(np.interp(dots[:, 0], *ode.T) - dots[:, 1]).max())
    assert 1.5 < errors[0] / errors[1] < 3 and 1.5 < errors[1] / errors[2] < 3


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("heavy_ball", {"v": "gamma"}),
        ("nesterov", {"dx": "3/t"}),
        ("adam", {"m": "alpha", "v": "beta"}),
        ("gradient_descent", {}),
        ("yogi", {"m": "alpha"}),
    ],
)
def test_rates_at_which_states_forget(name: str, expected: dict[str, str]) -> None:
    found = forgetting_rates(derive(name).limit)
    assert {str(z): str(rate) for z, rate in found.items()} == expected


def test_a_path_along_a_jump_goes_on_with_the_rule() -> None:
    path = example("lion").path(END, 25)
    assert path.solved < END and path.times[-1] == END
    assert np.abs(path.states[-1, 0]).max() < 0.1  # the minimum is at 0


def test_panels_are_those_that_a_spec_has() -> None:
    assert panels_of(example("adam")) == tuple(PANELS)
    assert panels_of(example("gradient_descent")) == ("steps", "plane", "phase")
    assert panels_of(example("second_order")) == ("plane", "phase")


def test_a_panel_that_a_spec_lacks_is_refused(tmp_path: Path) -> None:
    for name, panel in (("second_order", "steps"), ("gradient_descent", "damping")):
        message = run(name, "--panel", panel, "-o", tmp_path / "x.png", code=1)
        assert "error E608" in message and f"`{panel}`" in message
    assert not [*tmp_path.iterdir()]
    with pytest.raises(ValueError, match="panels: one of steps"):
        optode.plot("adam", panels=["step"])


@pytest.mark.parametrize(("ending", "head"), [("png", PNG), ("svg", b"<?xml")])
def test_the_command_writes_a_picture_that_is_equal_from_run_to_run(
    tmp_path: Path, ending: str, head: bytes
) -> None:
    paths = [tmp_path / f"{k}.{ending}" for k in range(2)]
    for path in paths:
        assert run("gradient_descent", "--panel", "plane", "-o", path) == f"{path}\n"
    first, second = (path.read_bytes() for path in paths)
    assert first.startswith(head) and first == second


def test_without_a_name_the_picture_has_the_specs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("gradient_descent", "--panel", "plane") == "gradient_descent.png\n"


@pytest.mark.parametrize("target", ["x.doc", "missing/x.png"])
def test_a_file_that_cannot_be_comes_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    monkeypatch.setattr("optode.compiler.derive", None)
    assert "error E603" in run("adam", "-o", tmp_path / target, code=1)


def test_a_missing_matplotlib_is_named_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr("optode.compiler.derive", None)
    message = run("adam", "-o", tmp_path / "x.png", code=1)
    assert "error E605" in message and "pip install 'optode[plot]'" in message


def test_a_spec_with_errors_draws_nothing(tmp_path: Path) -> None:
    spec = tmp_path / "bad.yaml"
    spec.write_text("name: bad\nstep_size: s\nstate: [x]\nupdate: |\n  x[k+1] = x[k] - q*grad(y)\n")
    assert "error E203" in run(spec, "-o", tmp_path / "x.png", code=1)
    assert [*tmp_path.iterdir()] == [spec]
    with pytest.raises(SpecError):
        optode.plot(str(spec))


def test_a_notebook_shows_a_figure() -> None:
    figure = optode.plot("gradient_descent", panels=["plane"])
    assert figure._repr_png_().startswith(PNG)


UNBOUNDED = """\
name: unbounded
step_size: s
state: [x, v]
start: {v: 1/total(x - x)}
update: |
  v[k+1] = v[k] - s*v[k]
  x[k+1] = x[k] - s*v[k]*grad(x[k])
"""


def test_a_rule_without_a_finite_path_is_refused(tmp_path: Path) -> None:
    spec = tmp_path / "unbounded.yaml"
    spec.write_text(UNBOUNDED)
    message = run(spec, "-o", tmp_path / "x.png", code=1)
    assert "error E" in message and not (tmp_path / "x.png").exists()


def test_a_spec_from_standard_input(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "specs" / "gradient_descent.yaml").read_text()
    for command, name in (("plot", "x.png"), ("report", "x.html")):
        path = tmp_path / name
        done = CliRunner().invoke(app, [command, "-", "-o", str(path)], input=text)
        assert done.exit_code == 0, done.output
        assert path.stat().st_size > 1000
