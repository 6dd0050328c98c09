"""Load held: publishes at a steady pace for long, each answer exact, and what the processes use up meanwhile."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter

from benchmarks.servers import Meter

from .cluster import Cluster
from .crowd import Crowd, Person, connected
from .plan import Plan
from .verdicts import Publish, Verdict, judge

MINUTE = 60.0
SHORTEST = 20.0  # seconds; what is left after the last whole minute belongs to it unless it is longer
SHOWN = 10  # wrong answers that are quoted
LATE_MS = 20.0  # the generator's own delay, p99, from which on times are not the service's


@dataclass
class Span:
    """What came of the publishes of some time."""

    seconds: float = 0.0
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)  # of right answers, in seconds
    memory: Mapping[str, int] = field(default_factory=dict)  # at the end, in bytes, by process

    @property
    def publishes(self) -> int:
        return self.verdicts.total()

    @property
    def wrong(self) -> int:
        return self.verdicts[Verdict.WRONG]

    @property
    def lost(self) -> int:
        """Without an answer, or refused."""
        return self.publishes - self.wrong - self.verdicts[Verdict.RIGHT]

    @property
    def rate(self) -> float:
        return self.publishes / self.seconds

    def quantile_ms(self, share: float) -> float:
        return quantile_ms(self.latencies, share)

    def __add__(self, other: Span) -> Span:
        latencies = self.latencies + other.latencies
        return Span(self.seconds + other.seconds, self.verdicts + other.verdicts, latencies, other.memory)


@dataclass(frozen=True)
class Used:
    """What a part of the service has used: CPU in seconds, resident memory in bytes."""

    cpu: float
    memory_before: int
    memory_after: int
    publishes: int
    seconds: float

    @property
    def cpu_ms(self) -> float:
        """For each publish."""
        return 1000 * self.cpu / self.publishes

    @property
    def core_share(self) -> float:
        return self.cpu / self.seconds

    @property
    def growth_kb(self) -> float:
        """For each 100,000 publishes."""
        return (self.memory_after - self.memory_before) / 1024 / self.publishes * 100_000


@dataclass(frozen=True)
class Held:
    spans: Sequence[Span]
    warm_up: Span
    used: Mapping[str, Used]
    sockets: Mapping[str, int]  # at the end, by process
    sockets_lost: int
    wrong: Sequence[str]
    generator_late_ms: float

    @property
    def whole(self) -> Span:
        return sum(self.spans[1:], self.spans[0])

    @property
    def failures(self) -> int:
        """Of the warm-up too."""
        return sum(span.lost + span.wrong for span in (self.whole, self.warm_up)) + self.sockets_lost + len(self.wrong)


class Watch:
    """Judges each publish as soon as it is over: no socket may come or go."""

    def __init__(self) -> None:
        self.span = Span()
        self.wrong: list[str] = []

    def note(self, person: Person, publish: Publish) -> None:
        verdict = judge(publish, person.stays)
        self.span.verdicts[verdict] += 1
        if verdict is Verdict.RIGHT:
            self.span.latencies.append(publish.seconds)
        elif len(self.wrong) < SHOWN:
            self.wrong.append(
                f"publish {publish.n} to {person.name}: {verdict.value}, {publish.status} {publish.text!r}"
            )


async def hold(cluster: Cluster, plan: Plan, progress: Callable[[str], None]) -> Held:
    crowd, watch = Crowd(cluster.port, plan.users, plan.sockets), Watch()
    progress(f"load: connecting {plan.users * plan.sockets} sockets")
    async with connected(crowd.people):
        progress(f"load: warm-up, {plan.warm_up:.0f} s")
        warm_up = await spend(plan.warm_up, plan.rate, crowd, watch)
        crowd.late.clear()
        meters = cluster.meters()
        cpu, memory, start = cpus(meters), memories(meters), perf_counter()
        spans = []
        for number, seconds in enumerate(minutes(plan.seconds), 1):
            progress(f"load: minute {number}, {seconds:.0f} s")
            span = await spend(seconds, plan.rate, crowd, watch)
            span.memory = memories(meters)
            spans.append(span)
        seconds = perf_counter() - start
        count = sum(span.publishes for span in spans)
        used = {
            name: Used(after - cpu[name], memory[name], spans[-1].memory[name], count, seconds)
            for name, after in cpus(meters).items()
        }
        addresses = [stay.process for person in crowd.people for stay in person.stays[-plan.sockets :]]
        sockets = {f"process {number}": addresses.count(of) for number, of in enumerate(cluster.addresses, 1)}
        await asyncio.sleep(0)  # a socket that has just been lost is counted
    crowd.close()
    wrong = [*watch.wrong, *crowd.wrong]
    return Held(spans, warm_up, used, sockets, crowd.sockets_lost, wrong, quantile_ms(crowd.late, 0.99))


async def spend(seconds: float, rate: float, crowd: Crowd, watch: Watch) -> Span:
    watch.span, start = Span(), perf_counter()
    await crowd.publish(rate, lambda: perf_counter() >= start + seconds, watch.note)
    watch.span.seconds = perf_counter() - start
    return watch.span


def minutes(seconds: float) -> Iterator[float]:
    """The lengths of the spans that are reported."""
    while seconds >= MINUTE + SHORTEST:
        yield MINUTE
        seconds -= MINUTE
    yield seconds


def cpus(meters: Mapping[str, Sequence[Meter]]) -> dict[str, float]:
    return {name: sum(meter.cpu() for meter in of) for name, of in meters.items()}


def memories(meters: Mapping[str, Sequence[Meter]]) -> dict[str, int]:
    return {name: sum(meter.resident() for meter in of) for name, of in meters.items()}


def quantile_ms(seconds: Sequence[float], share: float) -> float:
    """The value that this share of all is not above. 1: the highest."""
    if not seconds:
        return 0.0
    return 1000 * sorted(seconds)[min(int(len(seconds) * share), len(seconds) - 1)]
