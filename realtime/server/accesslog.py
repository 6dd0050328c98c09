"""The access log. Browsers can't set headers, so their tokens travel in the query: they are cut out of it here."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote_plus

from daphne.access import AccessLogGenerator

_parameter = re.compile(r"([?&;])([^=&;]*)=[^&;]*")
_jwt = re.compile(r"[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}")


def without_tokens(target: str) -> str:
    """A path and query in which every `token`, however its name is escaped, is cut out, and all that looks like one."""
    path, mark, query = target.partition("?")
    return _jwt.sub("…", path + _parameter.sub(_cut, mark + query))


def _cut(parameter: re.Match[str]) -> str:
    separator, name = parameter.groups()
    return f"{separator}{name}=…" if unquote_plus(name).lower() == "token" else parameter[0]


class AccessLog(AccessLogGenerator):
    """Daphne's own, in its format."""

    def write_entry(self, host: Any, date: Any, request: str, *status: Any, **more: Any) -> None:
        # DEL is the one control character that Twisted lets into a target.
        super().write_entry(host, date, without_tokens(request).replace("\x7f", "%7F"), *status, **more)
