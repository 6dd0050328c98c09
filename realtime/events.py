"""What publishers and the processes that hold sockets say to each other over the channel layer.

A publisher sends one `envelope` event to the user's group. Each process in the group answers on the event's reply
channel: with one `report`, then with an `ack` or a `gone` for each socket it counted. A publisher that has waited long
for a process sends it a `probe`, which is answered with `here`.

A question about a user's sockets (`connections`, `disconnect`) goes to the user's group too, one about all of them
(`revoked`, `survey`) to the group of all processes; each process gives one `answer`. `secrets` only tells.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from .envelopes import Envelope

Event = dict[str, Any]

ENVELOPE = "realtime.envelope"
PROBE = "realtime.probe"
REPORT = "realtime.report"
ACK = "realtime.ack"
GONE = "realtime.gone"
HERE = "realtime.here"
CONNECTIONS = "realtime.connections"
DISCONNECT = "realtime.disconnect"
REVOKED = "realtime.revoked"
SURVEY = "realtime.survey"
SECRETS = "realtime.secrets"
ANSWER = "realtime.answer"

PROCESSES = "realtime.processes"  # the group of all processes that verify tokens


def group_name(user: str) -> str:
    """The group of a user. Layers allow short ASCII names only and users may be anything, so the user is hashed."""
    return "user." + blake2b(user.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()


def envelope_event(group: str, envelope: Envelope, reply: str, timeout: float) -> Event:
    """`reply` is the reply channel, `timeout` for how many seconds acks are awaited.

    With `"named": True` added, reports tell which sockets match.
    """
    return {
        "type": ENVELOPE,
        "group": group,
        "id": envelope.id,
        "text": envelope.text,
        "reply": reply,
        "timeout": timeout,
    }


def probe_event(reply: str) -> Event:
    return {"type": PROBE, "reply": reply}


def report(process: str, matched: int) -> Event:
    """`matched` sockets of the process are sent the envelope. `sockets` may be added: the numbers of some of them."""
    return {"type": REPORT, "process": process, "matched": matched}


def ack(process: str, socket: int, result: str) -> Event:
    """`socket` is the number of the socket in its process, `result` JSON text."""
    return {"type": ACK, "process": process, "socket": socket, "result": result}


def gone(process: str, socket: int) -> Event:
    """The socket closed before it acked."""
    return {"type": GONE, "process": process, "socket": socket}


def here(process: str) -> Event:
    return {"type": HERE, "process": process}


def connections(group: str) -> Event:
    """Which sockets does the user have?"""
    return {"type": CONNECTIONS, "group": group}


def disconnect(group: str, code: int, reason: str, only: tuple[str, int] | None = None) -> Event:
    """Close the user's sockets, or the one in this process with this number. How many were they?"""
    return {"type": DISCONNECT, "group": group, "code": code, "reason": reason, "only": only}


def revoked(kid: str) -> Event:
    """Close the sockets that a token of this secret has opened. How many were they?"""
    return {"type": REVOKED, "kid": kid}


def survey(look: str) -> Event:
    """What does an operator see who looks so (`console.page.Look`, as JSON)?"""
    return {"type": SURVEY, "look": look}


def secrets() -> Event:
    """The secrets in the database have changed."""
    return {"type": SECRETS}


def answer(process: str, value: Any) -> Event:
    return {"type": ANSWER, "process": process, "value": value}
