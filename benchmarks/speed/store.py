"""Keep results: a file for each piece, written whole, and not measured again while it is current."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.provenance import code_hash, commit
from benchmarks.records import rounded, write_document
from benchmarks.speed.environment import environment_line

Record = dict[str, Any]

# What the numbers depend on. A change of what shows or keeps them leaves them as they are.
MEASURED = ("optode/runtime", "benchmarks/memory.py", "benchmarks/speed")
SHOWN = ("__main__", "bounds", "page", "plot", "store", "summary", "tables")
PASSING = ("date", "load")
"""What two runs on one machine may differ in."""
VARYING = (*PASSING, "commit", "dirty")
"""What is told once of all results of one machine."""


@dataclass(frozen=True)
class Identity:
    """What a piece was measured with: the environment, the settings, and a hash of the code."""

    environment: Record
    settings: Record
    modules: tuple[str, ...] = ()

    def record(self) -> Record:
        """Return the identity as JSON has it."""
        places = (*MEASURED, *(f"generated/{name}.py" for name in self.modules))
        machine = {key: x for key, x in self.environment.items() if key not in PASSING}
        code = code_hash(*places, without=tuple(f"benchmarks/speed/{name}.py" for name in SHOWN))
        found = {"code": code, "machine": machine, "settings": self.settings}
        return json.loads(json.dumps(rounded(found)))


class Store:
    """A folder of results, one JSON a piece; without a folder nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        if folder:
            folder.mkdir(parents=True, exist_ok=True)

    def current(self, name: str, identity: Identity) -> Record | None:
        """Return what was found of a piece, if it was measured with all of the identity."""
        file = self._file(name)
        if file is None or not file.exists():
            return None
        document: Record = json.loads(file.read_text())
        return document if document["identity"] == identity.record() else None

    def keep(self, name: str, identity: Identity, kind: str, result: Record) -> Record:
        """Write the result of a piece, whole or not at all, and return its document."""
        document = {
            "kind": kind,
            "environment": rounded(identity.environment) | commit(),
            "identity": identity.record(),
            "result": result,
        }
        file = self._file(name)
        if file is not None:
            draft = file.with_suffix(".draft")
            write_document(draft, document)
            draft.replace(file)
        return document

    def _file(self, name: str) -> Path | None:
        return self.folder / f"{name}.json" if self.folder else None


def documents(folder: Path) -> Iterator[Record]:
    """Return what a folder of results holds, by the names of the files."""
    for file in sorted(folder.glob("*.json")):
        yield json.loads(file.read_text())


def of_kind(every: list[Record], kind: str) -> list[Record]:
    """Return the results of one kind: problem, task or growth."""
    return [document["result"] for document in every if document["kind"] == kind]


def environment_lines(every: list[Record]) -> list[str]:
    """Return the environments of documents as lines, one for all that differ in date or commit."""
    alike: dict[str, list[Record]] = {}
    for document in every:
        where = document["environment"]
        line = environment_line({key: x for key, x in where.items() if key not in VARYING})
        alike.setdefault(line, []).append(where)
    return [", ".join([line, *_versions(wheres)]) for line, wheres in alike.items()]


def _versions(wheres: Sequence[Record]) -> Iterator[str]:
    """Yield the dates and the commits of results in words, where these are known."""
    ordered = sorted(wheres, key=lambda where: where.get("date", ""))
    dates = [where["date"] for where in ordered if where.get("date")]
    if dates:
        yield f"measured {' to '.join(dict.fromkeys((dates[0], dates[-1])))}"
    commits = dict.fromkeys(
        f"{where['commit']}{' with changes' if where.get('dirty') else ''}"
        for where in ordered
        if where.get("commit")
    )
    if commits:
        yield f"commit {' and '.join(commits)}"


def by_device(every: Sequence[Record]) -> tuple[list[Record], list[Record]]:
    """Return the documents measured on a CPU, and those on a GPU."""
    on_cpu = [each for each in every if each["environment"].get("device", "cpu") == "cpu"]
    return on_cpu, [each for each in every if each not in on_cpu]
