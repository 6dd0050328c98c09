"""The client: one connection after the other, and what has to happen on each."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from enum import StrEnum
from types import TracebackType
from typing import Any, NoReturn, Self
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from realtime.filters import Filter
from realtime.protocol import PONG

from .envelopes import Envelope
from .handling import Handler, Handling
from .opening import Opening, Token, checked, fresh
from .retries import delay, verdict
from .subscriptions import Subscription, Subscriptions, Unsubscribe, messages

logger = logging.getLogger(__name__)

PING = "ping"
GRACE = 5.0  # seconds for handlers at the end; after the ACK_TIMEOUT nobody waits for their acks

Pongs = deque[tuple[asyncio.Future[None], ...]]  # of each ping under way, the calls of `ready` that it is for


class State(StrEnum):
    CONNECTING = "connecting"
    OPEN = "open"
    """Connected, and all filters so far are in effect."""
    WAITING = "waiting"
    """The connection is lost or could not be made; another attempt follows."""
    CLOSED = "closed"
    """Not yet entered, left, or given up."""


class RealtimeClient:
    """Envelopes for a user, from a program that is no browser. An async context manager; see `realtime.client`.

    `url` is that of sockets: "wss://example.org/rt/". `token` is a JWT, or a function, async if it has to wait, that
    makes one: it is called for each connection, so its tokens may be short-lived. `on_state` is called with each new
    state, and with the exception that led to WAITING or CLOSED. Other options are those of `connect` of `websockets`:
    `ssl`, `proxy`, `open_timeout`, …

    Times in seconds: between attempts random ones up to `min_delay`, doubled with each up to `max_delay`; a connection
    that is quiet for `ping_interval` is asked whether it lives, and has `ping_timeout` to answer. While the handlers of
    `max_handling` envelopes are under way no more are read.
    """

    def __init__(
        self,
        url: str,
        token: Token,
        *,
        on_state: Callable[[State, Exception | None], None] | None = None,
        min_delay: float = 0.5,
        max_delay: float = 30.0,
        ping_interval: float = 20.0,
        ping_timeout: float = 10.0,
        max_handling: int = 1000,
        **options: Any,
    ) -> None:
        self.url = url
        self.state = State.CLOSED
        parts = urlsplit(url)
        if parts.scheme not in ("ws", "wss"):
            raise ValueError("the url of a client begins with ws:// or wss://")
        self._name = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"  # for the log: no credentials
        self._token = checked(token) if isinstance(token, str) else token
        self._on_state = on_state
        self._delays = min_delay, max_delay
        self._ping_interval, self._ping_timeout = ping_interval, ping_timeout
        self._options = options
        self._subscriptions = Subscriptions()
        self._changed = asyncio.Event()
        self._waiting: set[asyncio.Future[None]] = set()  # calls of `ready`
        self._handling = Handling(max_handling)
        self._closing = False
        self._runner: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to connect. It does not wait for it: `ready` does."""
        if self._runner is not None:
            raise RuntimeError("a client can be entered once only")
        self._runner = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take no more envelopes, let the handlers under way end unless there is an exception, and close."""
        runner = self._running()
        self._closing = True
        try:
            await self._handling.end(GRACE if error is None else 0)
        finally:
            runner.cancel()
            await asyncio.wait([runner])
            if not runner.cancelled():
                runner.exception()  # or asyncio says that nobody has looked at it

    def subscribe(self, filters: Filter | Iterable[Filter], handler: Handler) -> Unsubscribe:
        """Have `handler` called with each envelope that matches one of `filters`. Returns a function that ends it.

        At any time, connected or not. Filters are counted: two subscriptions share an equal one. Handlers are called in
        the order in which envelopes came, those of one envelope in order of subscription; one that awaits holds up
        nothing else. Raises ValueError for a filter that a server would skip.
        """
        subscription = Subscription(filters, handler)
        self._subscriptions.add(subscription)
        self._changed.set()

        def unsubscribe() -> None:
            self._subscriptions.remove(subscription)
            self._changed.set()

        return unsubscribe

    async def ready(self) -> None:
        """Wait until all that was subscribed so far is in effect. Raises GaveUp when it never will be."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.add(done)
        self._changed.set()
        try:
            await asyncio.wait([done, self._running()], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiting.discard(done)
        if not done.done():
            await self.wait_closed()
            raise ConnectionError("the client was closed")

    async def wait_closed(self) -> None:
        """Wait until the client has been closed. Raises GaveUp when it has closed itself, for good."""
        runner = self._running()
        await asyncio.wait([runner])
        if not runner.cancelled():
            runner.result()

    def _running(self) -> asyncio.Task[None]:
        if self._runner is None:
            raise RuntimeError("the client connects when it is entered: async with client")
        return self._runner

    async def _run(self) -> None:
        attempt = 0
        end: Exception | None = None
        try:
            while True:
                try:
                    self._enter(State.CONNECTING)
                    await self._connection()
                except Exception as error:
                    if end := verdict(error, token_is_fixed=isinstance(self._token, str)):
                        logger.error("giving up %s: %s", self._name, end)
                        raise end from error
                    attempt = 0 if self.state is State.OPEN else attempt
                    pause = delay(attempt, *self._delays)
                    logger.info("connecting again to %s in %.1f s: %s", self._name, pause, error)
                    self._enter(State.WAITING, error)
                    await asyncio.sleep(pause)
                    attempt += 1
        finally:
            self._enter(State.CLOSED, end)

    async def _connection(self) -> NoReturn:
        """Connect, and work until an exception ends it."""
        async with Opening(self.url, await fresh(self._token), self._options) as connection:
            pongs: Pongs = deque()
            telling = asyncio.create_task(self._tell(connection, pongs))
            try:
                while True:
                    self._take(connection, await self._receive(connection, pongs), pongs)
                    await self._handling.room()
            finally:
                telling.cancel()

    async def _tell(self, connection: ClientConnection, pongs: Pongs) -> None:
        """Keep the server's filters the same as ours. A pong proves that it has read them."""
        held: Mapping[str, None] = {}
        with suppress(ConnectionClosed):
            while True:
                self._changed.clear()
                wanted, waiting = self._subscriptions.wanted, tuple(self._waiting)
                for message in messages(held, wanted):
                    await connection.send(message)
                held = wanted
                if waiting or self.state is State.CONNECTING:
                    pongs.append(waiting)
                    await connection.send(PING)
                await self._changed.wait()

    async def _receive(self, connection: ClientConnection, pongs: Pongs) -> str:
        """The next frame. Raises TimeoutError when the connection is dead, long before TCP notices.

        Not by protocol pings, which find a connection dead that is only not read for a while (`max_handling`).
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(self._ping_interval):
                return await connection.recv(decode=True)
        try:
            async with asyncio.timeout(self._ping_timeout):
                pongs.append(())
                await connection.send(PING)
                return await connection.recv(decode=True)
        except TimeoutError:
            raise TimeoutError(f"no answer to a ping in {self._ping_timeout} s") from None

    def _take(self, connection: ClientConnection, text: str, pongs: Pongs) -> None:
        if text == PONG:
            self._enter(State.OPEN)
            for done in pongs.popleft() if pongs else ():
                if not done.done():
                    done.set_result(None)
        elif not self._closing:
            with suppress(ValueError):  # what is no envelope belongs to a protocol to come
                self._begin(connection, Envelope.read(text))

    def _begin(self, connection: ClientConnection, envelope: Envelope) -> None:
        async def send(frame: str) -> None:
            with suppress(ConnectionClosed):  # then its publisher waits for this client no longer
                await connection.send(frame)

        self._handling.begin(envelope, self._subscriptions.handlers(envelope), send)

    def _enter(self, state: State, error: Exception | None = None) -> None:
        if state is not self.state:
            self.state = state
            if self._on_state is not None:
                try:
                    self._on_state(state, error)
                except Exception:  # of the listener's own, and no reason to end the connection
                    logger.exception("on_state has failed")
