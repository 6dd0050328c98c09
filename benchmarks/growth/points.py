"""The base point, and points that differ from it in one factor: which they are, and what is seen there.

All are measured in turns, so that what the machine does meanwhile befalls all alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from statistics import median

from benchmarks.bench import Bench
from benchmarks.figures import Window
from benchmarks.load import Alarm
from benchmarks.servers import REDIS, Contender, Meter, Running, blamed, started
from benchmarks.works import Work

from .hosts import Host, Taken, several, taking
from .plan import HOSTS, PROCESSES, PUBLISHERS, SOCKETS, Plan

BASE = Work(name="base", title="", users=64, sockets=1, publishers=16)
ONE_USER = replace(BASE, users=1, publishers=1)
MANY_USERS = replace(BASE, users=256)  # so that the hash has something to spread


@dataclass(frozen=True)
class Sample:
    """One window."""

    window: Window
    hosts: Sequence[Taken]  # Redis


@dataclass
class Point:
    factor: str
    size: int
    contender: Contender
    work: Work
    hosts: int = 1  # of Redis
    samples: list[Sample] = field(default_factory=list)

    def median(self, figure: str) -> float:
        """Of a figure of the windows."""
        return float(median(getattr(sample.window, figure) for sample in self.samples))

    def of_hosts(self, figure: Callable[[Taken], float]) -> list[float]:
        """Of each Redis host for each publish, of all windows together."""
        publishes = sum(sample.window.count for sample in self.samples)
        return [sum(map(figure, host)) / publishes for host in zip(*(each.hosts for each in self.samples), strict=True)]

    @property
    def commands(self) -> float:
        """PUBLISH commands for each publish."""
        return sum(self.of_hosts(lambda taken: taken.publishes))

    @property
    def redis_ms(self) -> float:
        """Of all Redis hosts, for each publish."""
        return 1000 * sum(self.of_hosts(lambda taken: taken.cpu))

    @property
    def busiest(self) -> float:
        """The share of the PUBLISH commands that the busiest host has."""
        return max(self.of_hosts(lambda taken: taken.publishes)) / self.commands


def points(factor: str, plan: Plan, contenders: Sequence[Contender]) -> Iterator[Point]:
    """Peers take part only in what they can tell something about."""
    ours = [contender for contender in contenders if contender is REDIS]
    for size in plan.sizes[factor]:
        if factor == SOCKETS:
            yield from (Point(factor, size, each, replace(ONE_USER, sockets=size)) for each in contenders)
        elif factor == PUBLISHERS:
            yield from (Point(factor, size, each, replace(BASE, publishers=size)) for each in ours)
        elif factor == PROCESSES:
            yield from (Point(factor, size, replace(each, processes=size), BASE) for each in ours)
        elif factor == HOSTS:
            yield from (Point(factor, size, replace(each, processes=2), MANY_USERS, hosts=size) for each in ours)


async def measure(bench: Bench, wanted: Sequence[Point], keep: Callable[[], None]) -> None:
    """Put samples into the points, and call `keep` after each round. Those that differ in what is asked only, share a
    server."""
    with several(bench, max(point.hosts for point in wanted)) as hosts, ExitStack() as stack:
        running: dict[tuple[str, int, int], tuple[Bench, Running]] = {}
        for point in wanted:
            if key(point) not in running:
                on = on_hosts(bench, hosts[: point.hosts])
                server = stack.enter_context(started(point.contender, on.redis_url, on.cores))
                running[key(point)] = on, server
        for number in range(bench.plan.rounds + 1):
            part = f"round {number} of {bench.plan.rounds}" if number else "warm-up"
            for point in wanted:
                title = f"{point.factor}, {part}: {point.size}, {point.contender.title}"
                bench.progress(title, expected(point, bench))
                with blamed(point.contender):
                    sample = await sampled(*running[key(point)], point.work, hosts[: point.hosts])
                if number:
                    point.samples.append(sample)
            if number:
                keep()


def key(point: Point) -> tuple[str, int, int]:
    return point.contender.name, point.contender.processes, point.hosts


def on_hosts(bench: Bench, hosts: Sequence[Host]) -> Bench:
    pids = [pid for host in hosts for pid in host.meter.pids]
    return replace(bench, redis_url=",".join(host.url for host in hosts), redis=Meter(*pids))


async def sampled(bench: Bench, server: Running, work: Work, hosts: Sequence[Host]) -> Sample:
    async with bench.load(work, server, Alarm()) as load:
        await load.run(bench.plan.warm_up)
        with taking(hosts) as taken:
            window = await bench.measured(load, server)
        return Sample(window, taken())


def expected(point: Point, bench: Bench) -> float:
    """Seconds that a window takes, about."""
    return 0.2 + point.work.users * point.work.sockets / 1000 + bench.plan.warm_up + bench.plan.seconds


Found = Mapping[str, Sequence[Point]]  # by factor
