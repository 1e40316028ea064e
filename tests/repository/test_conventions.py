"""The house rules: formatting, types, layers, and generated/ being what the specs give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = (
    "ruff check .",
    "ruff format --check .",
    "mypy",
    "lint-imports",
    "optode generate --all --check",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_passes(command: str) -> None:
    program, *options = command.split()
    done = subprocess.run(
        (Path(sys.executable).parent / program, *options),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
