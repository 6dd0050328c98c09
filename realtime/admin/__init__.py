"""Django's admin: the secrets, and the page of the live console.

A secret's text is in one answer, that to the POST which made it, and nowhere else. `secrets` is the list and the form,
`actions` what is done with a secret, `badges` how it is seen at a glance. `console` is the page of the live console.
"""

from .console import ConsoleAdmin
from .secrets import SecretAdmin

__all__ = ["ConsoleAdmin", "SecretAdmin"]
