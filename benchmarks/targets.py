"""What the service sets itself to reach, beside its peers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .figures import Spread
from .works import ACKED, CROWD, IDLE, NOBODY, WORKERS, Measurement

if TYPE_CHECKING:
    from .results import Results


@dataclass(frozen=True)
class Goal:
    """A figure of ours, divided by that of another server if there is one."""

    what: str
    measurement: Measurement
    figure: str
    ours: str
    theirs: str | None
    bound: float
    at_least: bool = False


def acked(what: str, ours: str, theirs: str, bound: float) -> list[Goal]:
    """However many publishers there are at once."""
    return [Goal(f"{work.name}: CPU, {what}", work, "cpu_ms", ours, theirs, bound) for work in ACKED]


GOALS = (
    *acked("Redis layer ÷ Socket.IO with Redis", "redis", "socketio-redis", 0.6),
    *acked("local layer ÷ Socket.IO in memory", "local", "socketio", 0.7),
    *acked("uvicorn ÷ Socket.IO with Redis", "redis-uvicorn", "socketio-redis", 0.4),
    Goal("user-200: CPU, Redis layer ÷ Socket.IO with Redis", CROWD, "cpu_ms", "redis", "socketio-redis", 2.0),
    Goal("nobody: CPU, Redis layer ÷ an empty view on the same server", NOBODY, "cpu_ms", "redis", "view", 0.35),
    Goal("idle: KB/socket, Redis layer ÷ Socket.IO in memory", IDLE, "kb_per_socket", "redis", "socketio", 1.2),
    Goal(
        "idle: publishes/s ÷ with no idle sockets, Redis layer", IDLE, "rate_share", "redis", None, 0.95, at_least=True
    ),
    Goal("workers: publishes/s, two ÷ one", WORKERS, "rate", "redis-2", "redis-half", 1.7, at_least=True),
)


@dataclass(frozen=True)
class Target:
    what: str
    measured: Spread | None  # None: not measured
    bound: float
    at_least: bool  # rather than at most

    @property
    def holds(self) -> bool | None:
        if self.measured is None:
            return None
        median = self.measured.median
        return median >= self.bound if self.at_least else median <= self.bound


def targets(results: Results) -> Iterator[Target]:
    """All of them when everything was asked for, and else those that were measured."""
    for goal in GOALS:
        if goal.theirs is None:
            measured = results.spread(goal.measurement.name, goal.ours, goal.figure)
        else:
            measured = results.ratio(goal.measurement.name, goal.figure, goal.ours, goal.theirs)
        if measured is not None or not results.names:
            yield Target(goal.what, measured, goal.bound, goal.at_least)
