"""The product's own login: a token for who is logged in, and sockets that come with the session cookie alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from django.template import Context, Template, TemplateSyntaxError

from realtime.origins import is_among

from .clients import Service, bearer, service_of, token
from .servers import SECRET, environment, manage, migrate, uvicorn

PRODUCT = "tests.sites.people:application"
ORIGIN = "https://example.org"


@asynccontextmanager
async def product(folder: Path, **settings: str) -> AsyncIterator[tuple[Service, dict[str, str]]]:
    """A product that says 401 and 403 at the handshake as they are."""
    env = environment(
        DATABASE_URL=f"sqlite:///{folder}/db.sqlite3",
        DJANGO_SETTINGS_MODULE="tests.sites.people_settings",
        REALTIME_ACK_TIMEOUT="2",
        **settings,
    )
    migrate(env)
    with uvicorn(env, PRODUCT) as server:
        async with service_of([server], 401) as service:
            yield service, env


async def log_in(service: Service, name: str = "ann") -> tuple[str, str]:
    """The user id, and the header line of the session cookie."""
    response = await service.request("GET", f"/login/{name}")
    return response.text, f"Cookie: sessionid={response.cookies['sessionid']}"


def own_origin(service: Service) -> str:
    return f"Origin: {service.servers[0].url}"


async def test_the_logged_in_user_gets_a_token_in_a_page_and_from_the_view(tmp_path: Path) -> None:
    """Signed with the secret that may only connect, since there is one, for as long as the setting says."""
    async with product(tmp_path, REALTIME_TOKEN_LIFETIME="60", REALTIME_SECRETS_POLL="0.1") as (service, env):
        assert (await service.request("GET", "/page")).text == ""
        response = await service.request("GET", "/token")
        assert (response.status_code, response.json()) == (401, {"error": "Unauthorized"})
        user, cookie = await log_in(service)
        text = (await service.request("GET", "/page", cookie=cookie[8:])).text
        claims = jwt.decode(text, SECRET, algorithms=["HS256"])
        assert (claims["userId"], claims["exp"] - claims["iat"]) == (user, 60)
        manage(env, "realtime_secret", "create", "browsers", "--may", "connect")

        async def minted() -> dict[str, Any]:
            response = await service.request("GET", "/token", cookie=cookie[8:])
            assert "no-store" in response.headers["cache-control"]
            assert "Cookie" in response.headers["vary"]
            assert "access-control-allow-origin" not in response.headers
            found: dict[str, Any] = response.json()
            return found

        async with asyncio.timeout(10):
            while "kid" not in jwt.get_unverified_header((fresh := await minted())["token"]):
                await asyncio.sleep(0.02)
        assert fresh["expiresIn"] == 60
        assert await service.status("publish", bearer(fresh["token"])) == 403
        async with service.connect(user, {"type": "t"}, jwt_text=fresh["token"]) as socket:
            await service.deliver(socket, user, "t")
        assert (await service.request("OPTIONS", "/token")).status_code == 405


@pytest.mark.parametrize("view", ["/tell", "/atell"])
async def test_a_view_publishes_to_the_user_of_its_request(tmp_path: Path, view: str) -> None:
    """Who that is, is looked up in the database when it is first asked for: by us."""
    async with product(tmp_path) as (service, _):
        user, cookie = await log_in(service)
        async with service.connect(user, {"type": "t"}) as socket:
            asked = asyncio.create_task(service.request("GET", view, cookie=cookie[8:]))
            await socket.ack(await socket.envelope())
            assert (await asked).json() == [1, 1]


async def test_a_session_cookie_opens_a_socket_for_pages_of_the_product_only(tmp_path: Path) -> None:
    async with product(
        tmp_path,
        REALTIME_SESSION_AUTH="true",
        REALTIME_ALLOWED_ORIGINS=f'["{ORIGIN}"]',
        DJANGO_CSRF_TRUSTED_ORIGINS="https://*.example.net",
    ) as (service, _):
        user, cookie = await log_in(service)
        headers = dict([cookie.split(": "), own_origin(service).split(": ")])
        async with service.connect("", {"type": "t"}, additional_headers=headers) as socket:
            await service.deliver(socket, user, "t")
        ours = own_origin(service)
        assert await service.status("socket", cookie, f"Origin: {ORIGIN}") == 101
        assert await service.status("socket", cookie, "Origin: https://shop.example.net") == 101
        for foreign in (
            "https://evil.org",
            "null",
            ours[8:].replace("http", "https"),
            "",
            f"{ORIGIN}.evil.org",
            "http://[",
        ):
            assert await service.status("socket", cookie, f"Origin: {foreign}") == 403
        assert await service.status("socket", cookie) == 403
        assert await service.status("socket", ours) == 401
        assert await service.status("socket", "Cookie: sessionid=nonsense", ours) == 401
        assert await service.status("publish", cookie, ours) == 401
        assert await service.status("socket", cookie, f"Origin: {ORIGIN}", bearer("a bad token")) == 401
        assert await service.status("socket", bearer(token("bob"))) == 101
        assert await service.status("socket", bearer(token("bob")), "Origin: https://evil.org") == 403
        assert await service.status("socket", bearer(token("bob")), f"Origin: {ORIGIN}") == 101
        await service.request("GET", "/deactivate", cookie=cookie[8:])
        assert await service.status("socket", cookie, ours) == 401
        _, cookie = await log_in(service, "bob")
        await service.request("GET", "/logout", cookie=cookie[8:])
        assert await service.status("socket", cookie, ours) == 401
        assert "Traceback" not in service.servers[0].log


async def test_a_host_that_is_not_the_products_opens_no_socket_with_a_cookie(tmp_path: Path) -> None:
    """A name that an attacker points at us has the same origin as its page."""
    async with product(tmp_path, REALTIME_SESSION_AUTH="true", DJANGO_ALLOWED_HOSTS="example.org,127.0.0.1") as (
        service,
        _,
    ):
        _, cookie = await log_in(service)
        async with httpx.AsyncClient() as http:
            upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
            for host, status in (("example.org", 101), ("evil.org", 403)):
                headers = {**upgrade, "Sec-WebSocket-Key": "a" * 22 + "==", "Host": host, "Origin": f"http://{host}"}
                request = http.build_request("GET", service.servers[0].url, headers={**headers, "Cookie": cookie[8:]})
                response = await http.send(request, stream=True)
                assert response.status_code == status
                await response.aclose()


async def test_without_the_setting_a_cookie_opens_nothing(tmp_path: Path) -> None:
    async with product(tmp_path) as (service, _):
        _, cookie = await log_in(service)
        assert await service.status("socket", cookie, own_origin(service)) == 401
        assert await service.status("socket", bearer(token("bob")), "Origin: https://evil.org") == 101


async def test_a_database_that_is_away_is_a_503_for_a_cookie_and_nothing_for_a_token(tmp_path: Path) -> None:
    settings = {"DJANGO_SETTINGS_MODULE": "tests.sites.people_settings", "REALTIME_SESSION_AUTH": "true"}
    with uvicorn(environment(DATABASE_URL=f"sqlite:///{tmp_path}/no/db.sqlite3", **settings), PRODUCT) as server:
        async with service_of([server], 401) as service:
            assert await service.status("socket", "Cookie: sessionid=whatever", own_origin(service)) == 503
            assert await service.status("socket", bearer(token("ann"))) == 101
        assert "Traceback" not in server.log


def test_the_tag_says_what_it_needs() -> None:
    with pytest.raises(TemplateSyntaxError, match="context_processors"):
        Template("{% load realtime %}{% realtime_token %}").render(Context())


@pytest.mark.parametrize(
    ("origin", "allowed", "is_allowed"),
    [
        ("https://Example.org", "https://example.ORG", True),
        ("https://a.b.example.org", "https://*.example.org", True),
        ("https://badexample.org", "https://*.example.org", False),
        ("http://a.example.org", "https://*.example.org", False),
        ("https://example.org:8443", "https://example.org", False),
        ("https://a.example.org:8443", "https://*.example.org:8443", True),
        ("https://[", "https://*.example.org", False),
        ("null", "https://*.example.org", False),
        ("", "https://*.example.org", False),
    ],
)
def test_an_origin_is_compared_whole(origin: str, allowed: str, is_allowed: bool) -> None:
    assert is_among(origin, [allowed]) is is_allowed
