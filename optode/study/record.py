"""Keep what a run leaves behind, so that a killed run goes on and a finished one is not repeated.

A folder of a run has ``config.json``, ``epochs.csv``, ``checkpoint.pt`` after each epoch,
``paths.npz`` and ``done.json`` at the end. Files are written whole or not at all; SpecError (E603)
says which cannot be.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch

from optode.codegen.files import replace

Row = dict[str, float]


class StudyError(Exception):
    """A study cannot go on; the message says why, and what to do."""


def whole_number(name: str, x: Any, least: int = 1) -> int:
    """Return a whole number from ``least`` on; raises StudyError for what is none."""
    if not isinstance(x, Integral) or isinstance(x, bool) or x < least:
        raise StudyError(f"{name} = {x!r} must be a whole number from {least} on")
    return int(x)


class Record:
    """The folder of one run, and its configuration."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self.folder, self.config = folder, dict(config)

    def check(self) -> None:
        """Raise StudyError where the folder has a run of another configuration."""
        file = self.folder / "config.json"
        if not file.exists():
            return
        known = json.loads(file.read_text(encoding="utf-8"))
        wanted = json.loads(json.dumps(self.config))
        names = [name for name in {**known, **wanted} if known.get(name) != wanted.get(name)]
        if names:
            parts = (f"{name} = {known.get(name)!r}, now {wanted.get(name)!r}" for name in names)
            raise StudyError(
                f"{self.folder} has a run of another configuration: {'; '.join(parts)}: "
                "take another output folder, or remove this one"
            )

    def open(self) -> None:
        """Make the folder, or check that it is that of this configuration."""
        self.check()
        file = self.folder / "config.json"
        if not file.exists():
            replace({file: json.dumps(self.config, indent=2) + "\n"})

    @property
    def outcome(self) -> dict[str, Any] | None:
        """How the run ended, None where it did not."""
        file = self.folder / "done.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None

    def checkpoint(self) -> dict[str, Any] | None:
        """Return what was saved after the last epoch, if anything was."""
        file = self.folder / "checkpoint.pt"
        if not file.exists():
            return None
        found: dict[str, Any] = torch.load(file, weights_only=True)
        return found

    def rows(self) -> list[dict[str, str]]:
        """Return the rows of the epochs so far, as they stand in the file."""
        try:
            text = (self.folder / "epochs.csv").read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        return list(csv.DictReader(io.StringIO(text)))

    def save(self, checkpoint: Mapping[str, Any]) -> None:
        """Save an epoch: everything that the next one needs, and the rows so far."""
        stream = io.BytesIO()
        torch.save(dict(checkpoint), stream)
        rows = as_csv(checkpoint["rows"])
        replace(
            {self.folder / "checkpoint.pt": stream.getvalue(), self.folder / "epochs.csv": rows}
        )

    def finish(self, outcome: Mapping[str, Any], paths: Mapping[str, np.ndarray]) -> None:
        """Note how the run ended, and the paths of its states and costates."""
        stream = io.BytesIO()
        np.savez_compressed(stream, **paths)  # type: ignore[arg-type]
        text = json.dumps(outcome, indent=2) + "\n"
        replace({self.folder / "paths.npz": stream.getvalue(), self.folder / "done.json": text})

    def paths(self) -> dict[str, np.ndarray]:
        """Return the paths of a run that ended."""
        with np.load(self.folder / "paths.npz") as file:
            return dict(file)


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV, with every column that any of them has; exact floats."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
