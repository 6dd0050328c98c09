"""POST /publish: send to the user's group, collect what its sockets say."""

import asyncio
import json
import os
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from channels.layers import get_channel_layer
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from jwt import InvalidTokenError

from .users import group_name, user_of

ACK_TIMEOUT = 5.0  # seconds

# `group_send` does not tell how many sockets it reached. So the first must have reported until this time, or there is
# none. A server under full load needs many times more than an idle one, and each publish to nobody takes that long.
REPORT_TIMEOUT = float(os.environ.get("TEXTBOOK_REPORT_TIMEOUT", "1"))
# And when all who reported have acked, nothing must come for this long before no more reports are expected. 0 answers
# at once, which is cheapest, and right for a user with one socket; with more, the count may be too low.
SETTLE_TIME = float(os.environ.get("TEXTBOOK_SETTLE_TIME", "0"))


@csrf_exempt
@require_POST
async def publish(request: HttpRequest) -> JsonResponse:
    try:
        user_of(request.headers.get("Authorization", ""))
    except InvalidTokenError:
        return answer({"error": "Unauthorized"}, 401)
    try:
        body = json.loads(request.body)
    except ValueError:
        return answer({"error": "Invalid JSON body"}, 400)
    if not isinstance(body, dict) or not isinstance(body.get("userId"), str):
        return answer({"error": "userId is required"}, 400)
    return answer(await deliver(body), 200)


async def deliver(body: dict[str, Any]) -> dict[str, Any]:
    layer: Any = get_channel_layer()
    reply = await layer.new_channel()
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    envelope = {
        "envelopeId": str(uuid4()),
        "type": body.get("type") or "message",
        "userId": body["userId"],
        "timestamp": now,
        "payload": body.get("payload"),
    }
    event = {"type": "envelope", "envelope": envelope, "reply": reply}
    await layer.group_send(group_name(body["userId"]), event)
    return await collect(layer, reply)


async def collect(layer: Any, reply: str) -> dict[str, Any]:
    """What was reported and acked before the answer was complete, or the time was up."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + ACK_TIMEOUT
    clients, results = 0, []
    with suppress(TimeoutError):
        async with asyncio.timeout(REPORT_TIMEOUT) as timeout:
            while True:
                message = await layer.receive(reply)
                if message["type"] == "ack":
                    results.append(message["result"])
                else:
                    clients += message["matched"]
                if len(results) < clients:
                    timeout.reschedule(deadline)
                elif SETTLE_TIME:
                    timeout.reschedule(min(deadline, loop.time() + SETTLE_TIME))
                else:
                    break
    return {"clientCount": clients, "results": results}


def answer(content: dict[str, Any], status: int) -> JsonResponse:
    return JsonResponse(content, status=status, headers={"Access-Control-Allow-Origin": "*"})


urlpatterns = [path("publish", publish)]
