"""Admit entrants to a task: data that can be loaded, a step of each, and fields of equal size.

What is wrong with a task or a rule is said here, before anything is trained or written. What a run
raises later is a solve that diverges, which is a result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from optode.study.entrants import NEAR, Entrant, arguments_of, count, matched, network_of
from optode.study.looking import looked_at
from optode.study.record import StudyError
from optode.study.task import Sets, Sizes, Task


def loaded(task: Task, data: Path | None, seed: int) -> Sets:
    """Return the sets of a task. Raises StudyError where it has none."""
    try:
        sets = task.load(data, seed)
    except StudyError:
        raise
    except Exception as error:
        raise StudyError(f"the data of {task.name} cannot be loaded: {_words(error)}") from error
    if not isinstance(sets, Sets):
        kind = type(sets).__name__
        raise StudyError(f"load of {task.name} returns a {kind}, not Sets of optode.study.task")
    return sets


def tried(entrants: Sequence[Entrant], task: Task, sets: Sets) -> None:
    """Train each entrant on a few samples and look at more of the others, by a step of Euler's method.

    Raises StudyError with all that fail, and why: tasks may be a user's own, and fail in any way.
    """
    problems = []
    for each in entrants:
        try:
            _step(each, task, sets)
        except ArithmeticError:
            continue  # states that are not finite are a result of the run
        except Exception as error:
            problems.append(f"{each.name} does not fit the task {task.name}: {_words(error)}")
    if problems:
        raise StudyError("\n".join(problems))


_FEW, _MANY = 7, 200
"""Samples that are trained on and looked at: shapes that do not belong together shall not have the
first number in common, and a metric may need samples of all classes.
"""


def _step(entrant: Entrant, task: Task, sets: Sets) -> None:
    with torch.random.fork_rng(devices=[]):
        settings: dict[str, Any] = {"method": "euler", "options": {"steps": 1}}
        network = network_of(entrant, task, task.sizes, **settings)
        train = sets.train.take(slice(0, _FEW))
        loss = task.loss(network(train).value, train.targets)
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for each in (sets.valid, sets.test):
                looked_at(network, task, each.take(slice(0, _MANY)))


def _words(error: Exception) -> str:
    """Return what an error says; a ValueError says it in whole sentences."""
    line = str(error).partition("\n")[0]
    return line if isinstance(error, ValueError) else f"{type(error).__name__}: {line}"


def equal_sizes(entrants: Sequence[Entrant], task: Task) -> dict[str, Sizes]:
    """Return the hidden units of each entrant's field, for equal numbers of parameters.

    Raises StudyError for an entrant that cannot be made so large.
    """
    counts = {each.name: _counter(each, task) for each in entrants}
    problems = []
    first, *others = entrants
    wanted = counts[first.name](task.sizes)
    sizes = {first.name: task.sizes}
    for each in others:
        found = matched(counts[each.name], task.sizes, wanted)
        sizes[each.name] = found
        has = counts[each.name](found)
        if abs(has - wanted) > NEAR * wanted:
            problems.append(f"{each.name} cannot have {wanted} parameters: {has} are nearest")
    if problems:
        raise StudyError("\n".join(problems))
    return sizes


def _counter(entrant: Entrant, task: Task) -> Callable[[Sizes], int]:
    """Return how many parameters a network has whose field has so many hidden units."""
    features, arguments = entrant.features(task), arguments_of(entrant, task)

    def of_field(sizes: Sizes) -> int:
        with torch.device("meta"):
            return count(task.field(features, sizes, arguments))

    around = count(network_of(entrant, task, task.sizes)) - of_field(task.sizes)
    return lambda sizes: around + of_field(sizes)
