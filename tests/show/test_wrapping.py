"""Equations on narrow terminals, and what the operators in them mean."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from optode.cli.main import app
from optode.compiler import derive
from optode.show.legend import MEANINGS, legend
from optode.show.wrapping import LEAST, wrapped
from optode.spec.shipped import shipped_specs

SOME = ["tam", "adam_bias_corrected", "shampoo", "amsgrad", "lamb", "polyak_step"]
_OPERATOR = re.compile(r"[-+*/@,(=]|and|or")


def unwrapped(text: str) -> str:
    """A text without any white space: what wrapping may not change."""
    return re.sub(r"\s+", "", text)


def named(stage_text: str) -> set[str]:
    return set(re.findall(r"\b([A-Za-z]\w*)(?=\()", stage_text))


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("name", SOME)
def test_lines_fit_and_say_what_they_said(name: str, width: int) -> None:
    text = derive(name).show()
    found = wrapped(text, width)
    assert unwrapped(found) == unwrapped(text)
    assert max(map(len, found.splitlines())) <= width


def test_lines_that_fit_are_left_alone() -> None:
    text = derive("heavy_ball").show()
    assert wrapped(text, 100) == text


def test_a_line_breaks_before_its_outermost_operator() -> None:
    assert wrapped("  v' = -gamma*(v + w*x) - g(x) + s*(u - a_long_name*v)", 40).splitlines() == [
        "  v' = -gamma*(v + w*x) - g(x)",
        "         + s*(u - a_long_name*v)",
    ]


def test_powers_and_names_stay_whole() -> None:
    for line in wrapped("  x' = " + "*".join(["some_name**2"] * 12), 40).splitlines()[1:]:
        assert re.fullmatch(r"\s+(\*?some_name\*\*2)+", line)


@pytest.mark.parametrize("width", [0, 1, 5])
def test_no_terminal_is_too_narrow(width: int) -> None:
    text = derive("adam").show()
    assert unwrapped(wrapped(text, width)) == unwrapped(text)
    assert max(map(len, wrapped("a = b + c*(d - e)" * 9, width).splitlines())) <= LEAST


def test_columns_is_what_a_command_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = CliRunner().invoke(app, ["derive", "tam"]).stdout
    monkeypatch.setenv("COLUMNS", "60")
    narrow = CliRunner().invoke(app, ["derive", "tam"]).stdout
    assert max(map(len, narrow.splitlines())) <= 60 < max(map(len, whole.splitlines()))
    assert unwrapped(narrow) == unwrapped(whole)


ELEMENTARY = {
    "sqrt", "abs", "sign", "exp", "log", "tanh", "sigmoid", "softplus", "silu", "gelu", "relu",
    "expm1", "log1p", "cos", "sin", "atan2", "max", "min", "where", "logsigmoid", "cosh",
}  # fmt: skip
"""What needs no explanation to a reader of the language page."""


@pytest.mark.parametrize("name", shipped_specs()[::6])
def test_every_operator_is_explained(name: str) -> None:
    derivation = derive(name)
    text = derivation.show()
    states = {str(z) for z in derivation.limit.states}
    if derivation.spec.has_model:
        states |= {str(z) for z in derivation.model.states}
        states |= {f"a_{z}" for z in derivation.model.states}
    known = (
        ELEMENTARY
        | states
        | {f"d{z}" for z in states}
        | {"g", "f", "loss", "dz", "det", "tr", "sum", "given"}
    )
    known |= {str(p) for p in getattr(derivation.spec, "oracles", ())}
    explained = set(re.findall(r"^\s+([A-Za-z]\w*)\([^)]*\) +=", text, re.M)) | {"J", "JT", "int"}
    own = {p.name.text for p in derivation.spec.parameters}
    unknown = {
        n for n in named(text) - known - explained - own if not n.startswith(("JT_", "J_", "D"))
    }
    assert not unknown


def test_a_meaning_stands_once_and_where_it_is_needed() -> None:
    assert [*legend("x' = norm(v)*dot(u, v)")] == [
        ("norm(u)", MEANINGS["norm(u)"]),
        ("dot(u, v)", MEANINGS["dot(u, v)"]),
    ]
    assert [*legend("x' = -g(x)")] == []
