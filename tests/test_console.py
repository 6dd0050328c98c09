"""The live console's socket, of two processes with one Valkey and one database, as its page uses it."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from django.utils.html import escape
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

import realtime
from realtime.protocol import CloseCode

from .clients import PATIENCE, Service, dump, service_of, until
from .people import people
from .servers import Host, Server, daphne, environment, realtime_server, started_valkey, uvicorn, valkey_host

pytestmark = [pytest.mark.xdist_group("console"), pytest.mark.asyncio(loop_scope="module")]


PARTNER = "https://partner.example.org"


@dataclass
class House:
    """The running processes, and who may come in with which session."""

    servers: list[Server]
    redis: Host
    database: Path
    sessions: dict[str, str]

    @asynccontextmanager
    async def console(self, name: str = "boss", number: int = 0, **options: Any) -> AsyncIterator[Console]:
        server = self.servers[number]
        headers = {"Cookie": f"sessionid={self.sessions.get(name, name)}"}
        options = {"origin": server.url, "additional_headers": headers, "proxy": None, **options}
        async with connect(f"{server.ws_url}/console", **options) as socket:
            yield Console(socket)

    def change(self, statement: str, *values: Any) -> None:
        with closing(sqlite3.connect(self.database)) as database, database:
            database.execute(statement, values)

    def history(self, user: str) -> list[str]:
        with closing(sqlite3.connect(self.database)) as database:
            query = "SELECT change_message FROM django_admin_log WHERE object_repr = ? ORDER BY id"
            return [row[0] for row in database.execute(query, [user])]


class Console:
    """What a page does with its socket."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send(self, type: str, **members: Any) -> None:
        await self.socket.send(json.dumps({"type": type, **members}))

    async def frame(self, type: str, **wanted: Any) -> Any:
        """The next frame of this kind, with these members."""
        async with asyncio.timeout(PATIENCE):
            while True:
                frame = json.loads(await self.socket.recv())
                if frame["type"] == type and all(frame[name] == value for name, value in wanted.items()):
                    return frame

    async def view(self, condition: Any) -> Any:
        """The first view of which this is true."""
        async with asyncio.timeout(PATIENCE):
            while not condition(view := await self.frame("view")):
                pass
            return view

    async def delivery(self, body: str) -> list[dict[str, Any]]:
        """Publish, and the steps up to the end."""
        name = str(uuid4())
        await self.socket.send(f'{{"type":"publish","id":"{name}","body":{body}}}')
        steps = [await self.frame("delivery", id=name)]
        while steps[-1]["step"] != "done":
            steps.append(await self.frame("delivery", id=name))
        return steps

    async def closed(self) -> int:
        with pytest.raises(ConnectionClosed) as error:
            await self.frame("nothing")
        assert error.value.rcvd is not None
        return error.value.rcvd.code


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    database = tmp_path_factory.mktemp("console") / "db.sqlite3"
    with started_valkey() as redis:
        env = environment(
            REDIS_URL=redis.url,
            DATABASE_URL=f"sqlite:///{database}",
            REALTIME_ACK_TIMEOUT="0.5",
            REALTIME_ALLOWED_ORIGINS=f'["{PARTNER}"]',
            REALTIME_MAX_FILTERS="60",
        )
        sessions = people(env)
        with realtime_server(env) as one, uvicorn(env) as other:
            yield House([one, other], redis, database, sessions)
            assert not [server.log for server in (one, other) if "Traceback" in server.log]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(house: House) -> AsyncIterator[Service]:
    async with service_of(house.servers, 401) as service:
        yield service


async def test_only_staff_with_the_permission_get_in_and_only_from_a_page_of_the_site(house: House) -> None:
    async with service_of(house.servers[:1], 403) as service:

        async def status(session: str, *lines: str) -> int:
            cookie = f"Cookie: sessionid={house.sessions.get(session, session)}"
            own = lines or (f"Origin: {house.servers[0].url}",)
            return await service.status("socket", cookie, *own, query="console")

        assert {name: await status(name) for name in ("boss", "looker", "clerk", "customer", "halfway", "nobody")} == {
            "boss": 101,
            "looker": 101,
            "clerk": 403,
            "customer": 403,
            "halfway": 403,
            "nobody": 403,
        }
        assert await status("boss", "Origin: https://evil.example.org") == 403
        assert await status("boss", "X-No: origin") == 403
        # Their pages may connect users, with a token or with a cookie; that is not to say that they may act as staff.
        assert await status("boss", f"Origin: {PARTNER}") == 403


async def test_who_is_connected_is_seen_over_all_processes_and_as_it_changes(house: House, service: Service) -> None:
    user = f"Ann {uuid4()}"
    wanted = {"type": "chat_message", "conversationId": "<b>\ud800</b>"}
    async with house.console() as console, service.connect(user, wanted, {"type": "t"}) as one:
        await console.send("watch", query=user.upper(), user=user)
        view = await console.view(lambda view: view["matched"] == 1 and view["chosen"])
        [row], [socket] = view["rows"], view["chosen"]["sockets"]
        assert (row["user"], row["sockets"], row["unacked"], row["processes"]) == (user, 1, 0, 1)
        assert (socket["count"], socket["unacked"]) == (2, 0)
        assert sorted(map(str, socket["filters"])) == sorted(map(str, [wanted, {"type": "t"}]))
        assert [process["process"] for process in view["processes"] if process["process"] == socket["process"]]
        async with service.connect(user, {"type": "t"}):
            view = await console.view(lambda view: view["matched"] == 2)
            assert (view["rows"][0]["sockets"], view["rows"][0]["processes"]) == (2, 2)
            assert len(view["processes"]) == 2
            assert len({socket["process"] for socket in view["chosen"]["sockets"]}) == 2
            begun = service.begin(user, "chat_message", dump({"conversationId": "<b>\ud800</b>"}))
            envelope = await one.envelope()
            await console.send("watch", query=user)  # shows it now, before the publisher has given up
            await console.view(lambda view: view["rows"][0]["unacked"] == 1)
            await one.ack(envelope)
            await begun
        view = await console.view(lambda view: view["matched"] == 1)
    async with house.console("looker", number=1) as console:
        await console.send("watch", query=user)
        view = await console.view(lambda view: view["matched"] == 0 and not view["rows"])
        assert view["chosen"] is None


async def test_pages_follow_one_another_without_a_gap_in_every_order(house: House, service: Service) -> None:
    """Also of the sockets of one user. 50 rows are a page."""
    mark = uuid4().hex
    users = [f"{mark}-{number:03}" for number in range(60)]
    async with AsyncExitStack() as stack, house.console() as console:
        connected = [*users, *users[::3], *[f"{mark}-many"] * 52]
        for user in connected:
            await stack.enter_async_context(service.connect(user))
        wanted = {"user": sorted([*users, f"{mark}-many"]), "newest": [f"{mark}-many", *reversed(users)]}
        wanted["newest"].remove(users[0])
        for order in ("user", "newest", "unacked"):
            await console.send("watch", query=mark, order=order)
            first = await console.view(lambda view: view["matched"] == len(connected) and len(view["rows"]) == 50)
            await console.send("watch", query=mark, order=order, after=first["after"])
            second = await console.view(lambda view: len(view["rows"]) < 50)
            found = [row["user"] for row in first["rows"] + second["rows"]]
            assert sorted(found) == sorted([*users, f"{mark}-many"])
            assert second["after"] is None
            assert sum(row["sockets"] for row in first["rows"] + second["rows"]) == len(connected)
            if order == "user":
                assert found == sorted(found)
            if order == "newest":
                assert found[0] == f"{mark}-many"
        await console.send("watch", query=mark, user=f"{mark}-many")
        first = await console.view(lambda view: view["chosen"] and len(view["chosen"]["sockets"]) == 50)
        await console.send("watch", query=mark, user=f"{mark}-many", socketsAfter=first["chosen"]["after"])
        second = await console.view(lambda view: len(view["chosen"]["sockets"]) == 2)
        found = [(s["process"], s["number"]) for s in first["chosen"]["sockets"] + second["chosen"]["sockets"]]
        assert len(set(found)) == first["chosen"]["count"] == 52


async def test_a_publish_tells_who_matched_each_ack_and_who_did_not_answer(house: House, service: Service) -> None:
    user = str(uuid4())
    async with (
        service.connect(user, {"type": "t"}) as here,
        service.connect(user, {"type": "t"}) as there,
        service.connect(user, {"type": "other"}),
        service.connect(user, {"type": "t"}) as gone,
        house.console() as console,
    ):

        async def answer() -> None:
            await here.ack(await here.envelope(), '{"at":1e400}')
            await there.envelope()
            await gone.envelope()
            await gone.abort()

        answering = asyncio.create_task(answer())
        payload = '{"big":123456789012345678901234567890}'
        steps = await console.delivery(f'{{"userId":" {user} ","type":"t","payload":{payload}}}')
        await answering
        assert steps[0]["step"] == "sent"
        assert steps[0]["envelope"]["payload"] == json.loads(payload)
        reports = [step for step in steps if step["step"] == "report"]
        named = {(step["process"], number) for step in reports for number in step["sockets"]}
        assert (sum(step["matched"] for step in reports), len(named), len(reports)) == (3, 3, 2)
        [ack], [left] = ([step for step in steps if step["step"] == kind] for kind in ("ack", "gone"))
        assert ack["length"] == len('{"at":1e400}')
        assert {(one["process"], one["socket"]) for one in (ack, left)} < named
        assert (steps[-1]["clientCount"], steps[-1]["acks"], steps[-1]["timedOut"]) == (3, 1, True)
        assert [step["ms"] for step in steps] == sorted(step["ms"] for step in steps)
        nobody = await console.delivery(f'{{"userId":"nobody-{user}"}}')
        assert [step["step"] for step in nobody] == ["sent", "done"]
        assert nobody[-1]["clientCount"] == 0
        await console.send("watch")
        await console.view(lambda view: True)
    await until(
        lambda: house.history(user) == ["Published 't': 1 of 3 sockets acked."]
    )  # it is noted behind the answer


async def test_what_an_operator_did_is_noted_also_when_they_have_left_at_once(house: House, service: Service) -> None:
    user = str(uuid4())
    async with service.connect(user, {"type": "t"}) as socket:
        async with house.console() as console:
            await console.send("publish", id="p", body={"userId": user, "type": "t"})
            envelope = await socket.envelope()
        await socket.ack(envelope)
        async with asyncio.timeout(PATIENCE):
            while house.history(user) != ["Published 't': 1 of 1 sockets acked."]:
                await asyncio.sleep(0.02)


async def test_one_socket_or_all_of_a_user_are_disconnected_for_good_or_to_come_back(
    house: House, service: Service
) -> None:
    user = str(uuid4())
    async with AsyncExitStack() as stack, house.console() as console:
        first, second, third = [await stack.enter_async_context(service.connect(user)) for _ in range(3)]
        await console.send("watch", user=user)
        view = await console.view(lambda view: view["chosen"] and view["chosen"]["count"] == 3)
        one = view["chosen"]["sockets"][0]  # the oldest
        place = {"process": one["process"], "number": one["number"]}
        await console.send("disconnect", id="one", user=user, reconnect=True, **place)
        assert (await console.frame("disconnected", id="one"))["count"] == 1
        assert await code(first) == CloseCode.RECONNECT
        await console.view(lambda view: view["chosen"]["count"] == 2)
        await console.send("disconnect", id="all", user=user)
        assert (await console.frame("disconnected", id="all"))["count"] == 2
        assert [await code(socket) for socket in (second, third)] == [CloseCode.DISCONNECTED] * 2
        await console.send("disconnect", id="none", user=user)
        assert (await console.frame("disconnected", id="none"))["count"] == 0
    noted = [
        "Closed 0 sockets with DISCONNECTED.",
        "Closed 1 socket with RECONNECT.",
        "Closed 2 sockets with DISCONNECTED.",
    ]
    await until(lambda: sorted(house.history(user)) == noted)  # behind the answers, and not in their order


async def test_what_was_done_is_read_in_the_admin_by_who_may_see_the_console(house: House, service: Service) -> None:
    user = f"<b>{uuid4()}</b>"
    async with house.console() as console:
        await console.delivery(json.dumps({"userId": user, "type": "<i>"}))
        await console.send("disconnect", id="d", user=user)
        await console.frame("disconnected", id="d")

    async def history(name: str) -> httpx.Response:
        cookie = f"sessionid={house.sessions[name]}"
        return await service.request("GET", "/admin/realtime/console/history/", cookie=cookie)

    async with asyncio.timeout(PATIENCE):
        while len(house.history(user)) < 2:
            await asyncio.sleep(0.02)
    text = (await history("colleague")).text
    assert text.count(escape(user)) == 2
    assert "Published &#x27;&lt;i&gt;&#x27;: 0 of 0 sockets acked." in text
    assert "boss" in text
    assert [(await history(name)).status_code for name in ("halfway", "clerk")] == [403, 403]
    index = (await service.request("GET", "/admin/", cookie=f"sessionid={house.sessions['halfway']}")).text
    assert "/admin/realtime/console/" not in index


async def code(socket: Any) -> int:
    with pytest.raises(ConnectionClosed) as error:
        await socket.recv()
    assert error.value.rcvd is not None
    return error.value.rcvd.code


async def test_who_may_only_look_can_do_nothing_and_who_may_no_longer_is_shown_out(
    house: House, service: Service
) -> None:
    user = str(uuid4())
    async with service.connect(user, {"type": "t"}) as socket, house.console("looker") as console:
        assert (await console.frame("hello"))["mayAct"] is False
        await console.socket.send(f'{{"type":"publish","id":"p","body":{{"userId":"{user}","type":"t"}}}}')
        assert "permission" in (await console.frame("error", id="p"))["message"]
        await console.send("disconnect", id="d", user=user)
        assert "permission" in (await console.frame("error", id="d"))["message"]
        await socket.settle()
        house.change("DELETE FROM django_session WHERE session_key = ?", house.sessions["looker"])
        assert await console.closed() == CloseCode.LOGGED_OUT
    async with house.console("leaving", number=1) as console:
        assert (await console.frame("hello"))["mayAct"] is True
        house.change("UPDATE auth_user SET is_staff = 0 WHERE username = 'leaving'")
        await console.send("disconnect", id="d", user=user)
        assert await console.closed() == CloseCode.LOGGED_OUT


async def test_what_the_page_should_not_send_is_answered_with_an_error_and_the_console_goes_on(house: House) -> None:
    async with house.console() as console:
        for wrong in (
            "",
            "nonsense",
            "[]",
            '{"type":"watch","after":["a",1]}',
            '{"type":"watch","order":"age"}',
            '{"type":"publish","id":"1"}',
            '{"type":"shutdown"}',
            '{"type":"disconnect","id":"1","user":"ann","process":"p"}',
            '{"type":"disconnect","id":"1","user":"ann","process":"p","number":99999999999999999999}',
            '{"type":"watch","socketsAfter":[1,"p",1e999]}',
            "[" * 10_000,
        ):
            await console.socket.send(wrong)
            error = await console.frame("error")
            assert ("does not understand" in error["message"], error["looks"]) == (True, 0)
        await console.socket.send(b"\x00")
        assert "does not understand" in (await console.frame("error"))["message"]
        for body, message in (
            ('{"userId":" "}', "userId is required"),
            ('{"userId":"a","payload":NaN}', "does not understand"),
            ("[]", "userId is required"),
            ("null", "Invalid JSON body"),
            ('{"userId":"a","payload":%s}' % ("[" * 600 + "]" * 600), "nested too deeply"),
            ('{"userId":"a","payload":"%s"}' % ("x" * 1_046_000), "1,044,480 at most"),
        ):
            await console.socket.send(f'{{"type":"publish","id":"p","body":{body}}}')
            assert message in (await console.frame("error"))["message"]
        await console.socket.send("ping")
        async with asyncio.timeout(PATIENCE):
            while await console.socket.recv() != "pong":
                pass


async def test_rates_and_latencies_come_every_second_from_all_processes(house: House, service: Service) -> None:
    user = str(uuid4())
    async with service.connect(user, {"type": "t"}) as socket, house.console() as console:
        await console.frame("rates")
        for _ in range(4):
            await service.deliver(socket, user, "t")
        rates = await console.frame("rates")
        while not rates["publishes"]:
            rates = await console.frame("rates")
        assert 0 < rates["delivery"][0] <= rates["delivery"][1]
        assert rates["acks"] > 0
        assert rates["sockets"] >= 1


async def test_one_of_the_connections_is_closed_from_python_and_filters_of_any_text_are_told(
    house: House, service: Service, settings: Any
) -> None:
    settings.CHANNEL_LAYERS = {
        "default": {"BACKEND": "realtime.layers.RedisChannelLayer", "CONFIG": {"hosts": [house.redis.url]}}
    }
    user = str(uuid4())
    async with service.connect(user, {"type": "t", "key": "\ud800"}) as one, service.connect(user) as other:
        first, second = await realtime.aconnections(user)
        assert first.filters == ({"type": "t", "key": "\ud800"},)
        assert await realtime.adisconnect(user, only=first) == 1
        assert await code(one) == CloseCode.DISCONNECTED
        await other.settle()
        assert await realtime.aconnections(user) == [second]


async def test_a_process_that_hangs_is_seen_to_be_silent_and_fills_no_log(house: House, service: Service) -> None:
    """Nor are a publish and a disconnect said to be complete, on the page or in the history."""
    user = str(uuid4())
    async with house.console() as console, service.connect(user, {"type": "t"}), service.connect(user, {"type": "t"}):
        await console.view(lambda view: len(view["processes"]) == 2 and not view["silent"])
        house.servers[1].kill(signal.SIGSTOP)
        try:
            await console.view(lambda view: len(view["processes"]) == 1 and view["silent"] == 1)
            await console.frame("rates")
            steps = await console.delivery(f'{{"userId":"{user}","type":"t"}}')
            assert [step["processes"] for step in steps if step["step"] == "silent"] == [1]
            assert steps[-1]["clientCount"] == 1
            await console.send("disconnect", id="d", user=user)
            told = await console.frame("disconnected", id="d")
            assert (told["count"], told["silent"]) == (1, 1)
        finally:
            house.servers[1].kill(signal.SIGCONT)
        await console.view(lambda view: len(view["processes"]) == 2 and not view["silent"])
    assert "WARNING realtime.control" not in house.servers[0].log
    await until(
        lambda: (
            house.history(user)
            == [
                "Published 't': 0 of 1 sockets acked, 1 process did not answer.",
                "Closed 1 socket with DISCONNECTED; 1 process did not answer.",
            ]
        )
    )  # it is noted behind the answer


async def test_a_user_id_that_is_no_proper_text_is_looked_at_and_blanks_around_one_are_not_it(
    house: House, service: Service
) -> None:
    user = f"{uuid4()}\ud800"
    async with house.console() as console, service.connect(user, {"type": "t"}) as socket:
        await console.send("watch", query=user[:-1], user=f" {user}\u3000", after=[0, user[:-1]])
        view = await console.view(lambda view: view["chosen"] and view["chosen"]["count"] == 1)
        assert [row["user"] for row in view["rows"]] == [view["chosen"]["user"]] == [user]
        publishing = asyncio.create_task(console.delivery(f'{{"userId":{json.dumps(user)},"type":"t"}}'))
        await socket.ack(await socket.envelope())
        assert (await publishing)[-1]["acks"] == 1
        await console.send("disconnect", id="d", user=f"{user} ")
        assert (await console.frame("disconnected", id="d"))["count"] == 1


async def test_nobody_opens_any_number_of_consoles_and_looks_in_a_row_cost_a_few(house: House) -> None:
    async with AsyncExitStack() as stack:
        consoles = [await stack.enter_async_context(house.console()) for _ in range(10)]
        with pytest.raises(InvalidStatus, match="429"):
            await stack.enter_async_context(house.console())
        await stack.enter_async_context(house.console("colleague"))
        for _ in range(500):
            await consoles[0].send("watch")
        views = 1
        while (await consoles[0].frame("view"))["looks"] < 500:
            views += 1
        assert views < 50


async def test_while_redis_is_away_the_console_says_so_and_then_goes_on(house: House) -> None:
    async with house.console() as console:
        await console.view(lambda view: not view["away"])
        house.redis.end()
        await console.view(lambda view: view["away"])
        await console.socket.send('{"type":"publish","id":"p","body":{"userId":"ann"}}')
        assert "Redis is away" in (await console.frame("error", id="p"))["message"]
        house.redis.start()
        await console.view(lambda view: not view["away"] and len(view["processes"]) == 2)


async def test_a_server_that_stops_closes_its_consoles(tmp_path: Path) -> None:
    """Ours with 1012; what stock Daphne cancels ends without a traceback."""
    env = environment(DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3")
    sessions = people(env)
    for start, wanted in ((realtime_server, 1012), (daphne, None)):
        with start(env) as server:
            house = House([server], valkey_host(), tmp_path / "db.sqlite3", sessions)
            async with house.console() as console:
                view = await console.view(lambda view: view["users"] == 0 and len(view["processes"]) == 1)
                assert view["sockets"] == 0
                await asyncio.to_thread(server.kill, 15)
                with pytest.raises(ConnectionClosed) as error:
                    await console.frame("nothing")
                assert (error.value.rcvd and error.value.rcvd.code) == wanted
            assert "Traceback" not in server.log
