"""Fixtures that tests of several kinds share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from .servers import valkey

pytest.register_assert_rewrite("tests.clients")

# How long one example takes says more about what else the machine does than about the code.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Valkey that all tests of a worker share."""
    with valkey() as server:
        yield server.connection_url
