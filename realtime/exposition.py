"""`GET /metrics`: the numbers of `metrics`, and what is only looked at when somebody asks."""

from __future__ import annotations

import hmac
import time

from prometheus_client import REGISTRY, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from . import metrics
from .conf import conf
from .health import layer_answers
from .http import Response
from .protocol import UNAUTHORIZED
from .secretstore import store
from .sockets import sockets
from .tokens import find_token
from .views import in_flight


async def exposition(authorization: str | None) -> Response:
    """All metrics as text. 401 for who does not bring METRICS_TOKEN, where there is one."""
    guard: str = conf.METRICS_TOKEN
    given = find_token(authorization, "") or ""
    if guard and not hmac.compare_digest(given.encode(), guard.encode()):
        return Response.error(401, UNAUTHORIZED)
    begun = time.perf_counter()
    metrics.LAYER_UP.set(await layer_answers())
    metrics.LAYER_SECONDS.set(time.perf_counter() - begun)
    metrics.SOCKETS.set(sockets().count)
    metrics.PUBLISHES_UNDER_WAY.set(in_flight.count)
    metrics.KEYRING_AGE.set(store.age)
    return Response(200, generate_latest(REGISTRY).decode(), content_type=CONTENT_TYPE_LATEST)
