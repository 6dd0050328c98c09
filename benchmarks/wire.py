"""Just enough of HTTP/1.1 and WebSocket for a load generator that leaves the machine to the server.

A server that does anything unforeseen here is not worked around: it ends the run.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import cast

CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
END_OF_HEAD = b"\r\n\r\n"

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
FINAL, MASKED = 0x80, 0x80
SIZE_BYTES = {126: 2, 127: 8}  # values of the second byte that say how many more tell the size
# A client must mask its frames; masked with zeros they stay as they are, and the server has the same work with them.
NO_MASK = bytes(4)


class Wrong(Exception):
    """A server did or said what it must not."""


class Closed(Wrong):
    """A server ended a connection."""


class Http(asyncio.Protocol):
    """A kept-alive connection with one request at a time."""

    def __init__(self, head: bytes) -> None:
        """`head` is the request line and the headers without Content-Length, each with its line end."""
        self._head = head + b"Content-Length: "
        self._buffer = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self.kept = True  # until the server says, or shows, that no other request may follow

    async def open(self, port: int) -> None:
        await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", port)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    async def request(self, body: bytes) -> bytes:
        """The body of the answer. Raises Wrong unless its status is 200."""
        status, answer = await self.ask(body)
        if status != 200:
            raise Wrong(f"answer: {status} {answer!r}")
        return answer

    async def ask(self, body: bytes) -> tuple[int, bytes]:
        """The status and the body of the answer. Raises Closed when the connection ends before."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(b"%b%d%b%b" % (self._head, len(body), END_OF_HEAD, body))
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(END_OF_HEAD)
        if not end:
            return
        status, length = STATUS.match(head), CONTENT_LENGTH.search(head + b"\r\n")
        if status is None or length is None:
            self._fail(Wrong(f"answer: {self._buffer!r}"))
        elif len(body) >= int(length[1]):
            self._buffer = b""
            self.kept = b"\r\nConnection: close" not in head
            if self._answer is not None and not self._answer.done():
                self._answer.set_result((int(status[1]), body))

    def connection_lost(self, error: Exception | None) -> None:
        self.kept = False
        self._fail(Closed(f"the server closed the connection of a publisher: {error!r}"))

    def _fail(self, error: Wrong) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def close(self) -> None:
        self._transport.close()


class WebSocket(asyncio.Protocol):
    """A socket that hands over each text frame, answers pings, and reports in `lost` when it ends before `close`."""

    def __init__(self, request: bytes, on_text: Callable[[bytes], None], lost: Callable[[Exception], None]) -> None:
        """`request` is the whole handshake. An exception that `on_text` raises goes to `lost` too."""
        self._request, self._on_text, self._lost = request, on_text, lost
        self._buffer = b""
        self._closed = False
        self.head = b""  # of the answer to the handshake
        self._ended = asyncio.get_running_loop().create_future()
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self, port: int) -> None:
        """Raises Wrong when the handshake is refused."""
        await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", port)
        await self._opened

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        try:
            self._buffer = self._feed(self._buffer + data if self._buffer else data)
        except Exception as error:
            self._fail(error)

    def _feed(self, data: bytes) -> bytes:
        """Handle what is complete, and return what is not."""
        if not self._opened.done():
            head, end, data = data.partition(END_OF_HEAD)
            if not end:
                return head
            if not head.startswith(b"HTTP/1.1 101 "):
                raise Wrong(f"handshake: {head!r}")
            self.head = head
            self._opened.set_result(None)
        while (frame := first_frame(data)) is not None:
            opcode, payload, length = frame
            data = data[length:]
            self._handle(opcode, payload)
        return data

    def _handle(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            self._on_text(payload)
        elif opcode == PING:
            self._transport.write(client_frame(PONG, payload))
        elif opcode == CLOSE and self._closed:
            self._transport.close()
        elif opcode == CLOSE:
            raise Closed(f"the server closed a socket: {payload!r}")
        else:
            raise Wrong(f"frame with opcode {opcode}: {payload!r}")

    def send(self, text: bytes) -> None:
        self._transport.write(client_frame(TEXT, text))

    async def close(self) -> None:
        """Say goodbye as browsers do, and wait for the end."""
        if not self._closed:
            self._closed = True
            self._transport.write(client_frame(CLOSE, b"\x03\xe8"))
        await self._ended

    def abort(self) -> None:
        self._closed = True
        if hasattr(self, "_transport"):  # the connection was made
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._closed:
            self._fail(Closed(f"the connection of a socket was lost: {error!r}"))
        if not self._ended.done():
            self._ended.set_result(None)

    def _fail(self, error: Exception) -> None:
        self._closed = True
        self._transport.close()
        if self._opened.done():
            self._lost(error)
        else:
            self._opened.set_exception(error)


def first_frame(data: bytes) -> tuple[int, bytes, int] | None:
    """Opcode and payload of the frame that `data` begins with, and its length. None when it is not complete."""
    if len(data) < 2:
        return None
    if not data[0] & FINAL or data[1] & MASKED:
        raise Wrong(f"a fragmented or masked frame: {data!r}")
    start = 2 + SIZE_BYTES.get(data[1], 0)
    if len(data) < start:
        return None
    end = start + (data[1] if start == 2 else int.from_bytes(data[2:start]))
    return None if len(data) < end else (data[0] ^ FINAL, data[start:end], end)


def client_frame(opcode: int, payload: bytes) -> bytes:
    """A whole frame, as short as those of this load are."""
    length = len(payload)
    if length >= 1 << 16:
        raise ValueError(f"{length} bytes are more than this load ever sends")
    size = bytes([MASKED | length]) if length < 126 else bytes([MASKED | 126]) + length.to_bytes(2)
    return bytes([FINAL | opcode]) + size + NO_MASK + payload
