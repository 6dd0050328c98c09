import gc
import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hopeflow_site.settings")
django_application = get_asgi_application()

from realtime.asgi import application as realtime_application  # noqa: E402  (Django must be set up before)

application = realtime_application(django_application)

# Our server does this by itself, others do not. A full collection looks at every object of every open socket, and the
# process stands still meanwhile. At Python's 700 new objects to a young collection, what publishes have under way is
# taken for old again and again, and full collections come often (`python -m benchmarks --only idle` shows it). They
# still come: after twenty million objects, once a quarter of all is new.
gc.set_threshold(50_000, 20, 20)
