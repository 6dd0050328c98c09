"""The servers that are compared, how to start them, and what they use up."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

import psutil

from tests.servers import APPLICATION, ROOT, Server, daphne, environment, granian, realtime_server, uvicorn

from .cores import Cores, Hog
from .dialects import Dialect, Ours, SocketIO
from .load import Answer, Door, decode_answer, nothing
from .peers import node
from .peers.packages import needs

# Ours writes the lines that it does by default, with an access log on its own server. Others are told to keep
# none, as docs/running.md says, since theirs show tokens. Peers write no line for what they serve.
KEEP_ALIVE = ("--timeout-keep-alive", "65")  # seconds, as others do; after 5 it would close a publisher's connection
QUIET = {"LOG_LEVEL": "WARNING"}
QUIET_DAPHNE = ("-v", "0")
NO_ACCESS_LOG = ("--access-log", os.devnull)
QUIET_UVICORN = ("--no-access-log", "--log-config", str(Path(__file__).with_name("uvicorn-log.json")), *KEEP_ALIVE)
QUIET_GRANIAN = ("--no-access-log", "--log-level", "info")

LOG_LINES = 20  # of a server's log, shown when something goes wrong


@dataclass(frozen=True)
class Contender:
    """A server to be compared; `name` is for the command line and the JSON file, `title` for the tables."""

    name: str
    title: str
    redis: bool
    launch: Callable[..., AbstractContextManager[Server]] = realtime_server
    arguments: tuple[str, ...] = ()
    application: str = APPLICATION
    env: Mapping[str, str] = field(default_factory=dict)
    home: Path = ROOT
    processes: int = 1  # all on the same Redis
    one_of_two: bool = False  # it has what each of two workers has: see `cores`
    works: frozenset[str] | None = None  # the names of those that it can take part in; None: all
    dialect: type[Dialect] = Ours
    read: Callable[[bytes], Answer] = decode_answer
    why_missing: Callable[[], str | None] = lambda: None  # the reason for which it can't run here, if there is one

    def takes_part(self, work: str) -> bool:
        return self.works is None or work in self.works

    def elsewhere(self, folder: Path) -> Contender:
        """The same in another checkout of the project."""
        return replace(self, name=f"{self.name}-elsewhere", title=f"{self.title}, {folder.name}", home=folder)


WORKERS = frozenset({"workers"})  # the work that compares two workers with one
LOCAL = Contender("local", "ours, local layer", redis=False)
REDIS = Contender("redis", "ours, Redis layer", redis=True)
TEXTBOOK = Contender(
    "textbook",
    "textbook, channels_redis.core, daphne",
    redis=True,
    launch=daphne,
    arguments=QUIET_DAPHNE,
    application="benchmarks.textbook.asgi:application",
    env={"DJANGO_SETTINGS_MODULE": "benchmarks.textbook.settings"},
    # With thousands of idle sockets it answers before the socket has reported, and mixed traffic is too fast for it.
    works=frozenset(
        {"acked-1", "acked-16", "acked-64", "user-10", "user-200", "nobody", "payload-1k", "payload-64k", "storm"}
    ),
)
SOCKETIO = Contender(
    "socketio",
    "Socket.IO, in memory",
    redis=False,
    launch=node.socketio,
    application=node.SERVER,
    home=node.FOLDER,
    dialect=SocketIO,
    why_missing=node.why_missing,
)
SOCKETIO_REDIS = replace(SOCKETIO, name="socketio-redis", title="Socket.IO, Redis adapter", redis=True)
PYTHON_SOCKETIO = Contender(
    "python-socketio",
    "python-socketio, in memory, uvicorn",
    redis=False,
    launch=uvicorn,
    arguments=QUIET_UVICORN,
    application="benchmarks.peers.python_socketio:application",
    dialect=SocketIO,
    why_missing=needs("socketio"),
)
VIEW = Contender(
    "view",
    "an empty Django view on ours",
    redis=False,
    application="benchmarks.textbook.empty_asgi:application",
    env={"DJANGO_SETTINGS_MODULE": "benchmarks.textbook.empty_settings"},
    works=frozenset({"nobody"}),
    read=nothing,
)
CONTENDERS = [
    LOCAL,
    REDIS,
    replace(REDIS, name="redis-half", title="ours, Redis layer, 1 of 2 workers", one_of_two=True, works=WORKERS),
    replace(REDIS, name="redis-2", title="ours, Redis layer, 2 workers", processes=2, works=WORKERS),
    replace(REDIS, name="redis-quiet", title="ours, Redis layer, no log", arguments=QUIET_DAPHNE, env=QUIET),
    replace(
        LOCAL, name="local-daphne", title="ours, local layer, plain daphne", launch=daphne, arguments=NO_ACCESS_LOG
    ),
    replace(
        REDIS, name="redis-daphne", title="ours, Redis layer, plain daphne", launch=daphne, arguments=NO_ACCESS_LOG
    ),
    replace(REDIS, name="redis-uvicorn", title="ours, Redis layer, uvicorn", launch=uvicorn, arguments=QUIET_UVICORN),
    replace(
        REDIS,
        name="redis-granian",
        title="ours, Redis layer, granian",
        launch=granian,
        arguments=QUIET_GRANIAN,
        why_missing=needs("granian"),
    ),
    TEXTBOOK,
    SOCKETIO,
    SOCKETIO_REDIS,
    replace(
        SOCKETIO_REDIS,
        name="socketio-redis-2",
        title="Socket.IO, Redis adapter, 2 processes",
        processes=2,
        works=WORKERS,
    ),
    PYTHON_SOCKETIO,
    VIEW,
]
TITLES = {contender.name: contender.title for contender in CONTENDERS}


class Meter:
    """What some processes have used together."""

    def __init__(self, *pids: int) -> None:
        self._processes = [psutil.Process(pid) for pid in pids]

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    @classmethod
    def of_family(cls, *pids: int) -> Meter:
        """Of processes and those that they have started, and these, by now."""
        children = [child.pid for pid in pids for child in psutil.Process(pid).children(recursive=True)]
        return cls(*pids, *children)

    def cpu(self) -> float:
        """Seconds, user and system."""
        times = [process.cpu_times() for process in self._processes]
        return sum(time.user + time.system for time in times)

    def resident(self) -> int:
        """Bytes."""
        return sum(process.memory_info().rss for process in self._processes)

    def pin(self, core: int) -> None:
        """Keep all their threads, and those that they start, on one core."""
        for process in self._processes:
            for thread in process.threads():
                os.sched_setaffinity(thread.id, {core})


@dataclass(frozen=True)
class Running:
    """A server under test, of one or several processes."""

    contender: Contender
    door: Door
    meter: Meter
    hog: Hog | None = None

    def turn(self) -> AbstractContextManager[None]:
        """Within the block it is measured: if it is to have half a core, the other half is taken only then."""
        return nullcontext() if self.hog is None else self.hog.eating()


@contextmanager
def blamed(contender: Contender) -> Iterator[None]:
    """What goes wrong in the block is noted down to this server, unless it is to another."""
    try:
        yield
    except Exception as error:
        if not hasattr(error, "__notes__"):
            error.add_note(contender.title)
        raise


@contextmanager
def started(
    contender: Contender, redis_url: str, cores: Cores | None, textbook: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """A server while the block runs; `textbook` holds variables that only the textbook reads."""
    env = environment(**contender.env, **(textbook or {}), REDIS_URL=redis_url if contender.redis else "")
    env["REDIS_PREFIX"] = uuid4().hex  # Socket.IO's: else all of its servers on this Redis were one cluster
    with blamed(contender), ExitStack() as stack:
        servers = [
            stack.enter_context(contender.launch(env, contender.application, *contender.arguments, home=contender.home))
            for _ in range(contender.processes)
        ]
        hog = None
        if cores is not None:
            for number, server in enumerate(servers):
                Meter.of_family(server.process.pid).pin(cores.of_worker(number))
            if contender.one_of_two and cores.second is None:
                hog = Hog(cores.server)
                stack.callback(hog.end)
        door = Door([int(server.url.rpartition(":")[2]) for server in servers], contender.dialect, contender.read)
        try:
            yield Running(contender, door, Meter.of_family(*(server.process.pid for server in servers)), hog)
        except Exception as error:
            for server in servers if contender.title in getattr(error, "__notes__", (contender.title,)) else ():
                lines = server.log.splitlines()[-LOG_LINES:]
                print(f"The log of {contender.title} ends:", *lines, sep="\n", file=sys.stderr)
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
