"""The demo runs from end to end on both tasks, and its data are what it says they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tasks import BLOCK, nested_spheres, plane_vibration

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = '"Force","Voltage","Acceleration1","Acceleration2","Acceleration3","Fs",'


def test_spheres_need_no_file(tmp_path: Path) -> None:
    text = demo("--epochs", "1", "--output", tmp_path)
    assert text.startswith("Task: nested spheres")
    for word in ("AdamNODE", "HBNODE", "NFE bwd", "predict mean", "demo.png"):
        assert word in text
    assert is_png(tmp_path / "demo.png")


def test_plane_vibration_from_a_folder(tmp_path: Path) -> None:
    angle = np.arange(4 * BLOCK) / 10
    write_vibration(tmp_path, np.stack([np.sin(angle + phase) for phase in range(4)], axis=1))
    text = demo("--epochs", "1", "--output", tmp_path, OPTODE_DATA=str(tmp_path))
    assert text.startswith("Task: plane vibration")
    assert "repeat last value" in text
    assert is_png(tmp_path / "demo.png")


def test_quiet_prints_nothing(tmp_path: Path) -> None:
    assert demo("--epochs", "1", "--quiet", "--output", tmp_path) == ""


def test_missing_modules_are_named_with_the_remedy(tmp_path: Path) -> None:
    done = start("--generated", tmp_path)
    assert done.returncode != 0
    assert "optode generate adam -o" in done.stderr


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


def demo(*options: str | Path, **environment: str) -> str:
    """Standard output of the demo, which must succeed."""
    done = start(*options, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def start(*options: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if key != "OPTODE_DATA"}
    return subprocess.run(
        (sys.executable, ROOT / "examples" / "demo.py", *options),
        env=inherited | {"COLUMNS": "100"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def write_vibration(folder: Path, signals: np.ndarray) -> None:
    """A file of the shape of pv.csv: force, (voltage), three accelerations, two empty cells."""
    lines = (f"{f},0,{a},{b},{c},," for f, a, b, c in signals)
    (folder / "pv.csv").write_text("\n".join((COLUMNS, *lines)) + "\n")


def is_png(path: Path) -> bool:
    return path.read_bytes().startswith(b"\x89PNG")
