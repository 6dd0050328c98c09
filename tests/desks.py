"""Operators at the admin, in a real Chromium."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.async_api import Browser, Page
from websockets.exceptions import ConnectionClosed

from tests.clients import Socket
from tests.servers import Server, manage, migrate

PASSWORD = "only-for-this-browser"


@dataclass
class Desk:
    """An operator's browser, logged in at one process."""

    page: Page
    url: str

    async def goto(self, path: str) -> None:
        await self.page.goto(self.url + path)

    async def press(self, button: str) -> None:
        await self.page.get_by_role("button", name=button, exact=True).click()

    async def follow(self, link: str) -> None:
        async with self.page.expect_navigation():
            await self.page.locator("#content").get_by_role("link", name=link, exact=True).click()


def prepare(env: dict[str, str]) -> None:
    """Make the tables, and an operator who may do everything."""
    migrate(env)
    operator = ("--noinput", "--username", "boss", "--email", "boss@example.org")
    manage({**env, "DJANGO_SUPERUSER_PASSWORD": PASSWORD}, "createsuperuser", *operator)


@asynccontextmanager
async def at_a_desk(
    browser: Browser, server: Server, operator: str = "boss", expected: Sequence[str] = (), **options: Any
) -> AsyncIterator[Desk]:
    """A browser in which an operator has just logged in. At the end it must have complained about nothing that was not
    expected.

    `options` are those of a browser context.
    """
    context = await browser.new_context(permissions=["clipboard-read", "clipboard-write"], **options)
    page = await context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(f"{said.text} {said.location}"))
    desk = Desk(page, server.url)
    await desk.goto("/admin/")
    await page.get_by_label("Username:").fill(operator)
    await page.get_by_label("Password:").fill(PASSWORD)
    await desk.press("Log in")
    await page.wait_for_url("**/admin/")
    yield desk
    await context.close()
    assert [said for said in complaints if not any(part in said for part in ("favicon.ico", *expected))] == []


AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text()


async def barriers(page: Page) -> list[str]:
    """What axe-core finds that keeps people out: serious and critical violations, and where they are."""
    await page.evaluate(f"{AXE}\n;0")  # not as a script of the page, whose policy forbids it
    found = await page.evaluate("axe.run({resultTypes: ['violations']}).then(({violations}) => violations)")
    return [
        f"{violation['id']}: {[node['html'] for node in violation['nodes']][:3]}"
        for violation in found
        if violation["impact"] in ("serious", "critical")
    ]


async def closed(socket: Socket) -> int:
    with pytest.raises(ConnectionClosed) as error:
        await socket.recv()
    assert error.value.rcvd is not None
    return error.value.rcvd.code
