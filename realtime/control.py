"""Questions to the processes that hold sockets: which are a user's, and please close them. No table knows them."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from . import events
from .background import background, refuse_async_code
from .channellayer import ReplyChannel, away_is_unavailable, channel_layer
from .conf import conf
from .protocol import LONGEST_REASON, CloseCode
from .users import User, auser_id, user_id

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Connection:
    """An open socket of a user."""

    process: str
    """The process that holds it, by its name in the channel layer."""
    number: int
    """Its number there."""
    since: datetime
    """When it connected, in UTC."""
    filters: tuple[dict[str, str], ...]
    awaited: int
    """The envelopes that it has been sent and still has to ack."""


class Closed(NamedTuple):
    """How many processes have been asked to close sockets and did, and how many sockets these were."""

    processes: int
    sockets: int


async def aconnections(user: User) -> list[Connection]:
    """The open sockets of a user in all processes, the oldest first. Raises LayerUnavailable.

    A process that does not answer within REPORT_TIMEOUT is left out, and logged.
    """
    return await _connections(await auser_id(user))


def connections(user: User) -> list[Connection]:
    """`aconnections` for code that is not async."""
    refuse_async_code("aconnections")
    return background.run(_connections, user_id(user))


async def _connections(user: str) -> list[Connection]:
    group = events.group_name(user)
    answers = await ask(group, events.connections(group))
    found = [
        Connection(process, number, datetime.fromtimestamp(since, UTC), tuple(json.loads(filters)), awaited)
        for process, sockets in answers
        for number, since, filters, awaited in sockets
    ]
    return sorted(found, key=lambda connection: connection.since)


async def adisconnect(
    user: User, code: int = CloseCode.DISCONNECTED, reason: str = "", *, only: Connection | None = None
) -> int:
    """Close the sockets of a user in all processes, or `only` one of `connections(user)`. Returns how many they were.

    Clients connect again unless the code tells them not to, as the default does (docs/protocol.md). `code` is 1000 or
    3000 to 4999, `reason` at most 123 bytes (RFC 6455), else ValueError. Only some servers can send a reason. Raises
    LayerUnavailable.
    """
    return await _disconnect(await auser_id(user), code, reason, only)


def disconnect(
    user: User, code: int = CloseCode.DISCONNECTED, reason: str = "", *, only: Connection | None = None
) -> int:
    """`adisconnect` for code that is not async."""
    refuse_async_code("adisconnect")
    return background.run(_disconnect, user_id(user), code, reason, only)


async def _disconnect(user: str, code: int, reason: str, only: Connection | None) -> int:
    if code != 1000 and not 3000 <= code <= 4999:
        raise ValueError(f"{code} is no close code that an application may send: 1000 or 3000 to 4999")
    if len(reason.encode()) > LONGEST_REASON:
        raise ValueError(f"a close reason has at most {LONGEST_REASON} bytes")
    group = events.group_name(user)
    one = None if only is None else (only.process, only.number)
    return sum(closed for _, closed in await ask(group, events.disconnect(group, int(code), reason, one)))


def close_sockets_of_secret(kid: str) -> Closed:
    """Close the sockets that tokens of a secret have opened, in all processes, which forget the secret at once.

    Raises LayerUnavailable.
    """
    refuse_async_code("sync_to_async(close_sockets_of_secret)")
    answers = background.run(ask, events.PROCESSES, events.revoked(kid))
    return Closed(len(answers), sum(closed for _, closed in answers))


def announce_secrets() -> None:
    """Tell all processes that the secrets have changed. Those that can't be told will see for themselves."""
    try:
        background.run(_announce_secrets)
    except Exception as error:
        logger.warning("the other processes could not be told of changed JWT secrets: %r", error)


async def _announce_secrets() -> None:
    await channel_layer().group_send(events.PROCESSES, events.secrets())


async def ask(group: str, question: events.Event) -> list[tuple[str, Any]]:
    """The name of each process that is in the group, and what it answers. Raises LayerUnavailable.

    A process that does not answer within REPORT_TIMEOUT is left out, and logged.
    """
    answers, silent = await ask_all(group, question)
    if silent:
        logger.warning("%d of %d processes did not answer", silent, silent + len(answers))
    return answers


async def ask_all(group: str, question: events.Event) -> tuple[list[tuple[str, Any]], int]:
    """The same, and how many processes have not answered."""
    layer = channel_layer()
    answers: list[tuple[str, Any]] = []
    expected = math.inf

    def take(event: events.Event) -> bool:
        answers.append((event["process"], event["value"]))
        return len(answers) >= expected

    with away_is_unavailable():
        async with ReplyChannel(layer, take) as reply:
            reached = await layer.group_send(group, {**question, "reply": reply.name})
            expected = math.inf if reached is None else reached
            if len(answers) < expected:
                patience = conf.SETTLE_TIME if reached is None else conf.REPORT_TIMEOUT
                await reply.inbox.wait(asyncio.get_running_loop().time() + patience)
    return answers, 0 if reached is None else max(reached - len(answers), 0)
