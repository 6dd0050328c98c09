"""What is measured, and what follows from it by arithmetic."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """What was seen while a load ran. CPU times are in seconds, user and system."""

    publishes: int
    seconds: float
    server_cpu: float
    redis_cpu: float
    generator_busy: float  # share of the time that its core, which Redis may share, had something to do
    p50_ms: float
    p99_ms: float

    @property
    def cpu_ms(self) -> float:
        """Of the server, for each publish."""
        return 1000 * self.server_cpu / self.publishes

    @property
    def redis_cpu_ms(self) -> float:
        return 1000 * self.redis_cpu / self.publishes

    @property
    def rate(self) -> float:
        return self.publishes / self.seconds


@dataclass(frozen=True)
class Idle:
    """What idle sockets cost: to connect, to hold, and for publishes to other sockets of the same server."""

    sockets: int
    connect_seconds: float
    connect_cpu: float  # of the server
    bytes_held: int  # what the memory of the server has grown by
    crowded: list[Window]  # with the idle sockets
    empty: list[Window]  # another process without, in turns with the first

    @property
    def kb_per_socket(self) -> float:
        return self.bytes_held / 1024 / self.sockets

    @property
    def connect_rate(self) -> float:
        return self.sockets / self.connect_seconds

    @property
    def connect_cpu_ms(self) -> float:
        return 1000 * self.connect_cpu / self.sockets

    @property
    def cpu_slowdown(self) -> float:
        """How many times more CPU a publish takes. Of the sums: pings and timers of a server come in bursts."""
        return cpu_of_all(self.crowded) / cpu_of_all(self.empty)

    @property
    def rate_slowdown(self) -> float:
        """How many times fewer publishes there are in a second."""
        return rate_of_all(self.empty) / rate_of_all(self.crowded)


def cpu_of_all(windows: Sequence[Window]) -> float:
    return sum(window.server_cpu for window in windows) / sum(window.publishes for window in windows)


def rate_of_all(windows: Sequence[Window]) -> float:
    return sum(window.publishes for window in windows) / sum(window.seconds for window in windows)


@dataclass(frozen=True)
class Spread:
    """The median of some values, and how far apart they lie."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        found = sorted(values)
        return cls(statistics.median(found), found[0], found[-1])
