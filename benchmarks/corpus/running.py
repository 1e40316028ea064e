"""Run a rule as its author wrote it, and the class of a package, from one start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
import torch

from benchmarks.corpus.rows import Row, with_numbers
from optode.rule.rule import UpdateRule
from optode.trial.numerics import Array, iterate, value_of
from optode.trial.smooth_field import optimizer_field
from optode.trial.trial import START
from optode.trial.written import WrittenRule

GRADIENT = optimizer_field()
"""The gradient of a function of two variables that is neither quadratic nor separable."""


@contextmanager
def double_precision() -> Iterator[None]:
    """Make new tensors in float64: some classes keep numbers of their own as tensors."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def numbers(rule: UpdateRule, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return every hyper-parameter by name: as given, and as the formulas of the rule say."""
    every = dict(values)
    for name, formula in rule.formulas:
        every[name.name] = value_of(formula, every, GRADIENT)
    return every


def class_iterates(row: Row, values: Mapping[str, Any], steps: int) -> Array:
    """Return the positions of the class, shape (steps + 1, 2)."""
    with double_precision():
        position = torch.nn.Parameter(torch.tensor(START))
        make = getattr(import_module(row.package), row.optimizer)
        options = {key: with_numbers(each, values) for key, each in row.options.items()}
        optimizer = make([position], **options)
        history = [position.detach().numpy().copy()]
        for _ in range(steps):
            gradient = torch.from_numpy(GRADIENT(history[-1]))
            position.grad = gradient.to_sparse() if row.sparse else gradient
            optimizer.step()
            history.append(position.detach().numpy().copy())
    return np.stack(history)


def written_iterates(rule: UpdateRule, values: Mapping[str, Any], steps: int) -> Array:
    """Return the positions of the rule as it is written, shape (steps + 1, 2)."""
    history = WrittenRule(rule, GRADIENT).iterates(values, np.array(START), steps)
    return history[rule.position.name]


def normal_iterates(rule: UpdateRule, values: Mapping[str, Any], steps: int) -> Array:
    """Return the positions of the rule's normal form, shape (steps + 1, 2)."""
    first = {z.name: np.zeros(2) for z in rule.states}
    first[rule.position.name] = np.array(START)
    known = {**numbers(rule, values), **first}
    for state, value in rule.start:
        first[state.name] = np.broadcast_to(value_of(value, known, GRADIENT), 2)
    return iterate(rule, GRADIENT, values, first, steps)[rule.position.name]
