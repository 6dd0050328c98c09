"""The service that is fuzzed, two processes on a Valkey, and what must be true of it afterwards."""

from __future__ import annotations

import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from redis import Redis

from tests.clients import NOBODY, PATIENCE, answered, token
from tests.fuzz import wire
from tests.fuzz.wire import Answer, Connection, RawSocket
from tests.servers import APPLICATION, Server, environment, migrate, realtime_server, valkey

MB = 1024 * 1024
GROWTH = 150 * MB  # of both processes: garbage that is collected rarely, as much after 7,000 requests as after 60,000
LOGGED = 1000  # bytes an input
METRICS_TOKEN = token("a publisher")  # one token for all that is in openapi.yaml
LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ [\w.]+ .*"  # ours, and Django's
    r'|(?:127\.0\.0\.1:\d+|None) - - \[[\w/:]+\] "(?:[!#$%&\'*+.^`|~\w-]+) .*" (?P<status>\d{3}|-) (?:\d+|-)'
)


class Site:
    """The running service. `sent` counts what the tests have sent to it, by kind."""

    def __init__(self, servers: list[Server], redis: Redis) -> None:
        self.servers, self.redis = servers, redis
        self.sent: Counter[str] = Counter()
        self.user = str(uuid4())
        self.neighbour = RawSocket(servers[0], self.user, {"type": "t"})

    def ask(self, data: bytes, server: int = -1) -> Answer:
        """The answer to a request."""
        with Connection(self.servers[server], data) as connection:
            return connection.answer()

    def deliver(
        self, socket: RawSocket, user: str, type: str = "t", payload: str | None = None, result: str = "1"
    ) -> bool:
        """Whether `socket`, the only one of `user` with filters, is sent what is published (and then acks it)."""
        with Connection(self.servers[-1], wire.publish(user, type, payload)) as publisher:
            envelope = socket.envelope_before(publisher)
            if envelope is not None:
                assert (envelope.user, envelope.type, envelope.payload) == (user, type, payload)
                socket.ack(envelope, result)
            answer = publisher.answer()
        assert (answer.status, answer.body.decode()) == (200, answered(1, result) if envelope else NOBODY)
        return envelope is not None

    def assert_well(self) -> None:
        """A healthy socket gets exactly what is published to its user."""
        payload = json.dumps({"at": self.sent.total()})
        assert self.deliver(self.neighbour, self.user, payload=payload, result=payload)

    def numbers(self) -> dict[str, float]:
        """What both processes say of themselves, added up."""
        total: dict[str, float] = defaultdict(float)
        for number in range(len(self.servers)):
            lines = ("GET /metrics HTTP/1.1", f"Authorization: Bearer {METRICS_TOKEN}")
            text = self.ask(wire.request(*lines), number).body.decode()
            for name, value in re.findall(r"^(realtime_\w+) (\S+)$", text, re.MULTILINE):
                total[name] += float(value)
        return dict(total)

    def memory(self) -> int:
        return sum(psutil.Process(server.process.pid).memory_info().rss for server in self.servers)


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker runs them all, on one service."""
    here = Path(__file__).parent
    for item in items:
        if item.path.parent == here:
            item.add_marker(pytest.mark.xdist_group("fuzz"))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ExitStack() as stack:
        url = stack.enter_context(valkey()).connection_url
        env = environment(
            REDIS_URL=url,
            DATABASE_URL=f"sqlite:///{tmp_path_factory.mktemp('fuzz')}/db.sqlite3",
            REALTIME_METRICS="true",
            REALTIME_METRICS_TOKEN=METRICS_TOKEN,
            REALTIME_FRAME_RATE="1e9",
            REALTIME_FRAME_BURST=str(10**9),
            REALTIME_MAX_BODY_BYTES=str(64 * 1024),
        )
        migrate(env)
        # The tests answer no pings of the service: they read a socket only when something is to come.
        quiet = (APPLICATION, "--ping-interval", "86400")
        servers = [stack.enter_context(realtime_server(env, *quiet)) for _ in range(2)]
        site = Site(servers, stack.enter_context(Redis.from_url(url)))
        with site.neighbour:
            yield site


@pytest.fixture(scope="module", autouse=True)
def unharmed(site: Site) -> Iterator[None]:
    """After a module's inputs the service works on, holds nothing of them, and has written little and no nonsense."""
    site.assert_well()
    keys, numbers, inputs = set(site.redis.keys()), site.numbers(), site.sent.total() + Connection.made
    logs = [server.log_path.stat().st_size for server in site.servers]
    memory = site.memory()
    yield
    site.assert_well()
    deadline = time.monotonic() + PATIENCE
    while (now := site.numbers())["realtime_sockets"] > 1 and time.monotonic() < deadline:
        time.sleep(0.02)
    for name in ("realtime_sockets", "realtime_publishes_under_way"):
        assert now[name] == numbers[name]
    assert set(site.redis.keys()) == keys
    grown = site.memory() - memory
    assert grown < GROWTH, f"{grown / MB:.1f} MB after {site.sent}"
    written = [server.log_path.read_bytes()[size:] for server, size in zip(site.servers, logs, strict=True)]
    assert sum(map(len, written)) < LOGGED * (site.sent.total() + Connection.made - inputs)
    odd = [line for line in b"".join(written).decode().split("\n")[:-1] if not is_honest(line)]
    assert not odd, "\n".join(odd[:50])


def is_honest(line: str) -> bool:
    """Whether it is one that the service means to write: no traceback, nothing forged, no answer that is a 5xx."""
    match = LINE.fullmatch(line) if line.isprintable() else None
    return match is not None and (match["status"] or "-") < "5"
