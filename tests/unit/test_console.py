"""What the live console makes of the answers of many processes, without any of them."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime import events, metrics
from realtime.console import page, survey
from realtime.console.numbers import Counts, Meter, counts, percentile
from realtime.filters import Filters

BUCKETS = len(metrics.SECONDS) + 1


@dataclass
class FakeSocket:
    user: str
    number: int
    since: float
    awaited: set[str]
    filters: Filters = field(default_factory=Filters)


def processes(sockets: list[tuple[str, int, float, int]]) -> dict[str, dict[str, list[Any]]]:
    """The sockets of each process by group, of (user, process, since, unacked)."""
    found: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for number, (user, process, since, unacked) in enumerate(sockets):
        socket = FakeSocket(user, number, since, {str(one) for one in range(unacked)})
        found[f"process {process}"][events.group_name(user)].append(socket)
    return found


def see(found: dict[str, dict[str, list[Any]]], look: page.Look) -> survey.View:
    async def ask_all(group: str, question: events.Event) -> tuple[list[tuple[str, str]], int]:
        assert group == events.PROCESSES
        asked = page.Look(**json.loads(question["look"]))
        return [(process, json.dumps(page.answer(process, users, asked))) for process, users in found.items()], 0

    with (
        mock.patch.object(survey, "ask_all", ask_all),
        mock.patch.object(page, "SIZE", 3),
        mock.patch.object(survey, "SIZE", 3),
    ):
        return asyncio.run(survey.survey(look))[0]


users = st.sampled_from(["ann", "Ann", "bob", "\ud800", "eve", "élodie", "zoé", "x" * 20, "a\x00b"])
connected = st.lists(st.tuples(users, st.integers(0, 2), st.integers(0, 5).map(float), st.integers(0, 3)), max_size=25)


@given(connected, st.sampled_from(["user", "newest", "unacked"]), st.sampled_from(["", "AN", "é", "none"]))
def test_all_pages_together_hold_each_user_once_in_order_with_all_of_its_sockets(
    sockets: list[tuple[str, int, float, int]], order: str, query: str
) -> None:
    found, rows, look = processes(sockets), [], page.Look(query, order)
    while True:
        view = see(found, look)
        rows += view["rows"]
        if view["after"] is None:
            break
        look = page.Look(query, order, view["after"])
    of = defaultdict(list)
    for user, _, since, unacked in sockets:
        if query.casefold() in user.casefold():
            of[user].append((since, unacked))
    by_order: dict[str, dict[str, float]] = {
        "user": dict.fromkeys(of, 0.0),
        "newest": {user: -max(since for since, _ in held) for user, held in of.items()},
        "unacked": {user: -max(unacked for _, unacked in held) for user, held in of.items()},
    }
    numbers = by_order[order]
    assert [row["user"] for row in rows] == sorted(of, key=lambda user: (numbers[user], user))
    for row in rows:
        held = of[row["user"]]
        assert (row["sockets"], row["since"]) == (len(held), min(since for since, _ in held))
        assert row["unacked"] == sum(unacked for _, unacked in held)
    assert view["matched"] == sum(map(len, of.values()))
    assert view["sockets"] == len(sockets)


@given(connected)
def test_all_pages_of_a_users_sockets_hold_each_once_the_oldest_first(
    sockets: list[tuple[str, int, float, int]],
) -> None:
    found, shown, after = processes(sockets), [], None
    while True:
        chosen = see(found, page.Look(user="ann", sockets_after=after))["chosen"]
        assert chosen is not None
        shown += [(socket["since"], socket["process"], socket["number"]) for socket in chosen["sockets"]]
        after = chosen["after"]
        if after is None:
            break
    held = [(since, f"process {process}", n) for n, (user, process, since, _) in enumerate(sockets) if user == "ann"]
    assert shown == sorted(held)
    assert chosen["count"] == len(held)


def test_a_socket_with_very_many_filters_shows_the_first_and_their_number() -> None:
    socket = FakeSocket("ann", 1, 0.0, set())
    for number in range(100):
        socket.filters.add({"type": str(number)})
    [row] = page.socket_rows("p", [socket], None)  # type: ignore[list-item]
    assert (len(row["filters"]), row["count"]) == (page.FILTERS, 100)


@pytest.mark.parametrize(
    ("buckets", "median"),
    [
        ([0] * BUCKETS, None),
        ([10] * BUCKETS, 0.0005),  # all within the first millisecond
        ([0, *[10] * (BUCKETS - 1)], (0.001 + 0.0025) / 2),
        ([0] * (BUCKETS - 1) + [10], metrics.SECONDS[-1]),  # beyond the last bound
    ],
)
def test_a_median_lies_within_its_bucket(buckets: list[float], median: float | None) -> None:
    assert percentile(0.5, buckets) == (None if median is None else pytest.approx(median))


def counted(publishes: float, acks: float) -> Counts:
    return Counts(outcomes=[publishes, 0, 0], connects=0, delivery=[publishes] * BUCKETS, ack=[acks] * BUCKETS)


def test_rates_are_those_of_the_processes_that_were_there_before_too() -> None:
    """A process that is new, or has come back with its counters at zero, has another name."""
    meter = Meter()
    assert meter.read(10.0, {"one": counted(5, 5)}) is None
    rates = meter.read(12.0, {"one": counted(9, 25), "new": counted(1000, 1000)})
    assert rates is not None
    assert (rates["publishes"], rates["acks"]) == (2, 10)
    assert rates["delivery"][0] == pytest.approx(0.0005)
    rates = meter.read(13.0, {"new": counted(1000, 1000)})
    assert rates is not None
    assert (rates["publishes"], rates["delivery"]) == (0, [None, None])


def test_what_this_process_has_counted_is_what_prometheus_gets() -> None:
    before = counts()
    metrics.DELIVERED.inc()
    metrics.DELIVERY_SECONDS.observe(0.002)
    after = counts()
    gained = [new - old for old, new in zip(before["delivery"], after["delivery"], strict=True)]
    assert after["outcomes"][0] - before["outcomes"][0] == 1
    assert gained == [0, *[1] * (BUCKETS - 1)]
