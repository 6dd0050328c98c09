"""What was found, as Markdown and for a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from math import inf
from typing import Any

from benchmarks.results import Results, machine
from benchmarks.tables import number, table, tables

from .faults import Survived
from .held import LATE_MS, Held, Span
from .plan import Plan
from .verdicts import Verdict

QUANTILES = {"p50 ms": 0.5, "p99 ms": 0.99, "p99.9 ms": 0.999, "max ms": 1.0}
SPAN_HEADER = ("minute", "publishes", "lost", "wrong", "publishes/s", *QUANTILES, "MB of processes")
USED_HEADER = ("", "sockets", "CPU ms/publish", "share of a core", "MB before", "MB after", "KB per 100,000 publishes")
COUNTS = {
    "right": Verdict.RIGHT,
    "right, without the stopped": Verdict.SHORT,
    "refused": Verdict.REFUSED,
    "wrong": Verdict.WRONG,
    "no answer": Verdict.CLOSED,
    "hung": Verdict.HUNG,
}
FAULT_HEADER = ("what was done", *COUNTS, "sockets lost", "longest publish, s", "broken, s", "back after, s")


@dataclass
class Report:
    plan: Plan
    held: Held | None = None
    survived: list[Survived] = field(default_factory=list)
    idle: Results | None = None

    @property
    def failures(self) -> int:
        """What must not be, counted."""
        return sum(part.failures for part in self._judged())

    def _judged(self) -> Iterator[Held | Survived]:
        if self.held is not None:
            yield self.held
        yield from self.survived

    def tables(self) -> Iterator[str]:
        if self.held is not None:
            yield from held_tables(self.held, self.plan)
        if self.survived:
            title = f"Faults survived, {number(self.plan.rate)} publishes/s meanwhile"
            yield f"### {title}\n\n{table(FAULT_HEADER, [fault_row(survived) for survived in self.survived])}\n"
        if self.idle is not None:
            yield from tables(self.idle)
        for part in self._judged():
            yield from (f"Wrong: {wrong}\n" for wrong in part.wrong)
        for survived in self.survived:
            yield from (f"Logged ({survived.fault.name}): {line}\n" for line in survived.log_errors)

    def as_json(self) -> dict[str, Any]:
        return {
            "machine": machine(),
            "plan": asdict(self.plan),
            "load": None if self.held is None else held_as_dict(self.held),
            "faults": [survived_as_dict(survived) for survived in self.survived],
            "idle": None if self.idle is None else self.idle.as_json(),
        }


def held_tables(held: Held, plan: Plan) -> Iterator[str]:
    rows = [span_row(str(minute), span) for minute, span in enumerate(held.spans, 1)]
    if len(rows) > 1:
        rows.append(span_row("all", held.whole))
    title = f"Load held behind nginx: {plan.users} users with {plan.sockets} sockets each, two processes"
    yield f"### {title}\n\n{table(SPAN_HEADER, rows)}\n"
    yield f"{table(USED_HEADER, list(used_rows(held)))}\n"
    warm_up = held.warm_up
    yield f"Sockets lost: {held.sockets_lost}. Warm-up: {warm_up.lost} lost, {warm_up.wrong} wrong.\n"
    if held.generator_late_ms > LATE_MS:
        late = number(held.generator_late_ms)
        yield f"Mind: the load generator itself was {late} ms late (p99), so these times may be its own.\n"


def span_row(name: str, span: Span) -> list[str]:
    counts = [f"{count:,}" for count in (span.publishes, span.lost, span.wrong)]
    quantiles = [number(span.quantile_ms(share)) for share in QUANTILES.values()]
    memory = [number(size / 2**20) for name, size in span.memory.items() if name.startswith("process")]
    return [name, *counts, number(span.rate), *quantiles, ", ".join(memory)]


def used_rows(held: Held) -> Iterator[list[str]]:
    for name, used in held.used.items():
        megabytes = [number(size / 2**20) for size in (used.memory_before, used.memory_after)]
        sockets = str(held.sockets.get(name, ""))
        yield [name, sockets, number(used.cpu_ms), f"{used.core_share:.0%}", *megabytes, f"{used.growth_kb:,.0f}"]


def fault_row(survived: Survived) -> list[str]:
    counts = [survived.verdicts[verdict] for verdict in COUNTS.values()]
    back = "NOT" if survived.back == inf else f"{survived.back:.2f}"
    times = [f"{survived.longest:.2f}", f"{survived.broken:.2f}", back]
    return [survived.fault.title, *(f"{count:,}" for count in (*counts, survived.sockets_lost)), *times]


def held_as_dict(held: Held) -> dict[str, Any]:
    return {
        "spans": [span_as_dict(span) for span in held.spans],
        "all": span_as_dict(held.whole),
        "warm_up": span_as_dict(held.warm_up),
        "used": {
            name: {**asdict(used), "cpu_ms": used.cpu_ms, "core_share": used.core_share, "growth_kb": used.growth_kb}
            for name, used in held.used.items()
        },
        "sockets": held.sockets,
        "sockets_lost": held.sockets_lost,
        "wrong": held.wrong,
        "generator_late_ms": held.generator_late_ms,
    }


def span_as_dict(span: Span) -> dict[str, Any]:
    return {
        "seconds": span.seconds,
        "publishes": span.publishes,
        "verdicts": counted(span.verdicts),
        "rate": span.rate,
        "ms": {name.removesuffix(" ms"): span.quantile_ms(share) for name, share in QUANTILES.items()},
        "memory": span.memory,
    }


def survived_as_dict(survived: Survived) -> dict[str, Any]:
    return {
        "name": survived.fault.name,
        "title": survived.fault.title,
        "verdicts": counted(survived.verdicts),
        "statuses": {str(status): count for status, count in survived.statuses.items()},
        "sockets_lost": survived.sockets_lost,
        "longest": survived.longest,
        "broken": survived.broken,
        "back": None if survived.back == inf else survived.back,
        "wrong": survived.wrong,
        "log_errors": survived.log_errors,
    }


def counted(verdicts: Mapping[Verdict, int]) -> dict[str, int]:
    return {verdict.value: count for verdict, count in verdicts.items()}
