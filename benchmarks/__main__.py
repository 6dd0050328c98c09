"""`python -m benchmarks`: start the servers, measure them in turns, print tables."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic

import uvloop
from redis import Redis

from tests.servers import valkey

from .results import Results
from .servers import CONTENDERS, Cores, Meter, add_elsewhere, allow_open_files
from .tables import tables
from .works import FULL, QUICK, WORKS, Bench, Plan

IDLE = "idle"
SHOWN = 500  # characters of an error; some quote an answer with hundreds of acks


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
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the servers are stopped then too
    if given.against is not None:
        add_elsewhere(given.against.resolve())
    allow_open_files(plan.open_files)
    try:
        results = measure(plan, given.only)
    except KeyboardInterrupt:
        raise SystemExit("stopped") from None
    except TimeoutError:
        raise SystemExit("hung: the last line above says where") from None
    except ExceptionGroup as group:
        errors = dict.fromkeys(repr(error)[:SHOWN] for error in leaves(group))  # each once
        raise SystemExit("\n".join(errors)) from None
    print("", *tables(results), sep="\n")
    if given.quick:
        print("A quick run: enough to see that all works, too little to judge by.")
    if given.json is not None:
        given.json.write_text(json.dumps(results.as_json(), indent=2) + "\n")


def measure(plan: Plan, names: Sequence[str]) -> Results:
    start = monotonic()

    def progress(text: str) -> None:
        print(f"[{monotonic() - start:4.0f} s] {text}", file=sys.stderr, flush=True)

    cores = Cores.choose()
    with valkey() as redis:
        meter = Meter(Redis.from_url(redis.connection_url).info("server")["process_id"])
        if cores is not None:
            Meter(os.getpid()).pin(cores.generator)
            meter.pin(cores.redis)
        return uvloop.run(run(Bench(plan, redis.connection_url, meter, cores, progress), set(names)))


async def run(bench: Bench, names: set[str]) -> Results:
    """Measure what is named, and all of a kind where none of that kind is named."""
    named = [contender for contender in CONTENDERS if contender.name.removesuffix("-elsewhere") in names]
    contenders = named or CONTENDERS
    all_works = names.isdisjoint({IDLE, *(work.name for work in WORKS)})
    results = Results(bench.plan)
    for work in WORKS:
        if all_works or work.name in names:
            results.works[work.name] = await bench.work(work, contenders)
    if all_works or IDLE in names:
        for contender in contenders:
            results.idle[contender.name] = await bench.idle(contender)
    return results


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


if __name__ == "__main__":
    main()
