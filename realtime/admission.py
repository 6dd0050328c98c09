"""Who may come in: tokens are verified here, by a keyring that a task of each event loop keeps fresh.

The task reads the secrets when another process says that they have changed, and every SECRETS_POLL seconds in case
nobody could. Verifying waits for it once, in the first moments of a process. Signing, too, relies on it where there is
one.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from weakref import WeakKeyDictionary

from .conf import conf
from .keyring import Grant, Key
from .layers import LayerUnavailable
from .secretstore import store
from .sockets import sockets
from .tokens import Token

logger = logging.getLogger(__name__)

FIRST_LOOK = 2.0  # seconds that the first token of a process waits for the database
LATE = 5.0  # seconds after which it is logged that the database does not answer


async def admit(token: str | None, grant: Grant) -> Token:
    """The verified token. Raises InvalidToken, Forbidden, and Undecided when the database never answered."""
    if asyncio.get_running_loop() is not _watched:
        await _watch()
    return store.verify(token, grant)


def signing_key(*grants: Grant) -> Key:
    """The secret to sign a new token with. Raises ImproperlyConfigured when there is none that may do this."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        if not any(loop.is_running() for loop in list(_watches)):
            store.refresh()
    else:
        _watch_of(loop)
        store.first_look()
    return store.signing_key(*grants)


async def keyring_is_loaded() -> bool:
    """Whether the secrets have been read: until then some tokens can't be judged."""
    await _watch()
    return store.is_loaded


async def _watch() -> None:
    global _watched
    loop = asyncio.get_running_loop()
    await _watch_of(loop).first_look()
    _watched = loop


def _watch_of(loop: asyncio.AbstractEventLoop) -> Watch:
    watch = _watches.get(loop)
    if watch is None:
        watch = _watches[loop] = Watch()
    return watch


class Watch:
    """The task that keeps the keyring fresh while one event loop runs."""

    def __init__(self) -> None:
        store.read_settings()
        self._looked = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def first_look(self) -> None:
        """Returns when the secrets have been read or could not be, or when this has been waited for once."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LOOK):
                await self._looked.wait()
        self._looked.set()  # a database that hangs holds up the first requests, not all of them

    async def _run(self) -> None:
        while True:
            try:
                await self._look()
            except Exception as error:  # nothing may end this task: no change of a secret would be seen any more
                store.log("looking", f"the JWT secrets could not be looked at: {error!r}")
                await asyncio.sleep(conf.SECRETS_POLL)

    async def _look(self) -> None:
        """Read the secrets, and return when it is time to do so again."""
        changed = sockets().secrets_changed
        changed.clear()
        try:
            await self._read()
        finally:
            self._looked.set()
        try:
            await sockets().listen()
        except LayerUnavailable as error:
            logger.debug("not told of changed secrets, but looking for them: %s", error)
        with suppress(TimeoutError):
            async with asyncio.timeout(conf.SECRETS_POLL):
                await changed.wait()

    async def _read(self) -> None:
        reading = asyncio.ensure_future(store.look())
        await asyncio.wait([reading], timeout=LATE)
        if not reading.done():
            store.log("waiting", f"the database has not answered for {LATE:.0f} s, going on with the JWT secrets known")
        await reading
        store.log("waiting", "")


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, Watch] = WeakKeyDictionary()
_watched: asyncio.AbstractEventLoop | None = None  # the one that served last, which is looked at first
os.register_at_fork(after_in_child=_watches.clear)  # they are the parent's, and do not run here
