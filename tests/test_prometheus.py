"""The dashboard and the alerts, asked of a real Prometheus with the project's own files and two processes."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from websockets.exceptions import InvalidStatus

from .clients import PATIENCE, Service, dump, service_of, until
from .servers import (
    ROOT,
    Server,
    environment,
    free_port,
    missing,
    realtime_server,
    replaced,
    running,
    stopped,
    valkey_host,
)

DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/hopeflow-realtime.json").read_text())
FILES = ROOT / "deploy/prometheus"
ALERTS: list[dict[str, Any]] = yaml.safe_load((FILES / "alerts.yml").read_text())["groups"][0]["rules"]
TOKEN = "for-prometheus-only"
VARIABLES = {"$__rate_interval": "5s", "$instance": ".*"}  # as Grafana would put them in

pytestmark = pytest.mark.xdist_group("prometheus")


@dataclass
class Prometheus:
    http: httpx.AsyncClient

    async def get(self, path: str, **parameters: str) -> Any:
        response = await self.http.get(f"/api/v1/{path}", params=parameters)
        assert response.status_code == 200, response.text
        return response.json()["data"]

    async def query(self, expression: str) -> list[float]:
        """The values of all series that it has now."""
        return [float(series["value"][1]) for series in (await self.get("query", query=expression))["result"]]

    async def pending(self) -> set[str]:
        """The names of the alerts that fire, or will if it goes on like this."""
        return {alert["labels"]["alertname"] for alert in (await self.get("alerts"))["alerts"]}


@asynccontextmanager
async def prometheus(folder: Path, *targets: Server) -> AsyncIterator[Prometheus]:
    """A Prometheus with the project's configuration: it asks these processes, and more often."""
    program = shutil.which("prometheus")
    if program is None:
        missing("prometheus")
    addresses = [target.address for target in targets]
    changes = {
        "scrape_interval: 15s": "scrape_interval: 200ms",
        "evaluation_interval: 15s": "evaluation_interval: 200ms",
        "/etc/prometheus/hopeflow-realtime-token": str(folder / "token"),
        '["127.0.0.1:8001", "127.0.0.1:8002"]': json.dumps(addresses),
    }
    (folder / "prometheus.yml").write_text(replaced((FILES / "prometheus.yml").read_text(), changes))
    (folder / "token").write_text(TOKEN)
    shutil.copy(FILES / "alerts.yml", folder)
    listen = f"127.0.0.1:{free_port()}"
    options = (
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}",
        f"--web.listen-address={listen}",
    )
    with running([program, *options], r"(Server is ready)", {}):
        async with httpx.AsyncClient(base_url=f"http://{listen}", trust_env=False, timeout=PATIENCE) as http:
            yield Prometheus(http)


async def happenings(service: Service, user: str) -> None:
    """Something of everything that is counted by a label: delivered, timed out, nobody, refused, cut off."""
    async with service.connect(user, {"type": "t"}) as socket:
        envelope = await service.deliver(socket, user, "t")
        await socket.ack(envelope)
        await service.publish(user, "t")
        await service.publish("nobody")
        await service.post("no JSON")
        with suppress(InvalidStatus):
            async with service.connect(user, jwt_text="none"):
                pass
    async with service.connect(user, *({"type": str(number)} for number in range(2))) as greedy:
        await greedy.say(type="subscribe", filters=[{"type": "one too many"}])
        await greedy.connection.wait_closed()


async def test_every_panel_and_alert_gets_an_answer_and_sees_both_processes(tmp_path: Path) -> None:
    """The dashboard while all goes well, the alerts when Redis is away and a process has died."""
    env = environment(
        REALTIME_METRICS="true", REALTIME_METRICS_TOKEN=TOKEN, REALTIME_ACK_TIMEOUT="0.1", REALTIME_MAX_FILTERS="2"
    )
    with ExitStack() as stack:
        redis = valkey_host()
        stack.enter_context(stopped(redis))
        redis.start()
        env["REDIS_URL"] = redis.url
        servers = [stack.enter_context(realtime_server(env)) for _ in range(2)]
        async with AsyncExitStack() as clients:
            services = [await clients.enter_async_context(service_of([server], 401)) for server in servers]
            for number, service in enumerate(services):
                await happenings(service, f"user {number}")  # before the first look: a series that begins has no rate
            asked = await clients.enter_async_context(prometheus(tmp_path, *servers))
            sockets = [await clients.enter_async_context(service.connect("ann")) for service in services for _ in "12"]

            async def all_are_counted() -> bool:
                return await asked.query("sum(realtime_sockets)") == [len(sockets)]

            await until(all_are_counted, 3 * PATIENCE)
            await asyncio.gather(*(happenings(service, f"user {number}") for number, service in enumerate(services)))
            for panel in DASHBOARD["panels"]:
                for target in panel["targets"]:
                    await until(partial(asked.query, with_variables(target["expr"])), 3 * PATIENCE)
            (group,) = (await asked.get("rules"))["groups"]
            assert [rule["name"] for rule in group["rules"]] == [alert["alert"] for alert in ALERTS]
            assert {(rule["health"], rule.get("lastError", "")) for rule in group["rules"]} == {("ok", "")}
            assert not await asked.pending() & {"ProcessDown", "RedisAway", "PublishesUnavailable"}

            servers[1].kill()
            redis.end()

            async def is_alarmed() -> bool:
                await services[0].post(dump({"userId": "nobody"}))
                with suppress(InvalidStatus):
                    async with services[0].connect("eve"):
                        pass
                return {"ProcessDown", "RedisAway", "PublishesUnavailable", "SocketsRefused"} <= await asked.pending()

            await until(is_alarmed, 3 * PATIENCE)
            for alert in ALERTS:  # each compares something that there is
                compared = re.fullmatch(r"(.+) (==|>) [\d.]+\s*", alert["expr"], re.DOTALL)
                assert compared is not None
                await until(partial(asked.query, compared[1]), 3 * PATIENCE)


def with_variables(expression: str) -> str:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression
