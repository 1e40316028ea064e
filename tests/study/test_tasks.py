"""The tasks are what they say, and each seed has a draw of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from optode.study.finding import EVERY, find_task
from optode.study.record import StudyError
from optode.study.recorded import RECORDED, series
from optode.study.tasks import TASKS, accuracy, root_mean_square

every_task = pytest.mark.parametrize("name", TASKS)


@every_task
def test_sets_belong_to_the_seed(name: str) -> None:
    task = TASKS[name]
    first, again, other = (task.load(None, seed) for seed in (0, 0, 1))
    for x, y, z in zip(first, again, other, strict=True):
        assert len(x) == len(x.targets) == len(z) > 100
        assert torch.equal(x.inputs, y.inputs)
        assert torch.equal(x.targets, y.targets)
        assert not torch.equal(x.inputs, z.inputs)


@every_task
def test_sets_do_not_overlap(name: str) -> None:
    rows = torch.cat([x.inputs.flatten(1) for x in TASKS[name].load(None, 0)])
    assert len(rows.unique(dim=0)) == len(rows)


def test_spheres_are_a_disc_and_a_ring() -> None:
    every = TASKS["spheres"].load(None, 3).test
    radii = every.inputs.norm(dim=1)
    inner, outer = radii[every.targets == 0], radii[every.targets == 1]
    assert inner.max() <= 0.5
    assert 1 <= outer.min() <= outer.max() <= 1.5
    # even over the areas: the median halves them
    assert inner.median() == pytest.approx(0.5 / 2**0.5, rel=0.05)
    assert outer.median() == pytest.approx(((1 + 1.5**2) / 2) ** 0.5, rel=0.02)


def test_the_pendulum_is_one() -> None:
    every = TASKS["pendulum"].load(None, 0)
    clean = every.test.targets.double().numpy()
    times = np.arange(30) * 0.2
    for path in clean[:5]:
        found = solve_ivp(
            lambda _, z: (z[1], -np.sin(z[0]) - 0.1 * z[1]),
            (0, times[-1]),
            path[0],
            t_eval=times,
            rtol=1e-9,
            atol=1e-9,
        )
        np.testing.assert_allclose(path, found.y.T, atol=1e-4)
    assert every.train.targets.shape == (200, 30, 2)
    # fourth differences leave of a smooth path little: of noise 1 + 16 + 36 + 16 + 1 squares
    noise = every.train.targets.diff(dim=1, n=4).std() / 70**0.5
    assert float(noise) == pytest.approx(0.05, rel=0.1)


def test_the_memory_shows_what_it_asks_for() -> None:
    every = TASKS["copy_memory"].load(None, 0).train
    assert torch.equal(every.inputs[:, :4, :8].argmax(-1), every.targets)
    assert (every.inputs.sum(-1) == 1).all()
    assert (every.inputs[:, 4:, :8] == 0).all()
    assert every.times is not None
    assert (every.times.diff() > 0).all()


def test_metrics() -> None:
    scores = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 4.0]])
    assert accuracy(scores, torch.tensor([0, 1, 0])) == pytest.approx(2 / 3)
    assert root_mean_square(torch.tensor([3.0, 4.0]), torch.zeros(2)) == pytest.approx(12.5**0.5)


def test_series_are_parted_by_blocks_and_foretell_the_next_row() -> None:
    """Rows are numbered: which set each is in can be read off them."""
    table = np.stack([np.arange(8000.0), np.ones(8000) + np.arange(8000) % 2], 1)
    sets = series(table, slice(0, 1))
    scale = table[:, 0].std()
    for x in sets:
        steps = x.targets[..., 0] - x.inputs[..., 0]
        assert float(steps.mean() * scale) == pytest.approx(1.0, rel=0.05)
        assert x.targets.shape[1:] == (64, 1)
    rows = [{*x.inputs[..., 0].flatten().tolist()} for x in sets]
    assert not rows[0] & rows[1] and not rows[0] & rows[2] and not rows[1] & rows[2]
    assert len(sets.train) > 2.5 * len(sets.valid)


def test_all_tasks_have_names_of_their_own() -> None:
    assert len(EVERY) == len(TASKS) + len(RECORDED)
    assert all(find_task(name).name == name for name in EVERY)


@pytest.mark.parametrize("name", RECORDED)
def test_data_that_are_not_there_are_asked_for(name: str) -> None:
    (file,) = RECORDED[name].files
    with pytest.raises(StudyError, match=rf"{file} is needed: .*--data"):
        RECORDED[name].load(None, 0)


def test_other_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"has no pv\.csv"):
        RECORDED["plane_vibration"].load(tmp_path, 0)
    (tmp_path / "pv.csv").write_text("Force\n1\n")
    with pytest.raises(StudyError, match=r"another pv\.csv .* SHA-256"):
        RECORDED["plane_vibration"].load(tmp_path, 0)
