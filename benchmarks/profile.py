"""`python -m benchmarks.profile`: where the CPU time of a publish goes, by whose code spends it."""

from __future__ import annotations

import argparse
import subprocess
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import ceil
from pathlib import Path
from subprocess import PIPE, STDOUT

import uvloop

from .arguments import positive
from .bench import Bench
from .figures import Window
from .peers import node
from .plan import FULL
from .progress import Progress
from .run import readable_errors, set_up
from .servers import CONTENDERS, Contender, Meter, allow_open_files, started
from .tables import number, table
from .works import WORKS, Work

RATE = 500  # samples a second
PATIENCE = 30.0  # seconds that it may take longer
IDLE_THREAD = "concurrent/futures/thread.py"  # where a thread is that waits for work

# Who spends a sample: the innermost frame that is in one of these files says so.
REST = "event loop and the rest"
PARTS = {
    REST: ("twisted/internet/asyncioreactor", "uvicorn/server", "uvicorn/main"),
    "HTTP: Twisted, Daphne": (
        "twisted/",
        "daphne/http",
        "daphne/server",
        "realtime/server/http",
        "realtime/server/server",
    ),
    "HTTP and WebSocket: uvicorn": ("uvicorn/", "websockets/"),
    "WebSocket: autobahn, Daphne, ours": ("autobahn/", "daphne/ws_", "realtime/server/websocket", "txaio/"),
    "reading and writing": ("realtime/server/transport",),
    "Django, Channels": ("channels/", "django/", "asgiref/"),
    "channel layer, Redis": (
        "redis/",
        "channels_redis/",
        "realtime/layers",
        "realtime/outbox",
        "realtime/redishost",
        "realtime/channellayer",
    ),
    "metrics, logging": ("prometheus_client/", "logging/"),
    "sockets: match, send, ack": ("realtime/consumers", "realtime/sockets", "realtime/filters", "realtime/protocol"),
    "the delivery and its envelope": (
        "realtime/delivery",
        "realtime/rollcall",
        "realtime/envelopes",
        "realtime/events",
    ),
    "the publish: token, checks, answer": ("realtime/",),
}


def main() -> None:
    given = arguments()
    allow_open_files(FULL.open_files)
    with readable_errors(), set_up(FULL, Progress()) as bench, tempfile.TemporaryDirectory() as folder:
        stacks = Path(folder) / "stacks"
        window = uvloop.run(profiled(bench, given.server, given.work, given.seconds, stacks))
        shares = by_part(stacks.read_text().splitlines())
    print(f"### {given.work.title}: {given.server.title}\n")
    rows = [[part, number(share * window.cpu_ms), f"{share:.0%}"] for part, share in shares.items()]
    print(table(("whose code", "CPU ms/publish", "share"), [*rows, ["all", number(window.cpu_ms), "100%"]]))


def arguments() -> argparse.Namespace:
    servers, works = {each.name: each for each in CONTENDERS}, {each.name: each for each in WORKS}
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.profile",
        description="Sample a server in Python under load, with py-spy, and tell whose code spends its CPU time.",
    )
    parser.add_argument("server", nargs="?", default="redis", help=f"one of {', '.join(servers)}; default: redis")
    parser.add_argument("work", nargs="?", default="acked-16", help=f"one of {', '.join(works)}; default: acked-16")
    parser.add_argument("--seconds", type=positive, default=10.0, metavar="N", help="default: 10")
    given = parser.parse_args()
    if given.server not in servers or given.work not in works:
        parser.error("no such server or work: --help names them")
    given.server, given.work = servers[given.server], works[given.work]
    if reason := why_not(given.server, given.work):
        parser.error(f"{given.server.title}: {reason}")
    return given


def why_not(contender: Contender, work: Work) -> str | None:
    if contender.launch is node.socketio:
        return "only servers in Python are sampled"
    return contender.why_missing() if contender.takes_part(work.name) else f"it takes no part in {work.name}"


async def profiled(bench: Bench, contender: Contender, work: Work, seconds: float, stacks: Path) -> Window:
    """A window of the work, sampled into a file of stacks. The CPU time is of another window, without the sampling."""
    with started(contender, bench.redis_url, bench.cores, work.textbook) as server:
        bench.progress(f"{work.name}: {contender.title}")
        bench = replace(bench, plan=replace(bench.plan, seconds=seconds))
        with busiest(server.meter.pids) as pid:
            window = await bench.window(work, server)
        bench.progress(f"{work.name}, sampled: {contender.title}")
        with spying(pid(), seconds, stacks):
            await bench.window(work, server)
    return window


@contextmanager
def busiest(pids: Iterable[int]) -> Iterator[Callable[[], int]]:
    """What it gives tells which of the processes used most while the block ran, after the block: granian's first one
    only starts the one that serves."""
    meters = [Meter(pid) for pid in pids]
    before = [meter.cpu() for meter in meters]
    found: list[int] = []
    yield lambda: found[0]
    used = [meter.cpu() - start for meter, start in zip(meters, before, strict=True)]
    found += meters[used.index(max(used))].pids


@contextmanager
def spying(pid: int, seconds: float, stacks: Path) -> Iterator[None]:
    """Samples the process while the block runs. Raises SystemExit when that is not allowed here."""
    spy = Path(sysconfig.get_path("scripts")) / "py-spy"
    command = [str(spy), "record", "--pid", str(pid), "--rate", str(RATE), "--format", "raw", "--output", str(stacks)]
    process = subprocess.Popen([*command, "--duration", str(ceil(seconds))], stdout=PIPE, stderr=STDOUT, text=True)
    try:
        yield
        said, _ = process.communicate(timeout=seconds + PATIENCE)
    finally:
        process.kill()
    if process.returncode:
        raise SystemExit(f"py-spy could not sample the server, which root may always do: {said}")


def by_part(stacks: Iterable[str]) -> dict[str, float]:
    """The share of each part, the largest first. A line is a stack, the outermost frame first, and how often it was."""
    seen: Counter[str] = Counter()
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        if IDLE_THREAD not in frames[-1]:
            seen[part(frames)] += int(count)
    return {name: count / seen.total() for name, count in seen.most_common()}


def part(frames: Sequence[str]) -> str:
    """Whose code the innermost frame is that belongs to anybody. A frame is `function (path:line)`."""
    for frame in reversed(frames):
        path = frame.rpartition("(")[2]
        for name, beginnings in PARTS.items():
            if path.startswith(beginnings):
                return name
    return REST


if __name__ == "__main__":
    main()
