"""The last nets: a time limit that names the work, and errors that nobody foresaw."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest

from optode import compiler, derivation
from optode.diagnostics import SpecError
from optode.time_limit import at_work, time_limit
from optode.version import __version__

RULE = "name: rule\nstep_size: s\nstate: [x]\nupdate: |\n  x[k+1] = x[k] - s*grad(x[k])\n"


def codes(error: SpecError) -> list[str]:
    return [diagnostic.code for diagnostic in error.diagnostics]


def test_a_limit_stops_and_names_the_work() -> None:
    with (
        pytest.raises(
            SpecError, match=r"0\.05 s in the stage `limit`, at work on `x \+ y`"
        ) as caught,
        time_limit(0.05),
        at_work("limit", expression="x + y"),
    ):
        while True:
            pass
    assert codes(caught.value) == ["E901"]
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_without_a_timer_the_time_is_looked_at_where_work_begins() -> None:
    found: list[SpecError] = []

    def work() -> None:
        try:
            with time_limit(0.05):
                while True:
                    with at_work("limit"):
                        time.sleep(0.01)
        except SpecError as error:
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert codes(found[0]) == ["E901"]


def test_the_first_of_nested_limits_counts() -> None:
    begun = time.monotonic()
    with pytest.raises(SpecError), time_limit(0.1), time_limit(60):
        while True:
            pass
    assert time.monotonic() - begun < 30


def test_a_quick_computation_is_left_alone() -> None:
    with time_limit(60):
        assert compiler.derive("gradient_descent").limit.states
    with time_limit(None):
        pass


@pytest.mark.parametrize("fault", [KeyError("u"), RecursionError("deep"), ZeroDivisionError()])
def test_an_unexpected_error_is_a_diagnostic(
    fault: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise fault

    monkeypatch.setattr(derivation, "build_rule", fail)
    path = tmp_path / "rule.yaml"
    path.write_text(RULE)
    with pytest.raises(SpecError) as caught:
        _ = compiler.derive(path).limit
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E900"
    assert f"optode {__version__} in the stage `rule`" in diagnostic.message
    assert type(fault).__name__ in diagnostic.message
    assert diagnostic.span is not None
    assert caught.value.__cause__ is fault
