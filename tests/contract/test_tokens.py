"""Tokens: which are taken, where they are looked for, and whom they name."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.clients import NOBODY, PATIENCE, Door, Service, answered, bearer, dump, sign, token, with_query
from tests.contract.conftest import Start

CLAIMS = {"userId": "somebody"}


@pytest.fixture(params=["socket", "publish"])
def door(request: pytest.FixtureRequest) -> Door:
    """A token is looked at in the same way for a socket and for a publish."""
    chosen: Door = request.param
    return chosen


# The algorithm


def by_algorithm(name: str, key: Any) -> str:
    return jwt.encode(CLAIMS, key, algorithm=name)


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    """Any: nobody knows its public half."""
    return rsa.generate_private_key(65537, 2048)


def without_signature(algorithm: str) -> str:
    return sign(CLAIMS, {"alg": algorithm, "typ": "JWT"}).rpartition(".")[0] + "."


def claiming(algorithm: Any, digest: Callable[..., Any] = hashlib.sha256) -> str:
    return sign(CLAIMS, {"alg": algorithm, "typ": "JWT"}, digest=digest)


OTHER_ALGORITHMS: dict[str, Callable[[], str]] = {
    "none": lambda: without_signature("none"),
    "None": lambda: without_signature("None"),
    "NONE": lambda: without_signature("NONE"),
    "nOnE": lambda: without_signature("nOnE"),
    "none, signed": lambda: claiming("none"),
    "HS256, not signed": lambda: without_signature("HS256"),
    "HS384": lambda: claiming("HS384", hashlib.sha384),
    "HS512": lambda: claiming("HS512", hashlib.sha512),
    "RS256": lambda: by_algorithm("RS256", rsa_key()),
    "PS256": lambda: by_algorithm("PS256", rsa_key()),
    "ES256": lambda: by_algorithm("ES256", ec.generate_private_key(ec.SECP256R1())),
    "EdDSA": lambda: by_algorithm("EdDSA", ed25519.Ed25519PrivateKey.generate()),
    "HS384 that claims HS256": lambda: claiming("HS256", hashlib.sha384),
    "HS512 that claims HS256": lambda: claiming("HS256", hashlib.sha512),
    "HS256 that claims HS384": lambda: claiming("HS384"),
    "HS256 that claims HS512": lambda: claiming("HS512"),
    "HS256 that claims RS256": lambda: claiming("RS256"),
    "HS256 that claims ES256": lambda: claiming("ES256"),
    "HS256 in small letters": lambda: claiming("hs256"),
    "HS256 with a blank": lambda: claiming("HS256 "),
    "an unknown one": lambda: claiming("HS257"),
    "null": lambda: claiming(None),
    "a list": lambda: claiming(["HS256"]),
    "a number": lambda: claiming(256),
    "an empty one": lambda: claiming(""),
    "no algorithm": lambda: sign(CLAIMS, {"typ": "JWT"}),
}


@pytest.mark.parametrize("make", OTHER_ALGORITHMS.values(), ids=OTHER_ALGORITHMS)
async def test_every_other_algorithm_is_refused(service: Service, door: Door, make: Callable[[], str]) -> None:
    """HS256 only, whatever the header claims."""
    assert not await service.admits(door, bearer(make()))


# What is no token of ours at all


def tampered() -> str:
    head, _, signature = token("somebody").split(".")
    return ".".join([head, token("somebody else").split(".")[1], signature])


def signed_with_its_own_key() -> str:
    own = "its own key, of thirty-two bytes or more"
    return sign(CLAIMS, {"alg": "HS256", "jwk": {"kty": "oct", "k": "aXRzIG93biBrZXk"}}, secret=own)


NO_TOKENS: dict[str, Callable[[], str]] = {
    "another secret": lambda: sign(CLAIMS, secret="another secret that is long enough, 0123456789"),
    "an empty secret": lambda: sign(CLAIMS, secret=""),
    "its own key": signed_with_its_own_key,
    "other claims": tampered,
    "a cut signature": lambda: token("somebody")[:-5],
    "no signature": lambda: token("somebody").rpartition(".")[0],
    "one part more": lambda: token("somebody") + ".x",
    "one part": lambda: "token",
    "dots": lambda: "..",
    "no base64": lambda: "a!.b!.c!",
    "a list as header": lambda: sign(CLAIMS, ["HS256"]),
    "a string as header": lambda: sign(CLAIMS, b'"HS256"'),
    "a list as claims": lambda: sign(["userId"]),
    "a string as claims": lambda: sign("userId"),
    "null as claims": lambda: sign(None),
    "a number as claims": lambda: sign(1),
    "nothing as claims": lambda: sign(b""),
}


@pytest.mark.parametrize("make", NO_TOKENS.values(), ids=NO_TOKENS)
async def test_what_is_not_a_signed_token_is_refused(service: Service, door: Door, make: Callable[[], str]) -> None:
    assert not await service.admits(door, bearer(make()))


NO_TEXTS = ["%FF%FE", "%ED%A0%80", "%00", "%", "%u1234", "+", "é.é.é", "a.b.c%C3%A9"]


@pytest.mark.parametrize("text", NO_TEXTS, ids=ascii)
async def test_what_is_not_even_text_is_refused(service: Service, door: Door, text: str) -> None:
    """In the query and in the header, where the bytes are those of Latin-1."""
    if text.isascii():
        assert not await service.admits(door, query=f"?token={text}")
    assert not await service.admits(door, bearer(text))


# Where it is found


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "bEaReR ", ""])
async def test_the_scheme_is_bearer_in_any_case_or_absent(service: Service, door: Door, scheme: str) -> None:
    """A bare token counts as well."""
    assert await service.admits(door, f"Authorization: {scheme}{token('u')}")


@pytest.mark.parametrize("scheme", ["Basic ", "Token ", "JWT ", "Bearer", "Bearer: ", "Bearer Bearer "])
async def test_another_scheme_is_refused(service: Service, door: Door, scheme: str) -> None:
    """It is a header that is there and holds no token, so the query is not asked."""
    assert not await service.admits(door, f"Authorization: {scheme}{token('u')}", query=with_query(token=token("u")))


ABSENT = [
    [],
    ["Authorization:"],
    ["Authorization: "],
    ["Authorization:    "],
    ["Authorization: \t "],
    ["Authorization: Bearer"],
    ["Authorization: bearer"],
    ["Authorization: Bearer "],
    ["Authorization: BEARER \t  "],
]


@pytest.mark.parametrize("lines", ABSENT, ids=repr)
async def test_a_blank_header_counts_as_absent(service: Service, door: Door, lines: list[str]) -> None:
    """So does `Bearer` with nothing behind it. Then the query is read, and without it the request is refused."""
    assert await service.admits(door, *lines, query=with_query(token=token("u")))
    assert not await service.admits(door, *lines)
    assert not await service.admits(door, *lines, query=with_query(token="no token"))


async def test_the_header_wins(service: Service, door: Door) -> None:
    """The query is read only when the header is absent, even when the header's token is refused."""
    good, bad = token("u"), sign(CLAIMS, secret="another secret")
    assert await service.admits(door, bearer(good), query=with_query(token=bad))
    assert not await service.admits(door, bearer(bad), query=with_query(token=good))
    assert not await service.admits(door, f"Authorization: {bad}", query=with_query(token=good))


async def test_the_user_is_that_of_the_header(service: Service, user: str) -> None:
    other = f"other-{user}"
    path = "/" + with_query(token=token(other))
    async with service.connect(user, {"type": "t"}, path=path) as socket:
        await service.deliver(socket, user, "t")
        assert await service.publish(other, "t") == NOBODY


async def test_the_user_is_that_of_the_query_without_a_header(service: Service, user: str) -> None:
    path = "/" + with_query(token=token(user))
    async with service.connect(user, {"type": "t"}, path=path, additional_headers={}) as socket:
        await service.deliver(socket, user, "t")


async def test_of_several_tokens_in_the_query_the_first_counts(service: Service, door: Door) -> None:
    """Also when it is refused, or empty."""
    good = token("u")
    assert await service.admits(door, query=f"?token={good}&token=bad")
    assert await service.admits(door, query=f"?x=1&token={good}&token=bad&y")
    assert await service.admits(door, query=f"?token={good}&token=")
    assert not await service.admits(door, query=f"?token=bad&token={good}")
    assert not await service.admits(door, query=f"?token=&token={good}")


async def test_the_query_may_be_escaped(service: Service, door: Door) -> None:
    """As a query may be: the name and the value."""
    assert await service.admits(door, query="?%74oken=" + token("u").replace(".", "%2E").replace("e", "%65"))


# Nothing else

ELSEWHERE: list[tuple[str, str]] = [
    ("", ""),
    ("X-User-ID: u", ""),
    ("X-User-Id: u", "?userId=u"),
    ("userId: u", ""),
    ("X-Forwarded-User: u", ""),
    ("X-Remote-User: u", ""),
    ("Remote-User: u", ""),
    ("X-Authorization: Bearer %", ""),
    ("X-Access-Token: %", ""),
    ("Proxy-Authorization: Bearer %", ""),
    ("Cookie: token=%; Authorization=%; userId=u", ""),
    ("Sec-WebSocket-Protocol: %", ""),
    ("Sec-WebSocket-Protocol: bearer, %", ""),
    ("Token: %", ""),
    ("", "?access_token=%"),
    ("", "?jwt=%"),
    ("", "?Token=%"),
    ("", "?TOKEN=%"),
    ("", "?authorization=Bearer+%"),
    ("", "?Authorization=%"),
    ("", "?token"),
    ("", "?token="),
]


@pytest.mark.parametrize(("line", "query"), ELSEWHERE)
async def test_nothing_else_authenticates(service: Service, door: Door, line: str, query: str) -> None:
    """No other header, cookie, subprotocol or parameter, with a user or with a token in it."""
    lines = [line.replace("%", token("u"))] if line else []
    assert not await service.admits(door, *lines, query=query.replace("%", token("u")))


async def test_a_token_in_the_body_does_not_authenticate(service: Service) -> None:
    body = dump({"userId": "nobody", "token": token("u"), "authorization": f"Bearer {token('u')}"})
    response = await service.request("POST", content=body, content_type="application/json")
    assert response.status_code == 401


async def test_a_user_header_does_not_change_the_user(service: Service, user: str) -> None:
    """`X-User-ID` from outside means nothing beside a token either."""
    headers = {"Authorization": f"Bearer {token(user)}", "X-User-ID": f"other-{user}"}
    async with service.connect(user, {"type": "t"}, additional_headers=headers) as socket:
        await service.deliver(socket, user, "t")
        assert await service.publish(f"other-{user}", "t") == NOBODY


# The user

NO_USERS = [
    {},
    {"sub": "u"},
    {"user_id": "u"},
    {"userid": "u"},
    {"userId": None},
    {"userId": 1},
    {"userId": 0},
    {"userId": 1.5},
    {"userId": True},
    {"userId": ["u"]},
    {"userId": {"userId": "u"}},
    {"userId": ""},
    {"userId": "  \t\n"},
    {"userId": "\u00a0\u3000\ufeff"},
]


@pytest.mark.parametrize("claims", NO_USERS, ids=repr)
async def test_the_user_must_be_a_string_that_is_not_blank(
    service: Service, door: Door, claims: dict[str, Any]
) -> None:
    assert not await service.admits(door, bearer(sign(claims)))


async def test_the_trimmed_value_is_the_user(service: Service, user: str) -> None:
    async with service.connect(user, {"type": "t"}, jwt_text=token(f"\u3000 {user}\n\ufeff")) as socket:
        await service.deliver(socket, user, "t")


async def test_no_claim_but_the_user_is_required(service: Service, door: Door) -> None:
    assert await service.admits(door, bearer(sign({"userId": "u"})))


USERS = [
    "a",
    "ann+test@example.org",
    "a/b?c#d%20",
    "*",
    "Ünïcödé",
    "用户",
    "😀",
    "a b",
    "\x00",
    "a\nb",
    '"',
    "u" * 1024,
]


@pytest.mark.parametrize("name", USERS, ids=lambda name: ascii(name)[:20])
async def test_a_user_may_have_any_name(service: Service, user: str, name: str) -> None:
    """Any unicode, up to the documented length."""
    name = (name + user)[-1024:]
    async with service.connect(name, {"type": "t"}) as socket:
        await service.deliver(socket, name, "t")


# Time and the other claims

Claims = Callable[[float], dict[str, Any]]  # made of the time when the test runs

IN_TIME: dict[str, Claims] = {
    "exp ahead": lambda now: {"exp": int(now) + 60},
    "exp ahead, with a fraction": lambda now: {"exp": now + 60.5},
    "exp far ahead": lambda now: {"exp": 10**12},
    "exp in exponent form": lambda now: {"exp": 4e9},
    "nbf past": lambda now: {"nbf": int(now) - 1},
    "nbf past, with a fraction": lambda now: {"nbf": now - 0.5},
    "nbf long ago": lambda now: {"nbf": 0},
    "nbf before our time": lambda now: {"nbf": -1},
    "both": lambda now: {"nbf": int(now) - 60, "exp": int(now) + 60},
}

OUT_OF_TIME: dict[str, Claims] = {
    "exp past": lambda now: {"exp": int(now) - 1},
    "exp past, with a fraction": lambda now: {"exp": now - 0.001},
    "exp now": lambda now: {"exp": int(now)},
    "exp long ago": lambda now: {"exp": 0},
    "exp before our time": lambda now: {"exp": -1},
    "nbf ahead": lambda now: {"nbf": int(now) + 5},
    "nbf ahead, with a fraction": lambda now: {"nbf": now + 4.5},
    "nbf far ahead": lambda now: {"nbf": 10**12},
    "exp past, nbf past": lambda now: {"nbf": int(now) - 60, "exp": int(now) - 1},
    "exp ahead, nbf ahead": lambda now: {"nbf": int(now) + 30, "exp": int(now) + 60},
}


@pytest.mark.parametrize("claims", IN_TIME.values(), ids=IN_TIME)
async def test_a_token_is_taken_between_nbf_and_exp(service: Service, door: Door, claims: Claims) -> None:
    assert await service.admits(door, bearer(sign({**CLAIMS, **claims(time.time())})))


@pytest.mark.parametrize("claims", OUT_OF_TIME.values(), ids=OUT_OF_TIME)
async def test_a_token_is_refused_before_nbf_and_from_exp_on(service: Service, door: Door, claims: Claims) -> None:
    """Without leeway."""
    assert not await service.admits(door, bearer(sign({**CLAIMS, **claims(time.time())})))


@pytest.mark.parametrize("claim", ["exp", "nbf"])
@pytest.mark.parametrize("value", ["null", '"%"', '"x"', '""', "true", "false", "[%]", '{"%":%}'])
async def test_a_time_that_is_not_a_number_is_refused(service: Service, door: Door, claim: str, value: str) -> None:
    """A numeric string, `null` or a boolean, though it would be in time."""
    moment = int(time.time()) + (60 if claim == "exp" else -60)
    claims = f'{{"userId":"u","{claim}":{value.replace("%", str(moment))}}}'
    assert not await service.admits(door, bearer(sign(claims.encode())))


async def test_a_token_that_was_taken_is_refused_when_it_has_expired(service: Service, user: str) -> None:
    """And the socket that it opened stays, works on, and may subscribe."""
    jwt_text = token(user, exp=int(time.time()) + 2)
    async with service.connect(user, {"type": "t"}, jwt_text=jwt_text) as socket:
        async with asyncio.timeout(PATIENCE):
            while await service.admits("publish", bearer(jwt_text)):
                pass
        assert not await service.admits("socket", bearer(jwt_text))
        await service.deliver(socket, user, "t")
        await socket.subscribe({"type": "u"})
        await service.deliver(socket, user, "u")


async def test_leeway_is_taken_from_the_configuration(start: Start) -> None:
    async with start(REALTIME_JWT_LEEWAY="30") as service:
        now = int(time.time())
        assert await service.admits("publish", bearer(token("u", exp=now - 10)))
        assert await service.admits("publish", bearer(token("u", nbf=now + 10)))
        assert not await service.admits("publish", bearer(token("u", exp=now - 40)))
        assert not await service.admits("publish", bearer(token("u", nbf=now + 50)))


async def test_closing_at_exp_is_an_option(start: Start, user: str) -> None:
    """The socket is closed when its token expires, not before; one without `exp` stays."""
    async with start(REALTIME_CLOSE_AT_EXP="true") as service:
        exp = int(time.time()) + 2
        async with service.connect(user) as other, service.connect(user, jwt_text=token(user, exp=exp)) as socket:
            await socket.settle()
            async with asyncio.timeout(PATIENCE):
                await socket.connection.wait_closed()
            assert time.time() >= exp
            await other.settle()


OTHER_CLAIMS: dict[str, Claims] = {
    "aud, a string": lambda now: {"aud": "somebody else"},
    "aud, a list": lambda now: {"aud": ["a", "b"]},
    "aud, an empty list": lambda now: {"aud": []},
    "aud, a number": lambda now: {"aud": 1},
    "aud, null": lambda now: {"aud": None},
    "aud, an object": lambda now: {"aud": {"a": 1}},
    "aud, a list of numbers": lambda now: {"aud": [1]},
    "iss": lambda now: {"iss": "https://example.org"},
    "iss, a number": lambda now: {"iss": 1},
    "iss, null": lambda now: {"iss": None},
    "sub": lambda now: {"sub": "somebody else"},
    "sub, a number": lambda now: {"sub": 42},
    "sub, null": lambda now: {"sub": None},
    "sub, an object": lambda now: {"sub": {}},
    "jti": lambda now: {"jti": "1"},
    "jti, a number": lambda now: {"jti": 1},
    "jti, null": lambda now: {"jti": None},
    "iat some seconds ahead": lambda now: {"iat": int(now) + 30},
    "iat with a fraction": lambda now: {"iat": now + 5.25},
    "iat, a string": lambda now: {"iat": "now"},
    "iat, null": lambda now: {"iat": None},
    "any other": lambda now: {"roles": ["a"], "n": 1e300, "nested": {"exp": 0}, "": None, "type": "x", "userid": 1},
}


@pytest.mark.parametrize("claims", OTHER_CLAIMS.values(), ids=OTHER_CLAIMS)
async def test_every_other_claim_is_ignored(service: Service, door: Door, claims: Claims) -> None:
    """`aud` of any kind, `iss`, a numeric `sub` or `jti`, an `iat` ahead, and what nobody knows."""
    assert await service.admits(door, bearer(sign({**CLAIMS, **claims(time.time())})))


# The header of a token


@pytest.mark.parametrize("typ", [{}, {"typ": "JWT"}, {"typ": "jwt"}, {"typ": "Jwt"}, {"typ": "jWT"}], ids=repr)
async def test_typ_may_be_absent_or_jwt_in_any_case(service: Service, door: Door, typ: dict[str, Any]) -> None:
    assert await service.admits(door, bearer(sign(CLAIMS, {"alg": "HS256", **typ})))


@pytest.mark.parametrize("typ", ["at+jwt", "JWE", "JWS", "JWT2", "application/jwt", "", None, 1, ["JWT"]])
async def test_another_typ_is_refused(service: Service, door: Door, typ: Any) -> None:
    assert not await service.admits(door, bearer(sign(CLAIMS, {"alg": "HS256", "typ": typ})))


@pytest.mark.parametrize("crit", [["x-unknown"], ["x-unknown", "b64"], ["exp"], ["X-UNKNOWN"]], ids=repr)
async def test_an_unknown_crit_is_refused(service: Service, door: Door, crit: list[str]) -> None:
    header = {"alg": "HS256", "typ": "JWT", "crit": crit, **dict.fromkeys(crit, True)}
    assert not await service.admits(door, bearer(sign(CLAIMS, header)))


async def test_other_header_fields_are_ignored(service: Service, door: Door) -> None:
    """An `x-unknown` that no `crit` names, say."""
    assert await service.admits(door, bearer(sign(CLAIMS, {"alg": "HS256", "x-unknown": 1, "cty": "x"})))


async def test_the_publishers_token_does_not_name_the_target(service: Service, user: str) -> None:
    """A valid token of any user may publish to any user."""
    async with service.connect(user, {"type": "t"}) as socket:
        publish = asyncio.create_task(
            service.request(
                "POST",
                content=dump({"userId": user, "type": "t"}),
                content_type="application/json",
                authorization=f"Bearer {token(f'other-{user}')}",
            )
        )
        envelope = await socket.envelope()
        assert envelope.user == user
        await socket.ack(envelope, "1")
        assert (await publish).content.decode() == answered(1, "1")
