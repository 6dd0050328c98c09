"""The results as Markdown, which reads well in a terminal too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .figures import Spread
from .results import IDLE_FIGURES, WINDOW_FIGURES, Results, Target
from .servers import TITLES
from .works import WORKS

WINDOW_HEADER = ("server", "CPU ms/publish", "÷ textbook", "Redis CPU ms", "publishes/s", "p50 ms", "p99 ms")
IDLE_HEADER = ("server", "KB/socket", "connects/s", "CPU ms/connect", "slow-down, CPU", "slow-down, rate")
TARGET_HEADER = ("target", "measured", "at most", "holds")


def tables(results: Results) -> Iterator[str]:
    for work in WORKS:
        if servers := results.works.get(work.name):
            rows = [window_row(results, work.name, name) for name in servers]
            yield f"### {work.title}\n\n{table(WINDOW_HEADER, rows)}\n"
    if results.idle:
        rows = [
            [TITLES[name], *(number(getattr(idle, figure)) for figure in IDLE_FIGURES)]
            for name, idle in results.idle.items()
        ]
        title = f"{results.plan.idle_sockets:,} idle sockets, each of a user of its own, with one filter"
        yield f"### {title}\n\n{table(IDLE_HEADER, rows)}\n"
    if rows := [target_row(target) for target in results.targets()]:
        yield f"### Targets\n\n{table(TARGET_HEADER, rows)}\n"
    for name, reason in results.missing.items():
        yield f"Missing: {TITLES[name]}: {reason}\n"
    for warning in results.warnings():
        yield f"Mind: {warning}.\n"


def window_row(results: Results, work: str, server: str) -> list[str]:
    windows = results.works[work][server]
    cpu, *others = (spread(Spread.of(getattr(window, name) for window in windows)) for name in WINDOW_FIGURES)
    share = results.cpu_share(work, server)
    return [TITLES[server], cpu, spread(share) if share else "", *others]


def target_row(target: Target) -> list[str]:
    return [target.what, spread(target.measured), number(target.at_most), "yes" if target.holds else "NO"]


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
