"""The measurements: what is done to each server, for how long, and which meters are read meanwhile."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter, process_time

from .cores import Cores
from .figures import Idle, Window
from .load import Alarm, Load, User, close_clients, open_clients, open_publishers
from .servers import Contender, Meter, Running, started

RESERVE = 1000  # open files of a process, beyond its idle sockets
SETTLED = 1.0  # seconds after which a server has let go of what it needed only to connect its sockets

# Each window has users of its own: sockets of an earlier one may still be leaving their groups.
windows_begun = itertools.count(1)


@dataclass(frozen=True)
class Plan:
    """How much of everything."""

    rounds: int
    seconds: float  # of each window
    warm_up: float  # seconds of the same load just before each window
    idle_sockets: int

    @property
    def open_files(self) -> int:
        return self.idle_sockets + RESERVE

    @property
    def slices(self) -> int:
        """Windows on each server while sockets are idle: enough to meet every phase of a server's pings (20 s)."""
        return 2 * self.rounds


FULL = Plan(rounds=5, seconds=1.2, warm_up=0.3, idle_sockets=5000)
QUICK = Plan(rounds=2, seconds=0.3, warm_up=0.1, idle_sockets=1000)


@dataclass(frozen=True)
class Work:
    """Publishes to each of `users` in turn, by `publishers` at once; each user has `sockets`, and all of them ack."""

    name: str
    title: str
    users: int
    sockets: int
    publishers: int
    textbook: Mapping[str, str] = field(default_factory=dict)  # how long the textbook waits: what suits it best here


ONE_BY_ONE = Work("acked-1", "Acked publish to 1 socket each of 20 users, 1 publisher", 20, 1, 1)
AT_ONCE = Work("acked-16", "Acked publish to 1 socket each of 20 users, 16 publishers", 20, 1, 16)
CROWD = Work(
    "user-200", "Acked publish to a user with 200 sockets, 1 publisher", 1, 200, 1, {"TEXTBOOK_SETTLE_TIME": "0.2"}
)
NOBODY = Work("nobody", "Publish to nobody, 16 publishers", 20, 0, 16, {"TEXTBOOK_REPORT_TIMEOUT": "0.1"})
ACKED = (ONE_BY_ONE, AT_ONCE)
WORKS = (*ACKED, CROWD, NOBODY)


@dataclass(frozen=True)
class Bench:
    """What all measurements have in common: how much, where, and whom to tell."""

    plan: Plan
    redis_url: str
    redis: Meter
    cores: Cores | None
    progress: Callable[[str], None]

    async def work(self, work: Work, contenders: Sequence[Contender]) -> dict[str, list[Window]]:
        """Windows of each server, in turns: what the machine does meanwhile then befalls all alike."""
        found: dict[str, list[Window]] = {contender.name: [] for contender in contenders}
        with ExitStack() as stack:
            servers = [
                stack.enter_context(started(contender, self.redis_url, self.cores, work.textbook))
                for contender in contenders
            ]
            for number in range(self.plan.rounds + 1):
                part = f"round {number} of {self.plan.rounds}" if number else "warm-up"
                for server in servers:
                    self.progress(f"{work.name}, {part}: {server.contender.title}")
                    window = await self._window(work, server, Alarm())
                    if number:
                        found[server.contender.name].append(window)
        return found

    async def idle(self, contender: Contender) -> Idle:
        """Fill one of two servers with idle sockets, then measure acked publishes on each in turns."""
        alarm = Alarm()
        with (
            started(contender, self.redis_url, self.cores) as crowded,
            started(contender, self.redis_url, self.cores) as empty,
        ):
            self.progress(f"idle, warm-up: {contender.title}")
            for server in (crowded, empty):
                await self._window(AT_ONCE, server, alarm)
            names = [f"idle-{contender.name}-{number}" for number in range(self.plan.idle_sockets)]
            users = [User.make(crowded.door, name, 1, alarm) for name in names]
            self.progress(f"idle, connecting {len(users)} sockets: {contender.title}")
            held, cpu, start = crowded.meter.resident(), crowded.meter.cpu(), perf_counter()
            await open_clients(users, alarm)
            seconds, cpu = perf_counter() - start, crowded.meter.cpu() - cpu
            await asyncio.sleep(SETTLED)
            held = crowded.meter.resident() - held
            windows: list[tuple[Window, Window]] = []
            for number in range(self.plan.slices):
                self.progress(f"idle, slice {number + 1} of {self.plan.slices}: {contender.title}")
                with_idle = await self._window(AT_ONCE, crowded, alarm)
                windows.append((with_idle, await self._window(AT_ONCE, empty, alarm)))
            for user in users:
                user.abort()
        with_all, with_none = zip(*windows, strict=True)
        return Idle(len(users), seconds, cpu, held, list(with_all), list(with_none))

    async def _window(self, work: Work, server: Running, alarm: Alarm) -> Window:
        with server.turn():
            async with self._load(work, server, alarm) as load:
                await load.run(self.plan.warm_up)
                return await self._measure(load, server)

    @asynccontextmanager
    async def _load(self, work: Work, server: Running, alarm: Alarm) -> AsyncIterator[Load]:
        """Publishers, and sockets of new users. They are not closed after an error, which ends the process anyway."""
        name = f"user-{next(windows_begun)}"
        users = [User.make(server.door, f"{name}-{number}", work.sockets, alarm) for number in range(work.users)]
        await open_clients(users, alarm)
        load = Load(users, await open_publishers(server.door, work.publishers), alarm)
        yield load
        for publisher in load.publishers:
            publisher.close()
        await close_clients(users)

    async def _measure(self, load: Load, server: Running) -> Window:
        """Run the load and read the meters before and after."""
        meters = (server.meter.cpu, self.redis.cpu, process_time, perf_counter)
        before = [meter() for meter in meters]
        await load.run(self.plan.seconds)
        server_cpu, redis_cpu, busy, seconds = (meter() - start for meter, start in zip(meters, before, strict=True))
        if self.cores is not None and self.cores.redis == self.cores.generator:
            busy += redis_cpu
        latencies = sorted(load.latencies)
        return Window(
            publishes=len(latencies),
            seconds=seconds,
            server_cpu=server_cpu,
            redis_cpu=redis_cpu if server.contender.redis else 0.0,
            generator_busy=busy / seconds,
            p50_ms=1000 * latencies[len(latencies) // 2],
            p99_ms=1000 * latencies[len(latencies) * 99 // 100],
        )
