"""Random texts in the language of specs: expressions and whole specs, valid and nearly valid."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

_OF_ONE = (
    "sqrt abs sign exp log tanh sigmoid softplus silu gelu relu expm1 log1p cos sin hardtanh norm total "
    "mean maximum minimum count"
)
_OF_TWO = "max min dot atan2 soft_threshold"
FUNCTIONS = dict.fromkeys(_OF_ONE.split(), 1) | dict.fromkeys(_OF_TWO.split(), 2)
FUNCTIONS |= {"clip": 3, "where": 3}
RELATIONS = ("<", "<=", ">", ">=", "==", "!=")
NUMBERS = (
    "0", "1", "2", "3", "0.5", "0.9", "1e-8", "1/3", "7", "10", "1e-300", "1e300", "1000000000000",
    "-1", "64", "0.1", "12345678901234567890", "1e400", "007",
)  # fmt: skip
FRAGMENTS = (
    "(", ")", "+", "-", "*", "/", "**", ",", "[", "]", "k", "x", "grad(", "sqrt(", "1", "0", ".",
    "e", "^", "=", " ", "\n", "\t", "\u0000", "é", "β", "'", '"', "#", ":", "{", "}", "!", "&",
    "*a", "|", ">", "<=", "==", " and ", " or ", "not ", "where(", "k % 5",
    "nan", "inf", "lambda", "__import__", "%", "@", "\ufeff", "\u202e",
)  # fmt: skip


@st.composite
def expressions(
    draw: st.DrawFn, names: tuple[str, ...], calls: tuple[str, ...] = (), depth: int = 4
) -> str:
    """Return an expression in the given names and calls of oracles; most are valid."""
    leaf = st.one_of(st.sampled_from(names), st.sampled_from(names), st.sampled_from(NUMBERS[:12]))
    if depth == 0:
        return draw(leaf)
    inner = expressions(names, calls, depth - 1)
    kind = draw(st.integers(0, 11))
    if kind <= 2:
        return draw(leaf if kind else st.sampled_from((*names, *NUMBERS)))
    if kind <= 6:
        operator = draw(st.sampled_from(("+", "-", "*", "*", "/")))
        return f"({draw(inner)} {operator} {draw(inner)})"
    if kind == 7:
        exponent = st.sampled_from(("2", "3", "(-1)", "(1/2)", "(-1/2)", "(1/3)", "0.7", "64"))
        return f"({draw(inner)})**{draw(st.one_of(exponent, exponent, leaf))}"
    if kind == 8 and calls:
        return draw(st.sampled_from(calls)).format(draw(inner))
    if kind == 9:
        return f"-{draw(inner)}"
    function = draw(st.sampled_from(sorted(FUNCTIONS)))
    arguments = [draw(inner) for _ in range(FUNCTIONS[function])]
    if function == "norm" and draw(st.booleans()):
        arguments.append(draw(st.sampled_from(("1", "inf"))))
    if function == "where":
        arguments[0] = draw(_conditions(inner))
    if function == "hardtanh" and draw(st.booleans()):
        arguments += [draw(inner), draw(inner)]
    return f"{function}({', '.join(arguments)})"


@st.composite
def _conditions(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    """Return a comparison, or two that are joined."""
    one, other = (
        f"{draw(values)} {draw(st.sampled_from(RELATIONS))} {draw(values)}" for _ in range(2)
    )
    return draw(st.sampled_from((one, one, f"{one} and {other}", f"{one} or not {other}")))


@st.composite
def damaged(draw: st.DrawFn, texts: st.SearchStrategy[str], most: int = 3) -> str:
    """Return a text with a few places cut out, doubled or overwritten."""
    text = draw(texts)
    for _ in range(draw(st.integers(1, most))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 6)))
        piece = draw(st.one_of(st.sampled_from(FRAGMENTS), st.just(text[start:end] * 2)))
        text = text[:start] + piece + text[end:]
    return text


@dataclass(frozen=True)
class OdeText:
    """A spec that states an ODE, and its right-hand sides by state."""

    text: str
    states: tuple[str, ...]
    equations: tuple[str, ...]
    parameters: tuple[str, ...]


@st.composite
def odes(draw: st.DrawFn) -> OdeText:
    """Return an ODE of one to three states, with constants and learned parameters."""
    states = ("h", "m", "v")[: draw(st.integers(1, 3))]
    parameters = ("alpha", "c")[: draw(st.integers(0, 2))]
    names = (*states, *parameters, "t")
    call = f"f(t, {', '.join(['{}', *states[1:]])})"
    equations = tuple(draw(expressions(names, (call,), 3)) for _ in states)
    lines = [f"  {z}' = {e}" for z, e in zip(states, equations, strict=True)]
    used = [p for p in parameters if any(p in e for e in equations)]
    values = [f"    {p}: {draw(st.sampled_from(VALUES))}" for p in used]
    section = ["  parameters:", *values] if values else []
    text = "\n".join(
        [
            "name: q",
            f"state: [{', '.join(states)}]",
            "ode: |",
            *lines,
            "model:",
            "  class: Q",
            *section,
            "",
        ]
    )
    return OdeText(text, states, equations, tuple(used))


VALUES = (
    "{value: 0.5}",
    "{init: 0.3}",
    "{init: -1.0, transform: sigmoid}",
    "{init: 0.2, transform: softplus}",
    "{value: 0}",
    "{value: -2.0}",
)


@st.composite
def rules(draw: st.DrawFn) -> str:
    """Return a spec of an optimizer: sound averages and steps, with something odd in most."""
    states = ("x", "m", "v")[: draw(st.integers(1, 3))]
    parameters = draw(st.sampled_from(PARAMETERS))
    known = tuple(p.split(":")[0] for p in parameters)
    lines = [f"  {z}[k+1] = {draw(_next(z, states, known))}" for z in reversed(states)]
    values = [f"    {p}: {draw(st.sampled_from(VALUES))}" for p in ("a", "eps") if p in known]
    text = ["name: q", "step_size: s", f"state: [{', '.join(states)}]"]
    text += [f"parameters: {{{', '.join(parameters)}}}"] if parameters else []
    text += ["update: |", *lines, "model:", "  class: Q"]
    text += ["  parameters:", *values] if values else []
    return "\n".join([*text, ""])


PARAMETERS = (
    (),
    ("beta: 0.9",),
    ("beta: 1 - a*s", "a: fixed"),
    ("beta: 1 - a*sqrt(s)", "a: fixed", "eps: fixed"),
    ("beta: decay", "eps: fixed"),
)


@st.composite
def _next(draw: st.DrawFn, state: str, states: tuple[str, ...], known: tuple[str, ...]) -> str:
    names = (*(f"{z}[k]" for z in states), *(f"{z}[k+1]" for z in states[1:]), *known, "s")
    names += draw(st.sampled_from(((), ("k",), ("x[k-1]",))))
    odd = expressions(names, ("grad({})",), 2)
    beta = "beta" if "beta" in known else "0.9"
    if state == "x":
        driven = f"{states[-1]}[k+1]" if len(states) > 1 else "grad(x[k])"
        forms = (f"x[k] - s*{driven}", f"x[k] - s*({draw(odd)})", f"x[k] - s*grad({draw(odd)})")
    else:
        average = f"{beta}*{state}[k] + (1 - {beta})*"
        forms = (f"{average}grad(x[k])", f"{average}({draw(odd)})", f"{draw(odd)}")
    return draw(st.sampled_from(forms))


TEXTS = st.one_of(rules(), odes().map(lambda ode: ode.text))
NEARLY_VALID = damaged(TEXTS, 4)
