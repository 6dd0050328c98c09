from django.apps import AppConfig


class RealtimeConfig(AppConfig):
    name = "realtime"
    verbose_name = "HopeFlow Realtime"

    def ready(self) -> None:
        from . import checks  # noqa: F401  (registers itself)
