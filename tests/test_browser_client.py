"""The browser client in a real Chromium, against real servers that are killed, fall silent and close sockets."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, WebSocket

import realtime
from tests.clients import NOBODY, PATIENCE, Service, answered, dump, service_of, token, until
from tests.proxies import slow_proxy
from tests.servers import ROOT, Server, environment, free_port, migrate, realtime_server, replaced

PRODUCT = "tests.sites.people:application"  # with a login, a view of tokens, and the static files

# What a page of the product loads. What a test looks at lies in variables of the page.
SET_UP = """
const { Connection, RealtimeClient } = await import("/static/realtime/realtime.js");
Object.assign(globalThis, { Connection, RealtimeClient, states: [], errors: [], got: [] });
globalThis.watched = (client) => {
    client.addEventListener("state", ({ state, delay, code, reason }) => states.push({ state, delay, code, reason }));
    client.addEventListener("error", (event) => {
        event.preventDefault();
        errors.push([event.error.message, event.envelope?.type]);
    });
    return globalThis.client = client;
};
globalThis.connect = (options) => watched(new RealtimeClient("/", { token: freshToken, baseDelay: 50, ...options }));
globalThis.until = async (state) => {
    while (client.state !== state) {
        await new Promise((resolve) => client.addEventListener("state", resolve, { once: true }));
    }
};
"""

pytestmark = [pytest.mark.xdist_group("browser client"), pytest.mark.asyncio(loop_scope="module")]


@dataclass
class Tab:
    """A page of the product, whose tokens are made for `user` by this process, and counted."""

    page: Page
    user: str
    lifetime: float | None = None  # seconds, of its tokens
    tokens: int = 0
    sockets: list[WebSocket] = field(default_factory=list)
    frames: list[str] = field(default_factory=list)  # that it has sent
    complaints: list[str] = field(default_factory=list)  # errors that nothing has caught

    def fresh_token(self) -> str:
        self.tokens += 1
        return token(self.user, **({"exp": time.time() + self.lifetime} if self.lifetime else {}))

    async def do(self, script: str, argument: Any = None) -> Any:
        """Run the body of an async function in the page. Returns what it returns."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self.page.evaluate(f"async (argument) => {{ {script} }}", argument)
        except TimeoutError:
            pytest.fail(f"{await self.page.evaluate('JSON.stringify({ states, errors, got })')}: {script}")

    async def states(self) -> list[str]:
        return [entry["state"] for entry in await self.do("return states")]

    def note(self, socket: WebSocket) -> None:
        self.sockets.append(socket)
        socket.on("framesent", lambda frame: self.frames.append(str(frame)))

    def filters_sent(self, kind: str) -> list[int]:
        """How many filters each message of this kind had."""
        messages = [json.loads(frame) for frame in self.frames if frame.startswith("{")]
        return [len(message["filters"]) for message in messages if message["type"] == kind]


@pytest.fixture(scope="module")
def variables(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    env = environment(
        REDIS_URL=redis_url,
        DATABASE_URL=f"sqlite:///{tmp_path_factory.mktemp('database')}/db.sqlite3",
        DJANGO_SETTINGS_MODULE="tests.sites.people_settings",
        REALTIME_SESSION_AUTH="true",
        REALTIME_CLOSE_AT_EXP="true",
        REALTIME_MAX_FILTERS="300",
        REALTIME_REPORT_TIMEOUT="0.3",
    )
    migrate(env)
    return env


@pytest.fixture(scope="module")
def server(variables: dict[str, str]) -> Iterator[Server]:
    with realtime_server(variables, PRODUCT) as server:
        yield server


@pytest.fixture(autouse=True)
def publishes_itself(settings: Any, redis_url: str) -> None:
    """This process publishes and disconnects as a product does."""
    settings.CHANNEL_LAYERS = {
        "default": {"BACKEND": "realtime.layers.RedisChannelLayer", "CONFIG": {"hosts": [redis_url]}}
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(server: Server) -> AsyncIterator[Service]:
    async with service_of([server], 401) as service:
        yield service


Open = Callable[..., Awaitable[Tab]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context()
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def tab(context: BrowserContext, server: Server) -> AsyncIterator[Tab]:
    async with a_tab(context, server, str(uuid4())) as tab:
        yield tab


@asynccontextmanager
async def a_tab(context: BrowserContext, server: Server, user: str) -> AsyncIterator[Tab]:
    """At the end nothing may have been left to the console."""
    page = await context.new_page()
    tab = Tab(page, user)
    page.on("websocket", tab.note)
    page.on("pageerror", lambda error: tab.complaints.append(str(error)))
    await page.expose_function("freshToken", tab.fresh_token)
    await page.goto(f"{server.url}/page")  # one that is served: Chromium lets no other connect to 127.0.0.1
    await tab.do(SET_UP)
    yield tab
    await page.close()
    assert tab.complaints == []


async def told(tab: Tab, kind: str = "t", payload: Any = None) -> tuple[int, list[Any]]:
    """How many sockets a publish to the tab's user reached, and what they acked."""
    delivered = await realtime.apublish(tab.user, kind, payload)
    return delivered.client_count, list(delivered.results)


async def test_each_tab_of_a_user_acks_with_what_its_handler_returns(
    context: BrowserContext, server: Server, service: Service, tab: Tab
) -> None:
    """At once or by a promise; the handler gets the envelope as it was published."""
    async with a_tab(context, server, tab.user) as other:
        await tab.do(
            """connect();
            client.subscribe([{ type: " chat ", room: "7" }], (envelope) => {
                got.push(envelope);
                return "displayed";
            });
            await client.ready();"""
        )
        await other.do(
            """connect().subscribe({ type: "chat" }, async ({ payload }) => {
                await new Promise((resolve) => setTimeout(resolve, 20));
                return { upper: payload.text.toUpperCase() };
            });
            await client.ready();"""
        )
        payload = {"room": "7", "text": "grüß dich"}
        answer = json.loads(await service.publish(tab.user, "chat", dump(payload)))
        assert answer["clientCount"] == 2
        assert sorted(answer["results"], key=str) == ["displayed", {"upper": "GRÜSS DICH"}]
        (envelope,) = await tab.do("return got")
        assert (envelope["type"], envelope["userId"], envelope["payload"]) == ("chat", tab.user, payload)
        assert await service.publish(tab.user, "chat", '{"room":7,"text":"a number"}') == answered(
            1, '{"upper":"A NUMBER"}'
        )
        await tab.do("client.close()")
    assert await service.publish(tab.user, "chat", dump(payload)) == NOBODY


async def test_thousands_of_envelopes_are_acked_each_with_its_own_result_in_order(tab: Tab) -> None:
    """Published by many at once: those of each publisher arrive in order, also while a handler is slow."""
    publishers, each = 20, 100
    await tab.do(
        """connect().subscribe({ type: "t" }, async ({ payload }) => {
            got.push(payload);
            if (payload[1] % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
            return payload;
        });
        await client.ready();"""
    )

    async def publish(publisher: int) -> None:
        for number in range(each):
            assert await told(tab, "t", [publisher, number]) == (1, [[publisher, number]])

    async with asyncio.TaskGroup() as tasks:
        for publisher in range(publishers):
            tasks.create_task(publish(publisher))
    got = await tab.do("return got")
    assert len(got) == publishers * each
    assert sorted(got, key=lambda payload: payload[0]) == [[p, n] for p in range(publishers) for n in range(each)]
    assert await tab.states() == ["connecting", "open"]


HANDLERS = [
    ("nothing", "() => {}", "null", None),
    ("the first value", "() => {}, () => 0, async () => 1", "0", None),
    ("a value is more than an error", "() => { throw new Error('oops') }, () => null", "null", "oops"),
    ("an error", "async () => { throw new Error('oops') }, () => {}", '{"error":"oops"}', "oops"),
    ("no Error is thrown", "() => { throw 'text' }", '{"error":"text"}', None),
    ("JSON knows no BigInt", "() => 1n", '{"error":"Do not know how to serialize a BigInt"}', "BigInt"),
    ("JSON knows no functions", "() => () => {}", '{"error":"a function is no JSON"}', "function"),
]


async def test_of_several_handlers_the_first_value_is_the_result_and_an_error_is_the_last_resort(tab: Tab) -> None:
    """Each is called once, in the order of the subscriptions; what they throw is reported with the envelope."""
    await tab.do("connect()")
    for name, handlers, result, error in HANDLERS:
        await tab.do(
            f"""errors.length = 0;
            globalThis.ends = [{handlers}].map((handler) => client.subscribe({{ type: "t" }}, handler));
            await client.ready();"""
        )
        assert await told(tab) == (1, [json.loads(result)]), name
        errors = await tab.do("for (const end of ends) { end(); end(); } return errors")
        assert [error in message for message, _ in errors] == [True] if error else len(errors) in (0, 1), errors
        assert {kind for _, kind in errors} <= {"t"}
    await tab.do("await client.ready()")
    assert await told(tab) == (0, [])


async def test_handlers_may_subscribe_and_unsubscribe(tab: Tab) -> None:
    """One that is ended is not called any more, also for the envelope at hand; a new one begins with the next."""
    await tab.do(
        """connect();
        const end = client.subscribe({ type: "t" }, async () => {
            end();
            endOther();
            client.subscribe({ type: "t" }, () => "new");
            await client.ready();
            return "old";
        });
        const endOther = client.subscribe({ type: "t" }, () => got.push("other"));
        await client.ready();"""
    )
    assert await told(tab) == (1, ["old"])
    assert await told(tab) == (1, ["new"])
    assert await tab.do("return got") == []


async def test_an_error_that_no_listener_cares_for_goes_to_the_console(tab: Tab) -> None:
    await tab.do(
        """globalThis.client = new RealtimeClient("/", { token: freshToken });
        client.subscribe({ type: "t" }, () => { throw new Error("nobody listens") });
        await client.ready();"""
    )
    assert await told(tab) == (1, [{"error": "nobody listens"}])
    await until(lambda: tab.complaints == ["nobody listens"])
    tab.complaints.clear()


async def test_filters_are_sent_once_in_chunks_of_50_and_removed_when_nobody_wants_them(tab: Tab) -> None:
    await tab.do(
        """connect();
        globalThis.filters = Array.from({ length: 120 }, (_, number) => ({ type: "t", room: String(number) }));
        globalThis.ends = filters.map((filter) => client.subscribe([filter, filter], () => "each"));
        globalThis.end = client.subscribe(filters.map(({ type, room }) => ({ room, type })), () => "all");
        await client.ready();"""
    )
    assert tab.filters_sent("subscribe") == [50, 50, 20]
    (connection,) = await realtime.aconnections(tab.user)
    assert len(connection.filters) == 120
    await tab.do("for (const end of ends) end(); await client.ready();")
    assert tab.filters_sent("unsubscribe") == []
    assert await told(tab, "t", {"room": "119"}) == (1, ["all"])
    await tab.do("end(); client.subscribe(filters[7], () => 'again'); client.subscribe({ type: 'x' }, () => {})();")
    await tab.do("await client.ready();")
    assert tab.filters_sent("unsubscribe") == [50, 50, 19]
    assert tab.filters_sent("subscribe") == [50, 50, 20]
    (connection,) = await realtime.aconnections(tab.user)
    assert list(connection.filters) == [{"type": "t", "room": "7"}]


async def test_after_the_server_was_killed_it_connects_again_with_a_fresh_token_and_all_filters(
    variables: dict[str, str], tab: Tab
) -> None:
    """What is subscribed and ended meanwhile counts, and who waits until it is ready waits until then."""
    port = free_port()
    with realtime_server(variables, PRODUCT, "-p", str(port)) as server:
        await tab.do(
            """watched(new RealtimeClient(argument, { token: freshToken, baseDelay: 100, maxDelay: 300 }));
            client.subscribe({ type: "t" }, () => "kept");
            globalThis.end = client.subscribe({ type: "u" }, () => "ended");
            await client.ready();""",
            server.url,
        )
        assert tab.tokens == 1
        server.kill(signal.SIGKILL)
        await tab.do("await until('waiting')")
    await tab.do(
        """end();
        client.subscribe({ type: "v" }, () => "new");
        client.ready().then(() => { globalThis.isReady = true; });"""
    )
    with realtime_server(variables, PRODUCT, "-p", str(port)):
        await until(lambda: tab.do("return globalThis.isReady === true"))
        assert tab.tokens == len([state for state in await tab.states() if state == "connecting"])
        assert [await told(tab, kind) for kind in "tuv"] == [(1, ["kept"]), (0, []), (1, ["new"])]
    waits = [entry for entry in await tab.do("return states") if entry["state"] == "waiting"]
    assert waits[0]["code"] == 1006
    assert all(0 <= wait["delay"] <= 300 for wait in waits)
    await tab.do("client.close()")


async def test_offline_it_pauses_and_online_it_comes_back_at_once(context: BrowserContext, tab: Tab) -> None:
    await tab.do("connect({ baseDelay: 600_000 }).subscribe({ type: 't' }, () => 'back'); await client.ready();")
    await context.set_offline(True)
    await tab.do("await until('offline')")
    await context.set_offline(False)
    await tab.do("await client.ready()")
    assert await told(tab) == (1, ["back"])
    assert await tab.states() == ["connecting", "open", "offline", "connecting", "open"]
    assert tab.tokens == 2


async def test_an_attempt_that_fails_offline_waits_for_the_browser_to_be_online(
    context: BrowserContext, tab: Tab
) -> None:
    await context.set_offline(True)
    await tab.do("connect(); await until('offline');")
    await context.set_offline(False)
    await tab.do("await until('open')")


async def test_a_connection_that_has_fallen_silent_is_found_by_a_ping_and_dropped(server: Server, tab: Tab) -> None:
    """Nobody closes it. Also a handshake that is not answered is given up."""
    delay = 0.0
    async with slow_proxy(int(server.url.rpartition(":")[2]), lambda: delay) as port:
        await tab.do(
            """watched(new RealtimeClient(`http://127.0.0.1:${argument}`, {
                token: freshToken, baseDelay: 50, pingInterval: 40, pingTimeout: 1500,
            }));
            client.subscribe({ type: "t" }, () => "back");
            await client.ready();""",
            port,
        )
        await until(lambda: tab.frames.count("ping") > 2)  # one was answered, or there would be no other
        assert await tab.states() == ["connecting", "open"]
        delay = 3600.0
        # Who comes back to the tab again and again does not put it off.
        await tab.do(
            """const shown = () => document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
            const timer = setInterval(shown, 50);
            client.addEventListener("state", () => clearInterval(timer), { once: true });"""
        )
        await until(
            lambda: tab.do("return states.filter(({ reason }) => reason === 'no answer to a ping').length === 1")
        )
        await until(lambda: tab.do("return states.some(({ reason }) => reason === 'no answer to the handshake')"))
        delay = 0.0
        await tab.do("await client.ready()")
        assert (await told(tab))[1] == ["back"]
        await tab.do("client.close()")


@pytest.mark.parametrize("event", ["visibilitychange", "pageshow", "online"])
async def test_a_tab_that_comes_back_looks_whether_its_connection_lives(tab: Tab, event: str) -> None:
    await tab.do("connect(); await client.ready(); dispatchEvent(new Event(argument));", event)
    await until(lambda: tab.frames == ["ping", "ping"])


async def test_a_page_in_the_cache_of_the_back_button_has_no_connection_and_connects_when_it_is_shown(
    server: Server, tab: Tab
) -> None:
    await tab.do("connect().subscribe({ type: 't' }, () => 'back'); await client.ready();")
    await tab.page.goto(f"{server.url}/token")
    await until(lambda: _count(tab, 0))
    await tab.page.go_back(wait_until="commit")
    await tab.do("await client.ready()")  # the same client: the page was kept, not loaded
    assert await tab.states() == ["connecting", "open", "offline", "connecting", "open"]
    assert await told(tab) == (1, ["back"])


async def _count(tab: Tab, count: int) -> bool:
    return len(await realtime.aconnections(tab.user)) == count


async def _has_been(tab: Tab, state: str) -> bool:
    return state in await tab.states()


CLOSE_CODES = [
    (1000, "waiting"),
    (3000, "waiting"),
    (4499, "waiting"),
    (4500, "closed"),
    (4502, "closed"),
    (4999, "closed"),
]


async def test_a_close_code_from_4500_to_4999_is_for_good_and_after_any_other_it_connects_again(tab: Tab) -> None:
    for code, state in CLOSE_CODES:
        await tab.do("states.length = 0; connect(); await client.ready();")
        assert await realtime.adisconnect(tab.user, code, "as told") == 1
        await until(partial(_has_been, tab, state))  # it waits but for a moment
        last = next(entry for entry in await tab.do("return states") if entry["state"] == state)
        assert (last["code"], last["reason"]) == (code, "as told")
        if state == "closed":
            await tab.do("for (const type of ['offline', 'online', 'pageshow']) dispatchEvent(new Event(type));")
            assert (await tab.states())[-1] == "closed"
            outcome = "return client.ready().catch(({ message, code }) => [message, code])"
            assert await tab.do(outcome) == [f"the connection is closed: {code} as told", code]
        else:
            await tab.do("await client.ready(); client.close()")
            assert (await tab.states())[-2:] == ["open", "closed"]
        await until(lambda: _count(tab, 0))


async def test_more_filters_than_the_server_keeps_close_it_for_good(tab: Tab) -> None:
    await tab.do(
        """connect();
        for (let number = 0; number <= 300; number++) client.subscribe({ type: "t", room: String(number) }, () => {});
        await until("closed");"""
    )
    assert (await tab.do("return states"))[-1]["code"] == 4501


async def test_a_token_that_expires_closes_the_connection_which_comes_back_with_a_fresh_one(tab: Tab) -> None:
    tab.lifetime = 2.0
    await tab.do("connect().subscribe({ type: 't' }, () => 'fresh'); await client.ready(); await until('waiting');")
    tab.lifetime = None
    await tab.do("await client.ready()")
    assert 4001 in [entry["code"] for entry in await tab.do("return states")]
    assert await told(tab) == (1, ["fresh"])
    assert tab.tokens >= 2


async def test_with_an_expired_token_of_its_own_it_tries_ever_more_seldom_until_it_is_closed(tab: Tab) -> None:
    tab.lifetime = -1.0
    await tab.do(
        """Math.random = () => 0.9999999;
        connect({ token: await freshToken(), maxDelay: 300 });
        globalThis.failed = client.ready().catch(({ message }) => message);
        while (states.filter(({ state }) => state === "waiting").length < 5) {
            await new Promise((resolve) => client.addEventListener("state", resolve, { once: true }));
        }
        client.close();
        client.close();"""
    )
    assert await tab.do("return failed") == "the connection is closed: 1000"
    states = await tab.do("return states")
    assert [round(entry["delay"]) for entry in states if entry["state"] == "waiting"] == [50, 100, 200, 300, 300]
    assert [entry["state"] for entry in states].count("closed") == 1


async def test_a_token_function_that_fails_is_reported_and_asked_again(tab: Tab) -> None:
    """Also one that gives no string."""
    await tab.do(
        """const tokens = [() => { throw new Error("no token today"); }, () => undefined, () => freshToken()];
        connect({ token: () => tokens.shift()() });
        await client.ready();"""
    )
    assert await tab.do("return errors") == [["no token today", None], ["the token is not a string, or empty", None]]


async def test_closed_while_its_token_is_fetched_it_opens_no_socket_and_reports_nothing(tab: Tab) -> None:
    await tab.do(
        """const answers = [];
        const token = () => new Promise((resolve, reject) => answers.push({ resolve, reject }));
        for (const count of [1, 2]) {
            connect({ token });
            while (answers.length < count) await null;
            client.close();
        }
        answers[0].resolve(await freshToken());
        answers[1].reject(new Error("too late"));
        connect();
        await client.ready();"""
    )
    assert len(tab.sockets) == 1  # the last one's
    assert await tab.do("return errors") == []


async def test_an_ack_is_not_sent_on_another_connection_than_its_envelope_came_on(tab: Tab) -> None:
    await tab.do(
        """connect();
        let first = true;
        client.subscribe({ type: "t" }, () => {
            if (!first) return "second";
            first = false;
            return new Promise((resolve) => { globalThis.answer = resolve; });
        });
        await client.ready();"""
    )
    publish = asyncio.create_task(told(tab))
    await until(lambda: tab.do("return globalThis.answer !== undefined"))
    await realtime.adisconnect(tab.user, 4100)
    assert await publish == (1, [])
    await tab.do("await client.ready(); answer('first'); await client.ready();")
    assert [frame for frame in tab.frames if '"ack"' in frame] == []
    assert await told(tab) == (1, ["second"])


async def test_without_a_token_the_session_cookie_connects(server: Server, tab: Tab) -> None:
    """A bare connection hands on each frame that is no pong."""
    user = await tab.do("return (await fetch('/login/ann')).text()")
    await tab.do(
        """watched(new Connection("/")).addEventListener("message", ({ data }) => got.push(data));
        const sent = client.send("too early");
        await client.ping();
        got.push(sent, client.send('{"type":"subscribe","filters":[{"type":"t"}]}'));
        await client.ping();"""
    )
    assert (await realtime.apublish(user, "t", wait=False)).client_count == 1
    await until(lambda: tab.do("return got.length === 3"))
    early, late, frame = await tab.do("return got")
    assert (early, late, json.loads(frame)["type"]) == (False, True, "t")


async def test_an_existing_query_is_kept_and_the_token_put_beside_it(tab: Tab) -> None:
    await tab.do(
        "watched(new RealtimeClient('/connect?a=1&token=old#hash', { token: freshToken })); await client.ready();"
    )
    assert tab.sockets[0].url.startswith(tab.page.url.replace("http", "ws").replace("page", "connect?a=1&token=ey"))


async def test_the_snippets_of_the_page_about_clients_do_what_it_says(context: BrowserContext, tab: Tab) -> None:
    blocks = re.findall(r"^```js\n(.*?)^```", (ROOT / "docs/clients.md").read_text(), re.DOTALL | re.MULTILINE)
    minute, filters, states, fetch_anew = [b for b in blocks if '"ws"' not in b and '"vue"' not in b]
    await context.route("**/messages?room=7", lambda route: route.fulfill(json=["one", "two"]))
    tab.user = await tab.do("return (await fetch('/login/ann')).text()")
    # The listeners before the snippet that waits until the connection is open.
    script = "\n".join([minute, states, fetch_anew, filters, "globalThis.client = client;"])
    script = replaced(script, {'"/rt/token"': '"/token"', '"/rt/"': '"/"'})  # where this product has them
    await tab.page.add_script_tag(content=script, type="module")
    await until(lambda: tab.do("return document.body.dataset.messages === '2'"))
    assert await told(tab, "chat_message", {"room": "7", "text": "hello"}) == (1, ["displayed"])
    assert await told(tab, "typing", {"room": "7"}) == (0, [])  # that subscription has been ended
    assert await tab.do("return [document.body.lastChild.textContent, document.body.dataset.connection]") == [
        "hello",
        "open",
    ]
    await tab.do("client.close()")
