"""The fit of nodes: what it fits, and on what it reports."""

from __future__ import annotations

import pytest

from benchmarks import nodes
from optode.runtime.methods.catalogue import METHODS
from optode.runtime.methods.coefficients import NODES


@pytest.mark.parametrize("known", NODES, ids=len)
def test_free_numbers_stand_for_nodes(known):
    forgotten = nodes.forgets(known)
    found = nodes.from_numbers(nodes.to_numbers(known), forgotten)
    assert found == pytest.approx(known, abs=1e-12)
    assert nodes.from_numbers([1.0, -2.0, 0.5], forgotten)[0] == 0
    places = nodes.from_numbers([3.0, -2.0, 0.5], True)
    assert places[2] == pytest.approx(2 * places[1])


def test_a_problem_is_one_draw_and_more_nodes_have_smaller_errors():
    problems = [nodes.drawn(seed) for seed in range(4)]
    again = nodes.drawn(1)
    assert (again.start == problems[1].start).all()
    few, many = (nodes.errors(NODES[k], problems) for k in (0, -1))
    assert (many < few - 1).all()
    assert "tried" not in METHODS


def test_a_fit_does_not_make_it_worse():
    pytest.importorskip("scipy", reason="finds the minimum")
    problems = [nodes.drawn(seed) for seed in range(3)]
    start = (0.0, 0.5, 0.9)
    found = nodes.fitted(start, problems, seconds=2)
    assert nodes.errors(found, problems).mean() < nodes.errors(start, problems).mean()


def test_the_table_names_each_choice(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["nodes", "--evaluations", "3", "--problems", "3"])
    nodes.main()
    text = capsys.readouterr().out
    for name in ("shipped", "equal distances", "Radau, from the start"):
        assert name in text
