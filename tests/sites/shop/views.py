from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_only_middleware


@sync_only_middleware
def closed(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: every POST is refused."""

    def middleware(request: HttpRequest) -> HttpResponse:
        return HttpResponse("closed", status=503) if request.method == "POST" else get_response(request)

    return middleware


def hello(request: HttpRequest) -> HttpResponse:
    return HttpResponse("hello at " + request.get_host())
