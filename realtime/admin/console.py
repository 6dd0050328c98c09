"""The page of the live console: it holds no data itself, all of that comes over its socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.templatetags.static import static
from django.urls import NoReverseMatch, URLPattern, path, reverse

from ..console.operators import SEE
from ..models import Console

A_PAGE = 100  # lines of the history

if TYPE_CHECKING:
    Base = admin.ModelAdmin[Console]
else:
    Base = admin.ModelAdmin


@admin.register(Console)
class ConsoleAdmin(Base):
    """The console, and what operators have done in it. There are no rows behind it."""

    def get_urls(self) -> list[URLPattern]:
        views = {"": ("changelist", self.changelist_view), "history/": ("history", self.history_page)}
        return [
            path(where, self.admin_site.admin_view(view), name=f"realtime_console_{name}")
            for where, (name, view) in views.items()
        ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_model_perms(self, request: HttpRequest) -> dict[str, bool]:
        return super().get_model_perms(request) if self.has_view_permission(request) else {}

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Not with the permission to change alone: the socket asks for this one too."""
        return bool(request.user.has_perm(SEE))

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return self._page(request, "console", socket_path=_socket_path())

    def history_page(self, request: HttpRequest) -> HttpResponse:
        """Who has published to whom, and disconnected whom, the last first."""
        kind = ContentType.objects.get_for_model(Console, for_concrete_model=False)
        done = LogEntry.objects.filter(content_type=kind).select_related("user").order_by("-action_time", "-pk")
        return self._page(request, "history", done=Paginator(done, A_PAGE).get_page(request.GET.get("p")))

    def _page(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        request.current_app = self.admin_site.name
        common = {"title": self.opts.verbose_name_plural, "opts": self.opts, **self.admin_site.each_context(request)}
        response = TemplateResponse(request, f"admin/realtime/console/{template}.html", {**common, **context})
        response.headers.setdefault("Content-Security-Policy", _policy(request))
        return response


def _socket_path() -> str:
    """Where the console's socket is, as a browser sees it."""
    try:
        return reverse("realtime:publish").removesuffix("publish") + "console"
    except NoReverseMatch:
        return "/console"


def _policy(request: HttpRequest) -> str:
    """Nothing but our own files, whatever gets into the page. Static files may live elsewhere."""
    elsewhere = urlsplit(static("realtime/console.js"))
    files = f"'self' {elsewhere.scheme or request.scheme}://{elsewhere.netloc}" if elsewhere.netloc else "'self'"
    scheme = "wss" if request.is_secure() else "ws"
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {files}",
            f"style-src {files}",
            f"img-src {files} data:",
            f"font-src {files}",
            f"connect-src 'self' {scheme}://{request.get_host()}",  # Safari's 'self' knows no sockets
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ]
    )
