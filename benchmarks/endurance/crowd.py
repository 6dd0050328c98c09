"""Users whose sockets connect again when they are lost, and publishes to them in an open loop."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from time import perf_counter
from typing import Any

from benchmarks.load import CONNECTS_AT_ONCE, PATIENCE, Client, Door, numbers, publish_body
from benchmarks.openloop import Connections, paced
from benchmarks.wire import Closed

from .cluster import SERVED_BY
from .verdicts import HANGS, Publish, Stay

PAUSE = 0.05  # seconds before a lost socket connects again
HANDSHAKE = 10.0  # seconds that it may take to connect
RECENT = 1000  # publishes of a user that a new socket of theirs may still be sent

PROCESS = re.compile(rb"\r\n%b: (?:.*, )?(.+?)(?:\r\n|$)" % SERVED_BY.encode(), re.IGNORECASE)


class Person:
    """A user, and the connections that the sockets of the user have and had."""

    def __init__(self, name: str, port: int, sockets: int) -> None:
        self.name = name
        self.stays: list[Stay] = []
        self.lost: list[float] = []  # when sockets were
        self.wrong: list[str] = []  # what sockets were sent and must not be
        self._port, self._sockets = port, sockets
        self.complete = asyncio.Event()  # all sockets are connected
        self._connected = 0
        self._clients: set[Client] = set()
        self._recent: deque[int] = deque(maxlen=RECENT)

    def expect(self, n: int) -> None:
        """The sockets may be sent this publish, each once."""
        self._recent.append(n)
        for client in self._clients:
            client.expected.add(n)

    async def stay(self, door: asyncio.Semaphore) -> None:
        """Keep all sockets connected until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._sockets):
                tasks.create_task(self._keep(door))

    async def _keep(self, door: asyncio.Semaphore) -> None:
        while True:
            await self._connect(door)
            await asyncio.sleep(PAUSE)

    async def _connect(self, door: asyncio.Semaphore) -> None:
        """One connection, from its beginning to its end."""
        ended: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        stay = Stay(len(self.stays), perf_counter())
        client = Client(self._port, self.name, stay.number, partial(_end, ended))
        stay.unseen = client.expected
        stay.unseen.update(self._recent)
        self.stays.append(stay)
        self._clients.add(client)
        try:
            async with door:
                opened = await self._open(client, ended)
            if opened:
                stay.since, stay.process = perf_counter(), served_by(client.head)
                self._count(1)
                await ended
                self._count(-1)
                self.lost.append(perf_counter())
            if ended.done() and not isinstance(error := ended.result(), Closed):
                self.wrong.append(repr(error))
        finally:
            stay.until = perf_counter()
            self._clients.discard(client)
            client.abort()

    def _count(self, change: int) -> None:
        self._connected += change
        if self._connected == self._sockets:
            self.complete.set()
        else:
            self.complete.clear()

    async def _open(self, client: Client, ended: asyncio.Future[Exception]) -> bool:
        """False when it is refused, lost at once, or takes too long."""
        opening = asyncio.create_task(client.open())
        try:
            either: list[asyncio.Future[Any]] = [opening, ended]
            await asyncio.wait(either, timeout=HANDSHAKE, return_when=asyncio.FIRST_COMPLETED)
        finally:
            opening.cancel()
            (error,) = await asyncio.gather(opening, return_exceptions=True)
        return error is None


def _end(ended: asyncio.Future[Exception], error: Exception) -> None:
    if not ended.done():
        ended.set_result(error)


def served_by(head: bytes) -> str:
    """The process that nginx says has answered; empty without nginx."""
    found = PROCESS.search(head)
    return found[1].decode() if found else ""


class Publishers:
    """Who publish, whatever comes of it."""

    def __init__(self, port: int) -> None:
        self._connections = Connections(Door([port]))

    async def publish(self, person: Person) -> Publish:
        """Returns when it is answered, refused or lost, and when it hangs."""
        person.expect(n := next(numbers))
        start = perf_counter()
        status, text = None, b""
        with suppress(Closed, OSError):  # TimeoutError is an OSError
            async with asyncio.timeout(HANGS), self._connections.one() as http:
                status, text = await http.ask(publish_body(person.name, n))
        return Publish(n, start, perf_counter(), status, text)

    def close(self) -> None:
        self._connections.close()


class Crowd:
    """Many users, published to in turn."""

    def __init__(self, port: int, users: int, sockets: int) -> None:
        self.people = [Person(f"user-{number}", port, sockets) for number in range(users)]
        self.late: list[float] = []  # seconds that publishes were sent after they were due: the generator's own delay
        self._publishers = Publishers(port)
        self._turns = itertools.cycle(self.people)

    async def publish(self, rate: float, done: Callable[[], bool], note: Callable[[Person, Publish], None]) -> None:
        """Publish at this pace until it is done, and note each publish when it is over. Returns when all are."""
        async with asyncio.TaskGroup() as tasks:
            async for due in paced(rate):
                if done():
                    return
                self.late.append(perf_counter() - due)
                tasks.create_task(self._publish(next(self._turns), note))

    async def _publish(self, person: Person, note: Callable[[Person, Publish], None]) -> None:
        note(person, await self._publishers.publish(person))

    def close(self) -> None:
        self._publishers.close()

    @property
    def sockets_lost(self) -> int:
        return sum(len(person.lost) for person in self.people)

    @property
    def wrong(self) -> Iterator[str]:
        for person in self.people:
            yield from person.wrong


@asynccontextmanager
async def connected(people: Sequence[Person]) -> AsyncIterator[None]:
    """All sockets of these people are kept connected while the block runs; it begins when all are."""
    door = asyncio.Semaphore(CONNECTS_AT_ONCE)
    async with asyncio.TaskGroup() as tasks:
        staying = [tasks.create_task(person.stay(door)) for person in people]
        async with asyncio.timeout(PATIENCE):
            for person in people:
                await person.complete.wait()
        yield
        for task in staying:
            task.cancel()
