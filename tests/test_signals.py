"""Django signals of what happens, and receivers that must not matter to delivery."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from threading import Event
from typing import Any
from uuid import uuid4

import pytest
from django.dispatch import Signal

from realtime import signals

from .clients import NOBODY, PATIENCE, Service, answered, service_of
from .servers import daphne, environment, migrate


@pytest.fixture
def events(tmp_path: Path) -> Path:
    return tmp_path / "events"


@pytest.fixture
async def service(tmp_path: Path, events: Path) -> AsyncIterator[Service]:
    env = environment(
        DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3",
        DJANGO_SETTINGS_MODULE="tests.sites.people_settings",
        REALTIME_ACK_TIMEOUT="1",
        REALTIME_MAX_FILTERS="3",
        EVENTS=str(events),
    )
    migrate(env)
    with daphne(env, "tests.sites.people:application") as server:
        async with service_of([server], 403) as service:
            yield service


def lines_of(events: Path) -> list[str]:
    return events.read_text().splitlines() if events.exists() else []


async def written(events: Path, count: int) -> list[dict[str, Any]]:
    """The events, once there are so many."""
    async with asyncio.timeout(PATIENCE):
        while True:
            lines = lines_of(events)
            if len(lines) >= count:
                return [json.loads(line) for line in lines]
            await asyncio.sleep(0.01)


async def test_receivers_hear_of_sockets_and_envelopes_in_order(service: Service, events: Path) -> None:
    user = str(uuid4())
    async with service.connect(user, {"type": "t"}) as socket:
        envelope = await service.deliver(socket, user, "t", result='{"seen":1}')
    first, second, third = await written(events, 3)
    assert [first.pop("signal"), second.pop("signal"), third.pop("signal")] == [
        "connected",
        "delivered",
        "disconnected",
    ]
    where = {"user": user, "process": first["process"], "number": first["number"], "users": 0}
    assert first == where
    assert third == {**where, "code": 1000}
    assert second == {
        "user": user,
        "users": 0,
        "type": "t",
        "envelope_id": envelope.id,
        "client_count": 1,
        "results": [{"seen": 1}],
        "timed_out": False,
    }
    assert await service.publish("nobody", "t") == NOBODY
    assert (await written(events, 4))[3]["client_count"] == 0


async def test_a_receiver_that_fails_or_blocks_holds_up_nothing_but_receivers(service: Service, events: Path) -> None:
    user = str(uuid4())
    async with service.connect(user, {"type": "fail"}, {"type": "block"}, {"type": "t"}) as socket:
        for type in ("fail", "block", "t", "t"):
            await service.deliver(socket, user, type)
        async with service.connect(user) as another:
            await another.settle()
        assert len(await written(events, 2)) == 2, "those behind the one that blocks wait for it"
        events.with_suffix(".release").touch()
        seen = [event["signal"] for event in await written(events, 7)]
        assert seen == ["connected", *["delivered"] * 4, "connected", "disconnected"]
    assert "a receiver of the product's" in service.servers[0].log


@pytest.mark.parametrize("failure", [SystemExit, asyncio.CancelledError])
def test_no_receiver_can_end_the_signals_of_a_process(
    caplog: pytest.LogCaptureFixture, failure: type[BaseException]
) -> None:
    courier, signal, heard = signals.Courier(), Signal(), Event()

    def fails_once(number: int, **_: Any) -> None:
        if number == 1:
            raise failure
        heard.set()

    signal.connect(fails_once)
    for number in (1, 2):
        courier.send(signal, number=number)
    assert heard.wait(PATIENCE)
    courier.stop()
    assert "a receiver of a signal has failed" in caplog.text


@pytest.mark.parametrize("end", ["leave", "drop", "cut off", "refused"])
async def test_each_connected_socket_is_disconnected_once_however_it_ends(
    service: Service, events: Path, end: str
) -> None:
    user = str(uuid4())
    if end == "refused":
        assert await service.status("socket") == 403
    async with service.connect(user) as socket:
        if end == "drop":
            await socket.abort()
        elif end == "cut off":
            filters = [{"type": str(number)} for number in range(4)]
            await socket.say(type="subscribe", filters=filters)
            await socket.connection.wait_closed()
    found = await written(events, 2)
    assert [event["signal"] for event in found] == ["connected", "disconnected"]
    assert found[1]["code"] == {"leave": 1000, "drop": 1006, "cut off": 4501, "refused": 1000}[end]
    async with service.connect(user):
        assert len(await written(events, 3)) == 3


async def test_an_envelope_that_nobody_acked_timed_out(service: Service, events: Path) -> None:
    user = str(uuid4())
    async with service.connect(user, {"type": "t"}):
        assert await service.publish(user, "t") == answered(1)
    found = {event["signal"]: event for event in await written(events, 3)}
    assert (found["delivered"]["timed_out"], found["delivered"]["results"]) == (True, [])


def test_more_than_can_wait_is_dropped_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    courier = signals.Courier()
    courier._thread = object()  # type: ignore[assignment]  # nobody takes anything
    for _ in range(signals.WAITING + 10):
        courier.send(signals.socket_connected)
    assert courier._waiting.qsize() == signals.WAITING
    assert caplog.text.count("dropped") == 1
