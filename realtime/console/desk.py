"""The socket of an operator: what they look at goes out whenever it has changed, what they want done comes in.

Text frames, JSON but for `ping` and `pong`. A page may send what `frames` has. It gets `hello` (what it may do), `view`
(`survey.View`), `rates` (`numbers.Rates`), the steps of a `delivery`, `disconnected`, and `error`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from contextlib import suppress
from typing import Any

from ..channellayer import away_is_unavailable
from ..conf import conf
from ..http import RETRY_SOON, Response, refuse_handshake
from ..keyring import Forbidden
from ..layers import LayerUnavailable
from ..protocol import FORBIDDEN, PONG, TOO_MANY_REQUESTS, UNAVAILABLE, CloseCode
from ..sockets import sockets
from ..tokens import InvalidToken, Undecided
from .deeds import disconnect, most_body, publish
from .frames import Disconnect, InvalidFrame, Publish, Watch, parse
from .numbers import Meter
from .operators import Operator, operator_of
from .page import Look
from .survey import survey

logger = logging.getLogger(__name__)

INTERVAL = 1.0  # seconds between two looks
SHORTEST = 0.1  # seconds between them when the operator looks for one thing after the other
RECHECK = 5.0  # seconds after which it is looked again whether the operator may
MOST_DESKS = 50  # in a process
MOST_OWN_DESKS = 10  # of one operator in a process
MOST_DEEDS = 20  # of a desk, under way
MOST_WAITING = 16 * 1024 * 1024  # characters that the operator has not read yet

AWAY = "Redis is away: nothing can be seen or done until it is back."
MAY_NOT = "You may look, but not publish or disconnect. That takes the permission to change the console."
BUSY = "Too much is under way. Wait for an answer."
UNDECIDED = "The database does not answer, so who you are can't be said. Try again."

_open: set[Desk] = set()
_under_way: set[asyncio.Task[None]] = set()  # the event loop keeps only weak references


async def console(scope: Any, receive: Any, send: Any) -> None:
    """The ASGI application of the console's socket. It takes the session cookie of the admin, and no token."""
    await receive()
    try:
        operator = await operator_of(scope)
    except (Forbidden, InvalidToken) as error:
        logger.info("console refused: %s", error)
        return await refuse_handshake(scope, send, Response.error(403, FORBIDDEN))
    except Undecided as error:
        logger.info("console refused: %s", error)
        return await refuse_handshake(scope, send, Response.error(503, UNAVAILABLE, RETRY_SOON))
    if sum(desk.operator.pk == operator.pk for desk in _open) >= MOST_OWN_DESKS:
        return await refuse_handshake(scope, send, Response.error(429, TOO_MANY_REQUESTS, RETRY_SOON))
    if len(_open) >= MOST_DESKS:
        return await refuse_handshake(scope, send, Response.error(503, UNAVAILABLE, RETRY_SOON))
    desk = Desk(scope, send, operator)
    _open.add(desk)
    try:
        await send({"type": "websocket.accept"})
        logger.info("console opened operator=%r", operator.name)
        # Stock Daphne cancels what runs when it stops, and waits for all of it to end well.
        with suppress(OSError, asyncio.CancelledError):
            await desk.serve(receive)
    finally:
        _open.discard(desk)


class Desk:
    """One open console."""

    def __init__(self, scope: Any, send: Any, operator: Operator) -> None:
        self.operator = operator
        self._scope, self._send = scope, send
        self._look, self._meter = Look(), Meter()
        self._looks = 0  # how often the page has said what it looks at
        self._asked = asyncio.Event()  # for another look
        self._checked = time.monotonic()
        self._measured = self._looked = 0.0
        self._seen: dict[str, str] = {}  # the last frame of a kind
        self._outgoing: asyncio.Queue[str] = asyncio.Queue()
        self._waiting = 0  # characters there
        self._deeds = 0  # under way
        self._serving: asyncio.Task[Any] | None = None

    async def serve(self, receive: Any) -> None:
        """Returns when the operator has gone."""
        self._serving = asyncio.current_task()
        self._writing = asyncio.create_task(self._write())
        watching = asyncio.create_task(self._watch())
        try:
            while (message := await receive())["type"] == "websocket.receive":
                self._take(message.get("text") or "")
        finally:
            self._serving = None
            self._writing.cancel()
            watching.cancel()

    def tell(self, type: str, **members: Any) -> None:
        self.send(json.dumps({"type": type, **members}))

    def send(self, text: str) -> None:
        """Send a frame, after those before it. Who does not read is dropped, on servers where `send` waits for that."""
        self._waiting += len(text)
        if self._waiting <= MOST_WAITING:
            self._outgoing.put_nowait(text)
        elif self._serving is not None:
            self._serving.cancel()

    def _take(self, text: str) -> None:
        if text == "ping":
            self.send(PONG)
            return
        try:
            frame = parse(text)
        except InvalidFrame as error:
            self.tell("error", message=str(error), looks=self._looks)
            return
        if isinstance(frame, Watch):
            self._look = frame.look()
            self._looks += 1  # an answer comes, whether or not there is something else to see
            self._asked.set()
        elif self._deeds >= MOST_DEEDS:
            self.tell("error", id=frame.id, message=BUSY)
        else:
            self._deeds += 1
            task = asyncio.create_task(self._do(frame))
            _under_way.add(task)
            task.add_done_callback(_under_way.discard)

    async def _do(self, frame: Publish | Disconnect) -> None:
        """It is done and noted whether or not the operator stays."""
        try:
            self.operator = await operator_of(self._scope)  # as the database has them now
            if self.operator.may_act:
                await (publish(self, frame) if isinstance(frame, Publish) else disconnect(self, frame))
            else:
                self.tell("error", id=frame.id, message=MAY_NOT)
        except (Forbidden, InvalidToken):
            await self._end()
        except InvalidFrame as error:
            self.tell("error", id=frame.id, message=str(error))
        except Undecided:
            self.tell("error", id=frame.id, message=UNDECIDED)
        except LayerUnavailable:
            self.tell("error", id=frame.id, message=AWAY)
        except Exception:
            logger.exception("a console could not do what was asked")
            self.tell("error", id=frame.id, message="It failed. The server's log has the reason.")
        self._deeds -= 1
        self._asked.set()

    async def _watch(self) -> None:
        """Look, and look again, as long as the operator may."""
        try:
            while True:
                await asyncio.sleep(self._looked + SHORTEST - time.monotonic())
                self._asked.clear()
                self._looked = time.monotonic()
                await self._check()
                await self._show()
                with suppress(TimeoutError):
                    async with asyncio.timeout(INTERVAL):
                        await self._asked.wait()
        except (Forbidden, InvalidToken):
            await self._end()
        except Exception:
            logger.exception("a console ends")
            await self._end(1011)

    async def _check(self) -> None:
        if time.monotonic() - self._checked > RECHECK:
            with suppress(Undecided):  # until the database says otherwise
                self.operator = await operator_of(self._scope)
                self._checked = time.monotonic()
        self._tell_once("hello", mayAct=self.operator.may_act, ackTimeout=conf.ACK_TIMEOUT, maxBody=most_body())

    async def _show(self) -> None:
        look, looks = self._look, self._looks
        try:
            with away_is_unavailable():
                await sockets().listen()  # so that this process answers too
                view, counts = await survey(look)
        except LayerUnavailable:
            self._tell_once("view", away=AWAY)
            return
        self._tell_once("view", away=None, looks=looks, **view)
        now = time.monotonic()
        if now - self._measured >= 0.9 * INTERVAL:
            self._measured = now
            if (rates := self._meter.read(now, counts)) is not None:
                self.tell("rates", at=time.time(), sockets=view["sockets"], **rates)

    def _tell_once(self, type: str, **members: Any) -> None:
        """Tell it unless it is what was told last."""
        text = json.dumps({"type": type, **members})
        if self._seen.get(type) != text:
            self._seen[type] = text
            self.send(text)

    async def _write(self) -> None:
        with suppress(OSError):  # it closes, and `receive` will say so
            while True:
                text = await self._outgoing.get()
                await self._send({"type": "websocket.send", "text": text})
                self._waiting -= len(text)

    async def _end(self, code: int = CloseCode.LOGGED_OUT) -> None:
        if self in _open:
            self._writing.cancel()  # servers raise when something is sent behind a close
            with suppress(OSError):
                await self._send({"type": "websocket.close", "code": int(code)})
