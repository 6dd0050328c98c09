"""A view that does nothing, behind the middleware of `startproject`: what a request costs before a line of a project.

Its settings are the textbook's, and it is served as a project of its own: `DJANGO_SETTINGS_MODULE` is
`benchmarks.textbook.empty_settings`.
"""

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST


@csrf_exempt
@require_POST
async def empty(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


urlpatterns = [path("publish", empty)]
