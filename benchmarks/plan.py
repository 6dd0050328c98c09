"""How much of everything is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

RESERVE = 1000  # open files of a process, and ports, beyond its sockets
PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
PORTS = 60_999 - 32_768 + 1  # from one address to one port of another, by Linux's default
SOCKETS = {"storm_sockets": 1, "idle_sockets": 1, "users": 2}  # on one port of a server, for each that is asked for


@dataclass(frozen=True)
class Plan:
    rounds: int
    seconds: float  # of each window
    warm_up: float  # seconds of the same load just before each window
    storm_sockets: int
    idle_sockets: int
    idle_seconds: float  # on each of the two servers; a period of the pings of all servers is 20
    users: int  # of the mixed traffic
    rate: float  # publishes a second of the mixed traffic
    mixed_seconds: float

    @property
    def open_files(self) -> int:
        return max(self.storm_sockets, self.idle_sockets, 3 * self.users) + RESERVE

    def changed(self, wishes: Iterable[str]) -> Plan:
        """With other figures, as in `rounds=3`. Raises ValueError when a plan has none of that name or value,
        and when there are not the ports for so many sockets."""
        types: dict[str, Callable[[str], Any]] = {
            field.name: int if field.type == "int" else float for field in fields(self)
        }
        pairs = [wish.partition("=") for wish in wishes]
        if unknown := {name for name, _, _ in pairs} - set(types):
            raise ValueError(f"a plan has no {', '.join(sorted(unknown))}, but {', '.join(types)}")
        figures = {name: figure(types[name], name, value) for name, _, value in pairs}
        for name in SOCKETS.keys() & figures:
            if figures[name] * SOCKETS[name] > (most := ports() - RESERVE):
                most //= SOCKETS[name]
                raise ValueError(f"{name}={figures[name]}: net.ipv4.ip_local_port_range has ports for {most} at most")
        return replace(self, **figures)


def ports() -> int:
    """That this machine has from one address to one port."""
    try:
        first, last = map(int, PORT_RANGE.read_text().split())
    except OSError:
        return PORTS
    return last - first + 1


def figure(kind: Callable[[str], Any], name: str, value: str) -> Any:
    with suppress(ValueError):
        if 0 < (number := kind(value)) < 1e6:
            return number
    what = "a whole number" if kind is int else "a number"
    raise ValueError(f"{name}={value}: {name} is {what} above zero and below a million")


FULL = Plan(
    rounds=5,
    seconds=1.2,
    warm_up=0.3,
    storm_sockets=1000,
    idle_sockets=10_000,
    idle_seconds=20.0,
    users=5000,
    rate=400.0,
    mixed_seconds=60.0,
)
QUICK = Plan(
    rounds=2,
    seconds=0.3,
    warm_up=0.1,
    storm_sockets=200,
    idle_sockets=1000,
    idle_seconds=1.2,
    users=200,
    rate=400.0,
    mixed_seconds=3.0,
)
