"""ASGI application: the site, and at `/counts` how much the process holds of all that must not pile up."""

import asyncio
import gc
from typing import Any

from hopeflow_site.asgi import application as site
from realtime.channellayer import channel_layer
from realtime.envelopes import Envelope
from realtime.http import Response
from realtime.layers import Inbox, Mailbox, RedisLoopLayer
from realtime.management.remote import compact
from realtime.rollcall import RollCall
from realtime.sockets import sockets


def counts() -> dict[str, int]:
    layer = channel_layer()
    local = layer.local if isinstance(layer, RedisLoopLayer) else layer
    gc.collect()
    kinds = [type(thing) for thing in gc.get_objects()]
    return {
        "users": len(sockets().users),
        "awaited": len(sockets().awaited),
        "channels": len(local.channels),
        "groups": len(local.groups),
        "outbox": len(layer._outbox._mail | layer._outbox._under_way) if isinstance(layer, RedisLoopLayer) else 0,
        "locks": len(layer._locks) if isinstance(layer, RedisLoopLayer) else 0,
        "subscribed": len(layer._hosts[0]._subscribed) if isinstance(layer, RedisLoopLayer) else 0,
        "tasks": len(asyncio.all_tasks()),
        "mailboxes": kinds.count(Mailbox),
        "inboxes": kinds.count(Inbox),
        "roll calls": kinds.count(RollCall),
        "envelopes": kinds.count(Envelope),
    }


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http" and scope["path"] == "/counts":
        await Response(200, compact(counts())).send(send)
    else:
        await site(scope, receive, send)
