"""One Redis host, kept connected: one connection listens, one publishes, both are shared by the whole event loop.

redis-py makes the connections (URLs, TLS, passwords, Sentinel). What is added here is the pipelining, any number of
commands under way at once on one connection, and the healing.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import hiredis
from channels_redis.utils import create_pool
from redis.exceptions import RedisError, ResponseError

from . import metrics

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 1.0  # seconds
COMMAND_TIMEOUT = 0.8  # seconds until Redis must have answered, so that a publish fails within one
GRACE = 0.05  # seconds beyond that for an answer to be read that has come in time
HEARTBEAT = 0.5  # seconds between two looks at whether Redis still answers, and for each answer
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.4  # seconds between two attempts to connect
REUNION = 1.5  # seconds after an outage that the other processes are given: an attempt that hangs, a pause, another
LOOK = 0.02  # seconds between two looks at whether they are
BEATS = 4  # heartbeats for which a process that has gone counts as one that will be back
NAMES_A_COMMAND = 1000  # when subscribing to all again

# RESP2: a subscribed connection answers nothing but its subscriptions, so every other reply is a message. No socket
# timeout: a connection that listens may be quiet for hours, the heartbeat tells a quiet one from a dead one.
CONNECTION = {"protocol": 2, "socket_timeout": None, "socket_connect_timeout": CONNECT_TIMEOUT}


class LayerUnavailable(Exception):
    """The channel layer's server is away. What was under way may or may not have happened. Trying again is right."""


class Pipeline(asyncio.Protocol):
    """One connection on which many callers have commands under way. Answers come in the order of the commands."""

    def __init__(self, connection: Any, on_message: Callable[[str, bytes], None] | None = None) -> None:
        self._connection = connection
        self._on_message = on_message
        self._loop = asyncio.get_running_loop()
        self._replies = hiredis.Reader(replyError=ResponseError)
        self._awaited: deque[asyncio.Future[Any]] = deque()
        self._unsent: list[bytes] = []
        self._ended: asyncio.Future[None] = self._loop.create_future()

    async def connect(self) -> None:
        await self._connection.connect()
        # From here on what arrives is handled at once: redis-py's reader would wake a task for it, and again for each
        # answer. Its way to send suspends, which would take a task for whoever can't wait.
        self._transport = self._connection._writer.transport
        self._transport.set_protocol(self)

    def send(self, *command: str | bytes, answers: int = 1) -> asyncio.Future[Any]:
        """Send a command that is answered `answers` times (SUBSCRIBE: once a name). The future is the last answer, or
        the exception that came instead. Raises LayerUnavailable.
        """
        if self._ended.done():
            raise LayerUnavailable("not connected to Redis")
        if not self._unsent:
            self._loop.call_soon(self._write)
        self._unsent += self._connection.pack_command(*command)
        self._awaited.extend(self._loop.create_future() for _ in range(answers))
        return self._awaited[-1]

    def _write(self) -> None:
        """All that one turn of the event loop sends, at once: Redis then answers it at once.

        What waits for a Redis that does not read is bounded by the publishes under way, and by the heartbeat.
        """
        unsent, self._unsent = self._unsent, []
        if not self._ended.done():
            with suppress(RuntimeError):  # uvloop's, when it has been lost: whoever awaits an answer will be told
                self._transport.writelines(unsent)

    async def ended(self) -> None:
        """Raises when the connection is lost."""
        await self._ended

    def data_received(self, data: bytes) -> None:
        """Messages go to `on_message`, answers to who awaits them."""
        try:
            self._replies.feed(data)
            while (reply := self._replies.gets()) is not False:
                if self._on_message is not None and isinstance(reply, list) and reply[0] == b"message":
                    self._on_message(reply[1].decode(), reply[2])
                else:
                    self._answer(reply)
        except Exception as error:  # no Redis answers so
            self._end(error)
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error or LayerUnavailable("the connection was closed by Redis"))

    def _end(self, error: Exception) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)
            self._ended.exception()  # so that nobody complains of one that is not awaited any more

    def _answer(self, response: Any) -> None:
        awaited = self._awaited.popleft()
        if not awaited.done():
            awaited.set_result(response)

    async def close(self) -> None:
        self._ended.cancel()
        while self._awaited:
            self._answer(LayerUnavailable("the connection to Redis was lost"))
        with suppress(RedisError, OSError):
            await self._connection.disconnect(nowait=True)


class RedisHost:
    """A Redis host as one event loop uses it. Connects when first used, and again whenever the connection is lost."""

    def __init__(self, host: dict[str, Any], beacon: str, on_message: Callable[[str, bytes], None]) -> None:
        """`beacon` is the channel that all processes subscribe to, and nobody publishes on, to be counted there."""
        self._pool = create_pool({**CONNECTION, **host})
        self._beacon = beacon
        self._on_message = on_message
        self.on_loss: Callable[[], None] = lambda: None  # called each time a connection is lost
        self._subscribed: set[str] = set()  # and subscribed to again after a loss
        self._pipelines: tuple[Pipeline, Pipeline] | None = None  # that listens, that publishes; None: away
        self._tried = asyncio.Event()  # the first attempt to connect is over
        self._counted: deque[float] = deque(maxlen=BEATS)  # processes that were connected to it, when last looked at
        self._reunited = False  # they are back
        self._keeper: asyncio.Task[None] | None = None

    async def publish(self, name: str, data: bytes, to_all: bool = False) -> int:
        """How many processes Redis has handed it to. Raises LayerUnavailable.

        `to_all`: to whoever has subscribed. Then it is raised too until the processes that an outage cut off are back:
        a count that is taken before would be too low.
        """
        listener, publisher = self._pipelines or await self._connected()
        if to_all:
            self._check_reunited()
        count: int = await _answer(publisher.send("PUBLISH", name, data))
        if to_all and not count and name in self._subscribed:
            # This process should have been among them: Redis has cut off the connection that listens, or says so now.
            await _answer(listener.send("PING"))
        return count

    def publish_soon(self, name: str, data: bytes, done: Callable[[LayerUnavailable | None], None]) -> None:
        """Publish without waiting: `done` is called with what came of it, when Redis has answered at the latest."""
        if self._pipelines is None:
            done(LayerUnavailable("not connected to Redis"))
            return
        try:
            answer = self._pipelines[1].send("PUBLISH", name, data)
        except LayerUnavailable as error:
            done(error)
            return
        timer = asyncio.get_running_loop().call_later(COMMAND_TIMEOUT, _late, answer)

        def answered(answer: asyncio.Future[Any]) -> None:
            timer.cancel()
            done(None if isinstance(answer.result(), int) else _unavailable(answer.result()))

        answer.add_done_callback(answered)

    async def ping(self) -> None:
        """Returns when Redis has answered. Raises LayerUnavailable, as a publish to all would."""
        _, publisher = await self._connected()
        self._check_reunited()
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
            # A group of tasks forgets it when one of them fails in the same moment (on Python 3.11).
            while not self._keeper.done():
                self._keeper.cancel()
                await asyncio.wait([self._keeper], timeout=FIRST_PAUSE)
            self._keeper = self._pipelines = None

    def _check_reunited(self) -> None:
        if not self._reunited:
            raise LayerUnavailable("Redis is back, but not yet for all processes")

    async def _connected(self) -> tuple[Pipeline, Pipeline]:
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep_connected())
        if self._pipelines is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(COMMAND_TIMEOUT):
                    await self._tried.wait()
        if self._pipelines is None:
            raise LayerUnavailable("not connected to Redis")
        return self._pipelines

    async def _keep_connected(self) -> None:
        pause, said = FIRST_PAUSE, ""
        self._reunited = True
        while True:
            try:
                await self._stay_connected()
            except* Exception as group:  # whatever it was, trying again is what is left to do
                error = _first(group)
            self._reunited = False
            if self._pipelines is not None:
                pause, said, self._pipelines = FIRST_PAUSE, "", None
                metrics.REDIS_LOSSES.inc()
                self.on_loss()
            if (saying := f"{type(error).__name__}: {error}") != said:
                logger.warning("no connection to Redis, trying again: %s", said := saying)
            self._tried.set()
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _stay_connected(self) -> None:
        """Connect, subscribe to all, and read until the connection is lost, which raises."""
        listener = Pipeline(self._pool.make_connection(), self._on_message)
        publisher = Pipeline(self._pool.make_connection())
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT), asyncio.TaskGroup() as connecting:
                connecting.create_task(listener.connect())
                connecting.create_task(publisher.connect())
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(listener.ended())
                tasks.create_task(publisher.ended())
                await self._subscribe_again(listener)
                self._pipelines = listener, publisher
                self._tried.set()
                logger.info("connected to Redis")
                if not self._reunited:
                    await self._reunite(publisher)
                while True:
                    await asyncio.sleep(HEARTBEAT)
                    await _beat(listener)
                    await _beat(publisher)
                    self._counted.append(await self._count(publisher) or math.inf)
        finally:
            await listener.close()
            await publisher.close()

    async def _subscribe_again(self, listener: Pipeline) -> None:
        names = list(self._subscribed)
        for start in range(0, len(names), NAMES_A_COMMAND):
            some = names[start : start + NAMES_A_COMMAND]
            await _answer(listener.send("SUBSCRIBE", *some, answers=len(some)))
        await _answer(listener.send("SUBSCRIBE", self._beacon))  # the last: who is counted there hears the others
        while left := set(names) - self._subscribed:  # meanwhile, when nobody could tell Redis
            await _answer(listener.send("UNSUBSCRIBE", *left, answers=len(left)))
            names = [name for name in names if name not in left]

    async def _reunite(self, publisher: Pipeline) -> None:
        """Returns when as many processes are connected as were before the outage, or when they have had the time."""
        loop = asyncio.get_running_loop()
        end, before = loop.time() + REUNION, max(self._counted, default=math.inf)
        while await self._count(publisher) < before and loop.time() < end:  # noqa: ASYNC110  (no hot path)
            await asyncio.sleep(LOOK)
        self._reunited = True

    async def _count(self, publisher: Pipeline) -> float:
        """How many processes are connected to this host and have subscribed to all that they wait for; 0: unknown."""
        try:
            _, count = await _answer(publisher.send("PUBSUB", "NUMSUB", self._beacon))
        except LayerUnavailable as error:  # perhaps this user of Redis may not ask
            logger.debug("processes not counted: %s", error)
            return 0
        return int(count)


async def _beat(pipeline: Pipeline) -> None:
    """Raises LayerUnavailable when the other end is silent for two heartbeats: after one it may be this process that
    was held up, with the answer unread.
    """
    try:
        await _answer(pipeline.send("PING"), HEARTBEAT)
    except LayerUnavailable:
        await _answer(pipeline.send("PING"), HEARTBEAT)


async def _answer(sent: asyncio.Future[Any], timeout: float = COMMAND_TIMEOUT) -> Any:
    """The answer to a command. Raises LayerUnavailable when it does not come in so many seconds, or is an error."""
    timer = asyncio.get_running_loop().call_later(timeout, _late, sent)
    try:
        answer = await sent
    finally:
        timer.cancel()
    if isinstance(answer, Exception):
        raise _unavailable(answer)
    return answer


def _late(answer: asyncio.Future[Any], may_be_unread: bool = True) -> None:
    if answer.done():
        return
    if may_be_unread:  # perhaps it was this process that was held up; timers come before what has arrived meanwhile
        asyncio.get_running_loop().call_later(GRACE, _late, answer, False)
    else:
        answer.set_result(LayerUnavailable("no answer from Redis in time"))


def _unavailable(error: Exception) -> LayerUnavailable:
    return error if isinstance(error, LayerUnavailable) else LayerUnavailable(f"Redis refuses: {error}")


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    """The first single error in a group of groups."""
    errors: Iterable[BaseException] = group.exceptions
    for error in errors:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("an exception group is never empty")
