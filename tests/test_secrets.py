"""Secrets in the database, managed from one process and obeyed by two others, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from .clients import PATIENCE, Service, Socket, bearer, service_of, token
from .servers import (
    SECRET,
    daphne,
    environment,
    free_port,
    manage,
    migrate,
    missing,
    postgres,
    postgres_folder,
    uvicorn,
    valkey,
)

SQLITE = pytest.param("sqlite", marks=pytest.mark.xdist_group("secrets on sqlite"))
POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.xdist_group("secrets on postgresql"))
on_sqlite = pytest.mark.parametrize("site_env", [SQLITE], indirect=True)
on_both = pytest.mark.parametrize("site_env", [SQLITE, POSTGRESQL], indirect=True)

POLL_NEVER = "3600"  # so that what takes effect is what was told


def needs_postgres() -> None:
    if postgres_folder() is None:
        missing("postgresql")


@dataclass
class Made:
    """A secret as `realtime_secret --json` shows it."""

    kid: str
    secret: str

    def token(self, user: str = "ann", kid: bool = True, **claims: Any) -> str:
        headers = {"kid": self.kid} if kid else None
        return jwt.encode({"userId": user, **claims}, self.secret, algorithm="HS256", headers=headers)


@dataclass
class Site:
    """Two processes of the site, and its commands, on one database."""

    service: Service
    env: dict[str, str]

    async def command(self, *arguments: str, stdin: str = "") -> str:
        return await asyncio.to_thread(manage, self.env, "realtime_secret", *arguments, stdin=stdin)

    async def make(self, *arguments: str, stdin: str = "") -> Made:
        made = json.loads(await self.command(*arguments, "--json", stdin=stdin))
        return Made(made["kid"], made["secret"])

    async def status(self, jwt_text: str) -> set[int]:
        """What a publish with this token is answered with, by each of the processes."""
        return {await self.service.status("publish", bearer(jwt_text)) for _ in self.service.servers}

    async def comes_to(self, status: int, jwt_text: str) -> None:
        """Wait until all processes answer so."""
        async with asyncio.timeout(PATIENCE):
            while await self.status(jwt_text) != {status}:
                await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def site_env(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with ExitStack() as stack:
        if request.param == "postgresql":
            needs_postgres()
            url = stack.enter_context(postgres())
        else:
            url = f"sqlite:///{tmp_path_factory.mktemp('database')}/db.sqlite3"
        redis = stack.enter_context(valkey()).connection_url
        env = environment(DATABASE_URL=url, REDIS_URL=redis, REALTIME_SECRETS_POLL=POLL_NEVER, REALTIME_ACK_TIMEOUT="2")
        migrate(env)
        yield env


@pytest.fixture(scope="module")
def servers(site_env: dict[str, str]) -> Iterator[list[Any]]:
    with daphne(site_env) as first, daphne(site_env) as second:
        yield [first, second]


@pytest.fixture
async def site(site_env: dict[str, str], servers: list[Any]) -> AsyncIterator[Site]:
    async with service_of(servers, 403) as service:
        site = Site(service, site_env)
        await site.comes_to(200, token("warm"))
        yield site


@asynccontextmanager
async def sockets(site: Site, jwt_text: str) -> AsyncIterator[list[Socket]]:
    """A socket in each process."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(site.service.connect("ann", jwt_text=jwt_text)) for _ in range(2)]


async def close_code(socket: Socket) -> int:
    with pytest.raises(ConnectionClosed) as closed:
        await socket.recv()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


@on_both
async def test_a_new_secret_is_obeyed_in_all_processes_without_a_restart(site: Site) -> None:
    made = await site.make("create", "backend")
    await site.comes_to(200, made.token())
    await site.comes_to(200, made.token(kid=False))
    async with sockets(site, made.token()) as opened:
        for socket in opened:
            await socket.settle()
    assert await site.status(token("ann")) == {200}, "the secret of the settings goes on beside it"


@on_sqlite
async def test_a_secret_may_connect_only_or_publish_only(site: Site) -> None:
    browsers = await site.make("create", "browsers", "--may", "connect")
    backend = await site.make("create", "backend", "--may", "publish")
    await site.comes_to(200, backend.token())
    response = await site.service.request(
        "POST", content="no JSON", content_type="text/plain", authorization=f"Bearer {browsers.token()}"
    )
    assert (response.status_code, response.text) == (403, '{"error":"Forbidden"}')
    assert response.headers["access-control-allow-origin"] == "*"
    assert await site.status(browsers.token(kid=False)) == {403}
    async with sockets(site, browsers.token()) as (socket, _):
        await socket.settle()
    with pytest.raises(InvalidStatus, match="403"):
        async with sockets(site, backend.token()):
            pass


@on_sqlite
async def test_a_kid_of_nobody_is_tried_against_the_secret_of_the_settings_alone(site: Site) -> None:
    made = await site.make("create", "backend")
    await site.comes_to(200, made.token())
    of_old = jwt.encode({"userId": "ann"}, SECRET, algorithm="HS256", headers={"kid": "of old"})
    assert await site.status(of_old) == {200}
    assert await site.status(Made("of old", made.secret).token()) == {401}
    assert await site.status(Made(made.kid, SECRET).token()) == {401}


@on_both
async def test_a_rotated_secret_stays_for_the_overlap_and_no_longer(site: Site) -> None:
    first = await site.make("create", "backend", "--may", "publish")
    second = await site.make("rotate", first.kid, "--overlap", "1h")
    await site.comes_to(200, second.token())
    assert await site.status(first.token()) == {200}
    third = await site.make("rotate", second.kid, "--overlap", "0s")
    await site.comes_to(200, third.token())
    assert await site.status(second.token()) == {401}
    with pytest.raises(InvalidStatus):
        async with sockets(site, third.token()):
            pass


@on_both
async def test_revoking_ends_a_secret_everywhere_and_closes_the_sockets_it_let_in_if_wanted(site: Site) -> None:
    kept, closed = await site.make("create", "kept"), await site.make("create", "closed")
    await site.comes_to(200, closed.token())
    async with sockets(site, kept.token()) as those_that_stay, sockets(site, closed.token(kid=False)) as those_that_go:
        await site.command("revoke", kept.kid)
        await site.comes_to(401, kept.token())
        await site.command("revoke", closed.kid, "--close-sockets")
        assert [await close_code(socket) for socket in those_that_go] == [4002, 4002]
        assert await site.status(closed.token()) == {401}
        for socket in those_that_stay:
            await socket.settle()
        with pytest.raises(InvalidStatus):
            async with sockets(site, closed.token()):
                pass
    for server in site.service.servers:
        assert "reason=SECRET_REVOKED" in server.log


@on_sqlite
async def test_a_given_secret_is_read_from_stdin_and_a_short_one_refused(site: Site) -> None:
    given = uuid4().hex
    made = await site.make("create", "given", "--stdin", "--kid", given[:8], stdin=f"{given}\n")
    assert made == Made(given[:8], given)
    await site.comes_to(200, made.token())
    for wrong in (given[:31], "", "-----BEGIN PUBLIC KEY-----\n"):
        with pytest.raises(subprocess.CalledProcessError) as refused:
            await site.command("create", "wrong", "--stdin", stdin=wrong)
        assert "Traceback" not in refused.value.stderr


@on_both
async def test_the_last_use_is_noted_but_not_at_every_use(site: Site) -> None:
    made = await site.make("create", "used")
    await site.comes_to(200, made.token())

    async def last_used() -> Any:
        listed = [json.loads(line) for line in (await site.command("list", "--json")).splitlines()]
        return next(secret["lastUsed"] for secret in listed if secret["kid"] == made.kid)

    async with asyncio.timeout(PATIENCE):
        while (used := await last_used()) is None:
            await site.make("create", "whatever")  # which makes the processes look, as the interval would
    await site.comes_to(200, made.token())
    await site.make("create", "whatever")
    assert await last_used() == used


@on_sqlite
async def test_no_secret_is_in_a_log_or_a_list(site: Site) -> None:
    made = await site.make("create", "hidden")
    await site.comes_to(200, made.token())
    await site.comes_to(401, made.token(exp=1))
    seen = await site.command("list") + await site.command("list", "--json")
    assert made.kid in seen
    assert all(made.secret not in text for text in (seen, *(server.log for server in site.service.servers)))


async def test_processes_that_nobody_can_tell_look_for_themselves(tmp_path: Path) -> None:
    """The embedded default: no Redis, so that a command can't reach the server but through the database."""
    env = environment(DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3", REALTIME_SECRETS_POLL="0.1")
    migrate(env)
    with daphne(env) as server:
        async with service_of([server], 403) as service:
            site = Site(service, env)
            made = await site.make("create", "backend")
            await site.comes_to(200, made.token())
            with pytest.raises(subprocess.CalledProcessError) as not_told:
                await site.command("revoke", made.kid, "--close-sockets")
            assert "No server could be told to close its sockets" in not_told.value.stderr
            await site.comes_to(401, made.token())


async def test_without_migrations_the_secret_of_the_settings_works(tmp_path: Path) -> None:
    with daphne(environment(DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3")) as server:
        async with service_of([server], 403) as service:
            assert await service.status("publish", bearer(token("ann"))) == 200
            assert await service.status("publish", bearer(Made("x", "y" * 32).token())) == 401
        assert "ERROR" not in server.log


async def test_while_the_database_is_away_the_known_secrets_go_on_and_it_is_logged_once() -> None:
    needs_postgres()
    with ExitStack() as stack:
        database = stack.enter_context(ExitStack())
        env = environment(DATABASE_URL=database.enter_context(postgres()), REALTIME_SECRETS_POLL="0.1")
        migrate(env)
        shown = json.loads(manage(env, "realtime_secret", "create", "a", "--json"))
        made = Made(shown["kid"], shown["secret"])
        server = stack.enter_context(daphne(env))
        async with service_of([server], 403) as service:
            site = Site(service, env)
            await site.comes_to(200, made.token())
            await asyncio.to_thread(database.close)
            async with asyncio.timeout(PATIENCE):
                while "can't be read" not in server.log:
                    await asyncio.sleep(0.02)
            for _ in range(20):
                assert await site.status(made.token(jti=str(uuid4()))) == {200}
                assert await site.status(Made("new", "n" * 32).token()) == {401}
            assert server.log.count("can't be read") == 1
            assert "Traceback" not in server.log


async def test_a_process_that_never_saw_the_secrets_says_503_not_401() -> None:
    """A client takes a 401 for the end of its login; this is only a database that is not there yet."""
    away = environment(DATABASE_URL=f"postgres://nobody@127.0.0.1:{free_port()}/none", REALTIME_SECRETS_POLL="0.1")
    with uvicorn(away) as server:
        async with service_of([server], 401) as service:
            for door in ("publish", "socket"):
                assert await service.status(door, bearer(Made("new", "n" * 32).token())) == 503
                assert await service.status(door, bearer(token("ann", exp=1))) == 401
                assert await service.status(door) == 401
                assert await service.status(door, bearer(token("ann"))) == (200 if door == "publish" else 101)
        assert "Traceback" not in server.log
