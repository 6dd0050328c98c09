import os
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.sites.shop.settings")
django_application = get_asgi_application()

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402  (Django must be set up before)
from django.urls import path  # noqa: E402

from realtime.asgi import application as realtime_application  # noqa: E402

from .consumers import Chat  # noqa: E402

chat: Any = Chat.as_asgi()  # the types of `path` know no consumers
routes: Any = [path("chat", chat)]
application: Any = ProtocolTypeRouter({"http": django_application, "websocket": URLRouter(routes)})

application = realtime_application(application)
