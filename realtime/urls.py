"""`path("", include("realtime.urls"))`: the publish view behind the product's middleware."""

from django.urls import path

from .views import publish

app_name = "realtime"
urlpatterns = [path("publish", publish, name="publish")]
