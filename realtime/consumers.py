"""One consumer a socket: it knows its user, keeps its filters, and turns frames into deeds."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from contextlib import suppress
from typing import Any

from channels.consumer import get_handler_name
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.dispatch import Signal

from . import metrics
from .admission import admit
from .conf import conf
from .envelopes import Envelope
from .filters import Filters
from .http import RETRY_SOON, Response, authorization, header, query_string, refuse_handshake
from .keyring import Forbidden, Grant
from .layers import LayerUnavailable
from .limits import Bucket, TooMany
from .origins import check_origin
from .protocol import (
    FORBIDDEN,
    PONG,
    TOO_MANY_REQUESTS,
    UNAUTHORIZED,
    UNAVAILABLE,
    Ack,
    CloseCode,
    Frame,
    Ping,
    Subscribe,
    parse_frame,
)
from .secretstore import store
from .sessions import logged_in
from .signals import courier, socket_connected, socket_disconnected
from .sockets import Draining, sockets
from .tokens import InvalidToken, Token, Undecided, find_token

logger = logging.getLogger(__name__)

LAST_MOMENT = 1.0  # seconds that a client is given to say goodbye
UNAVAILABLE_SINCE = {LayerUnavailable: "channel layer away", Undecided: "secrets not read", Draining: "draining"}


class RealtimeConsumer(AsyncJsonWebsocketConsumer):
    """A socket, from its handshake to its end. Its frames are handled one by one, in the order they came."""

    def __init__(self) -> None:
        super().__init__()
        self.user = ""
        self.number = 0
        self.kid: str | None = None
        self.since = 0.0
        self.filters = Filters()
        self.awaited: set[str] = set()
        self._sockets = sockets()
        self._bucket = Bucket(conf.FRAME_BURST, time.monotonic())
        self._outgoing: deque[Envelope] | None = None  # made with the first envelope: most sockets are idle
        self._more: asyncio.Future[None] | None = None  # that the writer waits for
        self._writer: asyncio.Task[None] | None = None
        self._expiry: asyncio.Task[None] | None = None
        self._accepted = False
        self._connected = False  # and everybody has been told
        self._code: int | None = None  # with which it closed
        self._cut = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Run the socket. Unlike the base class this takes no layer channel, and no task, for each message."""
        self.scope, self.base_send = scope, send
        try:
            while True:
                await self.dispatch(await receive())
        except (StopConsumer, OSError):  # some servers raise an OSError when we send to a socket that has just closed
            pass
        except asyncio.CancelledError:
            if not self._accepted or self._cut:
                raise
            await self._part(receive)  # and end as if nothing had happened: Daphne waits for all, or for one exception
        finally:
            for task in (self._writer, self._expiry):
                if task is not None:
                    task.cancel()
            self._writer = self._expiry = self._more = None  # they hold the consumer, which would hold them
            try:
                await self._sockets.remove(self)
            finally:
                if self._connected:
                    self._tell(socket_disconnected, code=self._code)

    async def _part(self, receive: Any) -> None:
        """The server stops without a word to its sockets, as stock Daphne does. It waits for its applications."""
        await self.cut_off(CloseCode.STOPPING)
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(LAST_MOMENT):
                while (await receive())["type"] != "websocket.disconnect":
                    pass

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Without the base class's hop to a thread that closes database connections: none is used here."""
        await getattr(self, get_handler_name(message))(message)

    async def connect(self) -> None:
        try:
            token = await self._admit()
        except (InvalidToken, Forbidden) as error:
            logger.info("handshake refused: %s", error)
            if isinstance(error, Forbidden):
                await self._refuse("forbidden", Response.error(403, FORBIDDEN))
            else:
                await self._refuse("invalid token", Response.error(401, UNAUTHORIZED))
        except TooMany as error:
            logger.info("handshake refused user=%r: %s", self.user, error)
            refusal = (429, TOO_MANY_REQUESTS) if error.whose == "the user" else (503, UNAVAILABLE)
            await self._refuse(str(error), Response.error(*refusal, RETRY_SOON))
        except (LayerUnavailable, Undecided, Draining) as error:
            logger.info("handshake refused user=%r: %s", self.user, error)
            await self._refuse(UNAVAILABLE_SINCE[type(error)], Response.error(503, UNAVAILABLE, RETRY_SOON))
        else:
            self._accepted = True
            await self.accept()
            # Nobody asks for these any more, and of a browser they are as large as all the rest of a socket.
            self.scope["headers"], self.scope["query_string"] = [], b""
            metrics.CONNECTS.inc()
            if conf.CLOSE_AT_EXP and token.expires is not None:
                self._expiry = asyncio.create_task(self._close_at_expiry(token.expires))
            logger.info("connect user=%r socket=%d", self.user, self.number)
            self._connected = True
            self._tell(socket_connected)

    async def _admit(self) -> Token:
        """Join the user's sockets. Raises what `admit` does, and LayerUnavailable."""
        text = find_token(authorization(self.scope), query_string(self.scope))
        if text is None and conf.SESSION_AUTH:
            token = Token(await logged_in(self.scope))
        else:
            check_origin(header(self.scope, b"origin"))
            token = await admit(text, Grant.CONNECT)
        self.user, self.kid, self.since = token.user, token.kid, time.time()
        self.number = next(self._sockets.numbers)
        await self._sockets.add(self)
        if self._cut:
            raise InvalidToken("disconnected while it connected")
        if text is not None:
            store.verify(text, Grant.CONNECT)  # its secret may have been revoked meanwhile
        return token

    async def websocket_disconnect(self, message: Any) -> None:
        code = message.get("code")
        self._code = self._code or code
        await self.disconnect(code)
        raise StopConsumer

    async def disconnect(self, code: int) -> None:
        if self.number:
            logger.info("disconnect user=%r socket=%d code=%s", self.user, self.number, code)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None, **_: Any) -> None:
        frame = None if text_data is None else await self.decode_json(text_data)
        awaited = isinstance(frame, Ack) and frame.envelope_id in self.awaited
        if not (awaited or self._cut or self._bucket.takes(conf.FRAME_RATE, conf.FRAME_BURST, time.monotonic())):
            await self.cut_off(CloseCode.TOO_MANY_FRAMES)
        if frame is None or self._cut:
            logger.debug("frame ignored user=%r socket=%d", self.user, self.number)
        else:
            await self.receive_json(frame)

    @classmethod
    async def decode_json(cls, text_data: str) -> Frame | None:
        return parse_frame(text_data)

    async def receive_json(self, content: Frame, **_: Any) -> None:
        if isinstance(content, Ping):
            await self.send(PONG)
        elif isinstance(content, Ack):
            known = await self._sockets.ack(self, content.envelope_id, content.result)
            logger.debug("ack user=%r socket=%d known=%s", self.user, self.number, known)
        else:
            change = self.filters.add if isinstance(content, Subscribe) else self.filters.remove
            for wanted in content.filters:
                change(wanted)
            if len(self.filters) > conf.MAX_FILTERS:
                await self.cut_off(CloseCode.TOO_MANY_FILTERS)

    def deliver(self, envelope: Envelope) -> None:
        """Send the envelope, after those before it."""
        if self._outgoing is None:
            self._outgoing = deque()
            self._writer = asyncio.create_task(self._write(self._outgoing))
        self._outgoing.append(envelope)
        if self._more is not None and not self._more.done():
            self._more.set_result(None)

    async def _write(self, outgoing: deque[Envelope]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not outgoing:
                self._more = loop.create_future()
                await self._more
            envelope = outgoing.popleft()
            try:
                await self.base_send(envelope.message)
            except OSError:
                return  # the socket is closing, and will be removed when the server says so
            except Exception as error:  # autobahn's, when an envelope is over the limit that daphne has been given
                logger.warning("envelope=%s not sent user=%r socket=%d: %s", envelope.id, self.user, self.number, error)
                self._sockets.give_up(self, envelope.id)

    async def _close_at_expiry(self, expires: float) -> None:
        await asyncio.sleep(expires - time.time())
        await self.cut_off(CloseCode.TOKEN_EXPIRED)

    async def cut_off(self, code: int, reason: str = "") -> None:
        """Close the socket for a reason of ours. Nothing that it still sends counts."""
        logger.info("cut off user=%r socket=%d code=%d reason=%s", self.user, self.number, code, _reason(code, reason))
        metrics.cut_off(code)
        self._cut, self._code = True, code
        if self._writer is not None:
            self._writer.cancel()
        await self._sockets.remove(self)
        if self._accepted:
            with suppress(OSError):  # it has just closed by itself
                await self.close(int(code), reason or None)  # autobahn takes no subclass of int

    def _tell(self, signal: Signal, **arguments: Any) -> None:
        if signal.receivers:
            where = {"process": self._sockets.channel, "number": self.number}
            courier.send(signal, user=self.user, **where, **arguments)

    async def _refuse(self, reason: str, response: Response) -> None:
        metrics.REFUSALS.labels(reason).inc()
        await refuse_handshake(self.scope, self.base_send, response)


def _reason(code: int, reason: str) -> str:
    """For the log: a name of ours, or what somebody else has written."""
    return repr(reason) if reason or code not in set(CloseCode) else CloseCode(code).name
