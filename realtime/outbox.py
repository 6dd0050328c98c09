"""What one process sends to others through Redis: few messages, each with all that is there to be sent."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from .redishost import LayerUnavailable

logger = logging.getLogger(__name__)

Message = dict[str, Any]
Done = Callable[[LayerUnavailable | None], None]


class Mail:
    """Messages to one process that travel together, and who waits until they are on their way."""

    __slots__ = ("_waiting", "messages")

    def __init__(self) -> None:
        self.messages: list[tuple[str, Message]] = []
        self._waiting: list[asyncio.Future[None]] = []

    async def sent(self) -> None:
        """Returns when Redis has it. Raises LayerUnavailable. To be called before it leaves."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        await waiting

    def end(self, error: Exception | None) -> None:
        for waiting in self._waiting:
            if waiting.done():
                continue
            if error is None:
                waiting.set_result(None)
            else:
                waiting.set_exception(error)


class Outbox:
    """Mail to other processes, in order.

    What is posted leaves at the end of this turn of the event loop. What is sent, by somebody who waits until it is on
    its way, leaves then too, but while other mail to that process is under way it waits for the next that leaves, or
    until Redis has confirmed: the busier the process is, the more travels together (RFC 896 does it so).
    """

    def __init__(self, serialize: Callable[[Any], bytes], publish: Callable[[str, bytes, Done], None]) -> None:
        """`publish` calls back when Redis has confirmed, or will not."""
        self._serialize = serialize
        self._publish = publish
        self._mail: dict[str, Mail] = {}  # by process
        self._due: dict[str, None] = {}  # processes whose mail leaves in this turn
        self._under_way: Counter[str] = Counter()

    def post(self, process: str, channel: str, message: Message) -> None:
        self._put(process, channel, message)
        self._leaves(process)

    async def send(self, process: str, channel: str, message: Message) -> None:
        """Returns when Redis has it. Raises LayerUnavailable."""
        mail = self._put(process, channel, message)
        if not self._under_way[process]:
            self._leaves(process)
        await mail.sent()

    def _put(self, process: str, channel: str, message: Message) -> Mail:
        mail = self._mail.setdefault(process, Mail())
        mail.messages.append((channel, message))
        return mail

    def _leaves(self, process: str) -> None:
        if not self._due:
            asyncio.get_running_loop().call_soon(self._empty)
        self._due[process] = None

    def _empty(self) -> None:
        due, self._due = self._due, {}
        for process in due:
            mail = self._mail.pop(process)
            try:
                data = self._serialize(mail.messages)
            except Exception as error:
                logger.warning("an event to %s is lost: %r", process, error)
                mail.end(error)
                continue
            self._under_way[process] += 1
            self._publish(process, data, partial(self._confirmed, process, mail))

    def _confirmed(self, process: str, mail: Mail, error: LayerUnavailable | None) -> None:
        self._under_way[process] -= 1
        if not self._under_way[process]:
            del self._under_way[process]
            if process in self._mail:
                self._leaves(process)
        if error is not None:
            logger.warning("Redis is away: %d messages to %s are lost", len(mail.messages), process)
        mail.end(error)
