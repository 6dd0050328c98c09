"""One process that is filled with users, step by step: what they cost to let in, to hold, and to publish to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from benchmarks.bench import Bench
from benchmarks.figures import Spent, Window
from benchmarks.idle import SETTLED
from benchmarks.load import PATIENCE, Alarm, Load, User, close_clients, open_clients, open_publishers
from benchmarks.servers import REDIS, Contender, Running, started
from benchmarks.works import CONNECTS
from realtime.redishost import REUNION

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
    publishes: Sequence[Window] = ()

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

    def __init__(self, bench: Bench, server: Running, alarm: Alarm) -> None:
        self._bench, self._server, self._alarm = bench, server, alarm
        self._host = Host(bench.redis_url)
        self._meters = server.meter.resident, self._host.memory
        self._before = [meter() for meter in self._meters]
        self.users: list[User] = []

    async def grow(self, size: int) -> Step:
        """Nobody has published yet: what is held, the sockets hold."""
        connects = await self._let_in(size)
        await asyncio.sleep(SETTLED)
        held, redis_held = (meter() - start for meter, start in zip(self._meters, self._before, strict=True))
        with self._bench.spending(self._server) as idle:
            await asyncio.sleep(self._bench.plan.idle_seconds)
        return Step(size, held, redis_held, connects, idle())

    async def shrink(self, size: int) -> list[Window]:
        """Close sockets until there are so many, and publish to them."""
        self.users, leaving = self.users[:size], self.users[size:]
        await close_clients(leaving)
        publishers = await open_publishers(self._server.door, BASE.publishers)  # new ones: the quiet are closed
        load = Load(self.users, publishers, self._alarm)
        windows = []
        for _ in range(self._bench.plan.rounds):
            await load.run(self._bench.plan.warm_up)
            windows.append(await self._bench.measured(load, self._server))
        for publisher in publishers:
            publisher.close()
        return windows

    async def _let_in(self, size: int) -> Window:
        """Until there are so many."""
        names = [f"crowd-{number}" for number in range(len(self.users), size)]
        new = [User.make(self._server.door, name, 1, self._alarm) for name in names]
        with self._bench.spending(self._server) as spent:
            took = await open_clients(new, self._alarm)
        self.users += new
        return Window.of(spent(), took)

    async def outage(self) -> Outage:
        names = self._host.channels()
        with self._bench.spending(self._server) as spent, taking([self._host]) as taken:
            self._host.cut_off()
            async with asyncio.timeout(PATIENCE):
                while self._host.channels() >= names:  # noqa: ASYNC110  (Redis tells nobody)
                    await asyncio.sleep(0)
                while self._host.channels() < names:  # noqa: ASYNC110
                    await asyncio.sleep(LOOK)
        await asyncio.sleep(REUNION)  # until it takes publishes again at the latest
        return Outage(names, spent(), *taken())


async def fill(bench: Bench, contender: Contender, sizes: Sequence[int]) -> Crowd:
    alarm = Alarm()
    with started(contender, bench.redis_url, bench.cores) as server:
        bench.progress(f"users, warm-up: {contender.title}", bench.plan.seconds)
        await bench.window(BASE, server)
        hall = Hall(bench, server, alarm)
        crowd = Crowd(contender, server.meter.resident())
        for size in sizes:
            bench.progress(f"users: {size:,}, {contender.title}", expected(size - len(hall.users), bench))
            crowd.steps.append(await hall.grow(size))
        if contender is REDIS:
            crowd.outage = await hall.outage()
        bench.progress(f"users, publishes: {contender.title}")
        crowd.steps = [replace(step, publishes=await hall.shrink(step.size)) for step in reversed(crowd.steps)][::-1]
        for user in hall.users:
            user.abort()
    return crowd


def expected(added: int, bench: Bench) -> float:
    """Seconds that a step takes, about."""
    plan = bench.plan
    return SETTLED + added / CONNECTS + plan.idle_seconds + plan.rounds * (plan.warm_up + plan.seconds)
