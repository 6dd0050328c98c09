"""The secrets in Django's admin. A secret's text is in one answer, that to the POST which made it, and nowhere else.

`secrets` is the list and the form, `actions` what is done with a secret, `badges` how it is seen at a glance.
"""

from .secrets import SecretAdmin

__all__ = ["SecretAdmin"]
