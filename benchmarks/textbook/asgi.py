import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.textbook.settings")
django_application = get_asgi_application()

from .consumers import SocketConsumer  # noqa: E402  (Django must be set up before)

application = ProtocolTypeRouter({"http": django_application, "websocket": SocketConsumer.as_asgi()})
