"""Bytes on a TCP connection: HTTP requests and WebSocket frames of any kind, which no client library would send."""

from __future__ import annotations

import base64
import re
import select
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from types import TracebackType
from typing import Self

from tests.clients import PATIENCE, Envelope, bearer, dump, token
from tests.servers import Server

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MASK = b"\x5a\x00\xff\x3c"
UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: " + base64.b64encode(b"sixteen bytes...").decode(),
)


def request(first: str, *lines: str, body: bytes = b"") -> bytes:
    """An HTTP request. Each character becomes the byte of Latin-1."""
    if body:
        lines = (*lines, f"Content-Length: {len(body)}")
    return "\r\n".join([first, "Host: localhost", *lines, "", ""]).encode("latin-1") + body


def handshake(jwt_text: str, target: str = "/") -> bytes:
    return request(f"GET {target} HTTP/1.1", *UPGRADE, bearer(jwt_text))


def publish(user: str, type: str | None = None, payload: str | None = None) -> bytes:
    """A valid publish; `payload` is JSON text."""
    members = [f'"userId":{dump(user)}']
    if type is not None:
        members.append(f'"type":{dump(type)}')
    if payload is not None:
        members.append(f'"payload":{payload}')
    body = f"{{{','.join(members)}}}".encode()
    return request("POST /publish HTTP/1.1", bearer(token("a publisher")), "Content-Type: application/json", body=body)


def frame(payload: bytes, opcode: int = TEXT, *, fin: bool = True, reserved: int = 0, masked: bool = True) -> bytes:
    """A WebSocket frame as a client sends it (RFC 6455, section 5.2)."""
    first, bit = fin << 7 | reserved << 4 | opcode, masked << 7
    if (size := len(payload)) < 126:
        head = bytes([first, bit | size])
    elif size < 1 << 16:
        head = bytes([first, bit | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([first, bit | 127]) + size.to_bytes(8, "big")
    if not masked:
        return head + payload
    key = (MASK * (size // 4 + 1))[:size]
    return head + MASK + (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def fragmented(payload: bytes, cuts: Sequence[int], between: bytes = b"", opcode: int = TEXT) -> bytes:
    """The frames of one message, cut at these positions, wherever in a character they are, `between` them."""
    edges = sorted({0, len(payload), *(cut for cut in cuts if cut < len(payload))})
    parts = [payload[start:end] for start, end in pairwise(edges)] or [b""]
    frames = [
        frame(part, CONTINUATION if number else opcode, fin=number == len(parts) - 1)
        for number, part in enumerate(parts)
    ]
    return between.join(frames)


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes


class Connection:
    """A TCP connection to a server."""

    made = 0  # so far, by all tests

    def __init__(self, server: Server, data: bytes = b"") -> None:
        Connection.made += 1
        host, port = server.url.removeprefix("http://").split(":")
        self.tcp = socket.create_connection((host, int(port)), PATIENCE)
        self.tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""
        self.send(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.tcp.close()

    def send(self, data: bytes) -> None:
        """Send it, unless the other end has closed: what it said before is still to be read."""
        with suppress(ConnectionResetError, BrokenPipeError):
            self.tcp.sendall(data)

    def rest(self) -> bytes:
        """What comes until the other end closes."""
        data = self._unread
        with suppress(ConnectionResetError):
            while chunk := self.tcp.recv(1 << 16):
                data += chunk
        self._unread = b""
        return data

    def end(self) -> bytes:
        """Say no more, and read the rest."""
        with suppress(OSError):
            self.tcp.shutdown(socket.SHUT_WR)
        return self.rest()

    def answer(self) -> Answer:
        """The next answer on the connection. EOFError when it is closed instead."""
        head, _, self._unread = self._until(b"\r\n\r\n").partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: (\d+)", head, re.IGNORECASE)
        if b"chunked" in head.lower():
            body = b"".join(iter(self._chunk, b""))
        else:
            body = self._take(int(length[1]) if length else 0)
        return Answer(int(head.split()[1]), body)

    @property
    def is_readable(self) -> bool:
        return bool(self._unread)

    def _chunk(self) -> bytes:
        size, _, self._unread = self._until(b"\r\n").partition(b"\r\n")
        return self._take(int(size, 16) + 2)[:-2]

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._unread:
            self._more()
        return self._unread

    def _take(self, size: int) -> bytes:
        while len(self._unread) < size:
            self._more()
        taken, self._unread = self._unread[:size], self._unread[size:]
        return taken

    def _more(self) -> None:
        try:
            chunk = self.tcp.recv(1 << 16)
        except ConnectionResetError:
            chunk = b""
        if not chunk:
            raise EOFError("the other end has closed")
        self._unread += chunk


class RawSocket(Connection):
    """A WebSocket whose frames are made by hand."""

    def __init__(self, server: Server, user: str, *filters: dict[str, str], with_handshake: bytes = b"") -> None:
        super().__init__(server, handshake(token(user)) + with_handshake)
        assert (answer := self.answer()).status == 101, answer
        self.pongs: list[bytes] = []
        if filters:
            self.send(frame(dump({"type": "subscribe", "filters": filters}).encode()))
            self.settle()

    def frame(self) -> tuple[int, bytes]:
        """The next frame, as (opcode, payload)."""
        first, size = self._take(2)
        assert first & 0xF0 == 0x80, "no answer of the service is fragmented"
        if size > 125:
            size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
        return first & 15, self._take(size)

    def text(self) -> str:
        """The next message. Pongs of the WebSocket protocol before it are put into `pongs`."""
        while (read := self.frame())[0] == PONG:
            self.pongs.append(read[1])
        assert read[0] == TEXT, read
        return read[1].decode()

    def settle(self) -> None:
        """Wait until what was sent has taken effect, and nothing has been answered."""
        self.send(frame(b"ping"))
        assert (said := self.text()) == "pong", said[:1000]

    def close_code(self) -> int:
        """With which the other end closes (1006: without a word); what it says before is passed over."""
        try:
            while (read := self.frame())[0] != CLOSE:
                pass
        except EOFError:
            return 1006
        self.send(frame(read[1][:2], CLOSE))
        assert self.rest() == b""
        return int.from_bytes(read[1][:2], "big")

    def envelope_before(self, publisher: Connection) -> Envelope | None:
        """The next envelope, or None when the answer to a publish comes first."""
        while not (self.is_readable or publisher.is_readable):
            ready = select.select([self.tcp, publisher.tcp], [], [], PATIENCE)[0]
            assert ready, "neither an envelope nor an answer"
            (self if self.tcp in ready else publisher)._more()
        return Envelope.read(self.text()) if self.is_readable else None

    def ack(self, envelope: Envelope, result: str = "null") -> None:
        self.send(frame(f'{{"type":"ack","envelopeId":"{envelope.id}","result":{result}}}'.encode()))
