"""What an operator does: publish to a user and watch the delivery, close sockets. The admin's history takes note."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from .. import events, views
from ..conf import conf
from ..control import ask_all
from ..delivery import Outcome, deliver
from ..layers import LayerUnavailable
from ..protocol import CloseCode, trim
from ..rollcall import SILENT
from .frames import Disconnect, InvalidFrame, Publish

if TYPE_CHECKING:
    from .desk import Desk

LONGEST_SHOWN = 16_384  # characters of an envelope or a result
AROUND_A_BODY = 4096  # bytes of a frame


def most_body() -> int:
    """How many bytes the body of a publish may have: what `POST /publish` takes, and what fits into a frame."""
    most: int = min(conf.MAX_BODY_BYTES, conf.MAX_FRAME_BYTES)
    return max(0, most - AROUND_A_BODY)


async def publish(desk: Desk, asked: Publish) -> None:
    """Publish, and tell each step. Raises InvalidFrame and LayerUnavailable."""
    body = bytes(asked.body)
    if len(body) > most_body():
        raise InvalidFrame(f"That is {len(body):,} bytes. The console publishes {most_body():,} at most.")
    try:
        user, type, payload = views.parse(body)
    except views.Refused as error:
        raise InvalidFrame(str(error)) from None
    steps = Steps(desk, asked.id)
    try:
        outcome = await deliver(user, type, payload, watch=steps.watch)
    except LayerUnavailable:
        await desk.operator.note(user, f"Published {type[:100]!r}: what became of it is not known.")
        raise
    steps.done(outcome)
    silence = f", {_processes(steps.silent)} did not answer" if steps.silent else ""
    counts = f"{len(outcome.results)} of {outcome.client_count} sockets acked"
    await desk.operator.note(user, f"Published {type[:100]!r}: {counts}{silence}.")


async def disconnect(desk: Desk, asked: Disconnect) -> None:
    """Close sockets, and tell how many. Raises LayerUnavailable."""
    user = trim(asked.user)
    group = events.group_name(user)
    code = CloseCode.RECONNECT if asked.reconnect else CloseCode.DISCONNECTED
    try:
        answers, silent = await ask_all(group, events.disconnect(group, int(code), "", asked.only))
    except LayerUnavailable:
        await desk.operator.note(user, f"Closed sockets with {code.name}: what became of it is not known.")
        raise
    count = sum(closed for _, closed in answers)
    desk.tell("disconnected", id=asked.id, count=count, silent=silent)
    silence = f"; {_processes(silent)} did not answer" if silent else ""
    await desk.operator.note(user, f"Closed {count} socket{'' if count == 1 else 's'} with {code.name}{silence}.")


class Steps:
    """Tells a desk what becomes of an envelope, as it happens."""

    def __init__(self, desk: Desk, id: str) -> None:
        self.silent = 0  # processes that were given up without a report
        self._desk, self._id, self._begun = desk, id, time.perf_counter()

    def watch(self, event: events.Event) -> None:
        """Take in what `deliver` tells."""
        kind = event["type"]
        if kind == events.ENVELOPE:
            self._tell("sent", ("envelope", event["text"]))
        elif kind == events.REPORT:
            matched, sockets = event["matched"], event.get("sockets", [])
            self._tell("report", process=event["process"], matched=matched, sockets=sockets)
        elif kind == events.ACK:
            self._tell("ack", ("result", event["result"]), process=event["process"], socket=event["socket"])
        elif kind == events.GONE:
            self._tell("gone", process=event["process"], socket=event["socket"])
        elif kind == SILENT:
            self.silent += event["processes"]
            self._tell("silent", processes=event["processes"])

    def done(self, outcome: Outcome) -> None:
        acks = len(outcome.results)
        self._tell("done", clientCount=outcome.client_count, acks=acks, timedOut=outcome.timed_out)

    def _tell(self, step: str, raw: tuple[str, str] | None = None, **members: object) -> None:
        """`raw` is a member that is JSON already: its name and its text."""
        spent = round((time.perf_counter() - self._begun) * 1000, 2)
        text = json.dumps({"type": "delivery", "id": self._id, "step": step, "ms": spent, **members})
        if raw is not None:
            name, value = raw
            shown = value if len(value) <= LONGEST_SHOWN else "null"
            text = f'{text[:-1]},"{name}":{shown},"length":{len(value)}}}'
        self._desk.send(text)


def _processes(count: int) -> str:
    return f"{count} process{'' if count == 1 else 'es'}"
