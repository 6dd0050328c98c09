"""A client for programs that are not browsers: subscribe, handle envelopes, ack, and stay connected.

async with RealtimeClient("wss://example.org/rt/", token=fetch_token) as client:
    unsubscribe = client.subscribe({"type": "chat_message"}, handle)
    await client.ready()
    await client.wait_closed()

It needs no Django settings. `client` is one connection after the other, `opening` how each begins, `retries` when to
connect again; `subscriptions` knows which filters the server has to hold and whom an envelope concerns, and `handling`
makes one ack of what the handlers say.
"""

from .client import RealtimeClient, State
from .envelopes import Envelope
from .handling import NO_ACK, Handler, RawJSON
from .opening import NoToken
from .retries import GaveUp

__all__ = ["NO_ACK", "Envelope", "GaveUp", "Handler", "NoToken", "RawJSON", "RealtimeClient", "State"]
