"""What Prometheus is told: every number is made to move, and none of them names anybody."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import InvalidStatus

from .clients import PATIENCE, Service, bearer, service_of, token
from .servers import environment, realtime_server

Numbers = dict[str, float]


async def numbers(service: Service, **headers: str) -> Numbers:
    """Each of ours as `name{label}`."""
    response = await service.request("GET", "/metrics", **headers)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain")
    samples = [sample for family in text_string_to_metric_families(response.text) for sample in family.samples]
    return {
        f"{sample.name}{{{','.join(sample.labels.values())}}}": sample.value
        for sample in samples
        if sample.name.startswith("realtime_") and "le" not in sample.labels and not sample.name.endswith("_created")
    }


async def test_the_numbers_tell_what_has_happened() -> None:
    user = str(uuid4())
    env = environment(REALTIME_METRICS="true", REALTIME_ACK_TIMEOUT="0.2", REALTIME_MAX_FILTERS="2")
    with realtime_server(env) as server:
        async with service_of([server], 401) as service:
            before = await numbers(service)
            async with service.connect(user, {"type": "t"}) as socket, service.connect("bob") as greedy:
                envelope = await service.deliver(socket, user, "t")
                await socket.ack(envelope)
                await service.publish(user, "t")
                await service.publish("nobody", "t")
                await service.post("no JSON")
                await greedy.say(type="subscribe", filters=[{"type": str(number)} for number in range(3)])
                async with asyncio.timeout(PATIENCE):
                    await greedy.connection.wait_closed()
                with pytest.raises(InvalidStatus):
                    async with service.connect("eve", jwt_text="none"):
                        pass
                await socket.recv()
                await socket.settle()
                after = await numbers(service)
            moved = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name)}
            assert {
                name: by for name, by in moved.items() if not name.endswith("seconds{}") and "_sum" not in name
            } == {
                "realtime_sockets{}": 1,
                "realtime_connects_total{}": 2,
                "realtime_handshakes_refused_total{invalid token}": 1,
                "realtime_cut_offs_total{TOO_MANY_FILTERS}": 1,
                "realtime_publishes_total{delivered}": 1,
                "realtime_publishes_total{timed out}": 1,
                "realtime_publishes_total{nobody}": 1,
                "realtime_publishes_refused_total{400}": 1,
                "realtime_acks_ignored_total{}": 1,
                "realtime_delivery_seconds_count{}": 3,
                "realtime_ack_seconds_count{}": 1,
            }
            assert 0 < moved["realtime_ack_seconds_sum{}"] < moved["realtime_delivery_seconds_sum{}"]
            assert after["realtime_layer_up{}"] == 1
            assert after["realtime_publishes_under_way{}"] == 0
            assert 0 <= after["realtime_keyring_age_seconds{}"] < 100
            async with asyncio.timeout(PATIENCE):
                while (await numbers(service))["realtime_sockets{}"]:
                    await asyncio.sleep(0.02)
            assert user not in (await service.request("GET", "/metrics")).text


async def test_without_the_setting_there_is_no_such_path_and_with_a_token_it_is_guarded() -> None:
    guarded = environment(REALTIME_METRICS="true", REALTIME_METRICS_TOKEN='"for prometheus"')
    with realtime_server(environment()) as without, realtime_server(guarded) as server:
        async with service_of([without], 401) as off, service_of([server], 401) as service:
            assert (await off.request("GET", "/metrics")).status_code == 404
            for wrong in ({}, {"authorization": bearer(token("ann")).partition(" ")[2]}):
                assert (await service.request("GET", "/metrics", **wrong)).status_code == 401
            assert await numbers(service, authorization="Bearer for prometheus")
