"""The live console in a real Chromium, and what is done there seen by live sockets of two processes."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, ViewportSize, WebSocketRoute, expect

from realtime.protocol import CloseCode
from tests import desks
from tests.clients import Filter, Service, Socket, dump, service_of, until
from tests.desks import at_a_desk, barriers, closed, prepare
from tests.servers import Host, Server, daphne, environment, manage, started_valkey

CONSOLE = "/admin/realtime/console/"
CHAT = {"type": "chat_message", "conversationId": "42"}
STATES = ("waiting", "acked", "silent", "gone")
SITE = "tests.sites.strict:application"
PHONE: ViewportSize = {"width": 390, "height": 800}
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
REFUSED = "WebSocket connection to"  # Chromium's complaint about a server that is not there, or says no

STAFF = """
from django.contrib.auth.models import Permission, User
for name, *codenames in (["looker", "view_console"], ["leaver", "view_console", "change_console"], ["clerk"]):
    user = User.objects.create_user(name, password=PASSWORD, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
"""

# Which charts print something over something else, or out of the chart.
OVERLAPS = """[...document.querySelectorAll("#charts figure")].filter((figure) => {
    const boxes = [...figure.querySelectorAll("figcaption, .console-figure > *, .console-most, .console-aside")]
        .map((part) => part.getBoundingClientRect()).filter(({ width }) => width);
    const { right } = figure.getBoundingClientRect();
    const cross = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom - 1 && b.top < a.bottom - 1;
    return boxes.some((a, n) => a.right > right || boxes.slice(n + 1).some((b) => cross(a, b)));
}).map(({ id }) => id)"""

COLOURS = """[...document.querySelectorAll("#users a, #users td, #sockets th")]
    .map((node) => getComputedStyle(node).color)"""

expect.set_options(timeout=15_000)  # milliseconds; two cores may be busy

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("database") / "db.sqlite3"


@pytest.fixture(scope="module")
def redis() -> Iterator[Host]:
    with started_valkey() as host:
        yield host


@pytest.fixture(scope="module")
def env(database: Path, redis: Host) -> dict[str, str]:
    env = environment(REDIS_URL=redis.url, DATABASE_URL=f"sqlite:///{database}", REALTIME_ACK_TIMEOUT="4")
    prepare(env)
    manage(env, "shell", "--command", f"PASSWORD = {desks.PASSWORD!r}\n{STAFF}")
    return env


@pytest.fixture(scope="module")
def processes(env: dict[str, str]) -> Iterator[list[Server]]:
    """Two processes of the site, with one Valkey, one database and some operators."""
    with daphne(env, SITE) as one, daphne(env, SITE) as other:
        yield [one, other]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(processes: list[Server]) -> AsyncIterator[Service]:
    """What clients see of both, which they get in turn."""
    async with service_of(processes, 403) as service:
        yield service


@dataclass
class Console(desks.Desk):
    """An operator's console."""

    async def open(self, user: str = "", query: str = "") -> None:
        """Load the page, and wait until it is alive."""
        await self.page.goto("about:blank")  # else it would only be another part of the same page
        await self.goto(f"{CONSOLE}#user={user}&q={query}")
        await self.is_("Live")
        await expect(self.page.locator("#sockets-total")).to_contain_text("socket")

    async def is_(self, state: str) -> None:
        """Wait until the console says this of its connection."""
        await expect(self.page.locator("#state")).to_have_text(state)

    @property
    def users(self) -> Locator:
        """The links of the users that are listed."""
        return self.page.locator("#users a")

    @property
    def sockets(self) -> Locator:
        """The rows of the chosen user's sockets."""
        return self.page.locator("#sockets tbody tr")

    @property
    def outcome(self) -> Locator:
        """What has become of the last publish."""
        return self.page.locator(".console-outcome").first

    async def choose(self, user: str) -> None:
        await self.users.get_by_text(user, exact=True).click()
        await expect(self.page.locator("#chosen-user")).to_have_text(user)

    async def publish(self, type: str = "", payload: str = "") -> None:
        await self.page.get_by_label("Type").fill(type)
        await self.page.get_by_label("Payload").fill(payload)
        await self.press("Publish")

    async def states(self) -> dict[str, int]:
        """How many sockets of the last delivery are in each state."""
        rows = self.page.locator(".console-delivery").first
        counts = {state: await rows.locator(f"li[data-state={state}]").count() for state in STATES}
        return {state: count for state, count in counts.items() if count}

    async def answer(self, choice: str) -> None:
        """Answer what the dialog asks before it closes sockets."""
        dialog = self.page.get_by_role("dialog")
        await dialog.get_by_label(choice).check()
        await dialog.get_by_role("button", name="Disconnect", exact=True).click()


@asynccontextmanager
async def at_a_console(
    browser: Browser, server: Server, operator: str = "boss", expected: Sequence[str] = ()
) -> AsyncIterator[Console]:
    async with at_a_desk(browser, server, operator, expected) as desk:
        yield Console(desk.page, desk.url)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def console(browser: Browser, processes: list[Server]) -> AsyncIterator[Console]:
    async with at_a_console(browser, processes[0]) as console:
        yield console


@asynccontextmanager
async def connected(service: Service, user: str, number: int, *filters: Filter) -> AsyncIterator[list[Socket]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(service.connect(user, *filters)) for _ in range(number)]


@dataclass
class Script:
    """The server's part of the console's socket, spoken by a test: for what a server says in rare moments only."""

    route: WebSocketRoute | None = None
    frames: list[dict[str, Any]] = field(default_factory=list)  # what the page has sent

    def connect(self, route: WebSocketRoute) -> None:
        self.route = route
        route.on_message(lambda text: route.send("pong") if text == "ping" else self.frames.append(json.loads(text)))

    def tell(self, type: str, **members: object) -> None:
        assert self.route is not None
        self.route.send(json.dumps({"type": type, **members}))

    def view(self, looks: int, *users: str, user: str = "", numbers: Sequence[int] = ()) -> None:
        """These users are connected, `user` is chosen and has sockets with these numbers."""
        row = {"since": 0, "newest": 0, "unacked": 0}
        sockets = [{"process": "p", "number": n, "filters": [], "count": 0, **row} for n in numbers]
        self.tell(
            "view",
            looks=looks,
            away=None,
            silent=0,
            sockets=len(users),
            users=len(users),
            matched=len(users),
            processes=[{"process": "p", "name": "web:1", "sockets": len(users)}],
            rows=[{"user": name, "sockets": 1, **row} for name in users],
            after=None,
            chosen={"user": user, "count": len(numbers), "sockets": sockets, "after": None} if user else None,
        )

    def step(self, step: str, **members: object) -> None:
        """Something has become of the last publish."""
        self.tell("delivery", id=self.frames[-1]["id"], step=step, ms=5, **members)

    async def sent(self, number: int, type: str = "watch") -> dict[str, Any]:
        """The frame of this number of those of a type, once it has come."""
        await until(lambda: is_so(self.number(type), number))
        return [frame for frame in self.frames if frame["type"] == type][-1]

    async def number(self, type: str) -> int:
        return sum(frame["type"] == type for frame in self.frames)


@asynccontextmanager
async def scripted(console: Console, user: str = "ann", **hello: object) -> AsyncIterator[tuple[Console, Script]]:
    """Another page of the same operator, who has chosen a user without sockets, on a socket that the test speaks."""
    script = Script()
    page = await console.page.context.new_page()
    await page.route_web_socket(re.compile("/console$"), script.connect)
    await page.goto(f"{console.url}{CONSOLE}#user={user}")
    await script.sent(1)
    script.tell("hello", mayAct=True, ackTimeout=4, **hello)
    script.view(1, user=user)
    await page.get_by_text("Not connected.").wait_for()
    yield Console(page, console.url), script
    await page.close()


# Who may


async def test_it_is_opened_from_the_index_of_the_admin(console: Console, service: Service) -> None:
    async with connected(service, "ann", 2):  # one in each process
        await console.goto("/admin/")
        await console.follow("Live console")
        await console.is_("Live")
        await console.page.get_by_text("2 processes").wait_for()
        await expect(console.page.locator("#sockets-total")).to_have_text("2 sockets")


async def test_staff_without_the_permission_see_neither_the_link_nor_the_page(
    browser: Browser, processes: list[Server]
) -> None:
    async with at_a_console(browser, processes[0], "clerk", expected=["403"]) as console:
        assert await console.page.get_by_text("Live console").count() == 0
        answer = await console.page.goto(console.url + CONSOLE)
        assert answer is not None
        assert answer.status == 403


async def test_who_may_only_look_sees_everything_and_nothing_to_act_with(
    browser: Browser, processes: list[Server], service: Service
) -> None:
    async with connected(service, "ann", 2, CHAT), at_a_console(browser, processes[0], "looker") as console:
        await console.open("ann")
        await expect(console.sockets).to_have_count(2)
        await console.page.get_by_text("You may look, not publish or disconnect.").wait_for()
        for name in ("Publish", "Disconnect"):
            assert await console.page.get_by_role("button", name=name).count() == 0
        assert await barriers(console.page) == []


# Looking


async def test_users_are_searched_ordered_and_paged_and_the_address_keeps_what_is_looked_at(
    console: Console, service: Service
) -> None:
    async with AsyncExitStack() as stack:
        for number in range(53):
            await stack.enter_async_context(service.connect(f"guest-{number:02}"))
        await stack.enter_async_context(service.connect("Zoë"))
        await console.open()
        await expect(console.users).to_have_count(50)
        await expect(console.users.first).to_have_text("Zoë")  # as they sort by code points
        await console.press("Next")
        await expect(console.users).to_have_text([f"guest-{number}" for number in range(49, 53)])
        await console.choose("guest-51")
        await console.page.locator("#sockets tbody tr").wait_for()
        await expect(console.users).to_have_count(4)  # still the second page
        await console.press("Previous")
        await expect(console.users.first).to_have_text("Zoë")
        await console.page.get_by_label("Order").select_option("Newest first")
        await expect(console.users.first).to_have_text("Zoë")
        await expect(console.users.nth(1)).to_have_text("guest-52")
        await console.page.get_by_label("Part of a user id").fill("T-5")
        await expect(console.users).to_have_text(["guest-52", "guest-51", "guest-50"])
        await console.choose("guest-51")
        await console.page.reload()
        await expect(console.users).to_have_text(["guest-52", "guest-51", "guest-50"])
        await expect(console.page.locator("#chosen-user")).to_have_text("guest-51")
        await console.choose("guest-50")
        await console.page.go_back()
        await expect(console.page.locator("#chosen-user")).to_have_text("guest-51")


async def test_a_socket_that_comes_and_goes_is_seen_without_loading_the_page_and_the_focus_stays(
    console: Console, service: Service
) -> None:
    async with connected(service, "bea", 1):
        await console.open()
        await console.users.get_by_text("bea").focus()
        async with connected(service, "abe", 1, CHAT) as (abe,), connected(service, "cyd", 1):
            await expect(console.users).to_have_text(["abe", "bea", "cyd"])
            assert await console.page.evaluate("document.activeElement.textContent") == "bea"
            await console.choose("abe")
            await expect(console.sockets).to_contain_text(["type=chat_message conversationId=42"])
            await abe.subscribe({"type": "typing"})
            await expect(console.sockets.locator("li")).to_have_count(2)
        await expect(console.users).to_have_text(["bea"])
        await console.page.get_by_text("Not connected.").wait_for()


async def test_rows_under_the_pointer_stay_where_they_are(console: Console, service: Service) -> None:
    async with connected(service, "bea", 1):
        await console.open()
        box = await console.users.get_by_text("bea").bounding_box()
        assert box is not None
        steps = count()

        async def as_they_lie() -> list[str]:
            """The list, with a hand on the mouse."""
            await console.page.mouse.move(box["x"] + next(steps) % 20, box["y"] + 5)
            return await console.users.all_inner_texts()

        assert await as_they_lie() == ["bea"]
        async with connected(service, "abe", 1):
            await until(lambda: is_so(as_they_lie(), ["bea", "abe"]))
            await console.page.mouse.move(0, 0)
            await expect(console.users).to_have_text(["abe", "bea"])


async def test_the_charts_say_in_words_what_they_show(console: Console, service: Service) -> None:
    async with connected(service, "ann", 1, CHAT) as (ann,):
        await console.open()
        charts = console.page.get_by_role("img")
        await expect(charts).to_have_count(4)
        await expect(console.page.locator("#chart-publishes strong")).to_have_text("0")
        await service.deliver(ann, "ann", "chat_message", '{"conversationId":"42"}')
        await expect(console.page.locator("#chart-ack svg")).to_have_attribute(
            "aria-label", re.compile(r"Highest: \d+.* ms")
        )
        assert await console.page.locator("#chart-ack .console-line0").get_attribute("d")


# Publishing


async def test_a_publish_shows_who_matched_each_ack_as_it_comes_and_who_did_not_answer(
    console: Console, service: Service
) -> None:
    async with connected(service, "ann", 5, CHAT) as (quick, slow, silent, leaving, other):
        await other.unsubscribe(CHAT)
        await console.open("ann")
        payload = '{ "conversationId": "42", "big": 12345678901234567890, "float": 1.50, "text": "\\u00e9" }'
        await console.publish(" chat_message ", payload)
        envelopes = [await socket.envelope() for socket in (quick, slow, silent, leaving)]
        assert [(envelope.type, envelope.payload) for envelope in envelopes] == [("chat_message", payload)] * 4
        await until(lambda: is_so(console.states(), {"waiting": 4}))
        await quick.ack(envelopes[0], '{"shown": true, "id": 12345678901234567890}')
        await until(lambda: is_so(console.states(), {"waiting": 3, "acked": 1}))
        await console.page.get_by_text('{"shown": true, "id": 12345678901234567890}').wait_for()
        await leaving.close()
        await slow.ack(envelopes[1])
        await until(lambda: is_so(console.states(), {"waiting": 1, "acked": 2, "gone": 1}))
        await expect(console.outcome).to_contain_text("2 of 4 acked in")
        await expect(console.outcome).to_contain_text("1 silent, 1 gone")
        await until(lambda: is_so(console.states(), {"acked": 2, "gone": 1, "silent": 1}))
        await console.page.get_by_text("Envelope", exact=True).click()
        shown = await console.page.get_by_label("Envelope").inner_text()
        assert '"big": 12345678901234567890,\n    "float": 1.50,\n    "text": "\\u00e9"' in shown
        assert await barriers(console.page) == []


async def test_of_many_sockets_those_that_did_not_answer_are_shown_first_and_the_others_on_demand(
    console: Console, service: Service
) -> None:
    async with connected(service, "ann", 15, CHAT) as sockets:
        await console.open("ann")
        await console.publish("chat_message", '{"conversationId":"42"}')
        for socket in sockets[:-1]:
            await socket.ack(await socket.envelope())
        await expect(console.outcome).to_contain_text("1 silent")
        await until(lambda: is_so(console.states(), {"acked": 11, "silent": 1}))
        await console.press("Show all 15 sockets")
        await until(lambda: is_so(console.states(), {"acked": 14, "silent": 1}))


async def test_a_publish_to_who_is_not_connected_reaches_nobody_and_says_so_at_once(console: Console) -> None:
    await console.open()
    await console.page.get_by_label("Part of a user id").fill("someone else")
    await console.page.get_by_role("link", name="Publish to “someone else” anyway").click()
    await console.page.get_by_text("Not connected.").wait_for()
    await console.publish()
    await expect(console.outcome).to_have_text("reached nobody")


async def test_a_payload_that_is_no_json_is_not_sent_and_the_place_is_said(console: Console, service: Service) -> None:
    async with connected(service, "ann", 1, {"type": "message"}) as (ann,):
        await console.open("ann")
        fault = console.page.locator("#payload-fault")
        for payload, said in {
            '{"a": 1,\n  b: 2}': "Line 2, column 3: a key in double quotes is wanted here.",
            '{"a" 1}': "Line 1, column 6: a colon is wanted here.",
            "[1 2]": "Line 1, column 4: a comma or the closing bracket is wanted here.",
            "[1,]": "Line 1, column 4: a value is wanted here.",
            "NaN": "Line 1, column 1: a value is wanted here.",
            '["a]': "Line 1, column 2: this string is not closed, or holds what must be escaped.",
            "{} {}": "Line 1, column 4: the value has ended; nothing may follow it.",
            "{": "Line 1, column 2: a key in double quotes is wanted here.",
        }.items():
            await console.page.get_by_label("Payload").fill(payload)
            await expect(fault).to_have_text(said)
        await console.press("Publish")
        assert await console.page.evaluate("document.activeElement.id") == "payload"
        assert await barriers(console.page) == []
        await console.publish("", "")
        envelope = await ann.envelope()
        assert (envelope.type, envelope.payload) == ("message", None)
        await expect(fault).to_be_hidden()
        await ann.ack(envelope)
        await expect(console.outcome).to_contain_text("1 of 1 acked")


async def test_a_publish_that_is_too_long_is_not_sent_and_the_sizes_are_said(console: Console) -> None:
    body = '{"userId":"ann","type":"","payload":"é"}'  # in UTF-8 one byte more than it has characters
    async with scripted(console, maxBody=len(body)) as (page, script):
        await page.publish("", '"é"')
        await expect(page.page.locator("#payload-fault")).to_contain_text(f"it has {len(body) + 1} bytes")
        await expect(page.page.locator("#payload-fault")).to_contain_text(f"no more than {len(body)} are taken")
        assert await page.page.evaluate("document.activeElement.id") == "payload"
        await page.publish("", '"e"')
        assert (await script.sent(1, "publish"))["body"] == {"userId": "ann", "type": "", "payload": "e"}
        await expect(page.page.locator("#payload-fault")).to_be_hidden()


async def test_a_process_that_did_not_answer_is_said_of_a_delivery_which_is_then_not_good(console: Console) -> None:
    async with scripted(console) as (page, script):
        await page.publish()
        await script.sent(1, "publish")
        script.step("silent", processes=1)
        await expect(page.outcome).to_contain_text("1 process did not answer")
        script.step("done", clientCount=0, acks=0, timedOut=False)
        await expect(page.outcome).to_have_text(
            "reached nobody in the processes that answered, 1 process did not answer"
        )
        await page.publish()
        await script.sent(2, "publish")
        script.step("report", process="p", matched=1, sockets=[1])
        script.step("ack", process="p", socket=1, result=None, length=4)
        script.step("silent", processes=2)
        script.step("done", clientCount=1, acks=1, timedOut=False)
        await expect(page.outcome).to_have_text("1 of 1 acked in 5 ms, 2 processes did not answer")
        await expect(page.outcome).to_have_attribute("data-kind", "bad")


async def test_all_sockets_of_a_process_that_is_given_up_are_gone_named_or_not(console: Console) -> None:
    async with scripted(console) as (page, script):
        await page.publish()
        await script.sent(1, "publish")
        script.step("report", process="p", matched=5, sockets=[1, 2])
        script.step("report", process="q", matched=2, sockets=[1])
        script.step("ack", process="p", socket=2, result=None, length=4)
        script.step("ack", process="p", socket=5, result=None, length=4)  # not named, but it answers
        script.step("gone", process="p", socket=0)
        script.step("done", clientCount=7, acks=2, timedOut=True)
        await expect(page.outcome).to_have_text("2 of 7 acked in 5 ms, 2 silent, 3 gone")


# Disconnecting


async def test_one_socket_is_disconnected_and_stays_away(console: Console, service: Service) -> None:
    async with connected(service, "ann", 2) as (first, second):
        await console.open("ann")
        await expect(console.sockets).to_have_count(2)
        await console.sockets.first.get_by_role("button").click()
        await console.page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        await console.sockets.first.get_by_role("button").click()
        assert await barriers(console.page) == []
        await console.answer("stays away")
        assert await closed(first) == CloseCode.DISCONNECTED
        await console.page.get_by_text("Closed 1 socket.").first.wait_for()
        await expect(console.sockets).to_have_count(1)
        await second.settle()


async def test_all_sockets_of_a_user_are_disconnected_and_may_connect_again(console: Console, service: Service) -> None:
    async with connected(service, "ann", 3) as sockets, connected(service, "bob", 1) as (bob,):
        await console.open("ann")
        await console.press("Disconnect all…")
        await console.answer("may connect again")
        assert [await closed(socket) for socket in sockets] == [CloseCode.RECONNECT] * 3
        await console.page.get_by_text("Closed 3 sockets.").first.wait_for()
        await bob.settle()


async def test_of_processes_that_did_not_close_their_sockets_it_is_warned_and_the_focus_is_at_the_user(
    console: Console,
) -> None:
    async with scripted(console) as (page, script):
        script.view(1, "ann", user="ann", numbers=[1, 2])
        await page.press("Disconnect all…")
        await page.answer("stays away")
        await script.sent(1, "disconnect")
        script.view(1, user="ann")  # which hides the button
        await expect(page.page.locator("#disconnect-all")).to_be_hidden()
        assert await page.page.evaluate("document.activeElement.id") == "chosen-user"
        script.tell("disconnected", id="1", count=1, silent=2)
        told = page.page.locator("#disconnected")
        await expect(told).to_have_text(
            "Closed 1 socket. 2 processes did not answer: sockets of the user may be open there."
        )
        await expect(told).to_have_class("realtime-note realtime-warning")
        script.tell("disconnected", id="2", count=2, silent=0)
        await expect(told).to_have_text("Closed 2 sockets.")
        await expect(told).to_have_class("console-done")


# What strangers send


async def test_whatever_strangers_have_sent_is_shown_as_text(console: Console, service: Service) -> None:
    evil = "<img src=x onerror=alert(1)><b>bold</b>"
    dialogs: list[str] = []
    console.page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    async with connected(service, evil, 1, {"type": evil, evil: evil}) as (socket,):
        await console.open()
        await console.choose(evil)
        await expect(console.sockets.locator("li")).to_have_text(f"type={evil} {evil}={evil} ")
        payload = dump({evil: evil})
        await console.publish(evil, payload)
        envelope = await socket.envelope()
        await socket.ack(envelope, dump(evil))
        await expect(console.outcome).to_contain_text("1 of 1 acked")
        assert await console.page.locator(".console-delivery [data-part=result]").inner_text() == dump(evil)
        assert await console.page.locator("#console :is(img, b b)").count() == 0
    assert dialogs == []


# By keyboard, on a phone, in the dark


async def test_everything_is_done_by_keyboard_alone(console: Console, service: Service) -> None:
    async with connected(service, "ann", 1, {"type": "message"}) as (ann,):
        await console.open()
        keyboard = console.page.keyboard
        await console.page.get_by_label("Part of a user id").focus()
        await keyboard.type("ann")
        await expect(console.users).to_have_text(["ann"])
        await keyboard.press("Tab")  # the order
        await keyboard.press("Tab")
        await keyboard.press("Enter")
        await expect(console.sockets).to_have_count(1)
        assert await console.page.evaluate("document.activeElement.id") == "chosen-user"
        await keyboard.press("Tab")  # the socket's button
        await keyboard.press("Tab")
        await keyboard.type("message")
        await keyboard.press("Tab")
        await keyboard.type("[1]")
        await keyboard.press("Control+Enter")
        envelope = await ann.envelope()
        assert envelope.payload == "[1]"
        await ann.ack(envelope)
        await expect(console.outcome).to_contain_text("1 of 1 acked")
        for _ in range(2):
            await keyboard.press("Shift+Tab")
        await keyboard.press("Enter")
        await expect(console.page.get_by_role("dialog")).to_be_visible()
        await keyboard.press("Escape")
        await expect(console.page.get_by_role("dialog")).to_be_hidden()
        await keyboard.press("Enter")
        await keyboard.press("Tab")  # from Cancel to Disconnect
        await keyboard.press("Enter")
        assert await closed(ann) == CloseCode.DISCONNECTED


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_fits_on_a_phone_and_keeps_nobody_out_in_light_and_dark(
    console: Console, service: Service, scheme: Literal["light", "dark"]
) -> None:
    page, user = console.page, "u" * 900
    await page.emulate_media(color_scheme=scheme)
    async with connected(service, user, 2, CHAT, {"type": "t" * 500}) as sockets:
        await console.open()
        assert await barriers(page) == []
        await console.choose(user)
        await console.publish("chat_message", '{"conversationId":"42"}')
        for socket in sockets[:1]:
            await socket.ack(await socket.envelope(), f'"{"r" * 2000}"')
        await expect(console.outcome).to_contain_text("1 silent")
        assert await barriers(page) == []
        await page.set_viewport_size(PHONE)
        assert await page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        assert await barriers(page) == []
        await console.press("Disconnect all…")
        assert await barriers(page) == []
        assert await page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        await page.keyboard.press("Escape")
        heading = await page.locator("#chosen-user").bounding_box()
        assert heading is not None
        assert heading["height"] < 100  # pixels: a few lines
        assert await page.locator("#chosen-user").get_attribute("title") == user
    background = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 18, 18)"}[scheme]
    await page.set_viewport_size(DESKTOP)


async def test_no_figure_of_a_chart_lies_over_another_or_moves_what_is_below(console: Console) -> None:
    async with scripted(console) as (page, script):
        below = page.page.locator("#users-title")
        place = await below.bounding_box()
        rates = {"publishes": 98765, "nobody": 0, "timed_out": 0, "acks": 98765, "connects": 0}
        script.tell("rates", at=1, sockets=0, **rates, delivery=[0.987, 0.987], ack=[0.987, 0.987])
        await expect(page.page.locator("#chart-ack strong")).to_have_text(["987 ms", "987 ms"])
        assert await below.bounding_box() == place
        for width in (PHONE["width"], 720, 1280):  # of two and of four beside each other
            await page.page.set_viewport_size({"width": width, "height": 800})
            assert await page.page.evaluate(OVERLAPS) == []


async def test_many_sockets_of_a_user_leave_the_form_in_sight(console: Console) -> None:
    async with scripted(console) as (page, script):
        script.view(1, "ann", user="ann", numbers=range(1, 51))
        await expect(page.sockets).to_have_count(50)
        for size in (DESKTOP, PHONE):
            await page.page.set_viewport_size(size)
            table = await page.page.locator(".console-sockets").bounding_box()
            assert table is not None
            assert table["height"] < 600
            await expect(page.sockets.last).not_to_be_in_viewport()
            await page.sockets.last.get_by_role("button").focus()
            await expect(page.sockets.last).to_be_in_viewport()
            assert await barriers(page.page) == []
            await page.sockets.first.get_by_role("button").focus()
        script.tell("hello", mayAct=False, ackTimeout=4)
        await expect(page.page.locator("#look-only")).to_be_visible()
        assert await barriers(page.page) == []  # the keyboard scrolls it, though there is no button in it


# When something goes


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_what_is_old_is_quiet_and_can_be_read(console: Console, scheme: Literal["light", "dark"]) -> None:
    async with scripted(console) as (page, script):
        await page.page.emulate_media(color_scheme=scheme)
        script.view(1, "ann", user="ann", numbers=[1])
        await expect(page.sockets).to_have_count(1)
        live = await page.page.evaluate(COLOURS)
        script.tell("view", away="Redis does not answer.")
        await page.is_("Redis is away")

        async def is_quiet() -> bool:  # links fade
            old = await page.page.evaluate(COLOURS)
            return len(set(old)) == 1 and old[0] != live[0]

        await until(is_quiet)
        assert await barriers(page.page) == []


async def test_after_a_look_that_is_refused_the_list_goes_on_and_the_message_leaves_with_the_next_one(
    console: Console,
) -> None:
    async with scripted(console) as (page, script):
        trouble = page.page.locator("#trouble span")
        await page.page.get_by_label("Part of a user id").fill("a")
        await script.sent(2)
        script.tell("error", message="It is too long.", looks=1)
        await expect(trouble).to_have_text("It is too long.")
        script.view(1, "abe", user="ann")
        await expect(page.users).to_have_text(["abe"])
        await expect(trouble).to_be_visible()  # what is shown is not what was asked for
        await page.page.get_by_label("Part of a user id").fill("b")
        await script.sent(3)
        script.view(2, "bob", user="ann")
        await expect(page.users).to_have_text(["bob"])
        await expect(trouble).to_be_hidden()
        for number, query in enumerate("cd", 4):
            await page.page.get_by_label("Part of a user id").fill(query)
            await script.sent(number)
        script.tell("error", message="It is too long.", looks=2)  # "c", while "d" is under way
        await expect(trouble).to_be_visible()
        script.view(3, "dan", user="ann")
        await expect(page.users).to_have_text(["dan"])
        await expect(trouble).to_be_hidden()


async def test_a_user_in_the_address_is_looked_for_without_the_blanks_around(console: Console) -> None:
    async with scripted(console) as (page, script):
        await page.page.evaluate("location.hash = '#user=%20%EF%BB%BFbob%C2%A0'")
        assert (await script.sent(2))["user"] == "bob"
        await expect(page.page.locator("#chosen-user")).to_have_text("bob", use_inner_text=True)


async def test_who_may_no_longer_act_is_told_so_and_who_may_no_longer_look_is_sent_to_the_login(
    browser: Browser, processes: list[Server], database: Path
) -> None:
    async with at_a_console(browser, processes[0], "leaver") as console:
        await console.open("nobody")
        take_away(database, "change_console")
        await console.publish()
        await expect(console.outcome).to_contain_text("You may look, but not publish or disconnect.")
        take_away(database, "view_console")
        await console.page.get_by_text("You are logged out, or may no longer see the console.").wait_for()
        assert await barriers(console.page) == []
        link = console.page.get_by_role("link", name="Log in again")
        assert await link.get_attribute("href") == f"/admin/login/?next={CONSOLE}%23user%3Dnobody%26q%3D"
        await console.is_("Ended")


async def test_a_handshake_that_is_refused_again_and_again_is_explained(
    browser: Browser, processes: list[Server]
) -> None:
    async with at_a_console(browser, processes[0], "looker", expected=[REFUSED]) as console:
        await console.open("ann%20%26%20bob")
        await console.page.context.set_offline(True)
        await console.is_("Offline")
        await console.page.get_by_text("This browser is offline. What you see is from").wait_for()
        await console.page.context.clear_cookies()
        await console.page.context.set_offline(False)
        await console.page.get_by_text("a proxy passes no WebSockets to /console,").wait_for()
        await console.page.get_by_text("What you see is from").wait_for()
        await console.follow("Log in again")
        await console.page.get_by_label("Username:").fill("looker")
        await console.page.get_by_label("Password:").fill(desks.PASSWORD)
        await console.press("Log in")
        await expect(console.page.locator("#chosen-user")).to_have_text("ann & bob")


async def test_of_a_process_that_hangs_it_is_told_and_after_a_restart_of_its_own_the_console_goes_on(
    browser: Browser, processes: list[Server], env: dict[str, str]
) -> None:
    one, other = processes
    async with at_a_console(browser, other, expected=[REFUSED]) as console:
        await console.open()
        async with service_of([one], 403) as service, connected(service, "ann", 1):
            await console.page.get_by_text("2 processes").wait_for()
            one.kill(signal.SIGSTOP)
            trouble = console.page.get_by_text("1 process does not answer: its sockets are not shown.")
            await trouble.wait_for()
            one.kill(signal.SIGCONT)
            await expect(trouble).to_be_hidden()
        other.kill()
        await console.is_("Reconnecting…")
        with daphne(env, SITE, "-p", other.url.rpartition(":")[2]):
            await console.is_("Live")
            async with service_of([one], 403) as service, connected(service, "ann", 1):
                await expect(console.users).to_have_text(["ann"])


async def test_that_redis_is_away_is_said_until_it_is_back(console: Console, redis: Host) -> None:
    await console.open()
    redis.end()
    await console.is_("Redis is away")
    await console.page.get_by_text("What you see is from").wait_for()
    redis.start()
    await console.is_("Live")
    await expect(console.page.locator("#trouble")).to_be_hidden()


async def is_so(answer: Awaitable[object], wanted: object) -> bool:
    return await answer == wanted


def take_away(database: Path, codename: str) -> None:
    """Take a permission away from the only one who is going to lose it."""
    with closing(sqlite3.connect(database, timeout=10)) as connection, connection:
        connection.execute(
            "DELETE FROM auth_user_user_permissions"
            " WHERE user_id = (SELECT id FROM auth_user WHERE username = 'leaver')"
            " AND permission_id = (SELECT id FROM auth_permission WHERE codename = ?)",
            [codename],
        )
