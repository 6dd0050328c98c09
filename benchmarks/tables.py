"""The results as Markdown, which reads well in a terminal too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .figures import Spread, p999_of_all
from .results import Results
from .targets import Target, targets
from .works import IDLE, IN_WINDOWS, MIXED, Measurement

FIGURES = ("cpu_ms", "redis_cpu_ms", "rate", "p50_ms", "p99_ms")
HEADER = ("server", "CPU ms/{unit}", "÷ Socket.IO with Redis", "Redis CPU ms", "{units}/s", "p50 ms", "p99 ms")
IDLE_COLUMNS = {
    "KB/socket": "kb_per_socket",
    "CPU ms/publish": "cpu_ms",
    "÷ with none": "cpu_slowdown",
    "Redis CPU ms": "redis_cpu_ms",
    "publishes/s with none": "rate_with_none",
    "rate ÷ with none": "rate_share",
    "p50 ms": "p50_ms",
    "p99 ms": "p99_ms",
    "p99.9 ms": "p999_ms",
    "most MB": "resident_mb",
}
TARGET_HEADER = ("target", "measured", "bound", "holds")
HOLDS = {True: "yes", False: "NO", None: ""}


def tables(results: Results) -> Iterator[str]:
    for measurement in IN_WINDOWS:
        if servers := results.works.get(measurement.name):
            rows = [window_row(results, measurement, name) for name in servers]
            yield f"### {title(measurement, results)}\n\n{table(window_header(measurement), rows)}\n"
    if results.idle:
        rows = [
            [results.titles[name], *(number(getattr(idle, figure)) for figure in IDLE_COLUMNS.values())]
            for name, idle in results.idle.items()
        ]
        yield f"### {title(IDLE, results)}\n\n{table(('server', *IDLE_COLUMNS), rows)}\n"
    if rows := [target_row(target) for target in targets(results)]:
        yield f"### Targets\n\n{table(TARGET_HEADER, rows)}\n"
    for name, reason in results.missing.items():
        yield f"Missing: {results.titles[name]}: {reason}\n"
    for warning in results.warnings():
        yield f"Mind: {warning}.\n"


def title(measurement: Measurement, results: Results) -> str:
    return measurement.title.format(plan=results.plan)


def window_header(measurement: Measurement) -> list[str]:
    late = ["generator late ms"] if measurement is MIXED else []
    units = {"unit": measurement.unit, "units": measurement.units}
    return [*(cell.format(**units) for cell in HEADER), "p99.9 ms", "most MB", *late]


def window_row(results: Results, measurement: Measurement, server: str) -> list[str]:
    windows = results.works[measurement.name][server]
    cpu, *others = (spread(Spread.of(getattr(window, name) for window in windows)) for name in FIGURES)
    share = results.ratio(measurement.name, "cpu_ms", server)
    once = [p999_of_all(windows), max(window.resident_mb for window in windows)]
    if measurement is MIXED:
        once.append(max(window.late_ms for window in windows))
    return [results.titles[server], cpu, spread(share) if share else "", *others, *map(number, once)]


def target_row(target: Target) -> list[str]:
    measured = spread(target.measured) if target.measured else "not measured"
    bound = f"{'at least' if target.at_least else 'at most'} {number(target.bound)}"
    return [target.what, measured, bound, HOLDS[target.holds]]


def spread(values: Spread) -> str:
    """The median, and the range if there is one."""
    if values.low == values.high:
        return number(values.median)
    return f"{number(values.median)} ({number(values.low)}–{number(values.high)})"


def number(value: float) -> str:
    """Three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )
