"""Find tasks by name, and a task of one's own in a Python file."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path

from optode.study.record import StudyError
from optode.study.recorded import RECORDED
from optode.study.task import Task
from optode.study.tasks import TASKS

EVERY = TASKS | RECORDED
"""All tasks of this package."""


def find_task(words: str) -> Task:
    """Return a task by its name, or that of ``FILE.py:NAME``.

    Raises StudyError where there is none.
    """
    if not isinstance(words, str):
        raise StudyError(f"a task is a name, FILE.py:NAME or a Task, not {words!r}")
    return _found(words)


@cache
def _found(words: str) -> Task:
    if words in EVERY:
        return EVERY[words]
    file, colon, name = words.rpartition(":")
    if not colon or not file.endswith(".py"):
        raise StudyError(f"there is no task {words!r}: one of {', '.join(EVERY)}, or FILE.py:NAME")
    path = Path(file).absolute()
    if not path.is_file():
        raise StudyError(f"the task file {file} does not exist")
    found = getattr(_module(path), name, None)
    if found is None:
        raise StudyError(f"{file} has no {name}: a task is an object of optode.study.task.Task")
    if not isinstance(found, Task):
        kind = type(found).__name__
        raise StudyError(f"{name} in {file} is a {kind}, not a Task of optode.study.task")
    return found


def _module(path: Path) -> object:
    """Run a file as a module, under a name that its place makes its own."""
    name = f"optode_task_{path.stem}"
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None and specification.loader is not None  # it is a Python file
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        kind = type(error).__name__
        raise StudyError(f"the task file {path.name} fails: {kind}: {error}") from error
    return module
