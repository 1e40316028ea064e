"""Train MNIST as the released code does, and with the starts of its models exchanged.

Beside the equations two things differ there. Models with a velocity start from a network of three
convolutions of the image, which draws the other channels of h and the velocity; NODE and ANODE
start from zeros. And models have numbers of channels of their own. *Exchanged* gives the network to
ANODE and zeros to the others, whose fields have more units then: all have 85,000 parameters to
within 2 %.

Equations are typed from the code of Xia et al. (github.com/hedixia/HeavyBallNODE,
mnist/mnist_full_run.py). The released run sees 60,000 images 40 times at a rate of 5e-5; here
10,000 are seen three times, at the rate of mnist/mnist_hbnode.py. Evaluations are counted as they
are there, by torchdiffeq's adjoint and dopri5 at 1e-4, on a batch of the test set after training.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn
from torchdiffeq import odeint_adjoint

from experiments.conventions import Counted, Rates
from experiments.models import entrants
from experiments.trained import remembered
from optode.study.recorded import found
from optode.study.running import one_thread

IMAGES, TESTED, SIDE, BATCH = 10_000, 2_000, 28, 64
EPOCHS, SEEDS, RATE, CLIP, TOLERANCE = 3, 2, 1e-3, 10.0, 1e-4


class Model(NamedTuple):
    """The channels of h, the units of the field, and those of the network that it starts from.

    With no units there, all but the image starts at 0.
    """

    channels: int
    units: int
    before: int = 0


WAYS = {
    "as released": {
        "NODE": Model(1, 92),
        "ANODE": Model(6, 64),
        "SONODE": Model(5, 50, 50),
        "HBNODE": Model(5, 50, 50),
        "GHBNODE": Model(6, 45, 45),
    },
    "exchanged": {
        "ANODE": Model(6, 45, 45),
        "SONODE": Model(5, 70),
        "HBNODE": Model(5, 70),
        "GHBNODE": Model(6, 64),
    },
}


class Force(nn.Module):
    """f(t, states): convolutions of 1 x 1, 3 x 3 and 1 x 1 with ReLU between.

    The time is a channel of what each of them reads.
    """

    def __init__(self, read: int, units: int, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(read + 1, units, 1)
        self.middle = nn.Conv2d(units + 1, units, 3, padding=1)
        self.last = nn.Conv2d(units + 1, channels, 1)

    def forward(self, t: Tensor, *states: Tensor) -> Tensor:
        """Return the rate, of the shape of one state."""
        time = torch.ones_like(states[0][:, :1]) * t
        x = torch.relu(self.first(torch.cat([*states, time], 1)))
        x = torch.relu(self.middle(torch.cat([x, time], 1)))
        rate: Tensor = self.last(torch.cat([x, time], 1))
        return rate


class Start(nn.Module):
    """The image, and other channels that three convolutions of it draw."""

    def __init__(self, units: int, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, units, 1)
        self.middle = nn.Conv2d(units, units, 3, padding=1)
        self.last = nn.Conv2d(units, channels - 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return a tensor of so many channels."""
        x = nn.functional.leaky_relu(self.first(images), 0.3)
        x = nn.functional.leaky_relu(self.middle(x), 0.3)
        return torch.cat([images, self.last(x)], 1)


class Digits(nn.Module):
    """The scores of the digits: a linear map of h at the end."""

    def __init__(self, name: str, model: Model) -> None:
        super().__init__()
        (entrant,) = entrants([name if name != "ANODE" else "NODE"])
        read = 2 if name == "SONODE" else 1
        force = Force(read * model.channels, model.units, model.channels)
        self.node = entrant.made()(force, method="auto", rtol=TOLERANCE, atol=TOLERANCE)
        self.channels = model.channels
        self.all = model.channels * len(self.node.state_names)
        self.start = Start(model.before, self.all) if model.before else None
        self.head = nn.Linear(model.channels * SIDE**2, 10)

    def states(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the states at the start."""
        if self.start is not None:
            every = self.start(images)
        else:
            every = nn.functional.pad(images, (0, 0, 0, 0, 0, self.all - 1))
        parts: tuple[Tensor, ...] = every.split(self.channels, 1)
        return parts

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores, of shape (samples, 10)."""
        path = self.node.integrate(self.states(images)).states[0]
        scores: Tensor = self.head(path[-1].flatten(1))
        return scores


class Examples(NamedTuple):
    """Images from 0 to 1, of shape (samples, 1, 28, 28), and their digits."""

    images: Tensor
    digits: Tensor


def sets(folder: Path | None, seed: int) -> tuple[Examples, Examples]:
    """Return images to train on, drawn by the seed, and the first ones of the test set."""
    import numpy as np

    with np.load(found(folder, "mnist.npz")) as file:
        train, test = ((file[f"x_{name}"], file[f"y_{name}"]) for name in ("train", "test"))
    kept = np.random.default_rng(seed).permutation(len(train[0]))[:IMAGES]
    return _examples(train[0][kept], train[1][kept]), _examples(*(x[:TESTED] for x in test))


def _examples(images: Any, digits: Any) -> Examples:
    return Examples(torch.from_numpy(images)[:, None] / 255, torch.from_numpy(digits).long())


def trained(
    name: str, model: Model, seed: int, folder: Path | None, epochs: int = EPOCHS
) -> dict[str, float]:
    """Return the accuracy on the test set, the last epoch's loss, and evaluations of one batch."""
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network, (train, test) = Digits(name, model), sets(folder, seed)
        optimizer = torch.optim.Adam(network.parameters(), RATE)
        loss = 0.0
        for _ in range(epochs):
            loss = 0.0
            for index in torch.split(torch.randperm(len(train.images)), BATCH):
                optimizer.zero_grad()
                scores = network(train.images[index])
                value = nn.functional.cross_entropy(scores, train.digits[index])
                value.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(network.parameters(), CLIP)
                optimizer.step()
                loss += value.item() * len(index) / len(train.images)
        forward, backward = work(network, test.images[:BATCH])
        ended = {"accuracy": _accuracy(network, test), "train_loss": loss}
        return ended | {"forward": forward, "backward": backward}


@torch.no_grad()
def _accuracy(network: Digits, examples: Examples) -> float:
    pairs = zip(*(torch.split(x, BATCH) for x in examples), strict=True)
    right = sum(int((network(images).argmax(1) == digits).sum()) for images, digits in pairs)
    return right / len(examples.images)


def work(network: Digits, images: Tensor) -> tuple[int, int]:
    """Return the evaluations of the field forward and backward by torchdiffeq's adjoint."""
    node, states = network.node, tuple(z.detach() for z in network.states(images))
    plain, counted = node.field, Counted(node.field)
    node.field = counted
    try:
        times = torch.tensor([0.0, 1.0])
        settings: dict[str, Any] = {"rtol": TOLERANCE, "atol": TOLERANCE, "method": "dopri5"}
        path = odeint_adjoint(Rates(node), states, times, **settings)
        forward, counted.calls = counted.calls, 0
        network.head(path[0][-1].flatten(1)).logsumexp(1).mean().backward()
        return forward, counted.calls
    finally:
        node.field = plain


def measure(
    names: list[str], runs: Path, jobs: int, data: Path | None = None, seeds: int = SEEDS
) -> pd.DataFrame:
    """Return medians over the seeds, for each model and each way that it is trained."""
    asked = [(way, name) for way, models in WAYS.items() for name in models if name in names]
    every = [(name, WAYS[way][name], seed) for way, name in asked for seed in range(seeds)]
    ended = remembered(trained, [(*each, data) for each in every], runs, jobs)
    rows = []
    for k, (way, name) in enumerate(asked):
        own = pd.DataFrame(ended[k * seeds : (k + 1) * seeds])
        size = sum(p.numel() for p in Digits(name, WAYS[way][name]).parameters())
        row = {"model": name, "trained": way, "parameters": size, "seeds": seeds}
        low, high = own["accuracy"].min(), own["accuracy"].max()
        rows.append(row | {"accuracy": own["accuracy"].median(), "low": low, "high": high})
        rows[-1] |= {x: own[x].median() for x in ("train_loss", "forward", "backward")}
    return pd.DataFrame(rows)
