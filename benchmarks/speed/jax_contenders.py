"""Solve the equations, written by hand in JAX, with diffrax."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from benchmarks.speed.cases import Problem
from benchmarks.speed.contender import (
    CHAIN,
    STEPS,
    TOLERANCES,
    Bare,
    Contender,
    Setting,
    Step,
    Work,
)

if TYPE_CHECKING:
    import jax

Parameters = dict[str, Any]


def configure(double: bool, device: str) -> bool:
    """Set precision and device before the first array; return whether JAX has the device."""
    jax = import_module("jax")
    jax.config.update("jax_enable_x64", double)
    jax.config.update("jax_platforms", device)
    try:
        jax.devices()
    except RuntimeError:
        return False
    return True


def network(parameters: Parameters, h: Any) -> Any:
    """Return f(t, h) of cases.Field, with its parameters by name."""
    import jax.numpy as jnp

    names = sorted(name for name in parameters if name.endswith(".weight"))
    for i, name in enumerate(names):
        weight, bias = parameters[name], parameters[name.replace("weight", "bias")]
        h = h if i == 0 else jnp.tanh(h)
        applied = h @ weight.T if weight.ndim == 2 else convolution(h, weight)
        h = applied + bias.reshape(-1, *[1] * (h.ndim - 2))
    return h


def convolution(h: Any, weight: Any) -> Any:
    """Convolve as nn.Conv2d with padding that keeps the sides, a product of matrices for each tap.

    In the loops of a solve XLA's own convolution takes far longer on a CPU, and its VJP.
    """
    import jax.numpy as jnp

    (rows, columns), (height, width) = h.shape[2:], weight.shape[2:]
    across, down = (width // 2,) * 2, (height // 2,) * 2
    padded = jnp.pad(h, ((0, 0), (0, 0), down, across))
    return sum(
        jnp.einsum("oc,nchw->nohw", weight[:, :, i, j], padded[:, :, i : i + rows, j : j + columns])
        for i in range(height)
        for j in range(width)
    )


def rates(model: str, t: Any, states: Any, parameters: Parameters, f: Callable[..., Any]) -> Any:
    """Return the rates of equations.py, in JAX."""
    from jax.nn import sigmoid, softplus
    from jax.numpy import sqrt, tanh

    h, m, *rest = states
    force, p = f(parameters, h), parameters
    if model == "HBNODE":
        return m, -sigmoid(p["raw_gamma"]) * m + force
    if model == "GHBNODE":
        return tanh(m), -sigmoid(p["raw_gamma"]) * m - softplus(p["raw_xi"]) * h + force
    if model == "NesterovNODE":
        return m, -3 / t * m + force
    (v,) = rest
    alpha, beta = sigmoid(p["raw_alpha"]), sigmoid(p["raw_beta"])
    return -m / (sqrt(v) + 1e-8), alpha * (-force - m), beta * (force**2 - v)


RAW = {
    "HBNODE": {"raw_gamma": -3.0},
    "GHBNODE": {"raw_gamma": -3.0, "raw_xi": 2.0},
    "AdamNODE": {"raw_alpha": 3.0, "raw_beta": 3.0},
    "NesterovNODE": {},
}


def arrays(problem: Problem) -> Parameters:
    """Return weights and learned parameters as JAX arrays, by their names in PyTorch, and h0."""
    import jax.numpy as jnp

    given = {f"field.{name}": x for name, x in problem.weights.items()} | {"h0": problem.h0}
    found = {name: jnp.asarray(x.cpu().numpy()) for name, x in given.items()}
    return found | {
        name: jnp.asarray(x, found["h0"].dtype) for name, x in RAW[problem.model].items()
    }


def noticed(counts: Counter[str]) -> Callable[[Any], Any]:
    """Return an identity that counts evaluations forward and cotangents backward."""
    import jax

    def note(event: str) -> None:
        jax.debug.callback(lambda: counts.update([event]))

    @jax.custom_vjp
    def passed(f: Any) -> Any:
        note("plain")
        return f

    def forward(f: Any) -> tuple[Any, None]:
        note("recorded")
        return f, None

    def backward(_: None, cotangent: Any) -> tuple[Any]:
        note("pullbacks")
        return (cotangent,)

    passed.defvjp(forward, backward)
    return passed


class DiffraxStep(Step):
    """Compiled functions of the arrays and of the size: a tolerance, or a step's length."""

    def __init__(self, contender: Diffrax, problem: Problem, setting: Setting) -> None:
        import jax.numpy as jnp

        self.contender, self.problem = contender, problem
        self.train, self.solve = contender.functions(problem)
        self.given = arrays(problem)
        adaptive = setting.kind == "tolerance"
        size = setting.value if adaptive else setting.length(problem.span)
        self.size = jnp.asarray(size, self.given["h0"].dtype)

    def __call__(self) -> tuple[jax.Array, Mapping[str, jax.Array]]:
        import jax

        loss, gradients = jax.block_until_ready(self.train(self.given, self.size))
        return loss, gradients

    def forward(self) -> jax.Array:
        return self.solve(self.given, self.size).block_until_ready()

    def work(self) -> Work:
        import jax

        counts: Counter[str] = Counter()
        seen = noticed(counts)
        train, _ = self.contender.compiled(self.problem, lambda p, h: seen(network(p, h)))
        jax.block_until_ready(train(self.given, self.size))
        jax.effects_barrier()
        pullbacks = counts["pullbacks"]
        # checkpointing takes back every evaluation once; it evaluates anew what it takes back
        backsolve = self.contender.adjoint == "BacksolveAdjoint"
        forward = counts["plain"] if backsolve else pullbacks
        return Work(forward, pullbacks, pullbacks, forward, pullbacks)

    def peak_bytes(self) -> int | None:
        """Return what XLA sets aside for temporaries and results."""
        memory = self.train.lower(self.given, self.size).compile().memory_analysis()
        return int(memory.temp_size_in_bytes + memory.output_size_in_bytes)


class Diffrax(Contender):
    """diffeqsolve under jax.jit."""

    peer, form, needs = "diffrax", "jit", ("jax", "diffrax")

    def __init__(self, adjoint: str, method: str, steps: bool = False) -> None:
        kind = adjoint.removesuffix("Adjoint")
        self.name = f"diffrax {kind}, {method}" + ", fixed" * steps
        self.adjoint, self.method, self.steps = adjoint, method, steps
        self.ladder = STEPS if steps else TOLERANCES
        self.latest: tuple[Problem | None, Any] = (None, None)

    def prepare(self, problem: Problem, setting: Setting) -> Step:
        return DiffraxStep(self, problem, setting)

    def functions(self, problem: Problem) -> Any:
        """Return the compiled functions; all settings share them."""
        if self.latest[0] is not problem:
            self.latest = (problem, self.compiled(problem, network))
        return self.latest[1]

    def compiled(self, problem: Problem, f: Callable[..., Any]) -> tuple[Any, Any]:
        """Build functions for the loss with its gradients, and for h at the end."""
        import diffrax
        import jax
        import jax.numpy as jnp

        target = jnp.asarray(problem.target.cpu().numpy())
        solver = getattr(diffrax, self.method)()
        adjoint = getattr(diffrax, self.adjoint)()
        field = partial(rates, problem.model)
        term = diffrax.ODETerm(lambda t, states, p: field(t, states, p, f))

        def solve(given: Parameters, size: Any) -> Any:
            h0 = given["h0"]
            states = (h0, jnp.zeros_like(h0), jnp.ones_like(h0))
            states = states if problem.model == "AdamNODE" else states[:2]
            control = diffrax.PIDController(rtol=size, atol=size)
            solution = diffrax.diffeqsolve(
                term,
                solver,
                *problem.span,
                dt0=size if self.steps else None,
                y0=states,
                args=given,
                saveat=diffrax.SaveAt(t1=True),
                stepsize_controller=diffrax.ConstantStepSize() if self.steps else control,
                adjoint=adjoint,
                throw=False,  # a solve that fails is seen by its gradient; the check costs time
            )
            return solution.ys[0][0]

        def loss(given: Parameters, size: Any) -> Any:
            return jnp.square(solve(given, size) - target).mean()

        return jax.jit(jax.value_and_grad(loss)), jax.jit(solve)

    def bare(self, problem: Problem) -> Bare:
        import jax
        import jax.numpy as jnp

        given = arrays(problem)

        def chain(given: Parameters) -> Any:
            h = given["h0"]
            for _ in range(CHAIN):
                h = network(given, h)
            return h

        def pulled(given: Parameters) -> Any:
            f, pull = jax.vjp(chain, given)
            return pull(jnp.ones_like(f))

        forward, both = jax.jit(chain), jax.jit(pulled)

        def plain() -> Any:
            return forward(given).block_until_ready()

        return Bare(plain, plain, lambda: jax.block_until_ready(both(given)), CHAIN)
