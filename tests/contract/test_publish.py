"""POST /publish: what is asked of a request, in which order, and how it is refused."""

from __future__ import annotations

import asyncio

import httpx
import pytest
import yaml

from tests.clients import NOBODY, Service, answered, arrival, dump, sign, token
from tests.contract.conftest import Topology
from tests.servers import daphne

UNAUTHORIZED = (401, b'{"error":"Unauthorized"}')
UNSUPPORTED = (415, b'{"error":"Unsupported Media Type"}')
INVALID = (400, b'{"error":"Invalid JSON body"}')
NO_USER = (400, b'{"error":"userId is required"}')
OK = (200, NOBODY.encode())

MEBIBYTE = 1024 * 1024


def answer_of(response: httpx.Response) -> tuple[int, bytes]:
    """Status and body of an answer, which is JSON that any origin may read."""
    assert response.headers["content-type"].split(";")[0] == "application/json"
    assert response.headers["access-control-allow-origin"] == "*"
    return response.status_code, response.content


# The order of the checks: each request fails at one of them and at all that follow.


async def test_the_token_is_checked_first(service: Service) -> None:
    for authorization in ("", "Bearer x", f"Bearer {sign({'userId': 'u'}, secret='another')}"):
        for body in ("{}", "no json", "", dump({"userId": "nobody"})):
            for content_type in ("text/plain", "application/json"):
                response = await service.request(
                    "POST", content=body, authorization=authorization, content_type=content_type
                )
                assert answer_of(response) == UNAUTHORIZED


async def test_the_content_type_is_checked_before_the_body(service: Service) -> None:
    for body in ("no json", "", "null", "{}", dump({"userId": "nobody"})):
        assert answer_of(await service.post(body, "text/plain")) == UNSUPPORTED


async def test_json_is_checked_before_the_user(service: Service) -> None:
    assert answer_of(await service.post('{"userId":1,}')) == INVALID
    assert answer_of(await service.post("{}")) == NO_USER
    assert answer_of(await service.post('{"userId":"nobody"}')) == OK


async def test_every_answer_is_json_for_any_origin(service: Service, user: str) -> None:
    """With or without an `Origin` in the request, and when a socket has got the envelope."""
    authorization = f"Bearer {token('u')}"
    for extra in ({}, {"origin": "https://example.org"}, {"origin": "null"}):
        headers = {"authorization": authorization, "content_type": "application/json", **extra}
        for body, expected in (("x", INVALID), ("{}", NO_USER), (dump({"userId": user}), OK)):
            assert answer_of(await service.request("POST", content=body, **headers)) == expected
        assert answer_of(await service.request("POST", content="", **extra)) == UNAUTHORIZED
        headers["content_type"] = "text/plain"
        assert answer_of(await service.request("POST", content="", **headers)) == UNSUPPORTED
    async with service.connect(user, {"type": "message"}) as socket:
        publish = asyncio.create_task(service.post(dump({"userId": user})))
        await socket.ack(await socket.envelope(), '{"a":"é"}')
        assert answer_of(await publish) == (200, answered(1, '{"a":"é"}').encode())


# Content type

JSON_TYPES = [
    "application/json",
    "Application/JSON",
    "APPLICATION/JSON; CHARSET=UTF-8",
    "application/json; charset=utf-8",
    "application/json;charset=utf-8",
    "application/json; charset=latin-1",
    "application/json; charset=utf-16",
    "application/json; charset=nonsense",
    'application/json; charset="',
    "application/json;",
    "application/json; boundary=x",
    "application/json-patch+json",
    "text/plain, application/json",
    "text/plain; x=application/json",
]

OTHER_TYPES = [
    "",
    "json",
    "text/json",
    "text/plain",
    "text/plain;charset=UTF-8",
    "application/ json",
    "application/x-json",
    "application/ld+json",
    "application/problem+json",
    "application/jso",
    "application/octet-stream",
    "application/x-www-form-urlencoded",
    "multipart/mixed; boundary=x",
    ";",
    "*/*",
]


@pytest.mark.parametrize("content_type", JSON_TYPES)
async def test_a_content_type_that_contains_json_is_taken(service: Service, user: str, content_type: str) -> None:
    """In any case and with parameters; the body is JSON in UTF-8 whatever they say."""
    name = f"{user} é"
    async with service.connect(name, {"type": "message"}) as socket:
        publish = asyncio.create_task(service.post(f'{{"userId":"{name}","payload":"é"}}'.encode(), content_type))
        envelope = await arrival(socket, publish)
        assert envelope.payload == '"é"'
        await socket.ack(envelope)
        assert answer_of(await publish) == (200, answered(1, "null").encode())


@pytest.mark.parametrize("content_type", OTHER_TYPES)
async def test_every_other_content_type_is_refused(service: Service, content_type: str) -> None:
    assert answer_of(await service.post(dump({"userId": "nobody"}), content_type)) == UNSUPPORTED


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=application/json"])
async def test_a_form_is_never_taken_for_something_else(
    service: Service, topology: Topology, content_type: str
) -> None:
    """Stock daphne reads forms before any application sees the request, and answers what is none with a bare 400."""
    response = await service.post(dump({"userId": "nobody"}), content_type)
    if topology.server is daphne:
        assert (response.status_code, response.content) == (400, b"")
    elif "json" in content_type:
        assert answer_of(response) == (200, answered(0).encode())
    else:
        assert answer_of(response) == UNSUPPORTED


async def test_no_content_type_is_refused(service: Service) -> None:
    response = await service.request("POST", content=b'{"userId":"nobody"}', authorization=f"Bearer {token('u')}")
    assert "content-type" not in response.request.headers
    assert answer_of(response) == UNSUPPORTED


# Body (test_text.py has every way not to be JSON)


@pytest.mark.parametrize("body", ["", " ", "\n", "null", " null\n", "{", "hello", "userId=u", "nul", "NULL"])
async def test_a_body_that_is_no_json_or_null_is_refused(service: Service, body: str) -> None:
    assert answer_of(await service.post(body)) == INVALID


@pytest.mark.parametrize(
    "body", ["[]", '["userId"]', '[{"userId":"u"}]', "[null]", "true", "false", "0", "1", "1.5", '""', '"userId"']
)
async def test_a_body_that_is_no_object_has_no_user(service: Service, body: str) -> None:
    assert answer_of(await service.post(body)) == NO_USER


TARGETS = ["{}", '{"payload":{"userId":"u"}}', '{"userid":"u"}', '{"user_id":"u"}', '{" userId":"u"}']
TARGETS += [
    f'{{"userId":{value}}}' for value in ("null", "1", "0", "true", "false", "[]", '["u"]', "{}", '""', '" \\n"')
]


@pytest.mark.parametrize("body", TARGETS)
async def test_a_body_without_a_user_is_refused(service: Service, body: str) -> None:
    """Missing, not a string, or blank."""
    assert answer_of(await service.post(body)) == NO_USER


async def test_the_trimmed_value_is_the_target(service: Service, user: str) -> None:
    async with service.connect(user, {"type": "message"}) as socket:
        publish = service.begin(f"\t {user}\u3000\n\ufeff")
        envelope = await socket.envelope()
        assert envelope.user == user
        await socket.ack(envelope)
        assert await publish == answered(1, "null")


TYPES = [
    "null",
    "1",
    "0",
    "true",
    "false",
    "[]",
    '["t"]',
    "{}",
    '{"type":"t"}',
    '""',
    '" "',
    '"\\n\\t"',
    '"\\u3000\\ufeff"',
]


@pytest.mark.parametrize("envelope_type", TYPES)
async def test_a_type_that_is_none_means_message(service: Service, user: str, envelope_type: str) -> None:
    """One that is blank, or not a string."""
    async with service.connect(user, {"type": "message"}) as socket:
        publish = asyncio.create_task(service.post(f'{{"userId":"{user}","type":{envelope_type}}}'))
        envelope = await socket.envelope()
        assert envelope.type == "message"
        await socket.ack(envelope)
        assert (await publish).content.decode() == answered(1, "null")


async def test_a_missing_type_means_message(service: Service, user: str) -> None:
    async with service.connect(user, {"type": "message"}) as socket:
        assert (await service.deliver(socket, user)).type == "message"


async def test_the_type_is_trimmed(service: Service, user: str) -> None:
    async with service.connect(user, {"type": "t"}) as socket:
        publish = service.begin(user, "\u00a0 t\r\n")
        envelope = await socket.envelope()
        assert envelope.type == "t"
        await socket.ack(envelope)
        assert await publish == answered(1, "null")


# Size


async def test_a_body_of_several_megabytes_is_normal(service: Service, user: str) -> None:
    """Up to 4 MiB to the byte: it arrives whole, and so does the next envelope."""
    head, tail = f'{{"userId":"{user}","type":"t","payload":"', '"}'
    text = ("0123456789é😀" * MEBIBYTE)[: 2 * MEBIBYTE]
    text += "x" * (4 * MEBIBYTE - len((head + text + tail).encode()))
    async with service.connect(user, {"type": "t"}) as socket:
        publish = asyncio.create_task(service.post((head + text + tail).encode()))
        envelope = await socket.envelope()
        assert envelope.payload == f'"{text}"'
        await socket.ack(envelope)
        # On a busy machine the way there alone may take longer than the short ack timeout of these tests.
        assert (await publish).content.decode() in (answered(1, "null"), answered(1))
        await service.deliver(socket, user, "t")


async def test_the_default_bound_is_4_mebibytes(service: Service, user: str) -> None:
    """A byte more is refused, and no socket gets it."""
    body = f'{{"userId":"{user}","type":"t","payload":"'
    body += "x" * (4 * MEBIBYTE + 1 - len(body) - 2) + '"}'
    async with service.connect(user, {"type": "t"}, {"type": "marker"}) as socket:
        response = await service.post(body)
        assert 400 <= response.status_code < 500
        await service.deliver(socket, user, "marker")


# Methods and paths


async def test_options(service: Service) -> None:
    """What a browser asks before it publishes, token or not."""
    asking = {
        "origin": "https://example.org",
        "access_control_request_method": "POST",
        "access_control_request_headers": "authorization,content-type",
    }
    for headers in ({}, asking, {"authorization": "Bearer x"}):
        response = await service.request("OPTIONS", **headers)
        assert (response.status_code, response.content) == (204, b"")
        assert response.headers["access-control-allow-origin"] == "*"
        assert response.headers["access-control-allow-methods"] == "POST,OPTIONS"
        assert response.headers["access-control-allow-headers"] == "authorization,content-type"
        assert response.headers["access-control-max-age"] == "86400"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"])
async def test_any_other_method_is_not_allowed(service: Service, topology: Topology, method: str) -> None:
    """With or without a token."""
    if topology.behind_nginx and method == "TRACE":
        assert (await service.request(method)).status_code == 405  # nginx's own, on every path, without Allow
        return
    for headers in ({}, {"authorization": f"Bearer {token('u')}", "content_type": "application/json"}):
        response = await service.request(method, **headers)
        assert response.status_code == 405
        assert {name.strip() for name in response.headers["allow"].split(",")} == {"POST", "OPTIONS"}


PATHS = ["/publish/", "/PUBLISH", "/Publish", "/deliver", "/deliver/", "/publish/x", "/publishx", "/publish%2F", "/x"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "GET", "OPTIONS", "PUT"])
async def test_a_path_that_is_not_served_is_not_found(service: Service, method: str, path: str) -> None:
    for headers in ({}, {"authorization": f"Bearer {token('u')}", "content_type": "application/json"}):
        body = dump({"userId": "nobody"}) if method == "POST" else None
        response = await service.request(method, path, content=body, **headers)
        assert response.status_code == 404


async def test_a_query_does_no_harm(service: Service) -> None:
    """The path counts, not what is behind it."""
    response = await service.request(
        "POST", f"/publish?x=1&token={token('u')}", content='{"userId":"nobody"}', content_type="application/json"
    )
    assert answer_of(response) == OK


async def test_the_documents_are_beside_it_and_say_where_it_is(service: Service) -> None:
    """For everybody, any page included; and again only when they have changed."""
    prefixes = [server.url + service.prefix for server in service.servers]
    for name in ("openapi.yaml", "asyncapi.yaml"):
        response = await service.request("GET", f"/{name}")
        assert (response.status_code, response.headers["content-type"]) == (200, "application/yaml")
        assert response.headers["access-control-allow-origin"] == "*"
        if name == "openapi.yaml":
            (server,) = yaml.safe_load(response.text)["servers"]
            assert str(response.url.join(server["url"])).rstrip("/") in prefixes
        else:
            server = yaml.safe_load(response.text)["servers"]["here"]
            url = f"{server['protocol']}://{server['host']}{server.get('pathname', '')}"
            assert url.replace("ws", "http", 1) in prefixes
        head = await service.request("HEAD", f"/{name}")
        assert (head.status_code, head.content) == (200, b"")
        # Kept connections may lead to another process, where the host is another one.
        if len(service.servers) == 1:
            again = await service.request("GET", f"/{name}", if_none_match=response.headers["etag"])
            assert (again.status_code, again.content) == (304, b"")
