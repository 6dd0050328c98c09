"""The delivery of an envelope: send it to the user's group, take the roll call, collect the acks, answer.

HTTP, Python callers and commands all come through here. What has been answered is `rollcall`'s to know; when to stop
waiting is decided here and nowhere else.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction

from . import events, metrics, strictjson
from .background import background, refuse_async_code
from .channellayer import ReplyChannel, away_is_unavailable, channel_layer, post
from .conf import conf
from .envelopes import Envelope
from .protocol import DEFAULT_TYPE, trim
from .rollcall import RollCall, WatchedRollCall
from .signals import courier, envelope_delivered
from .users import User, auser_id, user_id

logger = logging.getLogger(__name__)

LONGEST_TIMEOUT = 86_400  # seconds; timers don't take infinity


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an envelope: how many sockets were sent it, and what they acked, as JSON text."""

    client_count: int
    results: list[str]
    timed_out: bool


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of an envelope."""

    client_count: int
    """The sockets that had a matching filter and were sent it."""
    results: tuple[Any, ...] = ()
    """What they acked, in order of arrival."""
    timed_out: bool = False
    """Whether a socket had neither acked nor gone when the time was up."""

    @classmethod
    def of(cls, outcome: Outcome) -> Delivered:
        return cls(outcome.client_count, tuple(map(_loads, outcome.results)), outcome.timed_out)


class _Absent:
    """No payload at all, which is not the same as the payload None."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()


async def apublish(
    user: User, type: str = DEFAULT_TYPE, payload: Any = ABSENT, *, timeout: float | None = None, wait: bool = True
) -> Delivered:
    """Send an envelope to the matching sockets of `user` and collect their acks.

    Returns as soon as every one of those sockets has acked or gone, at once when there is none, and after `timeout`
    seconds (None: ACK_TIMEOUT) at the latest. Without `wait` acks are not asked for: it returns as soon as
    `client_count` is known, in milliseconds, and `results` is empty. The count is exact all the same: a process that
    hangs is given REPORT_TIMEOUT to say its part of it, however short `timeout` is.

    `user` is a user id or a user of the product's, `payload` anything that Django's JSON encoder takes. Raises
    LayerUnavailable when Redis is away, ValueError and TypeError for what can't be sent.
    """
    arguments = _checked(type, payload, timeout)
    return Delivered.of(await deliver(await auser_id(user), *arguments, wait))


def publish(
    user: User, type: str = DEFAULT_TYPE, payload: Any = ABSENT, *, timeout: float | None = None, wait: bool = True
) -> Delivered:
    """`apublish` for code that is not async: a view, a Celery task, a signal receiver, a shell."""
    refuse_async_code("apublish")
    arguments = _checked(type, payload, timeout)
    return Delivered.of(background.run(deliver, user_id(user), *arguments, wait))


def publish_on_commit(user: User, type: str = DEFAULT_TYPE, payload: Any = ABSENT, *, using: str | None = None) -> None:
    """`publish` without waiting for acks once the current transaction has been committed; at once outside of one.

    What can't be sent then is logged: the transaction is over, and those who called are gone. The payload is looked at
    now: ValueError and TypeError are raised here, and a later change to it is not sent.
    """
    target, (type, text, _) = user_id(user), _checked(type, payload, None)
    transaction.on_commit(lambda: _publish_late(target, type, text), using=using)


async def deliver(
    user: str,
    type: str,
    payload: str | None,
    timeout: float | None = None,
    wait: bool = True,
    watch: Callable[[events.Event], None] | None = None,
) -> Outcome:
    """Deliver an envelope whose payload is JSON text (None: absent). Raises LayerUnavailable.

    Acks are awaited for `timeout` seconds (None: ACK_TIMEOUT), or not at all without `wait`. `watch` is called with the
    event that is sent and with those that come back, in which reports name the sockets.
    """
    layer = channel_layer()
    group, envelope = events.group_name(user), Envelope.new(user, type, payload)
    patience = (conf.ACK_TIMEOUT if timeout is None else timeout) if wait else 0
    roll_call, begun = RollCall(wait) if watch is None else WatchedRollCall(wait, watch), time.perf_counter()

    def take(answer: events.Event) -> bool:
        roll_call.receive(answer)
        # Whoever waits less long for acks than for reports begins to when all have reported.
        return roll_call.complete or (patience < conf.REPORT_TIMEOUT and roll_call.reported)

    try:
        with away_is_unavailable():
            async with ReplyChannel(layer, take) as reply:
                event = events.envelope_event(group, envelope, reply.name, patience)
                if watch is not None:
                    event["named"] = True
                    watch(event)
                reached = await layer.group_send(group, event)
                if reached is not None:
                    roll_call.reached(reached)
                first_check = conf.SETTLE_TIME if reached is None else conf.REPORT_TIMEOUT
                timed_out = await _collect(roll_call, reply, layer, first_check, patience)
    except asyncio.CancelledError:
        logger.info("publish cancelled user=%r envelope=%s: the publisher has gone", user, envelope.id)
        raise
    metrics.DELIVERY_SECONDS.observe(time.perf_counter() - begun)
    clients, results = roll_call.client_count, roll_call.results
    logger.info(
        "publish user=%r envelope=%s type=%.100r clients=%d acks=%d", user, envelope.id, type, clients, len(results)
    )
    (metrics.TIMED_OUT if timed_out else metrics.DELIVERED if clients else metrics.NOBODY).inc()
    if envelope_delivered.receivers:
        told = {"envelope_id": envelope.id, "client_count": clients, "results": tuple(map(_loads, results))}
        courier.send(envelope_delivered, user=user, type=type, timed_out=timed_out, **told)
    return Outcome(clients, results, timed_out)


async def _collect(roll_call: RollCall, reply: ReplyChannel, layer: Any, first_check: float, patience: float) -> bool:
    """Wait until the roll call is complete, or the acks have been awaited for long enough, which returns True.

    The counts are exact, however short the patience: reports are waited for until the first check.
    """
    loop = asyncio.get_running_loop()
    deadline, check = loop.time() + patience, loop.time() + first_check
    way_is_open = False

    while not roll_call.complete:
        await reply.inbox.wait(deadline if deadline < check and roll_call.reported else check)
        if roll_call.complete:
            break
        if roll_call.reported and loop.time() >= deadline:
            return True
        if loop.time() >= check:
            if not way_is_open and hasattr(layer, "ping"):
                await layer.ping()  # raises when not the processes are silent, but Redis between them and us
                way_is_open = True
                continue  # with what has come meanwhile
            way_is_open, check = False, loop.time() + conf.REPORT_TIMEOUT
            for process in roll_call.check():
                post(layer, process, events.probe_event(reply.name))
    return False


def _publish_late(user: str, type: str, payload: str | None) -> None:
    try:
        refuse_async_code("apublish")
        background.run(deliver, user, type, payload, None, False)
    except Exception as error:
        logger.error("publish after the commit failed user=%r type=%.100r: %r", user, type, error)


def _checked(type: str, payload: Any, timeout: float | None) -> tuple[str, str | None, float | None]:
    """What `deliver` takes. Raises ValueError and TypeError. It is called in the caller's own thread, where a payload
    may ask the database, and in whose language a lazy translation is to be made.
    """
    if timeout is not None and not 0 <= timeout <= LONGEST_TIMEOUT:
        raise ValueError(f"timeout is {timeout!r}, not 0 to {LONGEST_TIMEOUT} seconds")
    if not isinstance(type, str):
        raise TypeError(f"the type of an envelope is a string, not {type!r}")
    return trim(type) or DEFAULT_TYPE, _dump(payload), None if timeout is None else float(timeout)


def _dump(payload: Any) -> str | None:
    if payload is ABSENT:
        return None
    try:
        text = json.dumps(payload, cls=DjangoJSONEncoder, allow_nan=False)
        strictjson.check_depth(text.encode(errors="surrogatepass"), conf.MAX_JSON_DEPTH - 1)
    except (RecursionError, strictjson.TooDeep):
        raise ValueError("the payload is nested too deeply") from None
    return text


def _integer(text: str) -> int | float:
    """An integer in an ack. Python refuses to read one of thousands of digits, and anybody's browser can send one."""
    try:
        return int(text)
    except ValueError:
        return float(text)


_loads = json.JSONDecoder(parse_int=_integer).decode
