"""`python -m benchmarks`: start the servers, measure them in turns, print tables, draw charts."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from .arguments import new_file, new_folder
from .charts import draw
from .plan import FULL, QUICK, Plan
from .progress import Progress
from .results import Results, write
from .run import forget, left_out, measure, readable_errors
from .servers import CONTENDERS, TITLES, add_elsewhere, allow_open_files
from .tables import tables
from .works import MEASUREMENTS


def parser() -> argparse.ArgumentParser:
    works, servers = [measurement.name for measurement in MEASUREMENTS], [contender.name for contender in CONTENDERS]
    options = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure what publishes and sockets cost on this machine, beside Socket.IO and other peers. "
        "It takes about 30 minutes.",
        epilog=f"NAME is a measurement ({', '.join(works)}) or a server ({', '.join(servers)}). "
        "Without one of a kind, all of that kind are taken: the servers that the measurement is worth its time for.",
    )
    options.add_argument("--quick", action="store_true", help="5 minutes: does everything, too briefly to judge by")
    options.add_argument("--only", nargs="+", default=[], metavar="NAME", choices=works + servers, help="see below")
    options.add_argument(
        "--plan", nargs="+", default=[], metavar="FIGURE=N", help=f"change how much is measured; as it is: {FULL}"
    )
    options.add_argument(
        "--against", type=Path, metavar="FOLDER", help="measure another checkout of the project too, on plain daphne"
    )
    options.add_argument(
        "--json", type=new_file, metavar="FILE", help="write all windows, ratios and targets to this file"
    )
    options.add_argument("--charts", type=new_folder, metavar="FOLDER", help="draw charts, as SVG, into this folder")
    options.add_argument(
        "--from", type=Path, metavar="FILE", dest="kept", help="measure nothing: take what --json has written"
    )
    return options


def main() -> None:
    options = parser()
    given = options.parse_args()
    try:
        plan = (QUICK if given.quick else FULL).changed(given.plan)
        kept = Results.read(given.kept) if given.kept is not None else None
    except ValueError as error:
        options.error(str(error))
    if kept is None and (out := left_out(set(given.only))):
        said = f"what is to be measured has no part for {', '.join(out)}"
        if set(out) == set(given.only) & set(TITLES):
            options.error(said)
        print(f"Mind: {said}.", file=sys.stderr)
    results = kept or measured(plan, given)
    print("", *tables(results), sep="\n")
    if results.plan != FULL:
        print("Not the whole plan: enough to see that all works, too little to judge by.")
    if given.charts is not None:
        draw(results, given.charts)


def measured(plan: Plan, given: argparse.Namespace) -> Results:
    if given.against is not None:
        add_elsewhere(given.against.resolve())
    allow_open_files(plan.open_files)
    with readable_errors():
        return measure(plan, given.only, Progress(), partial(write, given.json) if given.json is not None else forget)


if __name__ == "__main__":
    main()
