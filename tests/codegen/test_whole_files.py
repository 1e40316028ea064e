"""Files stay whole while several processes write them and some are killed; nothing is left beside."""

from __future__ import annotations

import errno
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from optode.codegen import whole_files
from optode.codegen.files import sealed, write_modules, write_new
from optode.codegen.whole_files import replace_all
from optode.diagnostics import SpecError

WRITER = """
import sys
from pathlib import Path
from optode.codegen.files import sealed, write_modules
folder = Path(sys.argv[1])
for round in range(int(sys.argv[2])):
    text = sealed(f"# Generated.\\n\\nx = {round}\\n" + "# filler\\n" * 4000)
    write_modules({folder / f"part{i % 2}" / f"m{i}.py": text for i in range(6)})
"""
LEFT = ".optode-0123456789abcdef"


@pytest.fixture
def writer(interruptible):
    """A function that starts writers, of which none outlives the test."""
    started = []

    def start(folder, rounds):
        command = (sys.executable, "-c", WRITER, str(folder), str(rounds))
        started.append(subprocess.Popen(command))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def is_whole(text):
    seal = re.search(r"^# Module SHA-256: \w+\n", text, re.MULTILINE)
    return seal is not None and text == sealed(text.replace(seal[0], ""))


def names(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def failing_at(number, error):
    """A Path.replace that fails when it is called for the number-th time."""
    real, calls = Path.replace, []

    def replace(self, target):
        calls.append(target)
        if len(calls) == number:
            raise error
        return real(self, target)

    return replace


@pytest.mark.skipif(sys.platform == "win32", reason="needs locks of folders")
def test_concurrent_writers_some_of_them_killed(tmp_path, writer):
    chance = random.Random(0)
    writers = [writer(tmp_path, 1_000_000) for _ in range(4)]
    end = time.monotonic() + 60
    while len(names(tmp_path)) < 6 and time.monotonic() < end:
        time.sleep(0.01)
    for victim, number in zip(writers, (9, 9, signal.SIGTERM, signal.SIGINT), strict=True):
        for path in tmp_path.glob("part?/m*.py"):
            assert is_whole(path.read_text()), path
        time.sleep(chance.uniform(0.02, 0.1))
        victim.send_signal(number)
        assert victim.wait(20) != 0
    assert writer(tmp_path, 1).wait(20) == 0
    assert names(tmp_path) == [f"m{i}.py" for i in range(6)]
    assert all(is_whole(path.read_text()) for path in tmp_path.rglob("*.py"))


@pytest.mark.skipif(sys.platform == "win32", reason="needs locks of folders")
@pytest.mark.parametrize("changed", [True, False])
def test_what_a_killed_run_left_is_removed(tmp_path, changed):
    texts = {tmp_path / "m.py": sealed("# Generated.\n")}
    if not changed:
        write_modules(texts)
    (tmp_path / LEFT).write_text("half a mod")
    (tmp_path / ".optode-notes").write_text("mine")
    write_modules(texts)
    assert names(tmp_path) == [".optode-notes", "m.py"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs locks of folders")
def test_a_writer_waits_for_another_but_not_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(whole_files, "PATIENCE", 0.05)
    with whole_files._alone_in(tmp_path), pytest.raises(SpecError) as error:
        (tmp_path / LEFT).write_text("being written")
        write_modules({tmp_path / "m.py": "x"})
    assert "another process writes there" in str(error.value)
    assert names(tmp_path) == [LEFT]
    write_modules({tmp_path / "m.py": "x"})
    assert names(tmp_path) == ["m.py"]


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), SystemExit])
def test_all_are_put_back_where_one_fails(tmp_path, monkeypatch, number, error):
    old = {tmp_path / "a.py": "old a", tmp_path / "b.py": "old b"}
    for path, text in old.items():
        path.write_text(text)
    inode = (tmp_path / "a.py").stat().st_ino
    monkeypatch.setattr(Path, "replace", failing_at(number, error))
    texts = dict.fromkeys((*old, tmp_path / "new" / "c.py"), b"new")
    with pytest.raises((OSError, SystemExit)):
        replace_all(texts)
    assert {path: path.read_text() for path in tmp_path.iterdir()} == old
    assert (tmp_path / "a.py").stat().st_ino == inode
    assert not (tmp_path / "new").exists()


def test_a_file_system_without_hard_links(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "hardlink_to", failing_at(1, OSError(errno.EPERM, "no links")))
    monkeypatch.setattr(Path, "replace", failing_at(2, OSError(errno.EIO, "broken")))
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("old")
    with pytest.raises(OSError, match="broken"):
        replace_all({tmp_path / "a.py": b"new", tmp_path / "b.py": b"new"})
    assert names(tmp_path) == ["a.py", "b.py"]
    assert (tmp_path / "a.py").read_text() == "old"


def test_a_full_disk_is_one_error_and_writes_nothing(tmp_path, monkeypatch):
    (tmp_path / "m.py").write_text("# Generated.\n")
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(Path, "replace", failing_at(1, full))
    with pytest.raises(SpecError) as error:
        write_modules({tmp_path / "m.py": "1", tmp_path / "new" / "m.py": "2"}, force=True)
    assert str(error.value) == f"error E603: cannot write `{tmp_path / 'm.py'}`: {full.strerror}"
    assert names(tmp_path) == ["m.py"]
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full device")
def test_a_new_file_is_whole_or_absent(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "open", lambda *_: open("/dev/full", "wb"))  # noqa: PTH123, SIM115
    path = tmp_path / "new.yaml"
    path.touch()  # what opening would have made
    with pytest.raises(SpecError, match="E603"):
        write_new(path, "name: new\n" * 9999)
    assert names(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_only_files_are_written_over(tmp_path):
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "null.py").symlink_to("/dev/null")
    (tmp_path / "loop.py").symlink_to("loop.py")
    (tmp_path / "folder.py").mkdir()
    paths = [tmp_path / f"{name}.py" for name in ("pipe", "null", "loop", "folder", "free")]
    with pytest.raises(SpecError) as error:
        write_modules(dict.fromkeys(paths, "x"), force=True)
    messages = [diagnostic.message for diagnostic in error.value.diagnostics]
    assert [message.rpartition(": ")[2] for message in messages] == [
        "it is a named pipe",
        "it is a device",
        os.strerror(errno.ELOOP),
        "it is a directory",
    ]
    assert not (tmp_path / "free.py").exists()


LOOP, LONG = os.strerror(errno.ELOOP), os.strerror(errno.ENAMETOOLONG)


@pytest.mark.parametrize("kind", ["file", "named pipe", "link to nothing", LOOP, LONG])
def test_a_folder_that_is_none_is_one_error(tmp_path, kind):
    folder = tmp_path / ("x" * 3000 if kind == LONG else "out")
    if kind == "file":
        folder.touch()
    elif kind == "named pipe":
        os.mkfifo(folder)
    elif kind != LONG:
        folder.symlink_to("out" if kind == LOOP else "nowhere")
    with pytest.raises(SpecError) as error:
        write_modules({folder / "below" / f"{name}.py": "x" for name in "abc"})
    (found,) = error.value.diagnostics
    assert found.code == "E603"
    assert found.message.endswith(kind)
    assert len(found.message) < 700
