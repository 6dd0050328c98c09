"""The server: Daphne's, which speaks our protocols, and lets go of its clients before it stops."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from functools import partial
from typing import Any

from daphne import server as daphne
from twisted.internet.defer import Deferred

from ..protocol import CloseCode
from ..sockets import sockets
from . import files
from .http import HTTPFactory
from .transport import Transport
from .websocket import WebSocketFactory, WebSocketProtocol

logger = logging.getLogger(__name__)

MAX_SEND_BUFFER = 16 * 1024 * 1024  # bytes
MAX_SEND_BUFFERS = 512 * 1024 * 1024  # bytes
DRAIN_TIME = 2.0  # seconds
DRAIN_TIMEOUT = 10.0  # seconds; a publish takes 5 at the most
LAST_MOMENT = 1.0  # seconds that what is left is given to end when it is cancelled
ASGI = {"version": "3.0"}

# For Python's garbage collector, which at its default of 700 new objects takes what publishes have under way for old,
# and then often looks at every object of every socket: with 10,000 the process stands still for most of a second.
COLLECT_AFTER = 50_000, 20, 20
LOOK = 0.05  # seconds between two looks at whether connections have ended


class Server(daphne.Server):
    """`max_send_buffer` is how many bytes may wait for a client that reads too slowly, `max_send_buffers` for all of
    them, `drain_time` the seconds over which sockets are closed at the end, `drain_timeout` those that requests under
    way are given.
    """

    max_send_buffer = MAX_SEND_BUFFER
    max_send_buffers = MAX_SEND_BUFFERS
    drain_time = DRAIN_TIME
    drain_timeout = DRAIN_TIMEOUT

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{"websocket_timeout": -1, **options})  # seconds; Daphne closes each after a day
        self.ports: list[Any] = []
        self.transports: set[Transport] = set()
        self.draining = False
        self._ending: set[Any] = set()  # connections that have ended, and their applications have not

    def run(self) -> None:
        files.raise_limit()
        gc.freeze()  # what has been imported stays
        gc.set_threshold(*COLLECT_AFTER)
        # Daphne's `run` makes its factories by these names. Other servers of the process keep theirs.
        theirs = daphne.HTTPFactory, daphne.WebSocketFactory
        daphne.HTTPFactory, daphne.WebSocketFactory = HTTPFactory, WebSocketFactory
        try:
            super().run()
        finally:
            daphne.HTTPFactory, daphne.WebSocketFactory = theirs

    def listen_success(self, port: Any) -> None:
        self.ports.append(port)
        port.transport = partial(Transport, self.transports)
        super().listen_success(port)

    # Daphne looks at each connection every second, to see whether it or its application has ended. Here they say so.

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        if protocol not in self.connections:  # it has gone meanwhile
            return None
        scope["asgi"] = ASGI
        if isinstance(protocol, WebSocketProtocol):
            scope["scheme"] = protocol.scheme
            scope["extensions"] = {"websocket.http.response": {}}
            queue: Any = protocol.inbox
            application = self.application(scope=scope, receive=queue.get, send=protocol.reply)
        else:
            queue = asyncio.Queue()
            reply = partial(self.handle_reply, protocol)
            application = self.application(scope=scope, receive=queue.get, send=reply)
        instance = asyncio.ensure_future(application)
        self.connections[protocol]["application_instance"] = instance
        instance.add_done_callback(partial(self._application_ended, protocol))
        return queue

    def protocol_disconnected(self, protocol: Any) -> None:
        details = self.connections.get(protocol)
        if details is None:
            return
        details.setdefault("disconnected", time.time())
        if "application_instance" in details:
            self._ending.add(protocol)
        else:
            del self.connections[protocol]

    def application_checker(self) -> None:
        """End the applications that go on for too long without their connections."""
        now = time.time()
        for protocol in self._ending:
            details = self.connections[protocol]
            if now - details["disconnected"] > self.application_close_timeout:
                logger.warning("an application went on for too long without its connection: %r", protocol)
                details["application_instance"].cancel()
        daphne.reactor.callLater(1, self.application_checker)

    def _application_ended(self, protocol: Any, application: asyncio.Future[Any]) -> None:
        details = self.connections[protocol]
        del details["application_instance"]
        if not application.cancelled() and (error := application.exception()):
            logger.error("Exception inside application: %s", error, exc_info=error)
            if "disconnected" not in details:
                protocol.handle_exception(error)
        if "disconnected" in details:
            self._ending.discard(protocol)
            self.connections.pop(protocol, None)

    def kill_all_applications(self) -> Any:
        """Twisted waits for this before it stops."""
        return Deferred.fromFuture(asyncio.ensure_future(self._stop()))

    async def _stop(self) -> None:
        """Take nothing new, let requests finish and sockets close, and end what is left."""
        self.draining = True
        logger.info("stopping: %d connections", len(self.connections))
        for port in self.ports:
            port.stopListening()
        try:
            async with asyncio.timeout(self.drain_time + self.drain_timeout):
                await self._drain()
        except TimeoutError:
            logger.warning("%d connections did not end in time", len(self._running()))
        except Exception:
            logger.exception("connections could not be ended in good order")
        for application in (running := self._running()):
            application.cancel()
        if running:
            await asyncio.wait(running, timeout=LAST_MOMENT)
        await self._hang_up()

    async def _hang_up(self) -> None:
        """Close what is left at once: until the process has ended somebody might say something, and nobody hear it."""
        for transport in list(self.transports):
            transport.loseConnection()
        end = time.monotonic() + LAST_MOMENT
        while self.transports and time.monotonic() < end:  # noqa: ASYNC110  (no hot path)
            await asyncio.sleep(0.001)

    async def _drain(self) -> None:
        # A proxy may be sending a request on a connection that it has kept: such a one is closed by us behind its next
        # answer, or when time is up, never as soon as it is idle.
        loop = asyncio.get_running_loop()
        end = loop.time() + self.drain_time
        await sockets().drain(self.drain_time)
        for protocol in list(self.connections):
            if isinstance(protocol, WebSocketProtocol) and protocol.state == protocol.STATE_OPEN:
                protocol.end(CloseCode.RESTARTING)
        while True:
            requests = [one for one in self.transports if hasattr(one.protocol, "requestFactory")]
            if running := self._running():  # among them what has come on such a connection meanwhile
                await asyncio.wait(running)
            elif any(one.is_sending for one in requests) or (loop.time() < end and requests):
                await asyncio.sleep(LOOK)
            else:
                return

    def _running(self) -> list[asyncio.Future[Any]]:
        found = (details.get("application_instance") for details in self.connections.values())
        return [application for application in found if application is not None and not application.done()]
