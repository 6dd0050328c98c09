"""Sockets as Daphne speaks them, and what it can't: refusals with a status of their own, every close code and its
reason, and a bound on what waits in either direction.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from daphne.ws_protocol import WebSocketFactory as DaphneWebSocketFactory
from daphne.ws_protocol import WebSocketProtocol as DaphneWebSocketProtocol
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from ..protocol import CloseCode

logger = logging.getLogger(__name__)

UNREAD = 256 * 1024  # bytes that wait for a handler which is busy, until the socket is read no further
OVERHEAD = 512  # bytes that a message costs beside what it says


@implementer(IPushProducer)
class WebSocketProtocol(DaphneWebSocketProtocol):
    """A socket."""

    _refusal: dict[str, Any] | None = None  # the answer to a handshake that the application refuses
    _refused_body = b""
    _unsent: int | None = None  # bytes written while the client reads too slowly; None: it keeps up
    _unread = 0
    _is_paused = False

    def makeConnection(self, transport: Any) -> None:
        super().makeConnection(transport)
        transport.unregisterProducer()  # the HTTP channel that the socket began in
        transport.registerProducer(self, True)

    # What the application says

    def handle_reply(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "websocket.http.response.start":
            self._refusal = message
        elif kind == "websocket.http.response.body":
            self._refused_body += message.get("body", b"")
            if not message.get("more_body", False):
                self.serverReject()
        elif kind == "websocket.close" and self.state == self.STATE_OPEN:
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
        if self._unsent is not None:
            self._unsent += len(payload)
            if self._unsent > self.server.max_send_buffer:
                logger.info("cut off client=%s: it reads too slowly", self.client_addr)
                self.end(CloseCode.TOO_SLOW, "reads too slowly")
                self._forget_application(CloseCode.TOO_SLOW)
                return
        self.sendFrame(opcode=2 if binary else 1, payload=payload)

    def end(self, code: int, reason: str = "") -> None:
        """Close with any code and reason. (Daphne sends no reason, and autobahn no code that it thinks is not ours.)"""
        self.sendCloseFrame(code=int(code), reasonUtf8=reason.encode()[:123] or None, isReply=False)

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

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if not self.muted:
            self._unread += len(payload) + OVERHEAD
            if self._unread > UNREAD and not self._is_paused:
                self._is_paused = True
                self.transport.pauseProducing()
        super().onMessage(payload, isBinary)

    def received(self, message: dict[str, Any]) -> None:
        """The application has taken a message: there is room for another."""
        if message["type"] == "websocket.receive":
            self._unread -= len(message.get("text") or message.get("bytes") or "") + OVERHEAD
            if self._is_paused and self._unread <= UNREAD:
                self._is_paused = False
                self.transport.resumeProducing()

    # What the transport says: its buffer is full, it is empty again, it is gone

    def pauseProducing(self) -> None:  # said again with each write
        if self._unsent is None:
            self._unsent = 0

    def resumeProducing(self) -> None:
        self._unsent = None

    def stopProducing(self) -> None:
        pass

    def _forget_application(self, code: int) -> None:
        """Tell the application now that the socket is gone: nobody must wait until the client has noticed."""
        self.application_queue.put_nowait({"type": "websocket.disconnect", "code": int(code)})
        self.muted = True


class WebSocketFactory(DaphneWebSocketFactory):
    protocol = WebSocketProtocol

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.setProtocolOptions(failByDrop=False)  # else what breaks the protocol is dropped without a close code
