"""Read a spec: from the text of a YAML file to its declarations, or to all of its errors."""

from __future__ import annotations

import errno
import hashlib
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from optode.diagnostics import (
    Diagnostic,
    Reporter,
    Source,
    Span,
    SpecError,
    quoted,
    quoted_path,
    unprintable,
)
from optode.spec.declarations import (
    Assignment,
    EquationSpec,
    InitialSpec,
    LearnedSpec,
    ModelSpec,
    ParameterSpec,
    Spec,
    VerifySpec,
)
from optode.spec.inheritance import laid_over
from optode.spec.sections import read_sections
from optode.spec.shipped import (
    STANDARD_INPUT,
    cited,
    find_spec,
    is_file,
    no_such_spec,
    shipped_spec,
)
from optode.spec.yaml_source import Mapping, Node, Scalar, Sequence, read_yaml

__all__ = [
    "Assignment",
    "EquationSpec",
    "InitialSpec",
    "LearnedSpec",
    "ModelSpec",
    "ParameterSpec",
    "Spec",
    "UnfinishedSpec",
    "VerifySpec",
    "files_of",
    "parse_spec",
    "read_file",
    "read_spec",
]

MAX_BYTES = 256 * 1024
MAX_EXTENDED = 20
"""How many specs one spec may extend, one through the other."""


class UnfinishedSpec(SpecError):
    """A spec with errors, for later stages to look at.

    ``spec`` is what could be read of it, ``keys`` every key of the file, known or not.
    """

    def __init__(self, diagnostics: Iterable[Diagnostic], spec: Spec, keys: frozenset[str]) -> None:
        super().__init__(diagnostics)
        self.spec = spec
        self.keys = keys

    def __reduce__(self) -> tuple[type, tuple[tuple[Diagnostic, ...], Spec, frozenset[str]]]:
        return UnfinishedSpec, (self.diagnostics, self.spec, self.keys)


def read_spec(path: Path) -> Spec:
    """Read the spec in a file.

    Raises SpecError with all errors of the file; those of a file it extends carry that file's name.
    """
    reporter = Reporter()
    file = _read_file(path, None, reporter)
    return _spec(file, path.parent, (path.resolve(),), reporter)


def parse_spec(text: str, path: str = "<string>", *, base_directory: Path | None = None) -> Spec:
    """Read the spec in a text; errors cite it as ``path``.

    ``extends`` looks in ``base_directory`` (where one is given) and then among the shipped specs.
    Raises SpecError with all errors.
    """
    reporter = Reporter()
    data = text.encode("utf-8", "surrogatepass")
    if len(data) > MAX_BYTES:
        reporter.error("E102", _too_large(path), None)
    reporter.raise_if_any()
    return _spec(_File(_source(path, text, reporter), data), base_directory, (), reporter)


@dataclass(frozen=True, slots=True)
class _File:
    source: Source
    data: bytes


def _spec(file: _File, directory: Path | None, chain: tuple[Path, ...], reporter: Reporter) -> Spec:
    reporter.raise_if_any()
    tree = _tree(file, reporter)
    own_name = tree.get("name")
    tree, data = _extended(tree, directory, chain, reporter)
    if own_name is None:
        reporter.error("E108", "the key `name` is missing", Span(file.source, 0, 0))
    digest = hashlib.sha256(data + file.data).hexdigest()
    spec = read_sections(tree, file.source, digest, reporter)
    if reporter.diagnostics:
        raise UnfinishedSpec(reporter.diagnostics, spec, frozenset(_keys(tree)))
    return spec


def _keys(node: Node) -> Iterator[str]:
    """Yield the keys of a tree at every depth."""
    if isinstance(node, Mapping):
        yield from (key.text for key, _ in node.entries)
        yield from (key for _, value in node.entries for key in _keys(value))
    elif isinstance(node, Sequence):
        yield from (key for item in node.items for key in _keys(item))


def read_file(path: Path) -> tuple[Source, bytes]:
    """Return the text of a spec's file, and its bytes; raises SpecError where it is no text."""
    reporter = Reporter()
    file = _read_file(path, None, reporter)
    reporter.raise_if_any()
    return file.source, file.data


def files_of(spec: str) -> tuple[Path, ...]:
    """Return the file of a spec, named as on the command line, and those that it extends.

    Ends at the first that is missing or wrong, as far as the files can be read.
    """
    found: dict[Path, None] = {}
    try:
        path = find_spec(spec)
        while path not in found:
            found[path] = None
            reporter = Reporter()
            reference = _tree(_read_file(path, None, reporter), reporter).get("extends")
            if isinstance(reference, Scalar):
                path = _base_path(reference.located.text, reference.span, path.parent, reporter)
    except SpecError:
        pass
    return tuple(found) or (Path(spec),)


def _read_file(path: Path, span: Span | None, reporter: Reporter) -> _File:
    """Return a file's text; ``span`` is where another spec asks for it."""
    name = cited(path)
    try:
        with _opened(path) as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise SpecError(
            [Diagnostic("E101", f"cannot read {quoted_path(name)}: {reason}", span)]
        ) from None
    if len(data) > MAX_BYTES:
        raise SpecError([Diagnostic("E102", _too_large(name), span)])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        source = Source(name, _with_line_feeds(data.decode("utf-8-sig", "replace")))
        start = len(_with_line_feeds(error.object[: error.start].decode()))  # without the mark
        place = Span(source, start, start + 1)
        message = f"byte 0x{error.object[error.start]:02x} is not UTF-8"
        raise SpecError([Diagnostic("E102", message, place, "save the file as UTF-8")]) from None
    return _File(_source(name, text, reporter), data)


def _opened(path: Path) -> AbstractContextManager[BinaryIO]:
    if path is not STANDARD_INPUT:
        return path.open("rb")
    if sys.stdin is None:
        raise OSError(errno.EBADF, "standard input is closed")
    return nullcontext(sys.stdin.buffer)


def _too_large(path: str) -> str:
    return f"{quoted_path(path)} is larger than {MAX_BYTES // 1024} KiB"


def _source(path: str, text: str, reporter: Reporter) -> Source:
    source = Source(path, _with_line_feeds(text))
    match = unprintable(source.text)
    if match is not None:
        message = f"the control character U+{ord(match[0]):04X} is not allowed"
        reporter.error("E102", message, Span(source, *match.span()))
    return source


def _with_line_feeds(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _tree(file: _File, reporter: Reporter) -> Mapping:
    tree = read_yaml(file.source, reporter)
    if tree is not None and not isinstance(tree, Mapping):
        reporter.error("E109", "a spec must be a mapping: lines `key: value`", tree.span)
    if not isinstance(tree, Mapping):
        raise SpecError(reporter.diagnostics)
    return tree


def _extended(
    tree: Mapping, directory: Path | None, chain: tuple[Path, ...], reporter: Reporter
) -> tuple[Mapping, bytes]:
    """Return the tree laid over that of the spec it extends, and the bytes of all of that one's files."""
    reference = tree.get("extends")
    if reference is None:
        return tree, b""
    if not isinstance(reference, Scalar) or not reference.located.text:
        reporter.error("E109", "`extends` must be the name of one spec", reference.span)
        raise SpecError(reporter.diagnostics)
    span = reference.span
    path = _base_path(reference.located.text, span, directory, reporter)
    if path.resolve() in chain:
        reporter.error("E113", f"{quoted(path.name)} extends itself", span)
        raise SpecError(reporter.diagnostics)
    if len(chain) >= MAX_EXTENDED:
        reporter.error("E113", f"more than {MAX_EXTENDED} specs extend one another", span)
        raise SpecError(reporter.diagnostics)
    base_file = _read_file(path, span, reporter)
    reporter.raise_if_any()
    base_tree, data = _extended(
        _tree(base_file, reporter), path.parent, (*chain, path.resolve()), reporter
    )
    return laid_over(base_tree, tree, reporter), data + base_file.data


def _base_path(name: str, span: Span, directory: Path | None, reporter: Reporter) -> Path:
    """Return the file of that name beside the extending one, else the shipped spec."""
    if directory is not None and is_file(directory / name):
        return directory / name
    shipped = shipped_spec(name)
    if shipped is None:
        raise SpecError([*reporter.diagnostics, no_such_spec(name, span)])
    return shipped
