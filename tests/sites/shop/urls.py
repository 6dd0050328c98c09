import os

from django.urls import include, path

from .asgi import application as application  # as a product does that starts something of it; so neither may come first
from .views import hello

urlpatterns = [
    path("hello", hello),
    path(os.environ.get("SHOP_PREFIX", "rt/"), include("realtime.urls")),
]
