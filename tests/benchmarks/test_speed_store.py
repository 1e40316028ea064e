"""What is kept of a measurement, and when it is measured again; the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.speed import __main__ as command
from benchmarks.speed import pieces, store
from benchmarks.speed.store import Identity, Store, documents, environment_lines

WHERE = {"cpu": "a cpu", "torch": "2.0", "load": 0.5, "date": "today"}
RESULT = {"problem": "p", "entries": [{"contender": "a"}]}


def identity(**changes: Any) -> Identity:
    given = {"environment": WHERE, "settings": {"goal": 1e-4}, "modules": ("adam",)} | changes
    return Identity(**given)


def test_a_result_is_current_while_nothing_that_matters_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Store(tmp_path / "results")
    assert kept.current("piece", identity()) is None
    document = kept.keep("piece", identity(), "problem", RESULT)
    assert document["environment"]["load"] == 0.5
    assert {"commit", "dirty"} <= document["environment"].keys()
    later = identity(environment=WHERE | {"load": 7.0, "date": "tomorrow"})
    assert kept.current("piece", later) == document
    for changed in (
        identity(environment=WHERE | {"torch": "2.1"}),
        identity(settings={"goal": 1e-6}),
        identity(modules=("heavy_ball",)),
    ):
        assert kept.current("piece", changed) is None
    monkeypatch.setattr(store, "code_hash", lambda *places, without=(): "other")
    assert kept.current("piece", identity()) is None


def test_the_code_that_matters_is_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(
        store, "code_hash", lambda *places, without: seen.update(places=places, without=without)
    )
    identity().record()
    assert {"optode/runtime", "benchmarks/speed", "generated/adam.py"} <= {*seen["places"]}
    root = Path(store.__file__).parents[2]
    assert all((root / name).is_file() for name in seen["without"])
    assert "benchmarks/speed/tables.py" in seen["without"]
    assert "benchmarks/speed/measure.py" not in seen["without"]


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    kept = Store(tmp_path)
    kept.keep("piece", identity(), "problem", RESULT)
    with pytest.raises(ValueError, match="not JSON compliant"):
        kept.keep("piece", identity(), "problem", {"entries": [{"x": float("nan")}]})
    assert [document["result"] for document in documents(tmp_path)] == [RESULT]
    assert Store(None).keep("piece", identity(), "problem", RESULT)["result"] == RESULT


def given(monkeypatch: pytest.MonkeyPatch, *words: str) -> Any:
    monkeypatch.setattr(sys, "argv", ["speed", *words])
    return command.arguments()


def test_parts_are_not_kept_beside_whole_results(monkeypatch: pytest.MonkeyPatch) -> None:
    assert given(monkeypatch).results == command.RESULTS
    assert given(monkeypatch, "--quick").results is None
    assert given(monkeypatch, "--only", "optode").results is None
    assert given(monkeypatch, "--quick", "--results", "there").results == Path("there")


def test_unknown_names_are_refused() -> None:
    assert command.chosen("--models", None, ["a", "b"]) == ["a", "b"]
    assert command.chosen("--models", ["b"], ["a", "b"]) == ["b"]
    with pytest.raises(SystemExit, match="--models: no c, expected some of a, b"):
        command.chosen("--models", ["c"], ["a", "b"])


def test_a_run_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured: list[str] = []

    def piece(name: str) -> pieces.Piece:
        def measure(done: pieces.Done) -> dict[str, Any]:
            measured.append(name)
            done(name)
            curve = {"contender": "a", "values": [1, 2, 4, 8], "seconds": [1.0] * 4, "nfe": [6] * 4}
            return {"axis": name, "curves": [curve]}

        return pieces.Piece(name, "growth", {}, (), 1, measure)

    monkeypatch.setattr(pieces, "growth_pieces", lambda asked: [piece("one"), piece("two")])
    asked = given(monkeypatch, "--growth", "--results", str(tmp_path))
    command.run(asked)
    assert measured == ["one", "two"]
    (tmp_path / "two.json").unlink()
    asked = given(monkeypatch, "--growth", "--results", str(tmp_path))
    command.run(asked)
    assert measured == ["one", "two", "two"]
    assert capsys.readouterr().out.count("ms of a training step by one") == 2
    asked = given(monkeypatch, "--growth", "--again", "--results", str(tmp_path))
    command.run(asked)
    assert len(measured) == 5
    (tmp_path / "two.json").unlink()
    asked = given(monkeypatch, "--growth", "--minutes", "0", "--results", str(tmp_path))
    capsys.readouterr()
    command.run(asked)
    assert len(measured) == 5
    assert "two: no time is left" in capsys.readouterr().out


def test_dates_and_commits_of_one_machine_are_told_together():
    every = [
        {"environment": {"cpu": cpu, "load": load, "date": date, "commit": commit, "dirty": dirty}}
        for cpu, load, date, commit, dirty in (
            ("a", 0.1, "2026-02-03", "c2", False),
            ("a", 0.2, "2026-02-01", "c1", True),
            ("b", 0.3, "2026-02-01", None, None),
        )
    ]
    assert environment_lines(every) == [
        "cpu a, measured 2026-02-01 to 2026-02-03, commit c1 with changes and c2",
        "cpu b, measured 2026-02-01",
    ]
