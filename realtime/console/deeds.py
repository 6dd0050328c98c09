"""What an operator does: publish to a user and watch the delivery, close sockets. The admin's history takes note."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from .. import events, views
from ..control import close_sockets
from ..delivery import deliver
from ..protocol import CloseCode
from .frames import Disconnect, InvalidFrame, Publish

if TYPE_CHECKING:
    from .desk import Desk

LONGEST_SHOWN = 16_384  # characters of an envelope or a result


async def publish(desk: Desk, asked: Publish) -> None:
    """Publish, and tell each step. Raises InvalidFrame and LayerUnavailable."""
    try:
        user, type, payload = views.parse(bytes(asked.body))
    except views.Refused as error:
        raise InvalidFrame(str(error)) from None
    begun = time.perf_counter()

    def step(step: str, raw: tuple[str, str] | None = None, **members: Any) -> None:
        """`raw` is a member that is JSON already: its name and its text."""
        spent = round((time.perf_counter() - begun) * 1000, 2)
        text = json.dumps({"type": "delivery", "id": asked.id, "step": step, "ms": spent, **members})
        if raw is not None:
            name, value = raw
            text = f'{text[:-1]},"{name}":{value if len(value) <= LONGEST_SHOWN else "null"}'
            text += f',"length":{len(value)}}}'
        desk.send(text)

    def watch(event: events.Event) -> None:
        kind = event["type"]
        if kind == events.ENVELOPE:
            step("sent", ("envelope", event["text"]))
        elif kind == events.REPORT:
            step("report", process=event["process"], matched=event["matched"], sockets=event.get("sockets", []))
        elif kind == events.ACK:
            step("ack", ("result", event["result"]), process=event["process"], socket=event["socket"])
        elif kind == events.GONE:
            step("gone", process=event["process"], socket=event["socket"])

    outcome = await deliver(user, type, payload, watch=watch)
    acks, clients = len(outcome.results), outcome.client_count
    step("done", clientCount=clients, acks=acks, timedOut=outcome.timed_out)
    await desk.operator.note(user, f"Published {type[:100]!r}: {acks} of {clients} sockets acked.")


async def disconnect(desk: Desk, asked: Disconnect) -> None:
    """Close sockets, and tell how many. Raises LayerUnavailable."""
    only = None if asked.process is None or asked.number is None else (asked.process, asked.number)
    code = CloseCode.RECONNECT if asked.reconnect else CloseCode.DISCONNECTED
    count = await close_sockets(asked.user, code, "", only)
    desk.tell("disconnected", id=asked.id, count=count)
    await desk.operator.note(asked.user, f"Closed {count} socket{'' if count == 1 else 's'} with {code.name}.")
