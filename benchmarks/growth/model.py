"""What follows from the points by arithmetic: a few coefficients, and what they predict for much more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, fsum, inf
from operator import mul
from typing import NamedTuple

from benchmarks.plan import PORTS
from realtime.conf import Settings
from realtime.redishost import COMMAND_TIMEOUT, NAMES_A_COMMAND

from .crowds import Crowd, Outage
from .plan import PROCESSES, SOCKETS
from .points import Found

BUSY = 0.6  # the share of a core that a process, and a Redis host, is planned to use
MAX_SOCKETS = Settings.MAX_SOCKETS


class Line(NamedTuple):
    """y = start + slope × x."""

    start: float
    slope: float
    off: float  # the largest difference from a measured y, as a share of it

    @classmethod
    def through(cls, found: Sequence[tuple[float, float]], relative: bool = False) -> Line:
        """Least squares of (x, y), or of their shares of y where x lies far apart.

        Of a single one, the line from zero through it, or level when that is at zero.
        """
        weights = [1 / y**2 if relative and y else 1.0 for _, y in found]
        x_mean, y_mean = (fsum(map(mul, weights, each)) / fsum(weights) for each in zip(*found, strict=True))
        square = fsum(weight * (x - x_mean) ** 2 for weight, (x, _) in zip(weights, found, strict=True))
        product = fsum(weight * (x - x_mean) * y for weight, (x, y) in zip(weights, found, strict=True))
        slope = product / square if square else y_mean / (x_mean or inf)
        start = y_mean - slope * x_mean
        return cls(start, slope, max(abs(start + slope * x - y) / y if y else 0.0 for x, y in found))


@dataclass(frozen=True)
class Model:
    """Of ours. CPU of publishes is in ms."""

    sockets: Line  # CPU of a publish by sockets of the user, all acking, one publisher
    processes: Line  # CPU of a publish with one ack by other processes reached: 0 to 1 on average
    commands: Line  # PUBLISH commands of such a publish by the same
    command_ms: float  # CPU of Redis for a PUBLISH
    memory_mb: float  # of a process without sockets
    socket_kb: float
    idle: Line  # cores, by idle sockets
    connect_ms: float
    subscription_bytes: float  # in Redis
    again_us: float  # CPU of Redis, to subscribe to a name again

    @property
    def publish_ms(self) -> float:
        """To no socket, by 16 publishers at once, without the sockets' share."""
        return self.processes.start - self.sockets.slope


def model(crowd: Crowd, outage: Outage, found: Found) -> Model:
    ours = [point for point in found[SOCKETS] if point.contender.name == crowd.contender.name]
    spread = found[PROCESSES]
    others = [1 - 1 / point.size for point in spread]  # the sockets are everywhere, the publishers too
    last = crowd.steps[-1]
    return Model(
        sockets=Line.through([(point.size, point.median("cpu_ms")) for point in ours], relative=True),
        processes=Line.through([(x, point.median("cpu_ms")) for x, point in zip(others, spread, strict=True)]),
        commands=Line.through([(x, point.commands) for x, point in zip(others, spread, strict=True)]),
        command_ms=sum(point.redis_ms for point in spread) / sum(point.commands for point in spread),
        memory_mb=crowd.resident / 2**20,
        socket_kb=last.kb_per_socket,
        idle=Line.through([(step.size, step.idle_cores) for step in crowd.steps]),
        connect_ms=last.connects.cpu_ms,
        subscription_bytes=last.redis_bytes / last.size,
        again_us=1e6 * outage.redis.cpu / outage.names,
    )


class Prediction(NamedTuple):
    what: str
    formula: str  # with the names of `report`
    value: float  # an int where it is counted


def predicted(model: Model, sockets: int, rate: float) -> Iterator[Prediction]:
    """For users with one socket each, and so many publishes a second, in so many processes that most reach another."""
    publishes = rate * (model.processes.start + model.processes.slope) / 1000
    pings = model.idle.slope * sockets
    processes = ceil(max((publishes + pings) / BUSY, sockets / MAX_SOCKETS))
    memory = (processes * model.memory_mb * 2**20 + sockets * model.socket_kb * 1024) / 1e9
    each = sockets / processes
    yield Prediction("cores for publishes", "publishes/s × (a + b + c)", publishes)
    yield Prediction("cores for pings", "sockets × p", pings)
    yield Prediction("processes", f"cores ÷ {BUSY}, at least sockets ÷ {MAX_SOCKETS:,}", processes)
    yield Prediction("sockets of a process", "sockets ÷ processes", each)
    formula = f"sockets of a process ÷ {PORTS:,}"
    yield Prediction("addresses of nginx, or of each process", formula, ceil(each / PORTS))
    yield Prediction("GB of all processes", "processes × m + sockets × k", memory)
    yield from of_redis(model, sockets, rate, processes)
    formula = "sockets of a process × t"
    yield Prediction("s of a process's core to let its sockets in", formula, each * model.connect_ms / 1000)


def of_redis(model: Model, sockets: int, rate: float, processes: int) -> Iterator[Prediction]:
    commands = rate * (model.commands.start + model.commands.slope)
    hosts = ceil(commands * model.command_ms / 1000 / BUSY)
    names = sockets / hosts
    yield Prediction("PUBLISH/s", "publishes/s × n", commands)
    yield Prediction("Redis hosts", f"PUBLISH/s × r ÷ {BUSY}", hosts)
    yield Prediction("PUBLISH/s of a host, each to one process", "PUBLISH/s ÷ hosts", commands / hosts)
    yield Prediction("subscriptions of a host", "sockets ÷ hosts", names)
    yield Prediction("MB of a host for them", "subscriptions × q", names * model.subscription_bytes / 1e6)
    yield Prediction("s of a host's core to take them again", "subscriptions × u", names * model.again_us / 1e6)
    turn = processes * NAMES_A_COMMAND * model.again_us / 1e6
    formula = f"processes × {NAMES_A_COMMAND:,} × u, below {COMMAND_TIMEOUT}"
    yield Prediction("s until each process is through with a command of them", formula, turn)
