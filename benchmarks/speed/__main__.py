"""Run the benchmark from the command line; see --help."""

from __future__ import annotations

import argparse
import math
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.progress import progress
from benchmarks.provenance import ROOT
from benchmarks.speed.environment import environment, environment_line, pin

if TYPE_CHECKING:
    from benchmarks.speed.pieces import Piece

RESULTS = ROOT / "benchmarks" / "results" / "speed"
GOAL = 1e-4


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed",
        description="A training step of neural ODEs, optode's and its peers', at equal error. "
        "Each result is a file of its own, written as soon as it is measured; a run that was "
        "stopped goes on where it was.",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="one case in two minutes, printed, not kept")
    add("--models", nargs="+", metavar="NAME", help="HBNODE, GHBNODE, ...; by default all")
    cases = "small, medium, large, image, mnist, walker2d, plane_vibration, spheres; by default all"
    add("--cases", nargs="+", metavar="NAME", help=cases)
    data = os.environ.get("OPTODE_DATA")
    where = "where mnist.npz, walker2d.npz and pv.csv are, or OPTODE_DATA"
    add("--data", type=Path, metavar="DIR", default=Path(data) if data else None, help=where)
    add("--only", default="", metavar="TEXT", help="contenders with it in the name, not kept")
    add("--goals", nargs="+", type=float, default=[GOAL], metavar="ERROR")
    add("--growth", action="store_true", help="how the cost grows, instead")
    add("--budget", type=float, default=30.0, help="seconds of timing for each problem")
    add("--minutes", type=float, default=math.inf, help="begin nothing after so long")
    add("--threads", type=int, default=2)
    clocks = "cpu, with --threads 1, on a machine that is not idle"
    add("--clock", default="wall", choices=["wall", "cpu"], help=clocks)
    add("--device", default="cpu", choices=["cpu", "cuda"])
    add("--results", type=Path, metavar="DIR", help="where results are kept")
    add("--again", action="store_true", help="measure what is there already")
    add("--tables", action="store_true", help="write the pages from the results, measure nothing")
    add("--plot", type=Path, metavar="FILE.png", help="of the results that are measured now")
    asked = parser.parse_args()
    asked.usual_goal = GOAL
    if asked.results is None and not (asked.quick or asked.only):
        asked.results = RESULTS
    return asked


def main() -> None:
    asked = arguments()
    if asked.tables:
        from benchmarks.speed import page

        page.write_pages(asked.results)
        return
    pin(asked.threads)
    run(asked)


def run(asked: argparse.Namespace) -> None:
    """Measure every piece that is asked for and not kept yet."""
    import torch  # after the threads are pinned

    torch.set_num_threads(asked.threads)
    from benchmarks.speed import page
    from benchmarks.speed.store import Identity, Store
    from optode.runtime.tracing import unlimited_compilations

    begun, where = perf_counter(), environment(asked.device) | {"clock": asked.clock}
    print(environment_line(where))
    store, found = Store(asked.results), []
    known = {
        each.name: (each, Identity(where, each.settings, each.modules)) for each in pieces_of(asked)
    }
    kept = {} if asked.again else {n: store.current(n, each[1]) for n, each in known.items()}
    total = sum(piece.parts for n, (piece, _) in known.items() if not kept.get(n))
    with progress("parts", total) as done:
        for name, (piece, identity) in known.items():
            document = kept.get(name)
            if document is None:
                if perf_counter() > begun + 60 * asked.minutes:
                    print(f"{name}: no time is left")
                    continue
                with fresh_cache(), unlimited_compilations():
                    result = piece.measure(done)
                document = store.keep(name, identity, piece.kind, result)
            found.append(document)
            print("\n" + page.document_text(document), flush=True)
    if asked.plot:
        page.plot_documents(found, asked.plot)


def pieces_of(asked: argparse.Namespace) -> list[Piece]:
    """Return what is to be measured; exit where a name is not known, or data are missing."""
    from benchmarks.speed import pieces
    from benchmarks.speed.cases import CASES
    from benchmarks.speed.equations import MODELS, OF_TASKS
    from benchmarks.speed.tasks.data import NoData
    from benchmarks.speed.tasks.task import TASKS

    first = 1 if asked.quick else None
    asked.by_name = bool(asked.cases)
    asked.models = chosen("--models", asked.models, [*dict.fromkeys((*MODELS, *OF_TASKS))])[:first]
    asked.cases = chosen("--cases", asked.cases, [*CASES, *TASKS])[:first]
    try:
        return pieces.every_piece(asked)
    except NoData as error:
        sys.exit(str(error))


def chosen(option: str, names: list[str] | None, known: list[str]) -> list[str]:
    """Return the names that are asked for, by default all; exit where one is not known."""
    for name in names or ():
        if name not in known:
            sys.exit(f"{option}: no {name}, expected some of {', '.join(known)}")
    return names or known


class fresh_cache(TemporaryDirectory):
    """A folder for what torch.compile keeps, so that nothing was compiled before."""

    def __enter__(self) -> str:
        folder = super().__enter__()
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        return folder


if __name__ == "__main__":
    main()
