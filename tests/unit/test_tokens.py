import json
from base64 import urlsafe_b64encode
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.tokens import InvalidToken, Token, decode, find_token, sign
from tests.servers import SECRET

KEY = SECRET.encode()
users = st.text(min_size=1).filter(lambda user: user == user.strip() and "\ufeff" not in user)


@given(users)
def test_a_signed_token_names_its_user(user: str) -> None:
    assert decode(sign(user, SECRET, 60), KEY, 1024).user == user


@given(st.text())
def test_no_text_is_a_token_and_none_raises_anything_else(text: str) -> None:
    with pytest.raises(InvalidToken):
        decode(text, KEY, 1024)


@given(st.lists(st.binary(), min_size=3, max_size=3))
def test_no_three_segments_are_a_token(segments: list[bytes]) -> None:
    with pytest.raises(InvalidToken):
        decode(".".join(urlsafe_b64encode(segment).decode().rstrip("=") for segment in segments), KEY, 1024)


@given(st.integers(0, 200), st.characters(min_codepoint=33, max_codepoint=126))
def test_a_token_with_one_character_changed_is_refused(position: int, character: str) -> None:
    token = sign("ann", SECRET, 60)
    position %= len(token)
    changed = token[:position] + character + token[position + 1 :]
    if changed != token:
        with pytest.raises(InvalidToken):
            decode(changed, KEY, 1024)


@given(st.dictionaries(st.sampled_from(["aud", "iss", "sub", "jti", "iat"]), st.integers() | st.text() | st.none()))
def test_claims_that_are_not_ours_never_matter(claims: dict[str, Any]) -> None:
    token = jwt.PyJWS().encode(json.dumps({"userId": "ann", **claims}).encode(), SECRET, algorithm="HS256")
    assert decode(token, KEY, 1024).user == "ann"


@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(0, 3))
def test_a_token_is_valid_from_nbf_until_just_before_exp(before: float, after: float, leeway: float) -> None:
    token, now = Token("ann", expires=1000 + after, not_before=1000 - before), 1000.0
    valid = now - leeway < 1000 + after and 1000 - before <= now + leeway
    try:
        token.check(now, leeway)
    except InvalidToken:
        assert not valid
    else:
        assert valid


@pytest.mark.parametrize(
    ("header", "query", "token"),
    [
        ("Bearer a.b.c", "", "a.b.c"),
        ("bEaReR   a.b.c  ", "token=x", "a.b.c"),
        ("a.b.c", "token=x", "a.b.c"),
        ("Bearera.b.c", "token=x", "Bearera.b.c"),
        ("Bearer", "token=x", "x"),
        ("Bearer  ", "token=x&token=y", "x"),
        (" ", "a=1&token=x%2Ey", "x.y"),
        (None, "token=&token=y", None),
        (None, "TOKEN=x", None),
        (None, "", None),
    ],
)
def test_the_token_is_found_where_the_contract_says(header: str | None, query: str, token: str | None) -> None:
    assert find_token(header, query) == token
