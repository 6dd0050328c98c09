from typing import ClassVar

from django.contrib.auth.models import AbstractBaseUser
from django.db import models


class Customer(AbstractBaseUser):
    """As far from Django's own user as it can be: no name, no permissions."""

    email = models.EmailField(unique=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
