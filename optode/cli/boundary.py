"""The edge of the command: no traceback leaves it, and Ctrl-C ends it with one line.

Only light imports stand here, so that the edge is drawn before the slow ones begin.
"""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

DEBUG = "--debug"
"""Shows the traceback behind an error; it may stand anywhere on the command line."""

INTERRUPTED = 130
"""The exit code after Ctrl-C: 128 and the number of the signal."""


def end_at_interrupt() -> None:
    """From now on Ctrl-C ends the program with one line and exit code 130; a second one at once."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)


def _interrupted(_signal: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.stderr.write("optode: interrupted\n")
    raise SystemExit(INTERRUPTED)


@contextmanager
def boundary() -> Iterator[None]:
    """Run the command: an error that nothing foresaw is a diagnostic (E900), with exit code 1."""
    end_at_interrupt()
    try:
        yield
    except Exception as error:
        from optode.unexpected import unexpected

        print(unexpected(error).render(), file=sys.stderr)
        if DEBUG in sys.argv:
            traceback.print_exception(error)
        raise SystemExit(1) from None


def print_cause(error: BaseException) -> None:
    """Print the traceback of what an error was raised from, if it was from anything."""
    if error.__cause__ is not None:
        traceback.print_exception(error.__cause__)
