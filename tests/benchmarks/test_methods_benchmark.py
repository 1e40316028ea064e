"""The table of methods: its models, the fewest evaluations, and its arithmetic."""

from __future__ import annotations

import json

import pytest
import torch

from benchmarks.methods import fewest, models, running, tables
from benchmarks.methods.fewest import Point


@pytest.fixture(autouse=True)
def one_thread():
    """Threads would wait for each other longer than these networks take."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def descent():
    return models.model("gradient_descent")


def test_the_reference_is_the_flow(descent):
    """The classical Runge-Kutta method, typed here, on a network of the drawn weights."""
    network = descent.make().field.requires_grad_(False)
    h, dt = descent.start, 1 / 200
    for _ in range(200):
        k1 = network(0, h)
        k2 = network(0, h + dt / 2 * k1)
        k3 = network(0, h + dt / 2 * k2)
        k4 = network(0, h + dt * k3)
        h = h + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    assert descent.distance(h) < 1e-8
    assert descent.distance(descent.end + 1) == pytest.approx(1 / float(descent.end.abs().max()))


def test_a_start_that_the_equations_refuse_is_replaced(monkeypatch):
    """DoG's largest distance from the start, which it divides by, is given with the other states."""
    monkeypatch.setattr(models, "TOLERANCES", (1e-3,))
    given = models.model("dog")
    assert len(given.start) == len(given.make().state_names)
    assert all((state > 0).all() for state in given.start)


def test_times_begin_apart_from_a_singular_one():
    assert models.model("nesterov").make().span == (1.0, 2.0)


def test_a_learned_start_is_drawn_once():
    given = models.model("second_order")
    first, second = (given.solve(method="rk4", options={"steps": 2})[0] for _ in range(2))
    assert torch.equal(first, second)


def test_a_model_without_a_reference_is_left_out(monkeypatch):
    monkeypatch.setattr(models, "LONG_PATIENCE", 0.0)
    found = fewest.record("gradient_descent")
    assert found == {"model": "gradient_descent", "left_out": "longer than 0 s", "rows": []}


def test_the_fewest_steps_are_found(descent):
    """Of rk4 each number of steps is tried here."""
    found = fewest.row(descent, "rk4", "equal", (1e-2, 1e-5))["reached"]
    for error in (1e-2, 1e-5):
        steps = found[tables.label(error)]["setting"]
        points = [fewest.solved(descent, "rk4", "equal", n) for n in range(1, steps + 1)]
        assert [p.setting for p in points if p.error <= error] == [steps]
        assert found[tables.label(error)]["nfe"] == 4 * steps


def test_the_tolerance_with_the_fewest_evaluations_is_found(descent):
    reached = fewest.row(descent, "bosh3", "fitted", (1e-4,))["reached"]["1e-04"]
    points = [fewest.solved(descent, "bosh3", "fitted", x) for x in fewest.TOLERANCES[:24]]
    enough = [point for point in points if point.error <= 1e-4]
    assert min(point.nfe for point in enough) == reached["nfe"]
    assert min(point.nfe for point in points) < reached["nfe"]


def test_a_method_that_takes_too_many_evaluations_does_not_reach(descent):
    assert fewest.row(descent, "euler", "equal", (1e-2, 1e-8))["reached"].keys() == {"1e-02"}


def test_the_cheapest_point_that_is_within_the_error():
    points = [Point(1, 4, 0.1, 1e-1), Point(2, 8, 0.1, 1e-3), Point(3, 6, 0.1, 1e-2)]
    assert fewest.fewest(points, 1e-2).nfe == 6
    assert fewest.fewest(points, 1e-4) is None


def test_auto_says_which_method_it_took():
    given = models.model("adam")
    reached = fewest.row(given, fewest.AUTO, "equal", (1e-2,))["reached"]["1e-02"]
    assert reached["method"] == given.solve(method="auto", options={"steps": 1})[2]


def needs(**nfe):
    return [
        {"method": m, "kind": "equal", "reached": {"1e-02": {"nfe": n, "ms": float(n)}}}
        for m, n in nfe.items()
    ]


RECORDS = [
    {"model": "a", "rows": needs(rk4=100, tsit5=104, euler=300, auto=50)},
    {"model": "b", "rows": needs(rk4=20, tsit5=10, euler=12)},
    {"model": "c", "rows": [], "left_out": "no solution"},
]


def test_scores_count_wins_and_what_is_near():
    found = tables.scores(RECORDS, "equal")
    assert {name: (s.reached, s.wins, s.near) for name, s in found.items()} == {
        "rk4": (2, 1, 1),
        "tsit5": (2, 1, 2),
        "euler": (2, 0, 0),
        "auto": (1, 1, 1),
    }
    assert found["tsit5"].alone == {"b": 1}
    assert not found["rk4"].alone
    assert found["rk4"].worst == 2
    assert tables.dominated(RECORDS) == ["euler"]


def test_results_are_read_again_and_kept_while_the_code_is(tmp_path):
    file = tmp_path / "methods.json"
    assert running.read(file) == {}
    record = {"model": "adam", "code": running.code_of("adam"), "only": [], "rows": needs(rk4=3)}
    running.write(file, {"cpu": "a cpu"}, {"adam": record})
    found = running.read(file)
    assert found == {"adam": record}
    assert running.is_current(found["adam"], "adam", [])
    assert not running.is_current(found["adam"], "adam", ["rk4"])
    assert not running.is_current({**record, "code": "other"}, "adam", [])
    assert not running.is_current(None, "adam", [])
    printed = file.with_suffix(".txt").read_text()
    assert printed == tables.document_text(json.loads(file.read_text()))
    assert "cpu a cpu" in printed
    assert "3" in tables.model_table(record)


def test_models_are_measured_in_processes():
    ((name, record),) = running.measured(["gradient_descent"], ["euler"], 1)
    assert name == record["model"] == "gradient_descent"
    assert {row["method"] for row in record["rows"]} == {"euler"}
