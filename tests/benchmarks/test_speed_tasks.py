"""The tasks of the speed benchmark: their data, networks, both steps, and what is reported."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.speed import page, pieces, summary
from benchmarks.speed.contender import Setting, Step
from benchmarks.speed.contenders import ours
from benchmarks.speed.equations import OF_TASKS
from benchmarks.speed.tasks import contenders, data
from benchmarks.speed.tasks.contenders import AUTHORS, Authors, OnTask, TaskStep, on_tasks
from benchmarks.speed.tasks.data import LENGTH, Batch, NoData
from benchmarks.speed.tasks.task import TASKS, Task, TaskProblem, state_count, task_problem

ROWS = 5


def random_batch(name: str) -> Batch:
    """A few samples in the shapes of a task, without its files."""
    if name == "mnist":
        return Batch(torch.randn(2, 1, 28, 28), torch.tensor([3, 7]))
    if name == "spheres":
        return data.spheres(None, 4)
    channels = 17 if name == "walker2d" else 5
    times = torch.rand(3, ROWS).cumsum(1) if name == "walker2d" else torch.arange(ROWS) / 4
    return Batch(torch.randn(3, ROWS, channels), torch.randn(3, ROWS, channels), times)


def small(name: str) -> Task:
    """The task on few samples and a small field."""
    sizes = tuple(3 if n > 24 else n for n in TASKS[name].sizes)
    return replace(TASKS[name], sizes=sizes, load=lambda folder, size: random_batch(name))


def problem_of(name: str, model: str) -> TaskProblem:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return task_problem(model, small(name), None).to(torch.float64)


EVERY = [(name, model) for name, task in TASKS.items() for model in task.models]


def gradients(step: Step) -> dict[str, np.ndarray]:
    """The gradients by the network's parameters, by the names that both sides share."""
    found = step()[1]
    return {name: x.numpy() for name, x in found.items() if x is not None}


@pytest.mark.parametrize(("name", "model"), EVERY)
def test_both_steps_are_of_one_network(
    name: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At tight tolerances h and all gradients agree; the authors' are not exact.

    The integrals of odeint_adjoint over a field with kinks are of low order: it is made smooth.
    """
    monkeypatch.setattr(torch, "relu", torch.tanh)
    given = problem_of(name, model)
    theirs = Authors(1e-9).prepare(given, Setting("tolerance", 1e-9))
    our_step = OnTask("discrete", "dopri5").prepare(given, Setting("tolerance", 1e-9))
    # odeint reads the end off a polynomial of order 4
    assert contenders.distance(our_step.forward(), theirs.forward().numpy()) < 1e-6
    wanted, found = gradients(theirs), gradients(our_step)
    assert found.keys() == wanted.keys()
    for key, x in wanted.items():
        assert np.abs(found[key] - x).max() < 1e-5 * max(1e-3, np.abs(x).max()), key


@pytest.mark.parametrize(("name", "model"), [("walker2d", "GHBNODE"), ("spheres", "HardGHBNODE")])
def test_the_reference_is_where_both_steps_tend_to(name: str, model: str) -> None:
    given = problem_of(name, model)
    wanted = contenders.reference_features(given)
    step = OnTask("autograd", "rk4", steps=True).prepare(given, Setting("steps", 64))
    assert contenders.distance(step.forward(), wanted) < 1e-7


@pytest.mark.parametrize("model", OF_TASKS)
def test_equations_by_hand_are_those_of_the_modules(model: str) -> None:
    """At states of any sign, at which the activations bend."""
    task = next(name for name in ("spheres", "walker2d") if model in TASKS[name].models)
    given = problem_of(task, model)
    node, _ = OnTask("discrete", "rk4").module(given, Setting("tolerance", 1e-3), {})
    states = tuple(3 * torch.randn(4, *given.h0.shape[1:], dtype=torch.float64) for _ in "abc")
    states = states[: state_count(model)]
    t = torch.tensor(0.5, dtype=torch.float64)
    for ours_, theirs in zip(node.vector_field(t, states), given.by_hand()(t, states), strict=True):
        torch.testing.assert_close(ours_, theirs, rtol=1e-12, atol=1e-12)


def test_sequences_are_carried_over_each_samples_own_intervals() -> None:
    """A sample's features do not depend on the times of the others."""
    given = problem_of("walker2d", "HBNODE")
    step = OnTask("discrete", "rk4", steps=True).prepare(given, Setting("steps", 4))
    whole = step.forward()
    alone = replace(given, given=Batch(*(x[1:2] for x in given.given)))
    one = OnTask("discrete", "rk4", steps=True).prepare(alone, Setting("steps", 4)).forward()
    torch.testing.assert_close(whole[1:2], one)
    assert whole.shape == (3, ROWS, 24)


def test_the_authors_error_is_the_goal() -> None:
    given = problem_of("spheres", "HBNODE")
    authors = Authors(1e-3)
    goal = contenders.equal_error(given, authors)
    step = authors.prepare(given, authors.ladder[0])
    assert contenders.ROUNDING < goal.error(step) <= goal.limit < 1.01 * goal.error(step)
    tight = Authors(1e-11)
    assert contenders.equal_error(given, tight).limit == contenders.ROUNDING


def test_work_of_both_steps() -> None:
    given = problem_of("plane_vibration", "HBNODE")
    solves = ROWS - 1
    ours_ = OnTask("discrete", "rk4", steps=True).prepare(given, Setting("steps", 2)).work()
    assert (ours_.forward, ours_.backward) == (8 * solves, 8 * solves)
    theirs = Authors(1e-3).prepare(given, Setting("tolerance", 1e-3)).work()
    # the adjoint evaluates f anew with each product
    assert theirs.plain >= 6 * solves
    assert theirs.recorded == theirs.pullbacks >= 6 * solves


def test_what_is_compiled_counts_as_its_eager_twin() -> None:
    given = problem_of("spheres", "HBNODE")
    contender = OnTask("discrete", "rk4", steps=True, compile=True)
    step = contender.prepare(given, Setting("steps", 2))
    assert isinstance(step, TaskStep)
    assert step.model.model.compiled
    assert step.work() == contender.trial(given, Setting("steps", 2)).work()
    assert step.peak_bytes() is None


def test_contenders_on_tasks_are_those_that_need_no_compiled_loss() -> None:
    names = {contender.name for contender in on_tasks()}
    every = {contender.name for contender in ours()}
    assert len(names) == len(on_tasks())
    assert names < every
    assert every - names == {name for name in every if name.endswith(", compiled")}


def test_batches_of_files(tmp_path) -> None:
    generator = np.random.RandomState(0)
    images = generator.randint(0, 255, (3, 28, 28)).astype(np.uint8)
    np.savez(tmp_path / "mnist.npz", x_train=images, y_train=np.array([1, 2, 3], np.uint8))
    pixels, digits, _ = data.mnist(tmp_path, 2)
    assert pixels.shape == (2, 1, 28, 28)
    assert digits.tolist() == [1, 2]
    rollouts = np.arange(2 * 90 * 17, dtype=np.float32).reshape(-1, 17)
    np.savez(tmp_path / "walker2d.npz", rollouts=rollouts, lengths=np.array([90, 90]))
    values, targets, times = data.walker(tmp_path, 2)
    assert values.shape == targets.shape == (2, LENGTH, 17)
    assert torch.equal(targets, values + 17)  # the row that follows in the rollout
    assert torch.equal(times, (values[..., 0] - values[:, :1, 0]) / 17 / LENGTH)
    assert (times.diff(dim=1) > 1.5 / LENGTH).any()  # rows are missing
    rows = np.arange(8200)[:, None] + np.arange(6)
    np.savetxt(tmp_path / "pv.csv", rows, delimiter=",", header="a,b,c,d,e,f")
    values, targets, _ = data.vibration(tmp_path, 3)
    assert torch.allclose(targets[:, :-1], values[:, 1:])
    points, labels, _ = data.spheres(None, 50)
    assert torch.equal(points.norm(dim=1) > 0.75, labels[:, 0] > 0)


def asked_for(**settings: Any) -> argparse.Namespace:
    usual = {"budget": 0.0, "plot": None, "clock": "cpu", "device": "cpu", "only": "rk4"}
    names = {"models": [*OF_TASKS], "cases": [*TASKS], "data": None, "quick": False}
    return argparse.Namespace(**{**usual, **names, "by_name": False, **settings})


def test_tasks_without_data(tmp_path) -> None:
    names = {piece.name for piece in pieces.task_pieces(asked_for())}
    assert names == {"spheres_hbnode", "spheres_hardghbnode", "spheres_guardedadamnode"}
    with pytest.raises(NoData, match=r"pv\.csv is needed: say where it is by --data DIR"):
        pieces.task_pieces(asked_for(cases=["plane_vibration"], by_name=True))
    with pytest.raises(NoData, match=r"no mnist\.npz in "):
        pieces.task_pieces(asked_for(cases=["mnist"], by_name=True, data=tmp_path))


def test_a_task_is_measured_and_shown(monkeypatch) -> None:
    monkeypatch.setitem(TASKS, "spheres", replace(small("spheres"), tolerance=1e-3))
    some = [OnTask("discrete", "rk4", steps=True), OnTask("discrete", "dopri5")]
    monkeypatch.setattr(pieces, "on_tasks", lambda: some)
    asked = asked_for(cases=["spheres"], models=["HBNODE"], only="")
    (piece,) = pieces.task_pieces(asked)
    said: list[str] = []
    result = piece.measure(said.append)
    assert len(said) == piece.parts == 4
    assert {entry["peer"] for entry in result["entries"]} == {AUTHORS, "optode"}
    assert all(entry["error"] <= result["goal"] for entry in result["entries"])
    document = {"kind": "task", "environment": {"cpu": "a"}, "identity": {}, "result": result}
    assert "error of h within" in page.document_text(document)
    (row,) = summary.speed_tables([document])["tasks"].splitlines()[2:]
    assert row.startswith("| nested spheres | HBNODE | ")
    assert f"{result['times_faster']['training']['optode'][AUTHORS]:.2f}" in row
    assert row.endswith("| - | 6 |")
