"""Tasks with faults, as users make them."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from functools import partial
from multiprocessing import parent_process
from pathlib import Path

import torch
from own_task import SIGNS, load
from torch import nn

from optode.study.networks import Flow
from optode.study.task import Examples, Sets


def _fails(_: Path | None, seed: int) -> Sets:
    raise KeyError("points")


def _of_other_types(_: Path | None, seed: int) -> Sets:
    train, valid, test = load(None, seed)
    return Sets(train, valid, Examples(test.inputs.long(), test.targets))


def _killed_in_a_process(_: Path | None, seed: int) -> Sets:
    if parent_process() is not None and seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return load(None, seed)


FAULTY = {
    "load fails": replace(SIGNS, load=_fails),
    "no sets": replace(SIGNS, load=lambda *_: torch.zeros(3)),
    "shapes": replace(SIGNS, around=lambda node, features: Flow(node, features + 1, outputs=2)),
    "loss": replace(SIGNS, loss=nn.functional.mse_loss),
    "loss of samples": replace(SIGNS, loss=partial(nn.functional.cross_entropy, reduction="none")),
    "metric": replace(SIGNS, metric=None),
    "other types": replace(SIGNS, load=_of_other_types),
}
KILLED = replace(SIGNS, load=_killed_in_a_process)
