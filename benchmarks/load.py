"""The load: users whose sockets ack what they get, and publishers who check every answer they get."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter

import jwt
import msgspec

from tests.servers import SECRET

from .dialects import TYPE, Dialect, Ours
from .wire import Http, WebSocket, Wrong

TEXT = "Shall we meet at the fountain at noon? I'll bring the maps."
CONNECTS_AT_ONCE = 32  # below the 50 that a listening socket of Twisted lets wait
PATIENCE = 120.0  # seconds that anything may take longer than planned before the server counts as hung

Text = Callable[[int], str]  # of the payload of the publish with this number

numbers = itertools.count(1)  # of publishes; one that shows up where it does not belong is recognised


def plain(n: int) -> str:
    return TEXT


class Payload(msgspec.Struct, forbid_unknown_fields=True):
    n: int
    text: str


class Envelope(msgspec.Struct, forbid_unknown_fields=True):
    envelopeId: str
    type: str
    userId: str
    timestamp: str
    payload: Payload


class Answer(msgspec.Struct, forbid_unknown_fields=True):
    clientCount: int
    results: list[tuple[int, int]]  # the number of the publish, and that of the socket


decode_envelope = msgspec.json.Decoder(Envelope).decode
decode_answer = msgspec.json.Decoder(Answer).decode


def nothing(text: bytes) -> Answer:
    """The answer of a server that does not deliver: an empty one."""
    if text:
        raise Wrong(f"answer: {text!r} instead of nothing")
    return Answer(0, [])


class Publisher(Http):
    """A connection of one who publishes. `read` is given the body of an answer."""

    def __init__(self, head: bytes, read: Callable[[bytes], Answer] = decode_answer) -> None:
        super().__init__(head)
        self.read = read


class Door:
    """Where a server is reached, on one or several ports, and how it is spoken to.

    Publishers take the ports in turn, and sockets each port as often in a row as there are ports. So every pair of a
    publisher's process and a socket's is met equally often, even where users and publishers keep step.
    """

    def __init__(
        self,
        ports: Sequence[int],
        dialect: type[Dialect] = Ours,
        read: Callable[[bytes], Answer] = decode_answer,
    ) -> None:
        self.dialect, self.read = dialect, read
        self._ports = ports
        self._sockets = itertools.count()

    def publisher_port(self, number: int) -> int:
        return self._ports[number % len(self._ports)]

    def socket_port(self) -> int:
        """Of the next socket."""
        return self._ports[next(self._sockets) // len(self._ports) % len(self._ports)]


class Alarm:
    """Ends a load when a socket finds something wrong: a callback of the event loop can't raise to who waits."""

    def __init__(self) -> None:
        self._error: Exception | None = None
        self._rung = asyncio.Event()

    def __call__(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
            self._rung.set()

    async def watch(self) -> None:
        """Raises the first error that comes."""
        await self._rung.wait()
        if self._error is not None:
            raise self._error


class Client:
    """A socket that checks every envelope and acks it with two numbers: the publish's and its own."""

    def __init__(
        self,
        port: int,
        user: str,
        number: int,
        alarm: Callable[[Exception], None],
        dialect: type[Dialect] = Ours,
        text: Text = plain,
    ) -> None:
        self.expected: set[int] = set()  # publishes under way that this socket has not been sent yet
        self._port, self._user, self._number, self._text = port, user, number, text
        self._socket = WebSocket(handshake(port, user, dialect.target), self._on_text, alarm)
        self._dialect = dialect(self._socket.send, self._check)

    async def open(self) -> None:
        """Returns when the subscription is in effect."""
        await self._socket.open(self._port)
        self._dialect.opened()
        await self._dialect.subscribed

    def _on_text(self, text: bytes) -> None:
        self._dialect.heard(text)

    def _check(self, text: bytes) -> tuple[str, bytes]:
        """The id of an envelope that has to come, and the JSON to ack it with. Raises Wrong for any other."""
        envelope = decode_envelope(text)
        n = envelope.payload.n
        said = (envelope.type, envelope.userId, envelope.payload.text)
        if n not in self.expected or said != (TYPE, self._user, self._text(n)):
            raise Wrong(f"envelope for socket {self._number} of {self._user}: {text!r}")
        self.expected.remove(n)
        return envelope.envelopeId, b"[%d,%d]" % (n, self._number)

    @property
    def head(self) -> bytes:
        """Of the answer to its handshake."""
        return self._socket.head

    async def close(self) -> None:
        await self._socket.close()

    def abort(self) -> None:
        self._socket.abort()


@dataclass(frozen=True)
class User:
    name: str
    clients: Sequence[Client]

    @classmethod
    def make(cls, door: Door, name: str, sockets: int, alarm: Alarm, text: Text = plain) -> User:
        numbers = range(sockets)
        return cls(name, [Client(door.socket_port(), name, number, alarm, door.dialect, text) for number in numbers])

    def abort(self) -> None:
        for client in self.clients:
            client.abort()


@dataclass(frozen=True)
class Load:
    """Publishers that publish to users in turn, each as soon as it has its answer to the publish before."""

    users: Sequence[User]
    publishers: Sequence[Publisher]
    alarm: Alarm
    text: Text = plain
    latencies: list[float] = field(default_factory=list)

    async def run(self, seconds: float) -> None:
        """Publish for this long. Raises Wrong, in an exception group, at the first wrong answer or envelope."""
        users = itertools.cycle(self.users)
        end = perf_counter() + seconds
        self.latencies.clear()

        async def publish_until_the_end(publisher: Publisher) -> None:
            while perf_counter() < end:
                self.latencies.append(await publish(publisher, next(users), self.text))

        async with watched(self.alarm, seconds) as tasks:
            for publisher in self.publishers:
                tasks.create_task(publish_until_the_end(publisher))


@asynccontextmanager
async def watched(alarm: Alarm, seconds: float = 0.0) -> AsyncIterator[asyncio.TaskGroup]:
    """Tasks that should take so long. Ends when they have, or raises the first error that one or a socket finds."""
    async with asyncio.timeout(seconds + PATIENCE), asyncio.TaskGroup() as group:
        watch = group.create_task(alarm.watch())
        async with asyncio.TaskGroup() as tasks:
            yield tasks
        watch.cancel()


async def publish(publisher: Publisher, user: User, text: Text = plain) -> float:
    """Publish to a user and check the answer. Returns how many seconds it took to come."""
    n = next(numbers)
    for client in user.clients:
        client.expected.add(n)
    start = perf_counter()
    told = await publisher.request(publish_body(user.name, n, text(n)))
    seconds = perf_counter() - start
    answer = publisher.read(told)
    acks = [(n, number) for number in range(len(user.clients))]
    if answer.clientCount != len(acks) or sorted(answer.results) != acks:
        raise Wrong(f"answer to publish {n} to {len(acks)} sockets: {told!r}")
    return seconds


async def open_clients(users: Iterable[User], alarm: Alarm) -> list[float]:
    """Connect all sockets of all users, some at a time. Returns how many seconds each took."""
    waiting = iter([client for user in users for client in user.clients])
    took = []

    async def open_some() -> None:
        for client in waiting:
            start = perf_counter()
            await client.open()
            took.append(perf_counter() - start)

    async with watched(alarm) as tasks:
        for _ in range(CONNECTS_AT_ONCE):
            tasks.create_task(open_some())
    return took


async def close_clients(users: Iterable[User]) -> None:
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(client.close() for user in users for client in user.clients))


def publish_body(user: str, n: int, text: str = TEXT) -> bytes:
    return f'{{"userId":"{user}","type":"{TYPE}","payload":{{"n":{n},"text":"{text}"}}}}'.encode()


async def open_publishers(door: Door, count: int) -> list[Publisher]:
    return [await open_publisher(door.publisher_port(number), number, door.read) for number in range(count)]


async def open_publisher(port: int, number: int, read: Callable[[bytes], Answer] = decode_answer) -> Publisher:
    lines = ("POST /publish HTTP/1.1", "Content-Type: application/json")
    publisher = Publisher(head(port, f"publisher-{number}", *lines), read)
    await publisher.open(port)
    return publisher


def handshake(port: int, user: str, target: str) -> bytes:
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", key)
    return head(port, user, f"GET {target} HTTP/1.1", *upgrade) + b"\r\n"


def head(port: int, user: str, *lines: str) -> bytes:
    """A request line and headers, with the token of a user."""
    first, *others = lines
    token = jwt.encode({"userId": user}, SECRET, algorithm="HS256")
    return "\r\n".join([first, f"Host: 127.0.0.1:{port}", f"Authorization: Bearer {token}", *others, ""]).encode()
