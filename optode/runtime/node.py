"""Define the base class of neural ODEs: their settings, and what can be done with them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .aliases import Inputs, Pull, Rates, Rests, Tensors, Times
from .automatic_grid import AutomaticGrid
from .evaluation.field import BoundField
from .evaluation.following import rests_of
from .integration import integrate
from .methods.catalogue import interpolation_for
from .parameters import unknown_argument
from .quadrature import Running
from .settings import equal_steps, settle
from .solution import Solution
from .times import Clock


class Node(nn.Module):
    """A neural ODE: states that move by equations with a network f in them.

    A subclass has ``States``, a named tuple of tensors, and ``equations``; ``initial_states`` where
    a solve may begin from the first state alone. Learned parameters of the equations are attributes
    named in ``learned_names``, in the order in which ``equations`` pulls their gradients.

    Methods that interpolate f need to know how the states follow from it. A state is driven,
    z' = L(t) z + rest, with numbers L over driven states and a rest that is interpolated as f is;
    or it is one of the ``followers``: in groups, each found by quadrature along the states before
    it. ``followers_see_f`` says whether a follower's rate has f in it. ``relative_degree`` is how
    many times f, or a rest with states in it, is integrated until it reaches a state that f or such
    a rest reads.

    Args:
        field: f, an nn.Module or another callable, called as f(t, h) or, where it takes one
            argument as nn.Sequential does, as f(h). It has to be deterministic, because backward
            passes evaluate it again.
        span: the start, where the initial states are given, and the end of time.
        method: a method of torchdiffeq. The steps of the explicit Runge-Kutta methods are taken
            here, always ending at the times; torchdiffeq takes those of the others, and of
            "torchdiffeq:dopri5". With "torchode:dopri5" (tsit5, heun) every sample of a batch has
            steps of its own. "interpolation3" to "interpolation8" evaluate f so many times a step,
            interpolate it in time, and solve the rest of the equations by collocation. "auto" takes
            one of them where f is integrated twice or more before f reads it again; the stats of a
            solution name the method.
        rtol: the relative tolerance of an adaptive method.
        atol: the absolute tolerance of an adaptive method.
        gradient: "discrete" is the exact gradient of the numerical solution, its steps held fixed,
            from the states stored at each step. "adjoint" integrates the adjoint system backwards:
            it stores no steps, but it is approximate, and unstable for stiff and for strongly
            damped systems, of which it warns. "autograd" goes back through the solver, and alone
            has second derivatives.
        options: steps (of equal size from one time to the next) or step_size, also for adaptive
            methods; first_step, min_step (taken whatever its error), max_step, max_steps, step_t
            and jump_t (times where steps end, and where the field jumps), norm, safety, ifactor and
            dfactor, as torchdiffeq describes them; keep, the bytes of graphs that "discrete" keeps
            rather than evaluate again. A method of torchdiffeq's own takes its options, and
            torchode's max_steps.
        grid: "auto" for as many steps as the tolerances ask, spread by the errors of the solves
            before: a solve whose estimated error is larger is repeated with more.
        compile: whether to compile the solve, or a mode of torch.compile.
        observe: "steps" ends a step at every time, "interpolate" reads the times between the ends
            of steps off a polynomial of at least the method's order minus one. By default fitted
            steps are read off where there are more than 32 intervals; the stats say which was done.

        running: a cost r(t, states, f), a tensor of any shape, whose integral from the start on is
            in the solution. f is the network at t, a function of the states it reads. The integral
            has no part in the choice of steps.
        record: whether the backward pass notes the costates dL/dz at the ends of steps in the
            stats of the solution, for "discrete" and "adjoint".

    Raises:
        ValueError: where settings, states, times or the field do not fit.
        FloatingPointError: where a state is not finite, or no step is short enough.
        RuntimeError: after max_steps.

    Gradients reach the states, the times and the parameters of this module. Methods (or
    attributes) callback_step, callback_accept_step and callback_reject_step are called in the
    forward pass as torchdiffeq describes them; those with _adjoint at the end of their names are
    called in the backward pass of gradient="adjoint".
    """

    States: ClassVar[Callable[..., Tensors]]
    state_names: ClassVar[tuple[str, ...]] = ()
    learned_names: ClassVar[tuple[str, ...]] = ()
    constant_names: ClassVar[tuple[str, ...]] = ()
    operator_names: ClassVar[tuple[str, ...]] = ()
    timeless_loss: bool | None = None
    singular_times: ClassVar[tuple[float, ...]] = ()
    singular_values: ClassVar[tuple[tuple[str, float], ...]] = ()
    followers: ClassVar[tuple[tuple[str, ...], ...]] = ()
    followers_see_f: ClassVar[bool] = False
    linear_only: ClassVar[tuple[str, ...]] = ()
    relative_degree: ClassVar[int] = 1
    regular_start: Callable[[Tensor, Tensor, Inputs], Tensors] | None = None
    start_evaluations: ClassVar[int] = 0
    branch_evaluations: ClassVar[int] = 0
    first_length: float | None = None

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        for name in ("vector_field", "linearize", "adjoint_field"):
            if name in vars(cls):
                raise TypeError(f"{cls.__name__}.{name} follows from equations: define those")
        if "States" in vars(cls):
            cls.state_names = tuple(getattr(cls.States, "_fields", ()))

    def __init__(
        self,
        field: Callable[..., Tensor],
        span: tuple[float, float] = (0.0, 1.0),
        method: str = "dopri5",
        rtol: float = 1e-5,
        atol: float = 1e-5,
        gradient: str = "discrete",
        options: Mapping[str, Any] | None = None,
        grid: str | None = None,
        compile: bool | str = False,
        observe: str | None = None,
        running: Running | None = None,
        record: bool = False,
        **unknown: Any,
    ) -> None:
        if unknown:
            raise unknown_argument(self, unknown)
        super().__init__()
        self.field = field
        self.span = span
        self.method, self.rtol, self.atol, self.gradient = method, rtol, atol, gradient
        self.options: Any = dict(options) if isinstance(options, Mapping) else options or {}
        self.grid, self.compiled, self.observe = grid, compile, observe
        self.running, self.record = running, record
        self.graph_bytes: dict[Hashable, int] = {}
        self.automatic_grid = AutomaticGrid()
        self.settled: list[object] = []
        self.timeless, self.compilations = False, 0
        settle(self)
        self.span = (float(span[0]), float(span[1]))

    def forward(self, states: Tensor | Tensors, t: Times = None, inputs: Inputs = None) -> Tensor:
        """Return the first state at the end of the span, or at the times t; see ``integrate``."""
        trajectory = self.integrate(states, t, inputs).states[0]
        last: Tensor = trajectory[-1] if t is None else trajectory
        return last

    def integrate(
        self, states: Tensor | Tensors, t: Times = None, inputs: Inputs = None
    ) -> Solution:
        """Return all states at the times t, by default both ends of the span, stacked.

        The states are the first one at the start, or a tuple of all states there. The times
        increase strictly and lie in the span. Times of shape (batch, n) are each sample's own: the
        first is its start, in the place of the span's, and one that repeats the time before holds
        the sample where it is. Inputs reach the field as its last argument: a tensor as it is, a
        function (or module) as its value at t.
        """
        return integrate(self, states, t, inputs)

    def initial_states(
        self, position: Tensor, inputs: Inputs = None, t: Tensor | None = None
    ) -> Tensors:
        """Return all states at the start of the span, or at t, from the first one.

        Raises ValueError, unless a subclass says how the other states start.
        """
        if len(self.state_names) == 1:
            return self.States(position)
        names = ", ".join(self.state_names)
        raise ValueError(f"give all states at the start of the span: {names}")

    def equations(self, t: Tensor, states: Tensors, field: BoundField) -> tuple[Tensors, Pull]:
        """Return the derivatives of the states, and the function that gives the costates'.

        ``pull`` takes costates to their derivatives -J^T c, and to the gradients by the learned
        parameters. A subclass has to define this.
        """
        raise NotImplementedError(f"{type(self).__name__} has no equations")

    def linear_part(self, t: Tensor) -> tuple[Rates, ...]:
        """Return the numbers L in z' = L z + rest at times t, of any shape: a row for each state.

        The row of a follower has no other than its own.
        """
        return ((0.0,) * len(self.state_names),) * len(self.state_names)

    def rests(self, t: Tensor, states: Tensors, field: BoundField) -> Rests:
        """Return the rests in z' = L z + rest, None for states of ``linear_only``.

        They call the field and operators in the order of ``equations``.
        """
        rates, _ = self.equations(t, states, field)
        return rests_of(rates, states, self.linear_part(t))

    def best_method(self, clock: Clock) -> str:
        """Return the method that "auto" takes, by the structure, the tolerance and the times.

        With times of each sample's own an interpolation has numbers for each: no saving of calls
        of f is worth that where steps are short, as from one observation to the next.
        """
        if self.relative_degree > 1 and clock.times.ndim == 1:
            return interpolation_for(self.rtol, equal_steps(self))
        return "rk4" if equal_steps(self) and self.rtol > 1e-3 else "tsit5"

    def vector_field(self, t: Tensor, states: Tensors, inputs: Inputs = None) -> Tensors:
        """Return the time derivatives of the states at time t."""
        return self.equations(t, states, BoundField(self, t, inputs))[0]

    def adjoint_field(
        self, t: Tensor, states: Tensors, costates: Tensors, inputs: Inputs = None
    ) -> Tensors:
        """Return the time derivatives of the costates at time t, without a graph."""
        return self.linearize(t, states, inputs)[1](costates)[0]

    @torch.no_grad()
    def linearize(
        self, t: Tensor, states: Tensors, inputs: Inputs = None, parameters: Tensors = ()
    ) -> tuple[Tensors, Callable[[Tensors], tuple[Tensors, Tensors]]]:
        """Return the derivatives of the states, and pull, from costates to their derivatives.

        It can be called once, with one vector-Jacobian product for each call of the field. It also
        returns the gradient per unit of time, with respect to the learned parameters of the
        equations and to the given parameters of the field.
        """
        field = BoundField(self, t, inputs, parameters)
        rates, pull_equations = self.equations(t, states, field)

        @torch.no_grad()
        def pull(costates: Tensors) -> tuple[Tensors, Tensors]:
            pulled, bars = pull_equations(costates)
            sources = (*(getattr(self, name) for name in self.learned_names), *parameters)
            found = zip((*bars, *field.bars), sources)
            return pulled, tuple(torch.zeros_like(p) if b is None else b for b, p in found)

        return rates, pull
