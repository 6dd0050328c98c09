"""Clients of a running service, made of websockets, httpx and raw streams. They do not know how it is built."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from inspect import isawaitable
from itertools import cycle
from typing import Any, Literal
from urllib.parse import urlencode
from uuid import uuid4

import httpx
import jwt
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

from tests.servers import SECRET, Server

PATIENCE = 10.0  # seconds until a test gives up on something that ought to come
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # none on loopback; to make one for each test takes half its time
PUBLISHERS = 4
PAUSE = 0.05  # seconds between two publishes of one publisher, so that a test does not measure the machine

# What JavaScript's trim() takes away, and what it leaves where Python's strip() or a guess would not.
BLANKS = "\t\n\v\f\r \u00a0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000\ufeff"
NO_BLANKS = "\x00\x1c\x1d\x1e\x1f\x85\u180e\u200b\u200c\u200d\u2060\u2800"

Filter = Mapping[str, Any]  # as sent: a test may put a number where the contract wants a string
Door = Literal["socket", "publish"]  # the two places that ask for a token


def dump(value: Any) -> str:
    """`value` as JSON without spaces and in ASCII, so that a lone surrogate can be sent too."""
    return json.dumps(value, separators=(",", ":"))


def answered(client_count: int, *results: str) -> str:
    """The body of a publish that was answered with 200; `results` are JSON texts."""
    return f'{{"clientCount":{client_count},"results":[{",".join(results)}]}}'


NOBODY = answered(0)


# Tokens


def token(user: str, **claims: Any) -> str:
    """A token as every library would make it."""
    return jwt.encode({"userId": user, **claims}, SECRET, algorithm="HS256")


def sign(
    claims: Any,
    header: Any = None,
    *,
    secret: str = SECRET,
    digest: Callable[..., Any] = hashlib.sha256,
) -> str:
    """A token made by hand, for what PyJWT refuses to make. Bytes are taken as they are, the rest becomes JSON."""
    head = {"alg": "HS256", "typ": "JWT"} if header is None else header
    signed = f"{_segment(head)}.{_segment(claims)}"
    return f"{signed}.{_base64(hmac.new(secret.encode(), signed.encode(), digest).digest())}"


def _segment(part: Any) -> str:
    return _base64(part if isinstance(part, bytes) else dump(part).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def bearer(jwt_text: str) -> str:
    """The header line that carries a token."""
    return f"Authorization: Bearer {jwt_text}"


# Sockets

_STRING = r'"(?:[^"\\]|\\.)*"'
_ENVELOPE = re.compile(
    rf'\{{"envelopeId":"([^"\\]+)","type":({_STRING}),"userId":({_STRING}),'
    r'"timestamp":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)"(?:,"payload":(.*))?\}',
    re.DOTALL,
)


@dataclass(frozen=True)
class Envelope:
    """An envelope as a socket got it; reading one checks the keys, their order and that there are no spaces."""

    raw: str
    id: str
    type: str
    user: str
    timestamp: str
    payload: str | None  # the JSON text; None when the key is absent

    @classmethod
    def read(cls, raw: str) -> Envelope:
        match = _ENVELOPE.fullmatch(raw)
        assert match is not None, f"not an envelope: {raw[:1000]!r}"
        return cls(raw, match[1], json.loads(match[2]), json.loads(match[3]), match[4], match[5])


class Socket:
    """A WebSocket connection and what its client may say."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, *frames: str | bytes) -> None:
        for frame in frames:
            await self.connection.send(frame)

    async def say(self, **message: Any) -> None:
        await self.send(dump(message))

    async def recv(self) -> str:
        async with asyncio.timeout(PATIENCE):
            frame = await self.connection.recv()
        assert isinstance(frame, str), f"a binary frame: {frame!r}"
        return frame

    async def settle(self) -> None:
        """Wait until what was sent before has taken effect. It fails when anything else than the pong comes first."""
        await self.send("ping")
        frame = await self.recv()
        assert frame == "pong", f"not a pong: {frame[:1000]!r}"

    async def subscribe(self, *filters: Filter) -> None:
        await self.say(type="subscribe", filters=filters)
        await self.settle()

    async def unsubscribe(self, *filters: Filter) -> None:
        await self.say(type="unsubscribe", filters=filters)
        await self.settle()

    async def envelope(self) -> Envelope:
        return Envelope.read(await self.recv())

    async def ack(self, envelope: Envelope, result: str = "null") -> None:
        """Acknowledge an envelope; `result` is JSON text."""
        await self.send(f'{{"type":"ack","envelopeId":"{envelope.id}","result":{result}}}')

    async def close(self) -> None:
        """Say goodbye, as a browser does that leaves the page."""
        await self.connection.close()

    async def abort(self) -> None:
        """Drop the TCP connection without a word."""
        self.connection.transport.abort()

    @property
    def is_open(self) -> bool:
        return self.connection.close_code is None


class Listener(ClientConnection):
    """A connection that counts the protocol pings it answers, and sends none."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.pings = asyncio.Semaphore(0)

    def process_event(self, event: Any) -> None:
        if isinstance(event, Frame) and event.opcode is Opcode.PING:
            self.pings.release()
        super().process_event(event)


async def envelope_before(socket: Socket, publish: asyncio.Task[Any]) -> Envelope | None:
    """The next envelope of `socket`, or None when the answer of `publish` comes first."""
    receiving = asyncio.create_task(socket.envelope())
    await asyncio.wait([publish, receiving], return_when=asyncio.FIRST_COMPLETED)
    if not receiving.done():
        receiving.cancel()
        await asyncio.wait([receiving])
    return None if receiving.cancelled() else receiving.result()


async def arrival(socket: Socket, publish: asyncio.Task[Any]) -> Envelope:
    """The envelope that `publish` brings. When it is answered without, the test fails at once and shows the answer."""
    envelope = await envelope_before(socket, publish)
    assert envelope is not None, f"no envelope, but an answer: {publish.result()!r}"
    return envelope


async def until(condition: Callable[[], Any], patience: float = PATIENCE) -> None:
    """Wait until `condition`, async or not, is true, for so many seconds."""
    async with asyncio.timeout(patience):
        while not (await met if isawaitable(met := condition()) else met):
            await asyncio.sleep(0.02)


# The service


@dataclass
class Service:
    """The running processes of one topology: sockets go to them in turn, and so do publishes, from the other end."""

    servers: Sequence[Server]
    refusal: int  # the status of a handshake whose token is refused: 401, or 403 where the server knows no other
    http: httpx.AsyncClient = field(repr=False)
    prefix: str = ""  # of every path, no slash at the end

    def __post_init__(self) -> None:
        self._for_socket: Iterator[Server] = cycle(self.servers)
        self._for_publish: Iterator[Server] = cycle(reversed(self.servers))

    @asynccontextmanager
    async def connect(
        self, user: str, *filters: Filter, path: str = "/", jwt_text: str | None = None, **options: Any
    ) -> AsyncIterator[Socket]:
        """A socket of `user`, subscribed to `filters`. Other options are those of `websockets`."""
        options.setdefault("additional_headers", {"Authorization": f"Bearer {jwt_text or token(user)}"})
        url = next(self._for_socket).ws_url + self.prefix + path
        # No pings of ours: a test that wants a quiet socket gets one.
        async with open_websocket(
            url, compression=None, max_size=None, proxy=None, ping_interval=None, open_timeout=PATIENCE, **options
        ) as connection:
            socket = Socket(connection)
            if filters:
                await socket.subscribe(*filters)
            yield socket

    async def request(
        self, method: str, path: str = "/publish", *, content: bytes | str | None = None, **headers: str
    ) -> httpx.Response:
        """Any HTTP request; in the names of headers `_` stands for `-`."""
        url = next(self._for_publish).url + self.prefix + path
        lines = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.request(method, url, content=content, headers=lines)

    async def post(self, content: bytes | str, content_type: str = "application/json") -> httpx.Response:
        """POST /publish with a valid token of somebody else than the target."""
        return await self.request(
            "POST", content=content, content_type=content_type, authorization=f"Bearer {token('a publisher')}"
        )

    async def publish(self, user: str, type: str | None = None, payload: str | None = None) -> str:
        """Publish, and the body of the answer, which is a 200. `payload` is JSON text; None leaves a key out."""
        members = [f'"userId":{dump(user)}']
        if type is not None:
            members.append(f'"type":{dump(type)}')
        if payload is not None:
            members.append(f'"payload":{payload}')
        response = await self.post(f"{{{','.join(members)}}}".encode())
        assert response.status_code == 200, response.text
        return response.content.decode()

    def begin(self, user: str, type: str | None = None, payload: str | None = None) -> asyncio.Task[str]:
        """A publish on its way, to be awaited for its answer."""
        return asyncio.create_task(self.publish(user, type, payload))

    async def settle(self, user: str) -> None:
        """Wait until acks whose sockets have settled have reached the process that waits for them: each socket's
        process had passed its own on, and this publish, to no filter of the user's, asks and hears them all.
        """
        assert await self.publish(user, "of no filter") == NOBODY

    async def deliver(
        self, socket: Socket, user: str, type: str | None = None, payload: str | None = None, result: str = "null"
    ) -> Envelope:
        """Publish to `user`: `socket` gets the envelope, acks it, and is the only one that does."""
        publish = self.begin(user, type, payload)
        envelope = await arrival(socket, publish)
        assert (envelope.user, envelope.type) == (user, "message" if type is None else type)
        await socket.ack(envelope, result)
        answer = await publish
        assert answer == answered(1, result), f"the envelope came, but the answer is {answer[:1000]}"
        return envelope

    async def reaches(self, socket: Socket, user: str, type: str | None = None, payload: str | None = None) -> bool:
        """Whether `socket`, the only one of `user` with filters, is sent what is published (and then acks it)."""
        publish = self.begin(user, type, payload)
        envelope = await envelope_before(socket, publish)
        if envelope is not None:
            await socket.ack(envelope)
        answer = await publish
        assert answer == (answered(1, "null") if envelope else NOBODY), f"{envelope} was answered with {answer}"
        return envelope is not None

    async def admits(self, door: Door, *header_lines: str, query: str = "") -> bool:
        """Whether a request with these header lines gets through a door, which answers a refusal as it has to."""
        status = await self.status(door, *header_lines, query=query)
        granted, refused = (101, self.refusal) if door == "socket" else (200, 401)
        assert status in (granted, refused), f"status {status} at the {door}"
        return status == granted

    async def status(self, door: Door, *header_lines: str, query: str = "") -> int:
        """The status of a request made of these very bytes, which no client library has looked at."""
        server = next(self._for_socket if door == "socket" else self._for_publish)
        body = ""
        if door == "socket":
            first = f"GET {self.prefix}/{query} HTTP/1.1"
            own = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
            own.append("Sec-WebSocket-Key: " + base64.b64encode(uuid4().bytes).decode())
        else:
            first, body = f"POST {self.prefix}/publish{query} HTTP/1.1", dump({"userId": f"nobody-{uuid4()}"})
            own = ["Connection: close", "Content-Type: application/json", f"Content-Length: {len(body)}"]
        lines = [first, f"Host: {server.url.removeprefix('http://')}", *own, *header_lines, "", body]
        reader, writer = await open_stream(server)
        try:
            writer.write("\r\n".join(lines).encode("latin-1"))
            async with asyncio.timeout(PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
        finally:
            writer.close()
        return int(head.split()[1])


async def open_stream(server: Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A bare TCP connection to a server."""
    host, port = server.url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


@asynccontextmanager
async def service_of(servers: Sequence[Server], refusal: int, prefix: str = "") -> AsyncIterator[Service]:
    """The clients' view of running servers."""
    async with httpx.AsyncClient(trust_env=False, verify=NO_TLS, timeout=PATIENCE) as http:
        yield Service(servers, refusal, http, prefix)


@asynccontextmanager
async def constant_publishing(service: Service, user: str = "ann") -> AsyncIterator[list[httpx.Response]]:
    """While the block runs, publishers publish one thing behind the other to a user with two tabs, which ack all
    and connect again whenever they are closed. Yields the answers so far; at the end nothing is under way any more.
    """
    done, answers = asyncio.Event(), list[httpx.Response]()

    async def publish() -> None:
        while not done.is_set():
            answers.append(await service.post(dump({"userId": user, "type": "t", "payload": 1})))
            await asyncio.sleep(PAUSE)

    async def ack() -> None:
        while True:
            with suppress(ConnectionClosed, InvalidStatus):
                async with service.connect(user) as socket:
                    await socket.say(type="subscribe", filters=[{"type": "t"}])
                    while True:
                        await socket.ack(await socket.envelope(), '"ok"')

    async with asyncio.TaskGroup() as tasks:
        tabs = [tasks.create_task(ack()) for _ in range(2)]
        publishers = [tasks.create_task(publish()) for _ in range(PUBLISHERS)]
        async with asyncio.timeout(PATIENCE):
            while not any(answered(2, '"ok"', '"ok"') == answer.text for answer in answers):
                await asyncio.sleep(0.01)
        yield answers
        done.set()
        await asyncio.wait(publishers)
        for tab in tabs:
            tab.cancel()


def with_query(**parameters: str) -> str:
    return "?" + urlencode(parameters)
