"""The servers that are compared, how to start them, and what they use up."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from tests.servers import APPLICATION, ROOT, Server, daphne, environment, realtime_server, uvicorn

from .dialects import Dialect, Ours, SocketIO
from .load import Door
from .peers import node

TEXTBOOK = "benchmarks.textbook.asgi:application"
TEXTBOOK_ENV = {"DJANGO_SETTINGS_MODULE": "benchmarks.textbook.settings"}
# Neither side writes a line for what it serves.
QUIET_DAPHNE = ("-v", "0")
QUIET_UVICORN = ("--no-access-log", "--log-config", str(Path(__file__).with_name("uvicorn-log.json")))
OURS_ENV = {"LOG_LEVEL": "WARNING"}

LOG_LINES = 20  # of a server's log, shown when something goes wrong


@dataclass(frozen=True)
class Contender:
    """A server to be compared; `name` is for the command line and the JSON file, `title` for the tables."""

    name: str
    title: str
    redis: bool
    launch: Callable[..., AbstractContextManager[Server]] = realtime_server
    arguments: tuple[str, ...] = QUIET_DAPHNE
    application: str = APPLICATION
    env: Mapping[str, str] = field(default_factory=lambda: OURS_ENV)
    home: Path = ROOT
    dialect: type[Dialect] = Ours
    why_missing: Callable[[], str | None] = lambda: None  # the reason for which it can't run here, if there is one

    def elsewhere(self, folder: Path) -> Contender:
        """The same in another checkout of the project."""
        return replace(self, name=f"{self.name}-elsewhere", title=f"{self.title}, {folder.name}", home=folder)


SOCKETIO = Contender(
    "socketio-redis",
    "Socket.IO, Redis adapter",
    redis=True,
    launch=node.socketio,
    arguments=(),
    application="server.mjs",
    env={},
    home=node.FOLDER,
    dialect=SocketIO,
    why_missing=node.why_missing,
)
CONTENDERS = [
    Contender("local", "ours, local layer", redis=False),
    Contender("redis", "ours, Redis layer", redis=True),
    Contender("local-daphne", "ours, local layer, plain daphne", redis=False, launch=daphne),
    Contender("redis-daphne", "ours, Redis layer, plain daphne", redis=True, launch=daphne),
    Contender("redis-uvicorn", "ours, Redis layer, uvicorn", redis=True, launch=uvicorn, arguments=QUIET_UVICORN),
    Contender(
        "textbook",
        "textbook, channels_redis.core, daphne",
        redis=True,
        launch=daphne,
        application=TEXTBOOK,
        env=TEXTBOOK_ENV,
    ),
    replace(SOCKETIO, name="socketio", title="Socket.IO, in memory", redis=False),
    SOCKETIO,
]
TITLES = {contender.name: contender.title for contender in CONTENDERS}


class Meter:
    """What a process has used."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)

    def cpu(self) -> float:
        """Seconds, user and system."""
        times = self._process.cpu_times()
        return times.user + times.system

    def resident(self) -> int:
        """Bytes."""
        return self._process.memory_info().rss

    def pin(self, core: int) -> None:
        """Keep all its threads, and those that they start, on one core."""
        for thread in self._process.threads():
            os.sched_setaffinity(thread.id, {core})


@dataclass(frozen=True)
class Cores:
    """Who runs where. Redis has a core of its own if there is one, and else not that of the server under test."""

    generator: int
    redis: int
    server: int

    @classmethod
    def choose(cls) -> Cores | None:
        """None where processes can't be pinned, or where there is nothing to choose from."""
        if not hasattr(os, "sched_getaffinity") or len(cores := sorted(os.sched_getaffinity(0))) < 2:
            return None
        return cls(generator=cores[0], redis=cores[1] if len(cores) > 2 else cores[0], server=cores[-1])


@dataclass(frozen=True)
class Running:
    """A server under test."""

    contender: Contender
    door: Door
    meter: Meter


@contextmanager
def started(
    contender: Contender, redis_url: str, cores: Cores | None, textbook: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """A server while the block runs; `textbook` holds variables that only the textbook reads."""
    env = environment(**contender.env, **(textbook or {}), REDIS_URL=redis_url if contender.redis else "")
    with contender.launch(env, contender.application, *contender.arguments, home=contender.home) as server:
        meter = Meter(server.process.pid)
        if cores is not None:
            meter.pin(cores.server)
        try:
            yield Running(contender, Door([int(server.url.rpartition(":")[2])], contender.dialect), meter)
        except Exception:
            print(
                f"The log of {contender.title} ends:", *server.log.splitlines()[-LOG_LINES:], sep="\n", file=sys.stderr
            )
            raise


def allow_open_files(count: int) -> None:
    """For this process and those that it starts. Raises SystemExit when the machine does not let us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise SystemExit(f"This needs {count} open files, and the limit is {hard}. Raise it (ulimit -Hn).")
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def add_elsewhere(folder: Path) -> None:
    """Compare with another checkout too, on plain Daphne: whatever its age, it runs there."""
    for contender in [contender for contender in CONTENDERS if contender.name.endswith("-daphne")]:
        CONTENDERS.append(contender.elsewhere(folder))
    TITLES.update({contender.name: contender.title for contender in CONTENDERS})
