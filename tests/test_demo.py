"""The first minute of a newcomer, in a real Chromium that lets pages load and run nothing but the site's own files."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from django.test import Client
from playwright.async_api import Browser, Page, expect

from tests.clients import bearer, service_of
from tests.servers import Server, environment, manage, migrate, realtime_server

COUNT_FLIGHTS = """
globalThis.flights = 0;
const { animate } = Element.prototype;
Element.prototype.animate = function (...how) { flights++; return animate.apply(this, how); };
"""

pytestmark = pytest.mark.xdist_group("browser client")
in_the_browser = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The site in development, with a secret that may only connect."""
    database: Path = tmp_path_factory.mktemp("database") / "db.sqlite3"
    env = environment(DJANGO_DEBUG="true", DATABASE_URL=f"sqlite:///{database}", REALTIME_ACK_TIMEOUT="2")
    migrate(env)
    manage(env, "realtime_secret", "create", "browsers", "--may", "connect")
    with realtime_server(env, "tests.sites.strict:application") as server:
        yield server


@asynccontextmanager
async def demo(browser: Browser, server: Server, **options: Any) -> AsyncIterator[Page]:
    """The page, connected. At the end it must have complained about nothing."""
    context = await browser.new_context(**options)
    await context.add_init_script(COUNT_FLIGHTS)
    complaints: list[str] = []
    context.on("console", lambda said: complaints.append(said.text))
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    page = await context.new_page()
    await page.goto(f"{server.url}/demo/")
    await expect(page.locator("#state")).to_have_text("open")
    yield page
    await context.close()
    assert complaints == []


async def shown(page: Page, step: str) -> Any:
    """The JSON of a step, once it is there."""
    await expect(page.locator(f"#{step}")).to_be_visible()
    return json.loads(await page.locator(f"#{step} pre").inner_text())


@in_the_browser
async def test_an_envelope_flies_to_the_tab_and_its_ack_comes_back(browser: Browser, server: Server) -> None:
    """With what one has written into the fields, by keyboard; then with another tab, and with nobody."""
    async with demo(browser, server) as page:
        await page.get_by_label("Type").fill(" order_changed ")
        await page.get_by_label("Subscribes to").fill("order_changed")
        await page.get_by_label("Payload").fill('{"id": 7}')
        await page.get_by_label("Acks with").fill('{"seen": true}')
        await page.get_by_label("Type").press("Enter")
        answer = await shown(page, "answer")
        request, envelope, ack = [await shown(page, step) for step in ("request", "envelope", "ack")]
        assert request == {"userId": "ann", "type": " order_changed ", "payload": {"id": 7}}
        assert (envelope["userId"], envelope["type"], envelope["payload"]) == ("ann", "order_changed", {"id": 7})
        assert ack == {"type": "ack", "envelopeId": envelope["envelopeId"], "result": {"seen": True}}
        assert answer == {"clientCount": 1, "results": [{"seen": True}]}
        assert await page.evaluate("flights") == 2

        async with page.expect_popup() as popup:
            await page.get_by_role("link", name="Open another tab").click()
        other = await popup.value
        await other.get_by_label("Subscribes to").fill("order_changed")
        await other.get_by_label("Acks with").fill("null")
        await expect(other.locator("#state")).to_have_text("open")
        await page.get_by_role("button", name="Publish").click()
        await expect(page.locator("#answer .said")).to_have_text("2 tabs got it and acked.")
        assert (await shown(other, "envelope"))["payload"] == {"id": 7}
        results = (await shown(page, "answer"))["results"]
        assert sorted(results, key=str) == [None, {"seen": True}]

        await page.get_by_label("Type").fill("something_else")
        await page.get_by_role("button", name="Publish").click()
        await expect(page.locator("#answer .said")).to_contain_text("Nobody was there")
        assert await shown(page, "answer") == {"clientCount": 0, "results": []}


@in_the_browser
async def test_what_is_not_json_is_said_beside_its_field_and_not_published(browser: Browser, server: Server) -> None:
    async with demo(browser, server) as page:
        payload = page.get_by_label("Payload")
        await payload.fill("{text: 1}")
        await page.get_by_role("button", name="Publish").click()
        await expect(page.locator("#payload-error")).to_contain_text("This is not JSON: ")
        await expect(payload).to_be_focused()
        await expect(page.locator("#request")).to_be_hidden()
        await payload.fill("")
        await page.get_by_label("Acks with").fill("displayed")
        await expect(page.locator("#payload-error")).to_be_empty()
        await expect(page.locator("#result-error")).to_contain_text("This is not JSON: ")
        await page.get_by_role("button", name="Publish").click()
        assert await shown(page, "answer") == {"clientCount": 1, "results": [None]}
        assert "payload" not in await shown(page, "envelope")
        await page.get_by_label("Subscribes to").fill(" ")
        await expect(page.locator("#filter-error")).to_contain_text("A filter has a type")


@in_the_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_fits_on_a_phone_and_keeps_still_for_who_wants_that(
    browser: Browser, server: Server, scheme: Literal["light", "dark"]
) -> None:
    phone = {"width": 390, "height": 800}
    async with demo(browser, server, viewport=phone, color_scheme=scheme, reduced_motion="reduce") as page:
        await page.get_by_role("button", name="Publish").click()
        assert await shown(page, "answer") == {"clientCount": 1, "results": ["displayed"]}
        assert await page.evaluate("[flights, document.documentElement.scrollWidth]") == [0, 390]


async def test_the_token_of_its_tab_can_not_publish(server: Server) -> None:
    async with service_of([server], 401) as service:
        tokens = [(await service.request("GET", f"/demo/token/{side}")).json()["token"] for side in ("tab", "backend")]
        assert [await service.status("publish", bearer(token)) for token in tokens] == [403, 200]
        assert await service.status("socket", bearer(tokens[0])) == 101


def test_in_production_there_is_no_demo(client: Client) -> None:
    paths = ("/demo/", "/demo/token/tab", "/demo/token/backend", "/static/demo/demo.js")
    assert [client.get(path).status_code for path in paths] == [404] * 4
