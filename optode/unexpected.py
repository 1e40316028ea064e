"""The last net: an error that no rule of the compiler foresaw becomes a diagnostic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar, cast

from optode.diagnostics import Diagnostic, Span, SpecError
from optode.time_limit import at_work
from optode.version import __version__

Method = TypeVar("Method", bound=Callable[..., Any])


@contextmanager
def stage(name: str, place: Span | None = None) -> Iterator[None]:
    """Run a stage of the compiler: whatever goes wrong inside is a SpecError.

    An error that is none becomes E900, raised from it. ``place`` is where the spec names what the
    stage works on.
    """
    with at_work(name, place):
        try:
            yield
        except SpecError:
            raise
        except Exception as error:
            raise SpecError([unexpected(error, name, place)]) from error


def staged(name: str) -> Callable[[Method], Method]:
    """Make a method a stage of that name, of an object that has a ``place``."""

    def decorated(method: Method) -> Method:
        @wraps(method)
        def run(self: Any, *args: Any, **kwargs: Any) -> Any:
            with stage(name, self.place):
                return method(self, *args, **kwargs)

        return cast(Method, run)

    return decorated


def unexpected(error: BaseException, stage: str = "", place: Span | None = None) -> Diagnostic:
    """Return the diagnostic of an error that should not be: what, where, and how to report it."""
    what = type(error).__name__ + (f": {text}" if (text := str(error).strip()) else "")
    where = f" in the stage `{stage}`" if stage else ""
    hint = "report it with the spec and the traceback: `--debug`, in Python `error.__cause__`"
    first = what.splitlines()[0][:200]
    message = f"a fault of optode {__version__}{where}, not of the spec: {first}"
    return Diagnostic("E900", message, place, hint)
