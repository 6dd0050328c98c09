"""Connections as the event loop reads and writes them.

Twisted's own do both in Python, with several system calls more for each message. A listening port makes its connections
with whatever its attribute `transport` is, as Twisted documents; ours hands them over to the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, cast

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPushProducer, ITCPTransport
from twisted.python.failure import Failure
from zope.interface import implementer

logger = logging.getLogger(__name__)

TURN = 16 * 1024  # bytes of one connection that are handled before others have their turn
HIGH_WATER = 64 * 1024  # bytes that wait to be sent, above which the producer is told to pause, until none do
FAILED = "a connection failed: %.200r"
LAST_MOMENT = 1.0  # seconds that a client which has said its last is given to read what is there
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: the client is told at once, whatever it has not read


@implementer(ITCPTransport, IPushProducer)
class Transport(asyncio.Protocol):
    """A connection: the transport of the Twisted protocol above, the protocol of the event loop's transport below.

    `everybody` holds those that are open.
    """

    def __init__(
        self, everybody: set[Transport], connection: socket.socket, protocol: Any, client: Any, port: Any, *_: Any
    ) -> None:
        self.protocol = protocol  # another one when a request turns out to be a handshake
        self._everybody, self._socket, self._client, self._port = everybody, connection, client, port
        self._below: asyncio.Transport | None = None
        self._producer: Any = None
        self._is_paused = False  # for reading
        self._unread = b""  # what has come beyond a turn
        self._goes_on = False  # with that, soon
        self._is_ending = False
        self._corked: list[bytes] | None = None
        everybody.add(self)
        loop = asyncio.get_running_loop()
        # The event loop keeps only weak references to tasks.
        self._opening: asyncio.Task[Any] | None = loop.create_task(
            loop.connect_accepted_socket(lambda: self, connection)
        )
        self._opening.add_done_callback(self._opened)

    # For the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        below = self._below = cast(asyncio.Transport, transport)
        below.set_write_buffer_limits(HIGH_WATER, 0)
        if self._is_paused:
            below.pause_reading()
        if self._is_ending:
            below.close()

    def data_received(self, data: bytes) -> None:
        if len(data) <= TURN and not self._unread:
            self._hand_on(data)
            return
        # Uvloop reads up to 8 MB before anybody else has a turn, which of small frames is more than a million.
        self._unread += data
        if self._below is not None:
            self._below.pause_reading()
        self._go_on_soon()

    def _go_on_soon(self) -> None:
        if not self._goes_on:
            self._goes_on = True
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._goes_on = False
        if self._is_paused or self._below is None or self._below.is_closing():
            return
        if self._unread:
            turn, self._unread = self._unread[:TURN], self._unread[TURN:]
            self._hand_on(turn)
            self._go_on_soon()
        else:
            self._below.resume_reading()

    def _hand_on(self, data: bytes) -> None:
        try:
            self.protocol.dataReceived(data)
        except Exception as error:  # of Twisted's, say, at a Content-Length of 5,000 digits; anybody can send that
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """What the client has sent can't be handled."""
        logger.info(FAILED, error)
        self.abortConnection()

    def eof_received(self) -> None:
        """The event loop closes it when all has been sent; who does not read that has gone nevertheless."""
        if self.is_sending:
            asyncio.get_running_loop().call_later(LAST_MOMENT, self.abortConnection)

    def pause_writing(self) -> None:
        if self._producer is not None:
            self._producer.pauseProducing()

    def resume_writing(self) -> None:
        if self._producer is not None:
            self._producer.resumeProducing()

    def connection_lost(self, error: Exception | None) -> None:
        self._below, self._unread = None, b""
        self._is_ending = True
        self._everybody.discard(self)
        reason = ConnectionDone() if error is None else ConnectionLost(str(error))
        try:
            self.protocol.connectionLost(Failure(reason))  # type: ignore[no-untyped-call]
        except Exception as error:
            logger.info(FAILED, error)
        # These lead back here, so that only the garbage collector would free them.
        self.protocol = self._producer = None

    def _opened(self, opening: asyncio.Task[Any]) -> None:
        self._opening = None
        if opening.cancelled() or opening.exception() is not None:  # the client has gone already
            self._socket.close()
            self.connection_lost(None)

    # For Twisted

    def write(self, data: bytes) -> None:
        if self._below is None or self._below.is_closing():
            return
        if self._corked is None:
            self._below.write(data)
        else:
            self._corked.append(data)

    @contextmanager
    def corked(self) -> Iterator[None]:
        """What is written in the block leaves as one: a head and its body, say, which come in two pieces."""
        self._corked = []
        try:
            yield
        finally:
            self._uncork()

    def _uncork(self) -> None:
        written, self._corked = self._corked, None
        if written and self._below is not None:
            self._below.write(b"".join(written))

    def writeSequence(self, iovec: Any) -> None:
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:
        """Close it when all has been sent."""
        self._uncork()
        self._is_ending = True
        if self._below is not None:
            self._below.close()

    loseWriteConnection = loseConnection

    def abortConnection(self) -> None:
        self._is_ending = True
        if self._below is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self._below.abort()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer = None

    def pauseProducing(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            if self._below is not None and not self._below.is_closing():
                self._below.pause_reading()

    def resumeProducing(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._go_on_soon()

    stopProducing = loseConnection

    @property
    def disconnecting(self) -> bool:
        return self._is_ending

    @property
    def is_sending(self) -> bool:
        """Whether something waits to be sent."""
        return self._below is not None and self._below.get_write_buffer_size() > 0

    @cached_property
    def _host(self) -> Any:
        return self._port._buildAddr(self._socket.getsockname())

    @cached_property
    def _peer(self) -> Any:
        return self._port._buildAddr(self._client)

    def getHost(self) -> Any:
        return self._host

    def getPeer(self) -> Any:
        return self._peer

    def getHandle(self) -> socket.socket:
        return self._socket

    def getTcpNoDelay(self) -> bool:
        return True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """The event loop has switched it on."""

    def getTcpKeepAlive(self) -> bool:
        return bool(self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(enabled))
