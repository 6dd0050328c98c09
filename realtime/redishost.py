"""One Redis host, kept connected: one connection listens, one publishes, both are shared by the whole event loop.

redis-py makes the connections (URLs, TLS, passwords, Sentinel) and speaks the protocol. What is added here is the
pipelining, any number of commands under way at once on one connection, and the healing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from channels_redis.utils import create_pool
from redis.exceptions import RedisError, ResponseError

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 1.0  # seconds
COMMAND_TIMEOUT = 1.0  # seconds until Redis must have answered
HEARTBEAT = 1.0  # seconds between two looks at whether Redis still answers
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0  # seconds between two attempts to connect
NAMES_A_COMMAND = 1000  # when subscribing to all again

# RESP2: a subscribed connection answers nothing but its subscriptions, so every other reply is a message. No socket
# timeout: a connection that listens may be quiet for hours, the heartbeat tells a quiet one from a dead one.
CONNECTION = {"protocol": 2, "socket_timeout": None, "socket_connect_timeout": CONNECT_TIMEOUT}


class LayerUnavailable(Exception):
    """The channel layer's server is away. What was under way may or may not have happened. Trying again is right."""


class Pipeline:
    """One connection on which many callers have commands under way. Answers come in the order of the commands."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._awaited: deque[asyncio.Future[Any]] = deque()

    async def connect(self) -> None:
        await self._connection.connect()

    async def send(self, *command: str | bytes, answers: int = 1) -> asyncio.Future[Any]:
        """Send a command that is answered `answers` times (SUBSCRIBE: once a name). The future is the last answer."""
        if not self._connection.is_connected:
            raise LayerUnavailable("not connected to Redis")
        loop = asyncio.get_running_loop()
        self._awaited.extend(loop.create_future() for _ in range(answers))
        answer = self._awaited[-1]
        # Written before it suspends for the first time, so commands and futures stay in the same order.
        await self._connection.send_packed_command(self._connection.pack_command(*command), check_health=False)
        return answer

    async def read(self, on_message: Callable[[str, bytes], None] | None = None) -> None:
        """Read for ever: messages go to `on_message`, answers to those who await them."""
        while True:
            try:
                response = await self._connection.read_response(disable_decoding=True)
            except ResponseError as error:
                self._answer(error)
                continue
            if on_message is not None and isinstance(response, list) and response[0] == b"message":
                on_message(response[1].decode(), response[2])
            else:
                self._answer(response)

    def _answer(self, response: Any) -> None:
        awaited = self._awaited.popleft()
        if not awaited.done():
            awaited.set_result(response)

    async def close(self) -> None:
        while self._awaited:
            self._answer(LayerUnavailable("the connection to Redis was lost"))
        with suppress(RedisError, OSError):
            await self._connection.disconnect(nowait=True)


class RedisHost:
    """A Redis host as one event loop uses it. Connects when first used, and again whenever the connection is lost."""

    def __init__(self, host: dict[str, Any], on_message: Callable[[str, bytes], None]) -> None:
        self._pool = create_pool({**CONNECTION, **host})
        self._on_message = on_message
        self._subscribed: set[str] = set()  # and subscribed to again after a loss
        self._pipelines: tuple[Pipeline, Pipeline] | None = None  # that listens, that publishes; None: away
        self._tried = asyncio.Event()  # the first attempt to connect is over
        self._keeper: asyncio.Task[None] | None = None

    async def publish(self, name: str, data: bytes) -> int:
        """How many processes Redis has handed it to. Raises LayerUnavailable."""
        _, publisher = await self._connected()
        count: int = await _answer(publisher.send("PUBLISH", name, data))
        return count

    async def ping(self) -> None:
        """Returns when Redis has answered. Raises LayerUnavailable."""
        _, publisher = await self._connected()
        await _answer(publisher.send("PING"))

    async def subscribe(self, name: str) -> None:
        """Returns when Redis has confirmed. Raises LayerUnavailable."""
        listener, _ = await self._connected()
        if name not in self._subscribed:
            self._subscribed.add(name)
            try:
                await _answer(listener.send("SUBSCRIBE", name))
            except BaseException:
                self._subscribed.discard(name)
                raise

    async def unsubscribe(self, name: str) -> None:
        """Returns when Redis has confirmed: all that it sent before has been handed to `on_message`."""
        self._subscribed.discard(name)
        if self._pipelines is not None:
            with suppress(LayerUnavailable):
                await _answer(self._pipelines[0].send("UNSUBSCRIBE", name))

    async def close(self) -> None:
        self._subscribed.clear()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
            self._keeper = None

    async def _connected(self) -> tuple[Pipeline, Pipeline]:
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep_connected())
        if self._pipelines is None:
            await self._tried.wait()
        if self._pipelines is None:
            raise LayerUnavailable("not connected to Redis")
        return self._pipelines

    async def _keep_connected(self) -> None:
        pause, said = FIRST_PAUSE, ""
        while True:
            try:
                await self._stay_connected()
            except* Exception as group:  # whatever it was, trying again is what is left to do
                error = _first(group)
            if self._pipelines is not None:
                pause, said, self._pipelines = FIRST_PAUSE, "", None
            if (saying := f"{type(error).__name__}: {error}") != said:
                logger.warning("no connection to Redis, trying again: %s", said := saying)
            self._tried.set()
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _stay_connected(self) -> None:
        """Connect, subscribe to all, and read until the connection is lost, which raises."""
        listener, publisher = Pipeline(self._pool.make_connection()), Pipeline(self._pool.make_connection())
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await listener.connect()
                await publisher.connect()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(listener.read(self._on_message))
                tasks.create_task(publisher.read())
                await self._subscribe_again(listener)
                self._pipelines = listener, publisher
                self._tried.set()
                logger.info("connected to Redis")
                while True:
                    await asyncio.sleep(HEARTBEAT)
                    await _answer(listener.send("PING"))
                    await _answer(publisher.send("PING"))
        finally:
            await listener.close()
            await publisher.close()

    async def _subscribe_again(self, listener: Pipeline) -> None:
        names = list(self._subscribed)
        for start in range(0, len(names), NAMES_A_COMMAND):
            some = names[start : start + NAMES_A_COMMAND]
            await _answer(listener.send("SUBSCRIBE", *some, answers=len(some)))


async def _answer(sent: Any) -> Any:
    """The answer to a command that is being sent. Raises LayerUnavailable when it does not come in time."""
    try:
        async with asyncio.timeout(COMMAND_TIMEOUT):
            answer = await (await sent)
    except (RedisError, OSError) as error:  # TimeoutError is an OSError
        raise LayerUnavailable(f"no answer from Redis: {error!r}") from error
    if isinstance(answer, LayerUnavailable):
        raise answer
    if isinstance(answer, Exception):
        raise LayerUnavailable(f"Redis refuses: {answer}")
    return answer


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    """The first single error in a group of groups."""
    errors: Iterable[BaseException] = group.exceptions
    for error in errors:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("an exception group is never empty")
