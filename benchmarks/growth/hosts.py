"""Redis hosts, and what they tell of themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from redis import Redis

from benchmarks.bench import Bench
from benchmarks.servers import Meter
from tests.servers import valkey


@dataclass(frozen=True)
class Taken:
    """What a host did meanwhile."""

    cpu: float  # seconds
    publishes: int  # PUBLISH commands


class Host:
    def __init__(self, url: str) -> None:
        self.url = url
        self._client = Redis.from_url(url)
        self.meter = Meter(self._tells("server", "process_id"))

    def _tells(self, section: str, name: str) -> int:
        figure: int = self._client.info(section)[name]
        return figure

    def so_far(self) -> Taken:
        cpu = self._client.info("cpu")  # finer than what the system counts by
        publish = self._client.info("commandstats").get("cmdstat_publish", {"calls": 0})
        return Taken(cpu["used_cpu_user"] + cpu["used_cpu_sys"], publish["calls"])

    def memory(self) -> int:
        """Bytes."""
        return self._tells("memory", "used_memory")

    def channels(self) -> int:
        """That somebody has subscribed to."""
        return self._tells("stats", "pubsub_channels")

    def cut_off(self) -> None:
        """End the connections that have subscriptions, and with them these."""
        self._client.client_kill_filter(_type="pubsub")


@contextmanager
def several(bench: Bench, count: int) -> Iterator[list[Host]]:
    """The host of the bench and others, until there are so many."""
    with ExitStack() as stack:
        urls = [bench.redis_url, *(stack.enter_context(valkey()).connection_url for _ in range(count - 1))]
        hosts = [Host(url) for url in urls]
        if bench.cores is not None:
            for host in hosts:
                host.meter.pin(bench.cores.redis)
        yield hosts


@contextmanager
def taking(hosts: Sequence[Host]) -> Iterator[Callable[[], list[Taken]]]:
    """What it gives tells what each did while the block ran, after the block."""
    before = [host.so_far() for host in hosts]
    found: list[Taken] = []
    yield lambda: found
    after = [host.so_far() for host in hosts]
    found += [Taken(b.cpu - a.cpu, b.publishes - a.publishes) for a, b in zip(before, after, strict=True)]
