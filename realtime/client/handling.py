"""One envelope, its handlers, and the one ack that comes of them."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from .envelopes import Envelope

logger = logging.getLogger(__name__)

Handler = Callable[[Envelope], Any]
"""Called with each envelope. What it returns, or what comes of it when it is awaitable, is the ack's result."""

Send = Callable[[str], Awaitable[None]]


class RawJSON(str):
    """A result that is JSON text already, to be sent as it stands."""

    __slots__ = ()


class _Failure(str):
    """The result of a handler that failed, JSON text."""

    __slots__ = ()


class _NoAck:
    def __repr__(self) -> str:
        return "NO_ACK"


NO_ACK: Final = _NoAck()
"""What a handler returns that only looks on: the envelope is not acked, and its publisher waits until time is up."""


class Handling:
    """The envelopes that are being handled, so many at the most."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, envelope: Envelope, handlers: Sequence[Handler], send: Send) -> None:
        task = asyncio.create_task(handle(envelope, handlers, send))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def room(self) -> None:
        """Wait until one more may begin."""
        while len(self._tasks) >= self._most:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)

    async def end(self, grace: float) -> None:
        """Wait for those under way, so many seconds, and cancel the rest."""
        try:
            if self._tasks:
                await asyncio.wait(set(self._tasks), timeout=grace)
        finally:
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)


async def handle(envelope: Envelope, handlers: Sequence[Handler], send: Send) -> None:
    """Call each of `handlers` once, and `send` one frame that acks `envelope`. Returns when all of them have ended.

    The ack's result is that of the first that returns something else than None. If none does, it is `{"error":
    "<message>"}` of the first that failed, or else null.
    """
    # Each that waits for something gets its own task, so that all of them start now.
    outcomes = [_outcome(handler, envelope) for handler in handlers]
    tasks = [outcome for outcome in outcomes if isinstance(outcome, asyncio.Task)]
    try:
        result = await _first(outcomes)
        if result is not NO_ACK:
            await send(f'{{"type":"ack","envelopeId":{json.dumps(envelope.id)},"result":{result or "null"}}}')
        if tasks:
            await asyncio.wait(tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _first(outcomes: Sequence[Any]) -> Any:
    failure = None
    for outcome in outcomes:
        result = await outcome if isinstance(outcome, asyncio.Task) else outcome
        if isinstance(result, _Failure):
            failure = failure or result
        elif result is not None:
            return result
    return failure


def _outcome(handler: Handler, envelope: Envelope) -> Any:
    """JSON text, NO_ACK or None; or a task of which one of these comes."""
    try:
        returned = handler(envelope)
        return asyncio.create_task(_later(returned, envelope)) if inspect.isawaitable(returned) else _json(returned)
    except Exception as error:
        return _failure(error, envelope)


async def _later(awaitable: Awaitable[Any], envelope: Envelope) -> Any:
    try:
        return _json(await awaitable)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        return _failure(error, envelope)  # what it waited for was cancelled, not the handler
    except Exception as error:
        return _failure(error, envelope)


def _json(result: Any) -> Any:
    if isinstance(result, RawJSON):
        result.encode()  # raises for a lone surrogate that is not escaped, which no frame can carry
        return result
    if result is None or result is NO_ACK:
        return result
    return json.dumps(result, separators=(",", ":"), allow_nan=False)


def _failure(error: BaseException, envelope: Envelope) -> _Failure:
    logger.error("a handler has failed envelope=%s type=%r", envelope.id, envelope.type, exc_info=error)
    return _Failure(json.dumps({"error": str(error) or type(error).__name__}, separators=(",", ":")))
