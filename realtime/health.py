"""Whether the process lives, and whether it can do its work: for load balancers and whoever restarts processes."""

from __future__ import annotations

import json
import logging

from .admission import keyring_is_loaded
from .channellayer import away_is_unavailable, channel_layer, ping
from .http import RETRY_SOON, Response
from .layers import LayerUnavailable
from .sockets import sockets

logger = logging.getLogger(__name__)


async def alive(authorization: str | None = None) -> Response:
    """200: the event loop turns."""
    return Response(200, '{"status":"alive"}')


async def ready(authorization: str | None = None) -> Response:
    """200, or 503 with what is missing: the channel layer answers, the secrets have been read, no stop is under way."""
    checks = {
        "channelLayer": await layer_answers(),
        "keyring": await keyring_is_loaded(),
        "accepting": not sockets().draining,
    }
    is_ready = all(checks.values())
    body = json.dumps({"status": "ready" if is_ready else "not ready", **checks}, separators=(",", ":"))
    return Response(200 if is_ready else 503, body, () if is_ready else RETRY_SOON)


async def layer_answers() -> bool:
    """Whether the channel layer does. It is waited for a second at most."""
    try:
        with away_is_unavailable():
            await ping(channel_layer())
    except LayerUnavailable as error:
        logger.debug("not ready: %s", error)
        return False
    return True
