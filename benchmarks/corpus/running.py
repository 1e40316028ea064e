"""Run a rule as its author wrote it, and the class of a package, from one start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.corpus.rows import Row, with_numbers
from optode.rule.rule import UpdateRule
from optode.trial.numerics import Array, iterate, value_of
from optode.trial.smooth_field import SmoothField, matrix_field, optimizer_field
from optode.trial.written import WrittenRule


def field_of(row: Row) -> SmoothField:
    """Return the gradient of a function that is neither quadratic nor separable, as the row needs it.

    It is a function of two numbers, or of a matrix of two rows and two columns.
    """
    return matrix_field() if row.shape == (2, 2) else optimizer_field()


@contextmanager
def double_precision() -> Iterator[None]:
    """Make new tensors in float64: some classes keep numbers of their own as tensors."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def numbers(row: Row, rule: UpdateRule, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return every hyper-parameter by name: as given, and as the formulas of the rule say."""
    every = dict(values)
    for name, formula in rule.formulas:
        every[name.name] = value_of(formula, every, field_of(row))
    return every


def class_iterates(row: Row, values: Mapping[str, Any], steps: int) -> Array:
    """Return the positions of the class, shape (steps + 1, *field.shape)."""
    field = field_of(row)

    def place() -> Array:
        return position.detach().numpy().reshape(field.shape).copy()

    with double_precision():
        position = torch.nn.Parameter(torch.tensor(row.start).reshape(row.shape))
        optimizer = made(row, position, values)

        def evaluate() -> Tensor:
            gradient = torch.from_numpy(field(place())).reshape(row.shape)
            if row.summed and position.grad is not None:
                gradient = gradient + position.grad
            position.grad = gradient.to_sparse() if row.sparse else gradient
            return torch.from_numpy(field.loss(place()))

        history = [place()]
        for _ in range(row.skipped + steps):
            evaluate()
            if row.recalled:
                optimizer.step(evaluate)
            else:
                optimizer.step()
            history.append(place())
    return np.stack(history[row.skipped :])


def made(row: Row, position: Tensor, values: Mapping[str, Any]) -> Any:
    """Return the optimizer of a row, with these numbers, for one parameter."""
    package = import_module(row.package)
    options = with_numbers(row.options, values)
    parameters: Any = [{"params": [position], **row.group}] if row.group else [position]
    if row.around is not None:
        inner, inner_options = row.around
        parameters = getattr(torch.optim, inner)(parameters, **with_numbers(inner_options, values))
    optimizer = getattr(package, row.optimizer)(parameters, **options)
    if hasattr(optimizer, "train"):  # of a schedule-free one, whose parameters move then
        optimizer.train()
    return optimizer


def written_iterates(row: Row, rule: UpdateRule, values: Mapping[str, Any], steps: int) -> Array:
    """Return the positions of the rule as it is written, shape (steps + 1, *field.shape)."""
    field = field_of(row)
    written = WrittenRule(rule, field).iterates(values, start_of(row), steps)
    return written[rule.position.name]


def normal_iterates(row: Row, rule: UpdateRule, values: Mapping[str, Any], steps: int) -> Array:
    """Return the positions of the rule's normal form, shape (steps + 1, *field.shape)."""
    field = field_of(row)
    first = {z.name: np.zeros(field.shape) for z in rule.states}
    first[rule.position.name] = start_of(row)
    known = {**numbers(row, rule, values), **first}
    for state, value in rule.start:
        first[state.name] = np.broadcast_to(value_of(value, known, field), field.shape)
    return iterate(rule, field, values, first, steps)[rule.position.name]


def start_of(row: Row) -> Array:
    """Return where the position of the rule starts."""
    return np.array(row.start).reshape(field_of(row).shape)
