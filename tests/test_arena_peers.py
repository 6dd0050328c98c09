"""Who is compared in the benchmarks: each contender delivers exactly, through its own server, in its own dialect."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
import uvloop

from benchmarks.cores import HOG, Cores, Hog, time_waited
from benchmarks.load import Alarm, Door, Load, User, close_clients, nothing, open_clients, open_publishers, publish
from benchmarks.servers import CONTENDERS, Contender, Running, started
from benchmarks.works import CROWD, NOBODY
from tests.clients import sign, token
from tests.servers import ROOT, unable, valkey

(HALF,) = (contender for contender in CONTENDERS if contender.one_of_two)

pytestmark = pytest.mark.xdist_group("arena")


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with valkey() as server:
        yield server.connection_url


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda contender: contender.name)
def test_a_contender_answers_exactly(contender: Contender, redis_url: str) -> None:
    """Users with one socket, ten and none get their envelopes, and the publishers exactly the acks; what no socket has
    subscribed to reaches none, and a publisher with a forged token nobody.
    """
    if reason := contender.why_missing():
        unable(reason)
    with started(contender, redis_url, None, {**CROWD.textbook, **NOBODY.textbook}) as server:
        uvloop.run(deliver(server, (0,) if contender.read is nothing else (1, 10, 0)))


async def deliver(server: Running, sockets: tuple[int, ...]) -> None:
    """To users with so many sockets, by a publisher of each process."""
    alarm = Alarm()
    users = [User.make(server.door, f"user-{number}", number, alarm) for number in sockets]
    await open_clients(users, alarm)
    publishers = await open_publishers(server.door, server.contender.processes)
    for publisher in publishers:
        await Load(users, [publisher], alarm).run(0.05)
        for user in users:
            await publish(publisher, user)
        publisher.close()
    if server.contender.read is not nothing:
        url = f"http://127.0.0.1:{server.door.publisher_port(0)}/publish"
        other = {"userId": "user-1", "type": "of no filter"}
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(url, json=other, headers={"Authorization": f"Bearer {token('a publisher')}"})
            assert answer.json() == {"clientCount": 0, "results": []}
            forged = sign({"userId": "a publisher"}, secret="another secret " * 4)
            answer = await client.post(url, json=other, headers={"Authorization": f"Bearer {forged}"})
            assert answer.status_code == 401
    await close_clients(users)


def test_two_processes_are_met_in_all_pairs() -> None:
    """A publisher reaches as many sockets on its own process as on the other, whoever publishes to whom in step."""
    door = Door([1, 2])
    pairs = Counter((door.publisher_port(number), door.socket_port()) for number in range(64))
    assert pairs == {(one, two): 16 for one in (1, 2) for two in (1, 2)}


def test_a_server_with_half_a_core_shares_it_only_in_its_turn() -> None:
    """The hog eats in the turn of its server, and stops with it; the meter of the server does not count it."""
    core = min(os.sched_getaffinity(0))
    with started(HALF, "", Cores(core, core, core)) as server:
        (hog,) = [child for child in psutil.Process().children() if child.cmdline()[-1] == HOG]
        assert hog.pid not in server.meter.pids
        with server.turn():
            wait_until(lambda: hog.status() == psutil.STATUS_RUNNING)
        wait_until(lambda: hog.status() == psutil.STATUS_STOPPED)
    assert not hog.is_running()


def test_the_time_in_which_somebody_else_has_the_core_counts_as_busy() -> None:
    """By its own CPU time a load generator that is kept from its core looks idle."""
    cores, before = os.sched_getaffinity(0), time_waited()
    hog = Hog(core := min(cores))
    os.sched_setaffinity(0, {core})
    try:
        with hog.eating():
            end = time.monotonic() + 10
            while time_waited() < before + 0.05:
                assert time.monotonic() < end
    finally:
        os.sched_setaffinity(0, cores)
        hog.end()


def test_a_peer_that_cannot_be_installed_is_said_to_be_missing(tmp_path: Path) -> None:
    """Without Node the run goes on, and tells what it could not measure and why, in its tables and in its file."""
    file = tmp_path / "found.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "nobody", "socketio", "--json", str(file)]
    env = {**os.environ, "PATH": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Missing: Socket.IO, in memory: node is not installed" in done.stdout
    assert json.loads(file.read_text())["missing"] == {"socketio": "node is not installed"}


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
