"""The topologies that every test of the contract runs on. Servers start when a test first asks, once per worker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests import embedding
from tests.clients import Service, service_of
from tests.embedding import Product, Versions
from tests.servers import APPLICATION, Server, daphne, environment, nginx, realtime_server, uvicorn, valkey

ACK_TIMEOUT = 0.6  # seconds, instead of 5
AT_ONCE = ACK_TIMEOUT / 2  # what takes less has not waited


@dataclass(frozen=True, kw_only=True)
class Topology:
    """One way to run the service."""

    name: str
    server: Callable[..., AbstractContextManager[Server]]  # called with environment, application, *arguments
    arguments: tuple[str, ...]  # at least: protocol pings each second, and three seconds to answer
    application: str = APPLICATION
    settings: str = "hopeflow_site.settings"
    variables: Mapping[str, str] = field(default_factory=dict)  # of the environment, beside those of every server
    needs_redis: bool = False
    processes: int = 1
    behind_nginx: bool = False
    modules: tuple[str, ...] = ()  # whose tests run on it, where the others can't tell it from a topology above
    strict_401: bool = False  # whether the server can refuse a handshake with another status than 403
    product: Versions | None = None  # of the README's product that it is embedded in
    prefix: str = ""


DAPHNE_PINGS = ("--ping-interval", "1", "--ping-timeout", "3")
VERSIONS: dict[Versions, int] = {"oldest": 2, "newest": 1}  # and processes
SERVERS_SEE = (
    "test_acks",
    "test_answers",
    "test_idle",
    "test_publish",
    "test_sockets",
    "test_text",
    "test_tokens",
)
UVICORN_PINGS = ("--ws-ping-interval", "1", "--ws-ping-timeout", "3")

TOPOLOGIES = [
    Topology(
        name="nginx",
        server=realtime_server,
        arguments=(*DAPHNE_PINGS, "--proxy-headers"),
        needs_redis=True,
        processes=2,
        behind_nginx=True,
        strict_401=True,
    ),
    # Bytes as the client sent them, and the client's own connection: nginx makes requests of its own.
    Topology(
        name="server-local",
        server=realtime_server,
        arguments=DAPHNE_PINGS,
        modules=("test_acks", "test_answers", "test_publish", "test_sockets"),
        strict_401=True,
    ),
    # All of it on plain daphne is run in a product that embeds it; this one has the paths of the site.
    Topology(name="daphne-local", server=daphne, arguments=DAPHNE_PINGS, modules=("test_sockets",)),
    Topology(
        name="uvicorn-local",
        server=uvicorn,
        arguments=UVICORN_PINGS,
        modules=SERVERS_SEE,
        strict_401=True,
    ),
    Topology(
        name="behind-middleware",
        server=daphne,
        arguments=DAPHNE_PINGS,
        application="tests.sites.middleware:application",
        modules=("test_answers", "test_publish"),
    ),
    *(
        Topology(
            name=f"layer-{layer}",
            server=daphne,
            arguments=DAPHNE_PINGS,
            settings="tests.sites.foreign",
            variables={"TEST_LAYER": layer},
            needs_redis=layer != "inmemory",
            processes=1 if layer == "inmemory" else 2,
            modules=("test_acks",),
        )
        for layer in ("inmemory", "core", "pubsub")
    ),
    *(
        Topology(
            name=f"embedded-{versions}",
            server=daphne,
            arguments=DAPHNE_PINGS,
            application=embedding.APPLICATION,
            settings="product.hurried",
            modules=() if versions == "oldest" else SERVERS_SEE,
            product=versions,
            prefix=embedding.PREFIX,
            needs_redis=processes > 1,
            processes=processes,
        )
        for versions, processes in VERSIONS.items()
    ),
]

Servers = Callable[[Topology], list[Server]]
Start = Callable[..., AbstractAsyncContextManager[Service]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test of the contract runs on each topology that its module is for."""
    if "topology" in metafunc.fixturenames:
        module = Path(metafunc.module.__file__).stem
        chosen = [topology for topology in TOPOLOGIES if not topology.modules or module in topology.modules]
        metafunc.parametrize("topology", chosen, ids=[topology.name for topology in chosen], scope="function")


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Under `--dist loadgroup`, a file's tests on one topology stay on one worker, so that few servers start twice."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        topology = callspec.params.get("topology") if callspec else None
        if isinstance(topology, Topology):
            item.add_marker(pytest.mark.xdist_group(f"{topology.name} {item.path.stem}"))
            if topology.product:
                item.add_marker(pytest.mark.timeout(300))  # the first has to fill a virtual environment


@pytest.fixture(scope="session")
def servers(embedded: Callable[[Versions], Product]) -> Iterator[Servers]:
    """The processes of a topology, which run until the session ends."""
    started: dict[str, list[Server]] = {}
    with ExitStack() as stack:

        def start(topology: Topology) -> list[Server]:
            if topology.name not in started:
                env = environment(
                    DJANGO_SETTINGS_MODULE=topology.settings,
                    REALTIME_ACK_TIMEOUT=str(ACK_TIMEOUT),
                    **topology.variables,
                )
                if topology.needs_redis:
                    env["REDIS_URL"] = stack.enter_context(valkey()).connection_url
                where: dict[str, Any] = {}
                if topology.product:
                    product = embedded(topology.product)
                    where = {"python": product.python, "home": product.folder}
                processes = [
                    stack.enter_context(topology.server(env, topology.application, *topology.arguments, **where))
                    for _ in range(topology.processes)
                ]
                behind = [stack.enter_context(nginx(*processes))] if topology.behind_nginx else processes
                started[topology.name] = behind
            return started[topology.name]

        yield start


@pytest.fixture
async def service(topology: Topology, servers: Servers) -> AsyncIterator[Service]:
    """The service under test."""
    refusal = 401 if topology.strict_401 else 403
    async with service_of(servers(topology), refusal, topology.prefix) as service:
        yield service


@pytest.fixture
def start() -> Start:
    """Start a server of one's own, with other settings: `async with start(REALTIME_…="…") as service`."""

    @asynccontextmanager
    async def start(**settings: str) -> AsyncIterator[Service]:
        with daphne(environment(**settings)) as server:
            async with service_of([server], refusal=403) as service:
                yield service

    return start


@pytest.fixture
def user() -> str:
    """A user that no other test knows."""
    return f"user-{uuid4()}"
