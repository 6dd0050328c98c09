from __future__ import annotations

from typing import Any

from daphne.management.commands.runserver import Command as DaphneCommand

from realtime.server.accesslog import without_tokens
from realtime.server.server import Server


class Command(DaphneCommand):
    """Daphne's, which serves sockets, on our server, and without tokens in what it prints."""

    server_cls = Server

    def log_action(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        super().log_action(protocol, action, {**details, "path": without_tokens(details["path"])})
