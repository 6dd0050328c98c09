"""An event loop in a thread of its own, for code that is not async: a WSGI view, a Celery task, a shell.

There is one for the process, started when first used, so that however many calls come from however many threads, there
is one pair of Redis connections. A forked child (Celery's workers) gets its own.
"""

from __future__ import annotations

import asyncio
import atexit
import os
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from threading import Lock, Thread
from typing import Any, TypeVar

Result = TypeVar("Result")

LAST_MOMENT = 2.0  # seconds that a process which ends gives to its connections


def refuse_async_code(twin: str) -> None:
    """Raise RuntimeError in async code: waiting there would stop the event loop in which, perhaps, the acks arrive."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(
        f"An event loop runs in this thread. In async code call the async twin: await {twin}(…). "
        "Under gevent or eventlet neither works: use threads or processes."
    )


class Background:
    """The loop and its thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._thread: Thread | None = None
        self._loop: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    def run(self, function: Callable[..., Coroutine[Any, Any, Result]], *arguments: Any) -> Result:
        """Call a coroutine function there and wait for its result."""
        future = self.submit(function, *arguments)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C in a shell: nobody waits any more
            raise

    def submit(self, function: Callable[..., Coroutine[Any, Any, Result]], *arguments: Any) -> Future[Result]:
        """Call a coroutine function there."""
        loop, _ = self._started()
        return asyncio.run_coroutine_threadsafe(function(*arguments), loop)

    def stop(self) -> None:
        """Close its connections and end the thread."""
        if self._thread is not None:
            loop, stopping = self._loop.result()
            loop.call_soon_threadsafe(stopping.set)
            self._thread.join(LAST_MOMENT)
            self.forget()

    def forget(self) -> None:
        """Begin anew: after a fork the thread is the parent's."""
        self.__init__()  # type: ignore[misc]

    def _started(self) -> tuple[asyncio.AbstractEventLoop, asyncio.Event]:
        with self._lock:
            if self._thread is None:
                self._thread = Thread(target=asyncio.run, args=[self._serve()], name="realtime", daemon=True)
                self._thread.start()
        return self._loop.result()

    async def _serve(self) -> None:
        stopping = asyncio.Event()
        self._loop.set_result((asyncio.get_running_loop(), stopping))
        await stopping.wait()


background = Background()
os.register_at_fork(after_in_child=background.forget)
atexit.register(background.stop)
