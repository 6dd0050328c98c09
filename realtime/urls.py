"""`path("rt/", include("realtime.urls"))`: the prefix of sockets and publishes, the view behind `publish`, and the
documents that describe both.
"""

from django.urls import path

from .documents import asyncapi, openapi
from .views import publish

app_name = "realtime"
urlpatterns = [
    path("publish", publish, name="publish"),
    path("openapi.yaml", openapi, name="openapi"),
    path("asyncapi.yaml", asyncapi, name="asyncapi"),
]
