"""`path("rt/", include("realtime.urls"))`: the prefix of sockets and publishes, and the view behind `publish`."""

from django.urls import path

from .views import publish

app_name = "realtime"
urlpatterns = [path("publish", publish, name="publish")]
