"""What was found, as Markdown and for a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.results import BUSY, as_json, machine
from benchmarks.servers import REDIS, Contender
from benchmarks.tables import number, table

from .crowds import Crowd, Step
from .model import Model, model, predicted
from .plan import HOSTS, PROCESSES, PUBLISHERS, SOCKETS, USERS, Plan
from .points import Found, Point

LARGER = ((100_000, 10_000.0), (1_000_000, 100_000.0))  # sockets, publishes a second

TITLES = {
    SOCKETS: "Sockets of one user: acked publish to all of them, 1 publisher",
    PUBLISHERS: "Publishers at once: acked publish to 1 socket each of 64 users",
    PROCESSES: "Processes: acked publish to 1 socket each of 64 users, 16 publishers",
    HOSTS: "Redis hosts: the same with 2 processes and 256 users",
}
USERS_TITLE = "Users with 1 socket each in one process"
FIGURES: dict[str, Callable[[Point], str]] = {
    "CPU ms/publish": lambda point: number(point.median("cpu_ms")),
    "publishes/s": lambda point: number(point.median("rate")),
    "p50 ms": lambda point: number(point.median("p50_ms")),
    "p99 ms": lambda point: number(point.median("p99_ms")),
    "CPU ms/socket": lambda point: number(point.median("cpu_ms") / point.size),
    "Redis CPU ms/publish": lambda point: number(point.redis_ms),
    "of each host": lambda point: ", ".join(number(1000 * cpu) for cpu in point.of_hosts(lambda taken: taken.cpu)),
    "PUBLISH/publish": lambda point: number(point.commands),
    "share of the busiest": lambda point: f"{point.busiest:.0%}",
}
USER_FIGURES: dict[str, Callable[[Step], str]] = {
    "KB/socket": lambda step: number(step.kb_per_socket),
    "idle: share of a core": lambda step: f"{step.idle_cores:.2%}",
    "CPU ms/publish": lambda step: number(step.cpu_ms),
    "CPU ms/connect": lambda step: number(step.connects.cpu_ms),
}
OF_REDIS = "bytes in Redis/user"  # what a peer keeps there is not by user
COLUMNS = {
    SOCKETS: ("CPU ms/publish", "CPU ms/socket", "p50 ms"),
    PUBLISHERS: ("CPU ms/publish", "publishes/s", "p50 ms", "p99 ms", "Redis CPU ms/publish"),
    PROCESSES: ("CPU ms/publish", "publishes/s", "Redis CPU ms/publish", "PUBLISH/publish"),
    HOSTS: ("CPU ms/publish", "publishes/s", "PUBLISH/publish", "of each host", "share of the busiest"),
}


@dataclass
class Report:
    plan: Plan
    crowds: list[Crowd] = field(default_factory=list)
    found: Found = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)  # why servers could not be measured, by their titles

    @property
    def model(self) -> Model | None:
        """None when not all that it takes was measured."""
        for crowd in self.crowds:
            if crowd.outage is not None and {SOCKETS, PROCESSES} <= set(self.found):
                return model(crowd, crowd.outage, self.found)
        return None

    def tables(self) -> Iterator[str]:
        if self.crowds:
            steps = [
                (step.size, crowd.contender, crowd_cells(crowd, step)) for crowd in self.crowds for step in crowd.steps
            ]
            yield f"### {USERS_TITLE}\n\n{side_by_side(USERS, steps)}\n"
        for factor, points in self.found.items():
            seen = [(each.size, each.contender, cells(each, COLUMNS[factor])) for each in points]
            yield f"### {TITLES[factor]}\n\n{side_by_side(factor, seen)}\n"
        if made := self.model:
            yield f"### Model\n\n{table(('', 'coefficient', 'measured', 'off by at most'), coefficients(made))}\n"
            yield f"### Predicted\n\n{prediction(made)}\n"
        for title, reason in self.missing.items():
            yield f"Missing: {title}: {reason}\n"
        yield from self._warnings()

    def _warnings(self) -> Iterator[str]:
        windows = {
            f"{each.factor} {each.size:,}, {each.contender.title}": [sample.window for sample in each.samples]
            for points in self.found.values()
            for each in points
        }
        for crowd in self.crowds:
            windows |= {f"users {step.size:,}, {crowd.contender.title}": list(step.publishes) for step in crowd.steps}
        for what, found in windows.items():
            if (busy := max(window.generator_busy for window in found)) > BUSY:
                yield f"Mind: {what}: the load generator was {busy:.0%} busy, so the rate may be its own.\n"

    def as_json(self) -> dict[str, Any]:
        points = [
            {"factor": each.factor, "size": each.size, "server": each.contender.name, "samples": as_json(each.samples)}
            for points in self.found.values()
            for each in points
        ]
        return {
            "machine": machine(),
            "plan": asdict(self.plan),
            "users": [
                {"server": each.contender.name, "steps": as_json(each.steps), "outage": as_json(each.outage)}
                for each in self.crowds
            ],
            "points": points,
            "model": as_json(self.model),
            "missing": self.missing,
        }


def cells(point: Point, columns: Sequence[str]) -> dict[str, str]:
    return {column: FIGURES[column](point) for column in columns}


def crowd_cells(crowd: Crowd, step: Step) -> dict[str, str]:
    held = {OF_REDIS: number(step.redis_bytes / step.size)} if crowd.contender.name == REDIS.name else {}
    return {column: figure(step) for column, figure in USER_FIGURES.items()} | held


def side_by_side(factor: str, seen: Iterable[tuple[int, Contender, dict[str, str]]]) -> str:
    """A row for each size; what is a peer's stands behind what is ours, with its name."""
    rows: dict[int, dict[str, str]] = {}
    for size, contender, found in seen:
        whose = "" if contender.name == REDIS.name else f"{contender.title.partition(',')[0]}: "
        rows.setdefault(size, {}).update({f"{whose}{column}": cell for column, cell in found.items()})
    header = next(iter(rows.values()))
    return table([factor, *header], [[f"{size:,}", *row.values()] for size, row in rows.items()])


def coefficients(made: Model) -> list[list[str]]:
    """Their names are those of the formulas."""
    off = f"{made.sockets.off:.0%}", f"{made.processes.off:.0%}", f"{made.commands.off:.0%}"
    per_million = 1e6 * made.idle.slope
    return [
        ["a", "CPU ms of a publish", number(made.publish_ms), ""],
        ["b", "and for each socket that acks", number(made.sockets.slope), off[0]],
        ["c", "and for each other process reached", number(made.processes.slope), off[1]],
        ["n", "PUBLISH commands of a publish that reaches another process", number(sum(made.commands[:2])), off[2]],
        ["r", "CPU ms of Redis for a PUBLISH", number(made.command_ms), ""],
        ["m", "MB of a process without sockets", number(made.memory_mb), ""],
        ["k", "KB of a socket", number(made.socket_kb), ""],
        ["p", "cores for the pings of a million sockets", number(per_million), f"{made.idle.off:.0%}"],
        ["t", "CPU ms of a connect", number(made.connect_ms), ""],
        ["q", "bytes of a subscription in Redis", number(made.subscription_bytes), ""],
        ["u", "CPU µs of Redis to subscribe to a name again", number(made.again_us), ""],
    ]


def prediction(made: Model) -> str:
    columns = [list(predicted(made, sockets, rate)) for sockets, rate in LARGER]
    header = ["", "formula", *(f"{sockets:,} sockets, {rate:,.0f} publishes/s" for sockets, rate in LARGER)]
    rows = [
        [first.what, first.formula, *(counted(each.value) for each in (first, *others))]
        for first, *others in zip(*columns, strict=True)
    ]
    return table(header, rows)


def counted(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else number(value)
