"""The benchmarks, too briefly to judge by: that they work, and their arithmetic."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import replace
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import plan, run
from benchmarks.__main__ import main
from benchmarks.arguments import new_folder
from benchmarks.bench import Bench
from benchmarks.charts import draw
from benchmarks.figures import Idle, Spent, Window, p999_of_all
from benchmarks.growth import __main__ as growth
from benchmarks.load import Alarm, Load, User, open_clients, open_publishers
from benchmarks.peers import node
from benchmarks.plan import FULL, QUICK
from benchmarks.progress import Progress
from benchmarks.results import Results, write
from benchmarks.run import choose, measure, seconds_of
from benchmarks.servers import LOCAL, REDIS, Contender, Meter, blamed, started
from benchmarks.tables import tables
from benchmarks.targets import GOALS, targets
from benchmarks.wire import Wrong
from benchmarks.works import IN_WINDOWS, MEASUREMENTS, text_of_size

from .servers import ROOT

BRIEF = (
    "rounds=1 seconds=0.05 warm_up=0.05 storm_sockets=20 idle_sockets=20 idle_seconds=0.3 "
    "users=20 rate=100 mixed_seconds=0.5"
)
SVG = "{http://www.w3.org/2000/svg}"


def benchmarks(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)


def test_a_run_prints_tables_and_keeps_all_for_later(tmp_path: Path) -> None:
    """Each kind of measurement, for real. What is drawn and printed from the file is what the run printed."""
    file, measurements = tmp_path / "found.json", ("acked-16", "nobody", "storm", "mixed", "idle")
    done = benchmarks("--plan", *BRIEF.split(), "--only", *measurements, "local", "--json", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(
        r"^\[ *\d+%, about \d+ s left\] acked-16, round 1 of 1: ours, local layer$", done.stderr, re.MULTILINE
    )
    assert len(re.findall(r"^\| ours, local layer +\| \d", done.stdout, re.MULTILINE)) == len(measurements)
    found = json.loads(file.read_text())
    assert set(found["works"]) == {"acked-16", "nobody", "storm", "mixed"}
    windows = [window for by in found["works"].values() for window in by["local"]]
    assert all(window["p50_ms"] <= window["p99_ms"] <= window["p999_ms"] for window in windows)
    assert all(window["resident"] > 2**20 for window in windows)
    assert found["works"]["storm"]["local"][0]["count"] == 20
    assert found["works"]["mixed"]["local"][0]["count"] == 50
    assert found["idle"]["local"]["sockets"] == 20
    again = benchmarks("--from", file, "--charts", tmp_path)
    assert (again.stdout, again.stderr) == (done.stdout, "")
    assert len(list(tmp_path.glob("*.svg"))) == 9


def test_a_plan_names_what_it_can_be_changed_by() -> None:
    assert QUICK.changed(["rounds=7", "seconds=0.5"]) == replace(QUICK, rounds=7, seconds=0.5)
    for wish in ("rounds=0", "rounds=-1", "rounds=x", "rounds", "rounds=1.5", "seconds=inf", "seconds=nan"):
        with pytest.raises(ValueError, match=r"^(rounds|seconds)=.*: (rounds|seconds) is a "):
            QUICK.changed([wish])
    done = benchmarks("--plan", "speed=1")
    assert done.returncode == 2
    assert "error: a plan has no speed, but rounds, seconds, " in done.stderr


def test_a_plan_has_no_more_sockets_than_the_machine_has_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "PORT_RANGE", tmp_path / "range")
    assert QUICK.changed(["idle_sockets=27232"]).idle_sockets == 27_232  # by default
    with pytest.raises(ValueError, match=r"^idle_sockets=27233: net\.ipv4\.ip_local_port_range has ports for 27232 at"):
        QUICK.changed(["idle_sockets=27233"])
    (tmp_path / "range").write_text("1024\t65535\n")
    assert QUICK.changed(["users=31756"]).users == 31_756  # with two sockets each
    with pytest.raises(ValueError, match=r"^users=31757: .* has ports for 31756 at most$"):
        QUICK.changed(["users=31757"])


@pytest.mark.parametrize("command", [main, growth.main])
@pytest.mark.parametrize("wrong", ["not/there.json", ".", "file/found.json"])
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_measured(
    command: Callable[[], None], wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    assert f"no file can be written there: {tmp_path}" in refused(monkeypatch, command, "--json", tmp_path / wrong)


def refused(monkeypatch: pytest.MonkeyPatch, command: Callable[[], None], *arguments: str | Path) -> str:
    """What it says on stderr."""
    monkeypatch.setattr(sys, "argv", ["benchmarks", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_, redirect_stderr(StringIO()) as said:
        command()
    assert exit_.value.code == 2
    return said.getvalue()


def test_charts_are_not_drawn_into_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    assert f"no folder can be there: {file}/below" in refused(monkeypatch, main, "--charts", file / "below")
    assert new_folder(str(tmp_path / "not" / "yet there")) == tmp_path / "not" / "yet there"


@pytest.mark.parametrize("wrong", ["missing.json", ".", "broken.json"])
def test_a_file_that_cannot_be_read_is_named(wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.json").write_text("{}")
    said = refused(monkeypatch, main, "--from", tmp_path / wrong)
    assert f"{tmp_path / wrong} is not what --json has written: " in said


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """Who reads it meanwhile still has what was kept before."""
    file = tmp_path / "found.json"
    write(file, results())
    kept = file.read_bytes()
    with file.open("rb") as before:
        write(file, results("redis"))
        assert before.read() == kept
    assert Results.read(file).names == ["redis"]
    assert list(tmp_path.iterdir()) == [file]


def test_servers_that_take_no_part_in_what_is_asked_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none takes part, nothing is started."""
    said = "what is to be measured has no part for"
    assert f"error: {said} textbook\n" in refused(monkeypatch, main, "--only", "mixed", "textbook")
    assert f"error: {said} textbook, view\n" in refused(monkeypatch, main, "--only", "workers", "textbook", "view")
    assert run.left_out({"workers", "view", "redis-2"}) == ["view"]
    assert run.left_out({"mixed", "local-daphne"}) == run.left_out({"textbook"}) == run.left_out({"mixed"}) == []


@pytest.fixture
def plain_signals() -> Iterator[None]:
    """A command handles them in its own way; afterwards it is as it was before."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("plain_signals")
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_whose_terminal_closes_stops_its_servers_as_one_that_is_told_to_end(ending: signal.Signals) -> None:
    with pytest.raises(SystemExit, match="stopped"), run.readable_errors():
        signal.raise_signal(ending)


@pytest.mark.usefixtures("plain_signals")
def test_a_run_that_is_to_outlive_its_terminal_does() -> None:
    """As nohup says."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with run.readable_errors():
        signal.raise_signal(signal.SIGHUP)


@pytest.mark.usefixtures("plain_signals")
def test_an_error_names_the_server_that_was_measured() -> None:
    """It, and not those that wait for their turn."""
    with pytest.raises(SystemExit) as exit_, run.readable_errors(), blamed(LOCAL), blamed(REDIS):
        raise ExceptionGroup("", [Wrong("one"), ExceptionGroup("", [Wrong("two")])])
    assert exit_.value.code == "ours, Redis layer: Wrong('one')\nours, Redis layer: Wrong('two')"


@pytest.mark.usefixtures("plain_signals")
def test_a_server_that_does_not_start_is_named_with_its_log() -> None:
    broken = replace(LOCAL, title="broken", application="nothing:here")
    with pytest.raises(SystemExit) as exit_, run.readable_errors(), started(broken, "", None):
        pass
    assert re.match(r"broken: .* did not start:\n(.*\n)*.*No module named 'nothing'", str(exit_.value.code))


@pytest.mark.parametrize(
    ("says", "reason"),
    [("echo v18.20.1", "node is 18.20.1, not >=20"), ("exit 1", "node --version fails"), ("echo v20.0.0", None)],
)
def test_a_node_that_cannot_run_the_peer_is_told_so(
    says: str, reason: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "node"
    program.write_text(f"#!/bin/sh\n{says}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert node.why_too_old() == reason


async def test_a_payload_that_is_not_what_was_published_ends_the_run() -> None:
    """Even where 64 KB are alike but for the last character."""
    published, altered = (text_of_size(64 * 1024 - 1) + end for end in "ab")
    with started(LOCAL, "", None) as server:
        alarm = Alarm()
        users = [User.make(server.door, "ann", 1, alarm, lambda _: published)]
        await open_clients(users, alarm)
        publishers = await open_publishers(server.door, 1)
        await Load(users, publishers, alarm, lambda _: published).run(0.01)
        with pytest.raises(ExceptionGroup) as raised:
            await Load(users, publishers, alarm, lambda _: altered).run(0.01)
        assert raised.group_contains(Wrong, match="envelope for socket 0 of ann", depth=1)


def window(*milliseconds: float, cpu: float = 1.0, seconds: float = 1.0, busy: float = 0.5) -> Window:
    spent = Spent(seconds, server_cpu=cpu, redis_cpu=0.0, generator_busy=busy, resident=2**20)
    return Window.of(spent, [ms / 1000 for ms in milliseconds or [1.0]])


def test_percentiles() -> None:
    found = window(*range(1, 2001))
    assert (found.p50_ms, found.p99_ms, found.p999_ms) == (1001, 1981, 1999)
    assert window(1, 2, 3).p999_ms == window(1, 2, 3).p99_ms == 3


def test_the_percentile_of_several_windows_is_that_of_all_their_publishes() -> None:
    """Also when the slow ones are all in one of them; of fewer than a thousand, it is the largest."""
    slow, fast = window(*range(1001, 2001)), window(*range(1, 1001))
    assert p999_of_all([slow, fast, fast]) == window(*range(1001, 2001), *range(1, 1001), *range(1, 1001)).p999_ms
    assert p999_of_all([window(1, 5), window(2)]) == 5


def test_what_follows_from_a_window() -> None:
    found = window(1, 1, 1, 1, cpu=0.002, seconds=0.5)
    assert (found.cpu_ms, found.rate, found.resident_mb) == (0.5, 8, 1)


def test_idle_sockets_are_judged_by_the_sums_of_the_slices() -> None:
    """A burst of pings falls into some of them only."""
    idle = Idle(10, 10 * 2048, [window(*[1.0] * 30), window(*[1.0] * 60)], [window(*[1.0] * 50)] * 2)
    assert (idle.kb_per_socket, idle.rate_share, idle.rate_with_none) == (2, 0.9, 50)
    assert idle.cpu_slowdown == pytest.approx(1 / 0.9)


def results(*names: str) -> Results:
    """The Redis layer takes 0.5, 0.7 and 0.4 of what Socket.IO takes, round by round, and Socket.IO itself drifts."""
    ours, theirs = [window(cpu=cpu) for cpu in (1.0, 2.1, 2.0)], [window(cpu=cpu) for cpu in (2.0, 3.0, 5.0)]
    works = {"acked-16": {"redis": ours, "socketio-redis": theirs}}
    return Results(QUICK, names, works, {"redis": Idle(1, 1, [window()], [window(1, 1)])})


def test_ratios_are_of_the_same_round() -> None:
    found = results().ratio("acked-16", "cpu_ms", "redis")
    assert found is not None
    assert (found.median, found.low, found.high) == pytest.approx((0.5, 0.4, 0.7))
    assert results().ratio("acked-16", "cpu_ms", "local") is None


def test_targets_hold_or_not_or_were_not_measured() -> None:
    """At most and at least; a full run lists them all, a part of it those that it has measured."""
    found = {target.what: target.holds for target in targets(results())}
    assert len(found) == len(GOALS)
    assert [holds for holds in found.values() if holds is not None] == [True, False]
    assert found["acked-16: CPU, Redis layer ÷ Socket.IO with Redis"] is True
    assert found["idle: publishes/s ÷ with no idle sockets, Redis layer"] is False
    assert len(list(targets(results("redis")))) == 2
    text = "\n".join(tables(results()))
    assert re.search(r"^\| acked-16: .+ \| 0\.500 \(0\.400–0\.700\) +\| at most 0\.600 +\| yes ", text, re.MULTILINE)
    assert re.search(r"^\| workers: .+ \| not measured +\| at least 1\.70 +\| +\|$", text, re.MULTILINE)


def test_every_target_is_of_servers_that_take_part_in_its_measurement() -> None:
    taking_part = {measurement.name: {each.name for each in by} for measurement, by in choose(set(), {})}
    for goal in GOALS:
        assert {goal.ours, goal.theirs} - {None} <= taking_part[goal.measurement.name]
    assert set(taking_part) == {measurement.name for measurement in MEASUREMENTS}


def test_the_generator_says_when_it_was_the_bottleneck() -> None:
    busy, late = window(busy=0.95), replace(window(), late_ms=9.0)
    found = Results(
        QUICK, works={"acked-1": {"redis": [window(), busy]}, "mixed": {"local": [late], "redis": [window()]}}
    )
    first, second = found.warnings()
    assert first.startswith("acked-1, ours, Redis layer: the load generator was 95% busy")
    assert second.startswith("mixed, ours, local layer: the load generator was 9 ms late")


def test_charts_tell_their_figures_in_words_and_cut_the_one_that_dwarfs_the_others(tmp_path: Path) -> None:
    draw(results(), tmp_path)
    root = ElementTree.parse(tmp_path / "cpu-acked-16.svg").getroot()
    assert root.findtext(f"{SVG}title") == f"CPU ms of the server per publish: {IN_WINDOWS[1].title}"
    assert root.findtext(f"{SVG}desc") == "ours, Redis layer 2,000; Socket.IO, Redis adapter 3,000."
    assert "prefers-color-scheme: dark" in (root.findtext(f"{SVG}style") or "")
    assert root.find(f".//{SVG}path[@class='cut']") is None
    works = {"acked-16": {"redis": [window()], "local": [window()], "textbook": [window(cpu=100)]}}
    draw(Results(QUICK, works=works), tmp_path)
    root = ElementTree.parse(tmp_path / "cpu-acked-16.svg").getroot()
    widths = [float(bar.attrib["width"]) for bar in root.findall(f"{SVG}rect")[1:]]
    assert widths == [164, 164, 410]
    assert root.find(f".//{SVG}path[@class='cut']") is not None


def test_charts_have_a_line_for_who_is_missing(tmp_path: Path) -> None:
    """In those that it would have been in."""
    found = replace(results(), missing={"socketio": "node is not installed", "socketio-redis-2": "the same"})
    draw(found, tmp_path)
    root = ElementTree.parse(tmp_path / "cpu-acked-16.svg").getroot()
    told = "ours, Redis layer 2,000; Socket.IO, in memory missing; Socket.IO, Redis adapter 3,000."
    assert root.findtext(f"{SVG}desc") == told
    texts = [text.text for text in root.findall(f"{SVG}text")]
    assert texts[texts.index("Socket.IO, in memory") + 1] == "missing"
    assert len(root.findall(f"{SVG}rect[@class='others']")) == 1
    assert not (tmp_path / "cpu-workers.svg").exists()


def test_progress_says_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress()
    progress("alone")
    progress.expect(400)
    progress("first", 100)
    progress("a part of it")
    progress("second", 300)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "[   0 s] alone",
        "[  0%, about 7 min left] first",
        "[  0%, about 7 min left] a part of it",
        "[ 25%, about 5 min left] second",
    ]


def test_a_full_run_takes_at_most_forty_minutes() -> None:
    """By its plan, with every server there."""
    assert sum(len(by) * seconds_of(measurement, FULL) for measurement, by in choose(set(), {})) < 40 * 60


def test_each_measurement_is_kept_before_the_next_begins() -> None:
    """Something wrong ends a run; what was found before is not lost with it."""
    kept: list[set[str]] = []

    def stop_at_the_second(results: Results) -> None:
        kept.append(set(results.works))
        if len(kept) == 2:
            raise Wrong

    brief = QUICK.changed(["rounds=1", "seconds=0.02", "warm_up=0.02"])
    with pytest.raises(Wrong), unpinned():
        measure(brief, ["local", "acked-1", "acked-16", "nobody"], Progress(), stop_at_the_second)
    assert kept == [{"acked-1"}, {"acked-1", "acked-16"}]


async def test_what_is_measured_server_by_server_is_kept_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only when the last of them is through."""
    kept: list[list[str]] = []

    async def fail_on_redis(bench: Bench, contender: Contender) -> Window:
        if contender is REDIS:
            raise Wrong
        return window()

    monkeypatch.setattr(run, "mixed", fail_on_redis)
    bench = Bench(QUICK, "", Meter(), None, Progress())
    with pytest.raises(Wrong):
        await run.run(bench, ["local", "redis", "mixed"], lambda results: kept.append(list(results.works["mixed"])))
    assert kept == [["local"]]


@contextmanager
def unpinned() -> Iterator[None]:
    """This process keeps the cores it has: a run pins it to one."""
    cores = os.sched_getaffinity(0)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
