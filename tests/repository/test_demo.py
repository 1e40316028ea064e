"""The demo runs from end to end on both tasks, and its data are what it says they are."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import demo
import numpy as np
import pytest
import torch
from tasks import BLOCK, nested_spheres, plane_vibration

Run = Callable[..., str]
COLUMNS = '"Force","Voltage","Acceleration1","Acceleration2","Acceleration3","Fs",'


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs the demo with options and environment variables; returns its standard output."""
    threads = torch.get_num_threads()
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("OPTODE_DATA", raising=False)

    def run(*options: str | Path, **environment: str) -> str:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["demo.py", *map(str, options)])
        demo.main()
        return capsys.readouterr().out

    yield run
    torch.set_num_threads(threads)


def test_spheres_need_no_file(run: Run, tmp_path: Path) -> None:
    text = run("--epochs", "1", "--output", tmp_path)
    assert text.startswith("Task: nested spheres")
    for word in ("AdamNODE", "HBNODE", "NFE bwd", "predict mean", "demo.png"):
        assert word in text
    assert is_png(tmp_path / "demo.png")


def test_plane_vibration_from_a_folder(run: Run, tmp_path: Path) -> None:
    angle = np.arange(4 * BLOCK) / 10
    write_vibration(tmp_path, np.stack([np.sin(angle + phase) for phase in range(4)], axis=1))
    text = run("--epochs", "1", "--output", tmp_path, OPTODE_DATA=str(tmp_path))
    assert text.startswith("Task: plane vibration")
    assert "repeat last value" in text
    assert is_png(tmp_path / "demo.png")
    assert run("--epochs", "1", "--quiet", "--output", tmp_path, "--data", tmp_path) == ""


def test_missing_modules_are_named_with_the_remedy(run: Run, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="optode generate adam -o"):
        run("--generated", tmp_path)


def test_no_sample_is_in_training_and_test(tmp_path: Path) -> None:
    rows = np.arange(8 * BLOCK, dtype=float)  # every sample is its own row number
    write_vibration(tmp_path, np.stack([rows] * 4, axis=1))
    task = plane_vibration(tmp_path / "pv.csv")
    places = [
        {round(value, 4) for value in part.targets[..., 0].flatten().tolist()}
        for part in (task.train, task.test)
    ]
    assert all(places)
    assert not places[0] & places[1]


def test_strip_follows_time(tmp_path: Path) -> None:
    rows = np.arange(4 * BLOCK, dtype=float)
    write_vibration(tmp_path, np.stack([rows] * 4, axis=1))
    task = plane_vibration(tmp_path / "pv.csv")
    steps = task.test.targets[list(task.strip), :, 0].flatten().diff()
    torch.testing.assert_close(steps, steps[:1].expand_as(steps), rtol=1e-3, atol=1e-5)


def test_too_short_a_file_is_refused(tmp_path: Path) -> None:
    write_vibration(tmp_path, np.zeros((BLOCK, 4)))
    with pytest.raises(ValueError, match="512 rows, expected 2048 or more"):
        plane_vibration(tmp_path / "pv.csv")


def test_spheres_are_nested_and_repeatable() -> None:
    task, again = nested_spheres(3), nested_spheres(3)
    radius, label = task.train.inputs.norm(dim=1), task.train.targets[:, 0, 0]
    assert radius[label < 0].max() <= 0.5
    assert radius[label > 0].min() >= 1.0
    assert radius.max() <= 1.5
    assert torch.equal(task.train.inputs, again.train.inputs)


def write_vibration(folder: Path, signals: np.ndarray) -> None:
    """A file of the shape of pv.csv: force, (voltage), three accelerations, two empty cells."""
    lines = (f"{f},0,{a},{b},{c},," for f, a, b, c in signals)
    (folder / "pv.csv").write_text("\n".join((COLUMNS, *lines)) + "\n")


def is_png(path: Path) -> bool:
    return path.read_bytes().startswith(b"\x89PNG")
