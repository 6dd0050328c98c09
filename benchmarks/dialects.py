"""How the servers are spoken to: how a socket subscribes, gets its envelopes and acks them. What publishers say and
are told is alike for all.

A server that says anything unforeseen is not worked around here either: it ends the run.
"""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from .wire import Wrong

TYPE = "chat_message"
FILTERS = b'[{"type":"%b"}]' % TYPE.encode()

Say = Callable[[bytes], None]
Check = Callable[[bytes], tuple[str, bytes]]


class Dialect(ABC):
    """One socket's side of what is said. The methods are told what happens, and say what is due through `say`."""

    target: ClassVar[str]  # of the handshake's request

    def __init__(self, say: Say, check: Check) -> None:
        """`check` is called with the JSON of each envelope and returns its id and the JSON to ack it with."""
        self._say, self._check = say, check
        self.subscribed: asyncio.Future[None] = asyncio.get_running_loop().create_future()  # the filter is in effect

    @abstractmethod
    def opened(self) -> None:
        """The handshake is done."""

    @abstractmethod
    def heard(self, text: bytes) -> None:
        """A text frame has come. Raises Wrong, or what `check` raises, unless it is what has to come."""


class Ours(Dialect):
    """The protocol of docs/protocol.md. The pong proves that the subscription, sent before the ping, is in effect."""

    target = "/"

    def opened(self) -> None:
        self._say(b'{"type":"subscribe","filters":%b}' % FILTERS)
        self._say(b"ping")

    def heard(self, text: bytes) -> None:
        if text == b"pong" and not self.subscribed.done():  # envelopes may come before it
            self.subscribed.set_result(None)
            return
        envelope_id, result = self._check(text)
        self._say(b'{"type":"ack","envelopeId":"%b","result":%b}' % (envelope_id.encode(), result))


class SocketIO(Dialect):
    """Socket.IO 5 in Engine.IO 4 (those are the protocols' versions), over WebSocket from the start.

    The server's open packet, the connection to the namespace, and `subscribe`, an event with an ack that proves that it
    is in effect: https://socket.io/docs/v4/socket-io-protocol/
    """

    target = "/socket.io/?EIO=4&transport=websocket"
    PING, PONG = b"2", b"3"
    ENVELOPE = re.compile(rb'42(\d+)\["envelope",(.*)\]', re.DOTALL)
    STEPS = ((b"0{", b"40"), (b"40{", b'420["subscribe",%b]' % FILTERS), (b"430[]", b""))  # what comes, and what is due

    def __init__(self, say: Say, check: Check) -> None:
        super().__init__(say, check)
        self._steps = iter(self.STEPS)

    def opened(self) -> None:
        """Nothing: the server has the first word."""

    def heard(self, text: bytes) -> None:
        if envelope := self.ENVELOPE.fullmatch(text):  # it may come before the ack of the subscription
            _, result = self._check(envelope[2])
            self._say(b"43%b[%b]" % (envelope[1], result))
        elif text == self.PING:
            self._say(self.PONG)
        else:
            self._step(text)

    def _step(self, text: bytes) -> None:
        expected, due = next(self._steps, (b"nothing", b""))
        if not text.startswith(expected):
            raise Wrong(f"{text!r} instead of {expected!r}")
        if due:
            self._say(due)
        else:
            self.subscribed.set_result(None)
