"""`POST /publish`: the checks of the contract, in its order, and the answer.

`answer` is the whole of it, and knows neither Django nor ASGI. Two thin doors lead to it: `publish`, a Django view
behind the product's middleware, and the fast lane in `asgi`, which spares the way through Django's request handler.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse

from . import protocol, strictjson
from .admission import admit
from .background import background
from .conf import conf
from .delivery import deliver
from .http import RETRY_SOON, Headers, Response
from .keyring import Forbidden, Grant
from .layers import LayerUnavailable
from .limits import InFlight, TooMany
from .metrics import PUBLISH_REFUSALS
from .tokens import InvalidToken, Undecided, find_token

logger = logging.getLogger(__name__)

ALLOW: Headers = (("Allow", "POST, OPTIONS"),)
PREFLIGHT: Headers = (
    ("Access-Control-Allow-Methods", "POST,OPTIONS"),
    ("Access-Control-Allow-Headers", "authorization,content-type"),
    ("Access-Control-Max-Age", "86400"),
)


in_flight = InFlight()


class BodyTooLarge(Exception):
    """The request body is longer than MAX_BODY_BYTES."""


class Refused(Exception):
    """The request is answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.response = Response.error(status, message)


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """What `answer` needs of a request. `read_body` takes a limit in bytes and raises BodyTooLarge."""

    method: str
    authorization: str | None
    query_string: str
    content_type: str
    read_body: Callable[[int], Awaitable[bytes]]


async def answer(request: PublishRequest) -> Response:
    """The response to a request, whatever it is."""
    response = await _answer(request)
    if response.status >= 400:
        PUBLISH_REFUSALS.labels(response.status).inc()
    return response


async def _answer(request: PublishRequest) -> Response:
    if request.method == "OPTIONS":
        return Response(204, headers=PREFLIGHT)
    if request.method != "POST":
        return Response.error(405, protocol.METHOD_NOT_ALLOWED, ALLOW)
    try:
        token = find_token(request.authorization, request.query_string)
        await admit(token, Grant.PUBLISH)
        if "application/json" not in request.content_type.lower():
            raise Refused(415, protocol.UNSUPPORTED_MEDIA_TYPE)
        with in_flight.one(token or "", most=conf.MAX_PUBLISHES, most_of_token=conf.MAX_TOKEN_PUBLISHES):
            user, type, payload = parse(await request.read_body(conf.MAX_BODY_BYTES))
            outcome = await deliver(user, type, payload)
    except InvalidToken as error:
        logger.info("publish refused: %s", error)
        return Response.error(401, protocol.UNAUTHORIZED)
    except Forbidden as error:
        logger.info("publish refused: %s", error)
        return Response.error(403, protocol.FORBIDDEN)
    except BodyTooLarge:
        return Response.error(413, protocol.BODY_TOO_LARGE)
    except Refused as refused:
        return refused.response
    except TooMany as error:
        logger.info("publish refused: %s", error)
        if error.whose == "the token":
            return Response.error(429, protocol.TOO_MANY_REQUESTS, RETRY_SOON)
        return Response.error(503, protocol.UNAVAILABLE, RETRY_SOON)
    except (LayerUnavailable, Undecided) as error:
        logger.info("publish failed: %s", error)  # once an outage it is a warning, of those who noticed it first
        return Response.error(503, protocol.UNAVAILABLE, RETRY_SOON)
    except Exception:
        logger.exception("publish failed")
        return Response.error(500, protocol.INTERNAL_ERROR)
    return Response(200, f'{{"clientCount":{outcome.client_count},"results":[{",".join(outcome.results)}]}}')


def parse(body: bytes) -> tuple[str, str, str | None]:
    """User, type and payload (JSON text, None: absent) of a request body. Raises Refused."""
    try:
        members = strictjson.members(body, conf.MAX_JSON_DEPTH)
    except strictjson.TooDeep:
        raise Refused(400, protocol.TOO_DEEP) from None
    except ValueError:
        raise Refused(400, protocol.INVALID_JSON) from None
    if members is None:
        raise Refused(400, protocol.INVALID_JSON if body.strip() == b"null" else protocol.USER_REQUIRED)
    user = _trimmed(members, "userId")
    if not user:
        raise Refused(400, protocol.USER_REQUIRED)
    if len(user) > conf.MAX_USER_LENGTH:
        raise Refused(400, protocol.USER_TOO_LONG)
    payload = members.get("payload")
    text = None if payload is None else strictjson.text(payload)
    return user, _trimmed(members, "type") or protocol.DEFAULT_TYPE, text


def _trimmed(members: dict[str, strictjson.Raw], name: str) -> str:
    raw = members.get(name)
    return protocol.trim((raw and strictjson.string(raw)) or "")


async def publish(request: HttpRequest) -> HttpResponse:
    """The Django view. It answers byte for byte as the fast lane does."""

    async def read_body(limit: int) -> bytes:
        # Not `request.body`, which has a limit of its own (DATA_UPLOAD_MAX_MEMORY_SIZE), unless it has been read.
        body = request.body if hasattr(request, "_body") else request.read(limit + 1)
        if len(body) > limit:
            raise BodyTooLarge
        return body

    asked = PublishRequest(
        method=request.method or "",
        authorization=request.headers.get("Authorization"),
        query_string=request.META.get("QUERY_STRING", ""),
        content_type=request.headers.get("Content-Type", ""),
        read_body=read_body,
    )
    response = await (answer(asked) if isinstance(request, ASGIRequest) else _answer_in_background(asked))
    headers = dict(response.all_headers)
    return HttpResponse(response.body, status=response.status, headers={"Content-Type": "", **headers})


publish.csrf_exempt = True  # type: ignore[attr-defined]  # before Django 5.0 the decorator makes the view a sync one


async def _answer_in_background(asked: PublishRequest) -> Response:
    """For WSGI, which makes an event loop for each request: Redis connections and all the rest would come with it."""
    try:
        body = await asked.read_body(conf.MAX_BODY_BYTES)  # here, where a slow client holds up nobody else
    except BodyTooLarge:
        body = None

    async def read_body(limit: int) -> bytes:
        if body is None:
            raise BodyTooLarge
        return body

    return await asyncio.wrap_future(background.submit(answer, replace(asked, read_body=read_body)))
