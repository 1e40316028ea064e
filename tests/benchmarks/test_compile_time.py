"""The benchmark of compilation: what it counts, and what it prints."""

from __future__ import annotations

import pytest
import torch

from benchmarks import compile_time
from benchmarks.compile_time import EVENTS, Kind
from benchmarks.speed.cases import Case, problem
from optode.runtime import compiling

KIND = Kind("HBNODE", "tiny", "rk4", "module", 1)


@pytest.fixture
def quick_compiler(monkeypatch):
    """Dynamo without code generation behind it, which takes most of the time."""
    whole = torch.compile

    def traced(function, **settings):
        return whole(function, **{**settings, "backend": "aot_eager", "mode": None})

    monkeypatch.setattr(torch, "compile", traced)
    compiling.compiled.cache_clear()
    torch.compiler.reset()
    yield
    monkeypatch.undo()
    compiling.compiled.cache_clear()
    torch.compiler.reset()


@pytest.mark.parametrize("form", ["module", "loss"])
def test_graphs_are_counted_at_each_event(form, quick_compiler):
    kind = Kind("HBNODE", "tiny", "rk4", form, 1)
    record = compile_time.measured(kind, problem("HBNODE", Case("tiny", (2, 3, 2), 4)))
    events = record["events"]
    assert [*events] == [*EVENTS]
    assert events["first call"]["graphs"] == 1
    assert events["first call"]["seconds"] > 0 < record["ms"]
    # a second batch size compiles for all sizes
    assert events["third batch size"]["graphs"] == 0
    if form == "module":
        assert events["new times"]["graphs"] <= 1


def events(seconds, graphs=1):
    return {event: {"seconds": seconds, "graphs": graphs} for event in EVENTS}


def row(steps, seconds, **more):
    found = {**vars(KIND), "problem": "p", "ms": 2.0, "events": events(seconds), "steps": steps}
    return found | more


def test_what_is_printed():
    failing = events(1.0) | {"new times": {"failure": "cannot trace times"}}
    rows = [row(4, 10.0), row(32, 12.5), row(4, 1.0, form="loss", events=failing)]
    printed = compile_time.document_text({"environment": {"cpu": "a"}, "compile_times": rows})
    assert printed.startswith("cpu a\n\n")
    assert "10.0 (1)" in printed
    assert "HBNODE, tiny, module, rk4: 32 steps compile 1.25 times as long as 4" in printed
    assert "loss, new times fails: cannot trace times" in printed
    assert printed.count("times as long") == 1


def test_the_command_line():
    asked = compile_time.arguments(["--quick"])
    assert [(k.model, k.form, k.steps) for k in compile_time.kinds(asked)] == [
        ("HBNODE", form, steps) for form in ("module", "loss") for steps in (1, 2)
    ]
    assert len(compile_time.kinds(compile_time.arguments([]))) == 32
