"""The command line: Daphne's flags, with defaults for sockets that stay, and those of our own."""

from __future__ import annotations

import asyncio
import math
import sys
from contextlib import suppress
from typing import Any

with suppress(ImportError):
    import uvloop

    if "daphne.server" not in sys.modules:  # which makes its event loop when it is imported
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())

from daphne import cli as daphne

from . import server
from .accesslog import AccessLog

daphne.AccessLogGenerator = AccessLog


def amount(text: str) -> float:
    if not 0 <= (found := float(text)) < math.inf:
        raise ValueError
    return found


class CommandLine(daphne.CommandLineInterface):
    description = "HopeFlow Realtime's server: Daphne, extended for sockets that stay open for long"
    server_class = server.Server

    def __init__(self) -> None:
        super().__init__()
        self.parser.prog = "python -m realtime.server"
        self.parser.set_defaults(websocket_timeout=-1)
        for name, default, help in (
            ("max-send-buffer", server.MAX_SEND_BUFFER, "Bytes that may wait for a client that reads too slowly."),
            ("max-send-buffers", server.MAX_SEND_BUFFERS, "Bytes that may wait for all such clients together."),
            ("drain-time", server.DRAIN_TIME, "Seconds over which sockets are closed when the server stops."),
            ("drain-timeout", server.DRAIN_TIMEOUT, "Seconds beyond that which requests under way are given then."),
        ):
            self.parser.add_argument(f"--{name}", type=amount, default=default, help=f"{help} Default: {default}")

    def run(self, args: list[str]) -> Any:
        options = self.parser.parse_args(args)
        for name in ("max_send_buffer", "max_send_buffers", "drain_time", "drain_timeout"):
            setattr(server.Server, name, getattr(options, name))
        return super().run(args)
