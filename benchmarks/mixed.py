"""Mixed traffic at a steady pace: users with two sockets and with none, short payloads and long ones, and sockets that
come and go meanwhile."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from time import perf_counter

from .bench import Bench
from .endurance.verdicts import Publish, Stay, Verdict, judge
from .figures import Window
from .load import CONNECTS_AT_ONCE, TEXT, Alarm, Client, Door, numbers, publish_body, watched
from .openloop import Connections, paced
from .plan import Plan
from .servers import Contender, started
from .wire import Wrong
from .works import MIXED, WARM_UP, expected, text_of_size

SOCKETS = 2  # of each user
CHANGES = 5.0  # sockets a second that close, and as many that connect
STRIDE = 7919  # to the next user whose sockets change: a prime, so that all have their turn, and none soon again
LONG_TEXT = text_of_size(4096)


def is_long(n: int) -> bool:
    return n % 20 == 0


def is_to_nobody(n: int) -> bool:
    return n % 20 in (1, 2, 3)


def text_of(n: int) -> str:
    return LONG_TEXT if is_long(n) else TEXT


class Member:
    """A user, and the sockets that the user has and had."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.stays: list[Stay] = []
        self._there: deque[tuple[Client, Stay]] = deque()  # until they are closed
        self._under_way: set[int] = set()

    def begin(self, n: int) -> None:
        """The sockets may be sent this publish, each once; those that connect before it is answered, too."""
        self._under_way.add(n)
        for client, _ in self._there:
            client.expected.add(n)

    def end(self, n: int) -> None:
        self._under_way.remove(n)

    async def connect(self, door: Door, alarm: Alarm) -> None:
        stay = Stay(len(self.stays), perf_counter())
        client = Client(door.socket_port(), self.name, stay.number, alarm, door.dialect, text_of)
        stay.unseen = client.expected
        stay.unseen.update(self._under_way)
        self.stays.append(stay)
        self._there.append((client, stay))
        await client.open()
        stay.since = perf_counter()

    async def leave(self) -> None:
        """Close the socket that has been there longest."""
        client, stay = self._there[0]
        stay.leaving = perf_counter()
        await client.close()
        stay.until = perf_counter()
        self._there.popleft()

    def abort(self) -> None:
        for client, _ in self._there:
            client.abort()


class Traffic:
    """All users, and the publishes to them."""

    def __init__(self, door: Door, plan: Plan, alarm: Alarm) -> None:
        self._door, self._rate, self._alarm = door, plan.rate, alarm
        self._members = [Member(f"user-{number}") for number in range(plan.users)]
        self._turns = itertools.cycle(self._members)
        self._nobody = Member("nobody")
        self._connections = Connections(door)
        self.latencies: list[float] = []  # seconds from when a publish was due until its answer
        self.late: list[float] = []  # seconds by which publishes were sent too late: the generator's own delay

    async def connect(self) -> None:
        waiting = iter(self._members * SOCKETS)

        async def connect_some() -> None:
            for member in waiting:
                await member.connect(self._door, self._alarm)

        async with watched(self._alarm) as tasks:
            for _ in range(CONNECTS_AT_ONCE):
                tasks.create_task(connect_some())

    async def run(self, seconds: float) -> None:
        """Raises Wrong, in an exception group, at the first publish that has no right answer."""
        self.latencies.clear()
        self.late.clear()
        end = perf_counter() + seconds
        async with watched(self._alarm, seconds) as tasks:
            tasks.create_task(self._change(end, tasks))
            async for due in paced(self._rate):
                if due >= end:
                    break
                self.late.append(perf_counter() - due)
                tasks.create_task(self._publish(due))

    async def _change(self, end: float, tasks: asyncio.TaskGroup) -> None:
        """Sockets come and go."""
        places = itertools.count(0, STRIDE)
        async for due in paced(CHANGES):
            if due >= end:
                break
            member = self._members[next(places) % len(self._members)]
            tasks.create_task(member.leave())
            tasks.create_task(member.connect(self._door, self._alarm))

    async def _publish(self, due: float) -> None:
        n = next(numbers)
        member = self._nobody if is_to_nobody(n) else next(self._turns)
        async with self._connections.one() as http:
            member.begin(n)
            sent = perf_counter()
            status, text = await http.ask(publish_body(member.name, n, text_of(n)))
            ended = perf_counter()
        member.end(n)
        self.latencies.append(ended - min(due, sent))  # a timer may be early by less than a millisecond
        if judge(Publish(n, sent, ended, status, text), member.stays) is not Verdict.RIGHT:
            raise Wrong(f"answer to publish {n} to {member.name}: {status} {text!r}")

    def close(self) -> None:
        self._connections.close()
        for member in self._members:
            member.abort()


async def mixed(bench: Bench, contender: Contender) -> Window:
    """One window, of the whole time."""
    plan = bench.plan
    with started(contender, bench.redis_url, bench.cores) as server:
        bench.progress(f"mixed, connecting: {contender.title}", expected(MIXED, plan))
        traffic = Traffic(server.door, plan, Alarm())
        await traffic.connect()
        await traffic.run(WARM_UP * plan.mixed_seconds)
        bench.progress(f"mixed, {plan.mixed_seconds:.0f} s of traffic: {contender.title}")
        with bench.spending(server) as spent:
            await traffic.run(plan.mixed_seconds)
        traffic.close()
        return Window.of(spent(), traffic.latencies, traffic.late)
