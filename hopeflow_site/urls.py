from django.conf import settings
from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    *([path("demo/", include("hopeflow_site.demo"))] if settings.DEBUG else []),
    path("", include("realtime.urls")),
]
