"""Read plain YAML as a tree of located text; no value is converted.

PyYAML's events carry exact positions; its implicit typing (``1e-8`` a string, ``on`` a boolean) and
its silent overwriting of duplicate keys are not used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

from optode.diagnostics import Located, Reporter, Source, Span, quoted, unprintable

MAX_NESTING = 50
MAX_ENTRIES = 200

_ADVICE = {
    "mapping values are not allowed here": "quote a text that has `: ` in it",
    "could not find expected ':'": "expected `key: value`",
    "found character '\\t' that cannot start any token": "indent with spaces, not with tabs",
}
_DEFAULT_ADVICE = "check the indentation, the quotes and the brackets up to here"


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text; ``lines`` are the lines of a literal block (``|``), each with its exact place."""

    located: Located
    lines: tuple[Located, ...] = ()

    @property
    def span(self) -> Span:
        return self.located.span


@dataclass(frozen=True, slots=True)
class Sequence:
    items: tuple[Node, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values in the author's order, each key once."""

    entries: tuple[tuple[Located, Node], ...]
    span: Span

    def get(self, key: str) -> Node | None:
        return next((value for name, value in self.entries if name.text == key), None)


Node: TypeAlias = Scalar | Sequence | Mapping


class _UnreadableError(Exception):
    """Raised when the file cannot be read further; the reason has been reported."""


def read_yaml(source: Source, reporter: Reporter) -> Node | None:
    """Return the tree of a one-document YAML text, or None once an error was reported.

    Refused, with position: syntax errors, aliases, anchors, tags, several documents, keys that are
    not text, duplicate keys, nesting over 50.
    """
    reader = _Reader(source, reporter)
    try:
        return reader.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or "syntax error"
        advice = _ADVICE.get(problem, _DEFAULT_ADVICE)
        reporter.error("E103", f"YAML: {problem}", reader.point(mark), advice)
    except (
        yaml.YAMLError,
        ValueError,
        OverflowError,
    ):  # the last two: escapes such as "\UFFFFFFFF"
        reporter.error("E103", "YAML: a character cannot be read", reader.point(None))
    except _UnreadableError:
        pass
    return None


class _Reader:
    def __init__(self, source: Source, reporter: Reporter) -> None:
        self._source = source
        self._reporter = reporter
        self._events: Iterator[yaml.Event] = yaml.parse(source.text, Loader=yaml.SafeLoader)
        self._position = 0

    def document(self) -> Node | None:
        next(self._events)  # the stream's start
        start = next(self._events)
        if isinstance(start, yaml.StreamEndEvent):
            self._reporter.error("E103", "the file is empty", self.point(None))
            return None
        if isinstance(start, yaml.DocumentStartEvent) and (start.version or start.tags):
            self._refuse("a spec has no YAML directives", self._span(start))
        node = self._node(next(self._events), 1)
        next(self._events)  # the document's end
        following = next(self._events)
        if not isinstance(following, yaml.StreamEndEvent):
            self._refuse("a spec is one YAML document", self._span(following))
        return node

    def point(self, mark: Any) -> Span:
        """Return an empty span at PyYAML's mark, else where reading has got to."""
        offset = min(mark.index if mark else self._position, len(self._source.text))
        return Span(self._source, offset, offset)

    def _span(self, event: yaml.Event) -> Span:
        start, end = self.point(event.start_mark), self.point(event.end_mark)
        return Span(self._source, start.start, end.end)

    def _refuse(self, message: str, span: Span, hint: str | None = None) -> None:
        self._reporter.error("E104", message, span, hint)

    def _node(self, event: yaml.Event, depth: int) -> Node:
        span = self._span(event)
        self._position = span.end
        if depth > MAX_NESTING:
            self._reporter.error("E105", f"nested deeper than {MAX_NESTING} levels", span)
            raise _UnreadableError
        if isinstance(event, yaml.AliasEvent):
            self._refuse(
                "a spec has no YAML aliases", span, "quote an expression that begins with `*`"
            )
            return Scalar(Located(span.source.text[span.start : span.end], span))
        if isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)):
            self._refuse_properties(event)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, span)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(span, depth)
        return self._mapping(span, depth)

    def _refuse_properties(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        if event.anchor is not None:
            self._refuse("a spec has no YAML anchors", self.point(event.start_mark))
        if event.tag is not None:
            self._refuse("a spec has no YAML tags", self.point(event.start_mark))

    def _sequence(self, start: Span, depth: int) -> Sequence:
        items = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
            self._count(len(items), event)
        return Sequence(tuple(items), self._to(start, event))

    def _mapping(self, start: Span, depth: int) -> Mapping:
        entries: dict[str, tuple[Located, Node]] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            value = self._node(next(self._events), depth + 1)
            self._count(len(entries), event)
            if not isinstance(key, Scalar):
                self._refuse("a key is a plain text", key.span)
            elif key.located.text in entries:
                message = f"the key {quoted(key.located.text)} occurs twice"
                self._reporter.error("E106", message, key.span)
            else:
                entries[key.located.text] = (key.located, value)
        return Mapping(tuple(entries.values()), self._to(start, event))

    def _count(self, number: int, entry: yaml.Event) -> None:
        if number > MAX_ENTRIES:
            message = f"more than {MAX_ENTRIES} entries in one place"
            self._reporter.error("E105", message, self._span(entry))
            raise _UnreadableError

    def _to(self, start: Span, end: yaml.Event) -> Span:
        """Return the span from the start of a collection to the end of its last line of text."""
        text = self._source.text[start.start : self.point(end.end_mark).end].rstrip()
        return Span(self._source, start.start, max(start.end, start.start + len(text)))

    def _scalar(self, event: yaml.ScalarEvent, span: Span) -> Scalar:
        if unprintable(event.value):
            self._reporter.error("E102", "an escape stands for a control character", span)
        if event.style == "|":
            return _literal(event.value, span)
        if event.style in ("'", '"'):
            return Scalar(Located(event.value, span.at(1, span.end - span.start - 1)))
        if event.style == ">":
            raw = span.source.text[span.start : span.end].rstrip()
            return Scalar(Located(event.value.strip(), span.at(0, len(raw))))
        return Scalar(Located(event.value, span))


def _literal(value: str, span: Span) -> Scalar:
    """Return a literal block: its lines are the file's less the indentation, so their ends coincide."""
    header, *raw_lines = span.source.text[span.start : span.end].split("\n")
    start = len(header) + 1
    lines = []
    for raw, text in zip(raw_lines, value.split("\n"), strict=False):
        lines.append(Located(text, span.at(start + len(raw) - len(text), start + len(raw))))
        start += len(raw) + 1
    filled = [line.part(0, len(line.text)) for line in lines if line.text.strip()]
    if len(filled) == 1:
        return Scalar(filled[0], tuple(lines))
    whole = (
        Span(span.source, filled[0].span.start, filled[-1].span.end) if filled else span.at(0, 1)
    )
    return Scalar(Located(value.strip(), whole), tuple(lines))
