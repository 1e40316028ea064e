"""Measure models in processes of their own; read and write what was found."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from benchmarks.methods import fewest, tables
from benchmarks.provenance import code_hash
from benchmarks.records import write_document

MEASURED = ("optode/runtime", "benchmarks/methods/models.py", "benchmarks/methods/fewest.py")

Record = dict[str, Any]


def one_thread() -> None:
    """Limit this process to one thread."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


def code_of(name: str) -> str:
    """Return the hash of the code that a model's numbers depend on."""
    return code_hash(*MEASURED, f"generated/{name}.py")


def measured(
    names: Sequence[str], methods: Sequence[str], processes: int
) -> Iterator[tuple[str, Record]]:
    """Measure models in processes of their own, and return each as it is done."""
    spawn = get_context("spawn")
    with ProcessPoolExecutor(processes, spawn, one_thread) as pool:
        tasks = {pool.submit(fewest.record, name, methods): name for name in names}
        for task in as_completed(tasks):
            yield (
                tasks[task],
                {
                    "code": code_of(tasks[task]),
                    "only": sorted(methods),
                    **task.result(),
                },
            )


def is_current(record: Mapping[str, Any] | None, name: str, methods: Sequence[str]) -> bool:
    """Return whether a record is of the present code, and of the methods asked for."""
    if record is None:
        return False
    return record["code"] == code_of(name) and record["only"] == sorted(methods)


def read(file: Path) -> dict[str, Record]:
    """Return the records of a file by model; none where there is no file."""
    if not file.exists():
        return {}
    return {record["model"]: record for record in json.loads(file.read_text())["models"]}


def write(file: Path, where: Record, records: dict[str, Record]) -> None:
    """Write records and their tables: whole, or not at all."""
    document = {"environment": where, "models": [records[name] for name in sorted(records)]}
    draft = file.with_suffix(".draft")
    write_document(draft, document)
    draft.replace(file)
    file.with_suffix(".txt").write_text(tables.document_text(document))
