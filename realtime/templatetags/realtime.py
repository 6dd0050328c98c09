from __future__ import annotations

from django import template
from django.template import Context, TemplateSyntaxError

from ..users import token_for

register = template.Library()


@register.simple_tag(takes_context=True)
def realtime_token(context: Context) -> str:
    """A fresh token for the logged-in user of the request, "" when nobody is."""
    try:
        request = context["request"]
    except KeyError:
        raise TemplateSyntaxError(
            "{% realtime_token %} needs the request: render with it, and with the context processor "
            '"django.template.context_processors.request".'
        ) from None
    user = getattr(request, "user", None)
    return token_for(user) if user is not None and user.is_authenticated else ""
