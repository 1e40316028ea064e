"""Show on standard error how far a measurement is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Done = Callable[[str], None]


@contextmanager
def progress(words: str, total: int) -> Iterator[Done]:
    """Show a bar over so many pieces; what is returned counts one more, and says which."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[last]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(words, total=total, last="")

        def done(name: str) -> None:
            bar.update(task, advance=1, last=name)
            if not console.is_terminal:  # a log has a line for each piece
                console.print(f"{words}: {name}", highlight=False)

        yield done
