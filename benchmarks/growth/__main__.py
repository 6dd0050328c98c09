"""`python -m benchmarks.growth`: change one factor at a time, print tables and what they predict for much more."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import uvloop

from benchmarks.arguments import count, new_file
from benchmarks.bench import Bench
from benchmarks.progress import Progress
from benchmarks.results import write
from benchmarks.run import present, readable_errors, set_up
from benchmarks.servers import REDIS, SOCKETIO_REDIS, TITLES, Contender, allow_open_files

from .crowds import expected as expected_of_step
from .crowds import fill
from .plan import FULL, QUICK, USERS, Plan
from .points import Found, Point, expected, measure, points
from .report import Report

FIGURES = ("rounds", "seconds", "warm_up", "idle_seconds")  # of the plan: those that count here
SERVERS = {contender.name: contender for contender in (REDIS, SOCKETIO_REDIS)}


def parser() -> argparse.ArgumentParser:
    names = [*FULL.sizes, *SERVERS]
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.growth",
        description="Measure how cost grows with users, sockets of a user, publishers, processes and Redis hosts, "
        "and what that predicts for more. It takes about 6 minutes.",
        epilog=f"NAME is a factor ({', '.join(FULL.sizes)}) or a server ({', '.join(SERVERS)}; the second takes part "
        "in users and sockets). Without one of a kind, all of that kind are taken.",
    )
    options.add_argument("--quick", action="store_true", help="a minute: does everything, too briefly to judge by")
    options.add_argument("--only", nargs="+", default=[], metavar="NAME", choices=names, help="see below")
    options.add_argument("--most", type=count, metavar="N", help="no size of a factor is above this")
    options.add_argument(
        "--plan",
        nargs="+",
        default=[],
        metavar="FIGURE=N",
        help=f"change how much is measured: {', '.join(f'{name}={getattr(FULL.windows, name)}' for name in FIGURES)}",
    )
    options.add_argument("--json", type=new_file, metavar="FILE", help="write all that was found to this file")
    return options


def main() -> None:
    options = parser()
    given = options.parse_args()
    try:
        plan = planned(given)
    except ValueError as error:
        options.error(str(error))
    report = Report(plan)
    crowded, found = chosen(given.only, report)
    if not crowded and not found:
        reasons = [f"{title}: {reason}" for title, reason in report.missing.items()]
        options.error("; ".join(["nothing is left to measure: a peer takes part in users and sockets only", *reasons]))
    allow_open_files(plan.open_files)
    keep = partial(write, given.json, report) if given.json is not None else lambda: None
    with readable_errors(), set_up(plan.windows, Progress()) as bench:
        uvloop.run(run(bench, report, crowded, found, keep))
    print("", *report.tables(), sep="\n")
    if given.quick:
        print("A quick run: enough to see that all works, too little to judge by.")


def planned(given: argparse.Namespace) -> Plan:
    plan = QUICK if given.quick else FULL
    if given.most is not None:
        plan = plan.at_most(given.most)
    return replace(plan, windows=plan.windows.changed(given.plan))


def chosen(names: Sequence[str], report: Report) -> tuple[Sequence[Contender], Found]:
    """Who is filled with users, and the points of the other factors. What is missing is told to the report."""
    missing: dict[str, str] = {}
    contenders = list(present([SERVERS[name] for name in SERVERS if name in names] or SERVERS.values(), missing))
    report.missing = {TITLES[name]: reason for name, reason in missing.items()}
    factors = [factor for factor in report.plan.sizes if factor in names] or list(report.plan.sizes)
    found = {factor: made for factor in factors if (made := list(points(factor, report.plan, contenders)))}
    return contenders if USERS in factors else [], found


async def run(
    bench: Bench, report: Report, crowded: Sequence[Contender], found: Found, keep: Callable[[], None]
) -> None:
    """`keep` is called after each crowd, and after each round of the points."""
    wanted = [point for made in found.values() for point in made]
    bench.progress.expect(len(crowded) * seconds_of_steps(bench, report.plan) + seconds_of_points(bench, wanted))
    for contender in crowded:
        report.crowds.append(await fill(bench, contender, report.plan.sizes[USERS]))
        keep()
    if wanted:
        report.found = found
        await measure(bench, wanted, keep)


def seconds_of_steps(bench: Bench, plan: Plan) -> float:
    steps = zip((0, *plan.sizes[USERS]), plan.sizes[USERS], strict=False)
    return sum(expected_of_step(size - before, bench) for before, size in steps)


def seconds_of_points(bench: Bench, wanted: Sequence[Point]) -> float:
    return (bench.plan.rounds + 1) * sum(expected(point, bench) for point in wanted)


if __name__ == "__main__":
    main()
