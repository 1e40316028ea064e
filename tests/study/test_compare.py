"""`optode compare` and `optode.compare`: tables, pictures, clusters, and bad input."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from faulty_tasks import FAULTY
from own_task import SIGNS
from PIL import Image
from rich.console import Console
from test_fit import assert_equal

import optode
from optode.cli import progress
from optode.study.fit import Run
from optode.study.record import StudyError

HERE = Path(__file__).parent
RULES = ["heavy_ball", "adam"]
TABLES = {"summary.csv", "runs.csv", "epochs.csv", "summary.json"}
FIGURES = {"loss", "metric", "nfe", "sizes", "flow", "phase"}


def test_rules_are_compared_under_equal_conditions(tmp_path: Path) -> None:
    told = []
    found = optode.compare(RULES, SIGNS, seeds=2, output=tmp_path, told=told.append)
    assert [(run.rule, run.seed) for run in told] == [(r, s) for r in RULES for s in (0, 1)]
    assert [*found.summary.index] == RULES
    assert [*found.summary["model"]] == ["HBNODE", "AdamNODE"]
    runs = found.runs
    for rule, row in found.summary.iterrows():
        own = runs[runs["rule"] == rule]["test_loss"]
        assert row["test_loss"] == pytest.approx(np.median(own))
        assert row["test_loss_low"] <= row["test_loss"] <= row["test_loss_high"]
    assert (runs["error"] <= 1e-3).all()
    assert len(found.epochs) == 2 * 2 * SIGNS.epochs
    assert {p.name for p in tmp_path.iterdir()} == {
        "signs",
        *TABLES,
        *(f"{name}.png" for name in FIGURES),
    }
    read = pd.read_csv(tmp_path / "runs.csv")
    assert [*read["test_loss"]] == pytest.approx([*runs["test_loss"]], rel=1e-12)
    document = json.loads((tmp_path / "summary.json").read_text())
    assert [x["rule"] for x in document["rules"]] == RULES
    for name in FIGURES:
        pixels = np.asarray(Image.open(tmp_path / f"{name}.png").convert("L"))
        assert 0.005 < (pixels < 200).mean() < 0.5  # something is drawn, and not all is ink
    assert "<table" in found._repr_html_()


def test_the_bar_says_how_far_the_runs_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what they record, once a second: runs that have ended, and the last epoch of any."""
    monkeypatch.setattr(progress, "EVERY", 0.01)
    terminal = Console(file=io.StringIO(), force_terminal=True, width=150)
    seen = []
    with progress.Watched(terminal, tmp_path) as watched:

        def told(run: Run) -> None:
            watched.ended()
            (task,) = watched.bar.tasks
            seen.append((task.description, task.completed, task.total, task.fields["last"]))

        given = {"seeds": 2, "output": tmp_path, "told": told, "planned": watched.planned}
        found = optode.compare(RULES[:1], SIGNS, **given)
        assert watched.watch.is_alive()
    assert not watched.watch.is_alive()
    assert [x[:3] for x in seen] == [("run 2 of 2", 3, 6), ("runs", 6, 6)]
    last = found.every[1].rows[-1]
    words = f"heavy_ball, seed 1, epoch 3 of 3: loss {last['train_loss']:.3g}, NFE "
    assert seen[1][3].startswith(words)
    assert "100 %" in terminal.file.getvalue()  # what it draws last


def test_the_bar_ends_where_all_runs_diverge(tmp_path: Path) -> None:
    """Before their first epoch is recorded."""
    terminal = Console(file=io.StringIO(), force_terminal=True, width=150)
    with progress.Watched(terminal, tmp_path) as watched:
        given = {"seeds": 1, "rate": 1e30, "output": tmp_path, "planned": watched.planned}
        found = optode.compare(RULES[:1], SIGNS, told=lambda run: watched.ended(), **given)
        (bar,) = watched.bar.tasks
        assert not found.every[0].outcome["ended"]
        assert (bar.completed, bar.total) == (SIGNS.epochs, SIGNS.epochs)


def test_a_second_comparison_reads_what_is_done(tmp_path: Path) -> None:
    first = optode.compare(RULES[:1], SIGNS, seeds=2, output=tmp_path)
    more = optode.compare(RULES, SIGNS, seeds=3, output=tmp_path)
    for x, y in zip(first.every, more.every[:2], strict=True):
        assert x.rows == y.rows  # seconds, too: it was read
    with pytest.raises(StudyError, match="another configuration: epochs = 3, now 5"):
        optode.compare(RULES, SIGNS, seeds=1, epochs=5, output=tmp_path)


@pytest.mark.parametrize("backend", ["loky", "dask"])
def test_records_do_not_depend_on_where_runs_are(backend: str) -> None:
    task = f"{HERE / 'own_task.py'}:SIGNS"
    alone = optode.compare(["heavy_ball"], task, seeds=2)
    there = optode.compare(["heavy_ball"], task, seeds=2, jobs=2, backend=backend)
    for x, y in zip(there.every, alone.every, strict=True):
        assert_equal(x, y)


def test_a_rule_of_ones_own(tmp_path: Path) -> None:
    spec = tmp_path / "mine.yaml"
    spec.write_text(
        """\
name: mine
title: Heavy ball with a stronger brake
extends: heavy_ball
model:
  class: MineNODE
"""
    )
    found = optode.compare([str(spec), "heavy_ball"], SIGNS, seeds=1, epochs=1)
    assert [*found.summary.index] == ["mine", "heavy_ball"]


def test_a_diverging_rule_is_counted_and_the_others_stand() -> None:
    found = optode.compare(["heavy_ball"], SIGNS, seeds=1, rate=1e15)
    row = found.summary.loc["heavy_ball"]
    assert (row["diverged"], row["runs"]) == (1, 1)
    assert found.runs["reason"].iloc[0]
    assert found.figures


BAD = {
    "no task": (RULES, "sphere", "there is no task 'sphere': one of spheres, spirals"),
    "no name of a task": (RULES, None, "a task is a name, FILE.py:NAME or a Task, not None"),
    "a list of tasks": (RULES, ["spheres"], r"FILE.py:NAME or a Task, not \['spheres'\]"),
    "no file": (RULES, "none.py:TASK", r"task file none\.py does not exist"),
    "no name": (RULES, f"{HERE / 'own_task.py'}:OTHER", "has no OTHER: a task is"),
    "no object": (RULES, f"{HERE / 'own_task.py'}:NO_TASK", "NO_TASK in .* is a int, not a Task"),
    "twice": (["adam", "adam"], SIGNS, "adam is given twice"),
    "none": ([], SIGNS, "needs one rule"),
    "more than a field": (["mirror_descent"], SIGNS, "mirror_descent does not fit the task signs"),
    "matrices": (
        ["adam", "muon"],
        SIGNS,
        r"^muon does not fit the task signs: states have the shape",
    ),
    "load fails": (
        RULES,
        FAULTY["load fails"],
        "data of signs cannot be loaded: KeyError: 'points'",
    ),
    "no sets": (RULES, FAULTY["no sets"], "load of signs returns a Tensor, not Sets"),
    "shapes": (
        RULES,
        FAULTY["shapes"],
        "heavy_ball does not fit the task signs: RuntimeError: mat",
    ),
    "loss": (RULES, FAULTY["loss"], "adam does not fit the task signs: RuntimeError"),
    "loss of samples": (RULES, FAULTY["loss of samples"], "signs: RuntimeError: grad can be"),
    "metric": (RULES, FAULTY["metric"], "signs: AttributeError: 'NoneType' object"),
    "other types": (RULES, FAULTY["other types"], "adam does not fit the task signs: states"),
}


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    rules, task, message = BAD[name]
    with pytest.raises(StudyError, match=message):
        optode.compare(rules, task, seeds=1, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_rule_needs_no_list() -> None:
    assert [*optode.compare("adam", SIGNS, seeds=(5,), epochs=1).runs["seed"]] == [5]


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_folder_that_cannot_be_written_is_named(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(optode.SpecError) as caught:
        optode.compare(RULES, SIGNS, seeds=1, output=tmp_path / place)
    assert [error.code for error in caught.value.diagnostics] == ["E603"]
    assert (tmp_path / "file").read_text() == "kept"


def test_a_record_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "signs").write_text("in the way")
    for jobs in (1, 2):
        with pytest.raises(optode.SpecError, match=r"E603: cannot write .*config\.json"):
            optode.compare(["adam"], f"{HERE / 'own_task.py'}:SIGNS", jobs=jobs, output=tmp_path)


def test_a_process_that_is_killed_is_said(tmp_path: Path) -> None:
    task = f"{HERE / 'faulty_tasks.py'}:KILLED"
    with pytest.raises(
        StudyError, match=r"killed, .*: what is done is kept, and the same call goes"
    ):
        optode.compare(["adam"], task, seeds=2, jobs=2, epochs=1, output=tmp_path)
    assert len(optode.compare(["adam"], task, seeds=2, epochs=1, output=tmp_path).runs) == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seeds": 0}, "seeds = 0 must be a whole number from 1 on"),
        ({"seeds": 1.5}, r"seeds = 1\.5 must be a whole"),
        ({"seeds": []}, "must be different numbers, one at least"),
        ({"seeds": [3, 3]}, "must be different numbers, one at least"),
        ({"seeds": [-1]}, "a seed = -1 must be"),
        ({"seeds": "12"}, "a seed = '1' must be"),
        ({"jobs": 0}, "jobs = 0 must be"),
        ({"jobs": True}, "jobs = True must be"),
        ({"backend": "threading"}, "no backend 'threading': one of loky, dask, ray"),
        ({"epochs": 1.5}, r"epochs = 1\.5 must be a whole number"),
        ({"batch": 0}, "batch = 0 must be"),
        ({"error": 0.0}, "error = 0 must be"),
        ({"error": float("nan")}, "error = nan must be"),
        ({"rate": -1.0}, "rate = -1 must be"),
        ({"epochs": 0}, "epochs = 0 must be"),
    ],
)
def test_settings_without_a_meaning_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        optode.compare(["heavy_ball"], SIGNS, **given)


def test_an_error_that_is_not_reached_is_said() -> None:
    found = optode.compare(["heavy_ball"], SIGNS, seeds=1, epochs=1, error=1e-12)
    assert found.missed == ["heavy_ball"]
    assert optode.compare(["heavy_ball"], SIGNS, seeds=1, epochs=1).missed == []


def command(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "optode", "compare", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "100"},
    )


def test_the_command(tmp_path: Path) -> None:
    task = f"{HERE / 'own_task.py'}:SIGNS"
    words = ["heavy_ball", "adam", "--task", task, "--seeds", "1", "--jobs", "1", "-o", "out"]
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "heavy_ball, seed 0: test loss" in done.stderr
    for word in ("signs: signs of products", "heavy_ball", "adam", "accuracy", "NFE", "0/1"):
        assert word in done.stdout
    assert {p.name for p in (tmp_path / "out").iterdir()} >= TABLES
    refused = command(*words, "--epochs", "7", cwd=tmp_path)
    assert refused.returncode == 1
    assert "another configuration: epochs = 3, now 7" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_command_refuses_bad_input(tmp_path: Path) -> None:
    for words, message in (
        (["heavy_ball", "--task", "sphere"], "error: there is no task 'sphere'"),
        (["no_such_rule"], "error E"),
        (["heavy_ball", "--task", "mnist14"], "mnist.npz is needed"),
    ):
        done = command(*words, "--seeds", "1", "--jobs", "1", cwd=tmp_path)
        assert done.returncode == 1
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    assert [*tmp_path.iterdir()] == []
