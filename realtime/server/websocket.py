"""Sockets as Daphne speaks them, and what it can't: refusals with a status of their own, every close code and its
reason, and a bound on what waits in either direction.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from http import HTTPStatus
from typing import Any

from autobahn.util import encode_truncate
from autobahn.websocket.types import ConnectionDeny
from daphne.ws_protocol import WebSocketFactory as DaphneWebSocketFactory
from daphne.ws_protocol import WebSocketProtocol as DaphneWebSocketProtocol
from twisted.internet.interfaces import IPushProducer, ISSLTransport
from zope.interface import implementer

from .. import metrics
from ..http import RETRY_SOON, Response
from ..protocol import LONGEST_REASON, UNAVAILABLE, CloseCode
from . import files

logger = logging.getLogger(__name__)

UNREAD = 256 * 1024  # bytes that wait for a handler which is busy, until the socket is read no further
OVERHEAD = 512  # bytes that a message costs beside what it says
BUSY = Response.error(503, UNAVAILABLE, RETRY_SOON)


class Inbox:
    """How much of what the client said waits for the application."""

    def __init__(self) -> None:
        self._sizes: deque[int] = deque()
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        return self._bytes > UNREAD

    def put(self, size: int) -> None:
        self._sizes.append(size + OVERHEAD)
        self._bytes += size + OVERHEAD

    def take(self) -> None:
        self._bytes -= self._sizes.popleft()


@implementer(IPushProducer)
class Outbox:
    """How much has been written for a client since it last kept up, as the transport tells."""

    total = 0  # of all clients of the process

    def __init__(self) -> None:
        self.waiting = 0  # bytes, at most
        self._keeps_up = True

    def put(self, size: int) -> None:
        if not self._keeps_up:
            self._add(size)

    def pauseProducing(self) -> None:
        """The transport's buffer is full: what is put from now on waits. It says so again with each write."""
        self._keeps_up = False

    def resumeProducing(self) -> None:
        """It is empty."""
        self._keeps_up = True
        self._add(-self.waiting)

    stopProducing = resumeProducing  # the client is gone

    def _add(self, size: int) -> None:
        self.waiting += size
        Outbox.total += size


class WebSocketProtocol(DaphneWebSocketProtocol):
    """A socket."""

    _refusal: dict[str, Any] | None = None  # the answer to a handshake that the application refuses
    _refused_body = b""
    _is_paused = False  # nothing more is read from the client
    autoPingTimeoutCall: Any  # autobahn's

    def makeConnection(self, transport: Any) -> None:
        self._inbox, self._outbox = Inbox(), Outbox()
        super().makeConnection(transport)
        transport.unregisterProducer()  # the HTTP channel that the socket began in
        transport.registerProducer(self._outbox, True)

    def onConnect(self, request: Any) -> Any:
        draining = self.factory.server_class.draining
        if draining or files.are_short(files.FOR_REQUESTS):
            metrics.REFUSALS.labels("draining" if draining else "open files").inc()
            headers = [(name.encode(), value.encode()) for name, value in BUSY.all_headers]
            self._refusal, self._refused_body = {"status": BUSY.status, "headers": headers}, BUSY.body.encode()
            raise ConnectionDeny(BUSY.status)  # type: ignore[no-untyped-call]
        return super().onConnect(request)

    def onOpen(self) -> None:
        super().onOpen()
        if self.server.draining:  # its handshake was under way
            self.end(CloseCode.RESTARTING)

    def onClose(self, *close: Any) -> None:
        if hasattr(self, "server"):  # else it has been refused before Daphne knew of it
            super().onClose(*close)

    def unregisterProducer(self) -> None:
        super().unregisterProducer()
        self._outbox.stopProducing()  # autobahn does this before it drops a client, and then nobody else tells

    @property
    def scheme(self) -> str:
        forwarded = (getattr(self, "client_scheme", None) or "").partition(",")[0].strip().lower()
        return "wss" if forwarded == "https" or ISSLTransport.providedBy(self.transport) else "ws"

    # What the application says

    def handle_reply(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "websocket.http.response.start":
            self._refusal = message
        elif kind == "websocket.http.response.body":
            self._refused_body += message.get("body", b"")
            if not message.get("more_body", False):
                self.serverReject()
        elif kind == "websocket.close" and self.state != self.STATE_CONNECTING:
            self.end(message.get("code") or 1000, message.get("reason") or "")
        else:
            super().handle_reply(message)

    def serverSend(self, content: Any, binary: bool = False) -> None:
        """A message as one frame. Daphne's way holds it to the limit that is meant for what clients send."""
        if self.state == self.STATE_CONNECTING:
            self.serverAccept()
        if self.state != self.STATE_OPEN:
            return
        payload = content if binary else content.encode()
        self._outbox.put(len(payload))
        if self._reads_too_slowly():
            logger.info("cut off client=%s: it reads too slowly", self.client_addr)
            metrics.cut_off(CloseCode.TOO_SLOW)
            self.end(CloseCode.TOO_SLOW, "reads too slowly")
            # Now, not when the client has noticed: nobody must wait for it until then.
            self.application_queue.put_nowait({"type": "websocket.disconnect", "code": int(CloseCode.TOO_SLOW)})
            self.muted = True
        else:
            self.sendFrame(opcode=2 if binary else 1, payload=payload)

    def _reads_too_slowly(self) -> bool:
        """Whether more waits for the client than may, or something while too much waits for all of them."""
        waiting = self._outbox.waiting
        return waiting > self.server.max_send_buffer or (waiting > 0 and Outbox.total > self.server.max_send_buffers)

    def serverClose(self, code: int | None = None) -> None:
        self.end(code or 1000)

    def end(self, code: int, reason: str = "") -> None:
        """Close with any code and reason, unless it closes already. (Daphne sends no reason, and autobahn no code that
        it thinks is not ours.)
        """
        self.sendCloseFrame(code=int(code), reasonUtf8=encode_truncate(reason, LONGEST_REASON) or None, isReply=False)

    def sendHttpErrorResponse(self, code: int, reason: str, responseHeaders: Any = None) -> None:
        """The answer to a refused handshake, as the application has put it."""
        if self._refusal is None:
            super().sendHttpErrorResponse(code, reason, responseHeaders)
            return
        status = self._refusal["status"]
        phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Refused"
        lines = [f"HTTP/1.1 {status} {phrase}".encode(), b"Connection: close"]
        lines += [name + b": " + value for name, value in self._refusal.get("headers", [])]
        self.sendData(b"\r\n".join([*lines, b"", self._refused_body]))

    # What the client says

    def processHandshake(self) -> None:
        # What comes before it has been answered waits: autobahn would take it for another one, and fail.
        if not hasattr(self, "handshake_deferred"):
            super().processHandshake()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if not self.muted:
            self._inbox.put(len(payload))
            if self._inbox.is_full and not self._is_paused:
                self._pause()
        super().onMessage(payload, isBinary)

    def received(self, message: dict[str, Any]) -> None:
        """The application has taken a message: there is room for another."""
        if message["type"] == "websocket.receive":
            self._inbox.take()
            if self._is_paused and not self._inbox.is_full:
                self._is_paused = False
                self.transport.resumeProducing()

    def check_timeouts(self) -> None:
        if self._is_paused:
            self.last_ping = time.time()
        super().check_timeouts()

    def _pause(self) -> None:
        self._is_paused = True
        self.transport.pauseProducing()
        if self.autoPingTimeoutCall is not None:  # the pong may have come, but it is not read
            self.autoPingTimeoutCall.cancel()
            self.autoPingTimeoutCall = None


class WebSocketFactory(DaphneWebSocketFactory):
    protocol = WebSocketProtocol

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.setProtocolOptions(failByDrop=False)  # else what breaks the protocol is dropped without a close code
