"""Train a generated model on several processes.

    torchrun --standalone --nproc-per-node 2 examples/train_distributed.py --help

The task is to carry points of the plane along a vortex. Every process takes its part of each batch,
on a GPU of its own where there are any (nccl), else on the CPU (gloo). --fsdp shards the parameters
over the processes; without it each process has all of them (DistributedDataParallel).
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

ROOT = Path(__file__).resolve().parent.parent
POINTS = 512
BATCH = 64
FEATURES = 8
WIDTH = 32
SEED = 0


class Field(nn.Module):
    """f(t, h) for as many arguments, each (N, FEATURES), as the model has; the first call counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.LazyLinear(WIDTH), nn.Tanh(), nn.Linear(WIDTH, FEATURES))

    def forward(self, t: Tensor, *states: Tensor) -> Tensor:
        force: Tensor = self.net(torch.cat(states, dim=1))
        return force


class Network(nn.Module):
    """Points of the plane to points of the plane, (N, 2) to (N, 2), by a generated model."""

    def __init__(self, node_class: type[nn.Module], gradient: str) -> None:
        super().__init__()
        known = inspect.signature(node_class).parameters
        features = {"features": FEATURES} if "features" in known else {}
        self.encoder = nn.Linear(2, FEATURES)
        self.node = node_class(Field(), gradient=gradient, rtol=1e-3, atol=1e-3, **features)
        self.decoder = nn.Linear(FEATURES, 2)

    def forward(self, points: Tensor) -> Tensor:
        moved: Tensor = self.decoder(self.node(self.encoder(points)))
        return moved


def main() -> None:
    options = parse_options()
    device = join_processes()
    run(options, device)
    # only now: gloo may wait forever where a DistributedDataParallel outlives its processes
    dist.barrier()
    dist.destroy_process_group()


def run(options: argparse.Namespace, device: torch.device) -> None:
    torch.manual_seed(SEED)  # the same points, and the same network, on every process
    data = task()
    network: nn.Module = Network(load_class(options.generated, options.model), options.gradient)
    network.to(device)
    with torch.no_grad():
        network(data[:1][0].to(device))  # counts the arguments of the field
    network = shard(network) if options.fsdp else DistributedDataParallel(network)
    sampler: DistributedSampler[tuple[Tensor, ...]] = DistributedSampler(data, seed=SEED)
    batches = DataLoader(data, BATCH // dist.get_world_size(), sampler=sampler)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for epoch in range(options.epochs):
        sampler.set_epoch(epoch)
        loss = train(network, batches, optimizer, device)
        if dist.get_rank() == 0:
            print(f"epoch {epoch + 1}  loss {loss:.4f}", flush=True)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="heavy_ball", help="a file of --generated, without .py")
    parser.add_argument(
        "--gradient", choices=("discrete", "adjoint", "autograd"), default="discrete"
    )
    parser.add_argument("--fsdp", action="store_true", help="shard the parameters (FSDP2)")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--generated", type=Path, metavar="DIR", default=ROOT / "generated")
    options = parser.parse_args()
    if "LOCAL_RANK" not in os.environ:
        parser.error("start it with torchrun --standalone --nproc-per-node 2")
    return options


def join_processes() -> torch.device:
    """Join the processes that torchrun started, and the device of this one."""
    if not torch.cuda.is_available():
        dist.init_process_group("gloo")
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(device)
    dist.init_process_group("nccl", device_id=device)
    return device


def load_class(folder: Path, name: str) -> type[nn.Module]:
    """The model of a generated module."""
    if not (folder / f"{name}.py").is_file():
        sys.exit(f"{folder / name}.py is missing: write it with `optode generate {name}`")
    sys.path.insert(0, str(folder))
    module = importlib.import_module(name)
    (node_class,) = (
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, nn.Module)
        and value.__module__ == module.__name__
    )
    return node_class


def task() -> TensorDataset:
    """Points of the plane, and where a vortex takes them: turned by an angle equal to their radius."""
    points = torch.randn(POINTS, 2)
    radius = points.norm(dim=1)
    (x, y), cos, sin = points.T, radius.cos(), radius.sin()
    return TensorDataset(points, torch.stack((cos * x - sin * y, sin * x + cos * y), dim=1))


def shard(network: nn.Module) -> nn.Module:
    """The network with its parameters sharded, and gathered once for each forward and backward pass.

    It is the whole network that is sharded, not the field: the field is called at every stage of the
    solve. Scalars cannot be sharded; every process keeps them, and their gradients are averaged.
    """
    scalars: set[Any] = {p for p in network.parameters() if p.ndim == 0}
    for scalar in scalars:
        scalar.register_post_accumulate_grad_hook(average_gradient)
    device = next(network.parameters()).device
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    fully_shard(network, mesh=mesh, ignored_params=scalars)
    return network


def average_gradient(parameter: Tensor) -> None:
    assert parameter.grad is not None
    dist.all_reduce(parameter.grad)
    parameter.grad /= dist.get_world_size()


def train(
    network: nn.Module,
    batches: DataLoader[tuple[Tensor, ...]],
    optimizer: torch.optim.Optimizer,
    device: torch.device,
) -> float:
    """One pass over the points: the mean squared error, over all processes."""
    total = torch.zeros(2, device=device)
    for batch in batches:
        points, targets = (x.to(device) for x in batch)
        loss = (network(points) - targets).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += torch.stack((loss.detach() * len(points), total.new_tensor(len(points))))
    dist.all_reduce(total)
    return float(total[0] / total[1])


if __name__ == "__main__":
    main()
