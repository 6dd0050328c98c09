"""Fixtures that tests of several kinds share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .servers import valkey


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Valkey that all tests of a worker share."""
    with valkey() as server:
        yield server.connection_url
