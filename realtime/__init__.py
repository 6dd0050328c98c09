"""HopeFlow Realtime: tell a user's open browser tabs something, now, and know whether they got it.

The journey of an envelope, file by file. A backend calls `POST /publish`: `asgi` hands the request to `views`, which
checks it and asks `delivery` to deliver. `envelopes` makes the text that every socket will get. `delivery` opens a
reply channel and sends the envelope to the user's group through a channel layer (`layers`, `outbox`, `redishost`). In
each process that has sockets of the user, `sockets` matches it (`filters`), reports how many match and hands it to
their consumers (`consumers`), which send it. What the clients send back is read by `protocol`; an ack goes the same way
back, `consumers` → `sockets` → the reply channel, where `rollcall` counts, and `delivery` answers as soon as there is
nobody left to wait for.

Tokens are verified by `admission`, with the `keyring` that `secretstore` reads from the database (`models`,
`encryption`). Code of the product needs no token: it publishes with `publish`, asks who is there with `connections`,
and closes sockets with `disconnect` (`control`); each has an async twin. `console` shows operators all of it, live.
Programs elsewhere listen with `client`.
"""

from .control import Connection, aconnections, adisconnect, connections, disconnect
from .delivery import ABSENT, Delivered, apublish, publish, publish_on_commit
from .redishost import LayerUnavailable
from .users import token_for

__all__ = [
    "ABSENT",
    "Connection",
    "Delivered",
    "LayerUnavailable",
    "aconnections",
    "adisconnect",
    "apublish",
    "connections",
    "disconnect",
    "publish",
    "publish_on_commit",
    "token_for",
]
