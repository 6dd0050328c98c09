"""Peers that come from PyPI, as requirements-dev.txt pins them."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec


def needs(module: str) -> Callable[[], str | None]:
    """A function that says why a peer is missing: that this module can't be imported. None: it can."""
    return lambda: None if find_spec(module) else f"{module} is not installed: pip install -r requirements-dev.txt"
