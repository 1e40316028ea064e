"""The tolerance of a study is the loosest whose error is small enough."""

from __future__ import annotations

import copy

import pytest
import torch
from own_task import SIGNS

from optode.study.accuracy import TOLERANCES, Accuracy
from optode.study.compare import entrants_of
from optode.study.entrants import network_of
from optode.study.task import Examples


def error_at(network: torch.nn.Module, examples: Examples, tolerance: float) -> float:
    """Of the outputs, relative to the largest: against dopri8 in double precision."""
    exact, found = copy.deepcopy(network).double(), copy.deepcopy(network)
    exact.node.method, exact.node.rtol, exact.node.atol = "dopri8", 1e-10, 1e-10
    found.node.rtol = found.node.atol = tolerance
    wide = Examples(examples.inputs.double(), examples.targets)
    with torch.no_grad():
        truth = exact(wide).value
        return float((found(examples).value - truth).abs().max() / truth.abs().max())


@pytest.mark.parametrize("goal", [1e-2, 1e-4])
def test_the_loosest_tolerance_is_found_whatever_was_set_before(goal: float) -> None:
    """Weights of ten times the size need a tighter one; back at their size they do not."""
    (entrant,) = entrants_of(["heavy_ball"])
    network = network_of(entrant, SIGNS, SIGNS.sizes, method="dopri5")
    examples = SIGNS.load(None, 0).valid.take(slice(32))
    accuracy, places = Accuracy(network, examples, goal), []
    for factor in (1.0, 10.0, 0.1):
        with torch.no_grad():
            for parameter in network.node.field.parameters():
                parameter.mul_(factor)
        accuracy.settle()
        place = accuracy.place
        assert error_at(network, examples, TOLERANCES[place]) <= goal
        assert all(error_at(network, examples, x) > goal for x in TOLERANCES[:place])
        assert network.node.rtol == network.node.atol == TOLERANCES[place]
        places.append(place)
    assert places[1] > places[0] == places[2]
