"""Fixtures that tests of several kinds share."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from hypothesis import Phase, settings

from realtime.background import background

from . import servers
from .embedding import Product, Versions
from .forks import Forks
from .servers import valkey

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytest.register_assert_rewrite("tests.clients", "tests.desks")

# Where it is set, each process would compile anew what it imports: all of Twisted and Django in the new virtual
# environments of tests/embedding.py.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# How long one example takes says more about what else the machine does than about the code; and to explain a failure
# takes longer than to find it, where an example is a hundred requests. The suite tries the same examples each time, so
# that it fails for what has changed; the long run (`make fuzz`) tries others, and remembers those that failed.
PHASES = set(Phase) - {Phase.explain}
settings.register_profile("suite", deadline=None, phases=PHASES, derandomize=True)
settings.register_profile("long", deadline=None, phases=PHASES, max_examples=3_000)
settings.load_profile("suite")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """A real Chromium for the tests of a module."""
    from .browsers import chromium  # what playwright brings is needed by few

    async with chromium() as browser:
        yield browser


@pytest.fixture(scope="session", autouse=True)
def forks() -> Iterator[None]:
    """Servers and the site's commands start as forks."""
    forks = Forks()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(servers, "start_python", forks.start)
        yield
    forks.end()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Valkey that all tests of a worker share."""
    with valkey() as server:
        yield server.connection_url
        background.stop()  # its connections, which would be tried again until the end


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Callable[[Versions], Product]:
    """The product that does what the README says, on the oldest or the newest versions. All workers share it."""
    folder = tmp_path_factory.getbasetemp()
    return partial(Product.make, (folder if worker_id == "master" else folder.parent) / "embedded")
