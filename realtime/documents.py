"""The documents that a machine can read, `openapi.yaml` and `asyncapi.yaml`, as Django views beside `publish`."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.resources import files

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import get_conditional_response
from django.views.decorators.csrf import csrf_exempt

from . import protocol
from .http import ANY_ORIGIN, READ_ONLY, Headers, Response

CACHE: Headers = (("Cache-Control", "max-age=300"),)  # seconds; a new version of the service may come with new ones
PLACEHOLDER = "    host: 127.0.0.1:8000\n    protocol: ws\n"


@csrf_exempt  # a POST is a 405, not a lack of a cookie
def openapi(request: HttpRequest) -> HttpResponseBase:
    """Its server is relative to where it is found."""
    return _answer(request, _text("openapi.yaml"))


@csrf_exempt
def asyncapi(request: HttpRequest) -> HttpResponseBase:
    """AsyncAPI knows no relative servers, so it is told where this one is."""
    prefix = request.path.removesuffix("/asyncapi.yaml")
    here = {"host": request.get_host(), "protocol": "wss" if request.is_secure() else "ws"}
    if prefix:
        here["pathname"] = prefix
    lines = "".join(f"    {name}: {json.dumps(value)}\n" for name, value in here.items())  # JSON is YAML
    return _answer(request, _text("asyncapi.yaml").replace(PLACEHOLDER, lines))


@cache
def _text(name: str) -> str:
    return files("realtime").joinpath("specs", name).read_text("utf-8")


def _answer(request: HttpRequest, text: str) -> HttpResponseBase:
    if request.method not in ("GET", "HEAD"):
        refusal = Response.error(405, protocol.METHOD_NOT_ALLOWED, READ_ONLY)
        return HttpResponse(refusal.body, status=refusal.status, headers=dict(refusal.all_headers))
    headers = dict((*CACHE, ("Content-Type", "application/yaml"), ("ETag", _etag(text))))
    response = HttpResponse(text, headers=headers)
    answer = get_conditional_response(request, etag=headers["ETag"], response=response) or response
    for name, value in ANY_ORIGIN:
        answer[name] = value
    return answer


def _etag(text: str) -> str:
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
