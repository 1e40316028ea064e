"""Report errors to the author of a spec: a code, a position, the line, a caret, a hint."""

from __future__ import annotations

import difflib
import re
import stat
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

MAX_SHOWN = 100
"""Errors written out by one SpecError; the rest are counted."""

_WINDOW = 120
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)


def unprintable(text: str) -> re.Match[str] | None:
    """Return the first character that could disturb a terminal, an editor or the emitted file.

    Controls other than tab and line feed, Unicode line separators, lone surrogates, and the marks
    that change the direction of text (they make code read other than it runs).
    """
    return _UNPRINTABLE.search(text)


@dataclass(frozen=True, slots=True)
class Source:
    """A text with the name it is cited by; its lines end with a line feed."""

    path: str
    text: str = field(repr=False)

    def line_column(self, offset: int) -> tuple[int, int]:
        """Return line and column of a character offset, both from 1, columns counted in characters."""
        starts = _line_starts(self.text)
        line = bisect_right(starts, offset)
        return line, offset - starts[line - 1] + 1

    def line(self, number: int) -> str:
        """Return the text of a line (from 1), without its line feed."""
        start = _line_starts(self.text)[number - 1]
        end = self.text.find("\n", start)
        return self.text[start:] if end < 0 else self.text[start:end]


@lru_cache(maxsize=16)
def _line_starts(text: str) -> tuple[int, ...]:
    return (0, *(match.end() for match in re.finditer("\n", text)))


@dataclass(frozen=True, slots=True)
class Span:
    """The characters ``source.text[start:end]``."""

    source: Source
    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end <= len(self.source.text):
            raise ValueError(f"no span {self.start}:{self.end} in {self.source.path}")

    def at(self, i: int, j: int) -> Span:
        """Return the part from the i-th to the j-th character of this span."""
        return Span(self.source, self.start + i, self.start + j)


@dataclass(frozen=True, slots=True)
class Located:
    """A piece of the author's text and where it stands.

    Where the text is the file's own characters, one for one, parts of it can be pointed at; of a
    quoted YAML string with escapes, or of folded lines, only the whole can.
    """

    text: str
    span: Span

    @property
    def exact(self) -> bool:
        """Whether character i of the text is character i of the span (escapes only shorten)."""
        return len(self.text) == self.span.end - self.span.start

    def at(self, i: int, j: int) -> Span:
        """Return the span of the characters i to j of the text; the whole span if it is not exact."""
        return self.span.at(i, j) if self.exact else self.span

    def part(self, i: int, j: int) -> Located:
        """Return the characters i to j of the text, without the blanks around them."""
        text = self.text[i:j]
        start = i + len(text) - len(text.lstrip())
        return Located(text.strip(), self.at(start, max(start, i + len(text.rstrip()))))


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One error; ``span`` is None where no text can be pointed at."""

    code: str
    message: str
    span: Span | None = None
    hint: str | None = None

    def render(self) -> str:
        """Return a few lines of plain text, safe to print whatever the source holds."""
        place = ""
        excerpt: list[str] = []
        if self.span is not None:
            line, column = self.span.source.line_column(self.span.start)
            place = f"{_on_one_line(self.span.source.path)}:{line}:{column}: "
            excerpt = _excerpt(self.span, line, column)
        hint = [f"  hint: {self.hint}"] if self.hint else []
        lines = [f"{place}error {self.code}: {self.message}", *excerpt, *hint]
        text = "\n".join(line.rstrip() for line in lines)
        return _UNPRINTABLE.sub("\ufffd", text)

    def as_json(self) -> dict[str, str | int | None]:
        """Return the error for a program: None stands for what it does not have."""
        file, line, column = None, None, None
        if self.span is not None:
            file = self.span.source.path
            line, column = self.span.source.line_column(self.span.start)
        return {
            "code": self.code,
            "file": file,
            "line": line,
            "column": column,
            "message": self.message,
            "hint": self.hint,
        }


def _excerpt(span: Span, line: int, column: int) -> list[str]:
    """Return the line under a margin with its number, and carets below the span's part of it."""
    before, marked, after = _window(span.source.line(line), column - 1, span.end - span.start)
    width = len(str(line))
    carets = "^" * max(1, _cells(marked))
    shown = _visible(before + marked + after)
    return [f"  {line} | {shown}", f"  {'':{width}} | {' ' * _cells(before)}{carets}"]


def _window(line: str, start: int, length: int) -> tuple[str, str, str]:
    """Return a line around its marked part, in three pieces; a long one is cut to what a screen takes."""
    end = min(start + length, len(line))
    if len(line) <= _WINDOW:
        return line[:start], line[start:end], line[end:]
    left = max(0, start - _WINDOW // 2)
    right = min(len(line), left + _WINDOW)
    before = ("…" if left else "") + line[left:start]
    after = line[min(end, right) : right] + ("…" if right < len(line) else "")
    return before, line[start : min(end, right)], after


def _visible(text: str) -> str:
    return text.replace("\t", "    ")


def _cells(text: str) -> int:
    """Return the width on a terminal: wide characters take two cells, combining marks none."""
    return sum(
        0
        if unicodedata.category(c) in ("Mn", "Me", "Cf")
        else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in _UNPRINTABLE.sub("\ufffd", _visible(text))
    )


class SpecError(Exception):
    """All errors found in a spec, in order of position."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(sorted(diagnostics, key=_position))
        if not self.diagnostics:
            raise ValueError("an error without a diagnostic")
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        shown = [diagnostic.render() for diagnostic in self.diagnostics[:MAX_SHOWN]]
        hidden = len(self.diagnostics) - len(shown)
        return "\n".join([*shown, *([f"and {hidden} more errors"] if hidden else [])])


def _position(diagnostic: Diagnostic) -> tuple[str, int]:
    span = diagnostic.span
    return (span.source.path, span.start) if span else ("", -1)


class Reporter:
    """Collects the errors of one stage, so that the author sees all of them at once."""

    def __init__(self) -> None:
        self._found: dict[Diagnostic, None] = {}

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """The distinct errors so far, in the order in which they were found."""
        return tuple(self._found)

    def error(self, code: str, message: str, span: Span | None, hint: str | None = None) -> None:
        """Record an error; an equal error counts once."""
        self._found.setdefault(Diagnostic(code, message, span, hint))

    def raise_if_any(self) -> None:
        """Raise SpecError with every error recorded, if there is one."""
        if self._found:
            raise SpecError(self._found)


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate the author most likely meant, if one is near enough."""
    folded = {candidate.casefold(): candidate for candidate in candidates}
    found = difflib.get_close_matches(name.casefold()[:80], list(folded), n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def did_you_mean(name: str, candidates: Iterable[str]) -> str | None:
    """Return the hint that names the nearest candidate."""
    found = nearest(name, candidates)
    return f"did you mean `{found}`?" if found else None


def quoted(text: str) -> str:
    """Return a piece of the author's text for a message: in backquotes, on one line, not long."""
    flat = " ".join(text.split())
    return f"`{flat[:37]}...`" if len(flat) > 40 else f"`{flat}`"


def quoted_path(path: str | Path) -> str:
    """Return a path for a message: in backquotes, on one line; the middle of a very long one is cut."""
    flat = _on_one_line(str(path))
    return f"`{flat[:140]}…{flat[-140:]}`" if len(flat) > 300 else f"`{flat}`"


def _on_one_line(path: str) -> str:
    return re.sub(r"[\n\t]", "\ufffd", path)


_KINDS = (
    (stat.S_ISREG, "file"),
    (stat.S_ISDIR, "directory"),
    (stat.S_ISFIFO, "named pipe"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)


def kind_of_file(path: Path) -> str | None:
    """Return what lies at a path, links followed; None if nothing does. Raises OSError.

    One of ``file``, ``directory``, ``named pipe``, ``socket``, ``device``.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    return next((word for holds, word in _KINDS if holds(mode)), "special file")
