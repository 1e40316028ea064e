"""Replace files: all of them or none, each whole at every moment, and nothing left beside them.

A text is written beside its destination, under a name of optode's own, and moved into place. One
process at a time writes in a folder: it holds the folder's lock, which ends with the process however
that ends. What the holder finds under such a name was left by a process that was killed.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

PATIENCE = 10.0
"""Seconds to wait for another process that writes in a folder."""

_TEMPORARY = re.compile(r"\.optode-[0-9a-f]{16}")


def replace_all(contents: Mapping[Path, bytes], folders: Iterable[Path] = ()) -> None:
    """Give every file its content, or leave all as they are; also clear the further ``folders``.

    Folders that are missing are made. A link stays, the file that it leads to changes; a file that
    is there keeps its mode. Raises OSError, with the path in ``filename``.
    """
    with ExitStack() as new_folders, ExitStack() as locks:
        for path in contents:
            with _blaming(path):
                _make_folder(path.parent, new_folders)
        places = {path: Path(os.path.realpath(path)) for path in contents}
        existing = {Path(os.path.realpath(folder)) for folder in folders if folder.is_dir()}
        for folder in sorted(existing | {place.parent for place in places.values()}):
            with _blaming(folder):
                locks.enter_context(_alone_in(folder))
        _exchange({path: (place, contents[path]) for path, place in places.items()})
        new_folders.pop_all()


def _exchange(contents: Mapping[Path, tuple[Path, bytes]]) -> None:
    """Write what each path shall hold beside the place where it lies, then move all into place."""
    with ExitStack() as leftovers, ExitStack() as undo:
        prepared: list[tuple[Path, Path, Path]] = []
        for path, (place, content) in contents.items():
            with _blaming(path):
                new = _beside(place, leftovers)
                with new.open("xb") as stream:
                    stream.write(content)
                if place.exists():
                    shutil.copymode(place, new)
                prepared.append((path, place, new))
        for path, place, new in prepared:
            with _blaming(path):
                _keep(place, leftovers, undo)
                new.replace(place)
        undo.pop_all()


def _beside(place: Path, leftovers: ExitStack) -> Path:
    """Return a name beside a file that is free again when ``leftovers`` are removed."""
    temporary = place.with_name(f".optode-{secrets.token_hex(8)}")
    leftovers.callback(temporary.unlink, missing_ok=True)
    return temporary


def _keep(place: Path, leftovers: ExitStack, undo: ExitStack) -> None:
    """Keep what lies at a place, so that ``undo`` brings it back."""
    if not place.exists():
        undo.callback(place.unlink, missing_ok=True)
        return
    old = _beside(place, leftovers)
    try:
        old.hardlink_to(place)
    except OSError:  # a file system without hard links
        shutil.copy2(place, old)
    undo.callback(old.replace, place)


def _make_folder(folder: Path, undo: ExitStack) -> None:
    """Make a folder and those above it; ``undo`` removes those that were missing."""
    missing = [f for f in (folder, *folder.parents) if not os.path.lexists(f)]
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        undo.callback(_remove_if_empty, one)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):  # another process has written there
        folder.rmdir()


@contextmanager
def _blaming(path: Path) -> Iterator[None]:
    """Let errors name the path that was to be written."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, and remove what killed processes have left there.

    Where the system or the file system has no such locks nothing is removed.
    """
    descriptor = _locked(folder)
    if descriptor is None:
        yield
        return
    try:
        for left in folder.iterdir():
            if _TEMPORARY.fullmatch(left.name):
                with suppress(OSError):
                    left.unlink()
        yield
    finally:
        os.close(descriptor)


def _locked(folder: Path) -> int | None:
    """Return an open descriptor that holds the lock of a folder; None where there are no locks.

    Raises TimeoutError if another process holds it all the time.
    """
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # it may be written, not read
        return None
    end = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                os.close(descriptor)
                raise TimeoutError(errno.ETIMEDOUT, "another process writes there") from None
            time.sleep(0.01)
        except OSError:
            os.close(descriptor)
            return None
        else:
            return descriptor
