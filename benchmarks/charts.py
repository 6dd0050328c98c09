"""The results as bar charts in SVG, for pages that are light or dark.

Our own few lines: pygal's charts load scripts from another site and know one colour scheme, Matplotlib's know one too
and bring NumPy along.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from .figures import Spread
from .results import Results
from .servers import CONTENDERS
from .tables import number, title
from .works import IDLE, IN_WINDOWS, Measurement

WIDTH, LEFT, RIGHT, TOP, ROW, BAR = 760, 280, 70, 56, 26, 16
MISSING = "missing"  # why, the tables say
CUT = 2.5  # a bar this many times as long as the next one is cut, so that the others can be told apart

STYLE = """
    svg { --ground: #fbfcfe; --edge: #c4ccd6; --text: #1c2128; --dim: #5b6570; --ours: #0b5cc4; --others: #9aa5b1; }
    @media (prefers-color-scheme: dark) {
      svg { --ground: #15181d; --edge: #3b434e; --text: #e3e7ec; --dim: #a0a9b4; --ours: #6cb0ff; --others: #646e7a; }
    }
    text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--text); }
    .head { font-size: 15px; font-weight: 600; }
    .dim { fill: var(--dim); }
    .name { text-anchor: end; }
    .ground { fill: var(--ground); stroke: var(--edge); }
    .ours { fill: var(--ours); }
    .others { fill: var(--others); }
    .range, .cut { stroke: var(--text); fill: none; }
    .cut { stroke: var(--ground); stroke-width: 4; }
"""


@dataclass(frozen=True)
class Bar:
    name: str
    value: Spread | None  # None: the server is missing
    ours: bool


def draw(results: Results, folder: Path) -> None:
    """A file for each measured figure."""
    folder.mkdir(parents=True, exist_ok=True)
    for measurement in IN_WINDOWS:
        name, unit = measurement.name, measurement.unit
        write(results, measurement, "cpu_ms", f"CPU ms of the server per {unit}", folder / f"cpu-{name}.svg")
        write(results, measurement, "p99_ms", f"p99 in ms of a {unit}", folder / f"p99-{name}.svg")
    write(results, IDLE, "kb_per_socket", "KB per idle socket", folder / "kb-idle.svg")


def write(results: Results, measurement: Measurement, figure: str, axis: str, file: Path) -> None:
    bars = []
    suited = {each.name for each in CONTENDERS if measurement.suits(each, named=each.name in results.names)}
    for name, title_ in results.titles.items():
        if (value := results.spread(measurement.name, name, figure)) or name in suited & results.missing.keys():
            bars.append(Bar(title_, value, title_.startswith("ours")))
    if any(bar.value for bar in bars):
        file.write_text(chart(title(measurement, results), axis, bars))


def chart(head: str, axis: str, bars: Sequence[Bar]) -> str:
    """Horizontal bars for the medians, with the range as a line. Less is better."""
    height = TOP + ROW * len(bars) + 12
    said = "; ".join(f"{bar.name} {number(bar.value.median) if bar.value else MISSING}" for bar in bars)
    scale = (WIDTH - LEFT - RIGHT) / (longest([bar.value for bar in bars if bar.value]) or 1)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
            'aria-labelledby="title desc">',
            f'  <title id="title">{escape(axis)}: {escape(head)}</title>',
            f'  <desc id="desc">{escape(said)}.</desc>',
            f"  <style>{STYLE}  </style>",
            f'  <rect class="ground" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="6"/>',
            f'  <text class="head" x="16" y="24">{escape(head)}</text>',
            f'  <text class="dim" x="16" y="43">{escape(axis)}; less is better</text>',
            *(line for place, bar in enumerate(bars) for line in drawn(bar, TOP + ROW * place, scale)),
            "</svg>\n",
        ]
    )


def longest(values: Sequence[Spread]) -> float:
    """The value that reaches the right edge."""
    second, first = [0.0, *sorted(value.high for value in values)][-2:]
    return CUT * second if second and first > CUT * second else first


def drawn(bar: Bar, top: int, scale: float) -> Iterator[str]:
    room = WIDTH - LEFT - RIGHT
    middle = top + BAR // 2
    yield f'  <text class="name" x="{LEFT - 8}" y="{middle + 5}">{escape(bar.name)}</text>'
    if bar.value is None:
        yield f'  <text class="dim" x="{LEFT}" y="{middle + 5}">{MISSING}</text>'
        return
    values = (bar.value.median, bar.value.low, bar.value.high)
    length, low, high = (round(min(value * scale, room), 1) for value in values)
    kind = "ours" if bar.ours else "others"
    yield f'  <rect class="{kind}" x="{LEFT}" y="{top}" width="{length}" height="{BAR}" rx="2"/>'
    if bar.value.median * scale > room:
        yield f'  <path class="cut" d="M{WIDTH - RIGHT - 18} {top + BAR + 2}l6 {-BAR - 4}"/>'
    elif high > low:
        yield f'  <path class="range" d="M{LEFT + low} {middle}H{LEFT + high}"/>'
    yield f'  <text x="{LEFT + max(length, high) + 6}" y="{middle + 5}">{number(bar.value.median)}</text>'
