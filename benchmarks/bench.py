"""Load on a server, and the meters that are read before and after."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from time import perf_counter, process_time

from .cores import Cores, time_waited
from .figures import Spent, Window
from .load import Alarm, Load, User, close_clients, open_clients, open_publishers
from .plan import Plan
from .progress import Progress
from .servers import Contender, Meter, Running, blamed, started
from .works import Measurement, Work, expected

# Each window has users of its own: sockets of an earlier one may still be leaving their groups.
windows_begun = itertools.count(1)


@dataclass(frozen=True)
class Bench:
    """What all measurements have in common: how much, where, and whom to tell."""

    plan: Plan
    redis_url: str
    redis: Meter
    cores: Cores | None
    progress: Progress

    async def in_turns(
        self, measurement: Measurement, contenders: Sequence[Contender], window: Callable[[Running], Awaitable[Window]]
    ) -> dict[str, list[Window]]:
        """Windows of each server, in turns: what the machine does meanwhile then befalls all alike."""
        found: dict[str, list[Window]] = {contender.name: [] for contender in contenders}
        textbook = measurement.textbook if isinstance(measurement, Work) else None
        with ExitStack() as stack:
            servers = [
                stack.enter_context(started(contender, self.redis_url, self.cores, textbook))
                for contender in contenders
            ]
            for number in range(self.plan.rounds + 1):
                part = f"round {number} of {self.plan.rounds}" if number else "warm-up"
                for server in servers:
                    title = f"{measurement.name}, {part}: {server.contender.title}"
                    self.progress(title, expected(measurement, self.plan))
                    with blamed(server.contender):
                        seen = await window(server)
                    if number:
                        found[server.contender.name].append(seen)
        return found

    async def window(self, work: Work, server: Running) -> Window:
        with server.turn():
            async with self.load(work, server, Alarm()) as load:
                await load.run(self.plan.warm_up)
                return await self.measured(load, server)

    async def measured(self, load: Load, server: Running) -> Window:
        with self.spending(server) as spent:
            await load.run(self.plan.seconds)
        return Window.of(spent(), load.latencies)

    @asynccontextmanager
    async def load(self, work: Work, server: Running, alarm: Alarm) -> AsyncIterator[Load]:
        """Publishers, and sockets of new users. They are not closed after an error, which ends the process anyway."""
        name = f"user-{next(windows_begun)}"
        numbers, text = range(work.users), lambda _: work.text
        users = [User.make(server.door, f"{name}-{number}", work.sockets, alarm, text) for number in numbers]
        await open_clients(users, alarm)
        load = Load(users, await open_publishers(server.door, work.publishers), alarm, text)
        yield load
        for publisher in load.publishers:
            publisher.close()
        await close_clients(users)

    @contextmanager
    def spending(self, server: Running, beside: Running | None = None) -> Iterator[Callable[[], Spent]]:
        """Reads the meters when the block begins and ends; what it gives tells what was spent, after the block.

        The time that a server `beside` this one took of their core is not counted as time that this one had.
        """
        meters = [server.meter.cpu, self.redis.cpu, process_time, time_waited, perf_counter]
        if beside is not None and self.cores is not None:
            meters.append(beside.meter.cpu)
        before = [meter() for meter in meters]
        found: list[Spent] = []
        yield lambda: found[0]
        cpu, redis_cpu, busy, waited, seconds, *taken = (
            meter() - start for meter, start in zip(meters, before, strict=True)
        )
        found.append(
            Spent(
                seconds=seconds - sum(taken),
                server_cpu=cpu,
                redis_cpu=redis_cpu if server.contender.redis else 0.0,
                generator_busy=(busy + waited) / seconds,
                resident=server.meter.resident(),
            )
        )
