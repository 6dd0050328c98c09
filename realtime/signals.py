"""Django signals of what happens, for receivers of the product's own.

They are sent from a thread of their own, in order: a receiver may use the database, be slow, fail or block, and no
handshake, ack or publish waits for it. What more than 10,000 are waiting for is dropped, and logged. Receivers run in
the process where it happened; `sender` is None.
"""

from __future__ import annotations

import atexit
import logging
import os
from queue import Full, Queue
from threading import Lock, Thread
from typing import Any

from django.db import close_old_connections
from django.dispatch import Signal

logger = logging.getLogger(__name__)

WAITING = 10_000  # signals
LAST_MOMENT = 2.0  # seconds that a process which ends gives to those that still wait

socket_connected = Signal()
"""A socket was accepted. `user`: its user id; `process`, `number`: which one it is, as `connections` shows it."""

socket_disconnected = Signal()
"""Such a socket is gone, once for each. `user`, `process`, `number`, and `code`: its close code, or None."""

envelope_delivered = Signal()
"""A publish has been answered, also when nobody was there. `user`, `type`, `envelope_id`; and `client_count`, `results`
and `timed_out`, as `publish` returns them."""

_Sent = tuple[Signal, dict[str, Any]]


class Courier:
    """Sends signals, one by one."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: Queue[_Sent | None] = Queue(WAITING)
        self._thread: Thread | None = None
        self._is_dropping = False

    def send(self, signal: Signal, **arguments: Any) -> None:
        """Returns at once. Who calls this has seen that somebody receives: `signal.receivers`."""
        try:
            self._waiting.put_nowait((signal, arguments))
        except Full:
            if not self._is_dropping:
                logger.error("%d signals wait for their receivers: those to come are dropped", WAITING)
            self._is_dropping = True
            return
        self._is_dropping = False
        if self._thread is None:
            self._start()

    def stop(self) -> None:
        """Let those that wait be sent, for a moment."""
        if self._thread is not None:
            try:
                self._waiting.put_nowait(None)
            except Full:
                return
            self._thread.join(LAST_MOMENT)

    def forget(self) -> None:
        """Begin anew: after a fork the thread is the parent's, and so is what it had to send."""
        self.__init__()  # type: ignore[misc]

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = Thread(target=self._run, name="realtime-signals", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while (sent := self._waiting.get()) is not None:
            signal, arguments = sent
            close_old_connections()
            try:
                signal.send_robust(sender=None, **arguments)  # which logs what a receiver raises
            except BaseException:  # of a receiver: a SystemExit, an asyncio.CancelledError; send_robust lets them pass
                logger.exception("a receiver of a signal has failed")
            finally:
                close_old_connections()


courier = Courier()
os.register_at_fork(after_in_child=courier.forget)
atexit.register(courier.stop)
