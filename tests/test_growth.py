"""How cost grows: the arithmetic, and the command, too briefly to judge by."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.bench import Bench
from benchmarks.figures import Spent, Window
from benchmarks.growth import __main__ as command
from benchmarks.growth.crowds import Crowd, Outage, Step
from benchmarks.growth.hosts import Taken
from benchmarks.growth.model import Line, Model, predicted
from benchmarks.growth.plan import FULL, HOSTS, PROCESSES, PUBLISHERS, SOCKETS, USERS
from benchmarks.growth.points import Point, Sample, key, points
from benchmarks.growth.report import Report
from benchmarks.progress import Progress
from benchmarks.servers import REDIS, SOCKETIO_REDIS, Contender, Meter
from benchmarks.wire import Wrong

from .servers import ROOT


def window(cpu_ms: float, busy: float = 0.5) -> Window:
    """Of 1,000 publishes in a second."""
    spent = Spent(1.0, server_cpu=cpu_ms, redis_cpu=0.0, generator_busy=busy, resident=0)
    return Window.of(spent, [0.001] * 1000)


def measured(factor: str, size: int, cpu_ms: float, *commands: int, busy: float = 0.5) -> Point:
    """Each Redis host takes 0.02 ms for a command."""
    (found,) = [point for point in points(factor, FULL, [REDIS]) if point.size == size]
    hosts = [Taken(count * 0.02 / 1000, count) for count in commands or (1000,)]
    return replace(found, samples=[Sample(window(cpu_ms, busy), hosts)])


def step(size: int) -> Step:
    """10 KB and 200 bytes in Redis for each socket, 0.001 cores and 0.000002 for each to be idle, 0.3 ms to connect."""
    idle = Spent(10.0, 10 * (0.001 + size * 2e-6), 0.0, 0.1, 0)
    return Step(size, 10 * 1024 * size, 200 * size, window(0.3), idle, [window(0.2)])


def report() -> Report:
    """A publish takes 0.1 ms, 0.02 for each socket and 0.08 for another process, and 2 commands if it reaches one."""
    outage = Outage(1000, Spent(0.1, 0.03, 0.0, 0.1, 0), Taken(0.002, 0))
    crowd = Crowd(REDIS, 100 * 2**20, [step(size) for size in FULL.sizes[USERS]], outage)
    spread = [measured(PROCESSES, size, 0.12 + 0.08 * (1 - 1 / size), int(1000 * (2 - 1 / size))) for size in (1, 2, 4)]
    crowded = [measured(SOCKETS, size, 0.3 + 0.02 * size) for size in FULL.sizes[SOCKETS]]
    return Report(FULL, [crowd], {SOCKETS: crowded, PROCESSES: spread})


def made() -> Model:
    found = report().model
    assert found is not None
    return found


def test_a_line_is_that_of_least_squares_and_says_how_far_off_it_is() -> None:
    assert Line.through([(0, 1.0), (1, 3.0), (2, 5.0)]) == pytest.approx((1, 2, 0))
    assert Line.through([(0, 1.0), (1, 1.0), (2, 4.0)]) == pytest.approx((0.5, 1.5, 1.0))
    assert Line.through([(1, 1.0), (2, 2.0), (100, 400.0)], relative=True).off < 0.9
    assert Line.through([(4, 2.0)]) == (0, 0.5, 0)
    assert Line.through([(0, 2.0)]) == (2, 0, 0)


def test_the_model_finds_what_the_figures_were_made_of() -> None:
    found = made()
    assert (found.publish_ms, found.sockets.slope, found.processes.slope) == pytest.approx((0.1, 0.02, 0.08))
    assert found.commands[:2] == pytest.approx((1, 1))
    assert found.command_ms == pytest.approx(0.02)
    assert (found.memory_mb, found.socket_kb, found.subscription_bytes) == pytest.approx((100, 10, 200))
    assert found.idle == pytest.approx((0.001, 2e-6, 0), abs=1e-9)
    assert (found.connect_ms, found.again_us) == pytest.approx((0.3, 2))


def test_what_is_predicted_for_a_hundred_times_as_much() -> None:
    """A million sockets and 100,000 publishes a second: 20 cores of publishes, 2 of pings, 4 of Redis."""
    found = {each.what: each.value for each in predicted(made(), 1_000_000, 100_000)}
    assert found["cores for publishes"] == pytest.approx(20)
    assert found["cores for pings"] == pytest.approx(2)
    assert found["processes"] == 37  # 22 / 0.6
    assert found["GB of all processes"] == pytest.approx((37 * 100 * 2**20 + 1e6 * 10 * 1024) / 1e9)
    assert found["PUBLISH/s"] == pytest.approx(200_000)
    assert found["Redis hosts"] == 7  # 4 / 0.6
    assert found["PUBLISH/s of a host, each to one process"] == pytest.approx(200_000 / 7)
    assert found["s until each process is through with a command of them"] == pytest.approx(37 * 1000 * 2e-6)
    assert found["MB of a host for them"] == pytest.approx(1e6 / 7 * 200 / 1e6)
    assert found["s of a host's core to take them again"] == pytest.approx(1e6 / 7 * 2e-6)
    assert found["s of a process's core to let its sockets in"] == pytest.approx(1e6 / 37 * 0.3 / 1000)


def test_a_process_is_not_predicted_more_sockets_than_it_takes() -> None:
    found = {each.what: each.value for each in predicted(made(), 1_000_000, 1)}
    assert (found["processes"], found["sockets of a process"]) == (20, 50_000)
    assert found["addresses of nginx, or of each process"] == 2


def test_a_point_sums_over_its_windows_and_says_which_host_had_most() -> None:
    point = measured(HOSTS, 2, 0.2, 1000, 500)
    point.samples.append(Sample(window(0.4), [Taken(0.02, 500), Taken(0.01, 0)]))
    assert point.commands == 1
    assert point.busiest == 0.75
    assert point.redis_ms == pytest.approx(1000 * 0.06 / 2000)
    assert point.median("cpu_ms") == pytest.approx(0.3)


def test_points_differ_from_the_base_in_one_factor() -> None:
    """Peers are asked only for what they can tell something about; what differs in the load only shares a server."""
    by = {factor: list(points(factor, FULL, [REDIS, SOCKETIO_REDIS])) for factor in FULL.sizes}
    assert by[USERS] == []
    assert {point.contender.name for point in by[SOCKETS]} == {"redis", "socketio-redis"}
    ours = [point for found in by.values() for point in found if point.contender.name == "redis"]
    assert {key(point)[1:] for point in ours} == {(1, 1), (2, 1), (4, 1), (2, 2), (2, 4)}
    base = by[PROCESSES][0].work
    assert base in [point.work for point in by[PUBLISHERS]]
    assert all(point.work == base for point in by[PROCESSES])


def test_a_peer_is_not_measured_as_ours(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where only it is asked for what it takes no part in, nothing is left."""
    found = {factor: list(points(factor, FULL, [SOCKETIO_REDIS])) for factor in FULL.sizes}
    assert [factor for factor, made in found.items() if made] == [SOCKETS]
    monkeypatch.setattr(sys, "argv", ["growth", "--only", PROCESSES, HOSTS, "socketio-redis"])
    with pytest.raises(SystemExit):
        command.main()
    assert "error: nothing is left to measure: a peer takes part in users and sockets only" in capsys.readouterr().err


def test_windows_are_changed_as_those_of_the_arena(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = command.parser().parse_args(["--most", "5", "--plan", "rounds=7", "seconds=0.5"])
    assert command.planned(given).windows == replace(FULL.windows, rounds=7, seconds=0.5)
    monkeypatch.setattr(sys, "argv", ["growth", "--plan", "rounds=x"])
    with pytest.raises(SystemExit):
        command.main()
    assert "error: rounds=x: rounds is a whole number" in capsys.readouterr().err


async def test_a_crowd_is_kept_before_the_next_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    started = report()
    (first,) = started.crowds
    started.crowds.clear()

    async def fail_on_the_peer(bench: Bench, contender: Contender, sizes: Sequence[int]) -> Crowd:
        if contender is SOCKETIO_REDIS:
            raise Wrong
        return first

    monkeypatch.setattr(command, "fill", fail_on_the_peer)
    bench = Bench(FULL.windows, "", Meter(), None, Progress())
    with pytest.raises(Wrong):
        await command.run(
            bench, started, [REDIS, SOCKETIO_REDIS], {}, lambda: kept.append(len(started.as_json()["users"]))
        )
    assert kept == [1]


def test_no_size_is_above_the_most() -> None:
    assert FULL.at_most(64).sizes[PUBLISHERS] == (1, 4, 16, 64)
    assert FULL.at_most(2).sizes == {USERS: (2,), SOCKETS: (1, 2), PUBLISHERS: (1, 2), PROCESSES: (1, 2), HOSTS: (1, 2)}


def test_the_generator_says_when_it_was_the_bottleneck_and_a_part_has_no_model() -> None:
    found = Report(FULL, [], {PROCESSES: [measured(PROCESSES, 1, 0.2, busy=0.95)]})
    *_, warning = found.tables()
    assert warning.startswith("Mind: processes 1, ours, Redis layer: the load generator was 95% busy")
    assert found.model is None
    assert list(report().tables())[-1].startswith("### Predicted")


def test_a_run_prints_tables_a_model_and_what_it_predicts(tmp_path: Path) -> None:
    """Every factor, for real: servers, Redis hosts, an outage of the subscriptions."""
    file = tmp_path / "found.json"
    brief = ("--quick", "--most", "2", "--plan", "seconds=0.05", "warm_up=0.01", "--only", "redis", "--json", str(file))
    arguments = [sys.executable, "-m", "benchmarks.growth", *brief]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\[ *\d+%, about \d+ s left\] hosts, round 1 of 1: 2, ours, Redis layer$", done.stderr, re.M)
    titles = re.findall(r"^### (\w+)", done.stdout, re.MULTILINE)
    assert titles == ["Users", "Sockets", "Publishers", "Processes", "Redis", "Model", "Predicted"]
    found = json.loads(file.read_text())
    assert found["users"][0]["outage"]["names"] >= 2
    counts = {(point["factor"], point["size"]): point["samples"][0] for point in found["points"]}
    (alone,) = counts["processes", 1]["hosts"]
    assert alone["publishes"] == counts["processes", 1]["window"]["count"]
    (both,) = counts["processes", 2]["hosts"]
    assert both["publishes"] > counts["processes", 2]["window"]["count"]
    assert all(host["publishes"] for host in counts["hosts", 2]["hosts"])
    assert found["model"]["commands"][1] > 0
