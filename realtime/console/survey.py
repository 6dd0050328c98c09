"""One look at all processes: each is asked, and their pages become one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain
from typing import Any, TypedDict

from .. import events
from ..control import ask_all
from .numbers import Counts
from .page import SIZE, Answer, Cursor, Look, Row, SocketRow, key, socket_key


class Process(TypedDict):
    """A process that lets sockets in."""

    process: str  # its name in the channel layer
    name: str  # its host and its pid
    sockets: int


class Chosen(TypedDict):
    """The sockets of the chosen user, a page of them."""

    user: str
    count: int  # on all pages
    sockets: list[SocketRow]
    after: Cursor | None  # the cursor of the next page; None: there is none


class View(TypedDict):
    """What an operator sees."""

    processes: list[Process]  # in the order of their names
    silent: int  # processes that have not answered within REPORT_TIMEOUT, whose sockets are not seen
    sockets: int
    users: int | None  # None: there are several processes, which may have the same users
    matched: int  # sockets of the users on all pages
    rows: list[Row]
    after: Cursor | None
    chosen: Chosen | None


async def survey(look: Look) -> tuple[View, dict[str, Counts]]:
    """What there is to see, and what each process has counted. Raises LayerUnavailable."""
    answers, silent = await _ask(look)
    rows = _merged(answers.values(), look.order)
    after = key(rows[SIZE - 1], look.order) if len(rows) > SIZE else None
    rows = rows[:SIZE]
    if len(answers) > 1 and look.order != "user" and rows:
        # Who comes first in one process need not in another, which has not told all that it has of them.
        whole, _ = await _ask(replace(look, only=[row["user"] for row in rows]))
        rows = _merged(whole.values(), look.order)
        if look.after is not None:  # a user may come in one process behind the place where another has it
            rows = [row for row in rows if key(row, look.order) > look.after]
    return View(
        processes=sorted(
            (
                Process(process=process, name=answer["name"], sockets=answer["sockets"])
                for process, answer in answers.items()
            ),
            key=lambda process: process["name"],
        ),
        silent=silent,
        sockets=sum(answer["sockets"] for answer in answers.values()),
        users=next(iter(answers.values()))["users"] if len(answers) == 1 else None,
        matched=sum(answer["matched"] for answer in answers.values()),
        rows=rows,
        after=after,
        chosen=_chosen(look.user, answers.values()) if look.user else None,
    ), {process: answer["counts"] for process, answer in answers.items()}


async def _ask(look: Look) -> tuple[dict[str, Answer], int]:
    answers, silent = await ask_all(events.PROCESSES, events.survey(look.dump()))
    return {process: json.loads(text) for process, text in answers}, silent


def _merged(answers: Iterable[Answer], order: str) -> list[Row]:
    """The rows of all processes, those of one user made one, in order."""
    merged: dict[str, Row] = {}
    for row in chain.from_iterable(answer["rows"] for answer in answers):
        known = merged.get(row["user"])
        merged[row["user"]] = row if known is None else _joined(known, row)
    return sorted(merged.values(), key=lambda row: key(row, order))


def _joined(one: Row, other: Row) -> Row:
    return Row(
        user=one["user"],
        sockets=one["sockets"] + other["sockets"],
        since=min(one["since"], other["since"]),
        newest=max(one["newest"], other["newest"]),
        unacked=one["unacked"] + other["unacked"],
        most=max(one["most"], other["most"]),
        processes=one["processes"] + other["processes"],
    )


def _chosen(user: str, answers: Iterable[Answer]) -> Chosen:
    found: list[Any] = sorted(chain.from_iterable(answer["chosen"] for answer in answers), key=socket_key)
    return Chosen(
        user=user,
        count=sum(answer["chosen_count"] for answer in answers),
        sockets=found[:SIZE],
        after=socket_key(found[SIZE - 1]) if len(found) > SIZE else None,
    )
