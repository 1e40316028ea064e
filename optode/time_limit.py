"""Stop a computation that takes too long, and tell what it was at.

A limit only ever stops: no result depends on the time that it took. On POSIX a timer interrupts the
main thread anywhere; in other threads, and on Windows, the time is looked at whenever a further
piece of work begins (``at_work``).
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from optode.diagnostics import Diagnostic, Span, SpecError, quoted

DEFAULT_SECONDS = 30.0
"""The limit of the command line, for each spec."""

_REPEAT = 0.2
"""An exception raised in a finalizer is lost: the timer goes on until one is not."""


@dataclass(frozen=True, slots=True)
class _Work:
    """A stage, and the expression that it is at; ``place`` is where the spec has it."""

    stage: str = ""
    place: Span | None = None
    expression: object = None


_IDLE = _Work()
_work: ContextVar[_Work] = ContextVar("_work", default=_IDLE)
_end: ContextVar[float | None] = ContextVar("_end", default=None)


class _TimeUp(BaseException):
    """The time is up. No ``except Exception`` of a library on the way catches it."""

    def __init__(self, work: _Work) -> None:
        super().__init__()
        self.work = work


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Stop what runs inside after so many seconds (None: never).

    Raises SpecError (E901) that names the stage and the expression at work. Of nested limits the
    first to be reached counts.
    """
    if seconds is None:
        yield
        return
    end = time.monotonic() + seconds
    outer = _end.get()
    mine = _end.set(end if outer is None else min(end, outer))
    try:
        with _timer(seconds) if _can_interrupt() else nullcontext():
            yield
    except _TimeUp as up:
        if outer is not None and time.monotonic() > outer:
            raise
        raise SpecError([_too_slow(up.work, seconds)]) from None
    finally:
        _end.reset(mine)


@contextmanager
def at_work(
    stage: str = "", place: Span | None = None, expression: object = None
) -> Iterator[None]:
    """Say what is being done, for the message of a time limit; what is left out stays as it was."""
    _look_at_the_time()
    now = _work.get()
    at = now.expression if expression is None else expression
    token = _work.set(_Work(stage or now.stage, place or now.place, at))
    try:
        yield
    finally:
        _work.reset(token)


def _look_at_the_time() -> None:
    end = _end.get()
    if end is not None and time.monotonic() > end:
        raise _TimeUp(_work.get())


def _can_interrupt() -> bool:
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and hasattr(signal, "setitimer")


@contextmanager
def _timer(seconds: float) -> Iterator[None]:
    """Interrupt the main thread after so many seconds, unless another timer rings before."""
    remaining, interval = signal.getitimer(signal.ITIMER_REAL)
    if 0 < remaining <= seconds:
        yield
        return
    begun = time.monotonic()
    handler = signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, _REPEAT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if remaining:
            left = max(remaining - (time.monotonic() - begun), 1e-6)
            signal.setitimer(signal.ITIMER_REAL, left, interval)


def _ring(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise _TimeUp(_work.get())


def _too_slow(work: _Work, seconds: float) -> Diagnostic:
    stage = f" in the stage `{work.stage}`" if work.stage else ""
    text = "" if work.expression is None else quoted(str(work.expression)[:100])
    expression = f", at work on {text}" if text else ""
    message = f"stopped after {seconds:g} s{stage}{expression}"
    hint = "simplify the expression, or allow more time: `--time-limit SECONDS`"
    return Diagnostic("E901", message, work.place, hint)
