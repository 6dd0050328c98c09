"""What one process answers when an operator looks: one page of its users, and the sockets of the one that is chosen.

Pages go by the last row of the page before (a cursor), so that a page costs the same wherever it is, and those of many
processes can be merged.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from heapq import nsmallest
from itertools import islice
from socket import gethostname
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from .. import events
from .numbers import Counts, counts

if TYPE_CHECKING:
    from ..sockets import Socket

SIZE = 50  # rows of a page
FILTERS = 20  # of a socket are shown

Item = TypeVar("Item")
Cursor = list[Any]  # what the rows are ordered by, of one row

ORDERS: dict[str, Callable[[Sequence[Socket]], Any]] = {
    "user": lambda sockets: 0,
    "newest": lambda sockets: -max(socket.since for socket in sockets),
    "unacked": lambda sockets: -max(len(socket.awaited) for socket in sockets),
}
"""By which number users are ordered, the smallest first, before their user id. It is found in one process, so that the
first of all processes are among the first of each."""


class Row(TypedDict):
    """A user, with the sockets of one process or, merged, of all."""

    user: str
    sockets: int
    since: float  # when the oldest connected, in seconds since the epoch
    newest: float
    unacked: int  # envelopes, of all sockets
    most: int  # of one socket
    processes: int


class SocketRow(TypedDict):
    """A socket of the chosen user."""

    process: str
    number: int
    since: float  # seconds since the epoch
    filters: list[dict[str, str]]  # the first of them
    count: int  # of filters
    unacked: int


@dataclass(frozen=True, slots=True)
class Look:
    """What an operator looks at. The cursors are the last rows of the pages before, None for the first page."""

    query: str = ""  # part of a user id, in any case
    order: str = "user"
    after: Cursor | None = None
    user: str = ""  # the chosen one
    sockets_after: Cursor | None = None
    only: list[str] | None = None  # rows of these users, and nothing else

    def dump(self) -> str:
        """As JSON, which holds whatever a user id holds."""
        return json.dumps(asdict(self))


class Answer(TypedDict):
    """What a process has of it."""

    name: str  # of the process, for people: its host and its pid
    sockets: int  # in all
    users: int
    matched: int  # sockets of users whose id holds the query
    rows: list[Row]
    chosen: list[SocketRow]
    chosen_count: int  # sockets of the chosen user, on all pages
    counts: Counts


def answer(process: str, users: Mapping[str, Sequence[Socket]], look: Look) -> Answer:
    """`users` are the sockets of this process by their user's group; none is without sockets."""
    if look.only is not None:
        groups = [group for group in map(events.group_name, look.only) if group in users]
        found, matched = [row(users[group]) for group in groups], 0
    else:
        found, matched = rows(users.values(), look)
    chosen = users.get(events.group_name(look.user), ()) if look.user else ()
    return Answer(
        name=f"{gethostname()}:{os.getpid()}",
        sockets=sum(map(len, users.values())),
        users=len(users),
        matched=matched,
        rows=found,
        chosen=socket_rows(process, chosen, look.sockets_after),
        chosen_count=len(chosen),
        counts=counts(),
    )


def key(row: Row, order: str) -> Cursor:
    """What users are ordered by."""
    number = {"user": 0, "newest": -row["newest"], "unacked": -row["most"]}[order]
    return [number, row["user"]]


def socket_key(row: SocketRow) -> Cursor:
    """What the sockets of a user are ordered by: the oldest first."""
    return [row["since"], row["process"], row["number"]]


def rows(users: Iterable[Sequence[Socket]], look: Look) -> tuple[list[Row], int]:
    """The users of the page and one more, if there is one; and how many sockets there are on all pages."""
    query, number = look.query.casefold(), ORDERS[look.order]
    found = [sockets for sockets in users if query in sockets[0].user.casefold()]
    first = _first((([number(one), one[0].user], one) for one in found), look.after)
    return [row(sockets) for sockets in first], sum(map(len, found))


def row(sockets: Sequence[Socket]) -> Row:
    """The sockets of one user in this process."""
    unacked = [len(socket.awaited) for socket in sockets]
    since = [socket.since for socket in sockets]
    return Row(
        user=sockets[0].user,
        sockets=len(sockets),
        since=min(since),
        newest=max(since),
        unacked=sum(unacked),
        most=max(unacked),
        processes=1,
    )


def socket_rows(process: str, sockets: Iterable[Socket], after: Cursor | None) -> list[SocketRow]:
    """The sockets of the page and one more, if there is one."""
    return [
        SocketRow(
            process=process,
            number=socket.number,
            since=socket.since,
            filters=list(islice(socket.filters, FILTERS)),
            count=len(socket.filters),
            unacked=len(socket.awaited),
        )
        for socket in _first((([one.since, process, one.number], one) for one in sockets), after)
    ]


def _first(keyed: Iterable[tuple[Cursor, Item]], after: Cursor | None) -> list[Item]:
    """Of pairs of what is ordered by and an item: the items of the page behind a cursor, and one more."""
    behind = (pair for pair in keyed if after is None or pair[0] > after)
    return [item for _, item in nsmallest(SIZE + 1, behind, key=lambda pair: pair[0])]
