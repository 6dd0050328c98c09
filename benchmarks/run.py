"""What the commands have in common: a Valkey and pinned cores for a run, its progress, its errors."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

import uvloop
from redis import Redis

from tests.servers import valkey

from .cores import Cores
from .results import Results
from .servers import CONTENDERS, Contender, Meter
from .works import WORKS, Bench, Plan

IDLE = "idle"
SHOWN = 500  # characters of an error; some quote an answer with hundreds of acks


class Progress:
    """Says on stderr what is being done, and since when."""

    def __init__(self) -> None:
        self._start = monotonic()

    def __call__(self, text: str) -> None:
        print(f"[{monotonic() - self._start:4.0f} s] {text}", file=sys.stderr, flush=True)


@contextmanager
def readable_errors() -> Iterator[None]:
    """What ends a run, as a line rather than a traceback."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the servers are stopped then too
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit("stopped") from None
    except TimeoutError:
        raise SystemExit("hung: the last line above says where") from None
    except ExceptionGroup as group:
        errors = dict.fromkeys(repr(error)[:SHOWN] for error in leaves(group))  # each once
        raise SystemExit("\n".join(errors)) from None


def measure(plan: Plan, names: Sequence[str], progress: Callable[[str], None]) -> Results:
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
    all_works = names.isdisjoint({IDLE, *(work.name for work in WORKS)})
    results = Results(bench.plan)
    contenders = list(present(named or CONTENDERS, results.missing))
    for work in WORKS:
        taking_part = [contender for contender in contenders if contender.takes_part(work.name)]
        if taking_part and (all_works or work.name in names):
            results.works[work.name] = await bench.work(work, taking_part)
    if all_works or IDLE in names:
        for contender in (contender for contender in contenders if contender.takes_part(IDLE)):
            results.idle[contender.name] = await bench.idle(contender)
    return results


def present(contenders: Iterable[Contender], missing: dict[str, str]) -> Iterator[Contender]:
    """Those that can run here, or be installed. Why the others can't is put into `missing`."""
    for contender in contenders:
        if reason := contender.why_missing():
            missing[contender.name] = reason
        else:
            yield contender


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error
