"""Two processes, each with half of a batch, get the gradient of the whole batch; the example trains.

This file is also the program that the two processes run.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import train_distributed
from fields import TanhField
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from torchdiffeq import odeint

from generated.heavy_ball import HBNODE

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = 2
STEPS = 12  # the adjoint gradient of so many is within 1e-6 of the discrete one


def build(gradient: str) -> HBNODE:
    """A heavy ball in float64, the same in every process."""
    torch.manual_seed(0)
    node = HBNODE(TanhField(3), method="rk4", gradient=gradient, options={"steps": STEPS})
    return node.double()


def batch() -> Tensor:
    return torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def loss_of(h: Tensor) -> Tensor:
    return h.square().mean()


# What each process does.

Solve = Callable[[Tensor], Tensor]


def copied(node: HBNODE) -> Solve:
    return DistributedDataParallel(node)


def node_sharded(node: HBNODE) -> Solve:
    """FSDP2 over the node: its parameters are gathered once a solve. It cannot shard scalars."""
    mesh = init_device_mesh("cpu", (PROCESSES,))
    fully_shard(node, mesh=mesh, ignored_params={node.raw_gamma})
    return node


def node_sharded_integrate(node: HBNODE) -> Solve:
    """The same for the other way to solve, of which FSDP has to be told."""
    node_sharded(node)
    register_fsdp_forward_method(node, "integrate")
    return lambda h: node.integrate(h).states.h[-1]


def field_sharded(node: HBNODE) -> Solve:
    """FSDP2 over the field: its parameters are whole only while the field is evaluated."""
    fully_shard(node.field, mesh=init_device_mesh("cpu", (PROCESSES,)))
    return node


def layers_sharded(node: HBNODE) -> Solve:
    """FSDP2 over every layer and the node, as large networks are sharded."""
    for layer in (node.field.inner, node.field.outer):
        fully_shard(layer, mesh=init_device_mesh("cpu", (PROCESSES,)))
    return node_sharded(node)


GRADIENTS = ("discrete", "adjoint", "autograd")
# FSDP2 of PyTorch 2.10 does not gather the parameters of a step that is taken again on the way back.
GATHERED_AGAIN = ("discrete",) if torch.__version__ >= (2, 13) else ()
CASES = {
    copied: GRADIENTS,
    node_sharded: GRADIENTS,
    node_sharded_integrate: ("discrete",),
    field_sharded: (*GATHERED_AGAIN, "adjoint", "autograd"),
    layers_sharded: (*GATHERED_AGAIN, "adjoint"),
}
EVERY_CASE = [(wrap, gradient) for wrap, gradients in CASES.items() for gradient in gradients]
Found = dict[tuple[str, str], "dict[str, Tensor] | str"]


def run(path: Path) -> None:
    """Every case's gradients, or the words with which it is refused, to the path; then the example."""
    found: Found = {}
    for wrap, gradient in EVERY_CASE:
        node = build(gradient)
        solve = wrap(node)
        part = batch().chunk(PROCESSES)[dist.get_rank()]
        try:
            for _ in range(2):  # the second finds what the first may leave behind
                node.zero_grad()
                loss_of(solve(part)).backward()
            found[wrap.__name__, gradient] = {
                name: whole(p.grad) for name, p in node.named_parameters()
            }
        except ValueError as error:
            found[wrap.__name__, gradient] = str(error)
    if dist.get_rank() == 0:
        torch.save(found, path)
    options = {"model": "heavy_ball", "gradient": "adjoint", "fsdp": True, "epochs": 4}
    train_distributed.run(
        argparse.Namespace(generated=ROOT / "generated", **options), torch.device("cpu")
    )


def whole(gradient: Tensor) -> Tensor:
    """A gradient as one tensor; what is not sharded is averaged (again, where it was)."""
    if isinstance(gradient, DTensor):
        return gradient.full_tensor()
    mean = gradient.clone()
    dist.all_reduce(mean)
    return mean / PROCESSES


# What is expected of them.


def torchrun(program: Path, *options: str) -> str:
    launch = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={PROCESSES}")
    path = os.pathsep.join(map(str, (ROOT, ROOT / "examples", ROOT / "tests")))
    done = subprocess.run(
        (sys.executable, *launch, str(program), *options),
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_loss_falls(text: str) -> None:
    losses = [float(loss) for loss in re.findall(r"loss (\S+)", text)]
    assert len(losses) == 4
    assert losses[-1] < 0.8 * losses[0]


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> tuple[Found, str]:
    path = tmp_path_factory.mktemp("distributed") / "gradients.pt"
    text = torchrun(Path(__file__), str(path))
    return torch.load(path), text


@pytest.fixture(scope="module")
def expected() -> dict[str, Tensor]:
    """One process, the whole batch, equations typed by hand, torchdiffeq and automatic differentiation."""
    node = build("autograd")

    def heavy_ball(t, states):
        h, m = states
        return m, -torch.sigmoid(node.raw_gamma) * m + node.field(t, h)

    h0, times = batch(), torch.tensor([0.0, 1.0], dtype=torch.float64)
    options = {"step_size": 1 / STEPS}
    h, _ = odeint(heavy_ball, (h0, torch.zeros_like(h0)), times, method="rk4", options=options)
    loss_of(h[-1]).backward()
    return {name: p.grad for name, p in node.named_parameters()}


@pytest.mark.parametrize(("wrap", "gradient"), EVERY_CASE)
def test_gradient_of_the_whole_batch(wrap, gradient, ran, expected):
    found = ran[0][wrap.__name__, gradient]
    if gradient == "adjoint" and wrap in (field_sharded, layers_sharded):
        assert "shard the node" in found
        return
    tolerance = 1e-6 if gradient == "adjoint" else 1e-12
    for name, wanted in expected.items():
        error = (found[name] - wanted).norm() / wanted.norm()
        assert error < tolerance, name


def test_example_trains():
    text = torchrun(ROOT / "examples" / "train_distributed.py", "--epochs", "4")
    assert_loss_falls(text)


def test_example_trains_with_sharded_parameters(ran):
    assert_loss_falls(ran[1])


if __name__ == "__main__":
    dist.init_process_group("gloo")
    run(Path(sys.argv[1]))
    # only now: gloo may wait forever where a DistributedDataParallel outlives its processes, and
    # now and then aborts one that leaves before the others or while its threads end
    dist.barrier()
    dist.destroy_process_group()
    sys.stdout.flush()
    os._exit(0)
