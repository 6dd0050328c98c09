"""What is measured, and what follows from it by arithmetic."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Spent:
    """What something took. CPU times are in seconds, user and system."""

    seconds: float  # in which the server had its core: without what another server took of it
    server_cpu: float
    redis_cpu: float
    generator_busy: float  # share of the time in which it ran, or waited for its core, which Redis may share
    resident: int  # bytes of memory of the server's processes, at the end


@dataclass(frozen=True)
class Window(Spent):
    """What was seen while a load ran, or while sockets connected."""

    count: int  # of publishes, or of connects
    p50_ms: float
    slowest_ms: Sequence[float]  # the hundredth of all that took longest, the longest first
    late_ms: float = 0.0  # p99 of what the generator itself was late by, where it keeps a pace

    @classmethod
    def of(cls, spent: Spent, latencies: Iterable[float], late: Sequence[float] = ()) -> Window:
        """`latencies` and `late` are in seconds."""
        times = sorted(latencies)
        slowest = [milliseconds(time) for time in reversed(times[from_bottom(len(times), 990) :])]
        p50_ms = milliseconds(times[len(times) // 2])
        late_ms = milliseconds(sorted(late)[from_bottom(len(late), 990)]) if late else 0.0
        return cls(**asdict(spent), count=len(times), p50_ms=p50_ms, slowest_ms=slowest, late_ms=late_ms)

    @property
    def cpu_ms(self) -> float:
        """Of the server, for each publish or connect."""
        return 1000 * self.server_cpu / self.count

    @property
    def redis_cpu_ms(self) -> float:
        return 1000 * self.redis_cpu / self.count

    @property
    def rate(self) -> float:
        return self.count / self.seconds

    @property
    def p99_ms(self) -> float:
        return self.slowest_ms[-1]

    @property
    def p999_ms(self) -> float:
        return p999_of_all([self])

    @property
    def resident_mb(self) -> float:
        return self.resident / 2**20


@dataclass(frozen=True)
class Idle:
    """What idle sockets cost: to hold, and for publishes to other sockets of the same server."""

    sockets: int
    bytes_held: int  # what the memory of the server has grown by
    crowded: Sequence[Window]  # with the idle sockets
    empty: Sequence[Window]  # another process without, in turns with the first

    @property
    def cpu_ms(self) -> float:
        """Of the server, for each publish, with the idle sockets; so are the others."""
        return 1000 * cpu_of_all(self.crowded)

    @property
    def redis_cpu_ms(self) -> float:
        return statistics.median(window.redis_cpu_ms for window in self.crowded)

    @property
    def p50_ms(self) -> float:
        return statistics.median(window.p50_ms for window in self.crowded)

    @property
    def p99_ms(self) -> float:
        return statistics.median(window.p99_ms for window in self.crowded)

    @property
    def p999_ms(self) -> float:
        return p999_of_all(self.crowded)

    @property
    def resident_mb(self) -> float:
        return max(window.resident_mb for window in self.crowded)

    @property
    def kb_per_socket(self) -> float:
        return self.bytes_held / 1024 / self.sockets

    @property
    def cpu_slowdown(self) -> float:
        """How many times more CPU a publish takes. Of the sums: pings and timers of a server come in bursts."""
        return cpu_of_all(self.crowded) / cpu_of_all(self.empty)

    @property
    def rate_with_none(self) -> float:
        return rate_of_all(self.empty)

    @property
    def rate_share(self) -> float:
        """The publishes in a second, as a share of those with no idle sockets."""
        return rate_of_all(self.crowded) / rate_of_all(self.empty)


def milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 4)


def cpu_of_all(windows: Sequence[Window]) -> float:
    return sum(window.server_cpu for window in windows) / sum(window.count for window in windows)


def rate_of_all(windows: Sequence[Window]) -> float:
    return sum(window.count for window in windows) / sum(window.seconds for window in windows)


def p999_of_all(windows: Sequence[Window]) -> float:
    """Of all latencies together, in ms: exact for up to ten windows of about the same size, of which each keeps its
    slowest hundredth. Of fewer than a thousand, the largest."""
    count = sum(window.count for window in windows)
    slowest = sorted((ms for window in windows for ms in window.slowest_ms), reverse=True)
    return slowest[min(count - 1 - from_bottom(count, 999), len(slowest) - 1)]


def from_bottom(count: int, permille: int) -> int:
    """The place, among so many sorted values, of the one that this share of all lies below."""
    return count * permille // 1000


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
