"""The operators' page agrees with the code: bounds, metrics, alerts, and each line that a process may log."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from typing import Any

import yaml
from daphne.server import Server as DaphneServer

from realtime import metrics
from realtime.conf import Settings
from realtime.consumers import UNAVAILABLE_SINCE
from realtime.limits import TooMany
from realtime.protocol import CloseCode
from realtime.server.server import Server

from .servers import ROOT

PAGE = (ROOT / "docs/operating.md").read_text()
SETTINGS = {name: getattr(Settings, name) for name in Settings.__annotations__ if name.startswith(("MAX_", "FRAME_"))}


def section(title: str) -> str:
    (found,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


def rows(title: str, pattern: str) -> list[Any]:
    return re.findall(pattern, section(title), re.MULTILINE)


def test_the_table_of_bounds_names_all_of_them_with_their_defaults() -> None:
    bounds = {name: ast.literal_eval(default) for name, default in rows("Bounds", r"^\| `([\w-]+)`[^|]* \| `(.+?)` \|")}
    flags = {
        "--websocket-max-message-size": signature(DaphneServer).parameters["websocket_max_message_size"].default,
        "--max-send-buffer": Server.max_send_buffer,
        "--max-send-buffers": Server.max_send_buffers,
    }
    assert bounds == {**SETTINGS, **flags}


def test_its_close_codes_are_those_that_clients_are_told() -> None:
    codes = {int(code) for code in rows("Bounds", r"close (4\d+)")}
    assert codes == {code for code in CloseCode if code.name.startswith("TOO_")}


def test_the_table_of_metrics_names_all_of_them_with_their_labels() -> None:
    said = dict(rows("Health and metrics", r"^\| `(realtime_\w+)` \| (?:`(\w+)`)? ?\|"))
    ours = [collector for collector in vars(metrics).values() if hasattr(collector, "_labelnames")]
    names = {one._name + ("_total" if one._type == "counter" else ""): "".join(one._labelnames) for one in ours}
    assert said == names


def test_the_reasons_of_refusals_are_those_in_the_code() -> None:
    (cell,) = rows("Health and metrics", r"^\| `realtime_handshakes_refused_total` .*$")
    bounds = {str(TooMany("sockets", whose)) for whose in ("the user", "the process")}
    assert set(re.findall(r"`([a-z ]+)`", cell.partition("| `reason` |")[2])) == {
        "invalid token",
        "forbidden",
        "open files",
        *bounds,
        *UNAVAILABLE_SINCE.values(),
    }


def test_the_table_of_alerts_names_all_of_them() -> None:
    (group,) = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]
    said = rows("Health and metrics", r"^\| `([A-Z]\w+)` \|")
    assert said == [rule["alert"] for rule in group["rules"]]


def test_the_table_of_log_lines_names_every_warning_and_error() -> None:
    said = rows("Log lines", r"^\| `([^`]+)` \|")
    assert len(said) == len(set(said))
    assert set(said) == {line for path in (ROOT / "realtime").rglob("*.py") for line in warnings(path)}


def warnings(path: Path) -> Iterator[str]:
    """What a module may log as a warning or an error, "…" for what changes."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in ("logger.warning", "logger.error", "logger.exception", "problems.append"):
                yield text(node.args[0])
            elif name in ("store.log", "self.log") and (line := text(node.args[1])):
                yield line


def text(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)  # type: ignore[misc]
    return re.sub(r"%[.\d]*[a-z]", "…", str(node.value)) if isinstance(node, ast.Constant) else ""
