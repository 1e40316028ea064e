"""The hash of the code that results carry, and their progress."""

from __future__ import annotations

import pytest

from benchmarks import provenance
from benchmarks.progress import progress


def test_a_hash_follows_the_code_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    (tmp_path / "part").mkdir()
    for name, text in (("part/a.py", "1"), ("part/b.py", "2"), ("c.py", "3"), ("page.md", "4")):
        (tmp_path / name).write_text(text)
    first = provenance.code_hash("part", "c.py")
    (tmp_path / "page.md").write_text("5")
    assert provenance.code_hash("part", "c.py") == first
    assert provenance.code_hash("c.py", "part") != provenance.code_hash("part")
    (tmp_path / "c.py").write_text('"""What it is for."""\n\n3  # not 2\n')
    assert provenance.code_hash("part", "c.py") == first
    (tmp_path / "part/b.py").write_text("5")
    assert provenance.code_hash("part", "c.py") != first
    with pytest.raises(FileNotFoundError, match="no file or folder other"):
        provenance.code_hash("other")


def test_a_commit_is_told_with_what_differs(tmp_path, monkeypatch):
    answers = {"rev-parse": "0123456789abcdef", "status": " M a.py"}
    monkeypatch.setattr(provenance, "_git", lambda command, *_: answers[command])
    assert provenance.commit() == {"commit": "0123456789ab", "dirty": True}
    answers["status"] = ""
    assert provenance.commit()["dirty"] is False
    monkeypatch.undo()
    monkeypatch.setattr(provenance, "ROOT", tmp_path)  # no repository
    assert provenance.commit() == {"commit": None, "dirty": None}


def test_progress_is_told_in_a_log(capsys):
    with progress("models", 2) as done:
        done("adam")
    assert "models: adam" in capsys.readouterr().err
