"""Whose code a sample is of."""

from __future__ import annotations

import os
import subprocess
import sys
from subprocess import PIPE

import pytest

from benchmarks.profile import REST, arguments, busiest, by_part, part
from tests.servers import ROOT


def test_a_sample_is_of_the_innermost_code_that_somebody_owns() -> None:
    loop = ["run (asyncio/runners.py:1)", "deliver (realtime/delivery.py:131)"]
    assert part(loop) == "the delivery and its envelope"
    assert part([*loop, "dumps (json/__init__.py:2)"]) == "the delivery and its envelope"
    assert part([*loop, "publish (realtime/redishost.py:9)", "pack (redis/connection.py:3)"]) == "channel layer, Redis"
    assert part(["run (asyncio/runners.py:1)"]) == REST


def test_shares_are_of_what_was_not_a_thread_that_waits() -> None:
    lines = [
        "a (twisted/web/http.py:1) 3",
        "b (autobahn/websocket/protocol.py:1);c (struct.py:1) 1",
        "d (threading.py:1);_worker (concurrent/futures/thread.py:81) 400",
    ]
    assert by_part(lines) == {"HTTP: Twisted, Daphne": 0.75, "WebSocket: autobahn, Daphne, ours": 0.25}


def test_the_process_that_works_is_sampled() -> None:
    """Not the one that has started it."""
    work = "import time\nwhile time.process_time() < 0.1: pass\nprint('done', flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", work], stdin=PIPE, stdout=PIPE) as other:
        assert other.stdout is not None
        with busiest([os.getpid(), other.pid]) as pid:
            assert other.stdout.readline() == b"done\n"
        other.kill()
    assert pid() == other.pid


@pytest.mark.parametrize(
    ("server", "work", "reason"),
    [
        ("socketio", "acked-16", "Socket.IO, in memory: only servers in Python are sampled"),
        ("view", "acked-16", "an empty Django view on ours: it takes no part in acked-16"),
    ],
)
def test_what_cannot_be_sampled_is_refused(
    server: str, work: str, reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["profile", server, work])
    with pytest.raises(SystemExit):
        arguments()
    assert f"error: {reason}\n" in capsys.readouterr().err


def test_a_server_under_load_is_sampled() -> None:
    command = [sys.executable, "-m", "benchmarks.profile", "local", "acked-16", "--seconds", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "| HTTP: Twisted, Daphne" in done.stdout
    assert "| the delivery and its envelope" in done.stdout
