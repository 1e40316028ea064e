"""The JSON Schema of specs: what the reader takes it takes, and what no key can be it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from optode.cli.main import app
from optode.compiler import check
from optode.diagnostics import SpecError
from optode.model.model import InitialKind
from optode.spec.declarations import Transform
from optode.spec.keys import LEARNED_KEYS, MODEL_KEYS, SPEC_KEYS, STARTS, TRANSFORMS
from optode.spec.reader import parse_spec
from optode.spec.schema import json_schema

ROOT = Path(__file__).parents[2]
SPECS = sorted((ROOT / "specs").glob("*.yaml"))
RULE = "name: a\nstep_size: s\nstate: [x]\nupdate: |\n  x[k+1] = x[k] - s*grad(x[k])\n"
MODEL = "model:\n  class: ANODE\n  rename: {x: h}\n"


def problems(text: str) -> list[str]:
    """What a validator of another author finds in a spec."""
    validator = jsonschema.Draft202012Validator(json_schema())
    return [error.message for error in validator.iter_errors(yaml.safe_load(text))]


def codes(text: str) -> list[str]:
    """What the reader finds in it."""
    try:
        parse_spec(text)
    except SpecError as error:
        return [diagnostic.code for diagnostic in error.diagnostics]
    return []


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_shipped_specs_are_valid(path: Path) -> None:
    assert problems(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        RULE,
        RULE + "year: 2015\nreference: [a, b]\nfamily: momentum\nshape: matrix\n",
        RULE + "parameters: {b: fixed, c: 1 - s, d: decay, e: vector, p: oracle}\n",
        RULE + "verify: {b: [0.1, 0], c: 1e-3}\nparameters: {b: fixed, c: fixed}\n",
        RULE + MODEL + "  span: [0.0, 2]\n  field: grad\n  smooth: tanh(x/0.1)\n",
        "name: b\nextends: heavy_ball\ninitial: {m: linear}\nequations: {m: rhs}\n",
        "name: c\nstate: [x]\node: |\n  x' = f(t, x)\nmodel: {class: CNODE}\n",
    ],
)
def test_good_specs_are_valid(text: str) -> None:
    assert codes(text) == [] and problems(text) == []


@pytest.mark.parametrize(
    "text",
    [
        RULE + "stat: [x]\n",
        RULE + "family: momentun\n",
        RULE + "year: 20155\n",
        RULE + "state: x\n".replace("state", "shape"),
        RULE + "parameters: [b]\n",
        RULE + "verify: {b: high}\nparameters: {b: fixed}\n",
        RULE + MODEL + "  spam: [0, 1]\n",
        RULE + MODEL + "  span: [0]\n",
        RULE + MODEL + "  field: -gradient\n",
        RULE + MODEL + "  parameters: {b: {init: 1, value: 2}}\n",
        RULE + MODEL + "  parameters: {b: {value: 2, transform: exp}}\n",
        RULE + MODEL + "  parameters: {b: {init: 2, transform: sigmod}}\n",
        RULE + "model: {rename: {x: h}}\n",
        RULE + "initial: {m: zero}\n",
        RULE + "ode: |\n  x' = f(t, x)\n",
        RULE.replace("step_size: s\n", ""),
        RULE.replace("name: a\n", ""),
        RULE.replace("state: [x]\n", "state: []\n"),
    ],
)
def test_both_refuse_what_is_no_spec(text: str) -> None:
    assert codes(text) and problems(text)


def _keys(schema: dict[str, Any]) -> set[str]:
    return set(schema["properties"])


def test_the_reader_and_the_schema_have_one_table_of_keys() -> None:
    schema = json_schema()
    model = schema["properties"]["model"]
    learned = model["properties"]["parameters"]["additionalProperties"]
    assert _keys(schema) == {*SPEC_KEYS, "initial", "equations"}
    assert _keys(model) == {*MODEL_KEYS}
    assert _keys(learned) == {*LEARNED_KEYS}
    assert {*STARTS} == {*get_args(InitialKind)} - {"expression"}
    assert {*TRANSFORMS} == {*get_args(Transform)}
    for known in (schema, model, learned):
        assert all(entry["description"] for entry in known["properties"].values())


def test_the_shipped_schema_is_current() -> None:
    shipped = json.loads((ROOT / "specs" / "optode.schema.json").read_text(encoding="utf-8"))
    assert shipped == json_schema(), "optode schema -o specs/optode.schema.json"


def test_the_command_writes_it_whole_or_not_at_all(tmp_path: Path) -> None:
    run = CliRunner()
    printed = run.invoke(app, ["schema"])
    path = tmp_path / "s.json"
    assert run.invoke(app, ["schema", "-o", str(path)]).exit_code == 0
    assert path.read_text() == printed.stdout
    missing = run.invoke(app, ["schema", "-o", str(tmp_path / "no" / "s.json")])
    assert missing.exit_code == 1 and "error E603" in missing.stderr
    assert [*tmp_path.iterdir()] == [path]


def test_a_mistake_that_the_schema_cannot_see_is_the_readers(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(RULE.replace("grad(x[k])", "grad(y[k])"))
    assert problems(path.read_text()) == []
    assert [error.code for error in check(str(path))] == ["E203"]
