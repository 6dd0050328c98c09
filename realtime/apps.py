from django.apps import AppConfig


class RealtimeConfig(AppConfig):
    name = "realtime"
    verbose_name = "HopeFlow Realtime"
    default_auto_field = "django.db.models.BigAutoField"  # whatever the product's own default is

    def ready(self) -> None:
        from . import checks, receivers  # noqa: F401  (they register themselves)
