"""The training loop: its gradient, its record, and how it ends."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from own_task import SIGNS
from torch import nn
from torchdiffeq import odeint

from optode.study.admission import equal_sizes
from optode.study.compare import entrants_of
from optode.study.entrants import arguments_of, matched, network_of
from optode.study.finding import EVERY, find_task
from optode.study.fit import Fit, Job, Run, Settings, fit
from optode.study.networks import Sequences
from optode.study.paths import costates_back, reach_of, sizes_of
from optode.study.record import Row, StudyError
from optode.study.task import Examples

SETTINGS = Settings(epochs=3, batch=16, rate=1e-2)
TIMES = ("seconds", "cpu_seconds")


def job(rule: str = "heavy_ball", seed: int = 0, **settings: Any) -> Job:
    (entrant,) = entrants_of([rule])
    return Job(entrant, SIGNS, seed, SIGNS.sizes, replace(SETTINGS, **settings))


def numbers(run: Run) -> list[Row]:
    """The rows without what the clock says."""
    return [{k: x for k, x in row.items() if k not in TIMES} for row in run.rows]


def assert_equal(found: Run, expected: Run) -> None:
    assert numbers(found) == numbers(expected)
    assert found.outcome == expected.outcome
    assert found.paths.keys() == expected.paths.keys()
    for name, path in expected.paths.items():
        np.testing.assert_array_equal(found.paths[name], path)


def test_a_run_is_the_same_to_the_last_bit() -> None:
    assert_equal(fit(job()), fit(job()))
    assert numbers(fit(job(seed=1))) != numbers(fit(job()))


def test_the_loop_is_plain_pytorch() -> None:
    """Typed once more with autograd's own gradient, on the schedule and the order of the loop."""
    current = Fit(job("adam"))
    other = network_of(current.job.entrant, SIGNS, SIGNS.sizes, method="auto")
    other.node.gradient = "autograd"
    optimizer = torch.optim.Adam(other.parameters(), 1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=9)
    shuffle = torch.Generator().manual_seed(0)
    for _ in range(2):
        current.epoch()
        other.node.rtol = other.node.atol = current.accuracy.tolerance
        for index in torch.randperm(40, generator=shuffle).split(16):
            batch = current.sets.train.take(index)
            loss = nn.functional.cross_entropy(other(batch).value, batch.targets)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(other.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    for (name, x), y in zip(other.named_parameters(), current.network.parameters(), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_run_that_was_killed_goes_on_as_if_it_had_not(tmp_path: Path, after: int) -> None:
    class Killed(BaseException):
        pass

    def kill(row: Row) -> None:
        if row["epoch"] == after:
            raise Killed

    with pytest.raises(Killed):
        fit(job(), tmp_path / "run", kill)
    torch.rand(3)  # what another run would draw
    assert_equal(fit(job(), tmp_path / "run"), fit(job()))


def test_a_run_that_is_done_is_read(tmp_path: Path) -> None:
    first, told = fit(job(), tmp_path), []
    again = fit(job(), tmp_path, told.append)
    assert told == []
    assert_equal(again, first)
    assert {p.name for p in tmp_path.iterdir()} == {
        "config.json",
        "epochs.csv",
        "checkpoint.pt",
        "paths.npz",
        "done.json",
    }
    header, *lines = (tmp_path / "epochs.csv").read_text().splitlines()
    assert len(lines) == 3
    assert {"epoch", "train_loss", "test_metric", "nfe_forward", "learned.gamma"} <= {
        *header.split(",")
    }


def test_a_folder_of_another_configuration_is_refused(tmp_path: Path) -> None:
    fit(job(), tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(StudyError, match=r"epochs = 3, now 4; rate = 0\.01, now 0\.02"):
        fit(job(epochs=4, rate=0.02), tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_divergence_is_a_result(tmp_path: Path) -> None:
    wild = replace(job(), settings=replace(SETTINGS, rate=1e12, clip=1e12))
    run = fit(wild, tmp_path)
    assert not run.outcome["ended"]
    assert run.outcome["reason"]
    assert json.loads((tmp_path / "done.json").read_text()) == run.outcome
    assert_equal(fit(wild, tmp_path), run)


def reach_by_autograd(current: Fit) -> float:
    """|dL/dh| at the start over that at the end, through the solver."""
    network, examples = copy.deepcopy(current.network), current.sets.test.take(slice(64))
    network.node.gradient = "autograd"
    start = network.start(examples.inputs).requires_grad_()
    path = network.node.integrate(start).states[0]
    path.retain_grad()
    nn.functional.cross_entropy(network.head(path[-1]), examples.targets).backward()
    return float(start.grad.norm() / path.grad[-1].norm())


def test_what_is_noted_is_what_happened() -> None:
    current = Fit(job(epochs=2))
    current.epoch()
    (row,) = current.rows
    with torch.no_grad():
        value = current.network(current.sets.test).value
    wanted = nn.functional.cross_entropy(value, current.sets.test.targets)
    assert row["test_loss"] == pytest.approx(float(wanted), rel=1e-6)
    assert row["error"] <= SETTINGS.error
    assert row["nfe_forward"] >= row["accepted"] >= 1
    assert row["nfe_backward"] > 0
    assert row["reach"] == pytest.approx(reach_by_autograd(current), rel=1e-3)
    assert row["largest_h"] == pytest.approx(float(current.sets.test.inputs.abs().max()), rel=0.5)


def test_costates_of_a_sequence_are_of_its_last_row() -> None:
    """dL/dh at the first row and at the last, where L is the loss of the last output, by autograd."""
    (entrant,) = entrants_of(["heavy_ball"])
    task = replace(
        find_task("spheres"),
        around=partial(Sequences, shape=(2, 1)),
        features=3,
        loss=nn.functional.mse_loss,
    )
    torch.manual_seed(0)
    network = network_of(entrant, task, (5,), 0, method="dopri5", rtol=1e-8, atol=1e-8).double()
    x, y = torch.randn(4, 6, 2).double(), torch.randn(4, 6, 1).double()
    examples = Examples(x, y, torch.arange(6.0).double().expand(4, -1))
    sizes = sizes_of(network, task, examples)

    rnn, node = network.rnn, network.node
    h, seen = rnn.cell(x[:, 0], torch.zeros(4, 3).double()), []
    m = torch.zeros_like(h)
    for k in range(1, 6):
        h.retain_grad()
        seen.append(h)
        states = node.integrate((h, m), torch.arange(k - 1.0, k + 1).double().expand(4, -1)).states
        h, m = rnn.cell(x[:, k], states.h[-1]), states.m[-1]
    h.retain_grad()
    seen.append(h)
    nn.functional.mse_loss(rnn.readout(h), y[:, -1]).backward()
    first, last = (float(z.grad.square().mean().sqrt()) for z in (seen[0], seen[-1]))
    assert reach_of(sizes) == pytest.approx(first / last, rel=1e-5)
    back = costates_back(sizes)
    assert len(back) == 25
    assert (back[0], back[-1]) == (pytest.approx(last, rel=1e-5), pytest.approx(first, rel=1e-5))


def test_paths_are_those_of_the_trained_model() -> None:
    run = fit(job())
    flow = run.paths["flow"]
    assert flow.shape == (41, 40, 2)
    assert run.paths["h_time"][0] == 0 and (np.diff(run.paths["h_time"]) > 0).all()
    assert (run.paths["a_norm"] > 0).all()
    assert run.paths["a_time"].max() == 1.0 and run.paths["a_time"].min() == 0.0


def test_heads_are_equal_for_all_rules() -> None:
    """The field draws more numbers where it is larger; what stands around the ODE does not see it."""
    entrants = entrants_of(["heavy_ball", "second_order"])
    heads = [network_of(each, SIGNS, SIGNS.sizes).head.weight for each in entrants]
    assert torch.equal(*heads)


def test_fields_have_as_many_parameters() -> None:
    entrants = entrants_of(["heavy_ball", "adam", "second_order", "gradient_descent"])
    sizes = equal_sizes(entrants, SIGNS)
    assert sizes["heavy_ball"] == SIGNS.sizes
    counts = {}
    for each in entrants:
        found = network_of(each, SIGNS, sizes[each.name])
        counts[each.name] = sum(p.numel() for p in found.parameters())
    wanted = counts["heavy_ball"]
    assert all(abs(n - wanted) <= 0.01 * wanted for n in counts.values())
    assert sizes["second_order"] != SIGNS.sizes  # its field reads two states


@pytest.mark.parametrize(
    ("wanted", "sizes"),
    [
        (218, (12, 12)),  # as many, by hand: 36 + 144 + 36 + 2
        (219, (12, 12)),  # one more is within a hundredth: the field stays as it is
        (175, (10, 11)),  # as near as (11, 10) with 178, which is not within a hundredth
        (10**6, (22, 22)),  # out of reach: the largest
    ],
)
def test_sizes_are_found_by_hand(wanted: int, sizes: tuple[int, int]) -> None:
    """2-a-b-2 has 3 a + a b + b + 2 b + 2 parameters."""

    def counted(sizes: tuple[int, ...]) -> int:
        a, b = sizes
        return 3 * a + a * b + b + 2 * b + 2

    assert matched(counted, (12, 12), wanted) == sizes


@pytest.mark.parametrize("name", [*EVERY])
def test_models_have_as_many_parameters_on_every_task(name: str) -> None:
    """A field of two states or of twice the features has fewer hidden units; others are alike."""
    task = EVERY[name]
    node, adam, second = entrants_of(["gradient_descent", "adam", "second_order"])
    anode = replace(node, name="anode", augmented=True)
    entrants = [node, anode, adam, second]
    sizes = equal_sizes(entrants, task)
    counts = [
        sum(p.numel() for p in network_of(each, task, sizes[each.name]).parameters())
        for each in entrants
    ]
    assert all(abs(n - counts[0]) <= 0.01 * counts[0] for n in counts)
    assert sizes["adam"] == task.sizes


@pytest.mark.parametrize(
    ("rule", "arguments"), [("heavy_ball", 1), ("second_order", 2), ("adam", 1), ("nesterov", 1)]
)
def test_how_many_states_a_field_reads(rule: str, arguments: int) -> None:
    (entrant,) = entrants_of([rule])
    assert arguments_of(entrant, SIGNS) == arguments


def test_an_augmented_model_by_hand() -> None:
    """ANODE: h and as many zeros move together; what stands around sees h alone."""
    (entrant,) = entrants_of(["gradient_descent"])
    wide = replace(entrant, name="anode", augmented=True)
    sizes = equal_sizes([entrant, wide], SIGNS)
    settings = {"method": "rk4", "options": {"step_size": 0.05}}
    network = network_of(wide, SIGNS, sizes["anode"], **settings).double()
    points = torch.randn(3, 2, dtype=torch.float64)
    start = torch.cat([points, torch.zeros_like(points)], 1)
    field = network.node.field
    path = odeint(
        field,
        start,
        torch.tensor([0.0, 1.0]).double(),
        method="rk4",
        options={"step_size": 0.05},
    )
    expected = network.head(path[-1, :, :2])
    torch.testing.assert_close(network(Examples(points, points)).value, expected)
    pair = network.node.initial_states(points)
    rates = network.node.vector_field(torch.tensor(0.3), pair)
    torch.testing.assert_close(torch.cat([*rates], 1), field(torch.tensor(0.3), start))
    run = fit(Job(wide, SIGNS, 0, sizes["anode"], SETTINGS))
    assert run.outcome["ended"]
    assert run.paths["flow"].shape == (41, 40, 2)


def test_an_augmented_model_keeps_what_is_beside_h_from_row_to_row() -> None:
    """The cell of a sequence updates h alone, as it does of a model with a velocity."""
    (entrant,) = entrants_of(["gradient_descent"])
    task = EVERY["silverbox"]
    wide = replace(entrant, augmented=True)
    settings = {"method": "euler", "options": {"step_size": 1.0}}
    network = network_of(wide, task, task.sizes, **settings)
    rows, times = torch.randn(3, 4, 2), torch.arange(4.0).expand(3, -1)
    found, h, a = [], torch.zeros(3, 8), torch.zeros(3, 8)
    for k in range(4):
        h = network.rnn.cell(rows[:, k], h)
        found.append(network.rnn.readout(h))
        z = torch.cat([h, a], 1)
        h, a = (z + network.node.field(times[0, 0], z)).chunk(2, 1)
    value = network(Examples(rows, rows, times)).value
    torch.testing.assert_close(value, torch.stack(found, 1))
