"""`python -m benchmarks.endurance`: hold a load, break things, fill a process with sockets; print tables."""

from __future__ import annotations

import argparse
from dataclasses import replace

import uvloop

from benchmarks import works
from benchmarks.arguments import count, new_file, positive
from benchmarks.progress import Progress
from benchmarks.results import write
from benchmarks.run import measure, readable_errors
from benchmarks.servers import allow_open_files
from tests.servers import NGINX

from .cluster import cluster
from .faults import FAULTS, survive
from .held import hold
from .plan import FULL, QUICK, Plan
from .report import Report

LOAD, ALL_FAULTS, IDLE = "load", "faults", works.IDLE.name
OURS = "redis"  # the contender that idle sockets are put on


def arguments() -> argparse.Namespace:
    faults = [fault.name for fault in FAULTS]
    names = [LOAD, ALL_FAULTS, *faults, IDLE]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.endurance",
        description="Hold a load behind nginx, survive faults, carry idle sockets. "
        "The exit status is 1 when anything was lost or wrong.",
        epilog=f"NAME is a part ({LOAD}, {ALL_FAULTS}, {IDLE}) or a fault ({', '.join(faults)}). Default: all.",
    )
    parser.add_argument("--quick", action="store_true", help="two minutes: too briefly to judge by")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", choices=names, help="see below")
    parser.add_argument("--seconds", type=positive, metavar="N", help=f"of the load; default: {FULL.seconds:.0f}")
    parser.add_argument("--rate", type=positive, metavar="N", help=f"publishes a second; default: {FULL.rate:.0f}")
    parser.add_argument("--users", type=count, metavar="N", help=f"with 2 sockets each; default: {FULL.users}")
    parser.add_argument("--idle-sockets", type=count, metavar="N", help=f"default: {FULL.idle.idle_sockets}")
    parser.add_argument("--json", type=new_file, metavar="FILE", help="write all that was found to this file")
    return parser.parse_args()


def planned(given: argparse.Namespace) -> Plan:
    plan = QUICK if given.quick else FULL
    wanted = {name: getattr(given, name) for name in ("seconds", "rate", "users")}
    plan = replace(plan, **{name: value for name, value in wanted.items() if value is not None})
    if given.idle_sockets is not None:
        plan = replace(plan, idle=plan.idle.changed([f"idle_sockets={given.idle_sockets}"]))
    return plan


def main() -> None:
    given = arguments()
    names = set(given.only) or {LOAD, ALL_FAULTS, IDLE}
    try:
        plan = planned(given)
    except ValueError as error:
        raise SystemExit(str(error)) from None
    if names != {IDLE} and NGINX is None:
        raise SystemExit("nginx is not installed: apt-get install nginx")
    allow_open_files(plan.open_files(idle=IDLE in names))
    with readable_errors():
        report = run(plan, names, Progress())
    print("", *report.tables(), sep="\n")
    if given.quick:
        print("A quick run: enough to see that all works, too little to judge by.")
    if given.json is not None:
        write(given.json, report)
    if report.failures:
        raise SystemExit(1)


def run(plan: Plan, names: set[str], progress: Progress) -> Report:
    report = Report(plan)
    if LOAD in names:
        with cluster() as deployed:
            report.held = uvloop.run(hold(deployed, plan, progress))
    for fault in FAULTS:
        if not names.isdisjoint({ALL_FAULTS, fault.name}):
            with cluster(fault.slow_redis) as deployed:
                report.survived.append(uvloop.run(survive(fault, deployed, plan, progress)))
    if IDLE in names:  # the last one: it pins this process to a core
        report.idle = measure(plan.idle, [IDLE, OURS], progress)
    return report


if __name__ == "__main__":
    main()
