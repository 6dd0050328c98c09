"""Two channel layers made for asking: their `group_send` says how many processes it reached, 0 when nobody is there.

`LocalChannelLayer` serves one process without any server; `RedisChannelLayer` joins many through Redis pub/sub. Both
keep to the public channel-layer API (https://channels.readthedocs.io/en/stable/channel_layer_spec.html) for channels
made by `new_channel`, deliver at most once, and forget a message to a channel that has ended.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from threading import get_ident
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from channels.exceptions import ChannelFull
from channels.layers import BaseChannelLayer
from channels_redis.serializers import registry
from channels_redis.utils import _consistent_hash, _wrap_close, decode_hosts

from .outbox import Done, Message, Outbox
from .redishost import LayerUnavailable, RedisHost

__all__ = ["LayerUnavailable", "LocalChannelLayer", "RedisChannelLayer"]

logger = logging.getLogger(__name__)

CAPACITY = 10_000  # messages that wait in one channel; more are refused
REPLY = "reply"  # how the names of reply channels begin


def _refuse_name(channel: str) -> None:
    """Raise ValueError for a channel that `new_channel` has not made: nobody would get what is sent there."""
    if "!" not in channel:
        raise ValueError(
            f"This channel layer carries no named channels such as {channel!r}. "
            "Workers that listen to them need one of channels_redis, under another alias."
        )


class Mailbox:
    """The messages that wait in one channel. They may be put from any thread, and are taken in one event loop."""

    __slots__ = ("_loop", "_queue")

    def __init__(self, capacity: int) -> None:
        self._queue: asyncio.Queue[Message] = asyncio.Queue(capacity)
        self._loop = asyncio.get_running_loop()

    async def get(self) -> Message:
        return await self._queue.get()

    def put(self, message: Message) -> None:
        """Raises ChannelFull."""
        if self._queue.full():
            raise ChannelFull
        if asyncio._get_running_loop() is self._loop:
            self._queue.put_nowait(message)
        else:
            with suppress(RuntimeError):  # its loop has ended, and the channel with it
                self._loop.call_soon_threadsafe(self._queue.put_nowait, message)


class Inbox:
    """A channel whose messages do not wait: `take` is called with each as it comes, in the inbox's own event loop, and
    says whether to wake whoever waits. That spares a queue, and a task that is woken for each message.
    """

    __slots__ = ("_error", "_loop", "_take", "_thread", "_waiter")

    def __init__(self, take: Callable[[Message], bool]) -> None:
        self._take = take
        # A thread is told from another without the system call that asking for its running loop is (on Python 3.11).
        self._loop, self._thread = asyncio.get_running_loop(), get_ident()
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None

    def put(self, message: Message) -> None:
        """From any thread."""
        if get_ident() == self._thread:
            self._put(message)
        else:
            with suppress(RuntimeError):  # its loop has ended, and the channel with it
                self._loop.call_soon_threadsafe(self._put, message)

    async def wait(self, until: float) -> None:
        """Returns when `take` next says so, or at this time of the loop's clock. Raises what `fail` was given."""
        if self._error is None:
            self._waiter = self._loop.create_future()
            timer = self._loop.call_at(until, self._wake)
            try:
                await self._waiter
            finally:
                timer.cancel()
        if self._error is not None:
            raise self._error

    def fail(self, error: Exception) -> None:
        """Messages may have been lost: whoever waits, or will, gets this error."""
        self._error = error
        self._wake()

    def _put(self, message: Message) -> None:
        if self._take(message):
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class LocalChannelLayer(BaseChannelLayer):
    """The channel layer of a single process. Messages are handed over as they are, not copied."""

    extensions: ClassVar = ["groups", "flush"]

    def __init__(self, capacity: int = CAPACITY) -> None:
        super().__init__(capacity=capacity)
        self.process = secrets.token_hex(8)
        self.channels: dict[str, Mailbox | Inbox] = {}
        self.groups: dict[str, dict[str, None]] = {}  # of channel names; a dict keeps the order in which they joined
        self._numbers = itertools.count(1)

    async def new_channel(self, prefix: str = "specific") -> str:
        name = f"{prefix}.{self.process}!{next(self._numbers)}"
        self.channels[name] = Mailbox(self.capacity)
        return name

    async def listen(self, take: Callable[[Message], bool]) -> str:
        """A new channel, each message of which `take` is called with."""
        return self._open("specific", take)[0]

    def open_reply_channel(self, take: Callable[[Message], bool]) -> tuple[str, Inbox]:
        """A channel for the answers to one message: its name, and where to wait for them. To be closed."""
        return self._open(REPLY, take)

    def _open(self, prefix: str, take: Callable[[Message], bool]) -> tuple[str, Inbox]:
        name = f"{prefix}.{self.process}!{next(self._numbers)}"
        inbox = self.channels[name] = Inbox(take)
        return name, inbox

    def close_reply_channel(self, name: str) -> None:
        self.channels.pop(name, None)

    def fail_replies(self, error: Exception) -> None:
        """Answers may have been lost: whoever waits on a reply channel gets this error."""
        for name, inbox in self.channels.items():
            if name.startswith(REPLY) and isinstance(inbox, Inbox):
                inbox.fail(error)

    async def send(self, channel: str, message: Message) -> None:
        """Raises ChannelFull, ValueError. A message to a channel that has ended is forgotten."""
        _refuse_name(channel)
        self.put(channel, message)

    def post(self, channel: str, message: Message) -> None:
        """`send` without waiting. Raises ChannelFull."""
        self.put(channel, message)

    async def receive(self, channel: str) -> Message:
        """The next message. A cancelled `receive` ends the channel, as it does at the end of a consumer."""
        _refuse_name(channel)
        mailbox = self.channels.get(channel)
        if not isinstance(mailbox, Mailbox):
            mailbox = self.channels[channel] = Mailbox(self.capacity)
        try:
            return await mailbox.get()
        except asyncio.CancelledError:
            self.channels.pop(channel, None)
            raise

    async def group_add(self, group: str, channel: str) -> None:
        self.groups.setdefault(group, {})[channel] = None

    async def group_discard(self, group: str, channel: str) -> None:
        members = self.groups.get(group, {})
        members.pop(channel, None)
        if not members:
            self.groups.pop(group, None)

    async def group_send(self, group: str, message: Message) -> int:  # type: ignore[override]
        """How many processes have been reached: 1, or 0 when the group has no members."""
        if group not in self.groups:
            return 0
        self.fan_out(group, message)
        return 1

    async def ping(self) -> None:
        """Nothing to wait for: there is no server."""

    async def flush(self) -> None:
        self.channels.clear()
        self.groups.clear()

    def put(self, channel: str, message: Message) -> None:
        if mailbox := self.channels.get(channel):
            mailbox.put(message)

    def fan_out(self, group: str, message: Message) -> None:
        """Hand a message to the members in this process, past those that are full."""
        for channel in list(self.groups.get(group, ())):  # a copy: other threads may send, while this one joins
            try:
                self.put(channel, message)
            except ChannelFull:
                logger.warning("channel %s is full: a message to group %s is lost", channel, group)


class RedisChannelLayer(BaseChannelLayer):
    """The channel layer of many processes, through Redis pub/sub on one or several hosts.

    `hosts` is what channels_redis takes: a list of URLs, (host, port) pairs or dicts of redis-py connection arguments,
    Sentinel included. Groups are spread over the hosts by hash. `symmetric_encryption_keys` encrypts all that passes
    through Redis (the first key encrypts, all decrypt).

    A layer serves any number of event loops; each counts as a process, with connections of its own.
    """

    extensions: ClassVar = ["groups", "flush"]

    def __init__(
        self,
        hosts: list[Any] | None = None,
        prefix: str = "hopeflow",
        symmetric_encryption_keys: list[str] | None = None,
        serializer_format: str = "msgpack",
        capacity: int = CAPACITY,
    ) -> None:
        super().__init__(capacity=capacity)
        self.hosts = decode_hosts(hosts)
        self.prefix = prefix
        self.serializer = registry.get_serializer(
            serializer_format, symmetric_encryption_keys=symmetric_encryption_keys
        )
        self._layers: dict[asyncio.AbstractEventLoop, RedisLoopLayer] = {}

    @property
    def of_loop(self) -> RedisLoopLayer:
        """The layer of the running event loop. It is flushed when the loop closes."""
        loop = asyncio.get_running_loop()
        layer = self._layers.get(loop)
        if layer is None:
            layer = self._layers[loop] = RedisLoopLayer(self)
            _wrap_close(self, loop)
        return layer

    async def new_channel(self, prefix: str = "specific") -> str:
        return await self.of_loop.new_channel(prefix)

    async def send(self, channel: str, message: Message) -> None:
        """Returns when Redis has handed it on. A message to a channel that has ended is forgotten.

        Raises ChannelFull for a channel of this process, LayerUnavailable, ValueError.
        """
        await self.of_loop.send(channel, message)

    def post(self, channel: str, message: Message) -> None:
        """`send` without waiting: what can't be sent is logged. Raises ChannelFull for a channel of this process."""
        self.of_loop.post(channel, message)

    async def receive(self, channel: str) -> Message:
        """The next message. A cancelled `receive` ends the channel, as it does at the end of a consumer."""
        return await self.of_loop.receive(channel)

    async def group_add(self, group: str, channel: str) -> None:
        """Returns when Redis has confirmed the subscription. Raises LayerUnavailable."""
        await self.of_loop.group_add(group, channel)

    async def group_discard(self, group: str, channel: str) -> None:
        await self.of_loop.group_discard(group, channel)

    async def group_send(self, group: str, message: Message) -> int:  # type: ignore[override]
        """How many processes have been reached: those with members, as Redis counts them.

        Raises LayerUnavailable, also in the first moment after an outage: until all processes are back the count would
        be too low.
        """
        return await self.of_loop.group_send(group, message)

    async def ping(self) -> None:
        """Returns when all hosts have answered. Raises LayerUnavailable, as `group_send` would."""
        await self.of_loop.ping()

    async def flush(self) -> None:
        """Forget all channels and groups of the running event loop, and close its connections."""
        layer = self._layers.pop(asyncio.get_running_loop(), None)
        if layer is not None:
            await layer.flush()


class RedisLoopLayer:
    """The part of a RedisChannelLayer that belongs to one event loop: a local layer, and who in Redis hears of it.

    Redis knows one channel for the process, where all that is sent to its channels arrives, and one for each group
    that has members here.
    """

    def __init__(self, layer: RedisChannelLayer) -> None:
        self.local = LocalChannelLayer(layer.capacity)
        self._serializer = layer.serializer
        self._process_prefix = f"{layer.prefix}:process:"
        self._group_prefix = f"{layer.prefix}:group:"
        self._process_channel = self._process_prefix + self.local.process
        self._hosts = [RedisHost(host, f"{layer.prefix}:process:all", self._on_message) for host in layer.hosts]
        self._host(self._process_channel).on_loss = self._lose_answers
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._outbox = Outbox(layer.serializer.serialize, self._publish_soon)
        self._listening = False

    async def new_channel(self, prefix: str = "specific") -> str:
        await self._listen()
        return await self.local.new_channel(prefix)

    async def listen(self, take: Callable[[Message], bool]) -> str:
        await self._listen()
        return await self.local.listen(take)

    def open_reply_channel(self, take: Callable[[Message], bool]) -> tuple[str, Inbox]:
        return self.local.open_reply_channel(take)

    def close_reply_channel(self, name: str) -> None:
        self.local.close_reply_channel(name)

    async def receive(self, channel: str) -> Message:
        return await self.local.receive(channel)

    async def send(self, channel: str, message: Message) -> None:
        _refuse_name(channel)
        await self._listen()
        if process := self._elsewhere(channel):
            await self._outbox.send(process, channel, message)
        else:
            self.local.put(channel, message)

    def post(self, channel: str, message: Message) -> None:
        if process := self._elsewhere(channel):
            self._outbox.post(process, channel, message)
        else:
            self.local.put(channel, message)

    async def group_add(self, group: str, channel: str) -> None:
        async with self._lock(group):
            await self.local.group_add(group, channel)
            try:
                await self._host(group).subscribe(self._group_prefix + group)
            except BaseException:
                await self._leave(group, channel)
                raise

    async def group_discard(self, group: str, channel: str) -> None:
        async with self._lock(group):
            await self._leave(group, channel)

    async def _leave(self, group: str, channel: str) -> None:
        if self.local.groups.get(group, {}).keys() == {channel}:
            # The member stays until Redis has confirmed: a message for which Redis counted this process finds it.
            await self._host(group).unsubscribe(self._group_prefix + group)
        await self.local.group_discard(group, channel)

    async def group_send(self, group: str, message: Message) -> int:
        await self._listen()  # the answers arrive there
        data = self._serializer.serialize(message)
        return await self._host(group).publish(self._group_prefix + group, data, to_all=True)

    async def ping(self) -> None:
        await asyncio.gather(*(host.ping() for host in self._hosts))

    async def flush(self) -> None:
        await self.local.flush()
        for host in self._hosts:
            await host.close()

    def _host(self, name: str) -> RedisHost:
        index: int = _consistent_hash(name, len(self._hosts))
        return self._hosts[index]

    def _lock(self, group: str) -> asyncio.Lock:
        return self._locks.setdefault(group, asyncio.Lock())

    async def _listen(self) -> None:
        if not self._listening:
            async with self._lock(self._process_channel):
                await self._host(self._process_channel).subscribe(self._process_channel)
                self._listening = True

    def _elsewhere(self, channel: str) -> str | None:
        """The channel in Redis of the process that has this channel, None when it is this one."""
        process = channel.partition("!")[0].rpartition(".")[2]
        return None if process == self.local.process else self._process_prefix + process

    def _publish_soon(self, process_channel: str, data: bytes, done: Done) -> None:
        self._host(process_channel).publish_soon(process_channel, data, done)

    def _lose_answers(self) -> None:
        self.local.fail_replies(LayerUnavailable("the connection to Redis was lost, and answers with it"))

    def _on_message(self, name: str, data: bytes) -> None:
        try:
            message = self._serializer.deserialize(data)
            if name != self._process_channel:
                self.local.fan_out(name.removeprefix(self._group_prefix), message)
                return
            for channel, single in message:
                with suppress(ChannelFull):
                    self.local.put(channel, single)
        except Exception as error:  # whoever can publish in Redis can send anything, and nothing may end the listening
            logger.warning("a message on %s can't be read (is every process given the same keys?): %r", name, error)
