"""A spec to start from: the commented one, a copy of another, the text of one; names completed."""

from __future__ import annotations

import difflib
import io
import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import optode
from optode.cli.main import app
from optode.cli.new import starter_text
from optode.cli.options import spec_names
from optode.cli.show import print_spec
from optode.diagnostics import SpecError
from optode.spec.reader import parse_spec
from optode.spec.shipped import shipped_spec, shipped_specs


def invoke(*arguments, code=0, **options):
    """Everything that a command prints within this process."""
    done = CliRunner().invoke(app, list(map(str, arguments)), **options)
    assert done.exit_code == code, f"{done.exit_code}\n{done.output}\n{done.exception!r}"
    return done.output


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def changes(old, new):
    """The lines that differ, those of the old text with a minus."""
    lines = difflib.ndiff(old.splitlines(), new.splitlines())
    return [line for line in lines if line[0] in "+-"]


def test_new_writes_a_spec_that_generates():
    assert "my_rule.yaml" in invoke("new", "my_rule")
    assert invoke("check", "my_rule.yaml") == "my_rule.yaml: ok\n"
    invoke("generate", "my_rule.yaml")
    assert "class MyRuleNODE(" in Path("generated/my_rule.py").read_text()


@pytest.mark.parametrize("base", [(), ("--from", "adam")])
def test_new_keeps_what_is_there(base):
    Path("mine.yaml").write_text("mine")
    assert "error E601" in invoke("new", "mine", *base, code=1)
    assert Path("mine.yaml").read_text() == "mine"


@pytest.mark.parametrize("base", [(), ("--from", "adam")])
@pytest.mark.parametrize("name", ["class", "3x", "", "a b", "torch", "a.yml", "x-y"])
def test_new_refuses_names_that_no_spec_can_have(tmp_path, name, base):
    shown = invoke("new", name, *base, code=1)
    assert "error E110" in shown
    assert "hint: " in shown or name == "torch"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["adam", "adam.yaml", "sub/adam"])
@pytest.mark.parametrize("base", [(), ("--from", "adam")])
def test_new_refuses_the_name_of_a_shipped_spec(tmp_path, name, base):
    shown = invoke("new", name, *base, code=1)
    assert "error E607: `adam` is the name of a shipped spec" in shown
    assert "`optode new my_adam --from adam`" in shown
    assert list(tmp_path.iterdir()) == []


def test_starter_explains_itself():
    text = starter_text("lion_ball")
    assert parse_spec(text).model.class_name.text == "LionBallNODE"
    assert sum("#" in line for line in text.splitlines()) > 10


def test_a_copy_differs_in_name_and_class_alone():
    invoke("new", "my_adam", "--from", "adam")
    assert changes(shipped_spec("adam").read_text(), Path("my_adam.yaml").read_text()) == [
        "- name: adam",
        "+ name: my_adam",
        "-   class: AdamNODE",
        "+   class: MyAdamNODE",
    ]
    invoke("generate", "my_adam.yaml")
    assert "class MyAdamNODE(" in Path("generated/my_adam.py").read_text()


@pytest.mark.parametrize("name", shipped_specs())
def test_every_shipped_spec_can_be_copied(name):
    invoke("new", f"my_{name}", "--from", name)
    text = Path(f"my_{name}.yaml").read_text()
    copy, original = parse_spec(text), optode.derive(name).spec
    assert copy.name.text == f"my_{name}"
    assert len(changes(shipped_spec(name).read_text(), text)) == (4 if original.model else 2)
    assert (copy.title, copy.references) == (original.title, original.references)


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("name: b\nextends: adam\n", "name: c\nmodel: {class: CNODE}\nextends: adam\n"),
        ("{name: b, extends: adam}", "{name: c, model: {class: CNODE}, extends: adam}"),
        (
            "name: 'b'  # mine\nextends: adam\nmodel:\n  # why\n  span: [0, 2]\n",
            "name: 'c'  # mine\nextends: adam\nmodel:\n  # why\n  class: CNODE\n  span: [0, 2]\n",
        ),
        (
            "extends: adam\nmodel: {span: [0, 2]}\nname: b\n",
            "extends: adam\nmodel: {class: CNODE, span: [0, 2]}\nname: c\n",
        ),
        ("name: b\nextends: adam\nmodel: {}\n", "name: c\nextends: adam\nmodel: {class: CNODE}\n"),
    ],
)
def test_a_class_that_is_inherited_is_added(text, made):
    Path("b.yaml").write_text(text)
    invoke("new", "c", "--from", "b.yaml")
    assert Path("c.yaml").read_text() == made
    assert optode.derive("c.yaml").model.class_name == "CNODE"


def test_a_copy_of_standard_input():
    invoke("new", "c", "--from", "-", input="name: b\nextends: adam\n")
    assert optode.check("c.yaml") == ()


def test_a_copy_that_would_lose_its_base_is_refused():
    Path("sub").mkdir()
    Path("sub/base.yaml").write_text(starter_text("base"))
    Path("sub/b.yaml").write_text("name: b\nextends: base.yaml\n")
    shown = invoke("new", "c", "--from", "sub/b.yaml", code=1)
    assert shown.startswith("c.yaml:3:10: error E101: `base.yaml` is neither")
    assert not Path("c.yaml").exists()
    invoke("new", "sub/c", "--from", "sub/b.yaml")
    assert optode.check("sub/c.yaml") == ()


@pytest.mark.parametrize(("base", "code"), [("adm", "E101"), ("bad.yaml", "E108")])
def test_a_base_with_errors_is_not_copied(base, code):
    Path("bad.yaml").write_text("name: bad\n")
    assert f"error {code}" in invoke("new", "mine", "--from", base, code=1)
    assert not Path("mine.yaml").exists()


def test_show_prints_each_byte():
    Path("crlf.yaml").write_bytes(data := starter_text("crlf").replace("\n", "\r\n").encode())
    assert CliRunner().invoke(app, ["show", "crlf.yaml"]).stdout_bytes == data
    for name in ("adam", "lion", "nesterov_generalized"):
        shown = CliRunner().invoke(app, ["show", name]).stdout_bytes
        assert shown == shipped_spec(name).read_bytes()


@pytest.mark.parametrize("plain", [True, False])
def test_show_has_colours_on_a_terminal(monkeypatch, plain):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if plain:
        monkeypatch.setenv("NO_COLOR", "1")
    print_spec("adam")
    shown = sys.stdout.getvalue()
    assert ("\x1b[" in shown) is not plain
    assert re.sub(r"\x1b\[[\d;]*m", "", shown) == shipped_spec("adam").read_text()


def test_show_does_nothing_to_a_terminal(monkeypatch):
    Path("red.yaml").write_text("name: \x1b[31mred\n")
    monkeypatch.setattr(sys, "stdout", terminal := io.StringIO())
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    with pytest.raises(SpecError, match="E102: the control character"):
        print_spec("red.yaml")
    assert terminal.getvalue() == ""


def test_show_of_what_is_no_spec():
    assert "did you mean `adam`?" in invoke("show", "adm", code=1)
    Path("bytes.yaml").write_bytes(b"\xff")
    assert "bytes.yaml:1:1: error E102" in invoke("show", "bytes.yaml", code=1)


def complete(words, shell="bash"):
    """What the shell is offered for the last word."""
    environment = {
        "_OPTODE_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
        "_TYPER_COMPLETE_ARGS": words,
    }
    return invoke(env=environment).split("\n")[:-1]


def test_specs_and_files_are_completed():
    for name in ("adx.yaml", "ad q.yaml", "ad$(x).yaml", "ad.txt"):
        Path(name).touch()
    for name in ("ads", "other"):
        Path(name).mkdir()
    Path("other/z.yml").touch()
    adams = [name for name in shipped_specs() if name.startswith("ad")]
    assert spec_names("ad") == [*adams, "adx.yaml", "ads/"]
    assert spec_names("other/") == ["other/z.yml"]
    assert spec_names("./ad") == ["./adx.yaml", "./ads/"]
    assert spec_names("oth") == []  # the shell goes into the folder
    assert spec_names("[") == spec_names("no/such/") == []


@pytest.mark.parametrize(
    "command", ["generate adam", "derive", "check", "verify", "claims", "show"]
)
def test_the_shell_is_offered_specs(command):
    assert complete(f"optode {command} second_") == ["second_order"]


def test_the_shell_is_offered_commands_and_options():
    assert complete("optode der") == ["derive"]
    assert complete("optode derive --sc") == ["--scalings"]
    assert complete("optode new mine --from lion_") == ["lion_tanh"]
    assert complete("optode derive adam --stage fol") == ["following"]
    assert complete("optode derive second_", "zsh") == ["""_arguments '*: :(("second_order"))'"""]
    assert complete("optode derive no/such", "zsh") == ["_files"]


def test_completion_can_be_shown(monkeypatch):
    monkeypatch.setattr("typer.completion._get_shell_name", lambda: "bash")
    assert "_OPTODE_COMPLETE=complete_bash" in invoke("--show-completion", prog_name="optode")
