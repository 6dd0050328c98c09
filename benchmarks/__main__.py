"""`python -m benchmarks`: start the servers, measure them in turns, print tables."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from .run import IDLE, Progress, measure, readable_errors
from .servers import CONTENDERS, add_elsewhere, allow_open_files
from .tables import tables
from .works import FULL, QUICK, WORKS


def arguments() -> argparse.Namespace:
    works, servers = [work.name for work in WORKS] + [IDLE], [contender.name for contender in CONTENDERS]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure what publishes and sockets cost on this machine, beside a textbook Channels build.",
        epilog=f"NAME is a measurement ({', '.join(works)}) or a server ({', '.join(servers)}). "
        "Without one of a kind, all of that kind are taken.",
    )
    parser.add_argument("--quick", action="store_true", help="90 seconds: does everything, too briefly to judge by")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"default: {FULL.rounds}, quick: {QUICK.rounds}")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", choices=works + servers, help="see below")
    parser.add_argument(
        "--against", type=Path, metavar="FOLDER", help="measure another checkout of the project too, on plain daphne"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all windows, ratios and targets to this file")
    given = parser.parse_args()
    if given.rounds is not None and given.rounds < 1:
        parser.error("--rounds must be at least 1")
    return given


def main() -> None:
    given = arguments()
    plan = QUICK if given.quick else FULL
    if given.rounds is not None:
        plan = replace(plan, rounds=given.rounds)
    if given.against is not None:
        add_elsewhere(given.against.resolve())
    allow_open_files(plan.open_files)
    with readable_errors():
        results = measure(plan, given.only, Progress())
    print("", *tables(results), sep="\n")
    if given.quick:
        print("A quick run: enough to see that all works, too little to judge by.")
    if given.json is not None:
        given.json.write_text(json.dumps(results.as_json(), indent=2) + "\n")


if __name__ == "__main__":
    main()
