"""Tokens of every kind, at both doors: admitted are those that an independent reading of HS256 says are valid."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from tests.clients import BLANKS, bearer, sign, token
from tests.fuzz import wire
from tests.fuzz.conftest import Site
from tests.fuzz.wire import Connection
from tests.servers import SECRET

CLAIMS = {"userId": "somebody"}
PAST, FUTURE = 1, 10**11  # seconds since the epoch

# The independent reading


def is_valid(text: str) -> bool:
    """Whether it is a token that is valid now, by RFC 7515, RFC 7519 and the protocol's page."""
    parts = text.split(".")
    if len(parts) != 3 or (decoded := [unbase64(part) for part in parts]).count(None):
        return False
    header, claims = strict_object(decoded[0] or b""), strict_object(decoded[1] or b"")
    signature = hmac.new(SECRET.encode(), f"{parts[0]}.{parts[1]}".encode(), hashlib.sha256).digest()
    if header is None or claims is None or decoded[2] != signature or header.get("alg") != "HS256":
        return False
    typ, crit, kid = header.get("typ", "JWT"), header.get("crit", ["b64"]), header.get("kid", "")
    if not (isinstance(typ, str) and typ.upper() == "JWT" and isinstance(kid, str)):
        return False
    # `b64` (RFC 7797) is the one extension that is known, and its one value that a JWT may have is the default.
    if not (isinstance(crit, list) and crit and all(name == "b64" for name in crit)) or header.get("b64") is False:
        return False
    if "crit" in header and "b64" not in header:
        return False
    user = claims.get("userId")
    if not isinstance(user, str) or not 0 < len(user.strip(BLANKS)) <= 1024:
        return False
    times = [claims.get("exp", FUTURE), claims.get("nbf", PAST)]
    return all(type(time) is float or type(time) is int for time in times) and times[1] < 1e9 < 1e10 < times[0]


def unbase64(part: str) -> bytes | None:
    """base64url without padding, or with all of it."""
    bare = part.rstrip("=")
    whole = bare + "=" * (-len(bare) % 4)
    if not re.fullmatch(r"[\w-]*", bare, re.ASCII) or len(bare) % 4 == 1 or part not in (bare, whole):
        return None
    data = base64.urlsafe_b64decode(whole)
    return data if base64.urlsafe_b64encode(data).decode() == whole else None  # the bits behind the last byte are 0


def strict_object(data: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(data.decode(), parse_int=float, parse_constant=refuse)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def refuse(constant: str) -> None:
    raise ValueError(constant)


# What is sent

scalars = st.sampled_from([None, True, 0, -1, 1.5, 1e300, "", "x", "HS256", "none", "JWT", "\x00", "\ud800", "../../x"])
anything = st.one_of(
    scalars, scalars, st.lists(scalars, max_size=2), st.dictionaries(st.just("k"), scalars, max_size=1)
)
headers = st.fixed_dictionaries(
    {"alg": st.sampled_from(["HS256"] * 6 + ["none", "HS384", "RS256", "hs256"]) | anything},
    optional={
        "typ": st.sampled_from(["JWT", "jwt", "at+jwt", "ſwt"]) | anything,
        "kid": st.sampled_from(["", "k", "x" * 3_000, "' OR 1=1 --", "\r\nX: y", "*"]) | anything,
        "crit": st.sampled_from([["b64"], [], ["exp"], ["b64", "b64"], "b64", [[]], [None], ["b64", "x"]]) | anything,
        "b64": anything,
        "jwk": st.just({"kty": "oct", "k": "AAAA"}),
        "jku": st.just("http://127.0.0.1:1/keys"),
        "zip": st.just("DEF"),
        "cty": anything,
    },
)
claims = st.fixed_dictionaries(
    {"userId": st.sampled_from(["u", " u ", "\ud800", "\x00", "x" * 1024, "x" * 1025, " \ufeff"]) | anything},
    optional={
        "exp": st.sampled_from([PAST, FUTURE, 1e308, -1, "1"]) | anything,
        "nbf": st.sampled_from([PAST, FUTURE, -1e308, "1"]) | anything,
        "aud": anything,
        "iat": anything,
    },
)
DEEP = ["[" * levels + "]" * levels for levels in (400, 2_500)]
raw = st.sampled_from(
    [
        *(f'{{"alg":"HS256","userId":"u","x":{text}}}' for text in DEEP),
        *DEEP,
        '{"alg":"HS256","userId":"u","x":NaN}',
        '{"alg":"none","alg":"HS256","userId":1,"userId":"u"}',
        '{"alg":"HS256","alg":"none","userId":"u","userId":1}',
        '{"alg":"HS256","userId":"u","exp":1e999}',
        '{"alg":"HS256","userId":"u","nbf":-1e999}',
        '\ufeff{"alg":"HS256","userId":"u"}',
        "",
        "null",
        "[]",
        '"x"',
        "{",
    ]
).map(str.encode)
made = st.builds(
    sign,
    claims | raw | st.binary(max_size=20),
    headers | raw | st.binary(max_size=20),
    secret=st.sampled_from([SECRET] * 8 + ["", "another secret, long enough for HS256 as well"]),
    digest=st.sampled_from([hashlib.sha256] * 8 + [hashlib.sha384, hashlib.sha1]),
)
GOOD = sign(CLAIMS, {"alg": "HS256", "kid": "k?>~\u00ff", "typ": "JWT"})
PLAIN = token("somebody")
JUNK = ["", ".", "..", "=", "==", "A", "-", "_", "+", "/", "!", "~", " ", "\t", "\x7f", "é", "ÿ", '"', ",", "%00", "\\"]


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A valid token with a piece taken out, doubled, moved or replaced."""
    text = draw(st.sampled_from([GOOD, PLAIN]))
    start, size = draw(st.integers(0, len(text))), draw(st.integers(0, 8))
    piece = text[start : start + size]
    head, signature = text.rsplit(".", 1)
    other = draw(
        st.sampled_from(
            [
                piece * 2,
                piece.swapcase(),
                piece[::-1],
                piece.translate(str.maketrans("-_+/", "+/-_")),
                *JUNK,
            ]
        )
    )
    return draw(
        st.sampled_from(
            [
                text[:start] + other + text[start + size :],
                text[:start] + other + text[start:],
                f"{head}.{signature[:start]}{other}{signature[start:]}",
                text[:start],
                text[start:],
                text + other,
                other + text,
                f"{text}.{text}",
                f"{head}.{signature.translate(str.maketrans('-_', '+/'))}{'=' * (size % 4)}",
                base64.b64encode(text.encode()).decode(),
                "Bearer " + text,
            ]
        )
    )


tokens = st.lists(
    st.one_of(made, mutated(), mutated(), st.text(st.characters(max_codepoint=255), max_size=30)),
    min_size=20,
    max_size=20,
)
BODY = b'{"userId":"nobody"}'


@given(texts=tokens, in_query=st.booleans())
def test_admitted_is_what_is_valid_and_nothing_else(site: Site, texts: list[str], in_query: bool) -> None:
    """At both doors, in the header and in the query."""
    texts = [text if in_query else re.sub(r"[\x00-\x08\n-\x1f\x7f\x85]", "", text).strip() or "x" for text in texts]
    asked: list[tuple[str, str]] = [
        (f"?token={quote(text, safe='')}", "X: y") if in_query else ("", bearer(text)) for text in texts
    ]
    valid = [is_valid(text.strip(BLANKS)) for text in texts]
    json_body = "Content-Type: application/json"
    with Connection(site.servers[1]) as connection:  # they are pipelined
        for query, line in asked:
            connection.send(wire.request(f"POST /publish{query} HTTP/1.1", line, json_body, body=BODY))
        statuses = [connection.answer().status for _ in texts]
    assert statuses == [200 if is_good else 401 for is_good in valid], wrong(texts, statuses, valid)
    sockets = [
        Connection(site.servers[0], wire.request(f"GET /{query} HTTP/1.1", *wire.UPGRADE, line))
        for query, line in asked
    ]
    statuses = [socket.answer().status for socket in sockets]
    for socket in sockets:
        socket.tcp.close()
    assert statuses == [101 if is_good else 401 for is_good in valid], wrong(texts, statuses, valid)
    site.sent["tokens"] += len(texts)
    site.sent["admitted"] += sum(valid)


def wrong(texts: list[str], statuses: list[int], valid: list[bool]) -> list[tuple[str, int]]:
    return [
        (text, status)
        for text, status, is_good in zip(texts, statuses, valid, strict=True)
        if (status in (200, 101)) != is_good
    ]


@given(size=st.integers(8_000, 40_000), filler=st.sampled_from("A.=x \xff"), in_query=st.booleans())
def test_an_oversized_token_is_refused(site: Site, size: int, filler: str, in_query: bool) -> None:
    """With a 4xx, or with the end of the connection once the request's head is over the server's limit."""
    text = f"{GOOD}{filler}{(filler * size)}x"
    query, line = (f"?token={quote(text, safe='')}", "X: y") if in_query else ("", bearer(text))
    for data in (
        wire.request(f"POST /publish{query} HTTP/1.1", line, "Content-Type: application/json", body=BODY),
        wire.request(f"GET /{query} HTTP/1.1", *wire.UPGRADE, line),
    ):
        with Connection(site.servers[0], data) as connection, suppress(EOFError):
            assert connection.answer().status in (400, 401)
    site.sent["tokens"] += 1


def test_thousands_of_tokens_were_sent(site: Site) -> None:
    """And not all of them were refused."""
    assert site.sent["tokens"] > 2_000
    assert site.sent["admitted"] > 100
