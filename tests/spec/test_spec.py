"""Reading specs: what is read, where it stands, what ``extends`` does, and what never gets through."""

from __future__ import annotations

import hashlib
import keyword
import random
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from optode.compiler import check
from optode.diagnostics import Located, Reporter, Source, Span, SpecError
from optode.language.functions import IN_SPECS
from optode.spec.names import check_class_name, check_file_name, check_name
from optode.spec.reader import MAX_BYTES, Spec, parse_spec, read_spec
from optode.spec.shipped import find_spec, shipped_specs, specs_directory

RULE = """\
name: momentum
step_size: s
parameters: {beta: 1 - gamma*sqrt(s), gamma: fixed}
state: [x, v]
update: |
  v[k+1] = beta*v[k] - s*grad(x[k])   # the velocity

  # the position
  x[k+1] = x[k] + (
      v[k+1]      # a bracket goes on
      + 0)
"""
MODEL = """\
model:
  class: Momentum
  rename: {x: h, v: m}
  parameters: {gamma: {value: 9e-1}, xi: {init: -3, transform: softplus}}
  initial: {m: "-f(t, h)"}
  equations: {m: rhs - xi*h}
  span: [0, 1e1]
"""


def rule_of(spec: Spec) -> list[tuple[str, str, str]]:
    return [(a.target.text, a.kind, " ".join(a.expression.text.split())) for a in spec.assignments]


def codes(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse_spec(text)
    return [diagnostic.code for diagnostic in caught.value.diagnostics]


def every_located(spec: Spec) -> list[Located]:
    model = spec.model
    assert model is not None
    pairs = [*model.rename, *((e.state, e.expression) for e in model.equations)]
    pairs += [(i.state, i.value) for i in model.initial]
    pairs += [(a.target, a.expression) for a in spec.assignments]
    pairs += [(p.name, p.formula) for p in spec.parameters if p.formula]
    return [spec.name, model.class_name, *spec.states, *(part for pair in pairs for part in pair)]


def test_a_rule() -> None:
    spec = parse_spec(RULE)
    assert (spec.name.text, spec.title, spec.references) == ("momentum", "momentum", ())
    assert [state.text for state in spec.states] == ["x", "v"]
    assert rule_of(spec) == [
        ("v", "next", "beta*v[k] - s*grad(x[k])"),
        ("x", "next", "x[k] + ( v[k+1] + 0)"),
    ]
    formulas = [(p.name.text, p.formula and p.formula.text) for p in spec.parameters]
    assert formulas == [("beta", "1 - gamma*sqrt(s)"), ("gamma", None)]
    assert spec.model is None
    assert not spec.is_ode
    assert spec.sha256 == hashlib.sha256(RULE.encode()).hexdigest()


def test_numbers_for_verify() -> None:
    spec = parse_spec(RULE + MODEL + "verify: {gamma: 0.5, xi: [1e-1, 0]}\n")
    found = {entry.name.text: entry.numbers for entry in spec.verify}
    assert found == {"gamma": (0.5,), "xi": (0.1, 0.0)}
    assert parse_spec(RULE).verify == ()
    base = parse_spec("name: a\nextends: adam\n")
    assert [entry.name.text for entry in base.verify] == ["eps"]


def test_a_model() -> None:
    model = parse_spec(RULE + MODEL).model
    assert model is not None
    assert (model.class_name.text, model.field.text, model.span) == (
        "Momentum",
        "-grad",
        (0.0, 10.0),
    )
    assert [(old.text, new.text) for old, new in model.rename] == [("x", "h"), ("v", "m")]
    learned = [(p.name.text, p.init, p.value, p.transform) for p in model.parameters]
    assert learned == [("gamma", None, 0.9, "none"), ("xi", -3.0, None, "softplus")]
    assert not any(p.per_feature for p in model.parameters)
    per_feature = parse_spec(RULE + MODEL.replace("softplus}", "softplus, per: feature}")).model
    assert [p.per_feature for p in per_feature.parameters] == [False, True]
    assert [(i.state.text, i.value.text) for i in model.initial] == [("m", "-f(t, h)")]
    assert [(e.state.text, e.expression.text) for e in model.equations] == [("m", "rhs - xi*h")]


def test_an_ode() -> None:
    spec = parse_spec(
        "name: waves\nstate: [x, v]\node: |\n  x' = v\n  w = -x\n  v' = w + f(t, x)\n"
    )
    assert spec.is_ode
    assert spec.step_size is None
    assert rule_of(spec) == [
        ("x", "derivative", "v"),
        ("w", "define", "-x"),
        ("v", "derivative", "w + f(t, x)"),
    ]


def test_an_intermediate_may_have_an_index() -> None:
    block = "update: |\n  y[k] = x[k-1]\n  x [ k + 1 ] = y[k]\n"
    spec = parse_spec("name: a\nstep_size: s\nstate: [x]\n" + block)
    assert rule_of(spec) == [("y", "define", "x[k-1]"), ("x", "next", "y[k]")]


def test_yaml_types_nothing() -> None:
    spec = parse_spec(
        RULE.replace("momentum", "on_off") + "title: no\nreference: [1e-8, 1847-10-18]\n"
    )
    assert (spec.title, spec.references) == ("no", ("1e-8", "1847-10-18"))


def test_every_piece_is_where_it_says() -> None:
    spec = parse_spec(RULE + MODEL)
    for located in every_located(spec):
        assert located.exact, located
        characters = spec.source.text[located.span.start : located.span.end]
        commented = "#" in characters
        assert characters == located.text or commented
        assert "#" not in located.text


@pytest.mark.parametrize(
    "block",
    [
        "update: |\n  x[k+1] = β*é",
        "update: |+\n\n      # note\n\n      x[k+1] = β*é\n\n",
        "update: |2-  # note\n  x[k+1] = β*é\n",
        "update: x[k+1] = β*é",
        "update: 'x[k+1] = β*é'",
        "update:   # note\n  x[k+1] = β*é # note",
        "update: |\r\n  # 日本\r\n  x[k+1] = β*é\r\n",
    ],
)
def test_positions_in_every_style_of_block(block: str) -> None:
    spec = parse_spec(f"name: a\ntitle: 日本\nstep_size: s\nstate: [x]\n{block}")
    (assignment,) = spec.assignments
    span = assignment.expression.span
    assert spec.source.text[span.start : span.end] == assignment.expression.text == "β*é"


def test_an_escaped_block_is_pointed_at_as_a_whole() -> None:
    head = "name: a\nstep_size: s\nstate: [x]\n"
    spec = parse_spec(head + 'update: "x[k+1] = x\\n y = 2"\n')
    assert rule_of(spec) == [("x", "next", "x"), ("y", "define", "2")]
    spans = {assignment.expression.span for assignment in spec.assignments}
    assert {head.count("\n") + 1} == {span.source.line_column(span.start)[0] for span in spans}


@pytest.mark.parametrize("name", shipped_specs())
def test_shipped_specs(name: str) -> None:
    spec = read_spec(find_spec(name))
    assert spec.name.text == name
    assert spec.references
    assert spec.family is not None
    assert str(spec.year) in " ".join((spec.title, *spec.references))
    lines = (specs_directory() / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 29  # that of SOAP, with five states and six numbers


def test_shipped_specs_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_spec("adam") == find_spec("adam.yaml") == specs_directory() / "adam.yaml"
    (tmp_path / "adam.yaml").write_text(RULE)
    assert find_spec("adam.yaml") == Path("adam.yaml")
    with pytest.raises(SpecError, match="did you mean `heavy_ball`"):
        find_spec("heavy_bal")
    for bad in ("", "a\0b", "x" * 5000, "/", "../adam"):
        with pytest.raises(SpecError, match="E101"):
            find_spec(bad)


def test_an_extension_replaces_and_merges() -> None:
    spec = parse_spec(
        "name: variant\nextends: heavy_ball\nparameters: {beta: 1 - s}\n"
        "model: {class: Variant, parameters: {xi: {value: 1.5}}}\n"
        "equations: {h: tanh(rhs)}\ninitial: {m: learned}\n"
    )
    base = read_spec(find_spec("heavy_ball"))
    model, base_model = spec.model, base.model
    assert model is not None
    assert base_model is not None
    assert (spec.title, spec.references) == (base.title, base.references)
    assert (spec.states, spec.assignments) == (base.states, base.assignments)
    assert [p.formula and p.formula.text for p in spec.parameters] == ["1 - s"]
    assert model.rename == base_model.rename
    assert [p.name.text for p in model.parameters] == ["gamma", "xi"]
    assert [(i.state.text, i.value.text) for i in model.initial] == [("m", "learned")]
    assert [(e.state.text, e.expression.text) for e in model.equations] == [("h", "tanh(rhs)")]
    assert spec.name.span.source.path == "<string>"
    assert spec.states[0].span.source.path.endswith("heavy_ball.yaml")


def test_the_digest_covers_the_bases() -> None:
    texts = [find_spec(n).read_bytes() for n in ("heavy_ball", "generalized_heavy_ball")]
    texts.append(find_spec("generalized_heavy_ball_hardtanh").read_bytes())
    spec = read_spec(find_spec("generalized_heavy_ball_hardtanh"))
    assert spec.sha256 == hashlib.sha256(b"".join(texts)).hexdigest()


def test_a_base_beside_the_file_comes_first(tmp_path: Path) -> None:
    (tmp_path / "adam.yaml").write_text(RULE)
    spec = parse_spec("name: variant\nextends: adam.yaml\n", base_directory=tmp_path)
    assert [state.text for state in spec.states] == ["x", "v"]


def test_an_ode_may_replace_an_update() -> None:
    text = "name: v\nextends: gradient_descent\node: |\n  x' = f(t, x)\n"
    assert codes(text) == ["E114"]  # the base's step size is left over


def test_errors_of_a_base_carry_its_name(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(RULE.replace("[x, v]", "[x, w]"))
    path = tmp_path / "own.yaml"
    path.write_text("name: own\nextends: base.yaml\nfoo: 1\n")
    with pytest.raises(SpecError) as caught:
        read_spec(path)
    places = [(d.code, Path(d.span.source.path).name) for d in caught.value.diagnostics if d.span]
    assert places == [("E125", "base.yaml"), ("E126", "base.yaml"), ("E107", "own.yaml")]


def test_a_base_that_cannot_be_read_is_cited(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_bytes(b"\xef\xbb\xbf# ab\r\n# \xe9\r\n")
    (tmp_path / "other.yaml").write_text("title: a\x07\n")
    for base, place in [
        ("base", "base.yaml:2:3: error E102"),
        ("other", "other.yaml:1:9: error E102"),
    ]:
        with pytest.raises(SpecError, match=place) as caught:
            parse_spec(f"name: own\nextends: {base}.yaml\n", base_directory=tmp_path)
        assert len(caught.value.diagnostics) == 1


def test_a_cycle_of_two(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: a\nextends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("name: b\nextends: a.yaml\n")
    with pytest.raises(SpecError, match="E113"):
        read_spec(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["E103"]),
        ("# only a comment\n", ["E103"]),
        ("- a\n", ["E109"]),
        ("\ta: b\n", ["E103"]),
        ("a: [1,\n", ["E103"]),
        ('a: "\\UFFFFFFFF"', ["E103"]),
        ("a: b\x00", ["E102"]),
        ("a: \ud800", ["E102"]),
        ("a: \u2028", ["E102"]),
        ("a: \u202e", ["E102"]),
        (RULE + "title: a\n---\nb: 1\n", ["E104"]),
        ("%YAML 1.1\n---\n" + RULE, ["E104"]),
        (RULE + "? [title]\n: a\n", ["E104"]),
        (RULE + 'title: "a\\x1b[2Jb"\n', ["E102"]),
        (RULE + "title: |\n  a\n  b\n", ["E109"]),
        (RULE + "reference: {a: b}\n", ["E109"]),
        (RULE + "reference: [" + "a, " * 201 + "]\n", ["E105"]),
        (RULE + "title: " + "[" * 100_000, ["E105"]),
        (RULE + "title:\n", ["E109"]),
        (RULE + "equations: {x: rhs}\n", ["E107"]),
        (RULE + MODEL.replace("9e-1", "nan"), ["E112"]),
        (RULE + MODEL.replace("9e-1", "1e999"), ["E112"]),
        (RULE + MODEL.replace("9e-1", "1_0"), ["E112"]),
        (RULE + MODEL.replace("9e-1", "{}"), ["E109"]),
        (RULE + MODEL.replace("softplus}", "softplus, per: channel}"), ["E111"]),
        (RULE + MODEL.replace("9e-1}", "9e-1, per: feature}"), ["E115"]),
        (RULE + MODEL.replace("[0, 1e1]", "[0]"), ["E109"]),
        (RULE + MODEL.replace("m: rhs", "v: rhs"), ["E126"]),
        (RULE + "scaling: {time: sqrt(s), w: s}\n", ["E126"]),
        (RULE + "start: {v: 1, w: 1}\n", ["E126"]),
        (RULE + "verify: {gama: 1}\n", ["E203"]),
        (RULE + "verify: {beta: 0.9}\n", ["E203"]),
        (RULE + "verify: {gamma: []}\n", ["E109"]),
        (RULE + "verify: {gamma: [1, a]}\n", ["E112"]),
        (RULE + "verify: gamma\n", ["E109"]),
        ("name: a\nstate: [x]\node: |\n  x' = f(t, x)\nverify: {c: 1}\n", ["E114", "E203"]),
        ("extends: heavy_ball\n", ["E108"]),
        ("name: a\nextends: [heavy_ball]\n", ["E109"]),
        ("name: a\nextends: nothing_like_it\n", ["E101"]),
        ("name: a\nextends: heavy_ball\nmodel: {initial: {m: zero}}\ninitial: {m: zero}\n", ["E106"]),
        (RULE + "  y = (\n" + "  0\n" * 60_000, ["E120"]),
        (RULE + "  y = 1\n" * 200, ["E120"]),
        ("name: a\nstate: [x]\node: |\n  x[k+1] = 2\n", ["E123"]),
        ("name: a\nstate: [x]\nstep_size: s\nupdate: |\n  # nothing\n", ["E109"]),
        ("name: a\nstate: [x]\nupdate: >\n  x[k+1] = 1\nstep_size: s\nmodel: {class: A, span: [1, 1]}\n", ["E116"]),
    ],
)  # fmt: skip
def test_what_is_refused(text: str, expected: list[str]) -> None:
    assert codes(text) == expected


def test_a_bracket_left_open_ends_with_the_statement() -> None:
    spec = parse_spec(RULE.replace("grad(x[k])", "grad(x[k]"))
    assert rule_of(spec)[0] == ("v", "next", "beta*v[k] - s*grad(x[k]")


def test_a_lag_brings_its_difference() -> None:
    spec = read_spec(find_spec("nesterov"))
    assert spec.model is not None
    assert [(old.text, new.text) for old, new in spec.model.rename] == [("x", "h"), ("dx", "m")]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    for data, code in [
        (b"a" * (MAX_BYTES + 1), "E102"),
        (b"# \xff", "E102"),
        (RULE.encode("utf-16"), "E102"),
        (b"\xef\xbb\xbf" + RULE.encode() + b"\xe9", "E102"),
    ]:
        path.write_bytes(data)
        with pytest.raises(SpecError, match=code):
            read_spec(path)
    with pytest.raises(SpecError, match="E101"):
        read_spec(tmp_path)
    with pytest.raises(SpecError, match="E101"):
        read_spec(tmp_path / "missing.yaml")


def test_a_byte_order_mark_moves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + RULE.encode())
    assert read_spec(path).name.span.source.line_column(6) == (1, 7)


def names_refused(names: list[str]) -> list[str]:
    reporter = Reporter()
    refused = []
    for name in names:
        located = Located(name, Span(Source("a", name), 0, len(name)))
        refused += [] if check_name(located, reporter) else [name]
    assert {diagnostic.code for diagnostic in reporter.diagnostics} <= {"E110"}
    return refused


def test_names_that_the_emitted_module_needs_are_taken() -> None:
    taken = [name for name in dir(torch.nn.Module()) if not name.startswith("__")]
    taken += [*keyword.kwlist, *IN_SPECS, "t", "k", "f", "grad", "self", "torch", "rhs"]
    taken += [
        "__init__",
        "_x",
        "raw_gamma",
        "a_h",
        "2x",
        "x y",
        "x-y",
        "",
        "é",
        "ﬁ",
        "x" * 65,
        "x\n",
    ]
    assert names_refused(taken) == taken


def test_names_of_the_field_are_free() -> None:
    free = ["x", "v", "m", "h", "s", "lr", "g", "beta1", "eps", "m_hat", "lambda_", "xi", "β", "λ1"]
    assert names_refused(free) == []


def test_names_of_files_and_classes() -> None:
    reporter = Reporter()
    both = ["torch", "λ", "class", "a-b", "_a", ""]
    for name in [*both, "typing", "wave"]:
        assert not check_file_name(Located(name, Span(Source("a", name), 0, len(name))), reporter)
    for name in [*both, "print", "States", "Exception"]:
        assert not check_class_name(Located(name, Span(Source("a", name), 0, len(name))), reporter)
    assert {diagnostic.code for diagnostic in reporter.diagnostics} == {"E110"}


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(shipped_specs()), st.randoms(use_true_random=False), st.text(max_size=4))
def test_any_edit_of_a_spec_is_read_or_reported(
    name: str, generator: random.Random, added: str
) -> None:
    text = find_spec(name).read_text(encoding="utf-8")
    for _ in range(generator.randint(1, 3)):
        i = generator.randrange(len(text))
        j = min(len(text), i + generator.choice([0, 1, 1, 5, 40]))
        piece = generator.choice(
            [added, text[i:j] * 2, "", "[", "{", "\n", "  ", ": ", "'", "|", "*"]
        )
        text = text[:i] + piece + text[j:]
    try:
        parse_spec(text)
    except SpecError as error:
        assert error.diagnostics
        assert str(error)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(), st.binary().map(lambda data: data.decode("latin-1"))))
def test_any_text_is_reported(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec(text)
    assert str(caught.value).startswith("<string>:")


def test_errors_of_sections_and_of_expressions_come_together(tmp_path: Path) -> None:
    """A misspelt transform drops its parameter; the parameter's name is no error for that."""
    path = tmp_path / "two.yaml"
    path.write_text(
        "name: two\nstep_size: s\nparameters: {beta: 1 - gamma*sqrt(s)}\nstate: [x, v]\n"
        "update: |\n  v[k+1] = bta*v[k] - s*grdd(x[k])\n  x[k+1] = x[k] + v[k+1]\n"
        "model:\n  class: Two\n  parameters: {gamma: {init: 0.0, transform: sigmod}}\n"
    )
    assert [d.code for d in check(path)] == ["E203", "E204", "E111"]
