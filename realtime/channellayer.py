"""The configured channel layer, ours or one of another make, with what delivery asks of both."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from channels.exceptions import ChannelFull
from channels.layers import get_channel_layer
from django.core.exceptions import ImproperlyConfigured
from redis.exceptions import RedisError

from .conf import conf
from .events import Event
from .layers import Inbox, LayerUnavailable

logger = logging.getLogger(__name__)

AWAY = (LayerUnavailable, RedisError, OSError)
"""What a layer raises when its server is away: ours the first, others whatever their client raises."""

PAUSE = 1.0  # seconds until a layer of another make is asked again after an error


@contextmanager
def away_is_unavailable() -> Iterator[None]:
    """Whatever the layer raises when its server is away becomes LayerUnavailable."""
    try:
        yield
    except LayerUnavailable:
        raise
    except AWAY as error:
        raise LayerUnavailable(repr(error)) from error


_tasks: set[asyncio.Task[None]] = set()  # the event loop keeps only weak references


def channel_layer() -> Any:
    """The configured channel layer; of ours on Redis the part of the running event loop, looked up here once and not in
    each call. Raises ImproperlyConfigured.
    """
    layer = get_channel_layer(conf.CHANNEL_LAYER)
    if layer is None:
        raise ImproperlyConfigured(
            f"CHANNEL_LAYERS has no {conf.CHANNEL_LAYER!r}, which REALTIME['CHANNEL_LAYER'] names"
        )
    return getattr(layer, "of_loop", layer)


async def ping(layer: Any) -> None:
    """Returns when the layer's servers have answered. Raises what `AWAY` lists."""
    if hasattr(layer, "ping"):
        await layer.ping()
    else:
        await layer.group_send("realtime.nobody", {"type": "realtime.ping"})


def post(layer: Any, channel: str, event: Event) -> None:
    """Send without waiting. What can't be sent is logged."""
    if hasattr(layer, "post"):
        layer.post(channel, event)
        return
    _keep(asyncio.create_task(send(layer, channel, event)))


async def send(layer: Any, channel: str, event: Event) -> None:
    """Send, and wait until it is on its way. What can't be sent is logged."""
    try:
        await layer.send(channel, event)
    except (ChannelFull, *AWAY) as error:
        logger.warning("an event to %s is lost: %r", channel, error)


async def listen(layer: Any, take: Callable[[Event], bool]) -> str:
    """A new channel, each event of which `take` is called with for as long as the event loop runs."""
    if hasattr(layer, "listen"):
        name: str = await layer.listen(take)
        return name
    name = await layer.new_channel()
    _keep(asyncio.create_task(_pump(layer, name, take)))
    return name


class ReplyChannel:
    """A channel for the answers to one event, open while the block runs: its name, and the inbox to wait in.

    `take` is called with each answer, and says whether to wake whoever waits.
    """

    __slots__ = ("_layer", "_take", "_task", "inbox", "name")

    def __init__(self, layer: Any, take: Callable[[Event], bool]) -> None:
        self._layer, self._take = layer, take
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> ReplyChannel:
        if hasattr(self._layer, "open_reply_channel"):
            self.name, self.inbox = self._layer.open_reply_channel(self._take)
            return self
        # On a layer of another make a task stands in `receive` all the time, since some layers end a channel when a
        # `receive` is cancelled, as a timeout does, and others keep it for ever when none is.
        self.name, self.inbox = await self._layer.new_channel(), Inbox(self._take)
        self._task = asyncio.create_task(_pump(self._layer, self.name, self.inbox.put))
        await asyncio.sleep(0)  # let it reach `receive`
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._task is None:
            self._layer.close_reply_channel(self.name)
        else:
            self._task.cancel()
            await asyncio.wait([self._task])


async def _pump(layer: Any, channel: str, take: Callable[[Event], object]) -> None:
    while True:
        try:
            event = await layer.receive(channel)
        except AWAY as error:
            logger.warning("the channel layer is away, trying again: %r", error)
            await asyncio.sleep(PAUSE)
        else:
            take(event)


def _keep(task: asyncio.Task[None]) -> None:
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
