import gc
import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hopeflow_site.settings")
django_application = get_asgi_application()

from realtime.asgi import application as realtime_application  # noqa: E402  (Django must be set up before)

application = realtime_application(django_application)

# A full collection looks at every object of every open socket. At Python's 700 new objects to a young collection, what
# publishes have under way is taken for old again and again, and full collections come often: with 5,000 idle sockets a
# publish cost a fifth more. They still come as soon as a quarter of all objects is new, so memory stays bounded.
gc.set_threshold(10_000, 10, 10)
