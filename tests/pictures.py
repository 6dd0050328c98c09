"""The pictures of the docs, taken of a running service: `python -m tests.pictures`, or `make pictures`."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from io import BytesIO
from math import sin
from pathlib import Path
from random import Random
from typing import Any, Literal

from PIL import Image
from playwright.async_api import Browser

from tests.browsers import chromium
from tests.clients import Envelope, Service, Socket, service_of
from tests.desks import at_a_desk, prepare
from tests.servers import ROOT, Server, environment, realtime_server, valkey

chance = Random(4)

FOLDER = ROOT / "docs/pictures"
CONSOLE = "/admin/realtime/console/"
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SIZE: Any = {"width": 1280, "height": 1284}
SHOWN = "anneke.de.vries"
CONVERSATION = {"type": "chat_message", "conversationId": "c-2051"}
PAYLOAD = '{\n  "conversationId": "c-2051",\n  "text": "The lift is out of order until noon."\n}'

# Users of a chat product, each with the filters of their sockets.
PEOPLE: dict[str, list[list[dict[str, str]]]] = {
    SHOWN: [
        [CONVERSATION, {"type": "typing", "conversationId": "c-2051"}, {"type": "presence"}],
        [CONVERSATION, {"type": "notification"}],
        [CONVERSATION, {"type": "call_invite"}],
    ],
    **{
        name: [[{"type": "chat_message", "conversationId": f"c-{number}"}, {"type": "notification"}]]
        * (1 + number % 3 // 2)
        for number, name in enumerate(
            [
                "amina.bello",
                "bogdan.ionescu",
                "carla.rossi",
                "chidi.okafor",
                "daniel.kim",
                "elif.yilmaz",
                "fatima.zahra",
                "hugo.lindqvist",
                "ines.moreau",
                "jonas.weber",
                "kenji.tanaka",
                "lucia.fernandez",
                "maya.cohen",
                "noor.haddad",
                "olivia.brown",
                "priya.nair",
                "rafael.costa",
                "sofia.papadopoulou",
                "tomasz.nowak",
            ],
            2001,
        )
    },
}


@contextmanager
def processes() -> Iterator[list[Server]]:
    with tempfile.TemporaryDirectory() as folder, valkey() as redis:
        env = environment(REDIS_URL=redis.connection_url, DATABASE_URL=f"sqlite:///{Path(folder, 'db.sqlite3')}")
        prepare(env)
        with realtime_server(env) as one, realtime_server(env) as other:
            yield [one, other]


async def answer(socket: Socket, seconds: float, result: str) -> None:
    """Ack whatever comes, as an app does that first shows it."""
    while True:
        envelope = Envelope.read(str(await socket.connection.recv()))  # however long it is quiet
        await asyncio.sleep(seconds * chance.lognormvariate(0, 0.5))
        await socket.ack(envelope, result)


@asynccontextmanager
async def a_busy_evening(service: Service) -> AsyncIterator[None]:
    """All of them are connected, and write to one another."""
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        running = []
        for user, sockets in PEOPLE.items():
            for number, filters in enumerate(sockets):
                socket = await stack.enter_async_context(service.connect(user, *filters))
                if (user, number) != (SHOWN, 2):  # a phone that has lost its network
                    result = json.dumps({"shown": True, "app": ["web 5.2", "ios 5.1"][number % 2]})
                    seconds = 0.004 + 0.02 * number
                    running.append(tasks.create_task(answer(socket, seconds, result)))
        running.append(tasks.create_task(chatter(service)))
        yield
        for task in running:
            task.cancel()


async def chatter(service: Service) -> None:
    """People write, now more and now less of them, and sometimes to who waits for something else."""
    people = [user for user in PEOPLE if user != SHOWN]
    while True:
        wave = 1 + 0.6 * sin(time.monotonic() / 9) + 0.3 * sin(time.monotonic() / 2.3)
        await asyncio.sleep(chance.expovariate(12 * wave))
        user = chance.choice(people)
        filters = PEOPLE[user][0][0] if chance.random() < 0.95 else {"type": "call_invite"}
        await service.publish(user, filters["type"], json.dumps(filters))


async def console(browser: Browser, server: Server, seconds: float) -> None:
    """Look at the console for so long, publish to somebody, and take pictures of what becomes of it."""
    async with at_a_desk(browser, server, device_scale_factor=2, viewport=SIZE, locale="en-GB") as desk:
        page = desk.page
        await page.evaluate("localStorage.setItem('django.admin.navSidebarIsOpen', 'false')")
        await desk.goto(f"{CONSOLE}#user={SHOWN}")
        await page.get_by_label("Type").fill("chat_message")
        await page.get_by_label("Payload").fill(PAYLOAD)
        await page.wait_for_timeout(seconds * 1000)
        await page.locator("#publish").get_by_role("button").click()
        await page.get_by_text("1 silent").first.wait_for()
        taken = {}
        for scheme in SCHEMES:
            await page.emulate_media(color_scheme=scheme)
            taken[scheme] = await page.screenshot(animations="disabled")
    for scheme, picture in taken.items():
        save(picture, f"console-{scheme}.png")


async def demo(browser: Browser) -> None:
    """A newcomer's first minute, once the ack has come back."""
    with realtime_server(environment(DJANGO_DEBUG="true")) as server:
        page = await browser.new_page(device_scale_factor=2, viewport={"width": 1280, "height": 720})
        await page.goto(f"{server.url}/demo/")
        await page.get_by_text("open", exact=True).wait_for()
        await page.get_by_role("button", name="Publish").click()
        await page.get_by_text("One tab got it and acked.").wait_for()
        save(await page.screenshot(full_page=True, animations="disabled"), "demo.png")


def save(picture: bytes, name: str) -> None:
    """A palette shows so few colours as well, and takes a third."""
    Image.open(BytesIO(picture)).convert("RGB").quantize(128).save(FOLDER / name, optimize=True)


async def main(seconds: float = 120) -> None:
    FOLDER.mkdir(exist_ok=True)
    with processes() as servers:
        async with service_of(servers, 401) as service, a_busy_evening(service), chromium() as browser:
            await console(browser, servers[0], seconds)
            await demo(browser)


if __name__ == "__main__":
    asyncio.run(main())
