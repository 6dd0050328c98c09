"""What the commands have in common: a Valkey and pinned cores for a run, what is measured in it, its errors."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import uvloop
from redis import Redis

from tests.servers import DidNotStart, valkey

from .bench import Bench
from .cores import Cores
from .figures import Window
from .idle import idle
from .mixed import mixed
from .plan import Plan
from .progress import Progress
from .results import Results
from .servers import CONTENDERS, Contender, Meter
from .storm import storm
from .wire import Wrong
from .works import IDLE, MEASUREMENTS, MIXED, Measurement, Work, expected

ONE_BY_ONE = (MIXED, IDLE)  # too many sockets for servers in turns
SHOWN = 500  # characters of an error; some quote an answer with hundreds of acks


@contextmanager
def readable_errors() -> Iterator[None]:
    """What ends a run, as a line rather than a traceback."""
    for ending in (signal.SIGTERM, signal.SIGHUP):  # so that the servers are stopped then too
        if signal.getsignal(ending) is not signal.SIG_IGN:  # as by nohup
            signal.signal(ending, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit("stopped") from None
    except TimeoutError:
        raise SystemExit("hung: the last line above says where") from None
    except (ExceptionGroup, Wrong, ConnectionError, DidNotStart) as error:
        whose = "".join(f"{title}: " for title in getattr(error, "__notes__", ()))
        raise SystemExit("\n".join(dict.fromkeys(f"{whose}{said(leaf)}" for leaf in leaves(error)))) from None


Keep = Callable[[Results], None]


def forget(results: Results) -> None:
    """For those who want the results at the end only."""


def measure(plan: Plan, names: Sequence[str], progress: Progress, keep: Keep = forget) -> Results:
    """`keep` is called after each measurement, and after each server where they come one by one: something wrong ends
    the run, and what was found is lost with it."""
    with set_up(plan, progress) as bench:
        return uvloop.run(run(bench, names, keep))


@contextmanager
def set_up(plan: Plan, progress: Progress) -> Iterator[Bench]:
    """A Valkey, and everybody on a core."""
    cores = Cores.choose()
    with valkey() as redis:
        meter = Meter(Redis.from_url(redis.connection_url).info("server")["process_id"])
        if cores is not None:
            Meter(os.getpid()).pin(cores.generator)
            meter.pin(cores.redis)
        yield Bench(plan, redis.connection_url, meter, cores, progress)


async def run(bench: Bench, names: Sequence[str], keep: Keep) -> Results:
    """Measure what is named, and all of a kind where none of that kind is named."""
    results = Results(bench.plan, names)
    chosen = list(choose(set(names), results.missing))
    bench.progress.expect(sum(len(by) * seconds_of(measurement, bench.plan) for measurement, by in chosen))
    for measurement, contenders in chosen:
        if measurement in ONE_BY_ONE:
            for contender in contenders:
                await alone(measurement, contender, bench, results)
                keep(results)
        else:
            results.works[measurement.name] = await windows(measurement, contenders, bench)
            keep(results)
    keep(results)  # what is missing, too, when there was nothing to measure
    return results


def left_out(names: set[str]) -> list[str]:
    """The servers that are named, and take part in nothing that is."""
    wanted, named = asked(names)
    return [each.name for each in named if not any(measurement.suits(each, named=True) for measurement in wanted)]


def asked(names: set[str]) -> tuple[Sequence[Measurement], Sequence[Contender]]:
    """The measurements, and the servers that are named."""
    named = [contender for contender in CONTENDERS if contender.name.removesuffix("-elsewhere") in names]
    return [measurement for measurement in MEASUREMENTS if measurement.name in names] or MEASUREMENTS, named


def choose(names: set[str], missing: dict[str, str]) -> Iterator[tuple[Measurement, Sequence[Contender]]]:
    """The measurements, and who takes part in each."""
    wanted, named = asked(names)
    contenders = list(present(named or CONTENDERS, missing))
    for measurement in wanted:
        if taking_part := [each for each in contenders if measurement.suits(each, named=bool(named))]:
            yield measurement, taking_part


def present(contenders: Iterable[Contender], missing: dict[str, str]) -> Iterator[Contender]:
    """Those that can run here, or be installed. Why the others can't is put into `missing`."""
    for contender in contenders:
        if reason := contender.why_missing():
            missing[contender.name] = reason
        else:
            yield contender


async def windows(measurement: Measurement, contenders: Sequence[Contender], bench: Bench) -> dict[str, list[Window]]:
    if isinstance(measurement, Work):
        return await bench.in_turns(measurement, contenders, partial(bench.window, measurement))
    return await bench.in_turns(measurement, contenders, partial(storm, bench))


async def alone(measurement: Measurement, contender: Contender, bench: Bench, results: Results) -> None:
    if measurement is IDLE:
        results.idle[contender.name] = await idle(bench, contender)
    else:
        results.works.setdefault(measurement.name, {})[contender.name] = [await mixed(bench, contender)]


def seconds_of(measurement: Measurement, plan: Plan) -> float:
    """That it should take for one server, about."""
    return expected(measurement, plan) * (1 if measurement in ONE_BY_ONE else plan.rounds + 1)


def leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from leaves(each)
    else:
        yield error


def said(error: BaseException) -> str:
    return str(error) if isinstance(error, DidNotStart) else repr(error)[:SHOWN]
