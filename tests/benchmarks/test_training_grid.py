"""The benchmark of grid="auto" in training: its errors, whom it compares, and what it prints."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks.speed.cases import Case, Problem, problem
from benchmarks.speed.contender import Setting
from benchmarks.speed.torch_contenders import Optode
from benchmarks.training_grid.__main__ import arguments, run
from benchmarks.training_grid.claims import claims, ratio
from benchmarks.training_grid.contenders import FIXED, Contender, contenders
from benchmarks.training_grid.report import COLUMNS, claim_lines, table
from benchmarks.training_grid.training import Run, Sample, Training, deviation, regression, train

TINY = Case("tiny", (2, 8, 8, 2), 5)


def steep(model: str = "HBNODE") -> Problem:
    """Weights at which one step is not enough."""
    return problem(model, TINY, gain=4.0)


def made_up(name: str, seconds: float, error: float, failure: str = "") -> Run:
    """A training of four steps; name is a kind, or the steps of a fixed grid."""
    entrants = {
        c.kind if c.kind != "fixed" else str(c.setting): c for c in contenders("discrete", 1)
    }
    counts = zip((1, 1, 2, 1), (0, 0, 3, 0), strict=True)
    work = [
        SimpleNamespace(accepted=n, repeated=k, rejected=0, forward_nfe=2 * n, backward_nfe=n)
        for n, k in counts
    ]
    samples = [Sample(0, error / 2, error), Sample(3, error, 3 * error)]
    return Run(entrants[name], [seconds / 4] * 4, [2.0, 1.0, 1.0, 1.0], work, samples, failure)


def test_a_tiny_run_prints_every_column_and_writes_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written, text = tmp_path / "found.json", tmp_path / "found.txt"
    words = "--quick --steps 5 --every 2 --gradients discrete --clock cpu"
    run(arguments([*words.split(), "--json", str(written), "--text", str(text)]))
    printed = capsys.readouterr().out
    assert text.read_text() == printed
    (head,) = (line for line in printed.splitlines() if line.startswith("contender"))
    assert all(column in head for column in COLUMNS)
    names = [contender.name for contender in contenders("discrete", 1e-4)]
    rows = printed.splitlines()[printed.splitlines().index(head) + 1 :][: len(names)]
    assert {row[: len(max(names, key=len))].rstrip() for row in rows} == {*names}
    assert "discrete, auto, grid auto: the claim" in printed

    found = json.loads(written.read_text())
    assert found["environment"]["tolerance"] == 1e-4
    (each,) = found["problems"]
    assert [entry["contender"] for entry in each["contenders"]] == names
    for entry in each["contenders"]:
        assert [step for step, _, _ in entry["samples"]] == [0, 2, 4]
        assert all(error <= largest for _, error, largest in entry["samples"])
        assert entry["seconds"] > 0
        assert len(entry["losses"]) == 2
    fixed = [entry["steps"] for entry in each["contenders"] if entry["kind"] == "fixed"]
    assert fixed == [n for _, n in FIXED]
    assert {*each["claims"][0]["times_as_long"]} | {*each["claims"][0]["too_coarse"]} == {
        *names[1:]
    }


def test_a_grid_that_is_too_coarse_is_not_compared() -> None:
    every = {contender.name: contender for contender in contenders("autograd", 1e-4)}
    taken = ("auto, grid auto", "interpolation5, fixed 1 steps", "interpolation8, fixed 6 steps")
    entrants = [every[f"autograd, {name}"] for name in taken]
    auto, coarse, fine = train(steep(), entrants, 1e-4, steps=3)
    assert coarse.error > 1 >= max(auto.error, fine.error)
    assert auto.work[0].repeated > 0
    (claim,) = claims([auto, coarse, fine])
    assert claim.coarse == [coarse]
    assert {name: each.times for name, each in claim.ratios.items()} == {
        fine.contender.name: fine.total / auto.total
    }
    assert "too coarse, with their worst errors: autograd, interpolation5, fixed 1" in claim_lines(
        claim
    )


@pytest.mark.parametrize("model", ["HBNODE", "NesterovNODE"])
def test_the_exact_solution_is_that_of_the_weights_before_the_step(model: str) -> None:
    given = problem(model, TINY).to(torch.float64)
    tight = Contender(
        "dopri5", "discrete", Optode("discrete", "dopri5"), Setting("tolerance", 1e-11)
    )
    training = Training(tight, given)
    for parameter in training.node.parameters():  # not those of the problem
        parameter.data += 0.1
    weights = training.weights()
    training.advance(lambda: 0.0)
    training.sample(weights, 1e-8)
    training.sample(training.weights(), 1e-8)
    before, after = training.run.samples
    assert before.entry < 1 < after.error


def test_errors_are_in_tolerances() -> None:
    wanted = torch.tensor([[0.0, 3.0], [-1.0, 0.0]])
    h = wanted + torch.tensor([[0.1, 0.8], [0.0, -0.2]])
    # over 0.1 (1 + |wanted|): 1, 2, 0 and 2
    assert deviation(h, wanted, 0.1) == pytest.approx((1.5, 2.0))


def test_the_target_asks_for_larger_weights() -> None:
    given = regression("HBNODE", "small")
    (auto,) = train(given, contenders("autograd", 1e-4)[:1], 1e-4, steps=100, every=50)
    assert auto.losses[-1] < auto.losses[0]
    assert auto.changes and auto.work[-1].accepted > auto.work[0].accepted
    assert [sample.step for sample in auto.samples] == [0, 50, 99]


@pytest.mark.parametrize(
    ("error", "seconds", "holds"),
    [(0.9, 2.0, True), (1.1, 2.0, False), (0.9, 3.0, None), (0.9, 3.5, False), (0.9, 4.5, False)],
)
def test_the_claim(error: float, seconds: float, holds: bool | None) -> None:
    runs = [
        made_up("auto", seconds, error),
        made_up("adaptive", 4.0, 5.0),
        made_up("dopri5", 6.0, 0.1),
        made_up("1 steps", 1.0, 1.01),
        made_up("2 steps", 3.0, 1.0),
        made_up("3 steps", 1.0, 0.5, failure="training step 4: FloatingPointError: no"),
    ]
    (claim,) = claims(runs)
    assert claim.holds is holds
    wanted = [x / seconds for x in (4.0, 6.0, 3.0)]
    assert [each.times for each in claim.ratios.values()] == pytest.approx(wanted)
    assert claim.coarse == [runs[3], runs[5]]
    words = {True: "holds", False: "does not hold", None: "is undecided"}[holds]
    assert f"the claim {words}" in claim_lines(claim)


def test_a_ratio_is_as_doubtful_as_it_spreads() -> None:
    faster = [1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0] * 2  # the same in each part
    assert ratio([3 * x for x in faster], faster) == pytest.approx((3.0, 0.0))
    slower = [3.0] * 7
    slower[4] += 1.4
    found = ratio(slower, [1.0] * 7)
    assert found == pytest.approx((3.2, 0.2))  # a spread of 1.4 / sqrt(7) over 7 parts
    assert ratio([2.0], [1.0]) == (2.0, math.inf)


def test_a_table_has_what_a_training_took() -> None:
    runs = [made_up("auto", 2.0, 0.9), made_up("2 steps", 3.0, 1.01)]
    runs.append(made_up("adaptive", 1.0, 0.5, failure="training step 4: RuntimeError: no"))
    _, first, second, last, failure = table(runs).splitlines()
    numbers = ["2.00", "1.00", "0.9", "2.7", "yes", "1.25", "2.5", "/", "1.2", "3", "2"]
    assert first.split()[-11:] == numbers
    assert second.split()[-11:-6] == ["3.00", "1.50", "1", "3", "no"]
    assert last.split()[-11:-9] == ["1.00", "-"]
    assert failure == "discrete, auto failed: training step 4: RuntimeError: no"
    (claim,) = claims(runs)
    assert "steps, and since which training step: 1 0, 2 2, 1 3" in claim_lines(claim)


def test_a_training_that_fails_ends() -> None:
    given = problem("HBNODE", TINY)
    given.weights["layers.0.bias"][:] = torch.nan
    (auto, *_) = runs = train(given, contenders("discrete", 1e-4)[:2], 1e-4, steps=3)
    assert "training step 0: FloatingPointError" in auto.failure
    assert (auto.seconds, auto.samples, auto.accurate) == ([], [], False)
    (claim,) = claims(runs)
    assert (claim.holds, claim.ratios) == (False, {})
    assert "failed" in table(runs) and claim_lines(claim)


def test_nothing_numerical_is_imported_before_the_threads_are_pinned() -> None:
    check = (
        "import sys, benchmarks.training_grid.__main__; print({'numpy', 'torch'} & {*sys.modules})"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", check]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"
