"""The sockets of this process, by user. They answer a publisher's roll call with one voice.

The process is one member of a user's group, however many sockets the user has here: it joins with the first and leaves
with the last. An envelope is matched against all of them in one go, reported once, and handed to those that match.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import time
from collections.abc import Collection
from typing import Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from . import events, metrics
from .channellayer import AWAY, away_is_unavailable, channel_layer, listen, post, send
from .conf import conf
from .console import page
from .envelopes import Envelope
from .filters import Filters
from .limits import TooMany
from .protocol import CloseCode
from .secretstore import store

logger = logging.getLogger(__name__)

LOOK = 0.02  # seconds between two looks at whether sockets have acked, when the server stops
NAMED = 1000  # sockets that a report names, to who asks for it
SLOWEST = 0.01  # seconds between two sockets that are closed, when they are few


class Draining(Exception):
    """No socket is taken any more: the server stops."""


class Socket(Protocol):
    """What `Sockets` needs of a consumer."""

    user: str
    number: int  # in this process
    filters: Filters
    awaited: set[str]  # ids of the envelopes that the socket was sent and has not acked
    kid: str | None  # of the secret that its token was signed with
    since: float  # when it connected, in seconds since the epoch

    def deliver(self, envelope: Envelope) -> None: ...

    async def cut_off(self, code: int, reason: str = "") -> None: ...


class _User:
    """The sockets of one user, and whether the process is in the user's group."""

    __slots__ = ("joined", "lock", "sockets")

    def __init__(self) -> None:
        self.sockets: dict[int, Socket] = {}
        self.joined = False
        self.lock = asyncio.Lock()


class _Awaited(NamedTuple):
    """An envelope that sockets of this process still have to ack."""

    reply: str  # channel
    sockets: dict[int, Socket]
    end: asyncio.TimerHandle
    since: float  # by time.perf_counter(): uvloop's own clock counts milliseconds


class Sockets:
    """The sockets that live in one event loop (a process has one, but for tests)."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.channel = ""  # where the process hears of envelopes and probes
        self.numbers = itertools.count(1)
        self.users: dict[str, _User] = {}  # by group
        self.awaited: dict[str, _Awaited] = {}  # by envelope id
        self.count = 0  # of sockets
        self.draining = False  # the server stops
        self._starting = asyncio.Lock()
        self._renewer: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self.secrets_changed = asyncio.Event()  # somebody said so
        self._told = False  # whether the process is in the group of all processes

    async def listen(self) -> None:
        """Returns when the process hears what is said to all processes. Raises LayerUnavailable."""
        if self._told:
            return
        with away_is_unavailable():
            await self._start()
            await self.layer.group_add(events.PROCESSES, self.channel)
        self._told = True
        self.secrets_changed.set()  # perhaps they have, while nobody could tell

    async def add(self, socket: Socket) -> None:
        """Returns when envelopes for the user reach the socket. Raises TooMany, Draining, LayerUnavailable."""
        group = events.group_name(socket.user)
        if self.draining:
            raise Draining("the server stops")
        if self.count >= conf.MAX_SOCKETS:
            raise TooMany("sockets", "the process")
        user = self.users.setdefault(group, _User())
        if len(user.sockets) >= conf.MAX_USER_SOCKETS:
            raise TooMany("sockets", "the user")
        user.sockets[socket.number] = socket
        self.count += 1
        try:
            await self.listen()
            async with user.lock:
                if not user.joined:
                    with away_is_unavailable():
                        await self.layer.group_add(group, self.channel)
                    user.joined = True
        except BaseException:
            await self.remove(socket)
            raise

    async def remove(self, socket: Socket) -> None:
        """The socket is gone: nothing reaches it from now on, and nobody waits for it."""
        group = events.group_name(socket.user)
        user = self.users.get(group)
        if user is None or user.sockets.pop(socket.number, None) is None:
            return
        self.count -= 1
        try:
            for envelope_id in list(socket.awaited):
                self.give_up(socket, envelope_id)
        finally:
            await self._leave_if_last(group, user)

    async def ack(self, socket: Socket, envelope_id: str, result: str) -> bool:
        """Pass an ack on, and wait until it has been: the socket's next frame comes after it, whoever sees both.

        False for one that nobody awaits from this socket: unknown, a second one, late.
        """
        if envelope_id not in socket.awaited:
            metrics.ACKS_IGNORED.inc()
            return False
        metrics.ACK_SECONDS.observe(time.perf_counter() - self.awaited[envelope_id].since)
        await send(self.layer, self._settle(socket, envelope_id), events.ack(self.channel, socket.number, result))
        return True

    def give_up(self, socket: Socket, envelope_id: str) -> None:
        """The socket will never ack this envelope: nobody has to wait for it."""
        if envelope_id in socket.awaited:
            post(self.layer, self._settle(socket, envelope_id), events.gone(self.channel, socket.number))

    async def drain(self, seconds: float) -> None:
        """Close all sockets, a hundred a second or spread over so many seconds, since all of them connect again; those
        that still have to ack something when they have, or when no publisher waits any longer.
        """
        self.draining = True
        loop = asyncio.get_running_loop()
        begin, all_of_them = loop.time(), [socket for user in self.users.values() for socket in user.sockets.values()]
        pause = min(seconds / len(all_of_them), SLOWEST) if all_of_them else 0
        busy = []
        for number, socket in enumerate(all_of_them):
            await asyncio.sleep(begin + pause * number - loop.time())
            if socket.awaited:
                busy.append(socket)
            else:
                await self._restart(socket)
        end = loop.time() + conf.ACK_TIMEOUT
        while any(socket.awaited for socket in busy) and loop.time() < end:  # noqa: ASYNC110  (no hot path)
            await asyncio.sleep(LOOK)
        for socket in busy:
            await self._restart(socket)

    async def _restart(self, socket: Socket) -> None:
        try:
            await socket.cut_off(CloseCode.RESTARTING)
        except Exception:  # of one must not keep the others from being told
            logger.exception("socket=%d could not be closed", socket.number)

    async def _start(self) -> None:
        async with self._starting:
            if not self.channel:
                self.channel = await listen(self.layer, self._take)
                if expiry := getattr(self.layer, "group_expiry", None):
                    self._renewer = asyncio.create_task(self._renew_groups(expiry / 3))

    async def _renew_groups(self, pause: float) -> None:
        """Layers of another make forget who has joined a group too long ago, a day by default."""
        while True:
            await asyncio.sleep(pause)
            for group in [events.PROCESSES, *(group for group, user in self.users.items() if user.joined)]:
                try:
                    await self.layer.group_add(group, self.channel)
                except AWAY as error:
                    logger.warning("membership of group %s could not be renewed: %r", group, error)

    async def _leave_if_last(self, group: str, user: _User) -> None:
        async with user.lock:
            if user.joined and not user.sockets:
                user.joined = False
                try:
                    await self.layer.group_discard(group, self.channel)
                except AWAY as error:
                    logger.warning("group %s could not be left: %r", group, error)
            if not user.sockets and self.users.get(group) is user:
                del self.users[group]

    def _take(self, event: events.Event) -> bool:
        try:
            self._handle(event)
        except Exception:  # nothing that one event holds may end the delivery of all others
            logger.exception("an event from the channel layer could not be handled")
        return False  # nobody waits

    def _handle(self, event: events.Event) -> None:
        if event["type"] == events.ENVELOPE:
            matched = self._fan_out(event)
            report = events.report(self.channel, len(matched))
            if "named" in event:
                report["sockets"] = list(matched)[:NAMED]
            post(self.layer, event["reply"], report)
        elif event["type"] == events.PROBE:
            post(self.layer, event["reply"], events.here(self.channel))
        elif event["type"] == events.SECRETS:
            self.secrets_changed.set()
        else:
            post(self.layer, event["reply"], events.answer(self.channel, self._answer(event)))

    def _answer(self, event: events.Event) -> Any:
        """What a question is answered with."""
        if event["type"] == events.REVOKED:
            store.revoke(event["kid"])
            opened = [socket for user in self.users.values() for socket in user.sockets.values()]
            return self._cut_off([socket for socket in opened if socket.kid == event["kid"]], CloseCode.SECRET_REVOKED)
        if event["type"] == events.SURVEY:
            users = {group: list(user.sockets.values()) for group, user in self.users.items() if user.sockets}
            return json.dumps(page.answer(self.channel, users, page.Look(**json.loads(event["look"]))))
        user = self.users.get(event["group"])
        sockets = list(user.sockets.values()) if user else []
        if event["type"] == events.DISCONNECT:
            if only := event.get("only"):
                sockets = [socket for socket in sockets if [self.channel, socket.number] == list(only)]
            return self._cut_off(sockets, event["code"], event["reason"])
        return [
            # As JSON, since browsers put lone surrogates into filters, which not everything can carry.
            [socket.number, socket.since, json.dumps(list(socket.filters)), len(socket.awaited)]
            for socket in sockets
        ]

    def _cut_off(self, sockets: list[Socket], code: int, reason: str = "") -> int:
        for socket in sockets:
            task = asyncio.create_task(socket.cut_off(code, reason))
            self._closing.add(task)  # the event loop keeps only weak references
            task.add_done_callback(self._closing.discard)
        return len(sockets)

    def _fan_out(self, event: events.Event) -> Collection[int]:
        """Hand the envelope to the sockets that match. Returns their numbers."""
        user = self.users.get(event["group"])
        if user is None or event["id"] in self.awaited:
            return ()
        envelope = Envelope(event["id"], event["text"])
        matched = {
            number: socket
            for number, socket in user.sockets.items()
            if len(socket.filters) and socket.filters.match(envelope.type, envelope.fields)
        }
        if matched:
            end = asyncio.get_running_loop().call_later(event["timeout"], self._forget, envelope.id)
            self.awaited[envelope.id] = _Awaited(event["reply"], matched, end, time.perf_counter())
            for socket in list(matched.values()):
                socket.awaited.add(envelope.id)
                socket.deliver(envelope)
            behind = [socket for socket in matched.values() if len(socket.awaited) > conf.MAX_AWAITED]
            self._cut_off(behind, CloseCode.TOO_MANY_UNACKED)
        return matched

    def _settle(self, socket: Socket, envelope_id: str) -> str:
        """Take down the one answer that a socket owes for an envelope. Returns the reply channel where it goes."""
        awaited = self.awaited[envelope_id]
        socket.awaited.discard(envelope_id)
        del awaited.sockets[socket.number]
        if not awaited.sockets:
            awaited.end.cancel()
            del self.awaited[envelope_id]
        return awaited.reply

    def _forget(self, envelope_id: str) -> None:
        """The publisher has stopped waiting: acks are late from now on."""
        for socket in self.awaited.pop(envelope_id).sockets.values():
            socket.awaited.discard(envelope_id)


_of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Sockets] = WeakKeyDictionary()


def sockets() -> Sockets:
    """The sockets of the running event loop."""
    loop, layer = asyncio.get_running_loop(), channel_layer()
    found = _of_loop.get(loop)
    if found is None or found.layer is not layer:
        found = _of_loop[loop] = Sockets(layer)
    return found
