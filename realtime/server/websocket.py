"""Sockets as Daphne speaks them, and what it can't: refusals with a status of their own, every close code and its
reason, and a bound on what waits in either direction.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from autobahn.util import encode_truncate
from autobahn.websocket.types import ConnectionDeny
from daphne.ws_protocol import WebSocketFactory as DaphneWebSocketFactory
from daphne.ws_protocol import WebSocketProtocol as DaphneWebSocketProtocol
from twisted.internet.interfaces import IPushProducer, ISSLTransport
from zope.interface import implementer

from .. import metrics
from ..conf import conf
from ..http import RETRY_SOON, Response
from ..limits import Bucket
from ..protocol import LONGEST_REASON, UNAVAILABLE, CloseCode
from . import files

logger = logging.getLogger(__name__)

UNREAD = 256 * 1024  # bytes that wait for a handler which is busy, until the socket is read no further
OVERHEAD = 512  # bytes that a message costs beside what it says
BUSY = Response.error(503, UNAVAILABLE, RETRY_SOON)

# Of a masked frame of at most 125 bytes (RFC 6455, section 5.2).
SHORT_HEAD, FINAL_TEXT, MASKED, LONG = 6, 0x81, 0x80, 126
NO_CODE = 1006  # RFC 6455, section 7.1.5
LAST_DATA = 7  # opcodes above are of control frames
PING, BARE_PONG = b"\x89\x00", b"\x8a\x80"

OF_THE_HANDSHAKE = (
    "http_request_data",
    "http_status_line",
    "http_headers",
    "http_request_uri",
    "http_request_path",
    "http_request_params",
    "http_request_host",
    "http_response_data",
    "websocket_protocols",
    "websocket_origin",
    "websocket_extensions",
    "_wskey",
    "_raw_query_string",
    "_transport_details",
    "application_deferred",
    "clean_headers",
)

Message = dict[str, Any]


class Inbox:
    """The messages that wait for the application, and how many bytes they are. An application that waits is handed the
    next one at once; then nothing is kept, which of most sockets is so all the time.
    """

    __slots__ = ("_bytes", "_has_room", "_messages", "_waiter")

    def __init__(self, has_room: Callable[[], None]) -> None:
        """`has_room` is called with each message that the application takes, unless it still is full."""
        self._has_room = has_room
        self._messages: deque[tuple[Message, int]] | None = None
        self._bytes = 0
        self._waiter: asyncio.Future[Message] | None = None

    @property
    def is_full(self) -> bool:
        return self._bytes > UNREAD

    def put_nowait(self, message: Message, size: int = 0) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(message)
            return
        if self._messages is None:
            self._messages = deque()
        self._messages.append((message, size + OVERHEAD))
        self._bytes += size + OVERHEAD

    async def get(self) -> Message:
        if not self._messages:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                return await self._waiter
            except asyncio.CancelledError:
                if not self._waiter.cancelled():  # a message has come in the same moment
                    self._messages = self._messages or deque()
                    self._messages.appendleft((self._waiter.result(), 0))
                raise
        message, size = self._messages.popleft()
        self._bytes -= size
        if not self._messages:
            self._messages = None
        if not self.is_full:
            self._has_room()
        return message


@implementer(IPushProducer)
class Backlog:
    """How much has been written for a client since it last kept up, as the transport tells."""

    __slots__ = ("keeps_up", "waiting")

    total = 0  # of all clients of the process

    def __init__(self) -> None:
        self.waiting = 0  # bytes, at most
        self.keeps_up = True

    def put(self, size: int) -> None:
        if not self.keeps_up:
            self._add(size)

    def pauseProducing(self) -> None:
        """The transport's buffer is full: what is put from now on waits. It says so again with each write."""
        self.keeps_up = False

    def resumeProducing(self) -> None:
        """It is empty."""
        self.keeps_up = True
        self._add(-self.waiting)

    stopProducing = resumeProducing  # the client is gone

    def _add(self, size: int) -> None:
        self.waiting += size
        Backlog.total += size


class WebSocketProtocol(DaphneWebSocketProtocol):
    """A socket."""

    _refusal: dict[str, Any] | None = None  # the answer to a handshake that the application refuses
    _refused_body = b""
    _is_paused = False  # nothing more is read from the client
    _is_pinged = False  # and has said nothing since
    muted: bool  # the application has been told that it is closed
    _bucket: Bucket | None = None  # of frames that the application does not see

    def makeConnection(self, transport: Any) -> None:
        self.inbox, self._backlog = Inbox(self._go_on), Backlog()
        super().makeConnection(transport)
        transport.unregisterProducer()  # the HTTP channel that the socket began in
        transport.registerProducer(self._backlog, True)

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
        self._go_on()
        self._forget_handshake()
        if self.server.draining:  # its handshake was under way
            self.end(CloseCode.RESTARTING)

    def onClose(self, *close: Any) -> None:
        if hasattr(self, "server"):  # else it has been refused before Daphne knew of it
            super().onClose(*close)

    def connectionLost(self, reason: Any = None) -> None:
        super().connectionLost(reason)
        # They lead back here, so that only the garbage collector would free a socket, and it comes rarely.
        for name in ("inbox", "application_queue", "is_closed"):
            self.__dict__.pop(name, None)

    def unregisterProducer(self) -> None:
        super().unregisterProducer()
        self._backlog.stopProducing()  # autobahn does this before it drops a client, and then nobody else tells

    def _forget_handshake(self) -> None:
        """What autobahn and Daphne keep of it, a third of what a socket holds, nobody asks for any more."""
        self.request.headers = {}
        for name in OF_THE_HANDSHAKE:
            self.__dict__.pop(name, None)
        self.__dict__ = {**self.__dict__}  # a dict does not become smaller by itself

    @property
    def scheme(self) -> str:
        forwarded = (getattr(self, "client_scheme", None) or "").partition(",")[0].strip().lower()
        return "wss" if forwarded == "https" or ISSLTransport.providedBy(self.transport) else "ws"

    # What the application says

    async def reply(self, message: Message) -> None:
        """The `send` of the application."""
        if self.state != self.STATE_CLOSED:
            self.handle_reply(message)

    def handle_reply(self, message: Message) -> None:
        kind = message["type"]
        if kind == "websocket.send" and message.get("text") and self.state == self.STATE_OPEN:
            self.serverSend(message["text"])
        elif kind == "websocket.http.response.start":
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
        frame = self.factory.framed(content, binary)
        self._backlog.put(len(frame))
        if self._reads_too_slowly():
            self._cut_off(CloseCode.TOO_SLOW, "reads too slowly")
        else:
            self.transport.write(frame)

    def _cut_off(self, code: CloseCode, why: str) -> None:
        logger.info("cut off client=%s: it %s", self.client_addr, why)
        metrics.cut_off(code)
        self.end(code, why)
        self._part(code)

    def _part(self, code: int) -> None:
        """Tell the application now, not when the client has noticed: nobody must wait for it until then."""
        if not self.muted and hasattr(self, "application_queue"):
            self.application_queue.put_nowait({"type": "websocket.disconnect", "code": int(code)})
            self.muted = True

    def _reads_too_slowly(self) -> bool:
        """Whether more waits for the client than may, or something while too much waits for all of them."""
        waiting = self._backlog.waiting
        return waiting > self.server.max_send_buffer or (waiting > 0 and Backlog.total > self.server.max_send_buffers)

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

    def sendPong(self, payload: Any = None) -> None:
        # A client that does not read gets none, else what waits for it had no bound. Its next ping will do as well
        # (RFC 6455, section 5.5.3).
        if self._backlog.keeps_up:
            super().sendPong(payload)

    def dropConnection(self, abort: bool = False) -> None:
        unread = getattr(self.transport, "is_sending", True)
        super().dropConnection(abort)
        if unread and not abort:  # the client has said goodbye, or had to, and does not read
            self._part(self.remoteCloseCode or NO_CODE)
            asyncio.get_running_loop().call_later(self.closeHandshakeTimeout, self.transport.abortConnection)

    # What the client says

    def processHandshake(self) -> None:
        # What comes before it has been answered waits: autobahn would take it for another one, and fail.
        if not hasattr(self, "handshake_deferred"):
            super().processHandshake()

    def dataReceived(self, data: bytes) -> None:
        self._is_pinged = False  # it lives
        # Most of what clients say is one short text frame, whole: acks and pings. It need not go through autobahn's
        # state machine, which is made for all that there can be; whatever is not quite so does.
        if self.state == self.STATE_OPEN and not self.data and self.current_frame is None:
            length = len(data) - SHORT_HEAD
            if data[:2] == BARE_PONG and not length:
                return
            if data[0] == FINAL_TEXT and 0 < length < LONG and data[1] == MASKED + length and not self.inside_message:
                payload = unmasked(data)
                if payload.isascii():
                    self.onMessage(payload, False)
                    return
        self._dataReceived(data)
        if self.state == self.STATE_CONNECTING and len(self.data) > UNREAD and not self._is_paused:
            self._pause()  # until the handshake has been answered

    def onFrameBegin(self) -> None:
        """Control frames and fragments never reach the application, which counts the others."""
        if self.inside_message or self.current_frame.opcode > LAST_DATA:
            if self._bucket is None:
                self._bucket = Bucket(conf.FRAME_BURST, time.monotonic())
            if not self._bucket.takes(conf.FRAME_RATE, conf.FRAME_BURST, time.monotonic()) and not self.muted:
                self._cut_off(CloseCode.TOO_MANY_FRAMES, "sends too many control frames and fragments")
        super().onFrameBegin()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if self.muted:
            return
        self.last_ping = time.time()
        if isBinary:
            message: Message = {"type": "websocket.receive", "bytes": payload}
        else:
            message = {"type": "websocket.receive", "text": payload.decode()}
        self.inbox.put_nowait(message, len(payload))
        if self.inbox.is_full and not self._is_paused:
            self._pause()

    def _go_on(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self.transport.resumeProducing()

    def check_timeouts(self) -> None:
        """Ping a client that has been quiet, and drop one that stays so. Daphne calls this every two seconds.

        Daphne leaves the pings to autobahn, where each takes a payload of its own, a timer, and three lines for a log.
        """
        if self.state != self.STATE_OPEN:
            super().check_timeouts()
            return
        if 0 <= self.server.websocket_timeout < self.duration():
            self.serverClose()
        now = time.time()
        if self._is_paused:  # the pong may have come, but it is not read
            self.last_ping, self._is_pinged = now, False
        elif self._is_pinged:
            if 0 < self.server.ping_timeout < now - self.last_ping:
                self.onAutoPingTimeout()
        elif now - self.last_ping > self.server.ping_interval:
            self.last_ping, self._is_pinged = now, True
            self.transport.write(PING)

    def _pause(self) -> None:
        self._is_paused = True
        self.transport.pauseProducing()


class WebSocketFactory(DaphneWebSocketFactory):
    protocol = WebSocketProtocol

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.setProtocolOptions(failByDrop=False)  # else what breaks the protocol is dropped without a close code
        self._framed: tuple[Any, bytes] = None, b""

    def setProtocolOptions(self, *arguments: Any, **options: Any) -> None:
        """A class holds them for all sockets of this server. Autobahn copies them to each, and describes them for a log
        that nobody keeps.
        """
        super().setProtocolOptions(*arguments, **options)
        values = {name: getattr(self, name) for name in WebSocketProtocol.CONFIG_ATTRS}
        held: dict[str, Any] = {
            name: staticmethod(value) if callable(value) else value for name, value in values.items()
        }
        held["CONFIG_ATTRS"] = []
        self.protocol = type("WebSocketProtocol", (WebSocketProtocol,), held)  # type: ignore[assignment]

    def framed(self, content: Any, binary: bool) -> bytes:
        """A message as one frame. All sockets of a fan-out are sent the same object, one after the other: it is framed
        once.
        """
        known, frame = self._framed
        if content is not known:
            payload = content if binary else content.encode()
            frame = self.prepareMessage(payload, isBinary=binary, doNotCompress=True).payloadHybi
            self._framed = content, frame
        return frame


def unmasked(frame: bytes) -> bytes:
    """The payload of a short frame (RFC 6455, section 5.3)."""
    length = len(frame) - SHORT_HEAD
    mask = (frame[2:SHORT_HEAD] * (length // 4 + 1))[:length]
    return (int.from_bytes(frame[SHORT_HEAD:]) ^ int.from_bytes(mask)).to_bytes(length)
