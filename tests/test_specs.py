"""openapi.yaml and asyncapi.yaml are valid, and the running service does what they and their examples say."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import jsonschema_rs
import pytest
import yaml
from django.core.exceptions import DisallowedHost
from django.http import HttpResponse
from django.test import RequestFactory
from hypothesis import given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from realtime.conf import Settings
from realtime.documents import asyncapi
from realtime.protocol import FILTERS_A_MESSAGE, CloseCode, trim

from .clients import (
    BLANKS,
    NO_BLANKS,
    NOBODY,
    Envelope,
    Service,
    Socket,
    answered,
    arrival,
    dump,
    envelope_before,
    service_of,
    token,
)
from .servers import ROOT, Server, environment, realtime_server

pytestmark = pytest.mark.xdist_group("specs")

ACK_TIMEOUT = 0.5


def document(name: str) -> Any:
    """As JSON, which is what the schemas are for."""
    return json.loads(json.dumps(yaml.safe_load((ROOT / "realtime/specs" / name).read_text())))


OPENAPI, ASYNCAPI = document("openapi.yaml"), document("asyncapi.yaml")
MESSAGES = ASYNCAPI["components"]["messages"]
FROM_CLIENTS = ("subscribe", "unsubscribe", "ack", "ping")


def validator(schema: Any, of: Any, kind: Any) -> Any:
    return kind({"allOf": [schema], "components": of["components"]}, validate_formats=True)


FRAMES = {name: validator(one["payload"], ASYNCAPI, jsonschema_rs.Draft7Validator) for name, one in MESSAGES.items()}


def read(name: str, frame: str) -> Any:
    """The payload of a frame, which is valid as this message."""
    found = frame if MESSAGES[name].get("contentType") == "text/plain" else json.loads(frame)
    FRAMES[name].validate(found)
    return found


def write(name: str, payload: Any) -> str:
    return str(payload) if MESSAGES[name].get("contentType") == "text/plain" else dump(payload)


def examples(*names: str) -> list[Any]:
    return [
        pytest.param(name, example["payload"], id=f"{name}-{example['name']}")
        for name in names
        for example in MESSAGES[name]["examples"]
    ]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    env = environment(REALTIME_ACK_TIMEOUT=str(ACK_TIMEOUT), REALTIME_MAX_BODY_BYTES="65536", REALTIME_METRICS="true")
    with realtime_server(env) as server:
        yield server


@pytest.fixture
async def service(server: Server) -> AsyncIterator[Service]:
    async with service_of([server], 401) as service:
        yield service


@pytest.fixture
def user() -> str:
    return str(uuid4())


# The documents themselves


def test_they_are_valid_by_their_official_schemas() -> None:
    """Which are not content with anything."""
    with gzip.open(ROOT / "tests/schemas/asyncapi-3.0.0.json.gz") as file:
        official = jsonschema_rs.validator_for(json.load(file))
    official.validate(ASYNCAPI)
    OPENAPI_31_VALIDATOR.validate(OPENAPI)
    assert not official.is_valid({**ASYNCAPI, "servers": {"here": {"host": "localhost"}}})
    assert not OPENAPI_31_VALIDATOR.is_valid({**OPENAPI, "servers": [{}]})


@pytest.mark.parametrize("name", ["openapi.yaml", "asyncapi.yaml"])
def test_every_reference_leads_somewhere_and_the_version_is_the_package_s(name: str) -> None:
    text, root = (ROOT / "realtime/specs" / name).read_text(), document(name)
    references = re.findall(r'\$ref: "#/([^"]+)"', text)
    for path in references:
        at = root
        for part in path.split("/"):
            at = at[part]
    assert references
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert root["info"]["version"] == project["version"]


def test_limits_blanks_and_close_codes_are_those_of_the_code() -> None:
    filters, one = ASYNCAPI["components"]["schemas"]["Filters"], ASYNCAPI["components"]["schemas"]["Filter"]
    envelope = MESSAGES["envelope"]["payload"]["properties"]
    published = OPENAPI["components"]["schemas"]["Publish"]["properties"]
    lengths = (one["properties"]["type"], one["additionalProperties"], one["propertyNames"])
    assert {schema["maxLength"] for schema in lengths} == {Settings.MAX_FILTER_LENGTH}
    assert (filters["maxItems"], one["maxProperties"]) == (FILTERS_A_MESSAGE, Settings.MAX_FILTER_KEYS)
    assert envelope["userId"]["maxLength"] == published["userId"]["maxLength"] == Settings.MAX_USER_LENGTH
    for pattern in (one["properties"]["type"]["pattern"], published["userId"]["pattern"]):
        not_blank = jsonschema_rs.Draft7Validator({"pattern": pattern})
        assert not any(map(not_blank.is_valid, BLANKS))
        assert all(map(not_blank.is_valid, NO_BLANKS))
    assert all(FRAMES["ping"].is_valid(f"{blank}piNG{blank}") for blank in BLANKS)
    assert not any(FRAMES["ping"].is_valid(f"ping{other}") for other in NO_BLANKS)
    theirs = set(CloseCode) - {CloseCode.LOGGED_OUT}  # of the console's own socket
    for channel in ASYNCAPI["channels"].values():
        codes = {code: (said["name"], said["reconnect"]) for code, said in channel["x-close-codes"].items()}
        assert codes == {str(int(code)): (code.name, not 4500 <= code <= 4999) for code in theirs}


def test_the_one_for_sockets_says_where_it_was_asked_for(rf: RequestFactory) -> None:
    """As the publisher's is relative to where it is, this one has the host, the prefix and whether it is secure."""
    for path, secure, expected in (
        ("/asyncapi.yaml", False, {"host": "localhost:8000", "protocol": "ws"}),
        ("/a/rt/asyncapi.yaml", True, {"host": "localhost:8000", "protocol": "wss", "pathname": "/a/rt"}),
    ):
        response = asyncapi(rf.get(path, secure=secure, headers={"host": "localhost:8000"}))
        assert isinstance(response, HttpResponse)
        here = yaml.safe_load(response.content)["servers"]["here"]
        assert {name: here[name] for name in here if name not in ("description", "security")} == expected
    with pytest.raises(DisallowedHost):
        asyncapi(rf.get("/asyncapi.yaml", headers={"host": "elsewhere.example"}))


# Sockets


@asynccontextmanager
async def subscribed(service: Service, user: str, *frames: str, path: str = "/") -> AsyncIterator[Socket]:
    """A socket that has sent these frames, which are in effect."""
    async with service.connect(user, path=path) as socket:
        await socket.send(*frames)
        await socket.settle()
        yield socket


async def received(service: Service, socket: Socket, user: str, type: str, payload: Any) -> Any:
    """The envelope that a publish brings, as JSON; None when it brings none. It is valid, and acked."""
    publish = service.begin(user, type, dump(payload))
    envelope = await envelope_before(socket, publish)
    if envelope is not None:
        await socket.ack(envelope)
    assert await publish == (NOBODY if envelope is None else answered(1, "null"))
    return envelope and read("envelope", envelope.raw)


def matching(filter_: dict[str, str]) -> tuple[str, dict[str, str]]:
    """The type and payload of an envelope that this filter matches."""
    return filter_["type"].strip(), {key: value for key, value in filter_.items() if key != "type"}


@pytest.mark.parametrize("channel", ASYNCAPI["channels"])
@pytest.mark.parametrize(("name", "message"), examples(*FROM_CLIENTS))
async def test_each_example_of_a_client_has_its_effect(
    service: Service, user: str, channel: str, name: str, message: Any
) -> None:
    """On each channel, by its address."""
    assert name in ASYNCAPI["channels"][channel]["messages"]
    FRAMES[name].validate(message)
    async with subscribed(service, user, path=ASYNCAPI["channels"][channel]["address"]) as socket:
        await EFFECTS[name](service, socket, user, message)


async def has_subscribed(service: Service, socket: Socket, user: str, message: Any) -> None:
    for filter_ in message["filters"]:
        assert await received(service, socket, user, *matching(filter_)) is None
    await socket.send(write("subscribe", message))
    await socket.settle()
    for filter_ in message["filters"]:
        type_, payload = matching(filter_)
        envelope = await received(service, socket, user, type_, payload)
        assert (envelope["userId"], envelope["type"], envelope["payload"]) == (user, type_, payload)


async def has_unsubscribed(service: Service, socket: Socket, user: str, message: Any) -> None:
    await has_subscribed(service, socket, user, {**message, "type": "subscribe"})
    await socket.send(write("unsubscribe", message))
    await socket.settle()
    for filter_ in message["filters"]:
        assert await received(service, socket, user, *matching(filter_)) is None


async def has_acked(service: Service, socket: Socket, user: str, message: Any) -> None:
    await socket.subscribe({"type": "t"})
    publish = service.begin(user, "t")
    envelope = await arrival(socket, publish)
    await socket.send(write("ack", {**message, "envelopeId": read("envelope", envelope.raw)["envelopeId"]}))
    assert await publish == answered(1, dump(message.get("result")))


async def has_pinged(service: Service, socket: Socket, user: str, message: Any) -> None:
    await socket.send(write("ping", message))
    read("pong", await socket.recv())


EFFECTS: dict[str, Callable[[Service, Socket, str, Any], Awaitable[None]]] = {
    "subscribe": has_subscribed,
    "unsubscribe": has_unsubscribed,
    "ack": has_acked,
    "ping": has_pinged,
}


@pytest.mark.parametrize(("name", "message"), examples("envelope", "pong"))
def test_each_example_of_the_service_is_what_it_sends(name: str, message: Any) -> None:
    """An envelope byte for byte, keys in order and without blanks, but for what is new in each."""
    read(name, write(name, message))
    if name == "envelope":
        assert Envelope.read(write(name, message)).raw


FILTER = {"type": "t"}
WRONG = [
    {"type": "subscribe"},
    {"type": "Subscribe", "filters": [FILTER]},
    {"type": " subscribe", "filters": [FILTER]},
    {"type": "subscribe", "filters": FILTER},
    {"type": "subscribe", "filters": [[FILTER]]},
    {"type": "subscribe", "filters": ["t"]},
    {"type": "subscribe", "filters": [{"type": 1}]},
    {"type": "subscribe", "filters": [{"type": "\u3000"}]},
    {"type": "subscribe", "filters": [{"k": "v"}]},
    {"type": "subscribe", "filters": [{"type": "t", "n": 1}]},
    {"type": "subscribe", "filters": [{"type": "t", "long": "x" * 1025}]},
    {"type": "subscribe", "filters": [{"type": "t", "x" * 1025: "v"}]},
    {"type": "subscribe", "filters": [{"type": "t", **{str(n): "v" for n in range(32)}}]},
    {"type": "subscribe", "filters": [*({"type": f"other {n}"} for n in range(50)), FILTER]},
    {"filters": [FILTER]},
    [{"type": "subscribe", "filters": [FILTER]}],
    {"type": "ack"},
    {"type": "ack", "envelopeId": 1},
    {"type": "ack", "envelopeId": None, "result": 1},
    {"type": "ping"},
    "subscribe",
    None,
]


def test_what_the_schemas_forbid_is_not_vacuous() -> None:
    for frame in WRONG:
        assert not any(FRAMES[name].is_valid(frame) for name in FROM_CLIENTS), frame
    good = MESSAGES["envelope"]["examples"][0]["payload"]
    for wrong in (
        *({key: value for key, value in good.items() if key != missing} for missing in list(good)[:4]),
        {**good, "timestamp": "2026-01-31T12:34:56Z"},
        {**good, "timestamp": "2026-13-31T12:34:56.789Z"},
        {**good, "userId": 1},
        {**good, "more": 1},
        [good],
    ):
        assert not FRAMES["envelope"].is_valid(wrong), wrong
    assert not FRAMES["pong"].is_valid("PONG")


async def test_what_the_schemas_forbid_is_ignored(service: Service, user: str) -> None:
    """And the socket works on."""
    everything = {"k": "v", "n": 1, "long": "x" * 1025, "x" * 1025: "v", **{str(n): "v" for n in range(32)}}
    async with service.connect(user) as socket:
        for frame in WRONG:
            await socket.send(dump(frame))
            await socket.settle()
            assert await received(service, socket, user, "t", everything) is None, frame
        await socket.subscribe(FILTER)
        publish = service.begin(user, "t")
        await arrival(socket, publish)
        await socket.send(*(dump(frame) for frame in WRONG))
        await socket.settle()
        assert await publish == answered(1)


strings = st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | st.sampled_from([" ", "x" * 1025, "\ufefft"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | strings,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(strings, inner, max_size=3),
    max_leaves=8,
)


def test_a_filter_is_taken_when_the_schema_allows_it(server: Server) -> None:
    """And each envelope that a publish brings is valid, whatever its payload."""
    schema = validator(ASYNCAPI["components"]["schemas"]["Filter"], ASYNCAPI, jsonschema_rs.Draft7Validator)
    taken: set[bool] = set()
    fields = st.dictionaries(strings, strings | st.integers(), max_size=3)

    async def check(filter_: dict[str, Any], payload: Any) -> None:
        user, wanted = str(uuid4()), {**filter_, "k": "v"}
        frame = dump({"type": "subscribe", "filters": [wanted, {"type": "all"}]})
        async with service_of([server], 401) as service, subscribed(service, user, frame) as socket:
            if valid := schema.is_valid(wanted):
                type_ = trim(wanted["type"])
                envelope = await received(service, socket, user, type_, {**wanted, "more": payload})
                assert (envelope["type"], envelope["payload"]["more"]) == (type_, payload)
            else:
                type_ = str(wanted.get("type", "t")).strip() or "t"
                assert await received(service, socket, user, type_, {**wanted, "more": payload}) is None
            taken.add(valid)
            assert (await received(service, socket, user, "all", payload))["payload"] == payload

    @settings(max_examples=25)
    @given(st.fixed_dictionaries({"type": strings | st.integers()}) | fields, values)
    def run(filter_: dict[str, Any], payload: Any) -> None:
        asyncio.run(check({key: value for key, value in filter_.items() if key not in ("k", "more")}, payload))

    run()
    assert taken == {True, False}


# HTTP


def valid_answer(operation: Any, response: httpx.Response) -> Any:
    """The body, which is valid as what is documented for this status, and its headers too."""
    said = operation["responses"][str(response.status_code)]
    if "$ref" in said:
        said = OPENAPI["components"]["responses"][said["$ref"].rpartition("/")[2]]
    (content,) = said["content"].items()
    assert response.headers["content-type"].startswith(content[0])
    for name, header in said["headers"].items():
        schema = OPENAPI["components"]["headers"].get(header.get("$ref", "").rpartition("/")[2], header)["schema"]
        value = response.headers[name]
        validator(schema, OPENAPI, jsonschema_rs.Draft202012Validator).validate(
            int(value) if value.isdigit() else value
        )
    readers: dict[str, Callable[[str], Any]] = {
        "application/json": json.loads,
        "application/yaml": yaml.safe_load,
        "text/plain": str,
    }
    body = readers[content[0]](response.text)
    validator(content[1]["schema"], OPENAPI, jsonschema_rs.Draft202012Validator).validate(body)
    return body


PUBLISH = OPENAPI["paths"]["/publish"]["post"]
REQUESTS = PUBLISH["requestBody"]["content"]["application/json"]["examples"]
ANSWERS = PUBLISH["responses"]["200"]["content"]["application/json"]["examples"]


@pytest.mark.parametrize(("request_", "answer"), [("chat", "acked"), ("least", "nobody")])
async def test_each_example_of_a_publish_is_answered_with_its_example(
    service: Service, request_: str, answer: str
) -> None:
    """Sockets that ack what the example says make it so."""
    assert len(REQUESTS) == len(ANSWERS) == 2
    request, expected = REQUESTS[request_]["value"], ANSWERS[answer]["value"]
    async with AsyncExitStack() as stack:
        filter_ = {"type": request.get("type", "message")}
        sockets = [
            await stack.enter_async_context(service.connect(request["userId"], filter_))
            for _ in range(expected["clientCount"])
        ]
        publishing = asyncio.create_task(service.post(dump(request)))
        for socket, result in zip(sockets, expected["results"], strict=True):
            envelope = await socket.envelope()
            assert read("envelope", envelope.raw).get("payload") == request.get("payload")
            await socket.ack(envelope, dump(result))
            await socket.settle()
        assert valid_answer(PUBLISH, await publishing) == expected


@pytest.mark.parametrize(
    ("status", "headers", "content"),
    [
        (400, {}, '{"type":"t"}'),
        (401, {"authorization": "Bearer nonsense"}, "{}"),
        (413, {}, dump({"userId": "x" * 70_000})),
        (415, {"content-type": "text/plain"}, "{}"),
    ],
)
async def test_each_example_of_an_error_is_what_is_answered(
    service: Service, status: int, headers: dict[str, str], content: str
) -> None:
    """Of those that a lone request can bring about; tests/contract has the others."""
    usual = {"authorization": f"Bearer {token('a publisher')}", "content-type": "application/json"}
    response = await service.request("POST", content=content, **{**usual, **headers})
    assert response.status_code == status
    said = PUBLISH["responses"][str(status)]
    said = OPENAPI["components"]["responses"]["Unauthorized"] if "$ref" in said else said
    assert valid_answer(PUBLISH, response) == said["content"]["application/json"]["example"]


@pytest.mark.parametrize("path", [path for path, methods in OPENAPI["paths"].items() if "get" in methods])
async def test_each_path_to_read_is_answered_as_documented(service: Service, path: str) -> None:
    """With its example where that says all of it."""
    operation = OPENAPI["paths"][path]["get"]
    response = await service.request("GET", path)
    assert response.status_code == 200
    body = valid_answer(operation, response)
    (content,) = operation["responses"]["200"]["content"].values()
    if isinstance(content.get("example"), dict):
        assert body == content["example"]
    refused = await service.request("POST", path)
    said = OPENAPI["components"]["responses"]["MethodNotAllowed"]
    assert valid_answer({"responses": {"405": said}}, refused) == said["content"]["application/json"]["example"]
    assert refused.status_code == 405
