"""For the tests of a product: publishes are recorded and answered without a server, a channel layer or a database.

with realtime.testing.record() as published:
    tab = published.connect("ann", {"type": "chat_message"}, ack="displayed")
    send_message(ann, "hello")  # the product's own code, which publishes
assert tab.envelopes[0]["payload"] == {"text": "hello"}
assert published.to("ann")[0].type == "chat_message"

User ids, payloads and filters are checked as they always are. As a pytest fixture: yield `published` from the block.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, overload
from unittest.mock import patch

from . import control, delivery, events, views
from .client import NO_ACK
from .delivery import ABSENT, Outcome
from .envelopes import Envelope
from .filters import Filters
from .protocol import Subscribe, parse_frame
from .users import user_id

__all__ = ["NO_ACK", "Client", "Published", "Recorder", "record"]

PROCESS = "testing"  # the one in which the clients seem to be


@dataclass(frozen=True, slots=True)
class Published:
    """A publish of the product's: what it was called with."""

    user: str
    type: str
    payload: Any = ABSENT
    timeout: float | None = None
    wait: bool = True


@dataclass(eq=False)
class Client:
    """A socket of a user as a test plays it. `ack` is its result, or a function that makes it of the envelope."""

    user: str
    ack: Any = None
    number: int = 0
    envelopes: list[dict[str, Any]] = field(default_factory=list)
    """What it has been sent, in order."""
    closed: tuple[int, str] | None = None
    """The close code and reason, once `realtime.disconnect` or its own `close` has ended it."""
    filters: Filters = field(default_factory=Filters, repr=False)
    since: float = field(default_factory=time.time, repr=False)

    def subscribe(self, *filters: dict[str, str]) -> None:
        """Raises ValueError for a filter that a server would skip."""
        for wanted in map(_checked, filters):
            self.filters.add(wanted)

    def unsubscribe(self, *filters: dict[str, str]) -> None:
        for unwanted in map(_checked, filters):
            self.filters.remove(unwanted)

    def close(self, code: int = 1000, reason: str = "") -> None:
        self.closed = self.closed or (code, reason)

    def receive(self, envelope: dict[str, Any]) -> Any:
        """Take an envelope. Returns what it acks."""
        self.envelopes.append(envelope)
        return self.ack(envelope) if callable(self.ack) else self.ack


class Recorder(Sequence[Published]):
    """The publishes so far, and who is there to get them: nobody, until a test says so."""

    def __init__(self) -> None:
        self._published: list[Published] = []
        self._clients: list[Client] = []
        self._answers: dict[tuple[str, str | None], tuple[Any, ...]] = {}
        self._error: Exception | None = None
        self._numbers = itertools.count(1)

    def connect(self, user: Any, *filters: dict[str, str], ack: Any = None) -> Client:
        """A socket of `user`. `ack` is what it answers: a JSON value, a function of the envelope, or NO_ACK
        (never; the publisher's time is up, without waiting for it)."""
        client = Client(user_id(user), ack, next(self._numbers))
        client.subscribe(*filters)
        self._clients.append(client)
        return client

    def answer(self, user: Any, *results: Any, type: str | None = None) -> None:
        """From now on so many sockets of `user` ack with these results, whatever is published, or only this type."""
        self._answers[user_id(user), type] = results

    def fail(self, error: Exception | None) -> None:
        """From now on publishes raise this: `LayerUnavailable("Redis is away")`, say. None: no more."""
        self._error = error

    def to(self, user: Any) -> list[Published]:
        """What was published to a user."""
        return [published for published in self if published.user == user_id(user)]

    def clear(self) -> None:
        """Forget what was published. Who is there stays."""
        self._published.clear()

    def __len__(self) -> int:
        return len(self._published)

    @overload
    def __getitem__(self, index: int) -> Published: ...
    @overload
    def __getitem__(self, index: slice) -> list[Published]: ...
    def __getitem__(self, index: int | slice) -> Published | list[Published]:
        return self._published[index]

    def __repr__(self) -> str:
        return f"<published {self._published!r}>"

    async def deliver(
        self, user: str, type: str, payload: str | None, timeout: float | None = None, wait: bool = True
    ) -> Outcome:
        """In place of `delivery.deliver`."""
        given = ABSENT if payload is None else json.loads(payload)
        self._published.append(Published(user, type, given, timeout, wait))
        if self._error is not None:
            raise self._error
        envelope = Envelope.new(user, type, payload)
        matched = [client for client in self._open(user) if client.filters.match(type, envelope.fields)]
        canned = self._answers.get((user, type), self._answers.get((user, None), ()))
        acks = [*canned, *(client.receive(json.loads(envelope.text)) for client in matched)]
        results = [json.dumps(ack, allow_nan=False) for ack in acks if ack is not NO_ACK] if wait else []
        return Outcome(len(acks), results, timed_out=wait and len(results) < len(acks))

    async def ask(self, group: str, question: events.Event) -> list[tuple[str, Any]]:
        """In place of `control.ask`."""
        asked = [client for client in self._open() if events.group_name(client.user) == group]
        if question["type"] == events.CONNECTIONS:
            return [(PROCESS, [[one.number, one.since, json.dumps(list(one.filters)), 0] for one in asked])]
        if question["type"] == events.DISCONNECT:
            only = question["only"]
            asked = [client for client in asked if only is None or only == (PROCESS, client.number)]
            for client in asked:
                client.close(question["code"], question["reason"])
            return [(PROCESS, len(asked))]
        return []

    def _open(self, user: str | None = None) -> list[Client]:
        return [client for client in self._clients if client.closed is None and user in (None, client.user)]


@contextmanager
def record() -> Iterator[Recorder]:
    """Record all that the product publishes, in whichever thread. Within another one, the inner one records."""
    recorder = Recorder()
    with (
        patch.object(delivery, "deliver", recorder.deliver),
        patch.object(views, "deliver", recorder.deliver),
        patch.object(control, "ask", recorder.ask),
    ):
        yield recorder


def _checked(wanted: dict[str, str]) -> dict[str, str]:
    frame = parse_frame(json.dumps({"type": "subscribe", "filters": [wanted]}))
    if not isinstance(frame, Subscribe) or not frame.filters:
        raise ValueError(f"no filter that a server would take: {wanted!r}")
    return dict(frame.filters[0])
