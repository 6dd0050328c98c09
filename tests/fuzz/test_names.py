"""Names that look like something else: a user and a type are what they are, to the last character, and nothing more."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from realtime.events import PROCESSES, group_name
from tests.clients import BLANKS, dump, token
from tests.fuzz import wire
from tests.fuzz.conftest import Site
from tests.fuzz.wire import Connection, RawSocket

numbers = count()

FORGED = "2026-01-31 12:34:56,789 INFO realtime.consumers connect user='root' socket=1"
NAMES = [
    "ann",
    "Ann",
    "ANN",
    "ann ann",
    "ann\x00",
    "ann\x1c",
    "\x85ann",
    "an\u0301n",
    "a\u0144n",
    "ånn",
    "a\u030ann",
    "ａｎｎ",
    "*",
    "?",
    "[a-z]",
    "a*",
    "ann*",
    "a?n",
    "[a]nn",
    "\\*",
    "**",
    "user.*",
    "realtime.*",
    "__keyspace@0__:*",
    group_name("ann"),
    f"hopeflow:group:{group_name('ann')}",
    f"asgi:group:{group_name('ann')}",
    "group",
    "default",
    PROCESSES,
    "specific.process!1",
    "specific.process!",
    "specific.process!*",
    "realtime.envelope",
    "asgi:specific.x!1",
    "x\r\n" + FORGED,
    "x\n" + FORGED,
    "x\r" + FORGED,
    "x\u2028" + FORGED,
    "x\x0b" + FORGED,
    "x\x85" + FORGED,
    '127.0.0.1:1 - - [01/Jan/2026:00:00:00] "GET /" 200 1\nx',
    "\x1b[2J\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x9b31m",
    "\x08\x08\x08\x7f",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "&lt;b&gt;",
    "'; DROP TABLE users; --",
    "%s%s%n",
    "{0.__class__}",
    "${jndi:ldap://127.0.0.1/x}",
    "$(id)",
    "`id`",
    "../../etc/passwd",
    "C:\\",
    "CON",
    "null",
    "None",
    "undefined",
    "0",
    "-1",
    "1e3",
    "true",
    "[]",
    "{}",
    '{"userId":"ann"}',
    '"',
    '\\"',
    "\\u0061nn",
    "\\",
    "\\n",
    "\u202eann\u202c",
    "\u200fann",
    "ann\u200d",
    "ann\u200b",
    "\ufffeann",
    "\uffff",
    "\ud800",
    "\udfff\ud800",
    "😀",
    "👩‍👧",
    "\U0010ffff",
    "ß",
    "ss",
    "ẞ",
    "İ",
    "i",
    "ı",
    "ſ",
    "s",
    "k",
    "\u212a",
    "__proto__",
    "constructor",
    "toString",
    "hasOwnProperty",
    "userId",
    "type",
    "message",
    "ping",
    "x" * 299 + "y",
    "x" * 299 + "z",
    "x" * 300,
    "😀" * 299 + "a",
    "😀" * 299 + "b",
]

names = st.lists(
    st.text(min_size=1, max_size=30).filter(lambda text: text.strip(BLANKS) == text), min_size=2, max_size=8
)
near = st.builds(
    lambda text, end: [text + "a", text + end, end + text], st.text(max_size=20), st.sampled_from("*?\x00\x1c\ud800")
)


def each_reaches_itself_alone(site: Site, users: list[tuple[str, str]]) -> None:
    """A socket for each (user, type): of the publishes to them all it gets its own, once."""
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(RawSocket(site.servers[number % 2], user, {"type": type}))
            for number, (user, type) in enumerate(users)
        ]
        for socket, (user, type) in zip(sockets, users, strict=True):
            payload = dump({"user": user, "type": type})
            assert site.deliver(socket, user, type, payload, result=payload)  # and the answer says: nobody else
        for socket in sockets:
            socket.settle()  # which fails where anything else has come
    site.sent["names"] += len(users)


def test_every_user_reaches_itself_alone(site: Site) -> None:
    """All pairwise. `deliver` sees that one socket got it, and the sockets that none got another's."""
    assert len(set(NAMES)) == len(NAMES)
    each_reaches_itself_alone(site, [(name, "t") for name in NAMES])


def test_every_type_reaches_itself_alone(site: Site) -> None:
    each_reaches_itself_alone(site, [("a user of many types", name) for name in NAMES])


def test_every_name_stays_in_its_line_of_the_log(site: Site) -> None:
    """As a user, a type, a path, a query, a header, a `kid`: it begins no line. (`unharmed` reads them all.)"""
    for name in NAMES:
        text = name.encode("utf-8", "surrogatepass").decode("latin-1")
        target = "/" + "".join(f"%{byte:02x}" for byte in text.encode("latin-1"))
        for data in (
            wire.request(f"GET {target}?{target[1:]} HTTP/1.1"),
            wire.request(f"GET {target} HTTP/1.1", *wire.UPGRADE),
            wire.request(f"GET /?token={target[1:]} HTTP/1.1", *wire.UPGRADE),
            wire.handshake(token("ann") + text),
            wire.request("GET /nowhere HTTP/1.1", f"User-Agent: {text}", f"Referer: {text}"),
            wire.request("GET /admin/ HTTP/1.1", f"Host: {text}"),
        ):
            with Connection(site.servers[-1], data) as connection:
                connection.end()
        site.sent["names"] += 1


@given(found=st.one_of(names, near))
def test_names_that_differ_are_different(site: Site, found: list[str]) -> None:
    number = next(numbers)
    users = list(dict.fromkeys(name for name in found if name.strip(BLANKS) == name != ""))
    each_reaches_itself_alone(
        site, [(f"{name}{number}", "t") for name in users] + [(str(number), name) for name in users]
    )
