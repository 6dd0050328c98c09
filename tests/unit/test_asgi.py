from typing import Any

import pytest
from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

from realtime.asgi import application


async def nothing(*_: Any) -> Any:
    return {"type": "websocket.disconnect"}


@pytest.mark.parametrize(
    "scope",
    [
        {"type": "lifespan"},
        {"type": "channel", "channel": "jobs"},
        {"type": "http", "path": "/elsewhere"},
        {"type": "websocket", "path": "/elsewhere"},
    ],
    ids=lambda scope: scope["type"],
)
async def test_what_is_not_ours_goes_to_the_product_as_it_came(scope: dict[str, Any]) -> None:
    """Its sockets, its workers and its lifespan work on behind the lines of the README."""
    seen: list[Any] = []

    async def product(*given: Any) -> None:
        seen.extend(given)

    await application(ProtocolTypeRouter({scope["type"]: product}), prefix="/rt/")(scope, nothing, nothing)
    assert seen == [scope, nothing, nothing]


async def test_a_socket_of_nobody_is_refused_where_the_product_is_django_alone() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await application(get_asgi_application(), "/rt/")({"type": "websocket", "path": "/elsewhere"}, nothing, send)
    assert sent == [{"type": "websocket.close"}]
