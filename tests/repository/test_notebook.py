"""Notebooks: the cell magic, what it shows, its errors, and the committed example."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from nbclient import NotebookClient

import optode
from optode.derivation import Derivation

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.ipynb"))
SPEC = Path("specs/heavy_ball.yaml").read_text().replace("HBNODE", "CellNODE")


@pytest.fixture
def shell():
    shell = InteractiveShell()
    assert shell.run_cell("%load_ext optode").success
    return shell


def test_cell_defines_the_class_and_shows_the_derivation(shell):
    with capture_output() as shown:
        result = shell.run_cell(f"%%optode\n{SPEC}")
    assert isinstance(result.result, Derivation)
    assert shell.user_ns["CellNODE"].__name__ == "CellNODE"
    markdown = shown.outputs[0].data["text/markdown"] if shown.outputs else str(shown.stdout)
    assert "CellNODE" in markdown or "Derivation of heavy_ball" in markdown


def test_derivation_is_markdown_for_the_front_end(shell):
    data, _ = shell.display_formatter.format(optode.derive("heavy_ball"))
    for heading in ("Update rule", "Continuous limit", "Neural ODE", "Adjoint system"):
        assert f"**{heading}" in data["text/markdown"]
    assert r"\dot{m} &= - \gamma \, m + f\left(t, h\right)" in data["text/markdown"]


@pytest.mark.parametrize("stage", ["rule", "limit", "model", "adjoint"])
def test_stages_are_markdown_for_the_front_end(shell, stage):
    data, _ = shell.display_formatter.format(getattr(optode.derive("heavy_ball"), stage))
    assert r"\begin{aligned}" in data["text/markdown"]


def test_cell_can_name_the_derivation(shell):
    with capture_output():
        shell.run_cell(f"%%optode mine\n{SPEC}")
    assert shell.user_ns["mine"].model.class_name == "CellNODE"


def test_cell_can_extend_a_shipped_spec(shell):
    text = "name: bounded\nextends: heavy_ball.yaml\nmodel: {class: BoundedNODE}\n"
    with capture_output():
        assert shell.run_cell(f"%%optode\n{text}equations: {{h: tanh(rhs)}}\n").success
    assert "BoundedNODE" in shell.user_ns


def test_errors_show_the_caret_and_no_traceback(shell):
    with capture_output() as shown:
        result = shell.run_cell(f"%%optode\n{SPEC.replace('beta*v', 'bet*v')}")
    assert not result.success  # a run of all cells stops here
    assert shown.stdout.splitlines()[:4] == [
        "cell:12:12: error E203: unknown name `bet`",
        "  12 |   v[k+1] = bet*v[k] - s*grad(x[k])",
        "     |            ^^^",
        "  hint: did you mean `beta`? or add to parameters: bet: fixed",
    ]
    assert "Traceback" not in shown.stdout + shown.stderr


def test_misuse_of_the_magic(shell):
    with capture_output():
        assert isinstance(shell.run_cell(f"%%optode 1x\n{SPEC}").error_in_exec, ValueError)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_committed_examples_run(path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(path.parent.parent), prepend=os.pathsep)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # threads of several tests would wait for each other
    notebook = nbformat.read(path, as_version=4)
    committed = kinds(notebook)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": path.parent}}).execute()
    assert kinds(notebook) == committed and any(map(len, committed))


def kinds(notebook):
    """What each cell of code shows."""
    cells = (cell for cell in notebook.cells if cell.cell_type == "code")
    return [{kind for o in cell.outputs for kind in o.get("data", ("text",))} for cell in cells]
