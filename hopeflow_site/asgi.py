import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hopeflow_site.settings")
django_application = get_asgi_application()

from realtime.asgi import application as realtime_application  # noqa: E402  (Django must be set up before)

application = realtime_application(django_application)
