"""One process that is filled with users, step by step: what they cost to let in, to hold, and to publish to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.bench import Bench
from benchmarks.figures import Spent, Window
from benchmarks.idle import SETTLED
from benchmarks.load import PATIENCE, Alarm, Load, Publisher, User, open_clients, open_publishers
from benchmarks.servers import Contender, Running, started
from benchmarks.works import CONNECTS

from .hosts import Host, Taken, taking
from .points import BASE

LOOK = 0.01  # seconds between two looks at whether all is back


@dataclass(frozen=True)
class Step:
    """So many users, with one socket each."""

    size: int
    bytes_held: int  # by all of them
    redis_bytes: int  # by their subscriptions
    connects: Window  # of those that this step has added
    idle: Spent  # while nothing but pings is sent
    publishes: Sequence[Window]

    @property
    def kb_per_socket(self) -> float:
        return self.bytes_held / 1024 / self.size

    @property
    def idle_cores(self) -> float:
        """Seconds of CPU a second."""
        return self.idle.server_cpu / self.idle.seconds

    @property
    def cpu_ms(self) -> float:
        return median(window.cpu_ms for window in self.publishes)


@dataclass(frozen=True)
class Outage:
    """The connection that has the subscriptions was cut, and came back with all of them."""

    names: int
    spent: Spent
    redis: Taken


@dataclass
class Crowd:
    contender: Contender
    resident: int  # bytes of the process before the first step
    steps: list[Step] = field(default_factory=list)
    outage: Outage | None = None


class Hall:
    """Who is there, and who publishes to them."""

    def __init__(self, bench: Bench, server: Running, publishers: Sequence[Publisher], alarm: Alarm) -> None:
        self._bench, self._server, self._publishers, self._alarm = bench, server, publishers, alarm
        self._host = Host(bench.redis_url)
        self._held = self._redis_held = 0
        self.users: list[User] = []

    async def grow(self, size: int) -> Step:
        meters = self._server.meter.resident, self._host.memory
        before = [meter() for meter in meters]
        connects = await self._let_in(size)
        await asyncio.sleep(SETTLED)
        held, redis_held = (meter() - start for meter, start in zip(meters, before, strict=True))
        self._held += held
        self._redis_held += redis_held
        with self._bench.spending(self._server) as idle:
            await asyncio.sleep(self._bench.plan.idle_seconds)
        publishes = [await self._window() for _ in range(self._bench.plan.rounds)]
        return Step(size, self._held, self._redis_held, connects, idle(), publishes)

    async def _let_in(self, size: int) -> Window:
        """Until there are so many."""
        names = [f"crowd-{number}" for number in range(len(self.users), size)]
        new = [User.make(self._server.door, name, 1, self._alarm) for name in names]
        with self._bench.spending(self._server) as spent:
            took = await open_clients(new, self._alarm)
        self.users += new
        return Window.of(spent(), took)

    async def _window(self) -> Window:
        load = Load(self.users, self._publishers, self._alarm)
        await load.run(self._bench.plan.warm_up)
        with self._bench.spending(self._server) as spent:
            await load.run(self._bench.plan.seconds)
        return Window.of(spent(), load.latencies)

    async def outage(self) -> Outage:
        names = self._host.channels()
        with self._bench.spending(self._server) as spent, taking([self._host]) as taken:
            self._host.cut_off()
            async with asyncio.timeout(PATIENCE):
                while self._host.channels() >= names:  # noqa: ASYNC110  (Redis tells nobody)
                    await asyncio.sleep(0)
                while self._host.channels() < names:  # noqa: ASYNC110
                    await asyncio.sleep(LOOK)
        return Outage(names, spent(), *taken())


async def fill(bench: Bench, contender: Contender, sizes: Sequence[int]) -> Crowd:
    alarm = Alarm()
    with started(contender, bench.redis_url, bench.cores) as server:
        bench.progress(f"users, warm-up: {contender.title}", bench.plan.seconds)
        await bench.window(BASE, server)
        publishers = await open_publishers(server.door, BASE.publishers)
        hall = Hall(bench, server, publishers, alarm)
        crowd = Crowd(contender, server.meter.resident())
        for size in sizes:
            bench.progress(f"users: {size:,}, {contender.title}", expected(size - len(hall.users), bench))
            crowd.steps.append(await hall.grow(size))
        if contender.name == "redis":
            crowd.outage = await hall.outage()
        for user in hall.users:
            user.abort()
    return crowd


def expected(added: int, bench: Bench) -> float:
    """Seconds that a step takes, about."""
    plan = bench.plan
    return SETTLED + added / CONNECTS + plan.idle_seconds + plan.rounds * (plan.warm_up + plan.seconds)
