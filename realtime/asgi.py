"""The ASGI application: sockets, the fast lane for publishes, and the product's own application for all the rest.

application = realtime.asgi.application(application)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from django.apps import apps
from django.core.handlers.asgi import ASGIHandler

from . import protocol
from .conf import conf
from .console.desk import console
from .consumers import RealtimeConsumer
from .exposition import exposition
from .health import alive, ready
from .http import READ_ONLY, Response, authorization, header, query_string, refuse_handshake
from .paths import Paths, local_path
from .views import BodyTooLarge, PublishRequest, answer

Scope = Any
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]  # (scope, receive, send); frameworks type them differently

WATCH_AFTER = 0.1  # seconds; most publishes have been answered by then and never pay for being watched


def application(product: Application, prefix: str | None = None) -> Application:
    """HopeFlow Realtime, in front of a product's own application, which has all else: every other path and socket,
    the lifespan, the channels of its workers.

    It stands at the prefix under which the product's URLs include `realtime.urls`, else at "/"; `prefix` says another.
    """
    paths = Paths(prefix)
    socket: Application = RealtimeConsumer.as_asgi()
    has_console = apps.is_installed("django.contrib.admin")
    # Django's own handler knows no sockets and raises, which would fill the log.
    other_socket = refuse if isinstance(product, ASGIHandler) else product

    is_alive, is_ready, numbers = map(read_only, (alive, ready, exposition))

    def http(path: str) -> Application:
        if path == paths.publish:
            return fast_lane
        if path == paths.alive:
            return is_alive
        if path == paths.ready:
            return is_ready
        return numbers if path == paths.metrics and conf.METRICS else product

    async def realtime(scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            await http(local_path(scope))(scope, receive, send)
        elif kind == "websocket":
            path = local_path(scope)
            if path in paths.sockets:
                await socket(scope, receive, send)
            else:
                await (console if has_console and path == paths.console else other_socket)(scope, receive, send)
        else:
            await product(scope, receive, send)

    return realtime


async def fast_lane(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a publish without Django's request handler, which starts a thread and two tasks for each request."""

    async def read_body(limit: int) -> bytes:
        chunks, length, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                watch.gone = True
                raise asyncio.CancelledError
            chunks.append(message.get("body", b""))
            length += len(chunks[-1])
            if length > limit:
                raise BodyTooLarge
            more = message.get("more_body", False)
        watch.start()
        return b"".join(chunks)

    watch = Watch(receive)
    try:
        response = await answer(
            PublishRequest(
                method=scope["method"],
                authorization=authorization(scope),
                query_string=query_string(scope),
                content_type=header(scope, b"content-type") or "",
                read_body=read_body,
            )
        )
    except asyncio.CancelledError:
        if not watch.gone:
            raise
        return
    finally:
        watch.stop()
    await response.send(send)


def read_only(answer: Callable[[str | None], Awaitable[Response]]) -> Application:
    """Answer GET with what `answer` makes of the Authorization header."""

    async def lane(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in ("GET", "HEAD"):
            response = await answer(authorization(scope))
        else:
            response = Response.error(405, protocol.METHOD_NOT_ALLOWED, READ_ONLY)
        await response.send(send)

    return lane


class Watch:
    """Cancels the task it is made in when the client of its request goes away: nobody reads the answer any more."""

    def __init__(self, receive: Receive) -> None:
        self.gone = False
        self._receive = receive
        self._task = asyncio.current_task()
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(WATCH_AFTER, self._watch)

    def stop(self) -> None:
        for pending in (self._timer, self._watcher):
            if pending is not None:
                pending.cancel()

    def _watch(self) -> None:
        self._watcher = asyncio.create_task(self._wait_for_the_end())

    async def _wait_for_the_end(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        if self._task is not None:
            self._task.cancel()


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a socket at a path that nobody serves."""
    await refuse_handshake(scope, send, Response.error(404, protocol.NOT_FOUND))
    with suppress(OSError):
        while (await receive())["type"] != "websocket.disconnect":
            pass
