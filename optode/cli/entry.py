"""The entry of the ``optode`` command: Ctrl-C is taken care of before the slow imports."""

from __future__ import annotations

from optode.cli.boundary import end_at_interrupt


def main() -> None:
    """Run the ``optode`` command."""
    end_at_interrupt()
    from optode.cli.main import main as run

    run()
