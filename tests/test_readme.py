"""What the README shows runs, and prints what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def test_python_blocks_run() -> None:
    for block in blocks("python"):
        assert subprocess.run([sys.executable, "-c", block], cwd=ROOT, check=False).returncode == 0


def test_shell_transcripts_are_what_is_printed(tmp_path: Path) -> None:
    (transcript,) = (block for block in blocks("sh") if block.startswith("$ "))
    for part in transcript.split("$ ")[1:]:
        command, _, expected = part.partition("\n")
        arguments = [sys.executable, "-m", "optode.cli", *command.split()[1:]]
        printed = subprocess.run(
            arguments, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert printed.stdout == expected


def test_the_spec_shown_is_the_one_that_ships() -> None:
    (shown,) = blocks("yaml")
    assert shown == (ROOT / "specs" / "heavy_ball.yaml").read_text(encoding="utf-8")


def test_every_shipped_model_is_in_the_table() -> None:
    named = set(re.findall(r"^\| `(\w+)` \|", README, re.M))
    assert named == {path.stem for path in (ROOT / "specs").glob("*.yaml")}
