"""The edge of the command: no traceback, Ctrl-C in one line, --debug for those who ask."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from optode import compiler, derivation
from optode.cli import boundary, entry
from optode.cli.main import app


def test_an_unforeseen_error_ends_in_a_diagnostic(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["optode"])
    with pytest.raises(SystemExit) as caught, boundary.boundary():
        raise KeyError("u")
    assert caught.value.code == 1
    message = capsys.readouterr().err
    assert "error E900" in message
    assert "Traceback" not in message
    monkeypatch.setattr(sys, "argv", ["optode", "--debug"])
    with pytest.raises(SystemExit), boundary.boundary():
        raise KeyError("u")
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_ends_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, interruptible: None
) -> None:
    monkeypatch.setattr("optode.cli.main.main", lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(SystemExit) as caught:
        entry.main()
    assert caught.value.code == 130
    assert capsys.readouterr().err == "optode: interrupted\n"


def test_debug_stands_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derivation, "build_rule", lambda _: {}["u"])
    monkeypatch.setattr(compiler, "kept", derivation.Derivation)
    for arguments in (["--debug", "derive", "adam"], ["derive", "adam", "--debug"]):
        monkeypatch.setattr(sys, "argv", ["optode", *arguments])
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 1
        assert "error E900" in result.stderr
        assert "KeyError" in result.stderr.split("Traceback")[1]


def test_a_time_limit_is_a_time(tmp_path: Path) -> None:
    for text in ("0", "-1", "nan", "soon"):
        assert CliRunner().invoke(app, ["derive", "adam", "--time-limit", text]).exit_code == 2
    lines = "".join(f"  x{i}[k+1] = x{i} - s*grad(x{i}*x0)\n" for i in range(20))
    states = ", ".join(f"x{i}" for i in range(20))
    spec = tmp_path / "slow.yaml"
    spec.write_text(f"name: slow\nstep_size: s\nstate: [{states}]\nupdate: |\n{lines}")
    for command in ("derive", "claims"):
        result = CliRunner().invoke(app, [command, str(spec), "--time-limit", "0.001"])
        assert result.exit_code == 1
        assert "error E901" in result.stderr
