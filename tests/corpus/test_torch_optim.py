"""Parsed rules against torch.optim: the same iterates, and the class approaches the equations.

The rules stand in benchmarks/corpus/rules as torch's documentation has them; a few are shipped specs.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmarks.corpus.comparison import largest_difference, order
from benchmarks.corpus.torch_optim import ROWS
from optode.compiler import derive

NO_UPDATE_RULE = {"LBFGS"}
"""Its line search takes as many gradients as it needs."""
FOR_MATRICES = {"Muon"}  # see test_matrices.py
TITLES = [f"{row.title} {dict(row.values) or ''}".strip() for row in ROWS]
QUICK = ("sgd", "sgd_nesterov", "adadelta", "adam_l2_corrected", "adamax_corrected", "sparse_adam")


def rows(spec: str):
    return [row for row in ROWS if row.spec == spec]


@pytest.mark.parametrize("row", ROWS, ids=TITLES)
def test_the_iterates_are_those_of_the_class(row):
    assert largest_difference(row) <= 1e-12
    assert largest_difference(row, normal_form=True) <= 1e-12


def test_every_class_has_a_row():
    classes = {
        name
        for name, kind in vars(torch.optim).items()
        if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer)
    }
    assert {row.optimizer for row in ROWS} == classes - NO_UPDATE_RULE - FOR_MATRICES - {
        "Optimizer"
    }


@pytest.mark.parametrize("spec", QUICK)
def test_the_class_approaches_the_equations(spec):
    row = rows(spec)[0]
    found = order(row)
    assert len(found.steps) >= 3
    assert found.passes


def test_another_option_gives_other_iterates():
    (row,) = rows("adam_l2_corrected")
    other = replace(row, options={**row.options, "amsgrad": True, "eps": 1e-3})
    assert largest_difference(other) > 1e-3


def test_another_limit_is_not_approached():
    """The equations of Adam with a penalty are not those of a class without one."""
    (row,) = rows("adam_l2_corrected")
    other = replace(row, options={**row.options, "weight_decay": 0.0})
    assert not order(other).passes


def test_every_step_size_has_a_name():
    """A row that names no step size would compare the class at its own default."""
    for row in ROWS:
        assert row.options["lr"] == derive(row.path).rule.step_size.name
