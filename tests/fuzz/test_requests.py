"""Bytes on a TCP connection: no answer is a 5xx, nothing fails in the server, and the next publish is exact."""

from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.clients import bearer, token
from tests.fuzz import wire
from tests.fuzz.conftest import METRICS_TOKEN, Site
from tests.fuzz.wire import Connection, frame
from tests.servers import Server

STATUS = re.compile(rb"^HTTP/1\.[01] (\d{3}) ", re.MULTILINE)
JSON = "Content-Type: application/json"
AUTHORIZED = bearer(token("a publisher"))
BODY = b'{"userId":"nobody","type":"t","payload":{"k":[1,"x",null]}}'
CHUNKS = b'5\r\n{"use\r\n10;x=y\r\nrId":"nobody"   \r\n1\r\n}\r\n0\r\n\r\n'

VALID = [
    wire.request("POST /publish HTTP/1.1", AUTHORIZED, JSON, body=BODY),
    wire.request("POST /publish HTTP/1.1", AUTHORIZED, JSON, "Transfer-Encoding: chunked") + CHUNKS,
    wire.request("POST /publish HTTP/1.1", AUTHORIZED, JSON, "Expect: 100-continue", body=BODY),
    wire.request("OPTIONS /publish HTTP/1.1", "Origin: https://example.org"),
    wire.handshake(token("somebody")),
    wire.handshake(token("somebody")) + frame(b"ping"),
    wire.request("GET /healthz HTTP/1.1") * 2,
    wire.request("GET /metrics HTTP/1.1", f"Authorization: Bearer {METRICS_TOKEN}"),
    wire.request("GET /admin/ HTTP/1.1", "Cookie: sessionid=x; csrftoken=y"),
    wire.request("POST /admin/login/ HTTP/1.1", "Content-Type: application/x-www-form-urlencoded", body=b"username=x"),
    wire.request("GET /static/admin/css/base.css HTTP/1.1", "Range: bytes=1-9", "If-None-Match: x"),
]

METHODS = [
    "GET",
    "POST",
    "HEAD",
    "OPTIONS",
    "PUT",
    "DELETE",
    "TRACE",
    "CONNECT",
    "PRI",
    "post",
    "G\xffT",
    "",
    "A" * 300,
    "*",
]
TARGETS = [
    "/publish",
    "/",
    "/connect",
    "/healthz",
    "/readyz",
    "/metrics",
    "/admin/",
    "/admin/login/?next=%0d%0aX",
    "/static/x",
    "*",
    "publish",
    "http://example.org/publish",
    "//example.org/publish",
    "/publish/../publish",
    "/%70ublish",
    "/publish%00",
    "/%0d%0a2026-01-01",
    "/\x7f",
    "/\x90",
    "/\xff",
    "/?%",
    "/?token=%ff%00&token",
    "/?" + "a=b&" * 2_000,
    "/" + "x/" * 1_000,
    "/publish?token",
    "/publish#x",
    "/\x1b[31m",
    '/"',
    "/<script>",
    "/static/../../etc/passwd",
    "/static/%2e%2e/x",
    "?",
    "/x" * 9_000,
]
VERSIONS = ["HTTP/1.0", "HTTP/0.9", "HTTP/2", "HTTP/1.1 ", "http/1.1", "", "HTTP/\xff"]
LINES = [
    AUTHORIZED,
    JSON,
    *wire.UPGRADE,
    "Host: example.org",
    "Host: \xff",
    "Host: a:b:c",
    "Host: <script>",
    "Host:",
    "X: y",
    "Content-Length: 0",
    "Content-Length: 5",
    "Content-Length: -1",
    "Content-Length: 99999",
    "Content-Length: x",
    "Content-Length: 0x10",
    "Content-Length: " + "9" * 5_000,
    "Content-Length: 1e9",
    "Content-Length: \xb2",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: identity",
    "Connection: close",
    "Connection: \xff",
    "Expect: 100-continue",
    "Expect: x",
    "Upgrade: h2c",
    "Upgrade:",
    "Authorization: \xff\xfe",
    "Authorization: Bearer",
    "Authorization: Basic eDp5",
    "Content-Type: multipart/form-data",
    "Content-Type: \xff",
    "Content-Type: multipart/form-data; boundary=\xff",
    "Content-Type: application/json; charset=utf-7",
    "Cookie: \xff;=;;",
    "Cookie: sessionid=" + "x" * 4_000,
    "Origin: null",
    "Origin: http://[",
    "Origin: \xff",
    "Origin: http://a:99999999",
    "Sec-WebSocket-Version: 8",
    "Sec-WebSocket-Version: \xff",
    "Sec-WebSocket-Key: x",
    "Sec-WebSocket-Key: \xff",
    "Sec-WebSocket-Protocol: a,,a",
    "Sec-WebSocket-Protocol: %00",
    "Sec-WebSocket-Protocol: \xff",
    "Sec-WebSocket-Extensions: permessage-deflate; x=1;;",
    "Sec-WebSocket-Extensions: \xff",
    "Range: bytes=-1,\xff",
    "Range: bytes=99999999999999999999-",
    "If-Modified-Since: Mon, 99 Foo 99999",
    "If-None-Match: \xff",
    "Accept: \xff;q=x",
    "Accept-Language: " + "x-" * 400,
    "Accept-Language: \xff",
    "Accept-Encoding: br;q=1e999",
    "X-Forwarded-For: \xff",
    "X-Forwarded-Proto: \xff",
    "X-Forwarded-Host: \xff",
    "Daphne-Root-Path: \xff",
    "Daphne-Root-Path: /publish",
    "Daphne-Root-Path: %ff",
    "X_Y: z",
    "X\x00: y",
    "X: \x00",
    "X: \x0b",
    "X: \x85",
    " folded",
    ": x",
    "x",
    "\xff: y",
    "Content-Length : 5",
    "X-CSRFToken: \xff",
    "Referer: http://[",
    "X: " + "y" * 20_000,
    "X-User-ID: u",
]
BODIES = [b"", b"", BODY, BODY[:-1], CHUNKS, b"zz\r\n", b"-1\r\n\r\n", b"fffffffff\r\n", b"\0" * 100, b"x" * 70_000]
BODIES += [wire.request("GET /healthz HTTP/1.1"), b"\r\n\r\n", frame(b"ping"), b"5;" + b"x" * 3_000 + b"\r\n"]
PIECES = [
    b"",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\0",
    b" ",
    b":",
    b",",
    b"\x80",
    b"\xff",
    b"%",
    b"-",
    b"9" * 20,
    b"{",
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid request with some pieces taken out, doubled or replaced, and perhaps another behind it."""
    data = draw(st.sampled_from(VALID))
    for _ in range(draw(st.integers(1, 3))):
        start, size = draw(st.integers(0, len(data))), draw(st.integers(0, 12))
        piece = data[start : start + size]
        data = data[:start] + draw(st.sampled_from([*PIECES, piece * 2, piece[::-1]])) + data[start + size :]
    return data + draw(st.sampled_from([b"", b"", *VALID]))


composed = st.builds(
    lambda method, target, version, lines, others, body: (
        "\r\n".join([f"{method} {target} {version}", *lines, *others, "", ""]).encode("latin-1") + body
    ),
    st.sampled_from(["GET", "POST"] * 14 + METHODS),
    st.sampled_from(["/publish", "/", "/admin/login/"] * 12 + TARGETS),
    st.sampled_from(["HTTP/1.1"] * 40 + VERSIONS),
    st.sampled_from(
        [["Host: localhost"], ["Host: localhost", AUTHORIZED, JSON], ["Host: x", AUTHORIZED, *wire.UPGRADE]]
    ),
    st.lists(st.sampled_from(LINES), max_size=2),
    st.sampled_from(BODIES),
)
anything = st.one_of(composed, composed, mutated(), mutated(), st.binary(max_size=60))


def statuses(site: Site, server: Server, requests: list[bytes]) -> list[int]:
    """What a server has answered, request lines that it could not read included."""
    connections = [Connection(server, data) for data in requests]
    site.assert_well()  # by now they all have been read
    said = [connection.end() for connection in connections]
    for connection in connections:
        connection.tcp.close()
    site.sent["requests"] += len(requests)
    return [int(status) for data in said for status in STATUS.findall(data)]


@given(requests=st.lists(anything, min_size=30, max_size=30))
def test_no_request_fails_in_the_server(site: Site, requests: list[bytes]) -> None:
    """Whatever is in its line, its headers, its length and its body, and however many are pipelined."""
    found = statuses(site, site.servers[-1], requests)
    assert max(found, default=0) < 500, found


@given(body=st.one_of(st.binary(max_size=80), st.text(max_size=80).map(str.encode), st.sampled_from(BODIES)))
def test_no_body_fails_in_the_server(site: Site, body: bytes) -> None:
    """A publish, whole and valid but for its body."""
    requests = [
        wire.request("POST /publish HTTP/1.1", AUTHORIZED, JSON, body=body[:end] + middle + body[end:])
        for end, middle in enumerate([b"", b'{"userId":"u"}', b"\xff", b"[" * 600, b'"userId":', b"null", b"\\ud800"])
    ]
    with Connection(site.servers[-1], b"".join(requests)) as connection:
        found = [connection.answer().status for _ in requests]
    site.sent["requests"] += len(requests)
    assert set(found) <= {200, 400, 413}, found


@given(
    cuts=st.lists(st.integers(0, 300), max_size=6), data=st.lists(st.sampled_from(VALID[:4]), min_size=1, max_size=4)
)
def test_pipelined_requests_are_answered_one_by_one_however_they_are_cut(
    site: Site, cuts: list[int], data: list[bytes]
) -> None:
    whole = b"".join(data)
    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    with Connection(site.servers[-1]) as connection:
        for start, end in pairwise(edges):
            connection.send(whole[start:end])
        for valid in data:
            answer = connection.answer()
            while answer.status == 100:
                answer = connection.answer()
            assert answer.status == (204 if valid.startswith(b"OPTIONS") else 200)
    site.sent["requests"] += len(data)


def test_thousands_of_requests_were_sent(site: Site) -> None:
    assert site.sent["requests"] > 2_000
