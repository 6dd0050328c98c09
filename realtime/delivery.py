"""The delivery of an envelope: send it to the user's group, take the roll call, collect the acks, answer.

HTTP, Python callers and commands all come through here. What has been answered is `rollcall`'s to know; when to stop
waiting is decided here and nowhere else.
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from asgiref.sync import async_to_sync

from . import events
from .channellayer import AWAY, Inbox, channel_layer, post, reply_channel
from .conf import conf
from .envelopes import Envelope
from .layers import LayerUnavailable
from .protocol import DEFAULT_TYPE
from .rollcall import RollCall

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an envelope: how many sockets were sent it, and what they acked, as JSON text."""

    client_count: int
    results: list[str]


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of an envelope: how many sockets were sent it, and what they acked, in order of arrival."""

    client_count: int
    results: list[Any]


class _Absent:
    """No payload at all, which is not the same as the payload None."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()


async def apublish(user: str, type: str = DEFAULT_TYPE, payload: Any = ABSENT) -> Delivered:
    """Send an envelope to the matching sockets of `user` and collect their acks.

    Returns as soon as every one of those sockets has acked or gone, at once when there is none, and after ACK_TIMEOUT
    at the latest. `payload` is anything that `json.dumps` takes. Raises LayerUnavailable when Redis is away.
    """
    text = None if payload is ABSENT else json.dumps(payload, allow_nan=False)
    outcome = await deliver(user, type, text)
    return Delivered(outcome.client_count, [json.loads(result) for result in outcome.results])


def publish(user: str, type: str = DEFAULT_TYPE, payload: Any = ABSENT) -> Delivered:
    """`apublish` for code that is not async: a WSGI view, a Celery task, a management command."""
    return async_to_sync(apublish)(user, type, payload)


async def deliver(user: str, type: str, payload: str | None) -> Outcome:
    """Deliver an envelope whose payload is JSON text (None: absent). Raises LayerUnavailable."""
    layer = channel_layer()
    group, envelope = events.group_name(user), Envelope.new(user, type, payload)
    roll_call = RollCall()
    try:
        async with reply_channel(layer) as (reply, inbox):
            event = events.envelope_event(group, envelope, reply, conf.ACK_TIMEOUT)
            reached = await layer.group_send(group, event)
            if reached is not None:
                roll_call.reached(reached)
            await _collect(roll_call, inbox, layer, reply, conf.SETTLE_TIME if reached is None else conf.REPORT_TIMEOUT)
    except asyncio.CancelledError:
        logger.info("publish cancelled user=%r envelope=%s: the publisher has gone", user, envelope.id)
        raise
    except AWAY as error:
        raise LayerUnavailable(repr(error)) from error
    clients, results = roll_call.client_count, roll_call.results
    logger.info(
        "publish user=%r envelope=%s type=%r clients=%d acks=%d", user, envelope.id, type, clients, len(results)
    )
    return Outcome(clients, results)


async def _collect(roll_call: RollCall, inbox: Inbox, layer: Any, reply: str, first_check: float) -> None:
    """Feed the roll call until it is complete, or the acks have been awaited for long enough."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + conf.ACK_TIMEOUT
    check = min(loop.time() + first_check, deadline)
    while not roll_call.complete:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(check):
                while not roll_call.complete:
                    roll_call.receive(await inbox.get())
        if loop.time() >= deadline:
            return
        if not roll_call.complete:
            check = min(loop.time() + conf.REPORT_TIMEOUT, deadline)
            for process in roll_call.check():
                post(layer, process, events.probe_event(reply))
