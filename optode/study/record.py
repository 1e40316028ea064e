"""Keep what a run leaves behind, so that a killed run goes on and a finished one is not repeated.

A folder of a run has ``config.json``, ``epochs.csv``, ``checkpoint.pt`` after each epoch,
``paths.npz`` and ``done.json`` at the end. Files are written whole or not at all.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

Row = dict[str, float]


class StudyError(Exception):
    """A study cannot go on; the message says why, and what to do."""


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
            self.folder.mkdir(parents=True, exist_ok=True)
            text = json.dumps(self.config, indent=2) + "\n"
            _write(file, lambda draft: draft.write_text(text, encoding="utf-8"))

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
        _write(self.folder / "checkpoint.pt", lambda draft: torch.save(dict(checkpoint), draft))
        text = as_csv(checkpoint["rows"])
        _write(self.folder / "epochs.csv", lambda draft: draft.write_text(text, encoding="utf-8"))

    def finish(self, outcome: Mapping[str, Any], paths: Mapping[str, np.ndarray]) -> None:
        """Note how the run ended, and the paths of its states and costates."""
        stream = io.BytesIO()
        np.savez_compressed(stream, **paths)  # type: ignore[arg-type]
        _write(self.folder / "paths.npz", lambda draft: draft.write_bytes(stream.getvalue()))
        text = json.dumps(outcome, indent=2) + "\n"
        _write(self.folder / "done.json", lambda draft: draft.write_text(text, encoding="utf-8"))

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


def _write(file: Path, write: Callable[[Path], Any]) -> None:
    draft = file.with_name(f"{file.name}.draft")
    write(draft)
    draft.replace(file)
