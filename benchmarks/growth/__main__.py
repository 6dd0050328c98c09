"""`python -m benchmarks.growth`: change one factor at a time, print tables and what they predict for much more."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import uvloop

from benchmarks.arguments import count, new_file, positive
from benchmarks.bench import Bench
from benchmarks.progress import Progress
from benchmarks.results import write
from benchmarks.run import present, readable_errors, set_up
from benchmarks.servers import REDIS, SOCKETIO_REDIS, TITLES, allow_open_files

from .crowds import expected as expected_of_step
from .crowds import fill
from .plan import FULL, QUICK, USERS, Plan
from .points import Point, expected, measure, points
from .report import Report

SERVERS = {contender.name: contender for contender in (REDIS, SOCKETIO_REDIS)}


def arguments() -> argparse.Namespace:
    names = [*FULL.sizes, *SERVERS]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth",
        description="Measure how cost grows with users, sockets of a user, publishers, processes and Redis hosts, "
        "and what that predicts for more. It takes about 6 minutes.",
        epilog=f"NAME is a factor ({', '.join(FULL.sizes)}) or a server ({', '.join(SERVERS)}; the second takes part "
        "in users and sockets). Without one of a kind, all of that kind are taken.",
    )
    parser.add_argument("--quick", action="store_true", help="a minute: does everything, too briefly to judge by")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", choices=names, help="see below")
    parser.add_argument("--most", type=count, metavar="N", help="no size of a factor is above this")
    parser.add_argument(
        "--seconds", type=positive, metavar="N", help=f"of a window; default: {FULL.windows.seconds:.0f}"
    )
    parser.add_argument("--json", type=new_file, metavar="FILE", help="write all that was found to this file")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    plan = QUICK if given.quick else FULL
    if given.most is not None:
        plan = plan.at_most(given.most)
    if given.seconds is not None:
        plan = plan.lasting(given.seconds)
    allow_open_files(plan.open_files)
    with readable_errors(), set_up(plan.windows, Progress()) as bench:
        report = uvloop.run(run(bench, plan, given.only))
    print("", *report.tables(), sep="\n")
    if given.quick:
        print("A quick run: enough to see that all works, too little to judge by.")
    if given.json is not None:
        write(given.json, report)


async def run(bench: Bench, plan: Plan, names: Sequence[str]) -> Report:
    """Ours takes part in everything, a peer where it tells something."""
    report = Report(plan)
    missing: dict[str, str] = {}
    contenders = list(present([SERVERS[name] for name in SERVERS if name in names] or SERVERS.values(), missing))
    report.missing = {TITLES[name]: reason for name, reason in missing.items()}
    factors = [factor for factor in plan.sizes if factor in names] or list(plan.sizes)
    report.found = {
        factor: made for factor in factors if factor != USERS and (made := list(points(factor, plan, contenders)))
    }
    wanted = [point for made in report.found.values() for point in made]
    crowded = contenders if USERS in factors else []
    bench.progress.expect(len(crowded) * seconds_of_steps(bench, plan) + seconds_of_points(bench, wanted))
    for contender in crowded:
        report.crowds.append(await fill(bench, contender, plan.sizes[USERS]))
    if wanted:
        await measure(bench, wanted)
    return report


def seconds_of_steps(bench: Bench, plan: Plan) -> float:
    steps = zip((0, *plan.sizes[USERS]), plan.sizes[USERS], strict=False)
    return sum(expected_of_step(size - before, bench) for before, size in steps)


def seconds_of_points(bench: Bench, wanted: Sequence[Point]) -> float:
    return (bench.plan.rounds + 1) * sum(expected(point, bench) for point in wanted)


if __name__ == "__main__":
    main()
