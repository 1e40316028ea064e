"""What a field may be, and what it may do: right results, or a refusal that names the cause."""

from __future__ import annotations

import functools
from collections import namedtuple

import pytest
import torch
from fields import TanhField
from torch import nn
from torch.nn.utils import parametrizations, parametrize
from torch.optim.swa_utils import AveragedModel
from ways import LOOSE, WAYS, every_way, every_way_apart

from generated.adam import AdamNODE
from generated.extragradient import ExtragradientNODE
from generated.gradient_descent import NODE
from generated.heavy_ball import HBNODE

pytestmark = pytest.mark.usefixtures("float64")

GRADIENTS = ("autograd", "discrete", "adjoint")
APART = GRADIENTS[1:]
every_gradient_apart = pytest.mark.parametrize("gradient", APART)
MODES = {"no_grad": torch.no_grad, "inference_mode": torch.inference_mode}
every_mode = pytest.mark.parametrize("mode", MODES)


class Written(nn.Module):
    """A field by a function of (its layer, t, h, inputs)."""

    def __init__(self, function, **modules: nn.Module) -> None:
        super().__init__()
        self.function, self.layer = function, nn.Linear(3, 3)
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, t, h, *inputs):
        return self.function(self.layer, t, h, *inputs)


def start(*shape: int) -> torch.Tensor:
    return torch.randn(*(shape or (4, 3)))


def agrees(make, inputs=None, **settings) -> bool:
    """Whether "discrete" has autograd's states and gradients, and "adjoint" nearly so."""
    x, found = start(), []
    for gradient in GRADIENTS:
        torch.manual_seed(1)
        node = HBNODE(make(), gradient=gradient, **settings)
        at = x.clone().requires_grad_()
        out = node(at, inputs=inputs)
        out.square().sum().backward()
        bars = [p.grad.to_dense() for p in node.field.parameters()]
        found.append((out.detach(), at.grad, *bars))
    right, *others = found
    return all(
        torch.allclose(bar, expected, rtol=tolerance, atol=tolerance)
        for other, tolerance in zip(others, (1e-9, 1e-2), strict=True)
        for bar, expected in zip(other, right, strict=True)
    )


# How it is called


class Method:
    """Objects and methods as fields."""

    def __call__(self, t, h):
        return -t * h

    def method(self, t, h):
        return -t * h

    @staticmethod
    def static(t, h):
        return -t * h

    @classmethod
    def of_class(cls, t, h):
        return -t * h


def defaults(t, h, scale=-1.0):
    return scale * t * h


def falling(t: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    return -t * h


OF_TIME = {
    "lambda": lambda t, h: -t * h,
    "any number": lambda *arguments: -arguments[0] * arguments[1],
    "default": defaults,
    "keyword": lambda t, h, *, scale=-1.0: scale * t * h,
    "partial": functools.partial(lambda scale, t, h: scale * t * h, -1.0),
    "partial by name": functools.partial(defaults, scale=-1.0),
    "object": Method(),
    "method": Method().method,
    "static": Method.static,
    "class method": Method.of_class,
    "wrapped": functools.wraps(defaults)(defaults),
    "scripted": falling,
    "module of functions": Written(lambda layer, t, h: -t * h),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", OF_TIME)
def test_a_function_of_time_and_state(name):
    """h' = -t h has the solution exp(-t**2/2)."""
    field = torch.jit.script(falling) if name == "scripted" else OF_TIME[name]
    found = NODE(field)(torch.ones(2, 3))
    torch.testing.assert_close(found, torch.full((2, 3), -0.5).exp(), rtol=1e-5, atol=1e-6)


class HandsOn(nn.Module):
    """A wrapper as those of other libraries: whatever it is given goes to the module inside."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, *arguments, **named):
        return self.module(*arguments, **named)


OF_STATE = {
    "module": lambda: nn.Sequential(nn.Linear(3, 3), nn.Tanh()),
    "compiled": lambda: torch.compile(nn.Sequential(nn.Linear(3, 3)), backend="eager"),
    "scripted": lambda: torch.jit.script(nn.Sequential(nn.Linear(3, 3))),
    "parallel": lambda: nn.DataParallel(nn.Sequential(nn.Linear(3, 3))),
    "averaged": lambda: AveragedModel(nn.Sequential(nn.Linear(3, 3))),
    "wrapped": lambda: HandsOn(HandsOn(nn.Linear(3, 3))),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", OF_STATE)
def test_a_module_of_the_state_alone(name):
    """Called as f(h); a function around it has the same solution and gradients."""
    field, x = OF_STATE[name](), start().requires_grad_()
    known = (x, *field.parameters())
    found = HBNODE(field)(x)
    expected = HBNODE(Written(lambda layer, t, h: field(h), field=field), gradient="autograd")(x)
    torch.testing.assert_close(found, expected)
    bars = torch.autograd.grad(found.sin().sum(), known, allow_unused=True)
    right = torch.autograd.grad(expected.sin().sum(), known, allow_unused=True)
    torch.testing.assert_close(bars, right)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (lambda: 0.0, "called with 2 arguments"),
        (lambda t, h, u: h, "called with 2 arguments"),
        (lambda t, h, *, scale: h, "called with 2 arguments"),
        (torch.tanh, "called with 2 arguments"),
        (TanhField, "field must be callable"),
        (lambda t, h: (h, h), "field must return shape .* got tuple"),
        (lambda t, h: 0.0, "field must return shape .* got float"),
        (lambda t, h: None, "field must return shape .* got NoneType"),
        (lambda t, h: h[:1], r"got \(1, 3\)"),
        (lambda t, h: h.long(), "got .*int64"),
        (lambda t, h: h + 0j, "got .*complex"),
    ],
)
def test_a_field_that_does_not_fit_is_refused_by_name(field, words):
    with pytest.raises(ValueError, match=words):
        NODE(field)(start())


def test_a_type_error_inside_of_the_field_stays_what_it_is():
    with pytest.raises(TypeError, match="unsupported operand"):
        NODE(lambda t, h: h + "a")(start())


def test_inputs_that_the_field_does_not_take_are_refused():
    for field in (nn.Linear(3, 3), lambda t, h: h):
        with pytest.raises(ValueError, match="inputs where there are any, which it does not take"):
            NODE(field)(start(), inputs=start())


Pair = namedtuple("Pair", "shift scale")


@every_way_apart
def test_inputs_of_every_kind_have_gradients(way):
    """A tensor, a tuple, one with names, and a module; a function of time has none of its own."""

    def gradients(field, inputs, known):
        node = WAYS[way](Written(field))
        right = type(node)(node.field, node.span, rtol=1e-3, atol=1e-3, gradient="autograd")
        right.method, right.options = node.method.removeprefix("torchdiffeq:"), node.options
        if way == "automatic grid":
            right.method, right.options = "interpolation8", {}
        right.load_state_dict(node.state_dict(), strict=False)
        x = torch.linspace(-1, 1, 12).view(4, 3)
        return [torch.autograd.grad(n(x, inputs=inputs).sin().sum(), known) for n in (node, right)]

    u, w = start().requires_grad_(), start().requires_grad_()
    control = Written(lambda layer, t, h: torch.tanh(layer(h) * t))
    weights = tuple(control.layer.parameters())
    cases = (
        (lambda layer, t, h, u: torch.tanh(layer(h) + u), u, (u,)),
        (lambda layer, t, h, u: torch.tanh(layer(h) * u[0] + u[1]), (u, w), (u, w)),
        (lambda layer, t, h, u: torch.tanh(layer(h) * u.scale + u.shift), Pair(u, w), (u, w)),
        (lambda layer, t, h, u: torch.tanh(layer(h) + u[0]), (u, torch.arange(4)), (u,)),
        (lambda layer, t, h, u: layer(h) + u, Control(control), weights),
    )
    for field, inputs, known in cases:
        found, expected = gradients(field, inputs, known)
        torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)


class Control(nn.Module):
    """A function of time by a network of it and of fixed features."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.register_buffer("features", torch.linspace(0, 1, 12).view(4, 3))

    def forward(self, t):
        return self.network(t, self.features)


@pytest.mark.parametrize(
    "inputs", [[torch.ones(4, 3)], {"a": torch.ones(4, 3)}, 1.0, "u", (1.0,), ((),)]
)
def test_inputs_of_other_kinds_are_refused(inputs):
    with pytest.raises(ValueError, match="inputs must be a tensor, a tuple of tensors, or"):
        NODE(lambda t, h, u: h)(start(), inputs=inputs)


# Shared memory


class Ring(nn.Module):
    """A field that writes its values into a few buffers in turn, as captured graphs do."""

    def __init__(self, size: int, view: bool = False) -> None:
        super().__init__()
        self.layer, self.turn, self.view = nn.Linear(3, 3), 0, view
        self.memory = torch.zeros(size, 4, 3)

    def fresh(self, t, h):
        return -30 * (1 + torch.sin(20 * t)) * h + self.layer(h)

    def forward(self, t, h):
        self.turn = (self.turn + 1) % len(self.memory)
        place = self.memory[self.turn]
        place.copy_(self.fresh(t, h).detach())
        return place.view(-1).view(4, 3) if self.view else place


KEPT = {
    "rejected steps": lambda f: NODE(f, options={"first_step": 0.5}),
    "first step": NODE,
    "interpolation": lambda f: HBNODE(f, method="interpolation5", options={"steps": 3}),
    "fitted interpolation": lambda f: HBNODE(f, method="interpolation3", **LOOSE),
    "followers": lambda f: AdamNODE(f, method="interpolation4", options={"steps": 3}),
    "two calls": lambda f: ExtragradientNODE(f, **LOOSE),
    "torchdiffeq": lambda f: NODE(f, method="torchdiffeq:dopri5", **LOOSE),
    "interpolate": lambda f: NODE(f, observe="interpolate", **LOOSE),
    "running": lambda f: NODE(f, running=lambda t, states, f: f(states[0]), **LOOSE),
}


@every_mode
@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("kept", KEPT)
def test_a_field_may_write_its_values_to_memory_of_its_own(kept, size, mode):
    """What a method keeps of an evaluation is not what a later one has written there."""
    field, x = Ring(size, view=size == 3), start()
    with MODES[mode]():
        found = KEPT[kept](field).integrate(x, (0.0, 0.4, 1.0))
        expected = KEPT[kept](field.fresh).integrate(x, (0.0, 0.4, 1.0))
    torch.testing.assert_close(found.states, expected.states)
    if found.running is not None:
        torch.testing.assert_close(found.running, expected.running)


def test_a_field_may_return_its_state_or_what_is_not_its_own():
    """An identity, and a value that is one number in memory."""
    for node in (NODE, HBNODE):
        for field in (lambda t, h: h, lambda t, h: torch.ones(()).expand_as(h)):
            x = start().requires_grad_()
            copied = node(lambda t, h, f=field: f(t, h).clone())
            found, expected = node(field)(x), copied(x)
            torch.testing.assert_close(found, expected)
            found.sum().backward()


CHANGES = {
    "state": lambda layer, t, h, u: layer(h.mul_(0.5)),
    "view of the state": lambda layer, t, h, u: layer(h[0].add_(1.0).expand_as(h)),
    "time": lambda layer, t, h, u: layer(h) * t.mul_(0.5),
    "inputs": lambda layer, t, h, u: layer(h) + u[0].add_(1.0),
}


@every_mode
@pytest.mark.parametrize("what", CHANGES)
def test_a_field_that_changes_what_it_is_given_is_refused(what, mode):
    for make in (NODE, HBNODE, lambda f: HBNODE(f, method="interpolation5")):
        node, x, u = make(Written(CHANGES[what])), start(), (start(),)
        kept = x.clone()
        with MODES[mode](), pytest.raises(ValueError, match="in place"):
            node(x, inputs=u)
        assert torch.equal(x, kept)


@every_way
def test_a_field_that_changes_its_state_is_refused_with_gradients_too(way):
    """By PyTorch where it sees that first."""
    with pytest.raises((ValueError, RuntimeError), match=r"in.?place"):
        WAYS[way](Written(lambda layer, t, h: layer(h.mul_(0.5))))(start().requires_grad_())


# Values from before


class Memo(nn.Module):
    """A field whose weight is computed when it is asked for first, and kept."""

    def __init__(self) -> None:
        super().__init__()
        self.raw, self.kept = nn.Parameter(torch.randn(3, 3)), None

    def forward(self, t, h):
        if self.kept is None:
            self.kept = torch.linalg.matrix_exp(self.raw - self.raw.mT)
        return torch.tanh(h @ self.kept)


@every_gradient_apart
@pytest.mark.parametrize("prepared", [False, True])
def test_a_kept_weight_is_refused_by_the_name_of_its_parameter(gradient, prepared):
    """Computed in the first evaluation, or before the solve; at every call, not the first alone."""
    node = HBNODE(Memo(), gradient=gradient)
    if prepared:
        node.field(torch.zeros(()), start())
    for _ in range(2):
        with pytest.raises(ValueError, match=r"computed from field.raw before.*autograd"):
            node(start())
    node.gradient, node.field.kept = "autograd", None
    node(start()).sum().backward()
    assert node.field.raw.grad.any()


@every_gradient_apart
def test_weights_of_parametrizations_are_computed_anew_or_refused(gradient):
    node = HBNODE(nn.Sequential(parametrizations.orthogonal(nn.Linear(3, 3))), gradient=gradient)
    with (
        pytest.raises(ValueError, match=r"computed from field.0.parametrizations"),
        parametrize.cached(),
    ):
        node(start())
    with parametrize.cached(), torch.no_grad():
        value = node(start(4, 3))
    assert value.isfinite().all()
    node(start()).sum().backward()
    assert node.field[0].parametrizations.weight.original.grad.any()


def within_one_evaluation() -> nn.Module:
    """A field that caches its weight while it is evaluated, and no longer."""
    layer = parametrizations.orthogonal(nn.Linear(3, 3))

    class Cached(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, t, h):
            with parametrize.cached():
                return torch.tanh(self.layer(torch.tanh(self.layer(h))))

    return Cached()


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    "make",
    [
        within_one_evaluation,
        lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 3)), nn.Tanh()),
        lambda: nn.Sequential(nn.utils.weight_norm(nn.Linear(3, 3)), nn.Tanh()),
        lambda: nn.Sequential(parametrizations.orthogonal(nn.Linear(3, 3)), nn.Tanh()),
        lambda: nn.Sequential(parametrizations.spectral_norm(nn.Linear(3, 3)), nn.Tanh()).eval(),
        lambda: nn.Sequential(nn.utils.spectral_norm(nn.Linear(3, 3)), nn.Tanh()).eval(),
        lambda: nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).eval(),
        lambda: nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.0)).train(),
        lambda: nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3), nn.SiLU()),
        lambda: Written(lambda layer, t, h: layer(h).tanh_()),
    ],
)
def test_fields_of_usual_layers_have_the_gradients_of_autograd(make):
    assert agrees(make)


# Tensors that no gradient would reach


class Conditioned(nn.Module):
    """A field with a plain attribute that may need a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.condition = nn.Linear(3, 3), torch.zeros(3)

    def forward(self, t, h):
        return torch.tanh(self.layer(h) + self.condition)


@every_way_apart
def test_a_tensor_of_elsewhere_is_refused_whenever_it_needs_a_gradient(way):
    """After calls where it did not, and of leaves as of what is computed."""
    node, x = WAYS[way](Conditioned()), start()
    node(x).sum().backward()
    for condition in (torch.ones(3).requires_grad_(), 2 * torch.ones(3).requires_grad_()):
        node.field.condition = condition
        for _ in range(2):
            with pytest.raises(ValueError, match="register it, give it as inputs"):
                node(x)
        with torch.no_grad():
            node(x)
    node.field.condition = node.field.condition.detach()
    node(x).sum().backward()


@every_gradient_apart
def test_a_field_in_a_closure_is_refused(gradient):
    """Its parameters are no parameters of the node."""
    layer = nn.Linear(3, 3)
    with pytest.raises(ValueError, match="register it"):
        HBNODE(lambda t, h: layer(h), gradient=gradient)(start())
    with pytest.raises(ValueError, match="register it"):
        HBNODE(lambda t, h, u: h + u, gradient=gradient)(start(), inputs=lambda t: layer(t * h0))
    layer.requires_grad_(False)
    HBNODE(lambda t, h: layer(h), gradient=gradient)(start())


h0 = torch.ones(4, 3, dtype=torch.float64)


# Chance, and buffers


RANDOM = {
    "dropout": lambda: nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)).train(),
    "rrelu": lambda: nn.Sequential(nn.Linear(3, 3), nn.RReLU()).train(),
    "noise": lambda: Written(lambda layer, t, h: layer(h) + torch.randn_like(h)),
    "attention": lambda: nn.TransformerEncoderLayer(3, 1, 4, dropout=0.1).train(),
}


@every_way_apart
def test_chance_is_refused_after_one_evaluation(way):
    """With gradients and without, at every call."""
    for make in RANDOM.values():
        node, calls = WAYS[way](make()), []
        node.field.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        for mode in (torch.enable_grad, torch.no_grad, torch.inference_mode, torch.enable_grad):
            calls.clear()
            with mode(), pytest.raises(ValueError, match=r"random numbers.*eval\(\).*inputs"):
                node(start())
            assert len(calls) == 1


def test_chance_in_the_inputs_is_refused():
    control = Control(Written(lambda layer, t, h: nn.functional.dropout(layer(h))))
    with pytest.raises(ValueError, match="random numbers"):
        HBNODE(lambda t, h, u: h + u)(start(), inputs=control)


def test_chance_is_seen_after_a_change_of_mode():
    node = HBNODE(RANDOM["dropout"]().eval())
    node(start()).sum().backward()
    node.train()
    with pytest.raises(ValueError, match="random numbers"):
        node(start())


class Counts(nn.Module):
    """A field that counts its calls in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, t, h):
        self.calls += 1
        return self.layer(h)


CHANGING = {
    "num_batches_tracked": lambda: nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).train(),
    "running_mean": lambda: nn.Sequential(
        nn.Linear(3, 3), nn.InstanceNorm1d(4, track_running_stats=True)
    ).train(),
    "_u": lambda: nn.Sequential(parametrizations.spectral_norm(nn.Linear(3, 3))).train(),
    "weight_u": lambda: nn.Sequential(nn.utils.spectral_norm(nn.Linear(3, 3))).train(),
    "calls": lambda: Counts().eval(),
}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@every_mode
@pytest.mark.parametrize("buffer", CHANGING)
def test_changed_buffers_are_refused_by_name_and_put_back(buffer, mode):
    """At every call; under autograd they may change."""
    if buffer == "running_mean":
        buffer = "(num_batches_tracked|running_mean)"
        field = CHANGING["running_mean"]()
    else:
        field = CHANGING[buffer]()
    for settings in ({}, {"gradient": "adjoint"}, {"method": "interpolation5"}):
        node = HBNODE(field, **settings)
        before = {name: x.clone() for name, x in node.state_dict().items()}
        for context in (torch.enable_grad, MODES[mode]):
            with context(), pytest.raises(ValueError, match=f"changes its buffer {buffer}"):
                node(start())
            after = node.state_dict()
            assert all(torch.equal(x, after[name]) for name, x in before.items())


def test_buffers_that_are_made_in_the_first_evaluation_are_no_change():
    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 3)
            self.register_buffer("places", None, persistent=False)

        def forward(self, t, h):
            if self.places is None:
                self.places = torch.arange(3.0)
            return torch.tanh(self.layer(h) + self.places)

    assert agrees(Positions)


# Tensors of other kinds


LAYOUTS = {"coo": torch.Tensor.to_sparse, "csr": torch.Tensor.to_sparse_csr}


@pytest.mark.filterwarnings("ignore:Sparse CSR")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("method", ["dopri5", "interpolation3"])
def test_sparse_matrices_in_a_field(layout, method):
    """As buffers and as inputs, kept or not, with the gradients of autograd."""
    matrix = LAYOUTS[layout](torch.eye(4) + torch.diag(torch.ones(3), 1))

    class Graph(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 3)
            self.register_buffer("matrix", matrix)

        def forward(self, t, h):
            return torch.tanh(self.layer(self.matrix @ h))

    given = lambda: Written(lambda layer, t, h, u: torch.tanh(layer(u @ h)))  # noqa: E731
    for options in ({}, {"keep": 0}):
        assert agrees(Graph, method=method, options=options)
        assert agrees(given, matrix, method=method, options=options)


def test_gradients_may_be_sparse():
    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(5, 3, sparse=True)
            self.register_buffer("rows", torch.tensor([0, 1, 1, 3]))

        def forward(self, t, h):
            return torch.tanh(self.table(self.rows) + h)

    assert agrees(Table)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_lazy_modules_get_their_shapes_without_gradients_first(gradient):
    node = HBNODE(nn.Sequential(nn.LazyLinear(3), nn.Tanh()), gradient=gradient)
    if gradient != "autograd":
        with pytest.raises(ValueError, match=r"lazy parameters.*call it once"):
            node(start())
    with torch.no_grad():
        node(start())
    node(start()).sum().backward()
    assert node.field[0].weight.grad.any()


# Derivatives within a field


class Energy(nn.Module):
    """The gradient of a learned function, as in Hamiltonian and score networks."""

    def __init__(self, by_func: bool) -> None:
        super().__init__()
        self.energy = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1, bias=False))
        self.by_func = by_func

    def forward(self, t, h):
        if self.by_func:
            return torch.func.grad(lambda x: self.energy(x).sum())(h)
        with torch.enable_grad():
            x = h if h.requires_grad else h.detach().requires_grad_()
            return torch.autograd.grad(self.energy(x).sum(), x, create_graph=True)[0]


@pytest.mark.parametrize("by_func", [True, False])
@pytest.mark.parametrize("method", ["dopri5", "interpolation3"])
def test_a_field_may_differentiate(by_func, method):
    assert agrees(lambda: Energy(by_func), method=method, **LOOSE)
    node = HBNODE(Energy(by_func), method=method)
    with torch.no_grad():
        assert node(start()).isfinite().all()


def test_a_field_may_use_other_transforms():
    """A Jacobian, a batched map and a directional derivative of its layer."""

    def jacobians(layer, t, h):
        matrices = torch.func.vmap(torch.func.jacrev(lambda x: torch.tanh(layer(x))))(h)
        return (matrices @ h[..., None])[..., 0]

    def along(layer, t, h):
        return torch.func.jvp(lambda x: torch.tanh(layer(x)), (h,), (h,))[1]

    assert agrees(lambda: Written(jacobians))
    assert agrees(lambda: Written(along))


@every_way_apart
def test_a_field_without_a_gradient_has_none(way):
    """What is detached, or computed without gradients, has no part in it."""
    x = start().requires_grad_()
    for field in (lambda t, h: h.detach().sin(), torch.no_grad()(lambda t, h: h.sin())):
        node = WAYS[way](field)
        (bar,) = torch.autograd.grad(node(x).sum(), x)
        torch.testing.assert_close(bar, torch.ones_like(bar), rtol=1e-3, atol=1e-3)


class NoisyByItself(nn.Module):
    """Draws from a generator of its own, which nobody sees from outside."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.chance = torch.Generator().manual_seed(0)

    def forward(self, t, h):
        return torch.tanh(self.linear(h)) + torch.randn(h.shape, generator=self.chance)


@pytest.mark.parametrize("method", ["rk4", "auto"])
def test_a_step_that_ends_elsewhere_when_taken_again_is_refused(method):
    node = HBNODE(NoisyByItself(), method=method, options={"steps": 4, "keep": 0})
    with pytest.raises(RuntimeError, match="ends elsewhere than at first"):
        node(torch.randn(5, 3)).sum().backward()
    node.options = {"steps": 4}  # kept graphs are those of what was computed
    node(torch.randn(5, 3)).sum().backward()
