"""The configured channel layer, ours or one of another make, with what delivery asks of both."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, Protocol

from channels.exceptions import ChannelFull
from channels.layers import get_channel_layer
from django.core.exceptions import ImproperlyConfigured
from redis.exceptions import RedisError

from .conf import conf
from .events import Event
from .layers import LayerUnavailable

logger = logging.getLogger(__name__)

AWAY = (LayerUnavailable, RedisError, OSError)
"""What a layer raises when its server is away: ours the first, others whatever their client raises."""


@contextmanager
def away_is_unavailable() -> Iterator[None]:
    """Whatever the layer raises when its server is away becomes LayerUnavailable."""
    try:
        yield
    except LayerUnavailable:
        raise
    except AWAY as error:
        raise LayerUnavailable(repr(error)) from error


_posting: set[asyncio.Task[None]] = set()


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
        try:
            layer.post(channel, event)
        except ChannelFull:
            logger.warning("channel %s is full: an event is lost", channel)
        return
    task = asyncio.create_task(send(layer, channel, event))
    _posting.add(task)  # the event loop keeps only weak references
    task.add_done_callback(_posting.discard)


async def send(layer: Any, channel: str, event: Event) -> None:
    """Send, and wait until it is on its way. What can't be sent is logged."""
    try:
        await layer.send(channel, event)
    except (ChannelFull, *AWAY) as error:
        logger.warning("an event to %s is lost: %r", channel, error)


class Inbox(Protocol):
    """What comes in on a reply channel."""

    async def get(self) -> Event: ...


def reply_channel(layer: Any) -> AbstractAsyncContextManager[tuple[str, Inbox]]:
    """The name of a channel for the answers to one envelope, and what comes in there. It ends with the block."""
    if hasattr(layer, "reply_channel"):
        return _as_async(layer.reply_channel())
    return _foreign_reply_channel(layer)


@asynccontextmanager
async def _as_async(manager: Any) -> AsyncIterator[tuple[str, Inbox]]:
    with manager as opened:
        yield opened


@asynccontextmanager
async def _foreign_reply_channel(layer: Any) -> AsyncIterator[tuple[str, Inbox]]:
    """The same on a layer of another make. A task stands in `receive` all the time, since some layers end a channel
    when a `receive` is cancelled, as a timeout does, and others keep it for ever when none is.
    """
    name = await layer.new_channel()
    inbox: asyncio.Queue[Event] = asyncio.Queue()

    async def pump() -> None:
        while True:
            inbox.put_nowait(await layer.receive(name))

    task = asyncio.create_task(pump())
    try:
        await asyncio.sleep(0)  # let it reach `receive`
        yield name, inbox
    finally:
        task.cancel()
        await asyncio.wait([task])
