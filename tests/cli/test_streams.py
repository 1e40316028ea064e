"""Specs from standard input and pipes, output that nobody reads or that finds no room, names of files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from optode import compiler
from optode.cli import check
from optode.cli.main import app, main
from optode.cli.terminal import standard_streams
from optode.diagnostics import SpecError
from optode.spec.reader import files_of
from optode.spec.shipped import shipped_spec, specs_directory

ROOT = Path(__file__).resolve().parents[2]
ADAM = (ROOT / "specs" / "adam.yaml").read_text(encoding="utf-8")
SGD = "name: sgd\nstep_size: s\nstate: [x]\nupdate: |\n  x[k+1] = x[k] - s*grad(x[k])\n"
BAD = SGD.replace("grad(x[k])", "grad(y)")


def invoke(*arguments, code=0, **options):
    """Standard output and error output of a command within this process."""
    done = CliRunner().invoke(app, list(map(str, arguments)), **options)
    assert done.exit_code == code, f"{done.exit_code}\n{done.output}\n{done.exception!r}"
    return done.stdout, done.stderr


@pytest.fixture
def handlers():
    """The handlers of signals are put back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_spec_from_standard_input(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert invoke("derive", "-", "--stage", "rule", input=SGD)[0].count("x[k] - s*g(x[k])") == 1
    assert invoke("check", "-", "-", input=SGD)[0] == "-: ok\n"
    assert invoke("show", "-", input=SGD)[0] == SGD
    invoke("generate", "-", "-o", "out", input=ADAM)
    header = Path("out/adam.py").read_text().splitlines()[0]
    assert "from <stdin>: edit the spec" in header
    assert (
        Path("out/adam.py").read_text().splitlines()[3:]
        == ((ROOT / "generated" / "adam.py").read_text().splitlines()[3:])
    )


def test_standard_input_extends_what_lies_in_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text(SGD)
    assert invoke("check", "-", input="name: mine\nextends: base.yaml\n")[0] == "-: ok\n"


@pytest.mark.parametrize(
    ("text", "start"),
    [
        (BAD, "<stdin>:5:26: error E203: unknown name `y`\n"),
        ("", "<stdin>:1:1: error E103: the file is empty\n"),
        (b"name: \xff\n", "<stdin>:1:7: error E102: byte 0xff is not UTF-8\n"),
        ("x" * 300_000, "error E102: `<stdin>` is larger than 256 KiB\n"),
    ],
    ids=["error", "empty", "bytes", "large"],
)
def test_errors_of_standard_input(text, start):
    assert invoke("check", "-", input=text, code=1)[1].startswith(start)


def test_standard_input_that_is_closed(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    (error,) = compiler.check("-")
    assert error.message == "cannot read `<stdin>`: standard input is closed"


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="needs /dev/fd")
def test_a_pipe_that_the_shell_has_opened():
    reader, writer = os.pipe()
    os.write(writer, SGD.encode())
    os.close(writer)
    assert compiler.check(f"/dev/fd/{reader}") == ()
    os.close(reader)


def test_what_is_no_file_is_no_spec(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "adam.yaml").mkdir()
    for name, kind in (("pipe", "named pipe"), ("adam.yaml", "directory")):
        (error,) = compiler.check(tmp_path / name)
        assert error.message == f"`{tmp_path / name}` is a {kind}, not a file"
    for path in (tmp_path / "loop", tmp_path / ("x" * 5000)):
        assert "neither a file nor a shipped spec" in compiler.check(path)[0].message
    (error,) = compiler.check("/dev/null")
    assert error.message == "`/dev/null` is a device, not a file"


def test_a_folder_hides_no_shipped_spec(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("adam").mkdir()
    assert invoke("check", "adam")[0] == "adam: ok\n"


def test_a_shipped_spec_is_cited_by_its_name(tmp_path):
    (tmp_path / "mine.yaml").write_text("name: mine\nextends: lion.yaml\nstate: 3\n")
    for arguments in (("generate", "lion"), ("check", tmp_path / "mine.yaml")):
        out, err = invoke(*arguments, code=1)
        assert str(specs_directory()) not in out + err
    assert invoke("generate", "lion", code=1)[1].startswith("lion.yaml:2:7: error E501: ")
    with pytest.raises(SpecError, match=r"^lion\.yaml:2:7: error E501"):
        compiler.compile("lion")


@pytest.mark.parametrize("name", ["a b.yaml", "a\nb.yaml", "-x.yaml", "\udcff.yaml", "β.yaml"])
def test_names_of_files(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(BAD)
    lines = invoke("check", "--", name, code=1)[1].splitlines()
    assert len(lines) == 4
    assert lines[0].endswith(".yaml:5:26: error E203: unknown name `y`")
    Path(name).write_text(ADAM)
    invoke("generate", "-o", "out", "--", name)
    compile(Path("out/adam.py").read_text(), "adam.py", "exec")
    assert "\nb" not in Path("out/adam.py").read_text()[:60]


def no_room():
    return open("/dev/full", "w")  # noqa: PTH123


def no_reader():
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w")


def closed():
    return None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full device")
@pytest.mark.parametrize("arguments", ["list", "derive adam", "--help", "check adam", "show adam"])
@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (no_room, "error: cannot write to standard output: No space left on device\n"),
        (closed, "error: cannot write to standard output: Bad file descriptor\n"),
        (no_reader, ""),
    ],
)
def test_output_that_cannot_be_written(monkeypatch, capsys, handlers, arguments, stream, message):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", ["optode", *arguments.split()])
        patch.setattr(sys, "stdout", stream())
        with pytest.raises(SystemExit) as ended:
            main()
        with suppress(BrokenPipeError):
            sys.stdout.close()
    assert ended.value.code == 1
    assert capsys.readouterr().err == message


def test_errors_of_files_are_not_taken_for_those_of_streams(handlers):
    with pytest.raises(FileNotFoundError), standard_streams():
        Path("/nowhere/at/all").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_end_lets_a_command_tidy_up(handlers, number):
    tidied = []
    signal.signal(number, signal.SIG_DFL)
    with pytest.raises(SystemExit) as ended, standard_streams():
        try:
            signal.raise_signal(number)
        finally:
            tidied.append(number)
    assert ended.value.code == 128 + number
    assert tidied == [number]


def test_a_signal_that_is_ignored_stays_so(handlers):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    with standard_streams():
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_the_package_runs_as_the_command_does():
    """With an encoding that has no accents, in a narrow terminal, without colours."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "40", "NO_COLOR": "1"}
    command = (sys.executable, "-m", "optode", "list")
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    assert b"Cand?s" in done.stdout and done.stderr == b""


def test_files_of_a_spec(tmp_path):
    base, mine = tmp_path / "base.yaml", tmp_path / "mine.yaml"
    mine.write_text("name: mine\nextends: base.yaml\n")
    assert files_of(str(mine)) == (mine,)
    base.write_text("name: base\nextends: adam\n")
    assert files_of(str(mine)) == (mine, base, shipped_spec("adam"))
    base.write_text("name: base\nextends: mine.yaml\n")
    assert files_of(str(mine)) == (mine, base)
    base.write_text("name: [")
    assert files_of(str(mine)) == (mine, base)
    assert files_of("no/such") == (Path("no/such"),)


def test_watching_checks_again_at_each_change(tmp_path, monkeypatch):
    """The spec changes, then what it extends is deleted; then the author ends it."""
    base, mine = tmp_path / "base.yaml", tmp_path / "mine.yaml"
    base.write_text(SGD)
    mine.write_text("name: mine\nextends: base.yaml\nstate: 3\n")
    changes = [
        lambda: mine.write_text("name: mine\nextends: base.yaml\n"),
        lambda: None,
        base.unlink,
        lambda: base.write_text(SGD),
    ]

    def sleep(seconds):
        if not changes:
            raise KeyboardInterrupt
        changes.pop(0)()

    monkeypatch.setattr(check.time, "sleep", sleep)
    monkeypatch.setattr(check.time, "strftime", lambda _: "12:00:00")
    out, err = invoke("check", mine, "--watch", code=130)
    assert out == f"-- 12:00:00\n{mine}: ok\n-- 12:00:00\n-- 12:00:00\n{mine}: ok\n"
    assert [line.partition(": ")[2] for line in err.splitlines() if " error " in line] == [
        "error E109: `state` must be a list of names",
        "error E101: `base.yaml` is neither a file nor a shipped spec",
    ]


@pytest.mark.parametrize("arguments", [("-",), ("adam", "--format", "json")])
def test_what_cannot_be_watched(arguments):
    assert "--watch" in invoke("check", *arguments, "--watch", code=2)[1]


def test_watching_ends_by_an_interrupt(tmp_path, interruptible):
    path = tmp_path / "sgd.yaml"
    path.write_text(SGD)
    command = (sys.executable, "-m", "optode", "check", str(path), "--watch")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=-1, stderr=-1, text=True
    ) as watching:
        deadline = threading.Timer(60, watching.kill)
        deadline.start()
        assert watching.stdout.readline() == f"{path}: ok\n"
        path.write_text(BAD)
        assert watching.stdout.readline().startswith("-- ")
        assert "error E203" in watching.stderr.readline()
        time.sleep(0.05)
        watching.send_signal(signal.SIGINT)
        assert watching.wait() == 130
        assert "Traceback" not in watching.stderr.read()
        deadline.cancel()
